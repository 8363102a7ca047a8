"""Attention in NumPy: tile by tile, each of scores that stay in the cache, on all threads.

What is kept for the backward is linear in the number of steps: scores are made anew there, unless few.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel
from xpnn.kernels.numpy.small_products import multiply

# Bytes of the scores that are worked on at a time. Two threads wait for Python's lock after each operation,
# the longer the smaller these are.
_TILE_BYTES = 2 * 1024 * 1024

# Of queries that see earlier keys alone, so many or a quarter are worked on at a time: the fewer, the less is
# computed that nobody sees.
_CAUSAL_QUERIES = 128

# Queries from which it gains to copy keys and values in transposed order.
_MANY_QUERIES = 64


class Inputs(NamedTuple):
    """Queries, keys and values, (N, H, steps, features); masks that broadcast to the scores (N, H, L, S)."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    mask: np.ndarray | None
    keep: np.ndarray | None
    causal: bool
    scale: float
    dropout: float

    @property
    def scores_shape(self) -> tuple[int, int, int, int]:
        """(N, H, L, S)."""
        batch, heads, queries, _ = self.q.shape
        return batch, heads, queries, self.k.shape[2]


class Kept(NamedTuple):
    """What the forward finds out: results, log of the softmax's denominators, and the weights or None.

    The weights are the exponentials, which are still to be divided by `totals`.
    """

    y: np.ndarray
    log_totals: np.ndarray
    powers: np.ndarray | None
    totals: np.ndarray | None


class Tile(NamedTuple):
    """A part of the scores: some sequences, some heads, some queries, and the keys that they see."""

    batch: slice
    heads: slice
    queries: slice
    keys: slice
    is_first: bool  # among the tiles with these keys

    @property
    def at_queries(self) -> tuple[slice, slice, slice]:
        """Where it is among queries and results."""
        return self.batch, self.heads, self.queries

    @property
    def at_keys(self) -> tuple[slice, slice, slice]:
        """Where it is among keys and values."""
        return self.batch, self.heads, self.keys

    @property
    def at_scores(self) -> tuple[slice, slice, slice, slice]:
        """Where it is among the scores."""
        return self.batch, self.heads, self.queries, self.keys


def _takes(q: np.ndarray, k: np.ndarray, v: np.ndarray, *rest: Any, **options: Any) -> bool:
    same_batch = q.shape[:-2] == k.shape[:-2] == v.shape[:-2]
    return same_batch and q.ndim <= 4 and bool(q.size and k.size and v.size)


@kernel("numpy", "attention", when=_takes)
def attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    *,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple]:
    """The reference's `_attention`.

    Results lie in memory as the queries do, so that heads are joined without a copy.
    """
    q4, k4, v4 = (_with_four_axes(a, q.ndim) for a in (q, k, v))
    masks = [None if m is None else _with_four_axes(m, q.ndim) for m in (mask, keep)]
    inputs = Inputs(q4, k4, v4, masks[0], masks[1], causal, scale, dropout)
    kept = _forward(inputs, np.empty_like(inputs.q, shape=(*inputs.q.shape[:3], v.shape[-1])))
    y = kept.y.reshape(*q.shape[:-1], v.shape[-1])
    return (y, kept.log_totals.reshape(*q.shape[:-1], 1)), (q, k, v, mask, (inputs, kept))


@attention.backward
def _attention_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], **options: Any
) -> tuple[np.ndarray | None, ...]:
    q, k, v, mask, (inputs, kept) = saved
    gy, g_log = (None if g is None else _with_four_axes(g, q.ndim) for g in gradients)
    targets = tuple(np.empty_like(x) for x in (inputs.q, inputs.k, inputs.v))
    gmask = _backward(inputs, kept, gy, g_log, targets, needs[3])
    gq, gk, gv = (g.reshape(x.shape) for g, x in zip(targets, (q, k, v)))
    return gq, gk, gv, None if gmask is None else gmask.reshape(mask.shape), None


