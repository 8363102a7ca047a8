// The gradient of a table of rows that were looked up: a block takes a row of the table and adds the values of
// all places that name it, in their order, so that the sum is the same from run to run.

extern "C" __global__ void sum_into_rows(const T* __restrict__ values, const long long* __restrict__ indices, T* __restrict__ table, I count, I rows, I length) {
    __shared__ long long names[256];
    for (I row = blockIdx.x; row < rows; row += gridDim.x) {
        for (I start = 0; start < length; start += blockDim.x) {
            I column = start + threadIdx.x;
            A total = 0;
            for (I first = 0; first < count; first += 256) {
                I here = count - first < 256 ? count - first : 256;
                __syncthreads();
                for (I k = threadIdx.x; k < here; k += blockDim.x) names[k] = indices[first + k];
                __syncthreads();
                for (I k = 0; k < here; ++k)
                    if ((names[k] == row || names[k] + rows == row) && column < length)
                        total += read(values, (first + k) * length + column);
            }
            if (column < length) write(table, row * length + column, total);
        }
    }
}
