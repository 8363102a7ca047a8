"""Winograd's F(4x4, 3x3), see `kernels/numpy/winograd.py`, without Python between its steps.

A strip of tiles is framed with zeros, each tile transformed in registers, and 36 products made from there;
what they give is transformed and written at once. A thread has Python's lock at the end only, so that two
take half the time of one, where NumPy's steps wait for each other.

Forward + backward on two threads, in ms: 128 images of 16 channels of 32x32 4.2, in PyTorch 5.3; 32 channels
of 16x16 2.5 and 4.1; 64 of 8x8 1.9 and 3.6; 32 images of 64 of 16x16 1.8 and 3.7; 128 of 8x8 1.8 and 3.5; 256
of 4x4 2.6 and 4.2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

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
    Strided4,
    compiled_function,
    inlined,
)
from xpnn.kernels.numba.conv.packing import PACKING, aligned_empty, aligned_scratch, unpack
from xpnn.kernels.numba.conv.transforms import transform
from xpnn.kernels.numba.products import MOST_LANES, NOWHERE, add_products, copy_numbers, lanes, panel_width
from xpnn.kernels.numpy.conv import winograd_matrices
from xpnn.kernels.numpy.conv.layout import Windows, reversed_kernel, total_of
from xpnn.kernels.numpy.conv.winograd_matrices import INPUT, KERNEL, OUTPUT, UPSTREAM
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel

# For smaller ones the transforms cost as much as the products that they save.
_LEAST_CHANNELS = 16
_LEAST_SIZE = 4

# With fewer tiles than this for an output, the kernel is what takes time: threads share the outputs.
_TILES_FOR_OUTPUT = 2

# The error of a sum grows with the root of its length, and the transform of the outputs enlarges it. So the
# products of many channels are added up in a few blocks of at least so many.
_CHANNELS_IN_SUM, _MOST_SUMS = 64, 3

# Multiplications for an output and a channel.
_PRODUCTS = 36 / 16

# Bytes of the transformed tiles of a chunk.
_CHUNK_BYTES = 512 * 1024
_LARGE_CHUNK_BYTES = 2 * 1024 * 1024  # where the kernel is larger still, and is read anew for each

_transform_input = transform(INPUT, winograd_matrices.__file__)
_transform_upstream = transform(UPSTREAM, winograd_matrices.__file__)
_transform_output = transform(OUTPUT, winograd_matrices.__file__)
_transform_kernel = transform(KERNEL, winograd_matrices.__file__)
_transform_gradient = transform(KERNEL.T, winograd_matrices.__file__)


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
    """For each of the 36 cells: tiles times panels of the kernel, added up by blocks of channels."""
    channels, outputs, width = tiles.shape[2], products.shape[2], kernels.shape[3]
    block = -(-channels // max(min(channels // _CHANNELS_IN_SUM, _MOST_SUMS), 1))
    for k in range(36):
        seen = tiles[k].reshape(tiles[k].size)
        out = products[k].reshape(products[k].size)
        for p in range(kernels.shape[0]):
            panel, sums = kernels[p, k].reshape(kernels[p, k].size), out[p * width :]
            for c in range(0, channels, block):
                add_products(
                    vectors, count, seen[c:], channels, 1, panel[c * width :], width, nowhere,
                    min(channels - c, block), sums if c else zeros, outputs * min(c, 1), sums, outputs,
                )  # fmt: skip


@inlined
def _correlate_tiles(
    of_outputs: Any, of_channels: Any, count: Any, lanes: Any, nowhere: Any, zeros: Any, adds: Any, total: Any
) -> None:
    """total[k] = gy[k]^T x[k] of transformed tiles, for each of the 36 cells; added to it, if `adds` is 1."""
    outputs, channels = of_outputs.shape[2], of_channels.shape[2]
    for k in range(36):
        above = of_outputs[k].reshape(of_outputs[k].size)
        seen = of_channels[k].reshape(of_channels[k].size)
        sums = total[k].reshape(total[k].size)
        for column in range(0, channels, 2 * lanes):
            add_products(
                min((channels - column) // lanes, 2), outputs, above, 1, outputs, seen[column:], channels,
                nowhere, count, sums[column:] if adds else zeros, channels * adds, sums[column:], channels,
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
def _convolve_tiles(
    x: In4, top: Integer, left: Integer, kernels: In4, lanes: Integer, b: In1, y: OutStrided4, gy: In4,
    total: Out3, turned: Integer, rows: Integer, columns: Integer, nowhere: Places, strip: Out2,
    above: Out2, edge: Out1, tiles: Out3, products: Out3, upstream: Out3,
) -> None:  # fmt: skip
    """The convolution of x, plus b, to y (N, OH, OW, O); and its correlation with gy, to `total`.

    Without panels there is none of the one, and without rows of `total` none of the other.

    Args:
        kernels: (panels, 36, C or more, width), of width / lanes vectors.
        total: (36, O or more, C); if `turned`, (36, C or more, O).
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
            adds = min(start, 1)
            if turned:
                _correlate_tiles(tiles, upstream, count * columns, lanes, nowhere, zeros, adds, total)
            else:
                _correlate_tiles(upstream, tiles, count * columns, lanes, nowhere, zeros, adds, total)
        if kernels.shape[0]:
            _multiply(tiles, count * columns, kernels, kernels.shape[3] // lanes, nowhere, zeros, products)
            for s in range(count):
                n, row = (start + s) // rows, 4 * ((start + s) % rows)
                _write_row(products, s * columns, columns, b, edge, y[n], row)


@compiled_function
def _transform_kernels(w: Strided4, zeros: In1, kernels: Out4) -> None:
    """G w G^T of w (O, C, 3, 3), as (O / width, 36, C, width)."""
    channels, width = w.shape[1], kernels.shape[3]
    step = kernels.shape[2] * width
    cells = np.empty((9, width), w.dtype)
    for p in range(kernels.shape[0]):
        for c in range(channels):
            for u in range(3):
                for v in range(3):
                    for j in range(width):
                        cells[3 * u + v, j] = w[p * width + j, c, u, v]
            _transform_kernel(width, cells, 3 * width, width, kernels[p, 0, c], 6 * step, step, zeros)


@compiled_function
def _transform_gradients(total: In3, first: Integer, zeros: In1, cells: Out3) -> None:
    """Its adjoint: outputs from `first` on of (36, O + 1, C) to (9, outputs, C)."""
    channels = total.shape[2]
    size, step = total.shape[1] * channels, cells.shape[1] * cells.shape[2]
    for o in range(cells.shape[1]):
        _transform_gradient(
            channels, total[0, first + o], 6 * size, size, cells[0, o], 3 * step, step, zeros
        )  # fmt: skip


DTYPES = ("float32",)
FUNCTIONS = (*PACKING, _convolve_tiles, _transform_kernels, _transform_gradients)


def suits(windows: Windows) -> bool:
    """Whether this is faster than the plain products."""
    return (
        windows.fast
        and windows.kernel_size == (3, 3)
        and windows.plain
        and windows.images > 0
        and windows.channels % MOST_LANES == windows.outputs % MOST_LANES == 0
        and min(windows.channels, windows.outputs) >= _LEAST_CHANNELS
        and min(windows.out_size) >= _LEAST_SIZE
    )


def winograd_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, 3, 3), plus b, to y (N, OH, OW, O)."""
    _winograd_passes(x, w, b, y, None, windows)


def winograd_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 3, 3) of `winograd_convolve` with respect to w, from y's gradient gy."""
    return _winograd_passes(x, None, None, None, gy, windows)


