"""Recurrences with two launches a step: the product with the state, and all the rest in one kernel.

States are written where they belong in the result. The gates are kept, so that the backward has two
launches a step as well; the gradients of weights are products over all times at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.launching import MOST_THREADS, blocks_for, in_rows, launch, library_of, takes
from xpnn.kernels.cupy.sums import column_sums

_SOURCE = "recurrent.cu"


def _takes(x: Array, *arrays: Array | None, **options: Any) -> bool:
    return x.itemsize > 2 and takes(x, *arrays)


def _takes_lstm(*arrays: Array | None, reverse: bool) -> bool:
    *others, w_hr = arrays
    return w_hr is None and _takes(*others)


def _of_input(x: Array, w: Array, b: Array | None) -> Array:
    """The part of all gates that the input makes, at all times."""
    z = x.reshape((-1, x.shape[-1])) @ w.T
    if b is not None:
        z += b
    return z.reshape((*x.shape[:-1], w.shape[0]))


def _cell(name: str, like: Array, args: tuple, *more: Any) -> None:
    """Launch the kernel of a cell for states like `like`, (batch, units)."""
    blocks = blocks_for(like.size)
    launch(_SOURCE, name, like, blocks, MOST_THREADS, (*args, *like.shape, *more), size=4 * like.size)


def _times(x: Array, reverse: bool) -> range:
    steps = range(x.shape[0])
    return steps[::-1] if reverse else steps


def _before(states: Array, first: Array, reverse: bool) -> Array:
    """For each time the state that its step started from."""
    parts = [states[1:], first[None]] if reverse else [first[None], states[:-1]]
    return library_of(states).concatenate(parts)


def _weight_gradients(gz: Array, x: Array, b: Array | None) -> tuple[Array, Array | None]:
    """Those of w and b in z = W x + b, of a sequence."""
    rows = gz.reshape((-1, gz.shape[-1]))
    gw = rows.T @ x.reshape((-1, x.shape[-1]))
    return gw, None if b is None else column_sums(rows, rows.shape[0], rows.shape[1], (False, True))[1]


def _input_gradient(gz: Array, w: Array, x: Array, needed: bool) -> Array | None:
    return (gz.reshape((-1, gz.shape[-1])) @ w).reshape(x.shape) if needed else None


@kernel("cupy", "rnn", when=_takes)
def rnn(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    *,
    nonlinearity: str,
    reverse: bool,
) -> tuple[Array, tuple]:
    """The reference's `_rnn`."""
    z, h, relu = _of_input(x, w_ih, b_ih), in_rows(h0), np.int32(nonlinearity == "relu")
    b = in_rows(b_hh)
    hs = library_of(x).empty((x.shape[0], *h0.shape), dtype=x.dtype)
    for t in _times(x, reverse):
        _cell("rnn_cell", h, (z[t], h @ w_hh.T, b, hs[t]), relu)
        h = hs[t]
    return hs, (x, h0, w_ih, w_hh, b_ih, b_hh, hs)


@rnn.backward
def _rnn_backward(
    ghs: Array, saved: tuple, needs: tuple[bool, ...], *, nonlinearity: str, reverse: bool
) -> tuple[Array | None, ...]:
    x, h0, w_ih, w_hh, b_ih, b_hh, hs = saved
    ghs, relu = in_rows(ghs), np.int32(nonlinearity == "relu")
    gz, gh = library_of(x).empty(hs.shape, dtype=x.dtype), None
    for t in _times(x, not reverse):
        _cell("rnn_cell_back", hs[t], (ghs[t], gh, hs[t], gz[t]), relu)
        gh = gz[t] @ w_hh
    gw_ih, gb_ih = _weight_gradients(gz, x, b_ih)
    gw_hh, gb_hh = _weight_gradients(gz, _before(hs, h0, reverse), b_hh)
    return _input_gradient(gz, w_ih, x, needs[0]), gh, gw_ih, gw_hh, gb_ih, gb_hh


