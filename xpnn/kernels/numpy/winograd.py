"""Winograd's F(4x4, 3x3): a 3x3 kernel on a tile of 4x4 outputs with 36 multiplications instead of 144.

Along one axis, four outputs of a kernel g of three cells over six inputs d are

    y = A^T [(G g) * (B^T d)]                                                       (* cell by cell)

with constant matrices (multiplication of polynomials by their values at 0, 1, -1, 2, -2 and infinity). Along
both axes each matrix is applied twice, and with channels the cells' product becomes one product of matrices
for each of the 36 cells: tiles x channels times channels x outputs.

The transforms are products as well, with 6x6 matrices, over as many columns as there are tiles and channels.
For that the canvas of a chunk of tiles has the rows and columns of a tile first, then the tiles' position
down the image, then the channels: what a step needs lies in whole rows, and no tile is gathered by itself.

64 channels of 8x8, both passes: 0.45 of the time of the plain products; 32 of 16x16: 0.6; 16 of 32x32: 0.8.
The rounding error is about 1e-5 of the largest output, ten times that of the plain sum.

See: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.kernels.numpy.conv_layout import (
    Pairs,
    Windows,
    chunks,
    copy_cells,
    reversed_kernel,
    strided,
    total_of,
)
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel
from xpnn.kernels.numpy.small_products import kernel_matrix, multiply, multiply_columns

_TILE = 4
_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=np.float32,
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OUTPUT = np.array(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ],
    dtype=np.float32,
)
_UPSTREAM = np.ascontiguousarray(_OUTPUT.T)
_KERNEL_BOTH_AXES = np.kron(_KERNEL, _KERNEL).astype(np.float32)  # (36, 9)

# For smaller ones the transforms cost as much as the products that they save.
_LEAST_CHANNELS = 32
_LEAST_SIZE = 7

# Bytes of the transformed tiles of a chunk, which pass from one step to the next in the caches: with half as
# many 1.2 of the time, with a quarter 1.6.
_CHUNK_BYTES = 2 * 1024 * 1024


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, 3, 3), plus b, to y (N, OH, OW, O)."""
    kernels = _transform_kernels(w)

    def work(images: slice) -> None:
        for chunk, rows in _chunks(images, y, x.shape[3]):
            tiles = _transform(_INPUT, x[chunk], rows, y.shape[2], windows.padding, "winograd input")
            products = scratch("winograd products", (*tiles.shape[:2], y.shape[3]), y.dtype)
            multiply(tiles, kernels, out=products)
            _write_outputs(products, b, y[chunk], rows)

    parallel(work, len(x), _work(x, y))


def correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 3, 3) of `convolve` with respect to w, from y's gradient gy."""

    def work(images: slice) -> np.ndarray:
        total = np.zeros((36, gy.shape[3], x.shape[3]), dtype=x.dtype)
        product = scratch("winograd correlation", total.shape, total.dtype)
        for chunk, rows in _chunks(images, gy, x.shape[3]):
            tiles = _transform(_INPUT, x[chunk], rows, gy.shape[2], windows.padding, "winograd input")
            upstream = _transform_upstream(gy[chunk], rows)
            total += np.matmul(upstream.transpose(0, 2, 1), tiles, out=product)
        return total

    return _transform_back(total_of(parallel(work, len(x), _work(x, gy))))


