// Attention, a tile of queries and a tile of keys at a time, so that the scores of all never lie in memory:
//   S = scale q k^T + mask     P = e^(S - L)     y = (P m) v     L the logarithm of the sum of e^S over the keys
// with m 0 or `factor` by dropout. Forward, the largest score and the sum of a query go on from tile to tile, and
// what was summed up under a smaller largest score is shrunk. Backward, P is made again of L:
//   gS = P (gy v^T m - shift)     gq = scale gS k     gk = scale gS^T q     gv = (P m)^T gy     shift = sum gy y - gL
//
// Arrays are (N, H, steps, features). Features lie side by side; how far apart the rest lies is given for each array.
// Thread (i, j) of 16 x 16 has of a tile the rows i, i + 16 ... and the columns j, j + 16 ...

enum Tiling {
    TILE = sizeof(A) == 8 ? 32 : 64,  // queries, and keys: as many as shared memory has room for
    SLICE = 32,                       // features that are there at a time
    SIDE = 16,
    EACH = TILE / SIDE,               // rows and columns of a thread
    PARTS = SLICE / SIDE,             // its columns of a slice
    SLICES = 4,                       // of 128 features, the most
    THREADS = SIDE * SIDE,
    LANES = THREADS / TILE            // threads that share a row of the softmax
};

struct Tiles {
    A left[TILE][SLICE + 1], right[TILE][SLICE + 1];
    A weights[TILE][TILE + 4];  // so that the threads of a warp in the softmax read from different banks
};

// The rows of one head: queries, keys, values or gradients.
struct Steps {
    const T* elements;
    I start, step, count;
    int features;
};

// How far apart an array's sequences, heads and steps are, as a kernel takes it.
#define APART(x) I x##_n, I x##_h, I x##_t
#define START(x) (n * x##_n + h * x##_h)

__device__ __forceinline__ void load(A (*to)[SLICE + 1], const Steps& x, I first, int feature, A scale) {
    int column = threadIdx.x % SLICE;
    for (int row = threadIdx.x / SLICE; row < TILE; row += THREADS / SLICE) {
        bool within = first + row < x.count && feature + column < x.features;
        to[row][column] = within ? read(x.elements, x.start + (first + row) * x.step + feature + column) * scale : 0;
    }
}

// s += scale a b^T, of the tiles that begin at two steps.
__device__ __forceinline__ void add_products(A (&s)[EACH][EACH], Tiles& tiles, const Steps& a, I first_a, const Steps& b, I first_b, A scale) {
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    for (int feature = 0; feature < a.features; feature += SLICE) {
        __syncthreads();  // what lies there may still be read
        load(tiles.left, a, first_a, feature, scale);
        load(tiles.right, b, first_b, feature, 1);
        __syncthreads();
        for (int e = 0; e < SLICE; ++e) {
            A left[EACH], right[EACH];
#pragma unroll
            for (int i = 0; i < EACH; ++i) left[i] = tiles.left[y + SIDE * i][e], right[i] = tiles.right[x + SIDE * i][e];
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) s[i][j] += left[i] * right[j];
        }
    }
}

// sums += w b, with w the weights in shared memory, or w^T b.
template <bool transposed>
__device__ __forceinline__ void add_weighted(A (&sums)[SLICES][EACH][PARTS], Tiles& tiles, const Steps& b, I first) {
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
#pragma unroll
    for (int slice = 0; slice < SLICES; ++slice) {
        if (slice * SLICE < b.features) {
            __syncthreads();
            load(tiles.right, b, first, slice * SLICE, 1);
            __syncthreads();
            for (int k = 0; k < TILE; ++k) {
                A weight[EACH];
#pragma unroll
                for (int i = 0; i < EACH; ++i) weight[i] = transposed ? tiles.weights[k][y + SIDE * i] : tiles.weights[y + SIDE * i][k];
#pragma unroll
                for (int j = 0; j < PARTS; ++j) {
                    A value = tiles.right[k][x + SIDE * j];
#pragma unroll
                    for (int i = 0; i < EACH; ++i) sums[slice][i][j] += weight[i] * value;
                }
            }
        }
    }
}

// Sums to their places, times `scale`.
__device__ __forceinline__ void store(const A (&sums)[SLICES][EACH][PARTS], T* to, I start, I step, I first, I count, int features, A scale) {
    int x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
#pragma unroll
    for (int slice = 0; slice < SLICES; ++slice)
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int j = 0; j < PARTS; ++j) {
                I row = first + y + SIDE * i;
                int column = slice * SLICE + x + SIDE * j;
                if (row < count && column < features) write(to, start + row * step + column, sums[slice][i][j] * scale);
            }
}

// What is known of the scores of one head beside queries and keys.
struct Scores {
    const T* mask;
    const unsigned char* keep;
    I mask_start, mask_t, mask_s, keep_start, queries, keys;
    int causal;
    A factor;