@kernel("cupy", "lstm", when=_takes_lstm)
def lstm(
    x: Array,
    h0: Array,
    c0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    w_hr: None,
    *,
    reverse: bool,
) -> tuple[tuple[Array, Array], tuple]:
    """The reference's `_lstm`, without a projection."""
    library, z, h, c = library_of(x), _of_input(x, w_ih, b_ih), in_rows(h0), in_rows(c0)
    b = in_rows(b_hh)
    hs, cs = (library.empty((x.shape[0], *h0.shape), dtype=x.dtype) for _ in range(2))
    gates = library.empty(z.shape, dtype=x.dtype)
    for t in _times(x, reverse):
        _cell("lstm_cell", h, (z[t], h @ w_hh.T, b, c, hs[t], cs[t], gates[t]))
        h, c = hs[t], cs[t]
    return (hs, cs), (x, h0, c0, w_ih, w_hh, b_ih, b_hh, hs, cs, gates)


@lstm.backward
def _lstm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, reverse: bool
) -> tuple[Array | None, ...]:
    x, h0, c0, w_ih, w_hh, b_ih, b_hh, hs, cs, gates = saved
    library = library_of(x)
    ghs, gcs = map(in_rows, above)
    gz, gc_before = library.empty(gates.shape, dtype=x.dtype), library.empty((2, *c0.shape), dtype=x.dtype)
    gh: Any = None
    gc: Any = None
    first = in_rows(c0)
    for t in _times(x, not reverse):
        earlier = t + 1 if reverse else t - 1
        before = cs[earlier] if 0 <= earlier < x.shape[0] else first
        passed = gc_before[t % 2]  # of two, as the other one is read
        given = (None if ghs is None else ghs[t], gh, None if gcs is None else gcs[t], gc)
        _cell("lstm_cell_back", first, (*given, gates[t], before, cs[t], gz[t], passed))
        gh, gc = gz[t] @ w_hh, passed
    gw_ih, gb_ih = _weight_gradients(gz, x, b_ih)
    gw_hh, gb_hh = _weight_gradients(gz, _before(hs, h0, reverse), b_hh)
    return _input_gradient(gz, w_ih, x, needs[0]), gh, gc, gw_ih, gw_hh, gb_ih, gb_hh, None


@kernel("cupy", "gru", when=_takes)
def gru(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    *,
    reverse: bool,
) -> tuple[Array, tuple]:
    """The reference's `_gru`."""
    library, z, h = library_of(x), _of_input(x, w_ih, b_ih), in_rows(h0)
    b = in_rows(b_hh)
    hs = library.empty((x.shape[0], *h0.shape), dtype=x.dtype)
    kept = library.empty((x.shape[0], h0.shape[0], 4 * h0.shape[1]), dtype=x.dtype)
    for t in _times(x, reverse):
        _cell("gru_cell", h, (z[t], h @ w_hh.T, b, h, hs[t], kept[t]))
        h = hs[t]
    return hs, (x, h0, w_ih, w_hh, b_ih, b_hh, hs, kept)


@gru.backward
def _gru_backward(
    ghs: Array, saved: tuple, needs: tuple[bool, ...], *, reverse: bool
) -> tuple[Array | None, ...]:
    x, h0, w_ih, w_hh, b_ih, b_hh, hs, kept = saved
    library, ghs = library_of(x), in_rows(ghs)
    shape = (*h0.shape[:1], w_hh.shape[0])
    gx, gh_parts = (library.empty((x.shape[0], *shape), dtype=x.dtype) for _ in range(2))
    passed = library.empty((2, *h0.shape), dtype=x.dtype)
    gh: Any = None
    straight: Any = None
    first = in_rows(h0)
    for t in _times(x, not reverse):
        earlier = t + 1 if reverse else t - 1
        before = hs[earlier] if 0 <= earlier < x.shape[0] else first
        given = (ghs[t], gh, straight, kept[t], before, gx[t], gh_parts[t], passed[t % 2])
        _cell("gru_cell_back", first, given)
        gh, straight = gh_parts[t] @ w_hh, passed[t % 2]
    gw_ih, gb_ih = _weight_gradients(gx, x, b_ih)
    gw_hh, gb_hh = _weight_gradients(gh_parts, _before(hs, h0, reverse), b_hh)
    return _input_gradient(gx, w_ih, x, needs[0]), gh + straight, gw_ih, gw_hh, gb_ih, gb_hh
