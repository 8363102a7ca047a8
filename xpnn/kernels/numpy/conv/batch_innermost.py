"""Convolution of a few channels with the batch innermost in memory: runs of numbers as long as the batch.

Inside, images are (H, W, C, N), and so is the memory of the result, which the user sees as (N, O, OH, OW), a
transposed view. Elementwise operations, pooling and batch norm keep it so, and the next convolution of few
channels finds its input as it wants it.

Windows are gathered along the height alone, as (rows, columns, KH * C, n): what a window sees is one matrix
of KW * KH * C rows, which the product reads where it is; those of neighbours overlap. With few outputs a
product of matrices is too small to be fast. So one product makes several neighbours, a tile: it has their
kernels, each with zeros around it for the columns that only the others see. For four windows of 5x5 these
are 1.6 times the multiplications, in a quarter of the products.

Zeros times infinity spread: where an image isn't finite, more of its results are NaN than had to be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.backend.kernels import COMPILED
from xpnn.kernels.numpy.chunks import contiguous
from xpnn.kernels.numpy.conv.layout import Pairs, chunks, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, in_pieces

# Few channels, enough images to be a long run in memory, and little for each image.
_CHANNELS = 6
_FEWEST_IMAGES = 16
_LARGEST_RESULT = 120_000  # bytes

# Outputs that a tile has at least, and the columns that it has at most.
_OUTPUTS_OF_A_TILE = 24
_WIDEST_TILE = 4

# Bytes of windows that are worked on at a time.
_CHUNK_BYTES = 1024 * 1024

# Images that are worked on at a time: products beyond some size leave the BLAS's way for small ones.
_MOST_IMAGES = 512

# Images that are copied at a time into memory where they are innermost: a line of the cache in float32.
_IMAGES_OF_A_LINE = 16

Tile = tuple[slice, int]  # columns of the result, and how many of them a tile has


def _suits(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
) -> bool:
    return (
        b is not None  # before a batch norm there is none, and what follows has many channels
        and x.ndim == 4
        and 0 < x.shape[1] <= _CHANNELS
        and len(x) >= _FEWEST_IMAGES
        and 0 < len(w) * x.shape[2] * x.shape[3] * x.itemsize <= _LARGEST_RESULT
        and groups == 1
        and {*stride, *dilation} == {1}
        and min(map(min, padding)) >= 0
        and x.dtype == w.dtype
        and x.dtype in (np.float32, np.float64)
    )


@kernel("numpy", "conv", when=_suits, priority=COMPILED + 1)
def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, *, padding: Pairs, **options: Any
) -> tuple[np.ndarray, tuple]:
    """The reference's `conv`, without strides."""
    canvas = _canvas(x, padding)
    rows, columns = (n - k + 1 for n, k in zip(canvas.shape, w.shape[2:]))
    y = np.empty((rows, columns, len(w), len(x)), dtype=x.dtype)
    tiles = [(at, width, _kernels_of_a_tile(w, width)) for at, width in _tiles(columns, len(w))]

    def work(part: slice) -> None:
        for rows, images, windows in _windows(canvas, part, w.shape):
            target = y[rows, ..., images]
            for at, width, matrix in tiles:
                np.matmul(matrix, _of_tiles(windows, at, width, w.shape), out=_joined(target[:, at], width))
            if b is not None:
                target += b[:, None]

    in_pieces(work, rows, _work(y, w))
    return y.transpose(3, 2, 0, 1), (x.shape, w, canvas)


