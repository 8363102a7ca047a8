"""Long short-term memory: what follows the product of a step is one pass; each thread has its own sequences.

Threads meet at the end of the sequences alone. Gates i, f, g, o lie next to each other, as in the weights.

64 steps of 32 sequences, 32 features and 128 units take 11.3 ms forward and backward on one thread, of which
9.0 are products of matrices; in plain NumPy 12.6.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnn.kernels.numba.arithmetic import sigmoid, tanh
from xpnn.kernels.numba.compiling import In1, In2, Out2, compiled_function, compiled_kernel
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel

Vector = np.ndarray | None

# Multiplications of a single step from which threads pay: below, most of a step is Python.
_STEP_WORTHWHILE = 400_000

_ONE = np.float32(1)


@compiled_function
def _step(gates: Out2, of_h: In2, b: In1, c: In2, new_c: Out2, new_h: Out2) -> None:
    """What the inputs bring to the gates becomes the gates, and they make the new cell and state."""
    size = c.shape[1]
    for n in range(c.shape[0]):
        z, product = gates[n], of_h[n]
        for j in range(z.size):
            z[j] += product[j] + b[j]
        for j in range(2 * size):
            z[j] = sigmoid(z[j])
        i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size :]
        old, cell, h = c[n], new_c[n], new_h[n]
        for j in range(size):
            g[j] = tanh(g[j])
            o[j] = sigmoid(o[j])
        for j in range(size):
            cell[j] = f[j] * old[j] + i[j] * g[j]
            h[j] = o[j] * tanh(cell[j])


@compiled_function
def _step_gradient(ghs: In2, gcs: In2, gates: In2, c: In2, old_c: In2, gh: In2, gc: Out2, gz: Out2) -> None:
    """gz of a step, and gc of the one before, from gh and gc that come from the step after."""
    size = c.shape[1]
    for n in range(c.shape[0]):
        z, out = gates[n], gz[n]
        i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size :]
        gi, gf, gg, go = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
        for j in range(size):
            shown = tanh(c[n, j])
            above = gh[n, j] + ghs[n, j]
            cell = gc[n, j] + gcs[n, j] + above * o[j] * (_ONE - shown * shown)
            gi[j] = cell * g[j] * i[j] * (_ONE - i[j])
            gf[j] = cell * old_c[n, j] * f[j] * (_ONE - f[j])
            gg[j] = cell * i[j] * (_ONE - g[j] * g[j])
            go[j] = above * shown * o[j] * (_ONE - o[j])
            gc[n, j] = cell * f[j]


def _is_plain(
    x: np.ndarray, h0: np.ndarray, c0: np.ndarray, *weights: np.ndarray | None, reverse: bool
) -> bool:
    return weights[-1] is None and x.size > 0


@compiled_kernel("lstm", _step, _step_gradient, when=_is_plain, dtypes=("float32",))
def lstm(
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: Vector,
    b_hh: Vector,
    w_hr: None,
    *,
    reverse: bool,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple]:
    """The reference's `_lstm`; the gates are kept, of each thread's sequences by themselves."""
    steps, batch, features = x.shape
    size = w_hh.shape[1]
    w, v = w_ih.T, np.ascontiguousarray(w_hh.T)
    b = sum((b for b in (b_ih, b_hh) if b is not None), np.zeros(4 * size, dtype=x.dtype))
    states, cells = (np.empty((steps, batch, size), dtype=x.dtype) for _ in range(2))

    def work(part: slice) -> tuple[slice, np.ndarray]:
        h, c = np.ascontiguousarray(h0[part]), np.ascontiguousarray(c0[part])
        gates = np.matmul(x[:, part].reshape(-1, features), w).reshape(steps, len(h), 4 * size)
        product = np.empty_like(gates[0])
        for t in _times(steps, reverse):
            np.matmul(h, v, out=product)
            _step(gates[t], product, b, c, cells[t, part], states[t, part])
            h, c = states[t, part], cells[t, part]
        return part, gates

    step = batch * 4 * size * (features + size)
    parts = parallel(work, batch, steps * step * MULTIPLICATION if step >= _STEP_WORTHWHILE else 0)
    return (states, cells), (x, h0, c0, w_ih, w_hh, states, cells, parts)


@lstm.backward
def _lstm_backward(gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, c0, w_ih, w_hh, states, cells, parts = saved
    steps, _, size = states.shape
    ghs, gcs = (np.zeros_like(states) if g is None else g for g in gradients)
    gx = np.empty(x.shape, dtype=x.dtype) if needs[0] else None
    gh0, gc0 = np.empty(h0.shape, dtype=x.dtype), np.empty(c0.shape, dtype=x.dtype)
    w_hh = np.ascontiguousarray(w_hh)

    def work(part: slice, gates: np.ndarray) -> tuple[np.ndarray, ...]:
        h, c = _before(states, h0, part, reverse), _before(cells, c0, part, reverse)
        gz = np.empty_like(gates)
        gh, gc = np.zeros(h.shape[1:], dtype=x.dtype), np.zeros(h.shape[1:], dtype=x.dtype)
        above_h, above_c = (np.ascontiguousarray(g[:, part]) for g in (ghs, gcs))
        for t in _times(steps, not reverse):
            _step_gradient(above_h[t], above_c[t], gates[t], cells[t, part], c[t], gh, gc, gz[t])
            np.matmul(gz[t], w_hh, out=gh)
        gh0[part], gc0[part] = gh, gc
        rows = gz.reshape(-1, 4 * size)
        if gx is not None:
            gx[:, part] = np.matmul(rows, w_ih).reshape(steps, len(gh), -1)
        ones = np.ones(len(rows), dtype=x.dtype)
        return rows.T @ x[:, part].reshape(len(rows), -1), rows.T @ h.reshape(-1, size), ones @ rows

    done = parallel(lambda which: [work(*part) for part in parts[which]], len(parts), float("inf"))
    sums = zip(*(results for several in done for results in several))
    gw_ih, gw_hh, gb = (functools.reduce(np.add, arrays) for arrays in sums)
    return gx, gh0, gc0, gw_ih, gw_hh, gb, gb, None


def _times(steps: int, reverse: bool) -> Any:
    return reversed(range(steps)) if reverse else range(steps)


def _before(states: np.ndarray, first: np.ndarray, part: slice, reverse: bool) -> np.ndarray:
    """For each step the state that it started from."""
    pair = (states[1:, part], first[None, part]) if reverse else (first[None, part], states[:-1, part])
    return np.concatenate(pair)
