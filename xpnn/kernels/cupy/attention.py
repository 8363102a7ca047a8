"""Attention in tiles: one launch forward, three back, and memory that is linear in the number of steps.

See: Dao, Fu, Ermon, Rudra & Ré (2022), "FlashAttention: fast and memory-efficient exact attention with
IO-awareness".
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    blocks_for,
    computed_in,
    cuda_kernel,
    in_rows,
    launch,
    library_of,
    takes,
)

_SOURCE = "attention.cu"
_MOST_FEATURES = 128  # that the threads of a block have registers for


class Inputs(NamedTuple):
    """Queries, keys and values (N, H, steps, features), a mask to add and dropout's, and the options."""

    q: Array
    k: Array
    v: Array
    mask: Array | None
    keep: Array | None
    causal: bool
    scale: float
    dropout: float

    @property
    def blocks_of_queries(self) -> int:
        """Of a grid with a block for a tile of queries."""
        return prod(self.q.shape[:2]) * -(-self.q.shape[2] // _tile(self.q))

    @property
    def blocks_of_keys(self) -> int:
        """Of a grid with a block for a tile of keys."""
        return prod(self.q.shape[:2]) * -(-self.k.shape[2] // _tile(self.q))

    @property
    def arrays(self) -> tuple[Array | None, ...]:
        """Those that all kernels take first."""
        return self.q, self.k, self.v, self.mask, self.keep

    @property
    def sizes(self) -> tuple[Any, ...]:
        """The numbers that follow, up to how far apart the elements of the arrays are."""
        heads, queries, features = self.q.shape[1:]
        apart = (*_apart(self.q), *_apart(self.k), *_apart(self.v), *_mask_apart(self.mask))
        return heads, queries, self.k.shape[2], np.int32(features), np.int32(self.v.shape[3]), *apart

    @property
    def numbers(self) -> tuple[Any, ...]:
        """Those that come last."""
        factor = 0.0 if self.dropout == 1.0 else 1.0 / (1.0 - self.dropout)
        return np.int32(self.causal), self.scale, factor

    def launch(self, name: str, grid: int, given: tuple, apart: tuple[int, ...]) -> None:
        """Launch a kernel of tiles; `given` are its other arrays, and `apart` how far apart theirs lie."""
        arrays = (*self.arrays, *given)
        size = max(_reach(array) for array in arrays if array is not None)
        args = (*arrays, *self.sizes, *apart, *self.numbers)
        launch(_SOURCE, name, self.q, grid, MOST_THREADS, args, size=size)


def _tile(like: Array) -> int:
    """The steps of a tile, as in `cuda/attention.cu`."""
    return 32 if computed_in(like.dtype.char).itemsize == 8 else 64


def _takes(q: Array, k: Array, v: Array, mask: Array | None, keep: Array | None, **options: Any) -> bool:
    alike = q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and q.ndim <= 4
    if not (alike and takes(q, k, v, mask) and max(q.shape[-1], v.shape[-1]) <= _MOST_FEATURES):
        return False
    return keep is None or keep.shape == (*q.shape[:-1], k.shape[-2])


def _takes_self(x: Array, mask: Array | None, keep: Array | None, *, heads: int, **options: Any) -> bool:
    return takes(x, mask) and x.shape[2] // 3 // heads <= _MOST_FEATURES


def _attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None,
    keep: Array | None,
    *,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[Array, Array], tuple]:
    inputs = _inputs(q, k, v, mask, keep, causal, scale, dropout)
    y = _room_like(inputs.q, inputs.v.shape[3])
    log_totals = _attend(inputs, y).reshape((*q.shape[:-1], 1))
    y = y.reshape((*q.shape[:-1], v.shape[-1]))
    return (y, log_totals), (q, k, v, mask, keep, y, log_totals)


def _attention_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, causal: bool, scale: float, dropout: float
) -> tuple[Array | None, ...]:
    q, k, v, mask, keep, y, log_totals = saved
    inputs = _inputs(q, k, v, mask, keep, causal, scale, dropout)
    gy, g_logs = above
    rooms = [_room_like(x, x.shape[3]) if needed else None for x, needed in zip(inputs, needs[:3])]
    gy = library_of(y).zeros_like(y) if gy is None else gy
    gmask = _gradients(inputs, _four_axes(gy), _four_axes(y), log_totals, g_logs, rooms, needs[3])
    gradients = [None if g is None else g.reshape(x.shape) for g, x in zip(rooms, (q, k, v))]
    return *gradients, None if gmask is None else gmask.reshape(mask.shape), None


