"""Convolution of sequences, images and volumes; the maths and the gradients stand in `primitives.py`."""

from __future__ import annotations

import functools
from typing import Any

from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, ShapeError, is_complex, namespace
from xpnn.backend.idioms import pad as with_border
from xpnn.functional.arguments import (
    check_floating,
    check_rank,
    check_same_dtype,
    check_shape,
    once_per_signature,
    raw_array,
    shape_of,
    tuple_of,
)
from xpnn.functional.conv.arguments import check_arrays, check_groups, check_input_channels
from xpnn.functional.conv.complex_numbers import by_parts, with_bias
from xpnn.functional.conv.primitives import conv
from xpnn.functional.windows import (
    Padding,
    Pairs,
    Size,
    batch_of_one,
    check_kernel_fits,
    padding_pairs,
    strides_within,
)

__all__ = ["conv1d", "conv2d", "conv3d", "conv_tbc"]


@batch_of_one(1)
def conv1d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ArrayT:
    """Convolution of sequences: `y[n, o, i] = b[o] + sum over c, t of w[o, c, t] x[n, c, s i + d t - p]`.

    Args:
        input: (N, C, L) floats, or (C, L).
        weight: (O, C / groups, K), of the input's dtype.
        bias: (O,), or None.
        stride, padding, dilation, groups: as in `conv2d`, along the one axis.

    Returns: (N, O, OL) or (O, OL), see `conv_output_size`.

    Raises: as `conv2d`.

    >>> import numpy as np
    >>> conv1d(np.arange(4.0).reshape(1, 1, 4), np.ones((1, 1, 2))).tolist()
    [[[1.0, 3.0, 5.0]]]
    """
    return _conv_nd("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


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
    gradients are at the top of `functional/conv/primitives.py`.

    Args:
        input: (N, C, H, W) floats, real or complex, or (C, H, W).
        weight: (O, C / groups, KH, KW), of the input's dtype.
        bias: (O,), or None.
        stride: cells from one window to the next; a number, or one for rows and one for columns, as are
            dilation and padding.
        padding: cells of zeros around the input; or "valid" (none); or "same": as many as give
            `ceil(H / stride)` rows, with the odd one at the bottom and right, as TensorFlow and ONNX
            (SAME_UPPER) define it. PyTorch refuses "same" with a stride; with stride 1 they agree. Or
            "full": as many as let every window that sees a cell count.
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


@batch_of_one(3)
def conv3d(
    input: ArrayT,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ArrayT:
    """Convolution of volumes: `conv2d` with a third axis, the depth, before the other two.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        weight: (O, C / groups, KD, KH, KW), of the input's dtype.
        bias: (O,), or None.
        stride, padding, dilation, groups: as in `conv2d`; a number, or one for each of the three axes.

    Returns: (N, O, OD, OH, OW) or (O, OD, OH, OW), see `conv_output_size`.

    Raises: as `conv2d`.

    >>> import numpy as np
    >>> conv3d(np.ones((1, 1, 2, 2, 3)), np.ones((1, 1, 2, 2, 2))).tolist()
    [[[[[8.0, 8.0]]]]]
    """
    return _conv_nd("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def conv_tbc(input: ArrayT, weight: Array, bias: Array, pad: int = 0) -> ArrayT:
    """`conv1d` of sequences whose axes are time, batch and channels.

    Args:
        input: (T, N, C) floats.
        weight: (K, C, O), of the input's dtype.
        bias: (O,).
        pad: steps of zeros before and after each sequence.

    Returns: (T + 2 pad - K + 1, N, O).

    Raises: as `conv2d`.

    >>> import numpy as np
    >>> conv_tbc(np.ones((3, 1, 2)), np.ones((2, 2, 1)), np.zeros(1)).tolist()
    [[[4.0]], [[4.0]]]
    """
    subject = "conv_tbc"
    check_floating(input, subject)
    check_rank(input, 3, subject, "time, batch, channels")
    check_rank(weight, 3, subject, "kernel, input channels, output channels", name="weight")
    check_same_dtype(subject, input, weight=weight, bias=bias)
    if input.shape[2] != weight.shape[1]:
        raise ShapeError(
            f"expects {weight.shape[1]} input channels (time, batch, channels), "
            f"got {input.shape[2]} from an input of shape {shape_of(input)}",
            subject=subject,
        )
    check_shape(bias, (weight.shape[2],), subject, "bias")
    (border,) = tuple_of(pad, 1, "pad", subject)
    steps = input.shape[0] + 2 * border - weight.shape[0] + 1
    if steps < 0:
        check_kernel_fits(input.shape[:1], weight.shape[:1], ((border, border),), (1,), subject)
    return _conv_tbc(input, weight, bias, border, steps)


@half_in_float32
def _conv_tbc(input: Any, weight: Any, bias: Any, border: int, steps: int) -> Any:
    """A product for each cell of the kernel, with the steps that it meets: padding is never multiplied."""
    xp = namespace(input, weight, bias)
    shape = (steps, input.shape[1], weight.shape[2])
    y = xp.broadcast_to(bias, shape)
    for cell in range(weight.shape[0]):
        shift = cell - border
        first, last = max(shift, 0), min(shift + steps, input.shape[0])
        if first < last:
            product = xp.matmul(input[first:last, ...], weight[cell, ...])
            y = y + with_border(product, ((first - shift, shift + steps - last), (0, 0), (0, 0)))
    return y


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
    stride = tuple_of(stride, axes, "stride", subject, minimum=1)
    dilation = tuple_of(dilation, axes, "dilation", subject, minimum=1)
    if not isinstance(padding, str):
        padding = tuple_of(padding, axes, "padding", subject)
    pairs, stride = _padding_and_strides(
        padding, raw_array(input).shape, raw_array(weight).shape, stride, dilation, subject
    )
    options = {"stride": stride, "padding": pairs, "dilation": dilation, "groups": groups}
    if is_complex(input):
        y = by_parts(lambda x, w: conv(x, w, None, **options), input, weight)
        return y if bias is None else with_bias(y, bias)
    return conv(input, weight, bias, **options)


@functools.lru_cache(maxsize=1000)
def _padding_and_strides(
    padding: str | tuple[int, ...],
    input: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    subject: str,
) -> tuple[Pairs, tuple[int, ...]]:
    """The padding before and after each axis, and strides that lead no further than just out of the input.

    Args:
        input, weight: the shapes of what has passed all other checks.

    Raises: ShapeError if there is no room for a window.
    """
    size, kernel_size = tuple(input[2:]), tuple(weight[2:])
    pairs = padding_pairs(padding, size, kernel_size, stride, dilation, subject)
    check_kernel_fits(size, kernel_size, pairs, dilation, subject)
    return pairs, strides_within(stride, size, pairs)


@once_per_signature
def _check_convolution(
    input: Array, weight: Array, bias: Array | None, *, subject: str, axes: int, groups: int
) -> None:
    check_arrays(subject, axes, input, weight, bias)
    check_groups(subject, groups, weight.shape[0], "output")
    check_input_channels(subject, axes, input, weight.shape[1] * groups)
    check_shape(bias, (weight.shape[0],), subject, "bias")
