// Windows that slide over images: the matrix of a convolution and back, depthwise convolution, pooling. Sequences and
// images are volumes of one cell along the axes that they lack. Input and output of windows are told apart by
// where their images lie: `image` from one sample to the next, `plane` from channel to channel, in elements.

struct Windows {
    int in_d, in_h, in_w, out_d, out_h, out_w, size_d, size_h, size_w;
    int step_d, step_h, step_w, pad_d, pad_h, pad_w, gap_d, gap_h, gap_w;

    __device__ __forceinline__ int cells() const { return size_d * size_h * size_w; }
    __device__ __forceinline__ I inputs() const { return (I)in_d * in_h * in_w; }
    __device__ __forceinline__ I outputs() const { return (I)out_d * out_h * out_w; }
};

struct Cell {
    int d, h, w;
};

__device__ __forceinline__ Cell cell_of(I place, int h, int w) {
    return {(int)(place / ((I)h * w)), (int)(place / w % h), (int)(place % w)};
}

// The place of a window's cell along an axis, or -1 where it lies in the padding.
__device__ __forceinline__ int along(int window, int t, int step, int pad, int gap, int count) {
    int i = window * step - pad + t * gap;
    return i >= 0 && i < count ? i : -1;
}

// The window along an axis whose cell t is at place i, or -1.
__device__ __forceinline__ int back(int i, int t, int step, int pad, int gap, int count) {
    int reached = i + pad - t * gap;
    if (reached < 0 || reached % step) return -1;
    return reached / step < count ? reached / step : -1;
}

// Calls `found(t, place)` for each cell of a window that is no padding: its number, and its place in the image.
template <class F> __device__ __forceinline__ void for_cells(const Windows& v, Cell o, F found) {
    int t = 0;
    for (int a = 0; a < v.size_d; ++a) {
        int d = along(o.d, a, v.step_d, v.pad_d, v.gap_d, v.in_d);
        for (int b = 0; b < v.size_h; ++b) {
            int h = along(o.h, b, v.step_h, v.pad_h, v.gap_h, v.in_h);
            for (int c = 0; c < v.size_w; ++c, ++t) {
                int w = along(o.w, c, v.step_w, v.pad_w, v.gap_w, v.in_w);
                found(t, d < 0 || h < 0 || w < 0 ? (I)-1 : ((I)d * v.in_h + h) * v.in_w + w);
            }
        }
    }
}

// Calls `found(t, place)` for each window that has a cell of the image among its cells.
template <class F> __device__ __forceinline__ void for_windows(const Windows& v, Cell i, F found) {
    for (int a = 0; a < v.size_d; ++a) {
        int d = back(i.d, a, v.step_d, v.pad_d, v.gap_d, v.out_d);
        if (d < 0) continue;
        for (int b = 0; b < v.size_h; ++b) {
            int h = back(i.h, b, v.step_h, v.pad_h, v.gap_h, v.out_h);
            if (h < 0) continue;
            for (int c = 0; c < v.size_w; ++c) {
                int w = back(i.w, c, v.step_w, v.pad_w, v.gap_w, v.out_w);
                if (w >= 0) found((a * v.size_h + b) * v.size_w + c, ((I)d * v.out_h + h) * v.out_w + w);
            }
        }
    }
}

#define WINDOWS int in_d, int in_h, int in_w, int out_d, int out_h, int out_w, int size_d, int size_h, int size_w, int step_d, int step_h, int step_w, int pad_d, int pad_h, int pad_w, int gap_d, int gap_h, int gap_w
#define GIVEN {in_d, in_h, in_w, out_d, out_h, out_w, size_d, size_h, size_w, step_d, step_h, step_w, pad_d, pad_h, pad_w, gap_d, gap_h, gap_w}

// The matrix of windows, (channels * cells, batch * outputs): a thread takes a window of a channel.
extern "C" __global__ void unfold(const T* __restrict__ x, T* __restrict__ matrix, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs(), columns = batch * outputs;
    int cells = v.cells();
    FOR_ALL(i, channels * columns) {
        I channel = i / columns, column = i % columns;
        const T* from = x + column / outputs * image + channel * plane;
        T* to = matrix + channel * cells * columns + column;
        for_cells(v, cell_of(column % outputs, out_h, out_w), [&](int t, I place) {
            write(to, t * columns, place < 0 ? 0 : read(from, place));
        });
    }
}

// Its adjoint, to x (channels, batch, inputs): a thread takes a cell of an image, and adds up in a fixed order.
extern "C" __global__ void fold(const T* __restrict__ matrix, T* __restrict__ x, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs(), columns = batch * outputs, inputs = v.inputs();
    int cells = v.cells();
    FOR_ALL(i, channels * batch * inputs) {
        I channel = i / (batch * inputs), sample = i / inputs % batch;
        const T* from = matrix + channel * cells * columns + sample * outputs;
        A total = 0;
        for_windows(v, cell_of(i % inputs, in_h, in_w), [&](int t, I place) {
            total += read(from, t * columns + place);
        });
        write(x, i, total);
    }
}

