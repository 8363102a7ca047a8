"""Convolution by full im2col: one product of matrices with all that the windows see, each a row.

For strides, where windows share few cells; for small images, whose windows fill no product of their own; and
for kernels of one cell, where the image is the matrix as it lies in memory.

Where there are fewer windows than outputs, as in the last layers of a network, the weights are what takes
time: each thread then makes some of the outputs, from its part of the weights, for all images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.backend import get_num_threads
from xpnn.kernels.numpy.conv.layout import Windows, add_bias, chunks, padded, strided, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces
from xpnn.kernels.numpy.small_products import add_correlation, kernel_matrix, multiply

# Bytes that are gathered at a time, so that the product finds them in the L2 cache.
_CHUNK_BYTES = 2 * 1024 * 1024

# Fewer windows than these in a product make it slow: more images then.
_LEAST_WINDOWS = 128


def columns_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to y (N, OH, OW, O)."""
    if _few_windows(windows):
        columns = _gather(x, windows)

        def make_outputs(outputs: slice) -> None:
            _multiply(columns, kernel_matrix(w[outputs]), _part(b, outputs), y[..., outputs])

        in_pieces(make_outputs, len(w), windows.work)
        return
    kernel = kernel_matrix(w)

    def work(images: slice) -> None:
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            _multiply(_gather(x[chunk], windows), kernel, b, y[chunk])

    in_pieces(work, len(x), windows.work)


def few_columns_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """`columns_convolve` where all columns are so few that each call of NumPy counts."""
    (top, bottom), (left, right) = windows.padding
    n, height, width, c = x.shape
    canvas = np.zeros((n, top + height + bottom, left + width + right, c), dtype=x.dtype)
    canvas[:, top : top + height, left : left + width] = x
    columns = _seen(canvas, windows).reshape(-1, c * math.prod(windows.kernel_size))
    total = columns.dot(w.transpose(2, 3, 1, 0).reshape(columns.shape[1], len(w)))
    if b is not None:
        total += b
    y[...] = total.reshape(y.shape)


def columns_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, KH, KW) of `columns_convolve` with respect to w, from y's gradient gy."""
    if _few_windows(windows):
        return _correlate_outputs(_gather(x, windows), gy, windows)

    def work(images: slice) -> np.ndarray:
        total = np.zeros((gy.shape[-1], math.prod(windows.kernel_size) * x.shape[-1]), dtype=x.dtype)
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            add_correlation(total, _flat(gy[chunk]), _gather(x[chunk], windows))
        return total

    return _kernel(total_of(in_pieces(work, len(x), windows.work)), windows)


def columns_fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """Write the gradient of `columns_convolve` with respect to x to gx (N, H, W, C): "col2im".

    One product makes what each window sends to all cells that it sees; it is added to the image, which is
    divided into blocks as large as the strides: cells of a window in one row of a block lie behind one
    another, here and there. That is faster than a convolution for each place in a block, and than adding
    the columns of each cell of the kernel by themselves.
    """

    def fold_part(images: slice, channels: slice) -> None:
        kernel = np.ascontiguousarray(w[:, channels].transpose(0, 2, 3, 1)).reshape(len(w), -1)
        for chunk in chunks(images, 2 * _images_in_chunk(gx, windows)):
            shape = (chunk.stop - chunk.start, *windows.out_size, *windows.kernel_size)
            cells = scratch("columns", (*shape, channels.stop - channels.start), gy.dtype)
            multiply(_flat(gy[chunk]), kernel, out=cells.reshape(-1, kernel.shape[1]))
            _add_cells(cells, gx[chunk, :, :, channels], windows)

    every, work = slice(0, gx.shape[3]), windows.work
    if len(gy) >= get_num_threads():
        in_pieces(lambda images: fold_part(images, every), len(gy), work)
    else:
        in_pieces(lambda channels: fold_part(slice(0, len(gy)), channels), gx.shape[3], work)


