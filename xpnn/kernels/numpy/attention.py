"""Attention in NumPy: for a piece of the batch at a time, whose scores stay in the cache.

Times are of 16 sequences of 128 steps with 4 heads of 32 features, forward and backward, in float32, on one
thread of a busy machine, in ms of its CPU time: compare them with each other only. The reference takes 14.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend import kernel

# Bytes of the scores that are worked on at a time: 6.8, all at once 9.2.
_CHUNK_BYTES = 256 * 1024

Options = dict[str, Any]


def _same_batch(q: np.ndarray, k: np.ndarray, v: np.ndarray, *rest: Any, **options: Any) -> bool:
    return q.ndim >= 3 and q.shape[:-2] == k.shape[:-2] == v.shape[:-2] and k.shape[-2] > 0


@kernel("numpy", "attention", when=_same_batch)
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
    """The reference's `_attention`; what is kept of the weights are the exponentials, not divided yet.

    The scale goes into the queries, and the softmax's denominator into the output and the gradients of it:
    they are smaller than the scores. Results lie in memory as the queries do, so that heads are joined
    without a copy.
    """
    scale = q.dtype.type(scale)
    y = np.empty_like(q, shape=(*q.shape[:-1], v.shape[-1]))
    powers = np.empty((*q.shape[:-1], k.shape[-2]), dtype=q.dtype)
    totals = np.empty((*q.shape[:-1], 1), dtype=q.dtype)
    log_totals = np.empty_like(totals)
    below = _causal_mask(q.shape[-2], k.shape[-2], q.dtype) if causal else None
    ones = np.ones((k.shape[-2], 1), dtype=q.dtype)
    for part in _chunks(powers):
        p, total = powers[part], totals[part]
        np.matmul(q[part] * scale, k[part].mT, out=p)
        for added in (below, _of(mask, part, p)):
            if added is not None:
                p += added
        peak = p.max(axis=-1, keepdims=True)
        if mask is not None:
            peak[peak == -math.inf] = 0
        p -= peak
        np.exp(p, out=p)
        np.matmul(p, ones, out=total)  # a product: the sum takes twice as long
        if mask is not None:
            total[total == 0] = 1
        np.add(peak, np.log(total), out=log_totals[part])
        np.matmul(p if keep is None else p * _factors(keep[part], dropout, p), v[part], out=y[part])
        y[part] /= total
    return (y, log_totals), (q, k, v, mask, keep, y, powers, totals)


@attention.backward
def _attention_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, causal: bool, scale: float, dropout: float
) -> tuple:
    q, k, v, mask, keep, y, powers, totals = saved
    gy, g_log = gradients
    if gy is None:
        gy = np.zeros_like(y)
    scale = q.dtype.type(scale)
    gq, gk, gv = (np.empty_like(x) for x in (q, k, v))
    gmask = None if mask is None or not needs[3] else np.zeros_like(mask)
    for part in _chunks(powers):
        p = d = powers[part]
        above = gy[part] / totals[part]
        gs = np.matmul(above, v[part].mT)
        if keep is not None:
            factors = _factors(keep[part], dropout, p)
            gs *= factors
            d = p * factors
        np.matmul(d.mT, above, out=gv[part])
        shift = np.vecdot(above, y[part])[..., None]
        gs -= shift if g_log is None else shift - g_log[part] / totals[part]
        gs *= p
        target = _of(gmask, part, p)
        if target is not None:
            target += _unbroadcast(gs, target.shape)
        np.matmul(gs, k[part] * scale, out=gq[part])
        np.matmul(gs.mT, q[part] * scale, out=gk[part])
    return gq, gk, gv, gmask, None


def _factors(keep: np.ndarray, dropout: float, like: np.ndarray) -> np.ndarray:
    return keep * like.dtype.type(0.0 if dropout == 1.0 else 1.0 / (1.0 - dropout))


def _of(mask: np.ndarray | None, part: slice, scores: np.ndarray) -> np.ndarray | None:
    """The part of a mask that belongs to a part of the batch, a view."""
    if mask is None or mask.ndim < scores.ndim or mask.shape[0] == 1:
        return mask
    return mask[part]


def _unbroadcast(g: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    added = g.ndim - len(shape)
    stretched = (added + i for i, size in enumerate(shape) if size == 1)
    return g.sum(axis=(*range(added), *stretched), keepdims=True).reshape(shape)


def _causal_mask(queries: int, keys: int, dtype: np.dtype) -> np.ndarray:
    mask = np.zeros((queries, keys), dtype=dtype)
    mask[np.arange(keys) > np.arange(queries)[:, None]] = -math.inf
    return mask


def _chunks(scores: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis, of `_CHUNK_BYTES` each."""
    one = max(math.prod(scores.shape[1:]) * scores.itemsize, 1)
    count = max(_CHUNK_BYTES // one, 1)
    for first in range(0, scores.shape[0], count):
        yield slice(first, first + count)