    // A score with its mask; a key that is hidden, or that there is none of, has minus infinity.
    __device__ __forceinline__ A seen(A s, I query, I key) const {
        if (query >= queries || key >= keys || (causal && key > query)) return -infinite();
        return mask ? s + read(mask, mask_start + query * mask_t + key * mask_s) : s;
    }

    // What dropout multiplies a weight by.
    __device__ __forceinline__ A kept(I query, I key) const {
        if (!keep || query >= queries || key >= keys) return 1;
        return keep[keep_start + query * keys + key] ? factor : 0;
    }
};

#define SCORES Scores scores = {mask, keep, n * mask_n + h * mask_h, mask_t, mask_s, keep ? head * queries * keys : 0, queries, keys, causal, factor}

// A block takes a tile of queries of one head, of which those that see most keys come first.
extern "C" __global__ void attention(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ mask, const unsigned char* __restrict__ keep, T* __restrict__ y, A* __restrict__ log_totals, I heads, I queries, I keys, int features, int values, APART(q), APART(k), APART(v), I mask_n, I mask_h, I mask_t, I mask_s, APART(y), int causal, A scale, A factor) {
    __shared__ Tiles tiles;
    __shared__ A of_row[TILE];
    I all = (queries + TILE - 1) / TILE, head = blockIdx.x / all, first = (all - 1 - blockIdx.x % all) * TILE;
    I n = head / heads, h = head % heads;
    Steps of_q = {q, START(q), q_t, queries, features}, of_k = {k, START(k), k_t, keys, features}, of_v = {v, START(v), v_t, keys, values};
    SCORES;
    int column = threadIdx.x % SIDE, line = threadIdx.x / SIDE, row = threadIdx.x / LANES, lane = threadIdx.x % LANES;

    A sums[SLICES][EACH][PARTS] = {};
    A peak = -infinite(), total = 0;  // of the row that this thread has a part of
    I end = causal && first + TILE < keys ? first + TILE : keys;
    for (I key = 0; key < end; key += TILE) {
        A s[EACH][EACH] = {};
        add_products(s, tiles, of_q, first, of_k, key, scale);
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                int at = line + SIDE * i, to = column + SIDE * j;
                tiles.weights[at][to] = scores.seen(s[i][j], first + at, key + to);
            }
        __syncthreads();
        A top = peak, more = 0;
        for (int c = lane; c < TILE; c += LANES) top = larger(top, tiles.weights[row][c]);
        for (int d = LANES / 2; d; d >>= 1) top = larger(top, __shfl_xor_sync(0xFFFFFFFFu, top, d));
        A base = top == -infinite() ? 0 : top;
        for (int c = lane; c < TILE; c += LANES) {
            A p = exp(tiles.weights[row][c] - base);
            more += p;
            tiles.weights[row][c] = p * scores.kept(first + row, key + c);
        }
        for (int d = LANES / 2; d; d >>= 1) more += __shfl_xor_sync(0xFFFFFFFFu, more, d);
        A shrink = exp(peak - base);
        total = total * shrink + more;
        peak = top;
        if (lane == 0) of_row[row] = shrink;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            A shrunk = of_row[line + SIDE * i];
#pragma unroll
            for (int slice = 0; slice < SLICES; ++slice)
#pragma unroll
                for (int j = 0; j < PARTS; ++j) sums[slice][i][j] *= shrunk;
        }
        add_weighted<false>(sums, tiles, of_v, key);
    }
    if (total == 0) total = 1;  // no key is seen
    if (lane == 0) {
        of_row[row] = total;
        if (first + row < queries) log_totals[head * queries + first + row] = (peak == -infinite() ? 0 : peak) + log(total);
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        A whole = of_row[line + SIDE * i];
#pragma unroll
        for (int slice = 0; slice < SLICES; ++slice)
#pragma unroll
            for (int j = 0; j < PARTS; ++j) sums[slice][i][j] /= whole;
    }
    store(sums, y, START(y), y_t, first, queries, values, 1);
}

// shift = sum gy y - gL, a number for a query. It is summed up in the order of gy v^T, from which it is subtracted: where
// one key has all the weight, y is its value, and nothing is left.
extern "C" __global__ void attention_shifts(const T* __restrict__ gy, const T* __restrict__ y, const A* __restrict__ glogs, A* __restrict__ shifts, I heads, I queries, I count, int values, APART(gy), APART(y)) {
    FOR_ALL(query, count) {
        I head = query / queries, t = query % queries, n = head / heads, h = head % heads;
        A shift = 0;
        for (int e = 0; e < values; ++e) shift += read(gy, START(gy) + t * gy_t + e) * read(y, START(y) + t * y_t + e);
        shifts[query] = glogs ? shift - glogs[query] : shift;
    }
}