def _add_cells(cells: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """Write the sums of what windows send to their cells (N, OH, OW, KH, KW, C) to gx (N, H, W, C)."""
    (n, height, width, c), (down, along) = gx.shape, windows.stride
    rows, columns = -(-height // down), -(-width // along)
    whole = (n, rows * down, columns * along, c)
    direct = gx.flags.c_contiguous and gx.shape == whole
    target = gx if direct else scratch("columns sums", whole, gx.dtype)
    target[...] = 0
    blocks = target.reshape(n, rows, down, columns, along * c)
    cells = cells.reshape(*cells.shape[:4], -1)
    for u, some_rows, block_rows, row, _ in _runs(0, rows, windows):
        for v, some_columns, block_columns, first, count in _runs(1, columns, windows):
            sent = cells[:, some_rows, some_columns, u, v * c : (v + count) * c]
            blocks[:, block_rows, row, block_columns, first * c : (first + count) * c] += sent
    if not direct:
        gx[...] = target[:, :height, :width]


def _runs(axis: int, blocks: int, windows: Windows) -> Iterator[tuple[int, slice, slice, int, int]]:
    """The cells of windows along one axis, in runs that lie in one block behind one another.

    Yields: the first cell of the kernel, the windows, the blocks where it lies in the image, its place in a
    block, and the number of cells; of rows, each is a run by itself.
    """
    stride, dilation, before = windows.stride[axis], windows.dilation[axis], windows.padding[axis][0]
    t = 0
    while t < windows.kernel_size[axis]:
        block, place = divmod(t * dilation - before, stride)
        count = 1
        if axis == 1 and dilation == 1:
            count = min(stride - place, windows.kernel_size[axis] - t)
        first, last = max(-block, 0), min(blocks - block, windows.out_size[axis])
        if first < last:
            yield t, slice(first, last), slice(first + block, last + block), place, count
        t += count


def _correlate_outputs(columns: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient of the weights, each thread for some of the outputs."""
    channels = columns.shape[1] // math.prod(windows.kernel_size)
    gw = np.empty((gy.shape[-1], channels, *windows.kernel_size), dtype=gy.dtype)
    upstream = _flat(gy).T

    def make_outputs(outputs: slice) -> None:
        gw[outputs] = _kernel(upstream[outputs] @ columns, windows)

    in_pieces(make_outputs, len(gw), windows.work)
    return gw


def _multiply(columns: np.ndarray, kernel: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
    """y = columns @ kernel, plus b."""
    shape = (-1, y.shape[-1])
    if y.flags.c_contiguous:
        total = multiply(columns, kernel, out=y.reshape(shape))
    else:
        total = scratch("columns total", y.shape, y.dtype).reshape(len(columns), y.shape[-1])
        multiply(columns, kernel, out=total)
    if b is not None:
        add_bias(total, b, out=total)
    if not y.flags.c_contiguous:
        y[...] = total.reshape(y.shape)


def _gather(x: np.ndarray, windows: Windows) -> np.ndarray:
    """What all windows see: (N * OH * OW, KH * KW * C)."""
    if windows.pointwise:
        return _flat(x)
    seen = _seen(padded(x, windows.padding), windows)
    columns = scratch("columns", seen.shape, x.dtype)
    np.copyto(columns, seen)
    return columns.reshape(-1, math.prod(seen.shape[3:]))


def _seen(x: np.ndarray, windows: Windows) -> np.ndarray:
    """What windows see of padded images, as a view (N, OH, OW, KH, KW, C)."""
    image, row, column, cell = x.strides
    shape = (x.shape[0], *windows.out_size, *windows.kernel_size, x.shape[3])
    (down, along), (row_dilation, column_dilation) = windows.stride, windows.dilation
    steps = (image, down * row, along * column, row_dilation * row, column_dilation * column, cell)
    return strided(x, shape, steps)


def _kernel(gw: np.ndarray, windows: Windows) -> np.ndarray:
    """(O, KH * KW * C) -> (O, C, KH, KW)."""
    return gw.reshape(len(gw), *windows.kernel_size, -1).transpose(0, 3, 1, 2)


def _flat(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N * H * W, C); a view where x's memory allows."""
    return x.reshape(-1, x.shape[-1])


def _part(b: np.ndarray | None, outputs: slice) -> np.ndarray | None:
    return None if b is None else b[outputs]


def _few_windows(windows: Windows) -> bool:
    return windows.images * math.prod(windows.out_size) < windows.outputs


def _images_in_chunk(x: np.ndarray, windows: Windows) -> int:
    cells = math.prod(windows.out_size)
    image = cells * math.prod(windows.kernel_size) * x.shape[-1] * x.itemsize
    return max(_CHUNK_BYTES // max(image, 1), -(-_LEAST_WINDOWS // max(cells, 1)))