@conv.backward
def _conv_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, padding: Pairs, **options: Any
) -> tuple:
    shape, w, canvas = saved
    above = contiguous(gy.transpose(2, 3, 1, 0))
    tiles = [
        (at, width, np.ascontiguousarray(_kernels_of_a_tile(w, width).T))
        for at, width in _tiles(above.shape[1], len(w))
    ]
    ones = np.ones(above.shape[1] * len(above), dtype=gy.dtype)

    def work(part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        flat = above[part].reshape(-1, above[0, 0].size)
        gw, gb = np.zeros_like(w), (ones[: len(flat)] @ flat).reshape(len(w), -1).sum(axis=1)
        seen = (part.stop - part.start + w.shape[2] - 1, *canvas.shape[1:])
        total = np.zeros(seen, dtype=gy.dtype) if needs[0] else None
        for rows, images, windows in _windows(canvas, part, w.shape) if needs[1] else ():
            for at, width, _ in tiles:
                g = _joined(above[rows, at, :, images], width)
                gw += _weight_gradient(_of_tiles(windows, at, width, w.shape), g, width, w.shape)
        if total is not None:
            for rows, images in _pieces(canvas, part, w.shape):
                for at, width, matrix in tiles:
                    _add_image_gradient(
                        matrix, _joined(above[rows, at, :, images], width), at, width, w.shape,
                        total[rows.start - part.start :, at.start :, :, images],
                    )  # fmt: skip
        return gw, gb, total

    parts = in_pieces(work, len(above), 2 * _work(above, w))
    gws, gbs, totals = map(list, zip(*parts))
    gx = _overlapping(totals, w.shape[2] - 1, shape, padding) if needs[0] else None
    return gx, total_of(gws) if needs[1] else None, total_of(gbs) if needs[2] else None


# ---- tiles ----


def _tiles(columns: int, outputs: int) -> Iterator[Tile]:
    """Columns of the result, and how many of them a tile takes; those that are left over are one tile."""
    width = min(-(-_OUTPUTS_OF_A_TILE // outputs), _WIDEST_TILE, columns)
    whole = columns // width * width
    yield slice(0, whole), width
    if whole < columns:
        yield slice(whole, columns), columns - whole


def _kernels_of_a_tile(w: np.ndarray, width: int) -> np.ndarray:
    """As a matrix: (width * O, KW * KH * C of what the tile sees)."""
    outputs, channels, rows, columns = w.shape
    spread = np.zeros((width, outputs, columns + width - 1, rows, channels), dtype=w.dtype)
    for j in range(width):
        spread[j, :, j : j + columns] = w.transpose(0, 3, 2, 1)
    return spread.reshape(width * outputs, -1)


def _weight_gradient(seen: np.ndarray, g: np.ndarray, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient (O, C, KH, KW), of what tiles saw and the gradient of their results."""
    outputs, channels, rows, columns = shape
    products = _empty("products", (*seen.shape[:3], g.shape[2]), g.dtype)
    np.matmul(seen, g.swapaxes(2, 3), out=products)
    places = seen.shape[0] * seen.shape[1]
    sums = np.ones(places, dtype=g.dtype) @ products.reshape(places, -1)
    spread = sums.reshape(columns + width - 1, rows, channels, width, outputs)
    gw = spread[:columns, ..., 0, :].copy()
    for j in range(1, width):
        gw += spread[j : j + columns, ..., j, :]
    return gw.transpose(3, 2, 1, 0)


def _add_image_gradient(
    matrix: np.ndarray, g: np.ndarray, at: slice, width: int, shape: tuple[int, ...], total: np.ndarray
) -> None:
    """Add to (H, W, C, n) what tiles give to the cells that they see: across the image first, then down.

    What a tile sees is blocks as wide as a tile, of which neighbours share all but one.
    """
    (rows, count, _, n), (_, channels, down, across) = g.shape, shape
    blocks = -(-(across + width - 1) // width)
    cells = _empty("tile gradient", (rows, count, blocks * width * down * channels, n), g.dtype)
    cells[:, :, len(matrix) :] = 0
    np.matmul(matrix, g, out=cells[:, :, : len(matrix)])
    parts = cells.reshape(rows, count, blocks, -1)
    columns = _empty("columns", (rows, count + blocks - 1, parts.shape[3]), g.dtype)
    columns[:, :count] = parts[:, :, 0]
    columns[:, count:] = 0
    for block in range(1, blocks):
        columns[:, block : block + count] += parts[:, :, block]
    used = (count - 1) * width + across + width - 1
    lines = columns.reshape(rows, -1, down, channels, n)[:, :used]
    for line in range(down):
        total[line : line + rows, :used] += lines[:, :, line]


def _overlapping(parts: list[np.ndarray], rows: int, shape: tuple[int, ...], padding: Pairs) -> np.ndarray:
    """The images of parts (H, W, C, N) whose last rows are the first of the next, without their padding."""
    for before, after in itertools.pairwise(parts):
        after[:rows] += before[len(before) - rows :]
    whole = [part[: len(part) - rows] for part in parts[:-1]] + parts[-1:]
    (top, _), (left, _) = padding
    gx = np.empty((*shape[2:], shape[1], shape[0]), dtype=parts[0].dtype)
    first = -top
    for part in whole:
        start, stop = max(first, 0), min(first + len(part), len(gx))
        if start < stop:
            gx[start:stop] = part[start - first : stop - first, left : left + gx.shape[1]]
        first += len(part)
    return gx.transpose(3, 2, 0, 1)


# ---- arrays ----


def _canvas(x: np.ndarray, padding: Pairs) -> np.ndarray:
    """The images as (H, W, C, N), with zeros around them; x itself where it lies so and needs none.

    Images that lie one behind another are copied so many at a time as fill a line of the cache: those of a
    whole batch, in steps of a power of two, would push each other out of it before a line is full.
    """
    lies = x.transpose(2, 3, 1, 0)
    (top, bottom), (left, right) = padding
    height, width, channels, n = lies.shape
    if lies.flags.c_contiguous and not any(map(any, padding)):
        return lies
    canvas = np.zeros((top + height + bottom, left + width + right, channels, n), dtype=x.dtype)
    inside = canvas[top : top + height, left : left + width]
    if x.strides[0] == x.itemsize:
        inside[...] = lies
        return canvas

    def copy(images: slice) -> None:
        for some in chunks(images, _IMAGES_OF_A_LINE):
            inside[..., some] = lies[..., some]

    in_pieces(copy, n, x.size, align=_IMAGES_OF_A_LINE)
    return canvas


def _pieces(canvas: np.ndarray, part: slice, shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Rows of the result and images whose windows fit the cache."""
    _, width, channels, count = canvas.shape
    for first in range(0, count, _MOST_IMAGES):
        images = slice(first, min(first + _MOST_IMAGES, count))
        row = width * shape[2] * channels * (images.stop - first) * canvas.itemsize
        for rows in chunks(part, max(_CHUNK_BYTES // row, 1)):
            yield rows, images


def _windows(
    canvas: np.ndarray, part: slice, shape: tuple[int, ...]
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Piece by piece what the windows of some rows of the result see: (rows, W, KH, C, n).

    It is scratch memory: the next piece overwrites it.
    """
    _, width, channels, _ = canvas.shape
    row, column, channel, cell = canvas.strides
    for rows, images in _pieces(canvas, part, shape):
        size = (rows.stop - rows.start, width, shape[2], channels, images.stop - images.start)
        gathered = _empty("windows", size, canvas.dtype)
        offset = rows.start * row + images.start * cell
        strides = (row, column, row, channel, cell)
        np.copyto(gathered, np.ndarray(size, canvas.dtype, canvas, offset, strides))
        yield rows, images, gathered


def _of_tiles(windows: np.ndarray, at: slice, width: int, shape: tuple[int, ...]) -> np.ndarray:
    """What each tile sees: (rows, tiles, KW * KH * C, n), where neighbours share memory."""
    rows, _, down, channels, n = windows.shape
    row, column, _, line, cell = windows.strides
    count = (at.stop - at.start) // width
    seen = (shape[3] + width - 1) * down * channels
    strides = (row, width * column, line, cell)
    return np.ndarray((rows, count, seen, n), windows.dtype, windows, at.start * column, strides)


def _joined(y: np.ndarray, width: int) -> np.ndarray:
    """(rows, columns, O, n) as (rows, tiles, width * O, n)."""
    rows, columns, outputs, n = y.shape
    return y.reshape(rows, columns // width, width * outputs, n)


def _empty(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return scratch(f"batch innermost, {name}", shape, dtype)


def _work(y: np.ndarray, w: np.ndarray) -> float:
    """The time of a convolution to y (OH, OW, O, N), in the unit of `parallel`."""
    return y.size * w[0].size * MULTIPLICATION
