"""Activation functions, each element on its own.

All of them are stable: no exponential is taken of a positive number, so that nothing overflows in
float32, however large the input. Where the derivative can be had from the output, only the output is kept.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, ShapeError, namespace
from xpnn.functional.arguments import check_floating, check_rank, check_same_dtype, shape_of

__all__ = ["leaky_relu", "prelu", "relu"]


def relu(input: Array | Tensor) -> Any:
    """Cut off what is negative: y = max(x, 0).

    Backward: gx = gy where y > 0, else 0.

    See: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".

    >>> import numpy as np
    >>> relu(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    check_floating(input, "relu")
    return _relu(input)


@primitive
def _relu(x):
    xp = namespace(x)
    y = xp.maximum(x, xp.zeros_like(x))  # with an array of zeros: twice as fast in NumPy as with a number
    return y, (y,)


@_relu.backward
def _relu_backward(gy, saved, needs):
    (y,) = saved
    return (gy * mask(y > 0, y),)


def leaky_relu(input: Array | Tensor, negative_slope: float = 0.01) -> Any:
    """Flatten what is negative: y = x where x > 0, else negative_slope x.

    Backward: gx = gy where x > 0, else negative_slope gy.

    See: Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".

    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.0, 2.0]), 0.1).tolist()
    [-0.1, 2.0]
    """
    check_floating(input, "leaky_relu")
    return _leaky_relu(input, negative_slope=float(negative_slope))


@primitive
def _leaky_relu(x, *, negative_slope):
    xp = namespace(x)
    larger = xp.maximum if negative_slope <= 1 else xp.minimum
    return larger(x, negative_slope * x), (x,)


@_leaky_relu.backward
def _leaky_relu_backward(gy, saved, needs, *, negative_slope):
    (x,) = saved
    return (gy * _step(x, negative_slope),)


def prelu(input: Array | Tensor, weight: Array | Tensor) -> Any:
    """Flatten what is negative by a learned slope: y = x where x > 0, else weight x.

    Backward, the second sum over all elements that share a slope:

        gx = gy where x > 0, else weight gy        gweight = sum gy min(x, 0)

    Args:
        input: (N, C, ...), floating.
        weight: (C,), a slope per channel, or (1,), one for all.

    Raises: ShapeError if there are neither one nor C slopes; DTypeError for two element types.

    See: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers".

    >>> import numpy as np
    >>> prelu(np.asarray([[-1.0, -1.0]]), np.asarray([0.5, 0.25])).tolist()
    [[-0.5, -0.25]]
    """
    check_floating(input, "prelu")
    check_same_dtype("prelu", input, weight=weight)
    check_rank(weight, 1, "prelu", "channels", "weight")
    slopes = weight.shape[0]
    channels = input.shape[1] if input.ndim > 1 else 1
    if slopes not in (1, channels):
        raise ShapeError(
            f"expects 1 or {channels} slopes for an input of shape {shape_of(input)}, got {slopes}",
            subject="prelu",
        )
    return _prelu(input, weight)


@primitive
def _prelu(x, w):
    xp = namespace(x)
    zeros = xp.zeros_like(x)
    return xp.maximum(x, zeros) + _along_channels(w, x) * xp.minimum(x, zeros), (x, w)


@_prelu.backward
def _prelu_backward(gy, saved, needs):
    x, w = saved
    xp = namespace(gy, x, w)
    positive = mask(x > 0, x)
    gx = gw = None
    if needs[0]:
        gx = gy * (positive + (1 - positive) * _along_channels(w, x))
    if needs[1]:
        shared = tuple(axis for axis in range(x.ndim) if axis != 1 or w.shape[0] == 1)
        gw = xp.reshape(xp.sum(gy * x * (1 - positive), axis=shared), w.shape)
    return gx, gw


def mask(condition: Any, like: Any) -> Any:
    """1.0 where the condition holds, else 0.0; multiplying by it is far faster in NumPy than `where`."""
    return namespace(condition).astype(condition, like.dtype)


def _step(x: Any, low: float) -> Any:
    """1.0 where x > 0, else `low`."""
    return low + (1 - low) * mask(x > 0, x)


def _along_channels(w: Any, x: Any) -> Any:
    """A vector of channels, shaped so that it lies along axis 1 of x."""
    return namespace(w).reshape(w, (1, -1, *(1,) * (x.ndim - 2))) if x.ndim > 1 else w
