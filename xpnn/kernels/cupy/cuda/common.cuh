// What the sources of all kernels begin with. Before it stand the definitions of
//   XP_T  the type of elements in memory: float, double, Half or BFloat16
//   XP_A  the type that is computed in: double for double, else float
//   XP_I  the type of indices: int, or long long for arrays of 2^31 elements and more
// No header is included, so that NVRTC needs none.

#ifdef ON_CPU  // the shim beside the tests has these
typedef on_cpu::Half16 Half;
typedef on_cpu::Brain16 BFloat16;
#else
struct BFloat16 {
    unsigned short bits;
};
struct Half {
    unsigned short bits;
};
__device__ __forceinline__ float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
__device__ __forceinline__ unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

// bfloat16 is the first half of a float, rounded to even.
__device__ __forceinline__ unsigned short float_to_bfloat16(float value) {
    unsigned word = __float_as_uint(value);
    if (value != value) return word >> 16 | 0x40;  // which stays one, whatever is cut off
    return (word + 0x7FFF + (word >> 16 & 1)) >> 16;
}

typedef XP_T T;
typedef XP_A A;
typedef XP_I I;

// A loop over the numbers below `count`, which all threads of the grid share.
#define FOR_ALL(i, count) for (I i = (I)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (I)gridDim.x * blockDim.x)

__device__ __forceinline__ float read(const float* __restrict__ p, I i) { return p[i]; }
__device__ __forceinline__ double read(const double* __restrict__ p, I i) { return p[i]; }
__device__ __forceinline__ float read(const Half* __restrict__ p, I i) { return half_to_float(p[i].bits); }
__device__ __forceinline__ float read(const BFloat16* __restrict__ p, I i) { return __uint_as_float((unsigned)p[i].bits << 16); }
__device__ __forceinline__ void write(float* p, I i, float v) { p[i] = v; }
__device__ __forceinline__ void write(double* p, I i, double v) { p[i] = v; }
__device__ __forceinline__ void write(Half* p, I i, float v) { p[i].bits = float_to_half(v); }
__device__ __forceinline__ void write(BFloat16* p, I i, float v) { p[i].bits = float_to_bfloat16(v); }

__device__ __forceinline__ A infinite() {
    return (A)(1e308 * 10);
}

// Of two numbers; NaN if one is.
__device__ __forceinline__ A larger(A a, A b) { return a != a || a > b ? a : b; }
__device__ __forceinline__ A smaller(A a, A b) { return a != a || a < b ? a : b; }

__device__ __forceinline__ A warp_sum(A v) {
    for (int d = 16; d; d >>= 1) v += __shfl_xor_sync(0xFFFFFFFFu, v, d);
    return v;
}

__device__ __forceinline__ A warp_max(A v) {
    for (int d = 16; d; d >>= 1) v = larger(v, __shfl_xor_sync(0xFFFFFFFFu, v, d));
    return v;
}

// Over a block of whole warps, the same for all of its threads.
__device__ __forceinline__ A block_sum(A v) {
    __shared__ A parts[32];
    v = warp_sum(v);
    int warps = blockDim.x / 32;
    if (warps == 1) return v;
    __syncthreads();  // a former sum may still be read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = 0;
    for (int k = 0; k < warps; ++k) v += parts[k];
    return v;
}

__device__ __forceinline__ A block_max(A v) {
    __shared__ A parts[32];
    v = warp_max(v);
    int warps = blockDim.x / 32;
    if (warps == 1) return v;
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = parts[0];
    for (int k = 1; k < warps; ++k) v = larger(v, parts[k]);
    return v;
}
