"""Transposed convolution of sequences, images and volumes: the input gradient of a convolution."""

from __future__ import annotations

from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, namespace
from xpnn.functional.arguments import check_shape, tuple_of
from xpnn.functional.conv.arguments import check_arrays, check_groups, check_input_channels
from xpnn.functional.conv.complex_numbers import by_parts, with_bias
from xpnn.functional.conv.primitives import conv_input_gradient
from xpnn.functional.windows import (
    Pairs,
    Size,
    batch_of_one,
    by_cross,
    conv_transpose_output_size,
    pad_spatial,
)

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
    border = tuple_of(padding, axes, "padding", subject)
    kernel_size = tuple(weight.shape[2:])
    size = conv_transpose_output_size(input.shape[2:], kernel_size, stride, border, extra, dilation)
    if min(size) < 1:
        raise ShapeError(
            f"would give an output of {by_cross(size)}: padding={padding} takes away more than there is",
            subject=subject,
        )
    options = {"stride": stride, "dilation": dilation, "groups": groups}
    if all(e < s for e, s in zip(extra, stride)):
        pairs: Pairs = tuple((p, p) for p in border)
        y = by_parts(
            lambda x, w: conv_input_gradient(x, w, size=size, padding=pairs, **options), input, weight
        )
    else:  # possible with a dilation only: some cells lie behind all that the kernels reach
        none = (0,) * axes
        reached = conv_transpose_output_size(input.shape[2:], kernel_size, stride, none, none, dilation)
        pairs = ((0, 0),) * axes
        y = by_parts(
            lambda x, w: conv_input_gradient(x, w, size=reached, padding=pairs, **options), input, weight
        )
        y = pad_spatial(y, tuple((0, e) for e in extra))
        y = y[(..., *(slice(p, p + cells) for p, cells in zip(border, size)))]
    if bias is None:
        return y
    xp = namespace(y, bias)
    if bias.dtype != y.dtype:  # under `autocast`
        bias = xp.astype(bias, y.dtype)
    return with_bias(y, bias)
