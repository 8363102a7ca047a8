// Functions of many arrays in one launch. A row of the table is an array: the number of the first chunk behind it, its
// size, its offset in the results, and its address. A block takes a chunk.

struct Piece {
    const T* from;
    I start, end, offset;
};

__device__ __forceinline__ Piece piece_of(const long long* __restrict__ table, int rows, int chunk) {
    int low = 0, high = rows - 1;  // the first row that ends behind this block's chunk
    while (low < high) {
        int middle = (low + high) / 2;
        if (table[(I)middle * 4] > blockIdx.x) high = middle;
        else low = middle + 1;
    }
    const long long* row = table + (I)low * 4;
    long long first_chunk = low ? row[-4] : 0;
    I size = (I)row[1], start = (I)(blockIdx.x - first_chunk) * chunk;
    return {(const T*)row[3], start, size - start < chunk ? size : start + chunk, (I)row[2]};
}

enum Norm { SQUARES, LARGEST, SIZES, POWERS };

// What each block's elements add to a norm: the sum of their powers, or the largest.
extern "C" __global__ void norm_parts(const long long* __restrict__ table, int rows, int chunk, A* __restrict__ parts, int kind, A order) {
    Piece piece = piece_of(table, rows, chunk);
    A sum = 0;
    for (I i = piece.start + threadIdx.x; i < piece.end; i += blockDim.x) {
        A v = read(piece.from, i), size = v < 0 ? -v : v;
        if (kind == LARGEST) sum = larger(sum, size);
        else sum += kind == SQUARES ? v * v : kind == SIZES ? size : pow(size, order);
    }
    sum = kind == LARGEST ? block_max(sum) : block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// The norm of all parts, by one block.
extern "C" __global__ void norm_of_parts(const A* __restrict__ parts, A* __restrict__ norm, I count, int kind, A order) {
    A sum = 0;
    for (I i = threadIdx.x; i < count; i += blockDim.x) sum = kind == LARGEST ? larger(sum, parts[i]) : sum + parts[i];
    sum = kind == LARGEST ? block_max(sum) : block_sum(sum);
    if (threadIdx.x == 0) norm[0] = kind == SQUARES ? sqrt(sum) : kind == POWERS ? pow(sum, 1 / order) : sum;
}

extern "C" __global__ void scaled_to_norm(const long long* __restrict__ table, int rows, int chunk, T* __restrict__ to, const A* __restrict__ norm, A most) {
    Piece piece = piece_of(table, rows, chunk);
    A factor = smaller(most / (norm[0] + (A)1e-6), 1);
    for (I i = piece.start + threadIdx.x; i < piece.end; i += blockDim.x) write(to, piece.offset + i, read(piece.from, i) * factor);
}

// `finite` is true before; of the blocks that find an element which is not, each writes the same.
extern "C" __global__ void unscaled(const long long* __restrict__ table, int rows, int chunk, T* __restrict__ to, unsigned char* __restrict__ finite, A factor) {
    Piece piece = piece_of(table, rows, chunk);
    for (I i = piece.start + threadIdx.x; i < piece.end; i += blockDim.x) {
        A v = read(piece.from, i);
        if (v - v != 0) *finite = 0;
        write(to, piece.offset + i, v * factor);
    }
}
