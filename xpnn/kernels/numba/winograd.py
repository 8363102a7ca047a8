"""Winograd's F(4x4, 3x3), see `kernels/numpy/winograd.py`, without Python between its steps.

A strip of tiles is framed with zeros, each tile transformed in registers, and 36 products made from there;
what they give is transformed and written at once. A thread has Python's lock at the end only, so that two
take half the time of one; NumPy's steps take as long on two as on one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import get_precision
from xpnn.kernels.numba.compiling import (
    In1,
    In3,
    In4,
    Integer,
    Out1,
    Out2,
    Out3,
    Out4,
    OutStrided4,
    Places,
    compiled_function,
    inlined,
)
from xpnn.kernels.numba.conv_packing import PACKING, aligned_scratch, kernel_of, panels_of
from xpnn.kernels.numba.products import add_products, copy_numbers, lanes
from xpnn.kernels.numba.transforms import transform
from xpnn.kernels.numpy.conv_layout import Windows, reversed_kernel, total_of
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel
from xpnn.kernels.numpy.winograd import _INPUT, _KERNEL, _OUTPUT

# For smaller ones the transforms cost as much as the products that they save.
_LEAST_CHANNELS = 32
_LEAST_SIZE = 7

# Bytes of the transformed tiles of a chunk.
_CHUNK_BYTES = 512 * 1024

_transform_input = transform(_INPUT)
_transform_upstream = transform(_OUTPUT.T)
_transform_output = transform(_OUTPUT)
_transform_kernel = transform(_KERNEL)
_transform_gradient = transform(_KERNEL.T)


@inlined
def _strip(image: Any, first: Any, left: Any, strip: Any) -> None:
    """Rows of an image (H, W, C) from `first` on, with zeros above and below, after `left` cells."""
    length = image.shape[1] * image.shape[2]
    for i in range(strip.shape[0]):
        cells = strip[i, left * image.shape[2] :]
        if 0 <= first + i < image.shape[0]:
            copy_numbers(image[first + i, 0], cells, length)
        else:
            cells[:length] = 0


@inlined
def _transform_row(strip: Any, zeros: Any, tiles: Any, first: Any, columns: Any, upstream: Any) -> None:
    """Transform the tiles of a strip to tiles[:, first : first + columns]."""
    size, channels = tiles[0].size, tiles.shape[2]
    flat = strip.reshape(strip.size)
    for column in range(columns):
        target = tiles[0, first + column]
        source = flat[4 * column * channels :]
        if upstream:
            _transform_upstream(channels, source, strip.shape[1], channels, target, 6 * size, size, zeros)
        else:
            _transform_input(channels, source, strip.shape[1], channels, target, 6 * size, size, zeros)


@inlined
def _multiply(
    tiles: Any, count: Any, kernels: Any, vectors: Any, nowhere: Any, zeros: Any, products: Any
) -> None:
    """For each of the 36 cells: tiles times panels of the kernel."""
    channels, outputs, width = tiles.shape[2], products.shape[2], kernels.shape[3]
    for k in range(36):
        seen = tiles[k].reshape(tiles[k].size)
        out = products[k].reshape(products[k].size)
        for p in range(kernels.shape[1]):
            panel = kernels[k, p].reshape(channels * width)
            add_products(
                vectors, count, seen, channels, 1, panel, width, nowhere, channels, zeros, 0,
                out[p * width :], outputs,
            )  # fmt: skip


@inlined
def _correlate(tiles: Any, upstream: Any, count: Any, lanes: Any, nowhere: Any, total: Any) -> None:
    """total[k] += upstream[k]^T tiles[k], for each of the 36 cells."""
    channels, outputs = tiles.shape[2], upstream.shape[2]
    for k in range(36):
        seen = tiles[k].reshape(tiles[k].size)
        above = upstream[k].reshape(upstream[k].size)
        sums = total[k].reshape(total[k].size)
        for column in range(0, channels, 2 * lanes):
            add_products(
                min((channels - column) // lanes, 2), outputs, above, 1, outputs, seen[column:], channels,
                nowhere, count, sums[column:], channels, sums[column:], channels,
            )  # fmt: skip


@inlined
def _write_row(products: Any, first: Any, columns: Any, bias: Any, edge: Any, y: Any, row: Any) -> None:
    """Transform a row of tiles to rows of the image y (H, W, O) from `row` on; the last by way of `edge`."""
    size, outputs = products[0].size, products.shape[2]
    down, along = y.strides[0] // y.itemsize, y.strides[1] // y.itemsize
    height = min(y.shape[0] - row, 4)
    for column in range(columns):
        source, width = products[0, first + column], min(y.shape[1] - 4 * column, 4)
        if height == 4 and width == 4:
            target = y[row, 4 * column]
            _transform_output(outputs, source, 6 * size, size, target, down, along, bias)
            continue
        _transform_output(outputs, source, 6 * size, size, edge, 4 * outputs, outputs, bias)
        for i in range(height):
            for j in range(width):
                cell = (4 * i + j) * outputs
                y[row + i, 4 * column + j] = edge[cell : cell + outputs]


@compiled_function
def _convolve(
    x: In4, top: Integer, left: Integer, kernels: In4, lanes: Integer, b: In1, y: OutStrided4, gy: In4,
    total: Out3, rows: Integer, columns: Integer, nowhere: Places, strip: Out2, above: Out2, edge: Out1,
    tiles: Out3, products: Out3, upstream: Out3,
) -> None:  # fmt: skip
    """The convolution of x, plus b, to y (N, OH, OW, O); and its correlation with gy, added to `total`.

    Without panels there is none of the one, and without rows of `total` none of the other.

    Args:
        kernels: (36, panels, C, width), of width / lanes vectors.
        total: (36, O, C).
        rows, columns: of tiles in an image.
        strip, above: rows of cells of x and gy, framed. edge: (4 * 4 * O,).
        tiles, products, upstream: (36, tiles of a chunk, C or O).
    """
    strip[:] = 0
    above[:] = 0
    zeros = np.zeros(max(tiles.shape[2], upstream.shape[2]), x.dtype)
    strips = tiles.shape[1] // columns
    for start in range(0, x.shape[0] * rows, strips):
        count = min(strips, x.shape[0] * rows - start)
        for s in range(count):
            n, row = (start + s) // rows, 4 * ((start + s) % rows)
            _strip(x[n], row - top, left, strip)
            _transform_row(strip, zeros, tiles, s * columns, columns, 0)
            if total.shape[0]:
                _strip(gy[n], row, 0, above)
                _transform_row(above, zeros, upstream, s * columns, columns, 1)
        if total.shape[0]:
            _correlate(tiles, upstream, count * columns, lanes, nowhere, total)
        if kernels.shape[1]:
            _multiply(tiles, count * columns, kernels, kernels.shape[3] // lanes, nowhere, zeros, products)
            for s in range(count):
                n, row = (start + s) // rows, 4 * ((start + s) % rows)
                _write_row(products, s * columns, columns, b, edge, y[n], row)


@compiled_function
def _transform_kernels(panels: In3, zeros: In1, kernels: Out4) -> None:
    """G w G^T: panels (P, 9 * C, width) to (36, P, C, width)."""
    channels, width = kernels.shape[2:]
    cell = kernels[0].size
    for p in range(panels.shape[0]):
        for c in range(channels):
            _transform_kernel(
                width, panels[p, c], 3 * channels * width, channels * width,
                kernels[0, p, c], 6 * cell, cell, zeros,
            )  # fmt: skip


@compiled_function
def _transform_gradients(total: In3, zeros: In1, cells: Out3) -> None:
    """Its adjoint: (36, O, C) to (9, O, C)."""
    size, channels = total[0].size, total.shape[2]
    for o in range(total.shape[1]):
        _transform_gradient(
            channels, total[0, o], 6 * size, size, cells[0, o], 3 * size, size, zeros
        )  # fmt: skip


FUNCTIONS = (*PACKING, _convolve, _transform_kernels, _transform_gradients)


def suits(x: np.ndarray, y: np.ndarray, windows: Windows) -> bool:
    """Whether this is faster than the plain products for x (N, H, W, C) to y (N, OH, OW, O)."""
    return (
        get_precision() == "fast"
        and windows.kernel_size == (3, 3)
        and windows.plain
        and len(x) > 0
        and x.shape[3] % lanes() == y.shape[3] % lanes() == 0
        and min(x.shape[3], y.shape[3]) >= _LEAST_CHANNELS
        and min(windows.out_size) >= _LEAST_SIZE
    )


def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, 3, 3), plus b, to y (N, OH, OW, O)."""
    _run(x, w, b, y, None, windows)


def correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 3, 3) of `convolve` with respect to w, from y's gradient gy."""
    return _run(x, None, None, None, gy, windows)


def gradients(x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of that convolution. It and the correlation with x share the transformed tiles of gy.
    """
    return _run(gy, reversed_kernel(w), None, gx, x, windows, backwards=True)


def _run(
    x: np.ndarray,
    w: np.ndarray | None,
    b: np.ndarray | None,
    y: np.ndarray | None,
    gy: np.ndarray | None,
    windows: Windows,
    backwards: bool = False,
) -> Any:
    """The convolution to y, if it is given, and the gradient of w from gy, if that is given.

    Args:
        backwards: the gradient is that of the reversed kernel.
    """
    channels, outputs = x.shape[3], (y if gy is None else gy).shape[3]  # type: ignore[union-attr]
    rows, columns = (-(-cells // 4) for cells in windows.out_size)
    kernels = _NO_KERNELS if w is None else _kernels(w)
    bias = np.zeros(outputs, dtype=x.dtype) if b is None else np.ascontiguousarray(b)
    no_images = np.empty((len(x), 0, 0, outputs), dtype=x.dtype)
    images, target = np.ascontiguousarray(x), no_images if y is None else y
    upstream = no_images if gy is None else np.ascontiguousarray(gy)
    top, left = windows.padding[0][0], windows.padding[1][0]
    strip_bytes = 36 * columns * max(channels, outputs) * x.itemsize
    strips = max(_CHUNK_BYTES // strip_bytes, 1)
    width = max(4 * columns + 2, left + x.shape[2])

    def work(part: slice) -> np.ndarray:
        # an odd number, so that the 36 cells of a tile don't meet in few places of the first-level cache
        tiles = min(strips, (part.stop - part.start) * rows) * columns | 1
        total = np.zeros((36 if gy is not None else 0, outputs, channels), dtype=x.dtype)
        _convolve(
            images[part], top, left, kernels, lanes(), bias, target[part], upstream[part],
            total, rows, columns, _NOWHERE,
            aligned_scratch("winograd strip", (6, width * channels), x.dtype),
            aligned_scratch("winograd above", (4, 4 * columns * outputs), x.dtype),
            aligned_scratch("winograd edge", (16 * outputs,), x.dtype),
            aligned_scratch("winograd tiles", (36, tiles, channels), x.dtype),
            aligned_scratch("winograd products", (36, tiles, outputs), x.dtype),
            aligned_scratch("winograd upstream", (36, tiles, outputs), x.dtype),
        )  # fmt: skip
        return total

    count = (w is not None) + (gy is not None)
    cells = math.prod(windows.out_size) * 36 / 16
    totals = parallel(work, len(x), count * len(x) * cells * channels * outputs * MULTIPLICATION)
    return None if gy is None else _kernel_gradient(total_of(totals), backwards)


_NOWHERE = np.zeros((1, 2), dtype=np.int64)
_NO_KERNELS = np.empty((36, 0, 1, 1), dtype=np.float32)


def _kernels(w: np.ndarray) -> np.ndarray:
    """The kernel as `_convolve` takes it."""
    panels = panels_of(w)
    count, _, width = panels.shape
    kernels = np.empty((36, count, w.shape[1], width), dtype=w.dtype)
    _transform_kernels(panels, np.zeros(width, dtype=w.dtype), kernels)
    return kernels


def _kernel_gradient(total: np.ndarray, backwards: bool) -> np.ndarray:
    cells = np.empty((9, *total.shape[1:]), dtype=total.dtype)
    _transform_gradients(total, np.zeros(total.shape[2], dtype=total.dtype), cells)
    return kernel_of(cells[:, :, None], (3, 3), backwards)
