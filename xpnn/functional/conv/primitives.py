"""The three primitives of convolution, in any number of dimensions: itself and its two gradients.

A convolution slides a small kernel over its input and takes a weighted sum in each place. For output cell i,
kernel cell t (both counted along all spatial axes) and channels c -> o,

    y[n, o, i] = b[o] + sum over c, t of  w[o, c, t] x[n, c, s i + d t - p]

with stride s, dilation d and padding p. (The kernel is not flipped: a mathematician says correlation.)

Its gradients need no new idea. Take any upstream gradient gy and write the scalar that it weighs y with:

    T(gy, x, w) = sum over n, o, c, i, t of  gy[n, o, i] w[o, c, t] x[n, c, s i + d t - p]

T is linear in each of the three arrays, and its derivatives by one of them are the three primitives of this
file: by gy the convolution, by x its input gradient, by w its weight gradient.  As each of them is linear
in two arrays, its own backward calls the other two, to any order. The *transposed* convolution, which
undoes the change of size that a strided convolution makes, is the input gradient by another name.

All three are one matrix product. Let X be the matrix whose columns are the input's windows, a row for each
channel and kernel cell ("im2col"); W the weights with one row for each output channel; Y the output, a
row for each channel and a column for each window:

    Y = W X          gradient of W = GY X^T          gradient of X = W^T GY,  folded back ("col2im")
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import Array, namespace
from xpnn.functional.windows import Pairs, add_windows, output_size, pad_spatial, window_slices

Sizes = tuple[int, ...]


@primitive
def conv(
    x: Array, w: Array, b: Array | None, *, stride: Sizes, padding: Pairs, dilation: Sizes, groups: int
) -> tuple[Array, tuple]:
    """Y = W X + b."""
    xp = namespace(x)
    kernel_size = w.shape[2:]
    columns = _unfold(x, kernel_size, stride, padding, dilation, groups)
    rows = xp.matmul(_rows_of_weights(w, groups), columns)
    y = _from_rows(rows, x.shape[0], output_size(x.shape[2:], kernel_size, stride, padding, dilation))
    if b is not None:
        y = y + xp.reshape(b, (-1, *(1,) * len(kernel_size)))
    return y, (x, w)


@conv.backward
def _conv_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    x, w = saved
    gx = conv_input_gradient(gy, w, size=tuple(x.shape[2:]), **options) if needs[0] else None
    gw = conv_weight_gradient(x, gy, kernel_size=tuple(w.shape[2:]), **options) if needs[1] else None
    gb = namespace(gy).sum(gy, axis=(0, *range(2, gy.ndim))) if needs[2] else None
    return gx, gw, gb


@primitive
def conv_input_gradient(
    gy: Array,
    w: Array,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[Array, tuple]:
    """W^T GY, folded back onto an input of `size`."""
    xp = namespace(gy)
    columns = xp.matmul(_rows_of_weights(w, groups).mT, _to_rows(gy, groups))
    return _fold(columns, gy, size, w.shape[2:], stride, padding, dilation), (gy, w)


@conv_input_gradient.backward
def _conv_input_gradient_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes, **options: Any
) -> tuple:
    gy, w = saved
    ggy = conv(ggx, w, None, **options) if needs[0] else None
    gw = conv_weight_gradient(ggx, gy, kernel_size=tuple(w.shape[2:]), **options) if needs[1] else None
    return ggy, gw


@primitive
def conv_weight_gradient(
    x: Array,
    gy: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[Array, tuple]:
    """GY X^T."""
    xp = namespace(x)
    columns = _unfold(x, kernel_size, stride, padding, dilation, groups)
    gw = xp.matmul(_to_rows(gy, groups), columns.mT)
    return xp.reshape(gw, (gy.shape[1], x.shape[1] // groups, *kernel_size)), (x, gy)


@conv_weight_gradient.backward
def _conv_weight_gradient_backward(
    ggw: Array, saved: tuple, needs: tuple[bool, ...], *, kernel_size: Sizes, **options: Any
) -> tuple:
    x, gy = saved
    gx = conv_input_gradient(gy, ggw, size=tuple(x.shape[2:]), **options) if needs[0] else None
    ggy = conv(x, ggw, None, **options) if needs[1] else None
    return gx, ggy


# ---- the matrices X, W and Y, one for each group of channels ----


def _unfold(
    x: Array, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes, groups: int
) -> Array:
    """X (im2col): (N, C, *size) -> (groups, C / groups * kernel cells, N * windows)."""
    xp = namespace(x)
    x = pad_spatial(_swap_batch_and_channels(x), padding)
    out_size = output_size(x.shape[2:], kernel_size, stride, ((0, 0),) * len(stride), dilation)
    cells = [x[window] for window in window_slices(out_size, kernel_size, stride, dilation)]
    columns = xp.stack(cells, axis=1)  # (C, kernel cells, N, *out_size)
    windows = x.shape[1] * math.prod(out_size)
    return xp.reshape(columns, (groups, x.shape[0] // groups * len(cells), windows))


def _fold(
    columns: Array,
    gy: Array,
    size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> Array:
    """The adjoint of `_unfold` (col2im): every cell of X is added to the input cell that it came from."""
    xp = namespace(columns)
    cells = math.prod(kernel_size)
    channels = columns.shape[0] * columns.shape[1] // cells
    columns = xp.reshape(columns, (channels, cells, gy.shape[0], *gy.shape[2:]))
    parts = [columns[:, t, ...] for t in range(cells)]
    return _swap_batch_and_channels(add_windows(parts, size, kernel_size, stride, padding, dilation))


def _rows_of_weights(w: Array, groups: int) -> Array:
    """W: (O, C / groups, *kernel_size) -> (groups, O / groups, C / groups * kernel cells)."""
    return namespace(w).reshape(w, (groups, w.shape[0] // groups, math.prod(w.shape[1:])))


def _to_rows(y: Array, groups: int) -> Array:
    """Y: (N, O, *out_size) -> (groups, O / groups, N * windows)."""
    windows = y.shape[0] * math.prod(y.shape[2:])
    return namespace(y).reshape(_swap_batch_and_channels(y), (groups, y.shape[1] // groups, windows))


def _from_rows(rows: Array, batch: int, out_size: Sizes) -> Array:
    """The inverse of `_to_rows`."""
    channels = rows.shape[0] * rows.shape[1]
    return _swap_batch_and_channels(namespace(rows).reshape(rows, (channels, batch, *out_size)))


def _swap_batch_and_channels(x: Array) -> Array:
    return namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim)))
