// Softmax and its logarithm of x (outer, length, inner) along the middle axis. A block takes a row.

__device__ __forceinline__ A row_max(const T* __restrict__ x, I start, I length, I step) {
    A peak = -infinite();
    for (I i = threadIdx.x; i < length; i += blockDim.x) peak = larger(peak, read(x, start + i * step));
    return block_max(peak);
}

extern "C" __global__ void softmax(const T* __restrict__ x, T* __restrict__ y, I rows, I length, I inner, int logarithm) {
    for (I row = blockIdx.x; row < rows; row += gridDim.x) {
        I start = row / inner * length * inner + row % inner;
        A peak = row_max(x, start, length, inner), total = 0;
        for (I i = threadIdx.x; i < length; i += blockDim.x) total += exp(read(x, start + i * inner) - peak);
        total = block_sum(total);
        A log_total = logarithm ? log(total) : 0;
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            A z = read(x, start + i * inner) - peak;
            write(y, start + i * inner, logarithm ? z - log_total : exp(z) / total);
        }
    }
}

extern "C" __global__ void softmax_input(const T* __restrict__ gy, const T* __restrict__ y, T* __restrict__ gx, I rows, I length, I inner, int logarithm) {
    for (I row = blockIdx.x; row < rows; row += gridDim.x) {
        I start = row / inner * length * inner + row % inner;
        A total = 0;
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            I k = start + i * inner;
            total += logarithm ? read(gy, k) : read(gy, k) * read(y, k);
        }
        total = block_sum(total);
        for (I i = threadIdx.x; i < length; i += blockDim.x) {
            I k = start + i * inner;
            A p = read(y, k), g = read(gy, k);
            write(gx, k, logarithm ? g - exp(p) * total : p * (g - total));
        }
    }
}
