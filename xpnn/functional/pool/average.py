"""Average pooling: the mean of each window."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, device_of, namespace
from xpnn.functional.arguments import check_flags, tuple_of
from xpnn.functional.pool.arguments import Sizes, spelt_window
from xpnn.functional.windows import (
    Pairs,
    Size,
    add_windows,
    batch_of_one,
    output_size,
    pad_spatial,
    window_slices,
)

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d"]


@batch_of_one(1)
@half_in_float32
def avg_pool1d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> ArrayT:
    """The mean of each window of a sequence; see `avg_pool2d`.

    Args:
        input: (N, C, L) floats, or (C, L).
        kernel_size, stride, padding, ceil_mode, count_include_pad: as of `avg_pool2d`.

    Returns: (N, C, OL) or (C, OL).

    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> avg_pool1d(np.asarray([[1.0, 3.0, 5.0, 9.0]]), 2).tolist()
    [[2.0, 7.0]]
    """
    return pool_average(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


@batch_of_one(2)
@half_in_float32
def avg_pool2d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ArrayT:
    """The mean of each window of an image.

    `y[n, c, i, j] = sum over u, v of x[n, c, s i + u - p, s j + v - p] / count`; the gradient spreads
    gy / count over the window.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        kernel_size: cells of a window; a number, or one for rows and one for columns.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of zeros around the input, at most half of the kernel.
        ceil_mode: whether a last window may hang over the end; cells beyond the padding never count.
        count_include_pad: whether cells of the padding count.
        divisor_override: divide by this, at least 1, instead of by the number of cells.

    Returns: (N, C, OH, OW) or (C, OH, OW).

    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return pool_average(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


@batch_of_one(3)
@half_in_float32
def avg_pool3d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ArrayT:
    """The mean of each window of a volume; see `avg_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override: as of `avg_pool2d`.

    Returns: (N, C, OD, OH, OW) or (C, OD, OH, OW).

    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2).tolist()
    [[[[3.5]]]]
    """
    return pool_average(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


# ---- sum ----


@primitive(flat=True)
def _sum_pool(x: Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> tuple[Array, tuple]:
    """The sum of each window."""
    dense = (1,) * len(kernel_size)
    out_size = output_size(x.shape[2:], kernel_size, stride, padding, dense)
    padded = pad_spatial(x, padding)
    slices = window_slices(out_size, kernel_size, stride, dense)
    y = padded[next(slices)]
    for window in slices:
        y = y + padded[window]
    return y, (tuple(x.shape[2:]),)


@_sum_pool.backward
def _sum_pool_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **window: Any) -> tuple:
    (size,) = saved
    return (_spread_over_windows(gy, size=size, **window),)


@primitive
def _spread_over_windows(
    gy: Array, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[Array, tuple]:
    """Zeros of `size`, to which gy of each window is added at every cell of the window."""
    parts = [gy] * math.prod(kernel_size)
    return add_windows(parts, size, kernel_size, stride, padding, (1,) * len(kernel_size)), ()


@_spread_over_windows.backward
def _spread_over_windows_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes, **window: Any
) -> tuple:
    return (_sum_pool(ggx, **window),)


def repeat_cells(x: Array, times: Sizes) -> Array:
    """Each cell `times` as large along the axes of space, the last ones: the adjoint of summing windows."""
    size = tuple(n * r for n, r in zip(x.shape[2:], times))
    return _spread_over_windows(x, size=size, kernel_size=times, stride=times, padding=((0, 0),) * len(times))


def pool_average(
    subject: str,
    axes: int,
    input: Array,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """`avg_pool2d` with any number of axes of space, which are the last ones."""
    check_flags(subject, count_include_pad=count_include_pad)
    if stride == ():  # PyTorch's way to leave it out
        stride = None
    window = spelt_window(subject, axes, input, kernel_size, stride, padding, 1, ceil_mode)
    del window["dilation"]
    total = _sum_pool(input, **window)
    if divisor_override is not None:
        (divisor,) = tuple_of(divisor_override, 1, "divisor_override", subject, minimum=1)
        return total * (1.0 / divisor)
    border = window["padding"] if count_include_pad else ((0, 0),) * axes
    if count_include_pad and ceil_mode:  # what hangs over beyond the padding never counts
        border = tuple((before, before) for before, _ in border)
    if border == window["padding"]:
        return total * (1.0 / math.prod(window["kernel_size"]))
    return total * _reciprocal_counts(input, tuple(total.shape[2:]), border, **window)


def _reciprocal_counts(
    x: Array, out_size: Sizes, border: Pairs, *, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> Array:
    """1 / the number of cells of each window that lie in the input or in the `border` around it."""
    xp = namespace(x)
    product = xp.ones((), dtype=x.dtype, device=device_of(x))
    for axis, cells in enumerate(x.shape[2:]):
        first, last = -border[axis][0], cells + border[axis][1]
        starts = [i * stride[axis] - padding[axis][0] for i in range(out_size[axis])]
        counts = [min(start + kernel_size[axis], last) - max(start, first) for start in starts]
        column = (-1, *(1,) * (len(out_size) - 1 - axis))
        reciprocals = xp.asarray([1.0 / n for n in counts], dtype=x.dtype, device=device_of(x))
        product = product * xp.reshape(reciprocals, column)
    return product
