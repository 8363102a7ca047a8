"""Class numbers as targets: what the losses that take them check."""

from __future__ import annotations

from math import nan
from typing import Any

from xpnn.backend import Array, ShapeError, namespace, size_of
from xpnn.functional.arguments import (
    check_floating,
    check_indices,
    check_integer,
    check_same_dtype,
    check_shape,
    shape_of,
)


def class_axis(x: Any, subject: str) -> int:
    """The axis of an input (N, C), (N, C, d1, ...) or (C,) along which the classes lie."""
    check_floating(x, subject)
    axes = x.ndim
    if axes == 0:
        raise ShapeError("expects an input of shape (N, C), (N, C, d1, ...) or (C,), got ()", subject=subject)
    return 1 if axes > 1 else 0


def check_labels(x: Any, labels: Any, axis: int, subject: str, or_probabilities: bool = False) -> None:
    """Raise a ShapeError or a DTypeError unless labels are integers shaped as `x` without its class axis."""
    shape = shape_of(x)
    expected = shape[:axis] + shape[axis + 1 :]
    came = shape_of(labels, subject, "labels")
    if came != expected:
        otherwise = f" or probabilities of shape {shape}" if or_probabilities else ""
        raise ShapeError(
            f"expects labels of shape {expected}{otherwise} for an input of shape {shape}, got {came}",
            subject=subject,
            hint=f"Did you mean target.reshape{expected}?" if size_of(came) == size_of(expected) else "",
        )
    check_integer(labels, subject, "labels")


def check_class_weight(x: Any, weight: Any, axis: int, subject: str) -> None:
    """Raise an error unless `weight` is None or has one number per class, of the input's element type."""
    if weight is None:
        return
    check_shape(weight, (x.shape[axis],), subject, "weight", "It has one number per class")
    check_same_dtype(subject, x, weight=weight)


def unknown_as_nan(losses: Any, labels: Array, classes: int, subject: str) -> Any:
    """The losses, and NaN where a label is out of range and cannot be read without stalling.

    Raises: IndexOutOfRangeError for a label out of range that can be read.
    """
    if check_indices(labels, classes, subject, "labels"):
        return losses
    xp = namespace(losses)
    wrong = (labels < 0) | (labels >= classes)
    return xp.where(wrong, xp.full_like(losses, nan), losses)
