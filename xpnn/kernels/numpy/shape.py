"""Resampling in NumPy: products with small blocks of the matrix of weights, which is zero off a band."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.parallel import parallel

# Output cells of a block: with more there are more zeros in it, with fewer there are more products.
_BLOCK = 32

Block = tuple[slice, slice, np.ndarray]


def _is_finite(x: np.ndarray, **options: Any) -> bool:
    """Whether no zero of a block meets an infinity."""
    return x.size > 0 and math.isfinite(np.vdot(x, x))


@kernel("numpy", "resample", when=_is_finite)
def resample(x: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_resample`."""
    blocks = _blocks(taps, x.dtype.char)
    y = np.empty((*x.shape[:axis], len(taps.cells[0]), *x.shape[axis + 1 :]), dtype=x.dtype)
    source, target = _rows(x, axis), _rows(y, axis)

    def work(part: slice) -> None:
        for output, cells, weights in blocks:
            _multiply(weights, source[part, cells], target[part, output])

    parallel(work, len(source), y.size * _BLOCK // 8)
    return y, ()


@kernel("numpy", "add_to_taps", when=_is_finite)
def add_to_taps(gy: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_add_to_taps`."""
    blocks = _blocks(taps, gy.dtype.char)
    gx = np.zeros((*gy.shape[:axis], taps.count, *gy.shape[axis + 1 :]), dtype=gy.dtype)
    source, target = _rows(gy, axis), _rows(gx, axis)

    def work(part: slice) -> None:
        for output, cells, weights in blocks:
            given = source[part, output]
            added = np.empty((given.shape[0], weights.shape[1], given.shape[2]), dtype=gy.dtype)
            _multiply(weights.T, given, added)
            target[part, cells] += added

    parallel(work, len(source), gy.size * _BLOCK // 8)
    return gx, ()


def _multiply(weights: np.ndarray, given: np.ndarray, out: np.ndarray) -> None:
    """`weights @ given` for (rows, cells, inner) given; with one cell inside, a product of all rows."""
    if given.shape[2] == 1:
        np.matmul(given[:, :, 0], weights.T, out=out[:, :, 0])
    else:
        np.matmul(weights, given, out=out)


def _rows(x: np.ndarray, axis: int) -> np.ndarray:
    """(rows, cells of the axis, cells inside of one)."""
    return np.reshape(x, (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])))


@functools.lru_cache(maxsize=256)
def _blocks(taps: Any, char: str) -> list[Block]:
    """For each run of output cells: the run, the input cells that it is made of, and their weights."""
    cells, weights = np.asarray(taps.cells), np.asarray(taps.weights)
    blocks = []
    for first in range(0, cells.shape[1], _BLOCK):
        output = slice(first, min(first + _BLOCK, cells.shape[1]))
        low, high = int(cells[:, output].min()), int(cells[:, output].max()) + 1
        matrix = np.zeros((output.stop - first, high - low))
        for row, share in zip(cells[:, output] - low, weights[:, output]):
            np.add.at(matrix, (np.arange(len(row)), row), share)
        blocks.append((output, slice(low, high), matrix.astype(char)))
    return blocks