def gradients(x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of that convolution. It and the correlation with x start from the same tiles of gy: 0.9 of
            the time that it takes to make them twice.
    """
    kernels = _transform_kernels(reversed_kernel(w))

    def work(images: slice) -> np.ndarray:
        total = np.zeros((36, gx.shape[3], gy.shape[3]), dtype=x.dtype)
        product = scratch("winograd correlation", total.shape, total.dtype)
        for chunk, rows in _chunks(images, gx, gy.shape[3]):
            tiles = _transform(_INPUT, gy[chunk], rows, gx.shape[2], windows.padding, "winograd input")
            upstream = _transform_upstream(x[chunk], rows)
            total += np.matmul(upstream.transpose(0, 2, 1), tiles, out=product)
            products = scratch("winograd products", (*tiles.shape[:2], gx.shape[3]), gx.dtype)
            multiply(tiles, kernels, out=products)
            _write_outputs(products, None, gx[chunk], rows)
        return total

    return reversed_kernel(_transform_back(total_of(parallel(work, len(x), 2 * _work(gy, gx)))))


def suits(x: np.ndarray, y: np.ndarray, windows: Windows) -> bool:
    """Whether this is faster than the plain products for x (N, H, W, C) to y (N, OH, OW, O)."""
    tiles = len(x) * math.prod(-(-cells // _TILE) for cells in windows.out_size)
    return (
        windows.kernel_size == (3, 3)
        and windows.plain
        and min(x.shape[3], y.shape[3]) >= _LEAST_CHANNELS
        and min(windows.out_size) >= _LEAST_SIZE
        and 4 * tiles >= max(x.shape[3], y.shape[3])
    )


# ---- chunks ----


def _chunks(images: slice, y: np.ndarray, channels: int) -> Iterator[tuple[slice, slice]]:
    """Slices of the images, and of the rows of tiles of each, for outputs y (N, OH, OW, O)."""
    rows, columns = (-(-cells // _TILE) for cells in y.shape[1:3])
    row = 36 * columns * max(channels, y.shape[3]) * y.itemsize
    count = max(_CHUNK_BYTES // row, 1)  # rows of tiles in a chunk
    if count >= rows:
        for chunk in chunks(images, count // rows):
            yield chunk, slice(0, rows)
        return
    count = -(-rows // -(-rows // count))  # in equal parts
    for image in range(images.start, images.stop):
        for part in chunks(slice(0, rows), count):
            yield slice(image, image + 1), part


def _work(x: np.ndarray, y: np.ndarray) -> float:
    """The time of a call in the unit of `parallel`."""
    return 36 / 16 * y.size * x.shape[3] * MULTIPLICATION


# ---- transforms ----


def _transform(
    matrix: np.ndarray, x: np.ndarray, rows: slice, columns: int, padding: Pairs, name: str
) -> np.ndarray:
    """The tiles of x (N, H, W, C), whose first cells are 4 apart, with `matrix` applied along both axes.

    Args:
        matrix: (cells after, cells of a tile before); the latter overlap where there are more than 4.
        rows: rows of tiles.
        columns: of the output, which says how many tiles there are along a row.

    Returns: (36, tiles, C); tiles are in the order: column, image, row.
    """
    after, before = matrix.shape
    columns = -(-columns // _TILE)
    n, c = x.shape[0], x.shape[3]
    width = n * (rows.stop - rows.start) * c
    canvas = _canvas(x, rows, _TILE * (columns - 1) + before, before, padding)
    half = scratch("winograd half", (after, canvas.shape[1], width), x.dtype)
    multiply_columns(matrix, canvas.reshape(before, -1), out=half.reshape(after, -1))
    row, column, cell = half.strides
    windows = strided(half, (after, columns, before, width), (row, _TILE * column, column, cell))
    tiles = scratch(name, (after, after, columns, width), x.dtype)
    np.matmul(matrix, windows, out=tiles.transpose(0, 2, 1, 3))
    return tiles.reshape(after * after, -1, c)


def _transform_upstream(gy: np.ndarray, rows: slice) -> np.ndarray:
    """The adjoint of the outputs' transform: 4x4 cells to 6x6."""
    return _transform(_UPSTREAM, gy, rows, gy.shape[2], ((0, 0), (0, 0)), "winograd upstream")


def _canvas(x: np.ndarray, rows: slice, width: int, height: int, padding: Pairs) -> np.ndarray:
    """(height, width, N, rows of tiles, C): the padded x, one row of all rows of tiles after the other."""
    top, left = padding[0][0], padding[1][0]
    n, image_height, image_width, c = x.shape
    canvas = scratch("winograd canvas", (height, width, n, rows.stop - rows.start, c), x.dtype)
    used = min(image_width, width - left)
    canvas[:, :left] = 0
    canvas[:, left + used :] = 0
    for row in range(height):
        start = row - top
        first = max(rows.start, -(start // _TILE))
        last = max(min(rows.stop, -((start - image_height) // _TILE)), first)
        from_row = start + first * _TILE
        canvas[row, left : left + used, :, : first - rows.start] = 0
        canvas[row, left : left + used, :, last - rows.start :] = 0
        source = x[:, from_row : from_row + (last - first) * _TILE : _TILE, :used]
        target = canvas[row, left : left + used, :, first - rows.start : last - rows.start]
        copy_cells(target, source.transpose(2, 0, 1, 3))
    return canvas


def _write_outputs(products: np.ndarray, b: np.ndarray | None, y: np.ndarray, rows: slice) -> None:
    """Transform products (36, tiles, O) to 4x4 outputs, and write them, plus b, to the rows of y."""
    n, _, width, outputs = y.shape
    columns, count = -(-width // _TILE), rows.stop - rows.start
    half = scratch("winograd half", (4, 6, products.size // 36), y.dtype)
    multiply_columns(_OUTPUT, products.reshape(6, -1), out=half.reshape(4, -1))
    tiles = scratch("winograd input", (4, 4, columns, n, count, outputs), y.dtype)
    for source, target in zip(half, tiles.reshape(4, 4, -1)):
        multiply_columns(_OUTPUT, source, out=target)
    covered = y[:, _TILE * rows.start : _TILE * rows.stop]
    if covered.shape[1:3] == (_TILE * count, _TILE * columns):
        # whole tiles, all at once: between calls threads wait for Python's lock; with two, 0.8 of the time
        blocks = covered.reshape(n, count, _TILE, columns, _TILE, outputs)
        _write(blocks, tiles.transpose(3, 4, 0, 2, 1, 5), b)
        return
    for row, column in np.ndindex(_TILE, _TILE):
        target = covered[:, row::_TILE, column::_TILE]
        down, along = target.shape[1:3]
        _write(target, tiles[row, column, :along, :, :down].transpose(1, 2, 0, 3), b)


def _write(target: np.ndarray, source: np.ndarray, b: np.ndarray | None) -> None:
    if b is None:
        copy_cells(target, source)
    else:
        np.add(source, b, out=target)


def _transform_kernels(w: np.ndarray) -> np.ndarray:
    """G w G^T: (O, C, 3, 3) -> (36, C, O)."""
    cells = kernel_matrix(w).reshape(9, w.shape[1] * len(w))
    kernels = np.empty((36, w.shape[1], len(w)), dtype=w.dtype)
    multiply_columns(_KERNEL_BOTH_AXES, cells, out=kernels.reshape(36, -1))
    return kernels


def _transform_back(gradient: np.ndarray) -> np.ndarray:
    """The adjoint of `_transform_kernels`: (36, O, C) -> (O, C, 3, 3)."""
    cells = gradient.reshape(36, -1).T @ _KERNEL_BOTH_AXES
    return cells.reshape(*gradient.shape[1:], 3, 3)
