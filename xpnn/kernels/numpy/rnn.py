"""Recurrences in NumPy: one product for all inputs, then a loop that writes in place.

Gates come first in memory, (gates, T, N, H), so that every gate of a step is one run of memory and all of its
steps are another. An LSTM of 64 steps, 32 sequences and 128 units, forward and backward, in float32, on one
thread of a busy machine, takes 20 ms of its CPU time, the reference 30; the six products alone take 16.
"""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel

Result = tuple[np.ndarray, ...]


@kernel("numpy", "rnn")
def rnn(
    x: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    *,
    nonlinearity: str,
    reverse: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_rnn`."""
    states = _project(x, w_ih, b_ih, b_hh, 1)[0]
    zero = np.zeros_like(h0)
    w, h, part = _transposed(w_hh, 1)[0], h0, np.empty_like(h0)
    for z in _along(states, reverse):
        z += np.matmul(h, w, out=part)
        h = np.tanh(z, out=z) if nonlinearity == "tanh" else np.maximum(z, zero, out=z)
    return states, (x, h0, w_ih, w_hh, states)


@rnn.backward
def _rnn_backward(
    gh: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, nonlinearity: str, reverse: bool
) -> tuple:
    x, h0, w_ih, w_hh, states = saved
    slope = 1 - states * states if nonlinearity == "tanh" else (states > 0).astype(states.dtype)
    gz = np.empty_like(states)
    back = np.zeros_like(h0)
    for above, factor, step in zip(*(_along(a, not reverse) for a in (gh, slope, gz))):
        back += above
        np.multiply(factor, back, out=step)
        np.matmul(step, w_hh, out=back)
    gradients = _weight_gradients(gz, x, states, h0, w_ih, needs[0], reverse)
    gx, gw_ih, gw_hh, gb = gradients
    return gx, back, gw_ih, gw_hh, gb, gb


def _without_projection(*arrays: np.ndarray | None, reverse: bool) -> bool:
    return arrays[-1] is None


@kernel("numpy", "lstm", when=_without_projection)
def lstm(
    x: np.ndarray,
    h0: np.ndarray,
    c0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    w_hr: None,
    *,
    reverse: bool,
) -> tuple[Result, tuple]:
    """The reference's `_lstm`; the gates are kept.

    s(z) = (1 + tanh(z / 2)) / 2: with the half folded into the weights, one tanh does for all four gates.
    """
    half = np.asarray([0.5, 0.5, 1.0, 0.5], dtype=x.dtype).reshape(4, 1, 1)
    shift = np.asarray([0.5, 0.5, 0.0, 0.5], dtype=x.dtype).reshape(4, 1, 1)
    gates = _project(x, w_ih, b_ih, b_hh, 4, half)
    w = _transposed(w_hh, 4, half)
    states, cells, shown = (np.empty_like(x, shape=gates.shape[1:]) for _ in range(3))
    part, let_in = np.empty_like(x, shape=(4, *h0.shape)), np.empty_like(h0)
    h, c = h0, c0
    for t in _times(x, reverse):
        z = gates[:, t]
        z += np.matmul(h, w, out=part)
        np.tanh(z, out=z)
        z *= half
        z += shift
        i, f, g, o = z
        c = np.multiply(f, c, out=cells[t])
        c += np.multiply(i, g, out=let_in)
        h = np.multiply(o, np.tanh(c, out=shown[t]), out=states[t])
    return (states, cells), (x, h0, c0, w_ih, w_hh, gates, states, cells, shown)


@lstm.backward
def _lstm_backward(gradients: Result, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, c0, w_ih, w_hh, gates, states, cells, shown = saved
    ghs, gcs = gradients
    steps, batch, size = states.shape
    i, f, g, o = gates
    factors = np.empty_like(gates)  # what gc is multiplied by, and for the output gate gh
    for gate, value, other in ((0, i, g), (1, f, _before(cells, c0, reverse)), (3, o, shown)):
        local = np.subtract(1, value, out=factors[gate])
        local *= value
        local *= other
    for value, other, out in ((g, i, factors[2]), (shown, o, None)):
        local = np.multiply(value, value, out=out)
        np.subtract(1, local, out=local)
        local *= other
    c_from_h = local

    gz = np.empty_like(gates, shape=(steps, batch, 4, size))
    by_gate = gz.transpose(2, 0, 1, 3)
    gh, gc, part = np.zeros_like(h0), np.zeros_like(c0), np.empty_like(h0)
    for t in _times(x, not reverse):
        if ghs is not None:
            gh += ghs[t]
        if gcs is not None:
            gc += gcs[t]
        gc += np.multiply(gh, c_from_h[t], out=part)
        np.multiply(factors[:3, t], gc, out=by_gate[:3, t])
        np.multiply(factors[3, t], gh, out=by_gate[3, t])
        gc *= f[t]
        np.matmul(gz[t].reshape(batch, 4 * size), w_hh, out=gh)
    gz = gz.reshape(steps, batch, 4 * size)
    gx, gw_ih, gw_hh, gb = _weight_gradients(gz, x, states, h0, w_ih, needs[0], reverse)
    return gx, gh, gc, gw_ih, gw_hh, gb, gb, None


@kernel("numpy", "gru")
def gru(
    x: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    w_hh: np.ndarray,
    b_ih: np.ndarray | None,
    b_hh: np.ndarray | None,
    *,
    reverse: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_gru`; the gates are kept, and what the reset gate weighs."""
    half = np.asarray([0.5, 0.5, 1.0], dtype=x.dtype).reshape(3, 1, 1)
    gates = _project(x, w_ih, b_ih, None, 3, half)
    w = _transposed(w_hh, 3, half)
    b = None if b_hh is None else b_hh.reshape(3, 1, -1) * half
    states, olds = (np.empty_like(x, shape=gates.shape[1:]) for _ in range(2))
    part, h = np.empty_like(x, shape=(3, *h0.shape)), h0
    for t in _times(x, reverse):
        np.matmul(h, w, out=part)
        if b is not None:
            part += b
        olds[t] = part[2]
        r, u, n = z = gates[:, t]
        z[:2] += part[:2]
        np.tanh(z[:2], out=z[:2])
        z[:2] *= 0.5
        z[:2] += 0.5
        n += np.multiply(r, part[2], out=part[2])
        np.tanh(n, out=n)
        new = np.subtract(h, n, out=states[t])
        new *= u
        new += n
        h = new
    return states, (x, h0, w_ih, w_hh, gates, olds, states)


@gru.backward
def _gru_backward(gh: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, reverse: bool) -> tuple:
    x, h0, w_ih, w_hh, gates, olds, states = saved
    steps, batch, size = states.shape
    r, u, n = gates
    factors = np.empty_like(gates)
    to_r, to_u, to_n = factors
    np.multiply(n, n, out=to_n)
    np.subtract(1, to_n, out=to_n)
    np.subtract(1, u, out=to_u)
    to_n *= to_u
    to_u *= u
    to_u *= _before(states, h0, reverse) - n
    np.subtract(1, r, out=to_r)
    to_r *= r
    to_r *= olds
    to_r *= to_n

    gz = np.empty_like(gates, shape=(steps, batch, 3, size))
    by_gate = gz.transpose(2, 0, 1, 3)
    back, product, of_h = np.zeros_like(h0), np.empty_like(h0), np.empty_like(gz)
    for t in _times(x, not reverse):
        back += gh[t]
        np.multiply(factors[:, t], back, out=by_gate[:, t])
        of_h[t] = gz[t]
        of_h[t, :, 2] *= r[t]
        back *= u[t]
        back += np.matmul(of_h[t].reshape(batch, 3 * size), w_hh, out=product)
    gz, of_h = gz.reshape(steps, batch, 3 * size), of_h.reshape(steps, batch, 3 * size)
    gx, gw_ih, _, gb_ih = _weight_gradients(gz, x, states, h0, w_ih, needs[0], reverse)
    _, _, gw_hh, gb_hh = _weight_gradients(of_h, None, states, h0, w_ih, False, reverse)
    return gx, back, gw_ih, gw_hh, gb_ih, gb_hh


def _project(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    more: np.ndarray | None,
    gates: int,
    scale: np.ndarray | None = None,
) -> np.ndarray:
    """(gates, T, N, H): what the inputs bring to every gate, and the biases, in one product for all times."""
    steps, batch, features = x.shape
    z = np.matmul(x.reshape(-1, features), _transposed(w, gates, scale))
    if b is not None:
        rows = (b if more is None else b + more).reshape(gates, 1, -1)
        z += rows if scale is None else rows * scale
    return z.reshape(gates, steps, batch, -1)


def _transposed(w: np.ndarray, gates: int, scale: np.ndarray | None = None) -> np.ndarray:
    """(gates * H, K) to (gates, K, H), in one run of memory."""
    turned = w.reshape(gates, -1, w.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(turned if scale is None else turned * scale)


def _times(x: np.ndarray, reverse: bool) -> range:
    steps = range(x.shape[0])
    return steps[::-1] if reverse else steps


def _along(x: np.ndarray, reverse: bool) -> np.ndarray:
    return x[::-1] if reverse else x


def _before(states: np.ndarray, first: np.ndarray, reverse: bool) -> np.ndarray:
    """For each time the state that its step started from."""
    parts = (states[1:], first[None]) if reverse else (first[None], states[:-1])
    return np.concatenate(parts)


def _weight_gradients(
    gz: np.ndarray,
    x: np.ndarray | None,
    states: np.ndarray,
    h0: np.ndarray,
    w_ih: np.ndarray,
    needs_x: bool,
    reverse: bool,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray, np.ndarray]:
    """(gx, gw_ih, gw_hh, gb): one product for all times each."""
    rows = gz.reshape(-1, gz.shape[-1])
    gx = gw_ih = None
    if x is not None:
        gw_ih = rows.T @ x.reshape(-1, x.shape[-1])
        if needs_x:
            gx = (rows @ w_ih).reshape(x.shape)
    gw_hh = rows.T @ _before(states, h0, reverse).reshape(-1, h0.shape[-1])
    # A product with ones: four times as fast as the sum.
    return gx, gw_ih, gw_hh, np.ones(rows.shape[0], dtype=rows.dtype) @ rows
