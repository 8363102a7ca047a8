"""Activations of two lines, value and gradient, that refuse what is not floating-point; masks.

The public function, with its arguments and its docstring, stands beside the primitive and calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import pointwise, primitive
from xpnn.backend import ArrayT, is_integer, namespace
from xpnn.functional.arguments import check_floating


class Pointwise(pointwise.Pointwise):
    """An elementwise primitive that refuses elements that are not floating-point.

    Args:
        subject: the public function, as errors name it, where that is not `name`.
        name, value, gradient, half, flat: as for `autograd.pointwise.Pointwise`.
        integers: whether it takes integers too, and gives integers.
    """

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        gradient: Callable[..., Any],
        subject: str = "",
        half: bool = False,
        flat: bool = False,
        integers: bool = False,
    ) -> None:
        super().__init__(name, value, gradient, half, flat)
        self.subject, self.integers = subject or name, integers

    def __call__(self, x: Any, **options: Any) -> Any:
        """The value of each element; raises a DTypeError for elements that are not floating-point."""
        if not (self.integers and is_integer(x)):
            check_floating(x, self.subject)
        return super().__call__(x, **options)


def mask(condition: Any, like: Any) -> Any:
    """1.0 where the condition holds, else 0.0; multiplying by it is far faster in NumPy than `where`."""
    return namespace(condition).astype(condition, like.dtype)


def at_least(x: ArrayT, low: float) -> ArrayT:
    """max(x, low), whose gradient is that of x everywhere: for what is divided by, such as a length.

    >>> import numpy as np
    >>> at_least(np.asarray([0.0, 2.0]), 1.0).tolist()
    [1.0, 2.0]
    """
    return _at_least(x, low=low)


@primitive(half=True)
def _at_least(x, *, low):
    xp = namespace(x)
    return xp.maximum(x, xp.full_like(x, low)), ()


@_at_least.backward
def _at_least_backward(gy, saved, needs, *, low):
    return (gy,)
