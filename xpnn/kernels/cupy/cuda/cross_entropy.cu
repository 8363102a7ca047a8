// Cross entropy of scores x (outer, classes, inner) and integer labels, and with `plain` the negative log likelihood
// of logarithms. A row is a label. Its loss is
//   kept ((1 - s) w[label] (L - x[label]) + s / C sum_c w[c] (L - x[c]))        L = ln sum_c e^x[c], or 0
// A warp takes a row after the other; the block leaves the sums of its losses and of the weights of its labels. A
// grid of one block ends the sum itself.

enum Reduction { NONE, SUM, MEAN };

__device__ __forceinline__ A warp_log_total(const T* __restrict__ x, I start, I classes, I inner, int lane) {
    A peak = -infinite(), total = 0;
    for (I c = lane; c < classes; c += 32) peak = larger(peak, read(x, start + c * inner));
    peak = warp_max(peak);
    for (I c = lane; c < classes; c += 32) total += exp(read(x, start + c * inner) - peak);
    return peak + log(warp_sum(total));
}

__device__ __forceinline__ I inside(long long label, I classes) {
    I k = (I)(label % classes);
    return k < 0 ? k + classes : k;
}

extern "C" __global__ void __launch_bounds__(512, 1) cross_entropy(const T* __restrict__ x, const long long* __restrict__ labels, const T* __restrict__ w, const T* __restrict__ kept, T* __restrict__ losses, A* __restrict__ sums, T* __restrict__ out, I rows, I classes, I inner, int plain, int reduction, A smoothing) {
    __shared__ A loss_of[16], weight_of[16];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    A loss_sum = 0, weight_sum = 0;
    for (I row = (I)blockIdx.x * warps + warp; row < rows; row += (I)gridDim.x * warps) {
        I start = row / inner * classes * inner + row % inner;
        A keep = kept ? read(kept, row) : 1, loss = 0, weight = 0;
        if (keep != 0) {
            I label = inside(labels[row], classes);
            A log_total = plain ? 0 : warp_log_total(x, start, classes, inner, lane);
            weight = w ? read(w, label) : 1;
            loss = (1 - smoothing) * weight * (log_total - read(x, start + label * inner));
            if (smoothing != 0) {
                A even = 0;
                for (I c = lane; c < classes; c += 32) even += (w ? read(w, c) : 1) * (log_total - read(x, start + c * inner));
                loss += smoothing * warp_sum(even) / classes;
            }
            loss *= keep;
            weight *= keep;
        }
        if (losses && lane == 0) write(losses, row, loss);
        loss_sum += loss;
        weight_sum += weight;
    }
    if (lane == 0) loss_of[warp] = loss_sum, weight_of[warp] = weight_sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int k = 1; k < warps; ++k) loss_sum += loss_of[k], weight_sum += weight_of[k];
        sums[2 * blockIdx.x] = loss_sum;
        sums[2 * blockIdx.x + 1] = weight_sum;
        if (out && gridDim.x == 1) write(out, 0, reduction == MEAN ? loss_sum / weight_sum : loss_sum);
    }
}

// The sums over all blocks, in their order, to the place of the first.
extern "C" __global__ void cross_entropy_end(A* __restrict__ sums, T* __restrict__ out, I blocks, int reduction) {
    A loss = 0, weight = 0;
    for (I k = threadIdx.x; k < blocks; k += blockDim.x) loss += sums[2 * k], weight += sums[2 * k + 1];
    loss = block_sum(loss);
    weight = block_sum(weight);
    if (threadIdx.x == 0) {
        sums[1] = weight;
        if (out) write(out, 0, reduction == MEAN ? loss / weight : loss);
    }
}

// gx_c = gl (p_c sum_k q_k - q_c), with q_c = kept ((1 - s) [c is the label] + s / C) w[c]; plain: gx_c = -gl q_c,
// which is 0 beside the label, also where the weights of all labels sum to 0 and gl is infinite.
extern "C" __global__ void cross_entropy_input(const T* __restrict__ gy, const T* __restrict__ x, const long long* __restrict__ labels, const T* __restrict__ w, const T* __restrict__ kept, const A* __restrict__ sums, T* __restrict__ gx, I rows, I classes, I inner, int plain, int reduction, A smoothing) {
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    for (I row = (I)blockIdx.x * warps + warp; row < rows; row += (I)gridDim.x * warps) {
        I start = row / inner * classes * inner + row % inner;
        A keep = kept ? read(kept, row) : 1;
        if (keep == 0) {
            for (I c = lane; c < classes; c += 32) write(gx, start + c * inner, 0);
            continue;
        }
        A g = keep * read(gy, reduction == NONE ? row : 0);
        if (reduction == MEAN) g /= sums[1];
        I label = inside(labels[row], classes);
        A even = smoothing / classes, total = 0, log_total = 0;
        if (!plain) {
            log_total = warp_log_total(x, start, classes, inner, lane);
            if (smoothing != 0) {
                for (I c = lane; c < classes; c += 32) total += w ? read(w, c) : 1;
                total = even * warp_sum(total);
            }
            total += (1 - smoothing) * (w ? read(w, label) : 1);
        }
        for (I c = lane; c < classes; c += 32) {
            A q = even + (c == label ? 1 - smoothing : 0);
            if (w) q = q == 0 ? 0 : q * read(w, c);
            A v = plain ? -q : exp(read(x, start + c * inner) - log_total) * total - q;
            bool beside = plain && c != label && keep == keep;
            write(gx, start + c * inner, beside ? 0 : g * v);
        }
    }
}

// 1 where a label counts, 0 where it is ignored, NaN where it is out of range.
extern "C" __global__ void kept_labels(const long long* __restrict__ labels, T* __restrict__ kept, I size, I classes, long long ignored) {
    FOR_ALL(i, size) {
        long long label = labels[i];
        bool wrong = label < 0 || label >= classes;
        write(kept, i, label == ignored ? 0 : wrong ? infinite() - infinite() : (A)1);
    }
}
