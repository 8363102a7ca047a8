"""Convolution, its gradients, and the transposed convolution, in one, two and three dimensions.

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

from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_floating,
    check_rank,
    check_same_dtype,
    check_shape,
    once_per_signature,
    tuple_of,
)
from xpnn.functional.windows import (
    Padding,
    Pairs,
    Size,
    add_windows,
    batch_of_one,
    by_cross,
    check_axes,
    conv_transpose_output_size,
    fitting_pairs,
    layout,
    output_size,
    pad_spatial,
    padding_pairs,
    window_slices,
)

__all__ = ["conv2d", "conv_transpose2d"]

Sizes = tuple[int, ...]


@batch_of_one(2)
def conv2d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ArrayT:
    """Convolution of images with a set of kernels.

    `y[n, o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] x[n, c, s i + d u - p, s j + d v - p]`; the
    gradients are at the top of this file.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        weight: (O, C / groups, KH, KW), of the input's dtype.
        bias: (O,), or None.
        stride: cells from one window to the next; a number, or one for rows and one for columns, as are
            dilation and padding.
        padding: cells of zeros around the input; or "valid" (none); or "same": as many as give
            `ceil(H / stride)` rows, with the odd one at the bottom and right, as TensorFlow and ONNX
            (SAME_UPPER) define it. PyTorch refuses "same" with a stride; with stride 1 they agree.
        dilation: cells from one cell of the kernel to the next.
        groups: cut the channels into that many groups, each with output channels of its own; with
            groups = C it is the depthwise convolution.

    Returns: (N, O, OH, OW) or (O, OH, OW), see `conv_output_size`.

    Raises: ShapeError if ranks, channels or sizes don't fit; DTypeError if the arrays aren't floats of one
    type; ArgumentError for a stride below 1, or groups that don't divide the channels.

    See: LeCun et al., "Gradient-based learning applied to document recognition", 1998. Dumoulin and
    Visin, "A guide to convolution arithmetic for deep learning", 2016.

    >>> import numpy as np
    >>> image = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d(image, np.ones((1, 1, 2, 2)), stride=1).tolist()
    [[[[8.0, 12.0], [20.0, 24.0]]]]
    """
    return _conv_nd("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@batch_of_one(2)
def conv_transpose2d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ArrayT:
    """Transposed convolution of images: each input cell stamps its kernel, `stride` cells apart.

    `y[n, o, s i + d u - p, s j + d v - p] += x[n, c, i, j] w[c, o, u, v]`, plus the bias: the input
    gradient of the `conv2d` that has the same stride, padding and dilation. Its own gradients are that
    convolution (of the input) and that convolution's weight gradient.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        weight: (C, O / groups, KH, KW), of the input's dtype.
        bias: (O,), or None.
        stride, padding, dilation, groups: those of the convolution that it transposes; so padding takes
            cells away.
        output_padding: cells added to the output at the bottom and right, less than stride or dilation: a
            strided convolution maps several sizes to one, and this chooses among them.

    Returns: (N, O, OH, OW) or (O, OH, OW), see `conv_transpose_output_size`.

    Raises: as `conv2d`.

    See: Zeiler et al., "Deconvolutional networks", 2010.

    >>> import numpy as np
    >>> conv_transpose2d(np.full((1, 1, 1, 2), 3.0), np.ones((1, 1, 1, 2)), stride=(1, 2)).tolist()
    [[[[3.0, 3.0, 3.0, 3.0]]]]
    """
    return _conv_transpose_nd(
        "conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


# ---- the three primitives ----


@primitive
def _conv(
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


@_conv.backward
def _conv_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    x, w = saved
    gx = _conv_input_gradient(gy, w, size=tuple(x.shape[2:]), **options) if needs[0] else None
    gw = _conv_weight_gradient(x, gy, kernel_size=tuple(w.shape[2:]), **options) if needs[1] else None
    gb = namespace(gy).sum(gy, axis=(0, *range(2, gy.ndim))) if needs[2] else None
    return gx, gw, gb


@primitive
def _conv_input_gradient(
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


@_conv_input_gradient.backward
def _conv_input_gradient_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes, **options: Any
) -> tuple:
    gy, w = saved
    ggy = _conv(ggx, w, None, **options) if needs[0] else None
    gw = _conv_weight_gradient(ggx, gy, kernel_size=tuple(w.shape[2:]), **options) if needs[1] else None
    return ggy, gw


@primitive
def _conv_weight_gradient(
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


@_conv_weight_gradient.backward
def _conv_weight_gradient_backward(
    ggw: Array, saved: tuple, needs: tuple[bool, ...], *, kernel_size: Sizes, **options: Any
) -> tuple:
    x, gy = saved
    gx = _conv_input_gradient(gy, ggw, size=tuple(x.shape[2:]), **options) if needs[0] else None
    ggy = _conv(x, ggw, None, **options) if needs[1] else None
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
    windows = x.shape[1] * _product(out_size)
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
    cells = _product(kernel_size)
    channels = columns.shape[0] * columns.shape[1] // cells
    columns = xp.reshape(columns, (channels, cells, gy.shape[0], *gy.shape[2:]))
    parts = [columns[:, t, ...] for t in range(cells)]
    return _swap_batch_and_channels(add_windows(parts, size, kernel_size, stride, padding, dilation))


def _rows_of_weights(w: Array, groups: int) -> Array:
    """W: (O, C / groups, *kernel_size) -> (groups, O / groups, C / groups * kernel cells)."""
    return namespace(w).reshape(w, (groups, w.shape[0] // groups, _product(w.shape[1:])))


def _to_rows(y: Array, groups: int) -> Array:
    """Y: (N, O, *out_size) -> (groups, O / groups, N * windows)."""
    windows = y.shape[0] * _product(y.shape[2:])
    return namespace(y).reshape(_swap_batch_and_channels(y), (groups, y.shape[1] // groups, windows))


def _from_rows(rows: Array, batch: int, out_size: Sizes) -> Array:
    """The inverse of `_to_rows`."""
    channels = rows.shape[0] * rows.shape[1]
    return _swap_batch_and_channels(namespace(rows).reshape(rows, (channels, batch, *out_size)))


def _swap_batch_and_channels(x: Array) -> Array:
    return namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim)))


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


# ---- checks, and from the user's arguments to the primitives' ----


def _conv_nd(
    subject: str,
    axes: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
) -> Array:
    _check_convolution(input, weight, bias, subject=subject, axes=axes, groups=groups)
    size, kernel_size = tuple(input.shape[2:]), tuple(weight.shape[2:])
    stride = tuple_of(stride, axes, "stride", subject, minimum=1)
    dilation = tuple_of(dilation, axes, "dilation", subject, minimum=1)
    if not isinstance(padding, str):
        padding = tuple_of(padding, axes, "padding", subject)
    pairs = fitting_pairs(padding, size, kernel_size, stride, dilation, subject)
    return _conv(input, weight, bias, stride=stride, padding=pairs, dilation=dilation, groups=groups)


def _conv_transpose_nd(
    subject: str,
    axes: int,
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Size,
    padding: Size,
    output_padding: Size,
    groups: int,
    dilation: Size,
) -> Array:
    _check_arrays(subject, axes, input, weight, bias)
    _check_groups(subject, groups, weight.shape[0], "input")
    _check_input_channels(subject, axes, input, weight.shape[0])
    check_shape(bias, (weight.shape[1] * groups,), subject, "bias")
    stride = tuple_of(stride, axes, "stride", subject, minimum=1)
    dilation = tuple_of(dilation, axes, "dilation", subject, minimum=1)
    extra = tuple_of(output_padding, axes, "output_padding", subject)
    if any(e >= s and e >= d for e, s, d in zip(extra, stride, dilation)):
        raise ArgumentError(
            f"expects output_padding smaller than stride {stride} or dilation {dilation}, got {extra}",
            subject=subject,
        )
    pairs = padding_pairs(padding, input.shape[2:], weight.shape[2:], stride, dilation, subject)
    whole_strides = tuple(e // s for e, s in zip(extra, stride))
    if any(whole_strides):  # possible with a dilation only: an input cell of zero for each
        input = _append_zeros(input, whole_strides)
        extra = tuple(e % s for e, s in zip(extra, stride))
    size = conv_transpose_output_size(
        input.shape[2:], tuple(weight.shape[2:]), stride, padding, extra, dilation
    )
    if min(size) < 1:
        raise ShapeError(
            f"would give an output of {by_cross(size)}: padding={padding} takes away more than there is",
            subject=subject,
        )
    y = _conv_input_gradient(
        input, weight, size=size, stride=stride, padding=pairs, dilation=dilation, groups=groups
    )
    return y if bias is None else y + namespace(y, bias).reshape(bias, (-1, *(1,) * axes))


@once_per_signature
def _check_convolution(
    input: Array, weight: Array, bias: Array | None, *, subject: str, axes: int, groups: int
) -> None:
    _check_arrays(subject, axes, input, weight, bias)
    _check_groups(subject, groups, weight.shape[0], "output")
    _check_input_channels(subject, axes, input, weight.shape[1] * groups)
    check_shape(bias, (weight.shape[0],), subject, "bias")


def _append_zeros(x: Array, counts: Sizes) -> Array:
    """`x` with so many cells of zero after its last cell along each spatial axis."""
    xp = namespace(x)
    for axis, count in enumerate(counts, start=2):
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        x = xp.concat([x, xp.zeros(shape, dtype=x.dtype, device=device_of(x))], axis=axis)
    return x


def _check_arrays(subject: str, axes: int, input: Array, weight: Array, bias: Array | None) -> None:
    """Ranks and element types."""
    check_axes(input, axes, subject)
    check_rank(weight, axes + 2, subject, "channels, channels, kernel", name="weight")
    check_floating(input, subject)
    check_same_dtype(subject, input, weight=weight, bias=bias)


def _check_input_channels(subject: str, axes: int, input: Array, expected: int) -> None:
    channels = input.shape[1]
    if channels != expected:
        raise ShapeError(
            f"expects {expected} input channels ({layout(axes)}), "
            f"got {channels} from an input of shape {tuple(input.shape)}",
            subject=subject,
            hint=f"Did you mean in_channels={channels}?",
        )


def _check_groups(subject: str, groups: int, channels: int, which: str) -> None:
    if type(groups) is not int or groups < 1:
        raise ArgumentError(f"expects groups of at least 1, got {groups!r}", subject=subject)
    if channels % groups:
        raise ArgumentError(
            f"expects groups that divide the {channels} {which} channels, got groups={groups}",
            subject=subject,
        )
