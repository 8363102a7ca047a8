"""Winograd's F(4x4, 3x3): a 3x3 kernel on a tile of 4x4 outputs with 36 multiplications instead of 144.

Along one axis, four outputs of a kernel g of three cells over six inputs d are

    y = A^T [(G g) * (B^T d)]                                                       (* cell by cell)

with constant matrices (see `winograd_matrices`). Along both axes each matrix is applied twice, and with
channels the cells' product becomes one product of matrices for each of the 36 cells: tiles x channels times
channels x outputs.

The transforms are products as well, with 6x6 matrices, over as many columns as there are tiles and channels.
For that a chunk of images is laid out with rows and columns first, then the images, then the channels: each
step finds the same cell of all images in one row of memory, tiles overlap as views, and none is gathered by
itself.

The rounding error is two to four times that of the plain sum in the mean, up to seven at its largest.

See: Lavin and Gray, "Fast algorithms for convolutional neural networks", 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.kernels.numpy.conv.layout import (
    Pairs,
    Windows,
    chunks,
    copy_cells,
    reversed_kernel,
    strided,
    total_of,
)
from xpnn.kernels.numpy.conv.winograd_matrices import INPUT, KERNEL, OUTPUT, TILE, UPSTREAM
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION, in_pieces
from xpnn.kernels.numpy.small_products import kernel_matrix, multiply, multiply_columns

# Threads share the transform of a kernel in multiples of this, the piece of `multiply_columns`.
_KERNEL_COLUMNS = 8192

# For fewer channels, or where tiles reach so far over the image that not half of the multiplications are
# saved, the transforms cost as much as they spare.
_LEAST_CHANNELS = 12

# Bytes of the transformed tiles of a chunk, which pass from one step to the next in the caches. Each chunk
# reads the transformed kernel anew, so that it is no smaller than a part of that.
_CHUNK_BYTES = 5 * 1024 * 1024 // 4
_PART_OF_KERNEL = 4

# The error of a sum grows with the root of its length, and the transform of the outputs enlarges it. So the
# products of more channels are added up in blocks of at least so many.
_CHANNELS_IN_SUM = 64


def winograd_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, 3, 3), plus b, to y (N, OH, OW, O)."""
    kernels = _transform_kernels(w)

    def work(images: slice) -> None:
        for chunk, rows in _chunks(images, y, x.shape[3]):
            tiles = _transform(INPUT, x[chunk], rows, y.shape[2], windows.padding, "winograd input")
            products = scratch("winograd products", (*tiles.shape[:2], y.shape[3]), y.dtype)
            _multiply(tiles, kernels, out=products)
            _write_outputs(products, b, y[chunk], rows)

    in_pieces(work, len(x), _work(x, y))


def winograd_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 3, 3) of `winograd_convolve` with respect to w, from y's gradient gy."""

    def work(images: slice) -> np.ndarray:
        total: Any = None
        for chunk, rows in _chunks(images, gy, x.shape[3]):
            tiles = _transform(INPUT, x[chunk], rows, gy.shape[2], windows.padding, "winograd input")
            total = _add_product(total, _transform_upstream(gy[chunk], rows).transpose(0, 2, 1), tiles)
        return total

    return _transform_back(total_of(in_pieces(work, len(x), _work(x, gy))))


