"""Cross entropy and likelihood of integer labels: one launch each way, two forward for many labels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    WARP,
    blocks_for,
    computed_in,
    cuda_kernel,
    in_rows,
    launch,
    library_of,
    takes,
)

_SOURCE = "cross_entropy.cu"
_REDUCTIONS = {"none": 0, "sum": 1, "mean": 2}
_FEW = 1024  # labels that one block takes
_MOST_BLOCKS = 1024
_WARPS = 16  # of a block: `__launch_bounds__` of the kernel


def _takes(x: Array, target: Array, weight: Array | None, kept: Array | None, **options: Any) -> bool:
    return target.ndim == x.ndim - 1 and target.dtype.char in "lq" and takes(x, weight, kept)


def _grid(rows: int) -> tuple[int, int]:
    """Blocks, and threads of each: a warp for a row."""
    blocks = 1 if rows <= _FEW else min(-(-rows // _WARPS), _MOST_BLOCKS)
    return blocks, WARP * min(rows, _WARPS)


def _losses(
    arrays: tuple, plain: bool, axis: int, reduction: str, label_smoothing: float
) -> tuple[Array, tuple]:
    x, labels = in_rows(arrays[0]), in_rows(arrays[1])
    weight, kept = map(in_rows, arrays[2:])
    library = library_of(x)
    rows, sizes = _sizes(x, axis)
    blocks, threads = _grid(rows)
    sums = library.empty((2 * blocks,), dtype=computed_in(x.dtype.char))
    way = np.int32(_REDUCTIONS[reduction])
    shape = labels.shape if reduction == "none" else ()
    result = library.empty(shape, dtype=x.dtype)
    losses, out = (result, None) if reduction == "none" else (None, result)
    args = (x, labels, weight, kept, losses, sums, out, rows, *sizes, np.int32(plain), way, label_smoothing)
    launch(_SOURCE, "cross_entropy", x, blocks, threads, args)
    if blocks > 1:
        launch(_SOURCE, "cross_entropy_end", x, 1, MOST_THREADS, (sums, out, blocks, way))
    return result, (*arrays, sums)


def _gradient(
    gy: Array, saved: tuple, plain: bool, axis: int, reduction: str, label_smoothing: float
) -> tuple[Array, None, None, None]:
    x, labels, sums = in_rows(saved[0]), in_rows(saved[1]), saved[4]
    weight, kept = map(in_rows, saved[2:4])
    gx = library_of(x).empty(x.shape, dtype=x.dtype)
    rows, sizes = _sizes(x, axis)
    threads = WARP * min(rows, MOST_THREADS // WARP)
    blocks = min(-(-rows * WARP // threads), _MOST_BLOCKS)
    way = np.int32(_REDUCTIONS[reduction])
    args = (in_rows(gy), x, labels, weight, kept, sums, gx, rows, *sizes, np.int32(plain), way)
    launch(_SOURCE, "cross_entropy_input", x, blocks, threads, (*args, label_smoothing))
    return gx, None, None, None


def _sizes(x: Array, axis: int) -> tuple[int, tuple[int, int]]:
    """The number of labels; the classes, and how far apart the scores of one label are."""
    return x.size // x.shape[axis], (x.shape[axis], prod(x.shape[axis + 1 :]))


def _cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None,
    kept: Array | None,
    *,
    axis: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[Array, tuple]:
    return _losses((x, target, weight, kept), False, axis, reduction, label_smoothing)


def _cross_entropy_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int, reduction: str, label_smoothing: float
) -> tuple[Any, ...]:
    return _gradient(gy, saved, False, axis, reduction, label_smoothing)


def _nll_loss(
    x: Array, target: Array, weight: Array | None, kept: Array | None, *, axis: int, reduction: str
) -> tuple[Array, tuple]:
    return _losses((x, target, weight, kept), True, axis, reduction, 0.0)


def _nll_loss_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int, reduction: str
) -> tuple[Any, ...]:
    return _gradient(gy, saved, True, axis, reduction, 0.0)


def _takes_labels(labels: Array, like: Array, **options: Any) -> bool:
    return labels.dtype.char in "lq" and labels.size > 0 and takes(like)


@kernel("cupy", "kept_labels", when=_takes_labels)
def kept_labels(labels: Array, like: Array, *, classes: int, ignore_index: int) -> tuple[Array, tuple]:
    """The reference's `_kept_labels`."""
    labels = in_rows(labels)
    kept = library_of(like).empty(labels.shape, dtype=like.dtype)
    args = (labels, kept, labels.size, classes, np.int64(ignore_index))
    launch(_SOURCE, "kept_labels", kept, blocks_for(labels.size), MOST_THREADS, args)
    return kept, ()


cuda_kernel("cross_entropy", _takes, _cross_entropy, _cross_entropy_backward)
cuda_kernel("nll_loss", _takes, _nll_loss, _nll_loss_backward)
