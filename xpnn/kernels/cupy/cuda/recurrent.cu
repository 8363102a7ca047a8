// The cells of recurrences: what a step does beside its product with the state. A thread takes a unit of a sample.
// Of x the kernels are given the part that is made of the input, biases included, (batch, gates * units); of h the
// product of the state with its weights, of the same shape, or null for a step whose state has none.

__device__ __forceinline__ A sigmoid(A x) {
    A decay = exp(x < 0 ? x : -x);
    return (x < 0 ? decay : 1) / (1 + decay);
}

__device__ __forceinline__ A or_zero(const T* __restrict__ p, I i) { return p ? read(p, i) : 0; }

extern "C" __global__ void rnn_cell(const T* __restrict__ x, const T* __restrict__ h, const T* __restrict__ b, T* __restrict__ state, I batch, I units, int relu) {
    FOR_ALL(i, batch * units) {
        A z = read(x, i) + read(h, i) + or_zero(b, i % units);
        write(state, i, relu ? larger(z, 0) : tanh(z));
    }
}

// gz = f' (gh from above + gh from the next step)
extern "C" __global__ void rnn_cell_back(const T* __restrict__ above, const T* __restrict__ next, const T* __restrict__ state, T* __restrict__ gz, I batch, I units, int relu) {
    FOR_ALL(i, batch * units) {
        A g = or_zero(above, i) + or_zero(next, i), y = read(state, i);
        write(gz, i, relu ? (y == 0 ? 0 : g) : g * (1 - y * y));
    }
}

// The gates in the order i, f, g, o; they are kept as they are after their sigmoid or tanh.
extern "C" __global__ void lstm_cell(const T* __restrict__ x, const T* __restrict__ h, const T* __restrict__ b, const T* __restrict__ before, T* __restrict__ state, T* __restrict__ cell, T* __restrict__ gates, I batch, I units) {
    FOR_ALL(k, batch * units) {
        I sample = k / units, unit = k % units, at = sample * 4 * units + unit;
        A z[4];
#pragma unroll
        for (int gate = 0; gate < 4; ++gate) {
            I place = at + gate * units;
            z[gate] = read(x, place) + read(h, place) + or_zero(b, unit + gate * units);
        }
        A i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh(z[2]), o = sigmoid(z[3]);
        A c = f * read(before, k) + i * g;
        write(cell, k, c);
        write(state, k, o * tanh(c));
        write(gates, at, i);
        write(gates, at + units, f);
        write(gates, at + 2 * units, g);
        write(gates, at + 3 * units, o);
    }
}

extern "C" __global__ void lstm_cell_back(const T* __restrict__ above, const T* __restrict__ next, const T* __restrict__ above_cell, const T* __restrict__ next_cell, const T* __restrict__ gates, const T* __restrict__ before, const T* __restrict__ cell, T* __restrict__ gz, T* __restrict__ gbefore, I batch, I units) {
    FOR_ALL(k, batch * units) {
        I sample = k / units, unit = k % units, at = sample * 4 * units + unit;
        A i = read(gates, at), f = read(gates, at + units), g = read(gates, at + 2 * units), o = read(gates, at + 3 * units);
        A shown = tanh(read(cell, k));
        A gh = or_zero(above, k) + or_zero(next, k);
        A gc = or_zero(above_cell, k) + or_zero(next_cell, k) + gh * o * (1 - shown * shown);
        write(gz, at, gc * g * i * (1 - i));
        write(gz, at + units, gc * read(before, k) * f * (1 - f));
        write(gz, at + 2 * units, gc * i * (1 - g * g));
        write(gz, at + 3 * units, gh * shown * o * (1 - o));
        write(gbefore, k, gc * f);
    }
}

// The parts in the order r, u, n; kept are r, u, n and the part of h in n.
extern "C" __global__ void gru_cell(const T* __restrict__ x, const T* __restrict__ h, const T* __restrict__ b, const T* __restrict__ before, T* __restrict__ state, T* __restrict__ kept, I batch, I units) {
    FOR_ALL(k, batch * units) {
        I sample = k / units, unit = k % units, at = sample * 3 * units + unit, to = sample * 4 * units + unit;
        A r = sigmoid(read(x, at) + read(h, at) + or_zero(b, unit));
        A u = sigmoid(read(x, at + units) + read(h, at + units) + or_zero(b, unit + units));
        A of_h = read(h, at + 2 * units) + or_zero(b, unit + 2 * units);
        A n = tanh(read(x, at + 2 * units) + r * of_h);
        write(state, k, n + u * (read(before, k) - n));
        write(kept, to, r);
        write(kept, to + units, u);
        write(kept, to + 2 * units, n);
        write(kept, to + 3 * units, of_h);
    }
}

extern "C" __global__ void gru_cell_back(const T* __restrict__ above, const T* __restrict__ next, const T* __restrict__ passed, const T* __restrict__ kept, const T* __restrict__ before, T* __restrict__ gx, T* __restrict__ gh, T* __restrict__ passed_on, I batch, I units) {
    FOR_ALL(k, batch * units) {
        I sample = k / units, unit = k % units, at = sample * 3 * units + unit, from = sample * 4 * units + unit;
        A r = read(kept, from), u = read(kept, from + units), n = read(kept, from + 2 * units), of_h = read(kept, from + 3 * units);
        A g = or_zero(above, k) + or_zero(next, k) + or_zero(passed, k);
        A gn = g * (1 - u) * (1 - n * n), gu = g * (read(before, k) - n) * u * (1 - u), gr = gn * of_h * r * (1 - r);
        write(gx, at, gr);
        write(gx, at + units, gu);
        write(gx, at + 2 * units, gn);
        write(gh, at, gr);
        write(gh, at + units, gu);
        write(gh, at + 2 * units, gn * r);
        write(passed_on, k, g * u);
    }
}
