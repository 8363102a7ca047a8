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
from xpnn.kernels.numpy.products import equal_share
from xpnn.kernels.numpy.small_products import multiply

# Bytes of the scores that are worked on at a time. Two threads wait for Python's lock after each operation,
# the longer the smaller these are.
_TILE_BYTES = 2 * 1024 * 1024

# Queries from which a tile has a part of the keys rather than fewer queries: products with few are slow.
_TILE_QUERIES = 512

# Of queries that see earlier keys alone, so many or an eighth are worked on at a time: the fewer, the less is
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
    """A part of the scores: some sequences, some heads, some queries, and some of the keys that they see."""

    batch: slice
    heads: slice
    queries: slice
    keys: slice
    opens_queries: bool  # is the first of the tiles with these queries
    closes_queries: bool  # is the last of them
    opens_keys: bool  # is the first of the tiles with these keys

    @property
    def opens_heads(self) -> bool:
        """Whether it is the first of the tiles of these sequences and heads."""
        return self.opens_queries and self.opens_keys

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
    # Exponentials of scores up to this cannot leave the range: the largest need not be subtracted first.
    limit = math.log(np.finfo(y.dtype).max) / 2

    def work(batch: slice, heads: slice) -> None:
        cut_keys = powers is None and hides_only and _largest_score(inputs, batch, heads) <= limit
        for tile in _tiles(inputs, batch, heads, cut_keys=cut_keys):
            if tile.opens_heads:
                keys = _transposed("keys", inputs.k[tile.batch, tile.heads], inputs)
            p = _scores(inputs, tile, keys, powers)
            is_small = cut_keys or (hides_only and p.min() >= -limit and p.max() <= limit)
            _add_masks(p, inputs, tile)
            peak = None if is_small else _subtract_largest(p)
            np.exp(p, out=p)
            total, out = totals[tile.at_queries], y[tile.at_queries]
            part = np.matmul(p, np.ones((p.shape[-1], 1), dtype=p.dtype))
            np.add(0 if tile.opens_queries else total, part, out=total)
            weights = p if inputs.keep is None else _dropped(p, inputs.keep, inputs, tile)
            _deliver(weights, inputs.v[tile.at_keys], out, tile.opens_queries)
            if not tile.closes_queries:
                continue
            total[total == 0] = 1
            log_total = np.log(total, out=log_totals[tile.at_queries])
            if peak is not None:
                log_total += peak
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
    all_finite = np.isfinite(np.sum(inputs.v))

    def work(batch: slice, heads: slice) -> np.ndarray | None:
        gmask = np.zeros_like(inputs.mask) if needs_mask else None
        for tile in _tiles(inputs, batch, heads, cut_keys=kept.powers is None):
            if tile.opens_heads:
                values = _transposed("values", inputs.v[tile.batch, tile.heads], inputs)
                k = inputs.k[tile.batch, tile.heads]
                keys = _transposed("keys", k, inputs) if kept.powers is None else k.mT
            q, k = inputs.q[tile.at_queries], inputs.k[tile.at_keys]
            p = _powers_again(inputs, kept, tile, keys)
            total = 1.0 if kept.totals is None else kept.totals[tile.at_queries]
            above = np.divide(gy[tile.at_queries], total, out=_scratch("above", gy[tile.at_queries]))
            weights = p if inputs.keep is None else _dropped(p, inputs.keep, inputs, tile)
            _deliver(weights.mT, above, gv[tile.at_keys], tile.opens_keys)
            if gmask is None:  # the scale is cheaper here than with the scores
                above *= scale
            shift = np.vecdot(above, kept.y[tile.at_queries])[..., None]
            if g_log is not None:
                shift -= g_log[tile.at_queries] * (1 if gmask is not None else scale) / total
            gs = _scratch("score gradients", p)
            if inputs.keep is None:
                _product_plus(above, values[..., tile.keys], -shift, gs)
            else:
                multiply(above, values[..., : above.shape[3], tile.keys], gs)
                gs = _dropped(gs, inputs.keep, inputs, tile)
                gs -= shift
            gs *= p
            if not all_finite:  # the value of a key that is not seen may be infinite
                gs[p == 0] = 0
            if gmask is not None:
                part = _of(gmask, tile)
                part += _summed_to(part.shape, gs)
                gs *= scale
            _deliver(gs, k, gq[tile.at_queries], tile.opens_queries)
            _deliver(gs.mT, q, gk[tile.at_keys], tile.opens_keys)
        return gmask

    parts = _share_out(inputs, work)
    return sum(parts[1:], start=parts[0]) if needs_mask else None


