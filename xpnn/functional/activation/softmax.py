"""Softmax and its logarithm."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Primitive, primitive
from xpnn.backend import ArrayT, dtype_named, namespace
from xpnn.functional.arguments import axis_of, check_floating

__all__ = ["log_softmax", "softmax"]


def softmax(input: ArrayT, dim: int, *, dtype: Any = None) -> ArrayT:
    """Make probabilities of scores: y_i = e^x_i / sum_j e^x_j along the axis `dim`.

    Backward: gx_i = y_i (gy_i - sum_j gy_j y_j).

    The largest score is subtracted first, which changes nothing but that no exponential overflows.

    Args:
        input: floating, any shape.
        dim: the axis that the probabilities sum to one along; 0 or -1 of a number, which is a row of one.
        dtype: what the input is cast to first.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> import numpy as np
    >>> softmax(np.asarray([0.0, 0.0, 1e4, 1e4]), dim=0).tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    return _along_axis(_softmax, "softmax", input, dim, dtype)


@primitive
def _softmax(x, *, axis):
    xp = namespace(x)
    y = xp.exp(_below_largest(x, axis))
    y /= xp.sum(y, axis=axis, keepdims=True)
    return y, (y,)


@_softmax.backward
def _softmax_backward(gy, saved, needs, *, axis):
    (y,) = saved
    xp = namespace(gy, y)
    gy_y = gy * y
    return (gy_y - y * xp.sum(gy_y, axis=axis, keepdims=True),)


def log_softmax(input: ArrayT, dim: int, *, dtype: Any = None) -> ArrayT:
    """The logarithm of the softmax: y_i = x_i - ln sum_j e^x_j along the axis `dim`.

    Backward: gx_i = gy_i - e^y_i sum_j gy_j.

    Args:
        input: floating, any shape.
        dim: the axis that the probabilities sum to one along; 0 or -1 of a number, which is a row of one.
        dtype: what the input is cast to first.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> import numpy as np
    >>> log_softmax(np.asarray([0.0, 1e4]), dim=0).tolist()
    [-10000.0, 0.0]
    """
    return _along_axis(_log_softmax, "log_softmax", input, dim, dtype)


@primitive
def _log_softmax(x, *, axis):
    xp = namespace(x)
    y = _below_largest(x, axis)
    y -= xp.log(xp.sum(xp.exp(y), axis=axis, keepdims=True))
    return y, (y,)


@_log_softmax.backward
def _log_softmax_backward(gy, saved, needs, *, axis):
    (y,) = saved
    xp = namespace(gy, y)
    return (gy - xp.exp(y) * xp.sum(gy, axis=axis, keepdims=True),)


def _along_axis(function: Primitive, subject: str, input: Any, dim: int, dtype: Any) -> Any:
    xp = namespace(input)
    if dtype is not None:
        input = xp.astype(input, dtype_named(dtype, xp))
    check_floating(input, subject)
    axis = axis_of(dim, input.ndim or 1, subject)
    if input.ndim:
        return function(input, axis=axis)
    return xp.reshape(function(xp.reshape(input, (1,)), axis=axis), ())


def _below_largest(x: Any, axis: int) -> Any:
    """x minus its largest element along the axis, a new array."""
    if x.shape[axis] == 0:  # nothing to take the maximum of
        return x + 0
    return x - namespace(x).max(x, axis=axis, keepdims=True)
