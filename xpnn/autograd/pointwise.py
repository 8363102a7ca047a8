"""How an elementwise primitive is made of two lines: its value and its gradient.

softsign = Pointwise(
    "softsign",
    value=lambda xp, x: x / (1 + xp.abs(x)),
    gradient=lambda xp, gy, x: gy / (1 + xp.abs(x)) ** 2,
)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd.primitive import Primitive
from xpnn.backend import namespace
from xpnn.backend.formulas import Formula, register_formula


class Pointwise(Primitive):
    """A primitive that acts on each element on its own.

    Args:
        name: the primitive's; kernels are registered under it.
        value: `value(xp, x, **options)` is the output.
        gradient: `gradient(xp, gy, x, **options)` is the gradient of the input. It may take the output `y`
            in place of the input `x`, or after it; what it takes is what the tape keeps.
        half, flat: as for `primitive`.
    """

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        gradient: Callable[..., Any],
        half: bool = False,
        flat: bool = False,
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
        register_formula(Formula(self.name, value, gradient, tuple(uses)))
