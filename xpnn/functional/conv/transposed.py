"""Transposed convolution of sequences, images and volumes: the input gradient of a convolution."""

from __future__ import annotations

from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import check_shape, tuple_of
from xpnn.functional.conv.arguments import check_arrays, check_groups, check_input_channels
from xpnn.functional.conv.primitives import Sizes, conv_input_gradient
from xpnn.functional.windows import Size, batch_of_one, by_cross, conv_transpose_output_size, padding_pairs

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


@batch_of_one(1)
def conv_transpose1d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ArrayT:
    """Transposed convolution of sequences: `y[n, o, s i + d t - p] += x[n, c, i] w[c, o, t]`, plus the bias.

    Args:
        input: (N, C, L) floats, or (C, L).
        weight: (C, O / groups, K), of the input's dtype.
        bias: (O,), or None.
        stride, padding, output_padding, groups, dilation: as in `conv_transpose2d`, along the one axis.

    Returns: (N, O, OL) or (O, OL), see `conv_transpose_output_size`.

    Raises: as `conv2d`.

    >>> import numpy as np
    >>> conv_transpose1d(np.full((1, 1, 2), 3.0), np.ones((1, 1, 2)), stride=2).tolist()
    [[[3.0, 3.0, 3.0, 3.0]]]
    """
    return _conv_transpose_nd(
        "conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


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


@batch_of_one(3)
def conv_transpose3d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ArrayT:
    """Transposed convolution of volumes: `conv_transpose2d` with a third axis, the depth, before the others.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        weight: (C, O / groups, KD, KH, KW), of the input's dtype.
        bias: (O,), or None.
        stride, padding, output_padding, groups, dilation: as in `conv_transpose2d`; a number, or one for each
            of the three axes.

    Returns: (N, O, OD, OH, OW) or (O, OD, OH, OW), see `conv_transpose_output_size`.

    Raises: as `conv2d`.

    >>> import numpy as np
    >>> conv_transpose3d(np.ones((1, 1, 1, 1, 1)), np.ones((1, 2, 1, 1, 2))).tolist()
    [[[[[1.0, 1.0]]], [[[1.0, 1.0]]]]]
    """
    return _conv_transpose_nd(
        "conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


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
    check_arrays(subject, axes, input, weight, bias)
    check_groups(subject, groups, weight.shape[0], "input")
    check_input_channels(subject, axes, input, weight.shape[0])
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
    y = conv_input_gradient(
        input, weight, size=size, stride=stride, padding=pairs, dilation=dilation, groups=groups
    )
    return y if bias is None else y + namespace(y, bias).reshape(bias, (-1, *(1,) * axes))


def _append_zeros(x: Array, counts: Sizes) -> Array:
    """`x` with so many cells of zero after its last cell along each spatial axis."""
    xp = namespace(x)
    for axis, count in enumerate(counts, start=2):
        shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
        x = xp.concat([x, xp.zeros(shape, dtype=x.dtype, device=device_of(x))], axis=axis)
    return x
