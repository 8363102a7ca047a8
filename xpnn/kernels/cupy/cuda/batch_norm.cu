// Batch norm of x (batch, channels, size), with the adding of a residual and a relu behind it. Elements of an image
// lie side by side; images of a channel are `image` elements apart, channels of a sample `plane` elements.
//
// Statistics take two stages: `parts` blocks share a channel, and leave the mean of their elements and the sum of
// squares around it. Each block of the second kernel joins these, which is little work, in always the same order.

struct Channel {
    I number, size, image, plane, count;

    __device__ __forceinline__ I place(I i) const { return i / size * image + number * plane + i % size; }
};

struct Portion {
    I start, end;
};

// Which of `count` elements the block takes that is number `part` of `parts`.
__device__ __forceinline__ Portion portion(I count, I part, I parts) {
    I length = (count + parts - 1) / parts;
    I start = part * length < count ? part * length : count;
    return {start, start + length < count ? start + length : count};
}

extern "C" __global__ void batch_statistics(const T* __restrict__ x, A* __restrict__ means, A* __restrict__ squares, I count, I size, I image, I plane, I parts) {
    I part = blockIdx.x % parts;
    Channel channel = {(I)blockIdx.x / parts, size, image, plane, count};
    Portion own = portion(count, part, parts);
    A mean = 0, square = 0;
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) mean += read(x, channel.place(i));
    I length = own.end - own.start;
    mean = block_sum(mean) / (length ? length : 1);
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) {
        A z = read(x, channel.place(i)) - mean;
        square += z * z;
    }
    square = block_sum(square);
    if (threadIdx.x == 0) {
        means[blockIdx.x] = mean;
        squares[blockIdx.x] = square;
    }
}

// The sums of a channel's parts, by the first warp, for all threads of the block.
__device__ __forceinline__ void joined_sums(const A* __restrict__ first, const A* __restrict__ second, I channel, I parts, A* sums) {
    if (threadIdx.x < 32) {
        A a = 0, b = 0;
        for (I k = threadIdx.x; k < parts; k += 32) {
            a += first[channel * parts + k];
            b += second[channel * parts + k];
        }
        a = warp_sum(a);
        b = warp_sum(b);
        if (threadIdx.x == 0) sums[0] = a, sums[1] = b;
    }
    __syncthreads();
}

extern "C" __global__ void batch_norm(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, const T* __restrict__ residual, const A* __restrict__ means, const A* __restrict__ squares, T* __restrict__ y, A* __restrict__ mean_out, A* __restrict__ variance_out, I count, I size, I image, I plane, I parts, I blocks, int relu, A eps) {
    __shared__ A statistics[2];
    I part = blockIdx.x % blocks;
    Channel channel = {(I)blockIdx.x / blocks, size, image, plane, count};
    if (threadIdx.x < 32) {
        A total = 0, square = 0;
        for (I k = threadIdx.x; k < parts; k += 32) {
            Portion its = portion(count, k, parts);
            total += means[channel.number * parts + k] * (its.end - its.start);
        }
        A mean = warp_sum(total) / count;
        for (I k = threadIdx.x; k < parts; k += 32) {
            Portion its = portion(count, k, parts);
            A apart = means[channel.number * parts + k] - mean;
            square += squares[channel.number * parts + k] + apart * apart * (its.end - its.start);
        }
        A variance = warp_sum(square) / count;
        if (threadIdx.x == 0) {
            statistics[0] = mean;
            statistics[1] = variance;
            if (part == 0) {
                mean_out[channel.number] = mean;
                variance_out[channel.number] = variance;
            }
        }
    }
    __syncthreads();
    A mean = statistics[0], scale = 1 / sqrt(statistics[1] + eps);
    if (w) scale *= read(w, channel.number);
    A shift = b ? read(b, channel.number) : 0;
    Portion own = portion(count, part, blocks);
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) {
        I place = channel.place(i);
        A v = (read(x, place) - mean) * scale + shift;
        if (residual) v += read(residual, place);
        write(y, place, relu ? larger(v, 0) : v);
    }
}

