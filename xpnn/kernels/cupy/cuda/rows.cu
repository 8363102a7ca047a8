// Norms of rows that lie one after the other: layer norm, RMS norm, and group norm, whose rows are the groups of
// samples. A block takes a row. Element i of it has the weight number
//   row % sets * together + i / inner
// so that layer norm has sets = 1, inner = 1; group norm has sets = groups, inner = the size of an image.

__device__ __forceinline__ I weight_of(I row, I i, I sets, I together, I inner) {
    return row % sets * together + i / inner;
}

extern "C" __global__ void row_norm(const T* __restrict__ x, const T* __restrict__ w, const T* __restrict__ b, T* __restrict__ y, A* __restrict__ means, A* __restrict__ variances, I count, I length, I sets, I together, I inner, A eps) {
    for (I row = blockIdx.x; row < count; row += gridDim.x) {
        I start = row * length;
        A mean = 0;
        if (means) {
            for (I i = threadIdx.x; i < length; i += blockDim.x) mean += read(x, start + i);
            mean = block_sum(mean) / length;
        }
        A variance = 0;
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            A z = read(x, start + i) - mean;
            variance += z * z;
        }
        variance = block_sum(variance) / length;
        A scale = 1 / sqrt(variance + eps);
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            I k = weight_of(row, i, sets, together, inner);
            A v = (read(x, start + i) - mean) * scale;
            if (w) v *= read(w, k);
            if (b) v += read(b, k);
            write(y, start + i, v);
        }
        if (threadIdx.x == 0) {
            if (means) means[row] = mean;
            variances[row] = variance;
        }
    }
}

// gx = (gh - mean(gh) - h mean(gh h)) / sqrt(v + eps) with gh = w gy, and what comes through the statistics.
extern "C" __global__ void row_norm_input(const T* __restrict__ gy, const T* __restrict__ x, const T* __restrict__ w, const A* __restrict__ means, const A* __restrict__ variances, const A* __restrict__ gmeans, const A* __restrict__ gvariances, T* __restrict__ gx, I count, I length, I sets, I together, I inner, A eps) {
    for (I row = blockIdx.x; row < count; row += gridDim.x) {
        I start = row * length;
        A mean = means ? means[row] : 0, inverse = 1 / sqrt(variances[row] + eps);
        A total = 0, product = 0;
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            A g = read(gy, start + i);
            if (w) g *= read(w, weight_of(row, i, sets, together, inner));
            total += g;
            product += g * (read(x, start + i) - mean);
        }
        total = block_sum(total);
        product = block_sum(product);
        A slope = -product * inverse * inverse * inverse / length, shift = 0;
        if (gvariances) slope += gvariances[row] * 2 / length;
        if (means) shift = -total * inverse / length;
        if (gmeans) shift += gmeans[row] / length;
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            A g = read(gy, start + i);
            if (w) g *= read(w, weight_of(row, i, sets, together, inner));
            write(gx, start + i, g * inverse + (read(x, start + i) - mean) * slope + shift);
        }
    }
}

// gw = sum of gy h and gb = sum of gy over the rows, for inner = 1: a block takes 32 columns of some of the rows,
// `parts` blocks share a column, and each leaves its sums in a row of its own.
extern "C" __global__ void column_sums(const T* __restrict__ gy, const T* __restrict__ x, const A* __restrict__ means, const A* __restrict__ variances, A* __restrict__ gw, A* __restrict__ gb, I rows, I columns, I parts, A eps) {
    __shared__ A products[8][33], totals[8][33];
    I tiles = (columns + 31) / 32;
    I tile = blockIdx.x % tiles, part = blockIdx.x / tiles;
    int lane = threadIdx.x % 32, line = threadIdx.x / 32;
    I column = tile * 32 + lane;
    A product = 0, total = 0;
    if (column < columns) {
        for (I row = part * 8 + line; row < rows; row += parts * 8) {
            A g = read(gy, row * columns + column);
            total += g;
            if (gw) {
                A z = read(x, row * columns + column);
                if (means) z -= means[row];
                product += g * z / sqrt(variances[row] + eps);
            }
        }
    }
    products[line][lane] = product;
    totals[line][lane] = total;
    __syncthreads();
    if (line == 0 && column < columns) {
        for (int k = 1; k < 8; ++k) {
            product += products[k][lane];
            total += totals[k][lane];
        }
        if (gw) gw[part * columns + column] = product;
        if (gb) gb[part * columns + column] = total;
    }
}

// The sums over the parts that `column_sums` left, in the order of the parts.
extern "C" __global__ void sum_of_parts(const A* __restrict__ parts_w, const A* __restrict__ parts_b, T* __restrict__ gw, T* __restrict__ gb, I columns, I parts) {
    FOR_ALL(column, columns) {
        A product = 0, total = 0;
        for (I part = 0; part < parts; ++part) {
            if (gw) product += parts_w[part * columns + column];
            if (gb) total += parts_b[part * columns + column];
        }
        if (gw) write(gw, column, product);
        if (gb) write(gb, column, total);
    }
}

// The same for group norm: a block takes a channel.
extern "C" __global__ void channel_sums(const T* __restrict__ gy, const T* __restrict__ x, const A* __restrict__ means, const A* __restrict__ variances, T* __restrict__ gw, T* __restrict__ gb, I samples, I sets, I together, I inner, A eps) {
    I channels = sets * together;
    for (I channel = blockIdx.x; channel < channels; channel += gridDim.x) {
        A product = 0, total = 0;
        for (I i = threadIdx.x; i < samples * inner; i += blockDim.x) {
            I sample = i / inner, row = sample * sets + channel / together;
            I place = (sample * channels + channel) * inner + i % inner;
            A g = read(gy, place);
            total += g;
            product += g * (read(x, place) - means[row]) / sqrt(variances[row] + eps);
        }
        product = block_sum(product);
        total = block_sum(total);
        if (threadIdx.x == 0) {
            if (gw) write(gw, channel, product);
            if (gb) write(gb, channel, total);
        }
    }
}