def winograd_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of. Both passes start from its tiles.
    """
    windows = windows.reversed
    kernels = _transform_kernels(reversed_kernel(w))

    def work(images: slice) -> np.ndarray:
        total: Any = None
        for chunk, rows in _chunks(images, gx, gy.shape[3]):
            tiles = _transform(INPUT, gy[chunk], rows, gx.shape[2], windows.padding, "winograd input")
            total = _add_product(total, _transform_upstream(x[chunk], rows).transpose(0, 2, 1), tiles)
            products = scratch("winograd products", (*tiles.shape[:2], gx.shape[3]), gx.dtype)
            _multiply(tiles, kernels, out=products)
            _write_outputs(products, None, gx[chunk], rows)
        return total

    return reversed_kernel(_transform_back(total_of(in_pieces(work, len(x), 2 * _work(gy, gx)))))


def suits(windows: Windows) -> bool:
    """Whether this is faster than the plain products."""
    tiles = math.prod(-(-cells // TILE) for cells in windows.out_size)
    return (
        windows.kernel_size == (3, 3)
        and windows.plain
        and min(windows.channels, windows.outputs) >= _LEAST_CHANNELS
        and 2 * 36 * tiles <= 9 * math.prod(windows.out_size)
        and 4 * tiles * windows.images >= max(windows.channels, windows.outputs)
    )


# ---- chunks ----


def _chunks(images: slice, y: np.ndarray, channels: int) -> Iterator[tuple[slice, slice]]:
    """Slices of the images, and of the rows of tiles of each, for outputs y (N, OH, OW, O)."""
    rows, columns = (-(-cells // TILE) for cells in y.shape[1:3])
    row = 36 * columns * max(channels, y.shape[3]) * y.itemsize
    kernel = 36 * channels * y.shape[3] * y.itemsize
    count = max(max(_CHUNK_BYTES, kernel // _PART_OF_KERNEL) // row, 1)  # rows of tiles in a chunk
    for chunk in chunks(images, max(count // rows, 1)):
        for part in chunks(slice(0, rows), count):
            yield chunk, part


def _work(x: np.ndarray, y: np.ndarray) -> float:
    """The time of a call in the unit of `parallel`."""
    return 36 / 16 * y.size * x.shape[3] * MULTIPLICATION


def _multiply(tiles: np.ndarray, kernels: np.ndarray, out: np.ndarray) -> None:
    """out (36, T, O) = tiles (36, T, C) times kernels (36, C, O), added up by blocks of channels."""
    channels = tiles.shape[2]
    blocks = chunks(slice(0, channels), -(-channels // max(channels // _CHANNELS_IN_SUM, 1)))
    for block in blocks:
        if block.start == 0:
            multiply(tiles[..., block], kernels[:, block], out=out)
        else:
            part = scratch("winograd part", out.shape, out.dtype)
            out += multiply(tiles[..., block], kernels[:, block], out=part)


def _add_product(total: np.ndarray | None, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """total + a @ b in the memory of total; the product alone if there is none yet."""
    if total is None:
        return np.matmul(a, b)
    total += np.matmul(a, b, out=scratch("winograd correlation", total.shape, total.dtype))
    return total


# ---- transforms ----


def _transform(
    matrix: np.ndarray, x: np.ndarray, rows: slice, columns: int, padding: Pairs, name: str
) -> np.ndarray:
    """The tiles of x (N, H, W, C), whose first cells are 4 apart, with `matrix` applied along both axes.

    Args:
        matrix: (cells after, cells of a tile before); the latter overlap where there are more than 4.
        rows: rows of tiles.
        columns: of the output, which says how many tiles there are along a row.

    Returns: (36, tiles, C); tiles are in the order: column, row, image.
    """
    after, before = matrix.shape
    down, along = rows.stop - rows.start, -(-columns // TILE)
    canvas = _canvas(x, rows, TILE * (along - 1) + before, before, padding)
    width, size = canvas.shape[1], canvas[0, 0].size
    half = scratch("winograd half", (after, width, down, size), x.dtype)
    row, column, _, cell = canvas.strides
    windows = strided(canvas, (down, width, before, size), (TILE * row, column, row, cell))
    np.matmul(matrix, windows, out=half.transpose(2, 1, 0, 3))
    row, column, _, cell = half.strides
    windows = strided(half, (after, along, before, down * size), (row, TILE * column, column, cell))
    tiles = scratch(name, (after, after, along, down * size), x.dtype)
    np.matmul(matrix, windows, out=tiles.transpose(0, 2, 1, 3))
    return tiles.reshape(after * after, -1, x.shape[3])


def _transform_upstream(gy: np.ndarray, rows: slice) -> np.ndarray:
    """The adjoint of the outputs' transform: 4x4 cells to 6x6."""
    return _transform(UPSTREAM, gy, rows, gy.shape[2], ((0, 0), (0, 0)), "winograd upstream")


