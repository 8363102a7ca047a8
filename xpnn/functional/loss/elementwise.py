"""How a loss of single elements is made of its value and its gradients.

    _mse_loss = ElementwiseLoss(
        "mse_loss",
        value=lambda xp, x, t: xp.square(x - t),
        gx=lambda xp, gl, x, t: 2 * gl * (x - t),
    )

The public function, with its arguments and its docstring, stands beside it and calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import Primitive
from xpnn.autograd.ops.broadcasting import unbroadcast
from xpnn.backend import ShapeError, namespace, size_of
from xpnn.functional.arguments import (
    REDUCTIONS,
    check_floating,
    check_reduction,
    check_same_dtype,
    shape_of,
)
from xpnn.functional.loss.reduction import reduced, share


class ElementwiseLoss(Primitive):
    """A primitive that compares input and target element by element, and reduces the losses.

    Args:
        name: the primitive's, and the public function's in errors.
        value: `value(xp, x, t, *others, **options)` is the loss of each element.
        gx: `gx(xp, gl, x, t, *others, **options)` is the gradient of the input from `gl`, that of the losses.
        gt: the same of the target; None is -gx, which holds for whatever depends on x - t alone.
        reductions: what the public function allows.
        others: the names of the other arrays, for errors.
    """

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        gx: Callable[..., Any],
        gt: Callable[..., Any] | None = None,
        reductions: tuple[str, ...] = REDUCTIONS,
        others: tuple[str, ...] = (),
    ) -> None:
        def forward(
            x: Any, t: Any, weight: Any, *others: Any, reduction: str, count: int, **options: Any
        ) -> Any:
            losses = value(namespace(x), x, t, *others, **options)
            losses = losses if weight is None else losses * weight
            return reduced(losses, reduction, count), (x, t, weight, *others)

        def pull_back(
            gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, count: int, **options: Any
        ) -> tuple:
            x, t, weight, *others = saved
            xp, gl = namespace(x), share(gy, reduction, count)
            weighted = gl if weight is None else gl * weight
            gradients: list[Any] = [None] * len(saved)
            if needs[0]:
                gradients[0] = gx(xp, weighted, x, t, *others, **options)
            if needs[1]:
                gradient = (gt or gx)(xp, weighted, x, t, *others, **options)
                gradients[1] = gradient if gt else -gradient
            if needs[2]:
                losses = gl * value(xp, x, t, *others, **options)
                gradients[2] = unbroadcast(losses, weight.shape, weight.dtype)
            return tuple(gradients)

        forward.__name__ = forward.__qualname__ = name
        super().__init__(forward)
        self.backward(pull_back)
        self.reductions, self.others = reductions, others

    def __call__(
        self, x: Any, target: Any, weight: Any = None, *others: Any, reduction: str, **options: Any
    ) -> Any:
        """The reduced losses, after all that the losses have in common to check.

        Args:
            x, target: floating-point, of one shape and element type.
            weight: multiplies the losses; broadcasts against the input.
            others: arrays without a gradient that `value` takes, or None; they broadcast, too.
            reduction: "none", "sum", "mean", or "batchmean", the sum over the length of the first axis.
        """
        check_reduction(reduction, self.name, self.reductions)
        check_floating(x, self.name)
        factors = {"weight": weight} | dict(zip(self.others, others))
        check_same_dtype(self.name, x, target=target, **factors)
        if x.shape != target.shape:
            same_size = size_of(x.shape) == size_of(target.shape)
            raise ShapeError(
                f"expects input and target of one shape, got {shape_of(x)} and {shape_of(target)}",
                subject=self.name,
                hint=f"Did you mean target.reshape{shape_of(x)}?" if same_size else "",
            )
        _check_broadcast(self.name, x, factors)
        count = size_of(x.shape)
        if reduction == "batchmean":
            reduction, count = "mean", x.shape[0] if x.ndim else 1
        return super().__call__(x, target, weight, *others, reduction=reduction, count=count, **options)


def _check_broadcast(subject: str, x: Any, factors: dict[str, Any]) -> None:
    for name, factor in factors.items():
        if factor is None:
            continue
        pairs = zip(reversed(factor.shape), reversed(x.shape))
        if factor.ndim > x.ndim or any(size not in (1, wanted) for size, wanted in pairs):
            raise ShapeError(
                f"expects a {name} that broadcasts to {shape_of(x)}, got {shape_of(factor)}", subject=subject
            )