def winograd_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of. Both passes share its transformed tiles.
    """
    return _winograd_passes(gy, reversed_kernel(w), None, gx, x, windows.reversed, backwards=True)


def _winograd_passes(
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
    x, bias = np.ascontiguousarray(x), np.zeros(outputs, dtype=x.dtype) if b is None else b
    no_images = np.empty((len(x), 0, 0, outputs), dtype=x.dtype)
    y, gy = no_images if y is None else y, no_images if gy is None else np.ascontiguousarray(gy)
    corner, correlates = (windows.padding[0][0], windows.padding[1][0]), gy is not no_images
    count = (w is not None) + correlates
    work = count * len(x) * math.prod(windows.out_size) * channels * outputs * _PRODUCTS * MULTIPLICATION

    if _many_tiles(x, windows, outputs):
        kernels = _NO_KERNELS if w is None else _kernels(w)

        def sum_images(part: slice) -> np.ndarray:
            return _convolve_part(
                x[part], corner, kernels, bias, y[part], gy[part], correlates, windows, backwards
            )

        totals = parallel(sum_images, len(x), work)
        return _kernel_gradient(total_of(totals), backwards) if correlates else None

    width = panel_width(outputs)
    shape = (channels, outputs) if backwards else (outputs, channels)
    gw = np.empty((*shape, 3, 3), dtype=x.dtype) if correlates else None

    def make_outputs(panels: slice) -> None:
        part = slice(panels.start * width, panels.stop * width)
        kernels = _NO_KERNELS if w is None else _kernels(w[part])
        upstream = np.ascontiguousarray(gy[..., part])
        total = _convolve_part(
            x, corner, kernels, bias[part], y[..., part], upstream, correlates, windows, backwards
        )
        if gw is not None:
            _write_gradient(total, 0, gw[:, part] if backwards else gw[part], backwards)

    parallel(make_outputs, outputs // width, work)
    return gw


def _many_tiles(x: np.ndarray, windows: Windows, outputs: int) -> bool:
    """Whether they take more time than the kernel."""
    return len(x) * math.prod(-(-cells // 4) for cells in windows.out_size) >= _TILES_FOR_OUTPUT * outputs


def _convolve_part(
    x: np.ndarray,
    corner: tuple[int, int],
    kernels: np.ndarray,
    b: np.ndarray,
    y: np.ndarray,
    gy: np.ndarray,
    correlates: bool,
    windows: Windows,
    backwards: bool,
) -> np.ndarray:
    """`_convolve_tiles` of some images or outputs, with memory for what is between; its sums."""
    channels, outputs = x.shape[3], gy.shape[3]
    rows, columns = (-(-cells // 4) for cells in windows.out_size)
    strip_bytes = 36 * columns * max(channels, outputs) * x.itemsize
    chunk_bytes = _CHUNK_BYTES if _many_tiles(x, windows, outputs) else _LARGE_CHUNK_BYTES
    strips = min(max(chunk_bytes // strip_bytes, 1), len(x) * rows)
    # an odd number, so that the 36 cells of a tile don't meet in few places of the first-level cache
    tiles = strips * columns | 1
    width = max(4 * columns + 2, corner[1] + x.shape[2])
    sums = (channels, outputs) if backwards else (outputs, channels)
    # with a row too many, so that the 36 cells don't meet in one place of the caches
    total = aligned_empty((36 if correlates else 0, sums[0] + 1, sums[1]), x.dtype)
    total[:, sums[0]] = 0
    _convolve_tiles(
        x, *corner, kernels, lanes(), np.ascontiguousarray(b), y, gy, total, backwards, rows, columns,
        NOWHERE,
        aligned_scratch("winograd strip", (6, width * channels), x.dtype),
        aligned_scratch("winograd above", (4, 4 * columns * outputs), x.dtype),
        aligned_scratch("winograd edge", (16 * outputs,), x.dtype),
        aligned_scratch("winograd tiles", (36, tiles, channels), x.dtype),
        aligned_scratch("winograd products", (36, tiles, outputs), x.dtype),
        aligned_scratch("winograd upstream", (36, tiles, outputs), x.dtype),
    )  # fmt: skip
    return total


_NO_KERNELS = np.empty((0, 36, 1, 1), dtype=np.float32)


def _kernels(w: np.ndarray) -> np.ndarray:
    """The kernel as `_convolve_tiles` takes it."""
    width = panel_width(len(w))
    # with a row too many, so that the 36 cells of a channel don't meet in one place of the first-level cache
    kernels = np.empty((len(w) // width, 36, w.shape[1] + 1, width), dtype=w.dtype)
    zeros = np.zeros(width, dtype=w.dtype)

    def work(part: slice) -> None:
        _transform_kernels(w[part.start * width : part.stop * width], zeros, kernels[part])

    parallel(work, len(kernels), kernels.size)
    return kernels


def _kernel_gradient(total: np.ndarray, backwards: bool) -> np.ndarray:
    """The gradient (O, C, 3, 3) of the sums (36, O + 1, C)."""
    outputs, channels = total.shape[1] - 1, total.shape[2]
    gw = np.empty((outputs, channels, 3, 3), dtype=total.dtype)

    def work(part: slice) -> None:
        _write_gradient(total, part.start, gw[part], backwards)

    parallel(work, outputs, total.size)
    return gw


def _write_gradient(total: np.ndarray, first: int, gw: np.ndarray, backwards: bool) -> None:
    """For outputs from `first` on, as many as gw has; backwards the last cell first."""
    outputs, channels = gw.shape[:2]
    cells = np.empty((9, outputs, channels), dtype=total.dtype)
    _transform_gradients(total, first, np.zeros(channels, dtype=total.dtype), cells)
    target = gw[:, :, ::-1, ::-1] if backwards else gw
    unpack(cells.reshape(3, 3, outputs, channels).transpose(0, 2, 1, 3), target)
