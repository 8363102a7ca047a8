"""Long short-term memory: the steps are one compiled loop; each thread has its own sequences.

A thread asks for Python's lock before the first step and after the last. Gates i, f, g, o lie next to each
other, as in the weights. Units come in sixteens, which fill vectors; NumPy's kernel serves other numbers.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnn.kernels.numba.arithmetic import sigmoid, tanh
from xpnn.kernels.numba.compiling import (
    In1,
    In2,
    In3,
    Integer,
    Out2,
    Out3,
    Places,
    compiled_function,
    compiled_kernel,
    inlined,
)
from xpnn.kernels.numba.conv.packing import PACKING, panels_of
from xpnn.kernels.numba.products import MOST_LANES, NOWHERE, add_products, lanes
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel

Vector = np.ndarray | None

_ONE = np.float32(1)


@inlined
def _step(z: Any, b: Any, old: Any, cell: Any, h: Any) -> None:
    """Of one sequence: what inputs and state bring to the gates becomes the gates; the new cell and state."""
    size = h.size
    for j in range(z.size):
        z[j] += b[j]
    for j in range(2 * size):
        z[j] = sigmoid(z[j])
    i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size :]
    for j in range(size):
        g[j] = tanh(g[j])
        o[j] = sigmoid(o[j])
    for j in range(size):
        cell[j] = f[j] * old[j] + i[j] * g[j]
        h[j] = o[j] * tanh(cell[j])


@inlined
def _step_gradient(gh: Any, ghs: Any, gc: Any, gcs: Any, z: Any, c: Any, old: Any, out: Any) -> None:
    """Of one sequence: the gates' gradient, and gc of the step before, from gh and gc of the step after."""
    size = gh.size
    i, f, g, o = z[:size], z[size : 2 * size], z[2 * size : 3 * size], z[3 * size :]
    gi, gf, gg, go = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
    for j in range(size):
        shown = tanh(c[j])
        above = gh[j] + ghs[j]
        cell = gc[j] + gcs[j] + above * o[j] * (_ONE - shown * shown)
        gi[j] = cell * g[j] * i[j] * (_ONE - i[j])
        gf[j] = cell * old[j] * f[j] * (_ONE - f[j])
        gg[j] = cell * i[j] * (_ONE - g[j] * g[j])
        go[j] = above * shown * o[j] * (_ONE - o[j])
        gc[j] = cell * f[j]


@compiled_function
def _forward(
    gates: Out3, panels: In3, vectors: Integer, nowhere: Places, b: In1, h0: In2, c0: In2, reverse: Integer,
    first: Integer, states: Out3, cells: Out3,
) -> None:  # fmt: skip
    """All steps of the sequences from `first` on, as many as `gates` has: it comes with what inputs bring."""
    steps, count, width = gates.shape[0], gates.shape[1], panels.shape[2]
    outputs, size = gates.shape[2], h0.shape[1]
    old_h, old_c = h0, c0
    for s in range(steps):
        t = steps - 1 - s if reverse else s
        z = gates[t].reshape(count * outputs)
        for p in range(panels.shape[0]):
            into = z[p * width :]
            add_products(
                vectors, count, old_h.reshape(old_h.size), size, 1, panels[p].reshape(panels[p].size), width,
                nowhere, size, into, outputs, into, outputs,
            )  # fmt: skip
        h, c = states[t, first : first + count], cells[t, first : first + count]
        for n in range(count):
            _step(gates[t, n], b, old_c[n], c[n], h[n])
        old_h, old_c = h, c


