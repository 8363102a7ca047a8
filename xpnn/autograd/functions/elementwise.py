"""Functions of each element on its own: arithmetic, powers, trigonometry, rounding.

Functions whose results are fractions make the default floating-point numbers of integers and booleans.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions import promotion
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import fractional
from xpnn.backend import ArrayT

__all__ = [
    "abs",
    "absolute",
    "add",
    "exp",
    "mul",
]


@front
def abs(input: ArrayT) -> ArrayT:
    """The absolute value.

    >>> from xpnn.autograd import tensor
    >>> abs(tensor([-1.5, 2.0]))
    tensor([1.5000, 2.0000])
    """
    return ops.abs(input)


absolute = abs


@front
def add(input: ArrayT, other: Any, *, alpha: float = 1) -> ArrayT:
    """input + alpha * other.

    >>> from xpnn.autograd import tensor
    >>> add(tensor([1.0, 2.0]), tensor([10.0, 20.0]), alpha=2)
    tensor([21., 42.])
    """
    return promotion.add(input, _scaled(other, alpha))


@front
def mul(input: ArrayT, other: Any) -> ArrayT:
    """The product.

    >>> from xpnn.autograd import tensor
    >>> mul(tensor([1, 2]), 0.5)
    tensor([0.5000, 1.0000])
    """
    return promotion.multiply(input, other)


@front
def exp(input: ArrayT) -> ArrayT:
    """The exponential, e^x.

    >>> from xpnn.autograd import tensor
    >>> exp(tensor([0, 1]))
    tensor([1.0000, 2.7183])
    """
    return ops.exp(fractional(input))


def _scaled(value: Any, factor: float) -> Any:
    if factor == 1:
        return value
    return value * factor if type(value) in promotion.NUMBERS else promotion.multiply(value, factor)
