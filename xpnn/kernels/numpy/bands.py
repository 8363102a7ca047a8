"""Products along an axis with a matrix that is zero off a band, by small blocks of it."""

from __future__ import annotations

import math

import numpy as np

from xpnn.kernels.numpy.parallel import parallel

# Output cells of a block: with more there are more zeros in it, with fewer there are more products.
_BLOCK = 32

Block = tuple[slice, slice, np.ndarray]


def is_finite(x: np.ndarray, **options: object) -> bool:
    """Whether no zero of a block meets an infinity."""
    return x.size > 0 and math.isfinite(np.vdot(x, x))


def blocks_of_band(cells: np.ndarray, weights: np.ndarray, char: str) -> list[Block]:
    """For each run of output cells: the run, the input cells that it is made of, and their weights.

    Args:
        cells, weights: (taps, output cells): output cell i is the sum of `weights[k, i] x[cells[k, i]]`.
        char: the element type's.
    """
    blocks = []
    for first in range(0, cells.shape[1], _BLOCK):
        output = slice(first, min(first + _BLOCK, cells.shape[1]))
        low, high = int(cells[:, output].min()), int(cells[:, output].max()) + 1
        matrix = np.zeros((output.stop - first, high - low))
        for row, share in zip(cells[:, output] - low, weights[:, output]):
            np.add.at(matrix, (np.arange(len(row)), row), share)
        blocks.append((output, slice(low, high), matrix.astype(char)))
    return blocks


def multiply_along(x: np.ndarray, axis: int, blocks: list[Block]) -> np.ndarray:
    """The product of the matrix with the cells along an axis."""
    y = np.empty((*x.shape[:axis], blocks[-1][0].stop, *x.shape[axis + 1 :]), dtype=x.dtype)
    source, target = _rows(x, axis), _rows(y, axis)

    def work(part: slice) -> None:
        for output, cells, weights in blocks:
            _multiply(weights, source[part, cells], target[part, output])

    parallel(work, len(source), y.size * _BLOCK // 8)
    return y


def multiply_back(gy: np.ndarray, axis: int, blocks: list[Block], count: int) -> np.ndarray:
    """The product of the transposed matrix, of `count` rows, with the cells along an axis."""
    whole = len(blocks) == 1 and blocks[0][2].shape[1] == count
    gx = (np.empty if whole else np.zeros)((*gy.shape[:axis], count, *gy.shape[axis + 1 :]), dtype=gy.dtype)
    source, target = _rows(gy, axis), _rows(gx, axis)

    def work(part: slice) -> None:
        for output, cells, weights in blocks:
            given = source[part, output]
            if whole:
                _multiply(weights.T, given, target[part])
                continue
            added = np.empty((given.shape[0], weights.shape[1], given.shape[2]), dtype=gy.dtype)
            _multiply(weights.T, given, added)
            target[part, cells] += added

    parallel(work, len(source), gy.size * _BLOCK // 8)
    return gx


def _multiply(weights: np.ndarray, given: np.ndarray, out: np.ndarray) -> None:
    """`weights @ given` for (rows, cells, inner) given; with one cell inside, a product of all rows."""
    if given.shape[2] == 1:
        np.matmul(given[:, :, 0], weights.T, out=out[:, :, 0])
    else:
        np.matmul(weights, given, out=out)


def _rows(x: np.ndarray, axis: int) -> np.ndarray:
    """(rows, cells of the axis, cells inside of one)."""
    return np.reshape(x, (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])))
