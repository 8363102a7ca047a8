"""Group norm in NumPy: images as rows, one for each channel, each thread its own images.

A channel's sums over space are products of vectors. What follows from them is one number for each channel, or
each group, so that an image is passed over few times.
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.norm.layer import inverse_root
from xpnn.kernels.numpy.parallel import parallel

# Cells of a channel below which rows are too short.
_SHORTEST = 16

# Bytes of an array that are worked on at a time.
_CHUNK_BYTES = 512 * 1024

Vector = np.ndarray | None


def _has_long_rows(x: np.ndarray, w: Vector, b: Vector, *, groups: int, eps: float) -> bool:
    return x.size > 0 and math.prod(x.shape[2:]) >= _SHORTEST


@kernel("numpy", "group_norm", when=_has_long_rows)
def group_norm(
    x: np.ndarray, w: Vector, b: Vector, *, groups: int, eps: float
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple]:
    """The reference's `_group_norm`: y = (x - m) (r w) + b, with r = 1 / sqrt(v + eps) of a group."""
    images = _by_channel(x, groups)
    count, _, members, cells = images.shape
    y = np.empty(images.shape, dtype=x.dtype)
    mean, variance = np.empty((count, groups), dtype=x.dtype), np.empty((count, groups), dtype=x.dtype)
    ones, weights, shifts = (
        np.ones(members * cells, dtype=x.dtype),
        _by_group(w, groups),
        _by_group(b, groups),
    )

    def normalise(part: slice) -> None:
        for chunk in _chunks(part, images):
            flat = images[chunk].reshape(-1, groups, members * cells)
            m = np.matmul(flat, ones, out=mean[chunk])
            m /= members * cells
            out = y[chunk]
            centred = out.reshape(flat.shape)
            np.subtract(flat, m[..., None], out=centred)
            v = np.vecdot(centred, centred, out=variance[chunk])
            v /= members * cells
            r = inverse_root(v, eps)[..., None]
            out *= (r if weights is None else r * weights)[..., None]
            if shifts is not None:
                out += shifts[..., None]

    parallel(normalise, count, 5 * images.size)
    return (y.reshape(x.shape), mean, variance), (x, w, mean, variance)


@group_norm.backward
@saves_as_reference
def _group_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, groups: int, eps: float
) -> tuple[Vector, Vector, Vector]:
    """gx = gy (r w) - slope (x - m) - shift, where slope and shift are one number for each group."""
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    gy = np.zeros_like(x) if gy is None else gy
    images, above = _by_channel(x, groups), _by_channel(gy, groups)
    count, _, members, cells = images.shape
    size = members * cells
    ones = np.ones(cells, dtype=x.dtype)
    weights = np.ones((groups, members), dtype=x.dtype) if w is None else w.reshape(groups, members)
    gx = np.empty(images.shape, dtype=x.dtype) if needs[0] else None

    def pull_back(part: slice) -> np.ndarray:
        sums = np.zeros((2, groups, members), dtype=x.dtype)
        for chunk in _chunks(part, images):
            g, m = above[chunk], mean[chunk]
            centred = np.subtract(images[chunk], m[..., None, None], out=scratch("centred", g.shape, g.dtype))
            r = inverse_root(variance[chunk], eps)
            products, totals = np.vecdot(g, centred), g @ ones  # of each channel
            sums[0] += np.vecdot(products.T, r.T[None]).T
            sums[1] += totals.sum(axis=0)
            if gx is None:
                continue
            slope = np.vecdot(products, weights) * (r * r * r / size)
            shift = np.vecdot(totals, weights) * (r / size)
            if gmean is not None:
                shift -= gmean[chunk] / size
            if gvariance is not None:
                slope -= gvariance[chunk] * (2 / size)
            out = np.multiply(g, (r[..., None] * weights)[..., None], out=gx[chunk])
            centred *= slope[..., None, None]
            centred += shift[..., None, None]
            out -= centred
        return sums

    gw, gb = np.sum(parallel(pull_back, count, 7 * images.size), axis=0)
    return (
        None if gx is None else gx.reshape(x.shape),
        gw.reshape(-1) if needs[1] else None,
        gb.reshape(-1) if needs[2] else None,
    )


def _by_channel(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, ...) as (N, groups, channels of a group, cells), contiguous."""
    return np.ascontiguousarray(x).reshape(x.shape[0], groups, x.shape[1] // groups, math.prod(x.shape[2:]))


def _by_group(v: Vector, groups: int) -> Vector:
    return None if v is None else v.reshape(groups, -1)


def _chunks(part: slice, images: np.ndarray) -> list[slice]:
    count = max(_CHUNK_BYTES // max(images[0].nbytes, 1), 1)
    return [slice(i, min(i + count, part.stop)) for i in range(part.start, part.stop, count)]