def _transposed(name: str, x: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Keys or values as (N, H, features, steps), for products with all queries; copies end in ones."""
    if inputs.q.shape[2] < _MANY_QUERIES:
        return x.mT
    *stack, steps, features = x.shape
    copy = scratch("attention " + name, (*stack, features + 1, steps), x.dtype)
    copy[..., :features, :] = x.mT
    copy[..., features:, :] = 1
    return copy


def _product_plus(a: np.ndarray, b: np.ndarray, column: np.ndarray, out: np.ndarray) -> np.ndarray:
    """a b + column: one product if b has a row of ones below, which spares a pass over the result."""
    features = a.shape[-1]
    if b.shape[-2] == features:
        multiply(a, b, out)
        out += column
        return out
    wide = scratch("attention wide", (*a.shape[:-1], features + 1), a.dtype)
    wide[..., :features] = a
    wide[..., features:] = column
    return multiply(wide, b, out)


def _scores(inputs: Inputs, tile: Tile, keys: np.ndarray, powers: np.ndarray | None) -> np.ndarray:
    """The scaled products of a tile, in their place in `powers` if that is kept."""
    q = _scaled_queries(inputs, tile)
    keys = keys[..., : q.shape[3], tile.keys]
    if powers is not None:
        return multiply(q, keys, powers[tile.at_scores])
    return multiply(q, keys, scratch("attention scores", (*q.shape[:3], keys.shape[3]), q.dtype))


def _scaled_queries(inputs: Inputs, tile: Tile) -> np.ndarray:
    q = inputs.q[tile.at_queries]
    return np.multiply(q, q.dtype.type(inputs.scale), out=_scratch("queries", q))


def _largest_score(inputs: Inputs, batch: slice, heads: slice) -> float:
    """A bound on the sizes of all scores: no product is larger than that of the vectors' lengths."""
    parts = (inputs.q[batch, heads], inputs.k[batch, heads])
    return abs(inputs.scale) * math.prod(math.sqrt(np.vecdot(part, part).max()) for part in parts)


def _subtract_largest(p: np.ndarray) -> np.ndarray:
    """Subtract the largest score of each query, of all keys, in place; returns it."""
    peak = p.max(axis=-1, keepdims=True)
    peak[peak == -math.inf] = 0
    p -= peak
    return peak


def _powers_again(inputs: Inputs, kept: Kept, tile: Tile, keys: np.ndarray) -> np.ndarray:
    """The exponentials of a tile as they were kept, or else, made anew of transposed keys, its weights."""
    if kept.powers is not None:
        return kept.powers[tile.at_scores]
    q, keys = _scaled_queries(inputs, tile), keys[..., tile.keys]
    p = scratch("attention scores", (*q.shape[:3], keys.shape[3]), q.dtype)
    _product_plus(q, keys, -kept.log_totals[tile.at_queries], p)
    _add_masks(p, inputs, tile)
    return np.exp(p, out=p)


def _add_masks(p: np.ndarray, inputs: Inputs, tile: Tile) -> None:
    if inputs.mask is not None:
        p += _of(inputs.mask, tile)
    if inputs.causal:  # the keys up to the first query are seen by all of the tile
        ahead = tile.keys.start - tile.queries.start
        hidden = p[..., max(-ahead, 0) :]
        bounds = _causal_bounds(hidden.shape[2], hidden.shape[3], max(ahead, 0), p.dtype)
        np.fmin(hidden, bounds, out=hidden)  # which hides NaN too; one that is seen becomes infinite


@functools.lru_cache(maxsize=8)
def _causal_bounds(queries: int, keys: int, ahead: int, dtype: np.dtype) -> np.ndarray:
    """Infinity, or minus infinity for keys that come after the query.

    Args:
        ahead: how far after the first query the first key comes.
    """
    bounds = np.full((queries, keys), math.inf, dtype=dtype)
    bounds[np.arange(ahead, ahead + keys) > np.arange(queries)[:, None]] = -math.inf
    return bounds


def _dropped(x: np.ndarray, keep: np.ndarray, inputs: Inputs, tile: Tile) -> np.ndarray:
    """What dropout leaves of the weights of a tile, or of their gradients."""
    factor = 0.0 if inputs.dropout == 1.0 else 1.0 / (1.0 - inputs.dropout)
    factors = np.multiply(_of(keep, tile), x.dtype.type(factor), out=_scratch("factors", x))
    factors *= x
    return factors


def _deliver(a: np.ndarray, b: np.ndarray, place: np.ndarray, is_first: bool) -> None:
    """Write a product to its place, or add it to what earlier tiles have brought there."""
    if is_first:
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


def _tiles(inputs: Inputs, batch: slice, heads: slice, *, cut_keys: bool) -> Iterator[Tile]:
    """Tiles of about `_TILE_BYTES` each. The last queries come first, as they see all keys.

    Args:
        cut_keys: whether a tile may have a part of its queries' keys.
    """
    _, _, queries, keys = inputs.scores_shape
    scores = _TILE_BYTES // inputs.q.itemsize
    rows = max(scores // keys, _TILE_QUERIES if cut_keys else 1)
    rows = min(rows, max(_CAUSAL_QUERIES, -(-queries // 8))) if inputs.causal else rows
    rows = equal_share(queries, rows)
    columns = equal_share(keys, max(scores // rows, 1)) if cut_keys else keys
    several_heads = max(scores // (rows * columns), 1)
    sequences = max(several_heads // (heads.stop - heads.start), 1)
    for n in range(batch.start, batch.stop, sequences):
        for h in range(heads.start, heads.stop, several_heads):
            of_batch = slice(n, min(n + sequences, batch.stop))
            of_heads = slice(h, min(h + several_heads, heads.stop))
            for stop in range(queries, 0, -rows):
                at = slice(max(stop - rows, 0), stop)
                opens_keys = stop == queries
                seen = keys if opens_keys or not inputs.causal else min(stop, keys)
                for first in range(0, seen, columns):
                    last = min(first + columns, seen)
                    yield Tile(
                        of_batch, of_heads, at, slice(first, last), first == 0, last == seen, opens_keys
                    )
