// What CUDA C++ has and C++ has not, so that g++ compiles the sources of kernels, and a CPU runs them.
//
// The threads of a block are fibers of one thread of the CPU, which change places at barriers only. So a
// forgotten __syncthreads() gives wrong results every time, and barriers that not all threads reach are errors.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <utility>
#include <type_traits>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define ON_CPU 1
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local

using std::abs; using std::ceil; using std::exp; using std::expm1; using std::erf; using std::erfc;
using std::floor; using std::fmod; using std::log; using std::log1p; using std::pow; using std::rint;
using std::sqrt; using std::tanh; using std::trunc; using std::sin; using std::cos; using std::isnan;

struct dim3 {
    unsigned x, y, z;
};

static thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace on_cpu {

enum State { UNSTARTED, READY, AT_BLOCK, AT_WARP, DONE };
enum Error { NONE, PARTED_AT_BARRIER, PARTED_AT_SHUFFLE, NO_MEMORY };

constexpr int WARP = 32, MOST_THREADS = 1024;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t STACK = 256 * 1024;
#else
constexpr size_t STACK = 64 * 1024;
#endif

struct Body {
    virtual void run() = 0;
};

struct Fiber {
    ucontext_t context;
    char* stack;
};

struct Block {
    Fiber fibers[MOST_THREADS];
    int made = 0, used = 0;           // fibers that have a stack, and that run threads of this block
    Fiber* fiber_of[MOST_THREADS];    // of threads that wait
    State states[MOST_THREADS];
    unsigned char turns[MOST_THREADS];  // which of the two exchanges a thread's next shuffle takes
    unsigned long long exchange[2][MOST_THREADS];
    int threads = 0, current = 0, end_of_warp = 0;
    Body* body = nullptr;
    ucontext_t scheduler;
    const void* scheduler_stack = nullptr;
    size_t scheduler_size = 0;
};

static thread_local Block* block = nullptr;

static void place(int t) {
    block->current = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

static void to_scheduler(Fiber* fiber, bool ends) {
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(ends ? nullptr : &fake, block->scheduler_stack, block->scheduler_size);
    swapcontext(&fiber->context, &block->scheduler);
    __sanitizer_finish_switch_fiber(fake, &block->scheduler_stack, &block->scheduler_size);
#else
    swapcontext(&fiber->context, &block->scheduler);
#endif
}

// A fiber runs one thread after the other, until one waits: then the scheduler gives the rest to another fiber.
static void run_threads() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &block->scheduler_stack, &block->scheduler_size);
#endif
    Fiber* self = block->fiber_of[block->current];
    for (int t = block->current; ; ++t) {
        while (t < block->end_of_warp && block->states[t] != UNSTARTED) ++t;
        if (t >= block->end_of_warp) break;
        place(t);
        block->fiber_of[t] = self;
        block->states[t] = READY;
        block->body->run();
        block->states[block->current] = DONE;
        t = block->current;
    }
    to_scheduler(self, true);
}

static bool enter(int t) {
    if (block->states[t] == UNSTARTED) {
        if (block->used == block->made) {
            Fiber& fresh = block->fibers[block->made];
            fresh.stack = static_cast<char*>(std::malloc(STACK));
            if (!fresh.stack) return false;
            ++block->made;
        }
        Fiber* fiber = &block->fibers[block->used++];
        getcontext(&fiber->context);
        fiber->context.uc_stack.ss_sp = fiber->stack;
        fiber->context.uc_stack.ss_size = STACK;
        fiber->context.uc_link = nullptr;
        makecontext(&fiber->context, run_threads, 0);
        block->fiber_of[t] = fiber;
    }
    Fiber* fiber = block->fiber_of[t];
    if (block->states[t] != UNSTARTED) block->states[t] = READY;
    place(t);
#if defined(__SANITIZE_ADDRESS__)
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, fiber->stack, STACK);
    swapcontext(&block->scheduler, &fiber->context);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    swapcontext(&block->scheduler, &fiber->context);
#endif
    return true;
}

static void wait_at(State barrier) {
    int t = block->current;
    Fiber* fiber = block->fiber_of[t];
    block->states[t] = barrier;
    to_scheduler(fiber, false);
    place(t);
}

static Error run_block() {
    block->used = 0;
    for (int t = 0; t < block->threads; ++t) block->states[t] = UNSTARTED, block->turns[t] = 0;
    for (;;) {
        for (int first = 0; first < block->threads; first += WARP) {
            int end = first + WARP < block->threads ? first + WARP : block->threads;
            block->end_of_warp = end;
            for (bool again = true; again;) {
                for (int t = first; t < end; ++t)
                    if (block->states[t] == UNSTARTED || block->states[t] == READY)
                        if (!enter(t)) return NO_MEMORY;
                int shuffling = 0;
                for (int t = first; t < end; ++t) shuffling += block->states[t] == AT_WARP;
                if (shuffling && shuffling != WARP) return PARTED_AT_SHUFFLE;
                again = shuffling != 0;
                for (int t = first; again && t < end; ++t) block->states[t] = READY;
            }
        }
        int done = 0;
        for (int t = 0; t < block->threads; ++t) done += block->states[t] == DONE;
        if (done == block->threads) return NONE;
        if (done) return PARTED_AT_BARRIER;
        for (int t = 0; t < block->threads; ++t) block->states[t] = READY;
    }
}