@kernel("numpy", "self_attention", when=lambda x, *_, **options: x.size > 0)
def self_attention(
    x: np.ndarray,
    mask: np.ndarray | None,
    keep: np.ndarray | None,
    *,
    heads: int,
    batch_first: bool,
    causal: bool,
    scale: float,
    dropout: float,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple]:
    """The reference's `_self_attention`: what is split, joined and sent back are views of one array each."""
    q, k, v = _split(x, heads, batch_first)
    masks = [None if m is None else _with_four_axes(m, 4) for m in (mask, keep)]
    inputs = Inputs(q, k, v, masks[0], masks[1], causal, scale, dropout)
    y = np.empty((*x.shape[:2], x.shape[2] // 3), dtype=x.dtype)
    kept = _forward(inputs, _apart(y, heads, batch_first))
    return (y, kept.log_totals), (x, mask, (inputs, kept))


@self_attention.backward
def _self_attention_backward(
    gradients: tuple,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    heads: int,
    batch_first: bool,
    **options: Any,
) -> tuple[np.ndarray | None, ...]:
    x, mask, (inputs, kept) = saved
    gy, g_log = gradients
    gy = None if gy is None else _apart(gy, heads, batch_first)
    gx = np.empty(x.shape, dtype=x.dtype)
    gmask = _backward(inputs, kept, gy, g_log, _split(gx, heads, batch_first), needs[1])
    return gx, None if gmask is None else gmask.reshape(mask.shape), None


def _with_four_axes(x: np.ndarray, rank: int) -> np.ndarray:
    """As (N, H, steps, ...) what broadcasts to `rank` axes."""
    x = x.reshape((1,) * (rank - x.ndim) + x.shape)
    return x[:, None] if rank == 3 else x.reshape((1,) * (4 - rank) + x.shape)


def _split(x: np.ndarray, heads: int, batch_first: bool) -> tuple[np.ndarray, ...]:
    """Queries, keys and values side by side, (N, T, 3 E) or (T, N, 3 E), as views (N, H, T, E / H)."""
    parts = x.reshape(*x.shape[:2], 3, heads, -1)
    return tuple(parts.transpose(2, 0, 3, 1, 4) if batch_first else parts.transpose(2, 1, 3, 0, 4))


def _apart(x: np.ndarray, heads: int, batch_first: bool) -> np.ndarray:
    """Heads side by side, (N, T, E) or (T, N, E), as a view (N, H, T, E / H)."""
    parts = x.reshape(*x.shape[:2], heads, -1)
    return parts.transpose(0, 2, 1, 3) if batch_first else parts.transpose(1, 2, 0, 3)


def _forward(inputs: Inputs, y: np.ndarray) -> Kept:
    """Write the results into `y`."""
    totals, log_totals = (np.empty((*y.shape[:3], 1), dtype=y.dtype) for _ in range(2))
    powers = np.empty(inputs.scores_shape, dtype=y.dtype) if _keeps_powers(inputs) else None
    mask = inputs.mask
    hides_only = mask is None or bool(((mask == 0) | (mask == -math.inf)).all())

    def work(batch: slice, heads: slice) -> None:
        for tile in _tiles(inputs, batch, heads):
            if tile.is_first:
                keys = _transposed("keys", inputs.k[tile.at_keys], inputs)
            p = _scores(inputs, tile, keys, powers)
            peak = _to_powers(p, inputs, tile, hides_only)
            total = np.matmul(p, np.ones((p.shape[-1], 1), dtype=p.dtype), out=totals[tile.at_queries])
            if mask is not None:
                total[total == 0] = 1
            log_total = np.log(total, out=log_totals[tile.at_queries])
            if peak is not None:
                log_total += peak
            weights = p if inputs.keep is None else _dropped(p, inputs.keep, inputs, tile)
            out = multiply(weights, inputs.v[tile.at_keys], y[tile.at_queries])
            out /= total

    _share_out(inputs, work)
    return Kept(y, log_totals, powers, None if powers is None else totals)


def _backward(
    inputs: Inputs,
    kept: Kept,
    gy: np.ndarray | None,
    g_log: np.ndarray | None,
    targets: tuple[np.ndarray, ...],
    needs_mask: bool,
) -> np.ndarray | None:
    """Write the gradients of queries, keys and values into `targets`; returns that of the mask."""
    gq, gk, gv = targets
    gy = np.zeros_like(kept.y) if gy is None else gy
    scale = gy.dtype.type(inputs.scale)

    def work(batch: slice, heads: slice) -> np.ndarray | None:
        gmask = np.zeros_like(inputs.mask) if needs_mask else None
        for tile in _tiles(inputs, batch, heads):
            if tile.is_first:
                values = _transposed("values", inputs.v[tile.at_keys], inputs)
                k = inputs.k[tile.at_keys]
                keys = _transposed("keys", k, inputs) if kept.powers is None else k.mT
            q, k = inputs.q[tile.at_queries], inputs.k[tile.at_keys]
            p = _powers_again(inputs, kept, tile, keys)
            total = 1.0 if kept.totals is None else kept.totals[tile.at_queries]
            above = np.divide(gy[tile.at_queries], total, out=_scratch("above", gy[tile.at_queries]))
            weights = p if inputs.keep is None else _dropped(p, inputs.keep, inputs, tile)
            _deliver(weights.mT, above, gv, tile)
            if gmask is None:  # the scale is cheaper here than with the scores
                above *= scale
            gs = multiply(above, values[..., : p.shape[3]], _scratch("score gradients", p))
            if inputs.keep is not None:
                gs = _dropped(gs, inputs.keep, inputs, tile)
            shift = np.vecdot(above, kept.y[tile.at_queries])[..., None]
            if g_log is not None:
                shift -= g_log[tile.at_queries] * (1 if gmask is not None else scale) / total
            gs -= shift
            gs *= p
            if gmask is not None:
                part = _of(gmask, tile)
                part += _summed_to(part.shape, gs)
                gs *= scale
            multiply(gs, k, gq[tile.at_queries])
            _deliver(gs.mT, q, gk, tile)
        return gmask

    parts = _share_out(inputs, work)
    return sum(parts[1:], start=parts[0]) if needs_mask else None


def _transposed(name: str, x: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Keys or values as (N, H, features, steps), for products with all queries."""
    if inputs.q.shape[2] < _MANY_QUERIES:
        return x.mT
    copy = _scratch(name, x.mT)
    copy[...] = x.mT
    return copy


def _scores(inputs: Inputs, tile: Tile, keys: np.ndarray, powers: np.ndarray | None) -> np.ndarray:
    """The scaled products of a tile, in their place in `powers` if that is kept."""
    q, keys = inputs.q[tile.at_queries], keys[..., tile.keys]
    q = np.multiply(q, q.dtype.type(inputs.scale), out=_scratch("queries", q))
    if powers is not None:
        return multiply(q, keys, powers[tile.at_scores])
    return multiply(q, keys, scratch("attention scores", (*q.shape[:3], keys.shape[3]), q.dtype))


def _to_powers(p: np.ndarray, inputs: Inputs, tile: Tile, hides_only: bool) -> np.ndarray | None:
    """Scores to exponentials, in place; returns what was subtracted before, or None.

    The largest score of each query is subtracted only where exponentials might leave the range otherwise,
    which the extremes of the whole tile tell: it gains a twelfth.
    """
    limit = math.log(np.finfo(p.dtype).max) / 2
    is_small = hides_only and p.min() >= -limit and p.max() <= limit
    _add_masks(p, inputs, tile)
    peak = None
    if not is_small:
        peak = p.max(axis=-1, keepdims=True)
        if inputs.mask is not None:
            peak[peak == -math.inf] = 0
        p -= peak
    np.exp(p, out=p)
    return peak


def _powers_again(inputs: Inputs, kept: Kept, tile: Tile, keys: np.ndarray) -> np.ndarray:
    """The exponentials of a tile as they were kept, or else, made anew of transposed keys, its weights."""
    if kept.powers is not None:
        return kept.powers[tile.at_scores]
    p = _scores(inputs, tile, keys, None)
    _add_masks(p, inputs, tile)
    p -= kept.log_totals[tile.at_queries]
    return np.exp(p, out=p)


def _add_masks(p: np.ndarray, inputs: Inputs, tile: Tile) -> None:
    if inputs.mask is not None:
        p += _of(inputs.mask, tile)
    if inputs.causal:  # the keys up to the first query are seen by all of the tile
        hidden = p[..., tile.queries.start :]
        hidden += _causal_mask(hidden.shape[2], hidden.shape[3], p.dtype)


@functools.lru_cache(maxsize=8)
def _causal_mask(queries: int, keys: int, dtype: np.dtype) -> np.ndarray:
    mask = np.zeros((queries, keys), dtype=dtype)
    mask[np.arange(keys) > np.arange(queries)[:, None]] = -math.inf
    return mask


def _dropped(x: np.ndarray, keep: np.ndarray, inputs: Inputs, tile: Tile) -> np.ndarray:
    """What dropout leaves of the weights of a tile, or of their gradients."""
    factor = 0.0 if inputs.dropout == 1.0 else 1.0 / (1.0 - inputs.dropout)
    factors = np.multiply(_of(keep, tile), x.dtype.type(factor), out=_scratch("factors", x))
    factors *= x
    return factors


def _deliver(a: np.ndarray, b: np.ndarray, target: np.ndarray, tile: Tile) -> None:
    """The gradient that a tile gives to its keys or values."""
    place = target[tile.at_keys]
    if tile.is_first:
        multiply(a, b, place)
    else:
        place += multiply(a, b, _scratch("delivery", place))


def _of(mask: np.ndarray, tile: Tile) -> np.ndarray:
    """The part of a mask that belongs to a tile, a view."""
    return mask[tuple(at if size > 1 else slice(None) for at, size in zip(tile.at_scores, mask.shape))]


def _summed_to(shape: tuple[int, ...], g: np.ndarray) -> np.ndarray:
    stretched = tuple(i for i, size in enumerate(shape) if size == 1 < g.shape[i])
    return g.sum(axis=stretched, keepdims=True)


def _scratch(name: str, like: np.ndarray) -> np.ndarray:
    return scratch("attention " + name, like.shape, like.dtype)


def _keeps_powers(inputs: Inputs) -> bool:
    """Whether the weights take no more memory than what is kept anyway.

    To make them again costs a product and the exponentials: a fifth of forward and backward.
    """
    queries, keys = inputs.scores_shape[2:]
    return queries * keys <= (queries + keys) * (inputs.q.shape[3] + inputs.v.shape[3])


def _share_out(inputs: Inputs, work: Callable[[slice, slice], Any]) -> list[Any]:
    """Call `work` with the parts of the batch, or of the heads if there are more of those, on all threads."""
    batch, heads, queries, keys = inputs.scores_shape
    features = inputs.q.shape[3] + inputs.v.shape[3]
    load = batch * heads * queries * keys * (4 + features * MULTIPLICATION)
    if batch >= heads:
        return parallel(lambda part: work(part, slice(0, heads)), batch, load)
    return parallel(lambda part: work(slice(0, batch), part), heads, load)


def _tiles(inputs: Inputs, batch: slice, heads: slice) -> Iterator[Tile]:
    """Tiles of about `_TILE_BYTES` each. The last queries come first, as they see all keys."""
    _, _, queries, keys = inputs.scores_shape
    rows = max(_TILE_BYTES // (keys * inputs.q.itemsize), 1)
    at_once = min(rows, max(_CAUSAL_QUERIES, -(-queries // 4)) if inputs.causal else queries, queries)
    several_heads = max(rows // at_once, 1)
    sequences = max(several_heads // (heads.stop - heads.start), 1)
    for n in range(batch.start, batch.stop, sequences):
        for h in range(heads.start, heads.stop, several_heads):
            of_batch = slice(n, min(n + sequences, batch.stop))
            of_heads = slice(h, min(h + several_heads, heads.stop))
            for stop in range(queries, 0, -at_once):
                is_first = stop == queries
                seen = keys if is_first or not inputs.causal else min(stop, keys)
                at = slice(max(stop - at_once, 0), stop)
                yield Tile(of_batch, of_heads, at, slice(0, seen), is_first)
