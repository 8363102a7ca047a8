"""Gumbel-softmax: samples of categories that gradients go through."""

from __future__ import annotations

import warnings
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, device_of, namespace, random
from xpnn.functional.activation.softmax import softmax
from xpnn.functional.arguments import axis_of, check_flags, check_floating, number, raw_array

__all__ = ["gumbel_softmax"]


def gumbel_softmax(
    logits: ArrayT, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> ArrayT:
    """Draw from the categories along `dim`, softly: y = softmax((x + g) / tau).

    g = -ln(-ln u) is Gumbel noise, where u is drawn evenly from (0, 1) by the next numbers of
    `xpnn.random.default_stream()`, the same on every backend. Each category is the largest in y with the
    probability that softmax(x) gives it.

    Backward: that of the softmax, also where `hard` ("straight through").

    Args:
        logits: (..., categories), logarithms of probabilities up to a constant.
        tau: the temperature: the lower, the closer y is to one category.
        hard: whether y is 1 at the largest category and 0 elsewhere.
        eps: does nothing, as in PyTorch.
        dim: the axis of the categories.

    Raises: ArgumentError for tau <= 0; IndexOutOfRangeError if there is no such axis.

    See: Jang, Gu & Poole (2017), "Categorical reparameterization with Gumbel-softmax"; Maddison, Mnih & Teh
    (2017), "The concrete distribution".

    >>> import numpy as np
    >>> gumbel_softmax(np.asarray([[0.0, 1e4]]), hard=True).tolist()
    [[0.0, 1.0]]
    """
    check_floating(logits, "gumbel_softmax", "logits")
    check_flags("gumbel_softmax", hard=hard)
    tau = number(tau, "tau", "gumbel_softmax")
    if not tau > 0:
        raise ArgumentError(f"expects a tau above 0, got {tau}", subject="gumbel_softmax")
    if number(eps, "eps", "gumbel_softmax") != 1e-10:
        warnings.warn("gumbel_softmax: eps does nothing, leave it out", stacklevel=2)
    axis = axis_of(dim, logits.ndim or 1, "gumbel_softmax")
    even = random.default_stream().uniform(tuple(logits.shape), raw_array(logits))
    return _gumbel_softmax(logits, even, tau, hard, axis)


@half_in_float32
def _gumbel_softmax(x: Any, even: Array, tau: float, hard: bool, axis: int) -> Any:
    soft = softmax((x + _gumbel_noise(even, raw_array(x).dtype)) / tau, dim=axis)
    if not hard:
        return soft
    if soft.ndim == 0:
        return _straight_through(soft, soft * 0 + 1)
    return _straight_through(soft, _largest(raw_array(soft), axis))


def _gumbel_noise(even: Array, dtype: Any) -> Array:
    """Of even numbers of [0, 1); they are kept away from 0, where the logarithm is infinite."""
    xp = namespace(even)
    u = xp.astype(even, dtype)
    u = xp.maximum(u, xp.full_like(u, 0.5 / random.RESOLUTION))
    return -xp.log(-xp.log(u))


def _largest(y: Array, axis: int) -> Array:
    """1 at the first of the largest elements along the axis, else 0."""
    xp = namespace(y)
    places = xp.arange(y.shape[axis], device=device_of(y))
    places = xp.reshape(places, (-1, *(1,) * (y.ndim - 1 - axis)))
    found = xp.argmax(y, axis=axis, keepdims=True) if y.shape[axis] else places
    return xp.astype(xp.astype(found, places.dtype) == places, y.dtype)


@primitive(half=True)
def _straight_through(soft, hard):
    """The values of `hard` with the gradient of `soft`."""
    return hard, ()


@_straight_through.backward
def _straight_through_backward(gy, saved, needs):
    return gy, None
