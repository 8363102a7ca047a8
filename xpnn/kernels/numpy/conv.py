"""Convolution of images in NumPy: products of matrices that fit the cache, on channels-last arrays.

Inside, arrays are channels-last, (N, H, W, C): the cells that a window covers in one image row then lie
next to each other, all channels together. The user still sees (N, C, H, W), as a transposed view of that
memory; elementwise operations keep it so, and the next convolution finds its input as it wants it.

Times are of single layers in float32 on 128 images, on one thread of a busy machine, in ms of its CPU time:
compare them with each other only. The reference takes 20 for 16 channels of 32x32 with a 3x3 kernel, where
`conv` takes 9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xpnn.backend import kernel

# Columns of this many bytes are gathered at a time, so that the product finds them in the L2 cache:
# 16 channels of 32x32, 3x3: 9.3, all images at once: 12.5.
_CHUNK_BYTES = 1024 * 1024

# With fewer input channels, the long runs in memory are the image rows, not the channels ("planes").
# 3 -> 16 channels of 32x32, 3x3: 2.8 against 3.2; 1 -> 6 channels of 28x28, 5x5: 1.2 against 2.1.
_PLANES_BELOW = 5

# With fewer output channels than this, planes give (N, C, H, W) memory: runs of few channels are slow.
_CHANNELS_LAST_FROM = 8

Pairs = tuple[tuple[int, int], ...]


def _wide_groups(x: np.ndarray, *others: Any, groups: int, **options: Any) -> bool:
    """Images, and enough channels in each group to be worth products of their own.

    32 channels of 16x16, 3x3, in groups of 16: 5.7 against the reference's 9.2; of 4: 8.3 against 6.8.
    """
    return x.ndim == 4 and (groups == 1 or x.shape[1] // groups >= 8)


def _images(gy: np.ndarray, *others: Any, **options: Any) -> bool:
    return gy.ndim == 4


@kernel("numpy", "conv", when=_wide_groups)
def conv(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    *,
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
    groups: int,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_conv`."""
    out_size = tuple(
        (cells + before + after - d * (k - 1) - 1) // s + 1
        for cells, k, s, (before, after), d in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)
    )
    kernels = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
    if groups == 1 and x.shape[1] < _PLANES_BELOW:
        y = _convolve_planes(x, w, out_size, stride, padding, dilation)
    else:
        y = _channels_last_empty(x, w.shape[0], out_size)
        for channels, outputs in _groups(x.shape[1], w.shape[0], groups):
            _convolve(
                _channels_last(x)[..., channels],
                kernels[..., outputs],
                _channels_last(y)[..., outputs],
                stride,
                padding,
                dilation,
            )
    if b is not None:
        y += b[:, None, None]
    return y, (x, w)


