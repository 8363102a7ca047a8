"""How an activation is made of two lines: its value and its gradient.

    _softsign = Pointwise(
        "softsign",
        value=lambda xp, x: x / (1 + xp.abs(x)),
        gradient=lambda xp, gy, x: gy / (1 + xp.abs(x)) ** 2,
    )

The public function, with its arguments and its docstring, stands beside it and calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import Primitive, primitive
from xpnn.backend import ArrayT, is_integer, namespace
from xpnn.backend.formulas import Formula, register_formula
from xpnn.functional.arguments import check_floating


class Pointwise(Primitive):
    """A primitive that acts on each element on its own, and refuses elements that are not floating-point.

    Args:
        name: the primitive's; kernels are registered under it.
        value: `value(xp, x, **options)` is the output.
        gradient: `gradient(xp, gy, x, **options)` is the gradient of the input. It may take the output `y`
            in place of the input `x`, or after it; what it takes is what the tape keeps.
        subject: the public function, as errors name it, where that is not `name`.
        half, flat: as for `primitive`.
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
        code = gradient.__code__
        uses = [("x", "y").index(parameter) for parameter in code.co_varnames[2 : code.co_argcount]]

        def forward(x: Any, **options: Any) -> tuple[Any, tuple]:
            y = value(namespace(x), x, **options)
            return y, tuple([(x, y)[i] for i in uses])

        def pull_back(gy: Any, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple[Any]:
            return (gradient(namespace(gy), gy, *saved, **options),)

        forward.__name__ = forward.__qualname__ = name
        super().__init__(forward, half=half, flat=flat)
        self.backward(pull_back)
        self.subject, self.integers = subject or name, integers
        register_formula(Formula(self.name, value, gradient, tuple(uses)))

    def __call__(self, x: Any, **options: Any) -> Any:
        """The value of each element; raises a DTypeError for elements that are not floating-point."""
        if not (self.integers and is_integer(x)):
            check_floating(x, self.subject)
        return super().__call__(x, **options)


def mask(condition: Any, like: Any) -> Any:
    """1.0 where the condition holds, else 0.0; multiplying by it is far faster in NumPy than `where`."""
    return namespace(condition).astype(condition, like.dtype)


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