// Depthwise: output channel k is of input channel k / times. All results lie with their channels outermost.
extern "C" __global__ void depthwise(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, I image, I plane, I batch, I channels, I times, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs();
    int cells = v.cells();
    FOR_ALL(i, channels * batch * outputs) {
        I channel = i / (batch * outputs), sample = i / outputs % batch;
        const T* from = x + sample * image + channel / times * plane;
        A total = b ? read(b, channel) : 0;
        for_cells(v, cell_of(i % outputs, out_h, out_w), [&](int t, I place) {
            if (place >= 0) total += read(w, channel * cells + t) * read(from, place);
        });
        write(y, i, total);
    }
}

extern "C" __global__ void depthwise_input(const T* __restrict__ gy, const T* __restrict__ w, T* __restrict__ gx, I image, I plane, I batch, I channels, I times, WINDOWS) {
    Windows v = GIVEN;
    I inputs = v.inputs();
    int cells = v.cells();
    FOR_ALL(i, channels / times * batch * inputs) {
        I channel = i / (batch * inputs), sample = i / inputs % batch;
        A total = 0;
        for (I k = channel * times; k < (channel + 1) * times; ++k) {
            const T* from = gy + sample * image + k * plane;
            for_windows(v, cell_of(i % inputs, in_h, in_w), [&](int t, I place) {
                total += read(w, k * cells + t) * read(from, place);
            });
        }
        write(gx, i, total);
    }
}

// A block takes one weight.
extern "C" __global__ void depthwise_weight(const T* __restrict__ x, const T* __restrict__ gy, T* __restrict__ gw, I image, I plane, I image_y, I plane_y, I batch, I channels, I times, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs();
    int cells = v.cells();
    for (I weight = blockIdx.x; weight < channels * cells; weight += gridDim.x) {
        I channel = weight / cells;
        Cell t = cell_of(weight % cells, size_h, size_w);
        A total = 0;
        for (I i = threadIdx.x; i < batch * outputs; i += blockDim.x) {
            Cell o = cell_of(i % outputs, out_h, out_w);
            int d = along(o.d, t.d, step_d, pad_d, gap_d, in_d), h = along(o.h, t.h, step_h, pad_h, gap_h, in_h);
            int w = along(o.w, t.w, step_w, pad_w, gap_w, in_w);
            if (d < 0 || h < 0 || w < 0) continue;
            I place = i / outputs * image + channel / times * plane + ((I)d * in_h + h) * in_w + w;
            total += read(x, place) * read(gy, i / outputs * image_y + channel * plane_y + i % outputs);
        }
        total = block_sum(total);
        if (threadIdx.x == 0) write(gw, weight, total);
    }
}

// The largest cell of each window and its number; the first of equal ones, the last NaN. Results lie as (channels,
// batch, outputs), as do all below.
extern "C" __global__ void max_pool(const T* __restrict__ x, T* __restrict__ y, int* __restrict__ winner, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs();
    FOR_ALL(i, channels * batch * outputs) {
        const T* from = x + i / outputs % batch * image + i / (batch * outputs) * plane;
        A peak = -infinite();
        int best = -1;
        for_cells(v, cell_of(i % outputs, out_h, out_w), [&](int t, I place) {
            if (place < 0) return;
            A value = read(from, place);
            if (best < 0 || value > peak || value != value) {
                best = t;
                peak = larger(peak, value);
            }
        });
        if (y) write(y, i, peak);
        winner[i] = best < 0 ? 0 : best;
    }
}

extern "C" __global__ void scatter_to_winners(const T* __restrict__ gy, const int* __restrict__ winner, T* __restrict__ gx, I image, I plane, I image_w, I plane_w, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I inputs = v.inputs();
    FOR_ALL(i, channels * batch * inputs) {
        I channel = i / (batch * inputs), sample = i / inputs % batch;
        const T* from = gy + sample * image + channel * plane;
        const int* won = winner + sample * image_w + channel * plane_w;
        A total = 0;
        for_windows(v, cell_of(i % inputs, in_h, in_w), [&](int t, I place) {
            if (won[place] == t) total += read(from, place);
        });
        write(gx, i, total);
    }
}