template <class F> int launch(dim3 grid, dim3 size, F body) {
    struct Call : Body {
        F& function;
        explicit Call(F& f) : function(f) {}
        void run() override { function(); }
    } call(body);
    if (!block) block = new Block;
    block->body = &call;
    block->threads = size.x * size.y * size.z;
    gridDim = grid;
    blockDim = size;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                blockIdx = {x, y, z};
                if (Error error = run_block()) return error;
            }
    return NONE;
}

template <class V> V exchanged(V value, int lane) {
    int t = block->current, turn = block->turns[t] ^= 1;
    static_assert(sizeof(V) <= sizeof(unsigned long long), "shuffles move numbers");
    std::memcpy(&block->exchange[turn][t], &value, sizeof value);
    wait_at(AT_WARP);
    std::memcpy(&value, &block->exchange[turn][t / WARP * WARP + lane], sizeof value);
    return value;
}

// ---- how a kernel takes its arguments: '*' for a pointer, '&' for one that is not written to, ' ' for a number,
// each with the letter of numpy.dtype.char ----

template <class V> struct Letter;
template <> struct Letter<float> { static constexpr char value = 'f'; };
template <> struct Letter<double> { static constexpr char value = 'd'; };
template <> struct Letter<int> { static constexpr char value = 'i'; };
template <> struct Letter<unsigned> { static constexpr char value = 'I'; };
template <> struct Letter<long long> { static constexpr char value = 'l'; };
template <> struct Letter<unsigned long long> { static constexpr char value = 'L'; };
template <> struct Letter<unsigned char> { static constexpr char value = '?'; };
template <class V> struct Letter<const V> : Letter<V> {};
struct Half16 {
    unsigned short bits;
};
template <> struct Letter<Half16> { static constexpr char value = 'e'; };
struct Brain16 {
    unsigned short bits;
};
template <> struct Letter<Brain16> { static constexpr char value = 'E'; };

template <class V> struct Taken { static constexpr char value[3] = {' ', Letter<V>::value, 0}; };
template <class V> struct Taken<V*> { static constexpr char value[3] = {'*', Letter<V>::value, 0}; };
template <class V> struct Taken<const V*> { static constexpr char value[3] = {'&', Letter<V>::value, 0}; };

template <class... P, size_t... K>
int run_with(void (*kernel)(P...), unsigned* g, unsigned* b, void** args, std::index_sequence<K...>) {
    auto call = [&] { kernel(*static_cast<std::remove_const_t<P>*>(args[K])...); };
    return launch({g[0], g[1], g[2]}, {b[0], b[1], b[2]}, call);
}

template <class... P> int run(void (*kernel)(P...), unsigned* g, unsigned* b, void** args) {
    return run_with(kernel, g, b, args, std::index_sequence_for<P...>());
}

template <class... P> const char* signature(void (*)(P...)) {
    static char text[2 * sizeof...(P) + 1];
    char* end = text;
    for (const char* taken : {Taken<P>::value...}) *end++ = taken[0], *end++ = taken[1];
    return text;
}

}  // namespace on_cpu

inline void __syncthreads() { on_cpu::wait_at(on_cpu::AT_BLOCK); }
template <class V> V __shfl_xor_sync(unsigned, V value, int mask) {
    return on_cpu::exchanged(value, (on_cpu::block->current % 32) ^ mask);
}

inline unsigned __float_as_uint(float value) {
    unsigned word;
    std::memcpy(&word, &value, 4);
    return word;
}

inline float __uint_as_float(unsigned word) {
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

// ---- half precision, which the sources convert by instructions of the GPU ----

inline float half_to_float(unsigned short bits) {
    unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    unsigned word;
    if (exponent == 31) word = sign | 0x7F800000u | fraction << 13;
    else if (exponent) word = sign | (exponent + 112) << 23 | fraction << 13;
    else {
        float value = std::ldexp(static_cast<float>(fraction), -24);
        return sign ? -value : value;
    }
    float value;
    std::memcpy(&value, &word, 4);
    return value;
}

inline unsigned short float_to_half(float value) {
    unsigned word;
    std::memcpy(&word, &value, 4);
    unsigned short sign = word >> 16 & 0x8000;
    if (value != value) return sign | 0x7E00;
    float size = std::fabs(value);
    if (size == 0.0f) return sign;
    if (size >= 65520.0f) return sign | 0x7C00;
    int exponent;
    std::frexp(size, &exponent);
    int place = exponent - 11 > -24 ? exponent - 11 : -24;  // of the last bit that half precision keeps
    float units = std::nearbyint(std::ldexp(size, -place));
    if (place == -24) return sign | static_cast<unsigned short>(units);
    if (units == 2048.0f) units = 1024.0f, ++place;
    return sign | static_cast<unsigned short>((place + 25) << 10 | (static_cast<int>(units) - 1024));
}
