"""How a loss of single elements is made of its value and its gradients.

    _mse_loss = ElementwiseLoss(
        "mse_loss",
        value=lambda xp, x, t: xp.square(x - t),
        gx=lambda xp, gl, x, t: 2 * gl * (x - t),
    )

The public function, with its arguments and its docstring, stands beside it and calls it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Primitive, ops
from xpnn.autograd.ops.broadcasting import broadcast_shapes, unbroadcast
from xpnn.backend import ShapeError, is_array, is_floating, is_tensor, namespace, size_of
from xpnn.backend.formulas import LossFormula, register_loss
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
        broadcasts: whether input and target of two shapes are broadcast, with a warning, or refused.
        flat: as for `primitive`.
    """

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        gx: Callable[..., Any],
        gt: Callable[..., Any] | None = None,
        reductions: tuple[str, ...] = REDUCTIONS,
        others: tuple[str, ...] = (),
        broadcasts: bool = True,
        flat: bool = False,
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
        super().__init__(forward, flat=flat)
        self.backward(pull_back)
        self.reductions, self.others, self.broadcasts = reductions, others, broadcasts
        register_loss(LossFormula(self.name, value, gx, gt, len(others)))

    def __call__(
        self, x: Any, target: Any, weight: Any = None, *others: Any, reduction: str, **options: Any
    ) -> Any:
        """The reduced losses, after all that the losses have in common to check.

        Args:
            x, target: floating-point, of one shape and element type; a target of integers or booleans
                becomes floating.
            weight: multiplies the losses; broadcasts against the input.
            others: arrays without a gradient that `value` takes, or None; they broadcast, too.
            reduction: "none", "sum", "mean", or "batchmean", the sum over the length of the first axis.
        """
        check_reduction(reduction, self.name, self.reductions)
        check_floating(x, self.name)
        if getattr(target, "dtype", None) is not x.dtype:
            shape_of(target, self.name, "target")
            target = as_floating(target, x)
        factors = {"weight": weight} | dict(zip(self.others, others))
        check_same_dtype(self.name, x, target=target, **factors)
        first = x.shape[0] if x.ndim else 1
        if x.shape != target.shape:
            x, target = of_one_shape(self.name, x, target, self.broadcasts)
        _check_broadcast(self.name, x, factors)
        count = size_of(x.shape)
        if reduction == "batchmean":
            reduction, count = "mean", first
        return super().__call__(x, target, weight, *others, reduction=reduction, count=count, **options)


def as_floating(target: Any, x: Any) -> Any:
    """A target of integers or booleans as numbers like those of the input `x`; others as they are."""
    if not (is_array(target) or is_tensor(target)) or is_floating(target):
        return target
    xp = namespace(x, target)  # two libraries: that is the mistake to name
    return ops.astype(target, x.dtype) if xp.isdtype(target.dtype, ("integral", "bool")) else target


def of_one_shape(subject: str, x: Any, target: Any, broadcasts: bool = True) -> tuple[Any, Any]:
    """Input and target broadcast to one shape, with a warning, as it is rarely meant.

    Raises: ShapeError if they do not broadcast, or must not.
    """
    shapes = shape_of(x), shape_of(target)
    hint = f"Did you mean target.reshape{shapes[0]}?" if size_of(shapes[0]) == size_of(shapes[1]) else ""
    try:
        shape = broadcast_shapes(*shapes)
    except ShapeError:
        broadcasts = False
    if not broadcasts:
        raise ShapeError(
            f"expects input and target of one shape, got {shapes[0]} and {shapes[1]}",
            subject=subject,
            hint=hint,
        )
    problem = f"{subject} broadcasts input and target of shapes {shapes[0]} and {shapes[1]} to {shape}"
    warnings.warn(f"{problem}. {hint}".rstrip(), stacklevel=4)
    return ops.broadcast_to(x, shape), ops.broadcast_to(target, shape)


def _check_broadcast(subject: str, x: Any, factors: dict[str, Any]) -> None:
    for name, factor in factors.items():
        if factor is None:
            continue
        pairs = zip(reversed(factor.shape), reversed(x.shape))
        if factor.ndim > x.ndim or any(size not in (1, wanted) for size, wanted in pairs):
            raise ShapeError(
                f"expects a {name} that broadcasts to {shape_of(x)}, got {shape_of(factor)}", subject=subject
            )