def _canvas(x: np.ndarray, rows: slice, width: int, height: int, padding: Pairs) -> np.ndarray:
    """(H, width, N, C): what the rows of tiles, `height` high each, see of the padded x."""
    top, left = padding[0][0], padding[1][0]
    n, image_height, image_width, c = x.shape
    start = TILE * rows.start - top
    seen = TILE * (rows.stop - rows.start - 1) + height
    canvas = scratch("winograd canvas", (seen, width, n, c), x.dtype)
    first = min(max(-start, 0), seen)
    last, used = max(min(image_height - start, seen), first), min(image_width, width - left)
    canvas[:first] = 0
    canvas[last:] = 0
    canvas[first:last, :left] = 0
    canvas[first:last, left + used :] = 0
    source = x[:, start + first : start + last, :used]
    copy_cells(canvas[first:last, left : left + used], source.transpose(1, 2, 0, 3))
    return canvas


def _write_outputs(products: np.ndarray, b: np.ndarray | None, y: np.ndarray, rows: slice) -> None:
    """Transform products (36, tiles, O) to 4x4 outputs, and write them, plus b, to the rows of y."""
    n, _, width, outputs = y.shape
    columns, count = -(-width // TILE), rows.stop - rows.start
    half = scratch("winograd half", (4, 6, products.size // 36), y.dtype)
    multiply_columns(OUTPUT, products.reshape(6, -1), out=half.reshape(4, -1))
    tiles = scratch("winograd input", (4, 4, columns, count, n, outputs), y.dtype)
    multiply_columns(OUTPUT, half, out=tiles.reshape(4, 4, -1))
    blocks = tiles.transpose(4, 3, 0, 2, 1, 5)
    covered = y[:, TILE * rows.start : TILE * rows.stop]
    whole = (n, TILE * count, TILE * columns, outputs)
    if covered.shape == whole:
        _write(covered.reshape(blocks.shape), blocks, b)
    else:
        canvas = scratch("winograd canvas", whole, y.dtype)
        _write(canvas.reshape(blocks.shape), blocks, b)
        np.copyto(covered, canvas[:, : covered.shape[1], :width])


def _write(target: np.ndarray, source: np.ndarray, b: np.ndarray | None) -> None:
    if b is None:
        copy_cells(target, source)
    else:
        np.add(source, b, out=target)


def _transform_kernels(w: np.ndarray) -> np.ndarray:
    """G w G^T: (O, C, 3, 3) -> (36, C, O)."""
    cells = kernel_matrix(w).reshape(3, 3, -1)
    return _along_both_axes(KERNEL, cells).reshape(36, w.shape[1], len(w))


def _transform_back(gradient: np.ndarray) -> np.ndarray:
    """The adjoint of `_transform_kernels`: (36, O, C) -> (O, C, 3, 3)."""
    cells = _along_both_axes(KERNEL.T, gradient.reshape(6, 6, -1))
    return cells.reshape(3, 3, *gradient.shape[1:]).transpose(2, 3, 0, 1)


def _along_both_axes(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`matrix` (cells after, before) applied along the first two axes of x (before, before, columns).

    One axis after the other: a third of the time of one product with the Kronecker product of both.
    """
    after, before = matrix.shape
    result = np.empty((after, after, x.shape[2]), dtype=x.dtype)

    def work(columns: slice) -> None:
        half = scratch("winograd kernels", (after, before, columns.stop - columns.start), x.dtype)
        multiply_columns(matrix, x[:, :, columns].swapaxes(0, 1), out=half.swapaxes(0, 1))
        multiply_columns(matrix, half, out=result[:, :, columns])

    in_pieces(work, x.shape[2], after * (before + after) * x.shape[2], align=_KERNEL_COLUMNS)
    return result
