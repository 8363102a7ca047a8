"""Softmax, its logarithm, and softmin."""

from __future__ import annotations

import warnings
from typing import Any

from xpnn.autograd import Primitive, ops
from xpnn.backend import ArrayT, dtype_named, namespace
from xpnn.functional.arguments import axis_of, check_floating

__all__ = ["log_softmax", "softmax", "softmin"]


def softmax(input: ArrayT, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> ArrayT:
    """Make probabilities of scores: y_i = e^x_i / sum_j e^x_j along the axis `dim`.

    Backward: gx_i = y_i (gy_i - sum_j gy_j y_j).

    The largest score is subtracted first, which changes nothing but that no exponential overflows.

    Args:
        input: floating, any shape.
        dim: the axis that the probabilities sum to one along; 0 or -1 of a number, which is a row of one.
            None is 0 for 0, 1 or 3 axes, else 1, with a warning.
        _stacklevel: how many calls up the line stands that the warning names.
        dtype: what the input is cast to first.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> import numpy as np
    >>> softmax(np.asarray([0.0, 0.0, 1e4, 1e4]), dim=0).tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    return _along_axis(ops.softmax, "softmax", input, dim, _stacklevel, dtype)


def log_softmax(input: ArrayT, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> ArrayT:
    """The logarithm of the softmax: y_i = x_i - ln sum_j e^x_j along the axis `dim`.

    Backward: gx_i = gy_i - e^y_i sum_j gy_j.

    Args:
        input: floating, any shape.
        dim: the axis that the probabilities sum to one along; 0 or -1 of a number, which is a row of one.
            None is 0 for 0, 1 or 3 axes, else 1, with a warning.
        _stacklevel: how many calls up the line stands that the warning names.
        dtype: what the input is cast to first.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> import numpy as np
    >>> log_softmax(np.asarray([0.0, 1e4]), dim=0).tolist()
    [-10000.0, 0.0]
    """
    return _along_axis(ops.log_softmax, "log_softmax", input, dim, _stacklevel, dtype)


def softmin(input: ArrayT, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> ArrayT:
    """The softmax of -x: the smallest number gets the largest share along the axis `dim`.

    Backward: gx_i = -y_i (gy_i - sum_j gy_j y_j).

    Args:
        input, dim, dtype: as for `softmax`.

    >>> import numpy as np
    >>> softmin(np.asarray([0.0, 0.0, 1e4, 1e4]), dim=0).tolist()
    [0.5, 0.5, 0.0, 0.0]
    """
    x = _as_type(input, dtype)
    check_floating(x, "softmin")
    return _along_axis(ops.softmax, "softmin", namespace(x).negative(x), dim, _stacklevel, None)


def _along_axis(
    function: Primitive, subject: str, input: Any, dim: int | None, stacklevel: int, dtype: Any
) -> Any:
    xp, input = namespace(input), _as_type(input, dtype)
    check_floating(input, subject)
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(
            f"{subject} chose dim={dim} for an input of {input.ndim} axes, as old versions of PyTorch do. "
            f"Pass dim={dim}, or the axis that you mean",
            stacklevel=stacklevel,
        )
    axis = axis_of(dim, input.ndim or 1, subject)
    if input.ndim:
        return function(input, axis=axis)
    return xp.reshape(function(xp.reshape(input, (1,)), axis=axis), ())


def _as_type(x: Any, dtype: Any) -> Any:
    return x if dtype is None else namespace(x).astype(x, dtype_named(dtype, namespace(x)))
