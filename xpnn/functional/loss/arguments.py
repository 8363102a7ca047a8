"""What the losses of single elements check of their arguments."""

from __future__ import annotations

from typing import Any

from xpnn.backend import ShapeError, size_of
from xpnn.functional.arguments import (
    REDUCTIONS,
    check_floating,
    check_reduction,
    check_same_dtype,
    shape_of,
)


def check_losses(
    subject: str, x: Any, target: Any, reduction: str, reductions: tuple[str, ...] = REDUCTIONS
) -> None:
    """Raise unless input and target are floats of one shape and element type, and the reduction is known."""
    check_reduction(reduction, subject, reductions)
    check_floating(x, subject)
    check_same_dtype(subject, x, target=target)
    if x.shape != target.shape:
        same_size = size_of(x.shape) == size_of(target.shape)
        raise ShapeError(
            f"expects input and target of one shape, got {shape_of(x)} and {shape_of(target)}",
            subject=subject,
            hint=f"Did you mean target.reshape{shape_of(x)}?" if same_size else "",
        )
