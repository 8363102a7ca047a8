// One step of an optimizer for all parameters of a group, in one launch. The places of capitals in angle brackets
// are filled in from the optimizer's formula (see expressions.py).
//
// A row of the table is a parameter: the number of the first chunk behind it, its size, its offset in the results,
// and the addresses of its arrays and numbers. A block takes a chunk. What is the same for all elements of a
// parameter, such as the corrections of bias, is computed by one thread, in double precision.

extern "C" __global__ void update(const long long* __restrict__ table, int rows, <PARAMETERS>) {
    int low = 0, high = rows - 1;  // the first row that ends behind this block's chunk
    while (low < high) {
        int middle = (low + high) / 2;
        if (table[(I)middle * <WIDTH>] > blockIdx.x) high = middle;
        else low = middle + 1;
    }
    const long long* row = table + (I)low * <WIDTH>;
    long long first_chunk = low ? row[-<WIDTH>] : 0;
    I size = (I)row[1], offset = (I)row[2];
    <ADDRESSES>

    __shared__ A uniform[<UNIFORMS>];
    if (threadIdx.x == 0) {
        <ONCE>
        if (blockIdx.x == first_chunk) {
            <NUMBERS>
        }
    }
    __syncthreads();

    I start = (I)(blockIdx.x - first_chunk) * <CHUNK>;
    I end = size - start < <CHUNK> ? size : start + <CHUNK>;
    for (I i = start + threadIdx.x; i < end; i += blockDim.x) {
        <BODY>
    }
}