extern "C" __global__ void select_winners(const T* __restrict__ x, const int* __restrict__ winner, T* __restrict__ y, I image, I plane, I image_w, I plane_w, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs();
    FOR_ALL(i, channels * batch * outputs) {
        I channel = i / (batch * outputs), sample = i / outputs % batch, place = i % outputs;
        Cell o = cell_of(place, out_h, out_w), t = cell_of(winner[sample * image_w + channel * plane_w + place], size_h, size_w);
        int d = along(o.d, t.d, step_d, pad_d, gap_d, in_d), h = along(o.h, t.h, step_h, pad_h, gap_h, in_h);
        int w = along(o.w, t.w, step_w, pad_w, gap_w, in_w);
        bool outside = d < 0 || h < 0 || w < 0;
        write(y, i, outside ? 0 : read(x, sample * image + channel * plane + ((I)d * in_h + h) * in_w + w));
    }
}

extern "C" __global__ void sum_pool(const T* __restrict__ x, T* __restrict__ y, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs();
    FOR_ALL(i, channels * batch * outputs) {
        const T* from = x + i / outputs % batch * image + i / (batch * outputs) * plane;
        A total = 0;
        for_cells(v, cell_of(i % outputs, out_h, out_w), [&](int t, I place) {
            if (place >= 0) total += read(from, place);
        });
        write(y, i, total);
    }
}

extern "C" __global__ void spread_over_windows(const T* __restrict__ gy, T* __restrict__ gx, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I inputs = v.inputs();
    FOR_ALL(i, channels * batch * inputs) {
        const T* from = gy + i / inputs % batch * image + i / (batch * inputs) * plane;
        A total = 0;
        for_windows(v, cell_of(i % inputs, in_h, in_w), [&](int t, I place) { total += read(from, place); });
        write(gx, i, total);
    }
}

// Adaptive windows: output o of `outs` covers the inputs from o ins / outs (rounded down) to (o + 1) ins / outs (up).
__device__ __forceinline__ int first_in(int o, int ins, int outs) { return (int)((long long)o * ins / outs); }
__device__ __forceinline__ int end_in(int o, int ins, int outs) {
    return (int)(((long long)(o + 1) * ins + outs - 1) / outs);
}
// The outputs whose windows have input i among their cells.
__device__ __forceinline__ int first_out(int i, int ins, int outs) {
    int o = (int)((long long)i * outs / ins);
    while (o > 0 && end_in(o - 1, ins, outs) > i) --o;
    while (end_in(o, ins, outs) <= i) ++o;
    return o;
}

// A warp takes an output.
extern "C" __global__ void adaptive_means(const T* __restrict__ x, T* __restrict__ y, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I outputs = v.outputs(), all = channels * batch * outputs;
    int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    for (I i = (I)blockIdx.x * warps + threadIdx.x / 32; i < all; i += (I)gridDim.x * warps) {
        const T* from = x + i / outputs % batch * image + i / (batch * outputs) * plane;
        Cell o = cell_of(i % outputs, out_h, out_w);
        int d = first_in(o.d, in_d, out_d), h = first_in(o.h, in_h, out_h), w = first_in(o.w, in_w, out_w);
        int deep = end_in(o.d, in_d, out_d) - d, high = end_in(o.h, in_h, out_h) - h, wide = end_in(o.w, in_w, out_w) - w;
        A total = 0;
        for (int k = lane; k < deep * high * wide; k += 32) {
            Cell t = cell_of(k, high, wide);
            total += read(from, ((I)(d + t.d) * in_h + h + t.h) * in_w + w + t.w);
        }
        total = warp_sum(total);
        if (lane == 0) write(y, i, total / ((A)deep * high * wide));
    }
}

extern "C" __global__ void share_over_windows(const T* __restrict__ gy, T* __restrict__ gx, I image, I plane, I batch, I channels, WINDOWS) {
    Windows v = GIVEN;
    I inputs = v.inputs();
    FOR_ALL(i, channels * batch * inputs) {
        const T* from = gy + i / inputs % batch * image + i / (batch * inputs) * plane;
        Cell c = cell_of(i % inputs, in_h, in_w);
        A total = 0;
        for (int d = first_out(c.d, in_d, out_d); d < out_d && first_in(d, in_d, out_d) <= c.d; ++d)
            for (int h = first_out(c.h, in_h, out_h); h < out_h && first_in(h, in_h, out_h) <= c.h; ++h)
                for (int w = first_out(c.w, in_w, out_w); w < out_w && first_in(w, in_w, out_w) <= c.w; ++w) {
                    A cells = (A)(end_in(d, in_d, out_d) - first_in(d, in_d, out_d)) * (end_in(h, in_h, out_h) - first_in(h, in_h, out_h)) * (end_in(w, in_w, out_w) - first_in(w, in_w, out_w));
                    total += read(from, ((I)d * out_h + h) * out_w + w) / cells;
                }
        write(gx, i, total);
    }
}