// Of a tile, the weights P m and the gradients of the scores, which take the places of the scores and of gy v^T.
__device__ __forceinline__ void weights_and_gradients(A (&p)[EACH][EACH], A (&g)[EACH][EACH], const Scores& scores, const A* __restrict__ log_totals, const A* __restrict__ shifts, I start, I query, I key) {
    int column = threadIdx.x % SIDE, line = threadIdx.x / SIDE;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        I t = query + line + SIDE * i;
        bool within = t < scores.queries;
        A log_total = within ? log_totals[start + t] : 0, shift = within ? shifts[start + t] : 0;
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
            I s = key + column + SIDE * j;
            A kept = scores.kept(t, s), weight = exp(scores.seen(p[i][j], t, s) - log_total);
            p[i][j] = weight * kept;
            g[i][j] = weight == 0 ? 0 : weight * (g[i][j] * kept - shift);  // the value of a hidden key may be infinite
        }
    }
}

__device__ __forceinline__ void show(const A (&w)[EACH][EACH], Tiles& tiles) {
    int column = threadIdx.x % SIDE, line = threadIdx.x / SIDE;
#pragma unroll
    for (int i = 0; i < EACH; ++i)
#pragma unroll
        for (int j = 0; j < EACH; ++j) tiles.weights[line + SIDE * i][column + SIDE * j] = w[i][j];
}

// gq, a tile of queries for a block, and the gradients of all scores if there is room for them.
extern "C" __global__ void attention_queries(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ mask, const unsigned char* __restrict__ keep, const T* __restrict__ gy, const A* __restrict__ log_totals, const A* __restrict__ shifts, T* __restrict__ gq, A* __restrict__ gscores, I heads, I queries, I keys, int features, int values, APART(q), APART(k), APART(v), I mask_n, I mask_h, I mask_t, I mask_s, APART(gy), APART(gq), int causal, A scale, A factor) {
    __shared__ Tiles tiles;
    I all = (queries + TILE - 1) / TILE, head = blockIdx.x / all, first = (all - 1 - blockIdx.x % all) * TILE;
    I n = head / heads, h = head % heads;
    Steps of_q = {q, START(q), q_t, queries, features}, of_k = {k, START(k), k_t, keys, features}, of_v = {v, START(v), v_t, keys, values}, of_y = {gy, START(gy), gy_t, queries, values};
    SCORES;
    int column = threadIdx.x % SIDE, line = threadIdx.x / SIDE;

    A sums[SLICES][EACH][PARTS] = {};
    I end = causal && !gscores && first + TILE < keys ? first + TILE : keys;
    for (I key = 0; key < end; key += TILE) {
        A p[EACH][EACH] = {}, g[EACH][EACH] = {};
        add_products(p, tiles, of_q, first, of_k, key, scale);
        add_products(g, tiles, of_y, first, of_v, key, 1);
        weights_and_gradients(p, g, scores, log_totals, shifts, head * queries, first, key);
        if (gscores) {
#pragma unroll
            for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) {
                    I t = first + line + SIDE * i, s = key + column + SIDE * j;
                    if (t < queries && s < keys) gscores[(head * queries + t) * keys + s] = g[i][j];
                }
        }
        if (gq) {
            show(g, tiles);
            add_weighted<false>(sums, tiles, of_k, key);
        }
    }
    if (gq) store(sums, gq, START(gq), gq_t, first, queries, features, scale);
}

// gk and gv, a tile of keys for a block.
extern "C" __global__ void attention_keys(const T* __restrict__ q, const T* __restrict__ k, const T* __restrict__ v, const T* __restrict__ mask, const unsigned char* __restrict__ keep, const T* __restrict__ gy, const A* __restrict__ log_totals, const A* __restrict__ shifts, T* __restrict__ gk, T* __restrict__ gv, I heads, I queries, I keys, int features, int values, APART(q), APART(k), APART(v), I mask_n, I mask_h, I mask_t, I mask_s, APART(gy), APART(gk), APART(gv), int causal, A scale, A factor) {
    __shared__ Tiles tiles;
    I all = (keys + TILE - 1) / TILE, head = blockIdx.x / all, first = blockIdx.x % all * TILE;
    I n = head / heads, h = head % heads;
    Steps of_q = {q, START(q), q_t, queries, features}, of_k = {k, START(k), k_t, keys, features}, of_v = {v, START(v), v_t, keys, values}, of_y = {gy, START(gy), gy_t, queries, values};
    SCORES;

    A to_k[SLICES][EACH][PARTS] = {}, to_v[SLICES][EACH][PARTS] = {};
    for (I query = causal ? first : 0; query < queries; query += TILE) {
        A p[EACH][EACH] = {}, g[EACH][EACH] = {};
        add_products(p, tiles, of_q, query, of_k, first, scale);
        add_products(g, tiles, of_y, query, of_v, first, 1);
        weights_and_gradients(p, g, scores, log_totals, shifts, head * queries, query, first);
        if (gv) {
            show(p, tiles);
            add_weighted<true>(to_v, tiles, of_y, query);
            __syncthreads();
        }
        if (gk) {
            show(g, tiles);
            add_weighted<true>(to_k, tiles, of_q, query);
        }
    }
    if (gk) store(to_k, gk, START(gk), gk_t, first, keys, features, scale);
    if (gv) store(to_v, gv, START(gv), gv_t, first, keys, values, 1);
}
