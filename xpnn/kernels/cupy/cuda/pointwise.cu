// A formula over elements, each of which is read and written once. The places of capitals in angle brackets are
// filled in from the formula (see expressions.py).

extern "C" __global__ void <NAME>(<PARAMETERS>, I size) {
    I stride = (I)gridDim.x * blockDim.x;
    for (I i = (I)blockIdx.x * blockDim.x + threadIdx.x; i < size; i += stride) {
        <BODY>
    }
}
