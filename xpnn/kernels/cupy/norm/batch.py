"""Batch norm in two launches each way, with the relu and the sum of a residual block in them."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.images import Images, images_of
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    blocks_for,
    computed_in,
    cuda_kernel,
    in_rows,
    launch,
    library_of,
    lying_alike,
    takes,
    threads_for,
)

_SOURCE = "batch_norm.cu"
_PART = 4096  # elements of a channel that a block takes, which stay in its cache from pass to pass
_MOST_PARTS = 64


def _takes(x: Array, w: Array, b: Array, residual: Array, **options: Any) -> bool:
    return x.ndim >= 2 and takes(x, w, b, residual)


def _sizes(images: Images) -> tuple[tuple[int, int, int, int], int, int]:
    """What kernels are told of the sizes, the blocks that share a channel, and the threads of each."""
    x = images.array
    size = prod(x.shape[2:])
    count = x.shape[0] * size
    parts = max(min(-(-count // _PART), _MOST_PARTS), 1)
    return (count, size, images.image, images.plane), parts, threads_for(-(-count // parts))


def _batch_norm(
    x: Array, w: Array | None, b: Array | None, residual: Array | None, *, eps: float, relu: bool
) -> tuple[tuple[Array, Array, Array], tuple]:
    images = images_of(x)
    z = images.array
    if residual is not None:
        z, residual = lying_alike(z, residual)
    library, inside, channels = library_of(x), computed_in(x.dtype.char), x.shape[1]
    sizes, parts, threads = _sizes(images)
    means, squares = (library.empty((channels * parts,), dtype=inside) for _ in range(2))
    grid = channels * parts
    launch(_SOURCE, "batch_statistics", z, grid, threads, (z, means, squares, *sizes, parts))
    y = library.empty_like(z)
    mean, variance = (library.empty((channels,), dtype=inside) for _ in range(2))
    arrays = (z, in_rows(w), in_rows(b), residual, means, squares, y, mean, variance)
    args = (*arrays, *sizes, parts, parts, np.int32(relu), eps)
    launch(_SOURCE, "batch_norm", z, grid, threads, args)
    return (y, mean, variance), (x, w, mean, variance, y if relu else None)


def _batch_norm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, eps: float, relu: bool
) -> tuple[Array | None, ...]:
    x, w, mean, variance, y = saved
    gy, gmean, gvariance = above
    mean, variance = in_rows(mean), in_rows(variance)
    library, inside, channels = library_of(x), computed_in(x.dtype.char), x.shape[1]
    if gy is None:
        gy = library.zeros_like(x)
    images = images_of(x)
    x = images.array
    x, gy, *others = lying_alike(x, gy, *(() if y is None else (y,)))
    y = others[0] if others else None
    sizes, parts, threads = _sizes(images)
    totals, products = (library.empty((channels * parts,), dtype=inside) for _ in range(2))
    grid = channels * parts
    launch(_SOURCE, "batch_norm_sums", x, grid, threads, (gy, x, y, mean, totals, products, *sizes, parts))
    gx = library.empty_like(x) if needs[0] else None
    gresidual = library.empty_like(x) if needs[3] and y is not None else None
    gw = library.empty((channels,), dtype=x.dtype) if needs[1] and w is not None else None
    gb = library.empty((channels,), dtype=x.dtype) if needs[2] else None
    vectors = (in_rows(w), mean, variance, totals, products, in_rows(gmean), in_rows(gvariance))
    args = (gy, x, y, *vectors, gx, gresidual, gw, gb, *sizes, parts, parts, eps)
    launch(_SOURCE, "batch_norm_gradients", x, grid, threads, args)
    return gx, gw, gb, gresidual if y is not None else gy


def _takes_statistics(
    old_mean: Array, old_var: Array, mean: Array, variance: Array, *, count: int, momentum: Any
) -> bool:
    return type(momentum) is float and takes(old_mean, old_var, mean, variance)


@kernel("cupy", "moved_statistics", when=_takes_statistics)
def moved_statistics(
    old_mean: Array, old_var: Array, mean: Array, variance: Array, *, count: int, momentum: float
) -> tuple[tuple[Array, Array], tuple]:
    """The reference's `_moved_statistics`."""
    arrays = [in_rows(array) for array in (old_mean, old_var, mean, variance)]
    new = [library_of(array).empty(array.shape, dtype=array.dtype) for array in arrays[:2]]
    numbers = (arrays[0].size, count / max(count - 1, 1), momentum, 1 - momentum)
    blocks = blocks_for(arrays[0].size)
    launch(_SOURCE, "moved_statistics", arrays[0], blocks, MOST_THREADS, (*arrays, *new, *numbers))
    return (new[0], new[1]), ()


def _takes_inference(x: Array, *vectors: Array | None, **options: Any) -> bool:
    return x.ndim >= 2 and x.itemsize > 2 and takes(x, *vectors)


@kernel("cupy", "batch_norm_inference", when=_takes_inference)
def batch_norm_inference(
    x: Array,
    mean: Array,
    variance: Array,
    w: Array | None,
    b: Array | None,
    residual: Array | None,
    *,
    eps: float,
    relu: bool,
) -> tuple[Array, tuple]:
    """The reference's `_batch_norm_inference`, with its backward."""
    images = images_of(x)
    z, given = images.array, residual
    if residual is not None:
        z, given = lying_alike(z, residual)
    sizes, parts, threads = _sizes(images)
    y = library_of(x).empty_like(z)
    vectors = map(in_rows, (mean, variance, w, b))
    args = (z, *vectors, given, y, *sizes, parts, np.int32(relu), eps)
    launch(_SOURCE, "batch_norm_inference", z, x.shape[1] * parts, threads, args)
    return y, (x, mean, variance, w, y if relu else None)


cuda_kernel("batch_norm", _takes, _batch_norm, _batch_norm_backward, alike=True)