def _self_attention(
    x: Array,
    mask: Array | None,
    keep: Array | None,
    *,
    heads: int,
    batch_first: bool,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[Array, Array], tuple]:
    parts = _unpacked(in_rows(x), heads, batch_first)
    inputs = _inputs(*parts, mask, keep, causal, scale, dropout)
    y = library_of(x).empty((*x.shape[:2], x.shape[2] // 3), dtype=x.dtype)
    log_totals = _attend(inputs, _heads_apart(y, heads, batch_first))
    return (y, log_totals), (x, mask, keep, y, log_totals)


def _self_attention_backward(
    above: tuple,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    heads: int,
    batch_first: bool,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[Array | None, ...]:
    x, mask, keep, y, log_totals = saved
    gy, g_logs = above
    inputs = _inputs(*_unpacked(in_rows(x), heads, batch_first), mask, keep, causal, scale, dropout)
    gx = library_of(x).empty(x.shape, dtype=x.dtype) if needs[0] else None
    rooms = [None] * 3 if gx is None else _unpacked(gx, heads, batch_first)
    gy = library_of(y).zeros_like(y) if gy is None else gy
    gy, y = (_heads_apart(in_rows(a), heads, batch_first) for a in (gy, y))
    gmask = _gradients(inputs, gy, y, log_totals, g_logs, rooms, needs[1])
    return gx, None if gmask is None else gmask.reshape(mask.shape), None


def _attend(inputs: Inputs, y: Array) -> Array:
    """Write the results to y, and return the logarithms of the sums, (N, H, L, 1)."""
    q = inputs.q
    log_totals = library_of(q).empty((*q.shape[:3], 1), dtype=computed_in(q.dtype.char))
    inputs.launch("attention", inputs.blocks_of_queries, (y, log_totals), _apart(y))
    return log_totals


def _gradients(
    inputs: Inputs,
    gy: Array,
    y: Array,
    log_totals: Array,
    g_logs: Array | None,
    rooms: list[Array | None],
    needs_mask: bool,
) -> Array | None:
    """Write the gradients of q, k and v to their rooms, if they have one, and return that of the mask."""
    q, mask = inputs.q, inputs.mask
    library, inside = library_of(q), computed_in(q.dtype.char)
    gy, y, log_totals = _side_by_side(gy), _side_by_side(y), in_rows(log_totals)
    if g_logs is not None:
        g_logs = in_rows(g_logs if g_logs.dtype == inside else g_logs.astype(inside))
    shifts = library.empty(q.shape[:3], dtype=inside)
    sizes = (*q.shape[1:3], shifts.size, np.int32(gy.shape[3]), *_apart(gy), *_apart(y))
    blocks = blocks_for(shifts.size)
    reach = max(_reach(gy), _reach(y))
    launch(_SOURCE, "attention_shifts", q, blocks, MOST_THREADS, (gy, y, g_logs, shifts, *sizes), size=reach)
    gq, gk, gv = rooms
    wants_mask = needs_mask and mask is not None
    gscores = library.empty((*q.shape[:3], inputs.k.shape[2]), dtype=inside) if wants_mask else None
    of_queries = (gy, log_totals, shifts)
    if gq is not None or gscores is not None:
        apart = (*_apart(gy), *_apart(gq))
        given = (*of_queries, gq, gscores)
        inputs.launch("attention_queries", inputs.blocks_of_queries, given, apart)
    if gk is not None or gv is not None:
        apart = (*_apart(gy), *_apart(gk), *_apart(gv))
        inputs.launch("attention_keys", inputs.blocks_of_keys, (*of_queries, gk, gv), apart)
    if gscores is None:
        return None
    assert mask is not None
    spread = tuple(i for i, size in enumerate(mask.shape) if size == 1 < gscores.shape[i])
    gmask = library.sum(gscores, axis=spread, keepdims=True) if spread else gscores
    return gmask if gmask.dtype == mask.dtype else gmask.astype(mask.dtype)


def _inputs(q: Array, k: Array, v: Array, mask: Array | None, keep: Array | None, *options: Any) -> Inputs:
    q, k, v = (_side_by_side(_four_axes(x)) for x in (q, k, v))
    return Inputs(q, k, v, None if mask is None else _four_axes(mask), in_rows(keep), *options)


def _four_axes(x: Array) -> Array:
    return x if x.ndim == 4 else x.reshape((1,) * (4 - x.ndim) + x.shape)


def _side_by_side(x: Array) -> Array:
    """With features that lie next to each other."""
    return x if x.strides[3] == x.itemsize or x.shape[3] == 1 else library_of(x).ascontiguousarray(x)


def _apart(x: Array | None) -> tuple[int, ...]:
    """How many elements are between sequences, between heads and between steps."""
    return (0, 0, 0) if x is None else tuple(stride // x.itemsize for stride in x.strides[:3])


def _mask_apart(mask: Array | None) -> tuple[int, ...]:
    """The same of a mask, and between keys; 0 along an axis where one element serves all."""
    if mask is None:
        return 0, 0, 0, 0
    return tuple(
        0 if size == 1 else stride // mask.itemsize for size, stride in zip(mask.shape, mask.strides)
    )


def _reach(x: Array) -> int:
    """The largest number that an index into an array reaches, at most."""
    return sum((size - 1) * abs(stride) for size, stride in zip(x.shape, x.strides)) // x.itemsize + 1


def _room_like(x: Array, features: int) -> Array:
    """(N, H, steps, features), which lies in memory as x does, so that heads are joined without a copy."""
    axes = sorted(range(3), key=lambda axis: -abs(x.strides[axis]))
    made = library_of(x).empty((*(x.shape[axis] for axis in axes), features), dtype=x.dtype)
    return made.transpose((*(axes.index(axis) for axis in range(3)), 3))


def _heads_apart(x: Array, heads: int, batch_first: bool) -> Array:
    """(N, T, E), or (T, N, E) unless batch_first, as (N, heads, T, E / heads), a view."""
    apart = x.reshape((*x.shape[:2], heads, x.shape[2] // heads))
    return apart.transpose((0, 2, 1, 3) if batch_first else (1, 2, 0, 3))


def _unpacked(x: Array, heads: int, batch_first: bool) -> list[Array]:
    """The heads' queries, keys and values, views of x."""
    apart = x.reshape((*x.shape[:2], 3, heads, x.shape[2] // 3 // heads))
    axes = (0, 2, 1, 3) if batch_first else (1, 2, 0, 3)
    return [apart[:, :, part].transpose(axes) for part in range(3)]


cuda_kernel("attention", _takes, _attention, _attention_backward, alike=True)
cuda_kernel("self_attention", _takes_self, _self_attention, _self_attention_backward, alike=True)
