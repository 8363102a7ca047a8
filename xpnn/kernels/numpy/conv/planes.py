"""Convolution of a few channels, such as the colours of a photograph: full im2col of planes, (N, C, H, W).

With few channels the long runs in memory are the rows of the image. A cell of the kernel gathers them one
after the other; where windows are strides apart, the columns of the image are first sorted by their
remainder, so that the runs stay whole. With a bias and many images it is done in `batch_innermost` instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.kernels.numpy.conv.layout import Windows, channels_last, chunks, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces
from xpnn.kernels.numpy.small_products import multiply

# Bytes that are gathered at a time, so that the product finds them in the L2 cache.
_CHUNK_BYTES = 2 * 1024 * 1024

# Cells in a row of the output from which it is copied, and added, fast enough by itself.
_LONG_ROW = 32


def planes_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to y (N, OH, OW, O).

    The memory of y is in the order of its axes or (N, O, OH, OW).
    """
    x, y = x.transpose(0, 3, 1, 2), y.transpose(0, 3, 1, 2)
    flat, last = _flat(y)
    kernel = w.reshape(len(w), -1)
    transposed = np.ascontiguousarray(kernel.T)

    def work(images: slice) -> None:
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            columns = _gather(x[chunk], windows)
            if last:
                multiply(columns.transpose(0, 2, 1), transposed, out=flat[chunk])
            else:
                np.matmul(kernel, columns, out=flat[chunk])
            if b is not None:
                flat[chunk] += b if last else b[:, None]

    in_pieces(work, len(x), windows.work)


def planes_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, KH, KW) of `planes_convolve` with respect to w, from y's gradient gy."""
    x, gy = x.transpose(0, 3, 1, 2), gy.transpose(0, 3, 1, 2)
    outputs, channels = gy.shape[1], x.shape[1]
    flat, last = _flat(gy)
    upstream = flat if last else flat.transpose(0, 2, 1)

    def work(images: slice) -> np.ndarray:
        total = np.zeros((channels * math.prod(windows.kernel_size), outputs), dtype=x.dtype)
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            columns = _gather(x[chunk], windows)
            products = scratch("planes correlation", (len(columns), *total.shape), x.dtype)
            total += np.matmul(columns, upstream[chunk], out=products).sum(axis=0)
        return total

    parts = in_pieces(work, len(x), windows.work)
    return total_of(parts).T.reshape(outputs, channels, *windows.kernel_size)


