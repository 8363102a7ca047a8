"""Power-average pooling: the p-norm of each window."""

from __future__ import annotations

import math

from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, namespace
from xpnn.functional.arguments import number, tuple_of
from xpnn.functional.pool.arguments import check_input
from xpnn.functional.pool.average import pool_average
from xpnn.functional.pool.maximum import pool_maximum
from xpnn.functional.windows import Size, batch_of_one

__all__ = ["lp_pool1d", "lp_pool2d", "lp_pool3d"]


@batch_of_one(1)
@half_in_float32
def lp_pool1d(
    input: ArrayT, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> ArrayT:
    """The p-norm of each window of a sequence; see `lp_pool2d`.

    Args:
        input: (N, C, L) floats, or (C, L).
        norm_type: p, not 0; infinity is the largest magnitude, minus infinity the smallest.
        kernel_size, stride: as of `avg_pool2d`.
        ceil_mode: whether a last window may hang over the end; its sum is that of a whole window of its mean.

    Raises: as `lp_pool2d`.

    >>> import numpy as np
    >>> lp_pool1d(np.asarray([[3.0, 4.0]]), 2, 2).tolist()
    [[5.0]]
    """
    return _pool_norm("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


@batch_of_one(2)
@half_in_float32
def lp_pool2d(
    input: ArrayT, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> ArrayT:
    """The p-norm of each window of an image.

    `y = (sum over the window of x^p)^(1 / p)`; the gradient of a cell is `gy (x / y)^(p - 1)`, 0 where the
    sum is 0. Odd powers of negative numbers may have no root, which is NaN.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        norm_type: p, not 0; infinity is the largest magnitude, minus infinity the smallest.
        kernel_size, stride: as of `avg_pool2d`.
        ceil_mode: whether a last window may hang over the end; its sum is that of a whole window of its mean.

    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> lp_pool2d(np.asarray([[[3.0, 4.0], [0.0, 0.0]]]), 2, 2).tolist()
    [[[5.0]]]
    """
    return _pool_norm("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


@batch_of_one(3)
@half_in_float32
def lp_pool3d(
    input: ArrayT, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> ArrayT:
    """The p-norm of each window of a volume; see `lp_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        norm_type: p, not 0; infinity is the largest magnitude, minus infinity the smallest.
        kernel_size, stride: as of `avg_pool2d`.
        ceil_mode: whether a last window may hang over the end; its sum is that of a whole window of its mean.

    Raises: as `lp_pool2d`.

    >>> import numpy as np
    >>> lp_pool3d(np.ones((1, 2, 2, 1)), 2, (2, 2, 1)).tolist()
    [[[[2.0]]]]
    """
    return _pool_norm("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


def _pool_norm(
    subject: str,
    axes: int,
    input: Array,
    norm_type: float,
    kernel_size: Size,
    stride: Size | None,
    ceil_mode: bool,
) -> Array:
    check_input(subject, axes, input)
    p = number(norm_type, "norm_type", subject)
    if p == 0:
        raise ArgumentError(f"expects norm_type other than 0, got {norm_type!r}", subject=subject)
    xp = namespace(input)
    if math.isinf(p):
        largest = pool_maximum(
            subject, axes, math.copysign(1.0, p) * xp.abs(input), kernel_size, stride, 0, 1, ceil_mode, False
        )
        return largest if p > 0 else -largest
    mean = pool_average(subject, axes, input**p, kernel_size, stride, 0, ceil_mode, True, None)
    cells = math.prod(tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1))
    total = mean * cells
    if p < 0:
        return total ** (1.0 / p)
    positive = total != 0  # the root has no slope at 0, and PyTorch's has none either
    filled = total + xp.astype(xp.logical_not(positive), total.dtype)
    return select(positive, filled ** (1.0 / p))
