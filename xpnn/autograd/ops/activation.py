"""Activations that PyTorch has on its Tensors too: ReLU, the sigmoid, softmax and its logarithm.

`functional/activation` says more of each. No exponential is taken of a positive number, so that nothing
overflows, however large the input.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd.pointwise import Pointwise
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, namespace


def select(condition: Any, x: Any) -> Any:
    """x where the condition holds, else 0, whatever x is there; a product with 0 would make NaN of infinity.

    >>> import numpy as np
    >>> select(np.asarray([True, False]), np.asarray([2.0, np.inf])).tolist()
    [2.0, 0.0]
    """
    if x.ndim:
        return _select(condition, x)
    return namespace(x).where(condition, x, namespace(x).zeros_like(x))


@primitive(half=True)
def _select(condition, x):
    xp = namespace(x)
    return xp.where(condition, x, xp.zeros_like(x)), (condition,)


@_select.backward
def _select_backward(gy, saved, needs):
    (condition,) = saved
    return None, _select(condition, gy)


def through_relu(gy: Any, y: Any) -> Any:
    """The gradient of relu's input, from its output: gy where y is not 0, but NaN.

    >>> import numpy as np
    >>> through_relu(np.asarray([np.inf, 2.0, 3.0]), np.asarray([0.0, 1.0, np.nan])).tolist()
    [0.0, 2.0, 3.0]
    """
    return select(y != 0, gy)


relu = Pointwise(
    "relu",
    value=lambda xp, x: xp.maximum(x, xp.zeros_like(x)),  # NumPy is slower with the number 0
    gradient=lambda xp, gy, y: through_relu(gy, y),
    half=True,
    flat=True,
)


def _logistic(xp: Any, x: Any) -> Any:
    decay = xp.exp(-xp.abs(x))
    # 1 / (1 + e^-x) right of zero, e^x / (1 + e^x) left of it
    return xp.maximum(decay, xp.astype(x >= 0, x.dtype)) / (1 + decay)


sigmoid = Pointwise("sigmoid", value=_logistic, gradient=lambda xp, gy, y: gy * (y * (1 - y)))


@primitive
def softmax(x: Array, *, axis: int) -> tuple[Array, tuple]:
    """e^x_i / sum_j e^x_j along the axis."""
    xp = namespace(x)
    y = xp.exp(_below_largest(x, axis))
    y /= xp.sum(y, axis=axis, keepdims=True)
    return y, (y,)


@softmax.backward
def _softmax_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Array]:
    (y,) = saved
    xp = namespace(gy, y)
    gy_y = gy * y
    return (gy_y - y * xp.sum(gy_y, axis=axis, keepdims=True),)


@primitive
def log_softmax(x: Array, *, axis: int) -> tuple[Array, tuple]:
    """x_i - ln sum_j e^x_j along the axis."""
    xp = namespace(x)
    y = _below_largest(x, axis)
    y -= xp.log(xp.sum(xp.exp(y), axis=axis, keepdims=True))
    return y, (y,)


@log_softmax.backward
def _log_softmax_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Array]:
    (y,) = saved
    xp = namespace(gy, y)
    return (gy - xp.exp(y) * xp.sum(gy, axis=axis, keepdims=True),)


def _below_largest(x: Any, axis: int) -> Any:
    """x minus its largest element along the axis, a new array."""
    if x.shape[axis] == 0:  # nothing to take the maximum of
        return x + 0
    return x - namespace(x).max(x, axis=axis, keepdims=True)