// By given statistics.
extern "C" __global__ void batch_norm_inference(const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ variance, const T* __restrict__ w, const T* __restrict__ b, const T* __restrict__ residual, T* __restrict__ y, I count, I size, I image, I plane, I blocks, int relu, A eps) {
    Channel channel = {(I)blockIdx.x / blocks, size, image, plane, count};
    A scale = 1 / sqrt(read(variance, channel.number) + eps), centre = read(mean, channel.number);
    if (w) scale *= read(w, channel.number);
    A shift = b ? read(b, channel.number) : 0;
    Portion own = portion(count, blockIdx.x % blocks, blocks);
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) {
        I place = channel.place(i);
        A v = (read(x, place) - centre) * scale + shift;
        if (residual) v += read(residual, place);
        write(y, place, relu ? larger(v, 0) : v);
    }
}

// The sums of gy and of gy (x - mean) of each part; gy passes where the relu's output is not 0.
extern "C" __global__ void batch_norm_sums(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y, const A* __restrict__ mean, A* __restrict__ totals, A* __restrict__ products, I count, I size, I image, I plane, I parts) {
    Channel channel = {(I)blockIdx.x / parts, size, image, plane, count};
    Portion own = portion(count, blockIdx.x % parts, parts);
    A total = 0, product = 0, centre = mean[channel.number];
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) {
        I place = channel.place(i);
        A g = y && read(y, place) == 0 ? 0 : read(gy, place);
        total += g;
        product += g * (read(x, place) - centre);
    }
    total = block_sum(total);
    product = block_sum(product);
    if (threadIdx.x == 0) {
        totals[blockIdx.x] = total;
        products[blockIdx.x] = product;
    }
}

extern "C" __global__ void batch_norm_gradients(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ y, const T* __restrict__ w, const A* __restrict__ mean, const A* __restrict__ variance, const A* __restrict__ totals, const A* __restrict__ products, const A* __restrict__ gmean, const A* __restrict__ gvariance, T* __restrict__ gx, T* __restrict__ gresidual, T* __restrict__ gw, T* __restrict__ gb, I count, I size, I image, I plane, I parts, I blocks, A eps) {
    __shared__ A sums[2];
    I part = blockIdx.x % blocks;
    Channel channel = {(I)blockIdx.x / blocks, size, image, plane, count};
    joined_sums(totals, products, channel.number, parts, sums);
    A inverse = 1 / sqrt(variance[channel.number] + eps), centre = mean[channel.number];
    A scale = w ? inverse * read(w, channel.number) : inverse;
    if (part == 0 && threadIdx.x == 0) {
        if (gw) write(gw, channel.number, sums[1] * inverse);
        if (gb) write(gb, channel.number, sums[0]);
    }
    A slope = -sums[1] * scale * inverse * inverse / count, shift = -sums[0] * scale / count;
    if (gvariance) slope += gvariance[channel.number] * 2 / count;
    if (gmean) shift += gmean[channel.number] / count;
    Portion own = portion(count, part, blocks);
    for (I i = own.start + threadIdx.x; i < own.end; i += blockDim.x) {
        I place = channel.place(i);
        A g = y && read(y, place) == 0 ? 0 : read(gy, place);
        if (gresidual) write(gresidual, place, g);
        if (gx) write(gx, place, g * scale + (read(x, place) - centre) * slope + shift);
    }
}

extern "C" __global__ void moved_statistics(const T* __restrict__ old_mean, const T* __restrict__ old_variance, const T* __restrict__ mean, const T* __restrict__ variance, T* __restrict__ new_mean, T* __restrict__ new_variance, I channels, A unbiased, A momentum, A kept) {
    FOR_ALL(c, channels) {
        write(new_mean, c, kept * read(old_mean, c) + momentum * read(mean, c));
        write(new_variance, c, kept * read(old_variance, c) + momentum * (read(variance, c) * unbiased));
    }
}