def rows_of_planes_fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """`planes_fold`, where rows of the image are long, or gy has more channels than there are columns.

    The product reads gy as it lies, and what it makes is added row by row. Where windows are strides apart,
    rows and columns of the image are sorted by their remainders by the stride: sums run along whole rows.
    """
    gx = gx.transpose(3, 0, 1, 2)
    flat, last = _flat(gy.transpose(0, 3, 1, 2))
    kernel = np.ascontiguousarray(w.reshape(len(w), -1).T)
    channels, _, *size = gx.shape
    down, along = windows.stride
    rows, columns = (-(-cells // step) for cells, step in zip(size, windows.stride))
    per_image = math.prod(windows.out_size) * len(kernel) * gy.itemsize

    def work(images: slice) -> None:
        for chunk in chunks(images, max(_CHUNK_BYTES // max(per_image, 1), 1)):
            cells = _sent(kernel, flat[chunk], last)
            cells = cells.reshape(channels, *windows.kernel_size, cells.shape[1], *windows.out_size)
            canvas = scratch("planes sums", (down, along, channels, cells.shape[3], rows, columns), gy.dtype)
            canvas[...] = 0
            for u, row, some_rows, seen_rows in _by_remainder(0, rows, windows):
                for v, column, some_columns, seen_columns in _by_remainder(1, columns, windows):
                    sent = cells[:, u, v, :, some_rows, some_columns]
                    canvas[row, column, :, :, seen_rows, seen_columns] += sent
            for row, column in np.ndindex(down, along):
                target = gx[:, chunk, row::down, column::along]
                target[...] = canvas[row, column, :, :, : target.shape[2], : target.shape[3]]

    in_pieces(work, len(gy), windows.work)


def long_rows_or_few_columns(windows: Windows) -> bool:
    """Whether `rows_of_planes_fold` is faster than `planes_fold`."""
    columns = windows.channels * math.prod(windows.kernel_size)
    return windows.out_size[1] >= _LONG_ROW or columns <= windows.outputs


def _sent(kernel: np.ndarray, gy: np.ndarray, last: bool) -> np.ndarray:
    """What windows send to their cells, (C * KH * KW, N, OH * OW), from gy and the order of `_flat`."""
    if last:
        cells = scratch("planes cells", (len(kernel), *gy.shape[:2]), gy.dtype)
        np.matmul(kernel, gy.reshape(-1, gy.shape[2]).T, out=cells.reshape(len(kernel), -1))
        return cells
    cells = scratch("planes cells", (len(gy), len(kernel), gy.shape[2]), gy.dtype)
    return np.matmul(kernel, gy, out=cells).swapaxes(0, 1)


def _by_remainder(axis: int, count: int, windows: Windows) -> Iterator[tuple[int, int, slice, slice]]:
    """The cells of windows along one axis of an image that is sorted by the remainder by the stride.

    Yields: the cell of the kernel, its remainder, the windows that see the image through it, and which of
    the `count` cells of that remainder they see.
    """
    for t in range(windows.kernel_size[axis]):
        first, remainder = divmod(t * windows.dilation[axis] - windows.padding[axis][0], windows.stride[axis])
        start, stop = max(-first, 0), min(count - first, windows.out_size[axis])
        if start < stop:
            yield t, remainder, slice(start, stop), slice(start + first, stop + first)


def planes_fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """Write the gradient of `planes_convolve` with respect to x to gx: columns, added up (col2im).

    The batch is the last axis in memory, so that the additions run over whole rows of the batch, not over
    ten cells.
    """
    gy, gx = gy.transpose(0, 3, 1, 2), gx.transpose(0, 3, 1, 2)
    kernel = np.ascontiguousarray(w.reshape(len(w), -1).T)
    padded_size = tuple(
        cells + before + after for cells, (before, after) in zip(gx.shape[2:], windows.padding)
    )
    inside = tuple(slice(before, before + cells) for cells, (before, _) in zip(gx.shape[2:], windows.padding))
    rows = math.prod(windows.out_size) * len(kernel) * gy.itemsize
    count = max(_CHUNK_BYTES // max(rows, 1), 1)

    def work(images: slice) -> None:
        for chunk in chunks(images, count):
            upstream = scratch("planes upstream", (*gy.shape[1:], chunk.stop - chunk.start), gy.dtype)
            np.copyto(upstream, gy[chunk].transpose(1, 2, 3, 0))
            cells = scratch("planes cells", (*w.shape[1:], *upstream.shape[1:]), gy.dtype)
            np.matmul(kernel, upstream.reshape(len(w), -1), out=cells.reshape(len(kernel), -1))
            canvas = scratch("planes canvas", (w.shape[1], *padded_size, upstream.shape[-1]), gy.dtype)
            canvas[...] = 0
            for u, v in np.ndindex(*windows.kernel_size):
                canvas[:, _cells(windows, 0, u), _cells(windows, 1, v)] += cells[:, u, v]
            gx[chunk] = canvas[(slice(None), *inside)].transpose(3, 0, 1, 2)

    in_pieces(work, len(gy), windows.work)


def _cells(windows: Windows, axis: int, t: int) -> slice:
    """What cell t of the kernel sees in all windows, along one axis of the padded input."""
    first, step = t * windows.dilation[axis], windows.stride[axis]
    return slice(first, first + step * (windows.out_size[axis] - 1) + 1, step)


def _gather(x: np.ndarray, windows: Windows) -> np.ndarray:
    """Full im2col: (N, C * KH * KW, OH * OW).

    Without strides down the image, the rows of the kernel see the same image rows. Short ones are shifted
    along the width once for all of them: what a cell of the kernel sees is then one long run. 0.75 of the
    time for the whole convolution of 6 channels of 14x14 with 5x5.
    """
    rows, down = windows.kernel_size[0], windows.stride[0]
    columns = scratch("planes", (*x.shape[:2], *windows.kernel_size, *windows.out_size), x.dtype)
    if down == 1 and windows.out_size[1] < _LONG_ROW:
        height = windows.out_size[0] + (rows - 1) * windows.dilation[0]
        shifted = scratch(
            "planes shifted", (*x.shape[:2], *columns.shape[3:4], height, columns.shape[5]), x.dtype
        )
        _shift(x, shifted[:, :, None], windows)
        for u in range(rows):
            first = u * windows.dilation[0]
            np.copyto(columns[:, :, u], shifted[:, :, :, first : first + windows.out_size[0]])
    else:
        _shift(x, columns, windows)
    return columns.reshape(len(x), -1, math.prod(windows.out_size))


def _shift(x: np.ndarray, columns: np.ndarray, windows: Windows) -> None:
    """Write what the cells of some rows of the kernel see to columns (N, C, kernel rows, KW, rows, OW)."""
    cells = _sorted_by_remainder(x, windows)
    image, channel, row, column = cells.strides[1:]
    shape = (*columns.shape[:3], *columns.shape[4:])
    steps = (image, channel, row * windows.dilation[0], row * windows.stride[0], column)
    for v in range(windows.kernel_size[1]):
        first, remainder = divmod(v * windows.dilation[1], windows.stride[1])
        offset = remainder * cells.strides[0] + first * column
        np.copyto(columns[:, :, :, v], np.ndarray(shape, x.dtype, cells, offset, steps))


def _sorted_by_remainder(x: np.ndarray, windows: Windows) -> np.ndarray:
    """The padded x, its columns sorted by their remainder by the stride: (stride, N, C, rows, columns)."""
    (top, bottom), (left, right) = windows.padding
    n, c, height, width = x.shape
    stride = windows.stride[1]
    columns = -(-(left + width + right) // stride)
    canvas = scratch("planes sorted", (stride, n, c, height + top + bottom, columns), x.dtype)
    canvas[...] = 0
    for remainder in range(stride):
        start = (remainder - left) % stride  # the first of the image's columns with this remainder
        first = (start + left) // stride
        source = x[..., start::stride]
        canvas[remainder, :, :, top : top + height, first : first + source.shape[-1]] = source
    return canvas


def _flat(y: np.ndarray) -> tuple[np.ndarray, bool]:
    """y with its two spatial axes in one, and whether the channels are then last: (N, OH * OW, O)."""
    n, outputs = y.shape[:2]
    last = channels_last(y)
    if last.flags.c_contiguous and not y.flags.c_contiguous:
        return last.reshape(n, math.prod(y.shape[2:]), outputs), True
    return y.reshape(n, outputs, math.prod(y.shape[2:])), False


def _images_in_chunk(x: np.ndarray, windows: Windows) -> int:
    image = math.prod(windows.out_size) * math.prod(windows.kernel_size) * x.shape[1] * x.itemsize
    return max(_CHUNK_BYTES // max(image, 1), 1)
