"""Resampling and sampling in NumPy.

Resampling is products with small blocks of the matrix of weights, which is zero off a band. For sampling the
channels of a cell lie next to each other, so that cells are read and added up as rows; one more row, of
zeros, stands for what lies outside.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.bands import Block, blocks_of_band, is_finite, multiply_along, multiply_back
from xpnn.kernels.numpy.chunks import CHUNK_BYTES
from xpnn.kernels.numpy.embedding import sums_of_runs
from xpnn.kernels.numpy.parallel import in_pieces


@kernel("numpy", "resample", when=is_finite)
def resample(x: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_resample`."""
    return multiply_along(x, axis, _blocks(taps, x.dtype.char)), ()


@kernel("numpy", "add_to_taps", when=is_finite)
def add_to_taps(gy: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_add_to_taps`."""
    return multiply_back(gy, axis, _blocks(taps, gy.dtype.char), taps.count), ()


@functools.lru_cache(maxsize=256)
def _blocks(taps: Any, char: str) -> list[Block]:
    return blocks_of_band(np.asarray(taps.cells), np.asarray(taps.weights), char)


# Passes over what is read from the cells, for threads: reading, weighting and adding up.
_PASSES = 4


def _not_empty(x: np.ndarray, w: np.ndarray, cells: np.ndarray, **options: object) -> bool:
    return x.size > 0 and w.size > 0 and cells.size > 0


@kernel("numpy", "sampled_cells", when=_not_empty)
def sampled_cells(x: np.ndarray, w: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The reference's `_sampled_cells`."""
    (count, channels, space), places = x.shape, w.shape[2]
    y = np.empty((count, channels, places), dtype=x.dtype)

    def read(part: slice) -> None:
        for images in _few(part, cells, x):
            table = _table(x[images])
            for some, rows, shape in _pieces(cells[images], space, x):
                values = table.take(rows, axis=0)
                values *= _spread(w[images, :, some], channels)
                y[images, :, some] = np.add.reduce(values.reshape(shape), axis=1).transpose(0, 2, 1)

    in_pieces(read, count, _PASSES * cells.size * channels)
    return y, (x, w, cells)


@kernel("numpy", "add_to_sampled", when=_not_empty)
def add_to_sampled(
    gy: np.ndarray, w: np.ndarray, cells: np.ndarray, *, count: int
) -> tuple[np.ndarray, tuple]:
    """The reference's `_add_to_sampled`."""
    channels = gy.shape[1]
    gx = np.empty((len(gy), channels, count), dtype=gy.dtype)

    def add(part: slice) -> None:
        for images in _few(part, cells, gy):
            total = np.zeros((images.stop - images.start, count + 1, channels), dtype=gy.dtype)
            table = total.reshape(-1, channels)
            for some, rows, shape in _pieces(cells[images], count, gy):
                values = _spread(w[images, :, some], channels)
                values.reshape(shape)[...] *= _channels_last(gy[images, :, some])[:, None]
                sums, targets = sums_of_runs(values, rows, len(table))
                table[targets] += sums
            gx[images] = total[:, :count].transpose(0, 2, 1)

    in_pieces(add, len(gy), 2 * _PASSES * cells.size * channels)
    return gx, (gy, w, cells)


@kernel("numpy", "products_with_sampled", when=_not_empty)
def products_with_sampled(gy: np.ndarray, x: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The reference's `_products_with_sampled`."""
    count, channels, space = x.shape
    products, ones = np.empty(cells.shape, dtype=gy.dtype), np.ones(channels, dtype=gy.dtype)

    def multiply(part: slice) -> None:
        for images in _few(part, cells, x):
            table = _table(x[images])
            for some, rows, shape in _pieces(cells[images], space, x):
                values = table.take(rows, axis=0)
                values.reshape(shape)[...] *= _channels_last(gy[images, :, some])[:, None]
                products[images, :, some] = (values @ ones).reshape(shape[:-1])

    in_pieces(multiply, count, _PASSES * cells.size * channels)
    return products, (gy, x, cells)


def _few(part: slice, cells: np.ndarray, x: np.ndarray) -> Iterator[slice]:
    """Slices of the images in `part`, at least one, of which some hundred KB of cells are read."""
    step = max(CHUNK_BYTES // (cells[0].size * x.shape[1] * x.itemsize), 1)
    for first in range(part.start, part.stop, step):
        yield slice(first, min(first + step, part.stop))


def _pieces(
    cells: np.ndarray, space: int, x: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, tuple[int, int, int, int]]]:
    """Of a few images' places: a slice, the rows of their cells in the images' `_table`, one after the other,
    and the shape (images, K, places, C) of what those hold."""
    images, taps, places = cells.shape
    channels = x.shape[1]
    step = max(CHUNK_BYTES // (images * taps * channels * x.itemsize), 1)
    starts = np.arange(images)[:, None, None] * (space + 1)
    for first in range(0, places, step):
        some = slice(first, min(first + step, places))
        rows = cells[:, :, some]
        rows = np.where(rows < 0, space, rows)
        rows += starts
        yield some, rows.ravel(), (images, taps, some.stop - first, channels)


def _table(images: np.ndarray) -> np.ndarray:
    """Images (n, C, cells) as rows of channels, with a row of zeros after each image."""
    count, channels, space = images.shape
    table = np.empty((count, space + 1, channels), dtype=images.dtype)
    table[:, :-1] = images.transpose(0, 2, 1)
    table[:, -1] = 0
    return table.reshape(-1, channels)


def _channels_last(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 2, 1))


def _spread(w: np.ndarray, channels: int) -> np.ndarray:
    """Weights as rows of `channels` equal numbers: a product with ones is the fastest way.

    A second column of zeros makes it one of matrices: NumPy has a slow one for a single column.
    """
    left, right = np.zeros((w.size, 2), dtype=w.dtype), np.zeros((2, channels), dtype=w.dtype)
    left[:, 0], right[0] = w.ravel(), 1
    return left @ right