@kernel("numpy", "conv_input_gradient", when=_images)
def conv_input_gradient(
    gy: np.ndarray,
    w: np.ndarray,
    *,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
    groups: int,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_conv_input_gradient`: convolutions of gy, without strides.

    Input cell j gets `w[t] gy[i]` from all i and t with `s i + d t = j + p`. Only kernel cells t with the
    same remainder of `d t` by s as `j + p` has can meet that; for them i is `(j + p) // s` minus a
    constant. So the input cells of one remainder are a convolution, with stride 1, of gy by those cells
    of the kernel in reverse order: one for each remainder, and no column is ever added up ("col2im").
    16 -> 16 channels of 32x32, 3x3: 9.4, the reference 25; to 32 with stride 2: 7.8, the reference 8.8.
    """
    channels = w.shape[1] * groups
    if groups == 1 and channels < _CHANNELS_LAST_FROM:
        return _fold_planes(gy, w, size, stride, padding, dilation), (gy, w)
    gx = _channels_last_empty(gy, channels, size)
    if stride != (1, 1):
        gx[...] = 0  # cells that no window covers
    kernels = w.transpose(2, 3, 0, 1)
    rows = list(_remainders(size[0], gy.shape[2], w.shape[2], stride[0], padding[0][0], dilation[0]))
    columns = list(_remainders(size[1], gy.shape[3], w.shape[3], stride[1], padding[1][0], dilation[1]))
    for outputs, inputs in _groups(gy.shape[1], channels, groups):
        for at_rows, kernel_rows, row_padding, row_dilation in rows:
            for at_columns, kernel_columns, column_padding, column_dilation in columns:
                _convolve(
                    _channels_last(gy)[..., outputs],
                    kernels[kernel_rows][:, kernel_columns][:, :, outputs],
                    _channels_last(gx)[:, at_rows, at_columns, inputs],
                    (1, 1),
                    (row_padding, column_padding),
                    (row_dilation, column_dilation),
                )
    return gx, (gy, w)


@kernel("numpy", "conv_weight_gradient", when=_wide_groups)
def conv_weight_gradient(
    x: np.ndarray,
    gy: np.ndarray,
    *,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
    groups: int,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_conv_weight_gradient`."""
    shape = (gy.shape[1], x.shape[1] // groups, *kernel_size)
    if groups == 1 and x.shape[1] < _PLANES_BELOW:
        return _correlate_planes(x, gy, kernel_size, stride, padding, dilation).reshape(shape), (x, gy)
    gw = np.empty(shape, dtype=x.dtype)
    for channels, outputs in _groups(x.shape[1], gy.shape[1], groups):
        gw[outputs] = _correlate(
            _channels_last(x)[..., channels],
            _channels_last(gy)[..., outputs],
            kernel_size,
            stride,
            padding,
            dilation,
        ).transpose(3, 2, 0, 1)
    return gw, (x, gy)


# ---- channels last ----


def _convolve(
    x: np.ndarray,
    w: np.ndarray,
    y: np.ndarray,
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> None:
    """Write the convolution of x (N, H, W, C) with w (KH, KW, C, O) to y (N, OH, OW, O).

    A product for each row of the kernel. With stride 1 they share one gathering along the rows of the
    image, a third of what full im2col moves for a 3x3 kernel; 16 images of 64 channels, 56x56: 34, not 42.
    """
    kernel_rows = w.reshape(w.shape[0], -1, w.shape[-1])
    out_size = y.shape[1:3]
    for images in _chunks(x, w.shape[1], out_size, padding):
        columns = _columns(x[images], w.shape[:2], out_size, stride, padding, dilation)
        total = y[images].reshape(len(y[images]), -1, y.shape[-1])  # y's own memory if it is contiguous
        np.matmul(next(columns), kernel_rows[0], out=total)
        for row, cells in zip(kernel_rows[1:], columns):
            total += cells @ row
        if not y.flags.c_contiguous:
            y[images] = total.reshape(y[images].shape)


def _correlate(
    x: np.ndarray,
    gy: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> np.ndarray:
    """The gradient (KH, KW, C, O) of `_convolve` with respect to w."""
    out_size = gy.shape[1:3]
    gw = np.zeros((kernel_size[0], kernel_size[1] * x.shape[-1], gy.shape[-1]), dtype=x.dtype)
    for images in _chunks(x, kernel_size[1], out_size, padding):
        outputs = np.ascontiguousarray(gy[images])
        outputs = outputs.reshape(len(outputs), -1, gy.shape[-1])
        columns = _columns(x[images], kernel_size, out_size, stride, padding, dilation)
        for row, cells in zip(gw, columns):
            row += (cells.transpose(0, 2, 1) @ outputs).sum(axis=0)
    return gw.reshape(*kernel_size, x.shape[-1], gy.shape[-1])


def _columns(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    out_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> Iterator[np.ndarray]:
    """For each row of the kernel, what all windows see through it: (N, windows, KW * C)."""
    x = _padded(x, padding)
    n, c = x.shape[0], x.shape[3]
    out_rows, out_columns = out_size
    row = x.strides[1]
    if stride[0] == 1:  # the gatherings of the kernel's rows are shifts of one another
        height = out_rows + (kernel_size[0] - 1) * dilation[0]
        cells = _gather(x, (n, height, out_columns, kernel_size[1], c), stride[1], dilation[1], row)
        cells = cells.reshape(n, height * out_columns, -1)
        for u in range(kernel_size[0]):
            first = u * dilation[0] * out_columns
            yield cells[:, first : first + out_rows * out_columns]
    else:
        for u in range(kernel_size[0]):
            rows = x[:, u * dilation[0] :]
            shape = (n, out_rows, out_columns, kernel_size[1], c)
            yield _gather(rows, shape, stride[1], dilation[1], row * stride[0]).reshape(
                n, out_rows * out_columns, -1
            )


def _gather(x: np.ndarray, shape: tuple[int, ...], stride: int, dilation: int, row: int) -> np.ndarray:
    """(N, rows, windows, KW, C): the cells that windows cover along the rows of the image."""
    image, _, column, channel = x.strides
    steps = (image, row, column * stride, column * dilation, channel)
    return np.ascontiguousarray(as_strided(x, shape, steps, writeable=False))


def _padded(x: np.ndarray, padding: Pairs) -> np.ndarray:
    """x (N, H, W, C) with zeros around its images; negative padding cuts cells off."""
    (top, bottom), (left, right) = padding
    n, height, width, c = x.shape
    last_row, last_column = max(height + min(bottom, 0), 0), max(width + min(right, 0), 0)
    inside = x[:, max(-top, 0) : last_row, max(-left, 0) : last_column]
    top, bottom, left, right = (max(cells, 0) for cells in (top, bottom, left, right))
    if not (top or bottom or left or right):
        # gathering cell by cell from planes is slow: bring the channels of a cell together first
        return inside if inside.strides[3] == inside.itemsize else np.ascontiguousarray(inside)
    rows, columns = inside.shape[1:3]
    padded = np.zeros((n, rows + top + bottom, columns + left + right, c), dtype=x.dtype)
    padded[:, top : top + rows, left : left + columns] = inside
    return padded


def _remainders(
    size: int, out_size: int, kernel_size: int, stride: int, padding: int, dilation: int
) -> Iterator[tuple[slice, list[int], tuple[int, int], int]]:
    """One axis of the input gradient, see `conv_input_gradient`.

    Yields, for each remainder by the stride: the input cells, the kernel cells in reverse order, and the
    padding and dilation of the convolution of gy with them.
    """
    step = dilation // math.gcd(stride, dilation)
    for first in range(min(stride, size)):
        cells = [t for t in range(kernel_size) if t * dilation % stride == (first + padding) % stride]
        if cells:
            at = slice(first, size, stride)
            count = len(range(first, size, stride))
            before = cells[-1] * dilation // stride - (first + padding) // stride
            after = count + (len(cells) - 1) * step - out_size - before
            yield at, cells[::-1], (before, after), step


# ---- planes, for a few input channels ----


def _convolve_planes(
    x: np.ndarray,
    w: np.ndarray,
    out_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> np.ndarray:
    """The convolution of x (N, C, H, W), by full im2col: (N, C * KH * KW, windows)."""
    n, outputs = x.shape[0], w.shape[0]
    kernels = w.reshape(outputs, -1)
    channels_last = outputs >= _CHANNELS_LAST_FROM
    if channels_last:
        y = _channels_last_empty(x, outputs, out_size)
    else:
        y = np.empty((n, outputs, *out_size), dtype=x.dtype)
    for images in _chunks(x.transpose(0, 2, 3, 1), math.prod(w.shape[2:]), out_size, padding):
        columns = _plane_columns(x[images], w.shape[2:], out_size, stride, padding, dilation)
        if channels_last:
            product = columns.transpose(0, 2, 1) @ kernels.T
            _channels_last(y)[images] = product.reshape(-1, *out_size, outputs)
        else:
            y[images] = (kernels @ columns).reshape(-1, outputs, *out_size)
    return y


def _correlate_planes(
    x: np.ndarray,
    gy: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> np.ndarray:
    """The gradient (O, C * KH * KW) of `_convolve_planes` with respect to w."""
    outputs, out_size = gy.shape[1], gy.shape[2:]
    gw = np.zeros((outputs, x.shape[1] * math.prod(kernel_size)), dtype=x.dtype)
    for images in _chunks(x.transpose(0, 2, 3, 1), math.prod(kernel_size), out_size, padding):
        columns = _plane_columns(x[images], kernel_size, out_size, stride, padding, dilation)
        rows = gy[images].reshape(len(columns), outputs, -1)
        gw += (rows @ columns.transpose(0, 2, 1)).sum(axis=0)
    return gw


def _fold_planes(
    gy: np.ndarray,
    w: np.ndarray,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> np.ndarray:
    """The gradient of `_convolve_planes` with respect to x (N, C, H, W): columns, added up (col2im).

    A product with only a few output channels is slow; here they are C * KH * KW of them. The batch is
    the last axis in memory, so that the additions run over whole rows of the batch, not over ten cells.
    6 <- 16 channels of 14x14, 5x5: 2.3 against 3.8.
    """
    kernels = w.reshape(w.shape[0], -1).T
    out_size = gy.shape[2:]
    gx = np.empty((gy.shape[0], w.shape[1], *size), dtype=gy.dtype)
    padded_size = [cells + before + after for cells, (before, after) in zip(size, padding)]
    inside = tuple(slice(before, before + cells) for cells, (before, _) in zip(size, padding))
    for images in _chunks(gx.transpose(0, 2, 3, 1), math.prod(w.shape[2:]), out_size, padding):
        upstream = np.ascontiguousarray(gy[images].transpose(1, 2, 3, 0))
        cells = kernels @ upstream.reshape(len(upstream), -1)
        cells = cells.reshape(*w.shape[1:], *upstream.shape[1:])  # (C, KH, KW, OH, OW, N)
        canvas = np.zeros((w.shape[1], *padded_size, upstream.shape[-1]), dtype=gy.dtype)
        for cell in np.ndindex(*w.shape[2:]):
            window = (
                slice(t * d, t * d + s * (count - 1) + 1, s)
                for t, d, s, count in zip(cell, dilation, stride, out_size)
            )
            canvas[(slice(None), *window)] += cells[(slice(None), *cell)]
        gx[images] = canvas[(slice(None), *inside)].transpose(3, 0, 1, 2)
    return gx


def _plane_columns(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    out_size: tuple[int, int],
    stride: tuple[int, int],
    padding: Pairs,
    dilation: tuple[int, int],
) -> np.ndarray:
    """Full im2col of x (N, C, H, W): (N, C * KH * KW, windows)."""
    (top, bottom), (left, right) = padding
    if top or bottom or left or right:
        n, c, height, width = x.shape
        padded = np.zeros((n, c, height + top + bottom, width + left + right), dtype=x.dtype)
        padded[:, :, top : top + height, left : left + width] = x
        x = padded
    image, channel, row, column = x.strides
    shape = (*x.shape[:2], *kernel_size, *out_size)
    steps = (row * dilation[0], column * dilation[1], row * stride[0], column * stride[1])
    cells = as_strided(x, shape, (image, channel, *steps), writeable=False)
    return cells.reshape(x.shape[0], x.shape[1] * math.prod(kernel_size), math.prod(out_size))


# ---- memory ----


def _channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def _channels_last_empty(like: np.ndarray, channels: int, size: tuple[int, int]) -> np.ndarray:
    """An (N, C, H, W) array, whose memory is (N, H, W, C); not filled."""
    return np.empty((like.shape[0], *size, channels), dtype=like.dtype).transpose(0, 3, 1, 2)


def _chunks(x: np.ndarray, cells: int, out_size: tuple[int, int], padding: Pairs) -> Iterator[slice]:
    """Slices of the batch of x (N, H, W, C), whose gathered columns (`cells` a window) fit the cache."""
    rows = max(out_size[0], x.shape[1] + sum(padding[0]))
    image = max(rows * out_size[1] * cells * x.shape[-1] * x.itemsize, 1)
    count = max(_CHUNK_BYTES // image, 1)
    for first in range(0, x.shape[0], count):
        yield slice(first, first + count)


def _groups(inputs: int, outputs: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The input and output channels of each group."""
    for group in range(groups):
        yield (
            slice(group * inputs // groups, (group + 1) * inputs // groups),
            slice(group * outputs // groups, (group + 1) * outputs // groups),
        )