@compiled_function
def _backward(
    ghs: In3, gcs: In3, gates: In3, panels: In3, vectors: Integer, nowhere: Places, cells: In3, c0: In2,
    reverse: Integer, first: Integer, zeros: In1, gh: Out2, gc: Out2, gz: Out3,
) -> None:  # fmt: skip
    """All steps, the last one first: gz, and gh and gc of the first state, which come as zeros."""
    steps, count, width = gates.shape[0], gates.shape[1], panels.shape[2]
    outputs, size = gates.shape[2], gh.shape[1]
    state = gh.reshape(gh.size)
    for s in range(steps):
        t = s if reverse else steps - 1 - s
        before = t + 1 if reverse else t - 1
        for n in range(count):
            m = first + n
            old = cells[before, m] if s < steps - 1 else c0[n]
            _step_gradient(gh[n], ghs[t, m], gc[n], gcs[t, m], gates[t, n], cells[t, m], old, gz[t, n])
        z = gz[t].reshape(count * outputs)
        for p in range(panels.shape[0]):
            add_products(
                vectors, count, z, outputs, 1, panels[p].reshape(panels[p].size), width,
                nowhere, outputs, zeros, 0, state[p * width :], size,
            )  # fmt: skip


def _suits(x: np.ndarray, h0: np.ndarray, c0: np.ndarray, *weights: np.ndarray | None, reverse: bool) -> bool:
    return weights[-1] is None and x.size > 0 and h0.shape[1] % MOST_LANES == 0


@compiled_kernel("lstm", *PACKING, _forward, _backward, when=_suits, dtypes=("float32",))
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
    w, panels = w_ih.T, _panels(w_hh)
    b = sum((b for b in (b_ih, b_hh) if b is not None), np.zeros(4 * size, dtype=x.dtype))
    states, cells = (np.empty((steps, batch, size), dtype=x.dtype) for _ in range(2))

    def work(part: slice) -> tuple[slice, np.ndarray]:
        h, c = np.ascontiguousarray(h0[part]), np.ascontiguousarray(c0[part])
        gates = np.matmul(x[:, part].reshape(-1, features), w).reshape(steps, len(h), 4 * size)
        vectors = panels.shape[2] // lanes()
        _forward(gates, panels, vectors, NOWHERE, b, h, c, reverse, part.start, states, cells)
        return part, gates

    parts = parallel(work, batch, x.size * 4 * (features + size) * size / features * MULTIPLICATION)
    return (states, cells), (x, h0, c0, w_ih, w_hh, states, cells, parts)


@lstm.backward
def _lstm_backward(gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, c0, w_ih, w_hh, states, cells, parts = saved
    steps, _, size = states.shape
    ghs, gcs = (np.zeros_like(states) if g is None else np.ascontiguousarray(g) for g in gradients)
    gx = np.empty(x.shape, dtype=x.dtype) if needs[0] else None
    gh0, gc0 = np.zeros(h0.shape, dtype=x.dtype), np.zeros(c0.shape, dtype=x.dtype)
    panels, zeros = _panels(w_hh.T), np.zeros(size, dtype=x.dtype)

    def work(part: slice, gates: np.ndarray) -> tuple[np.ndarray, ...]:
        gz, c = np.empty_like(gates), np.ascontiguousarray(c0[part])
        _backward(
            ghs, gcs, gates, panels, panels.shape[2] // lanes(), NOWHERE, cells, c, reverse, part.start,
            zeros, gh0[part], gc0[part], gz,
        )  # fmt: skip
        rows, h = gz.reshape(-1, 4 * size), _before(states, h0, part, reverse)
        if gx is not None:
            gx[:, part] = np.matmul(rows, w_ih).reshape(steps, len(c), -1)
        ones = np.ones(len(rows), dtype=x.dtype)
        return rows.T @ x[:, part].reshape(len(rows), -1), rows.T @ h.reshape(-1, size), ones @ rows

    done = parallel(lambda which: [work(*part) for part in parts[which]], len(parts), float("inf"))
    sums = zip(*(results for several in done for results in several))
    gw_ih, gw_hh, gb = (functools.reduce(np.add, arrays) for arrays in sums)
    return gx, gh0, gc0, gw_ih, gw_hh, gb, gb, None


def _panels(w: np.ndarray) -> np.ndarray:
    """Weights (outputs, inputs) as `add_products` reads them."""
    return panels_of(w[:, :, None, None])


def _before(states: np.ndarray, first: np.ndarray, part: slice, reverse: bool) -> np.ndarray:
    """For each step the state that it started from."""
    pair = (states[1:, part], first[None, part]) if reverse else (first[None, part], states[:-1, part])
    return np.concatenate(pair)
