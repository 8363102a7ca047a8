"""Derivatives of functions that are known at points."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.axes import axis_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import NUMBERS, fractional
from xpnn.backend import ArgumentError, ShapeError, device_of, namespace

__all__ = ["gradient"]


@front
def gradient(
    input: Any, *, spacing: Any = 1, dim: int | list[int] | None = None, edge_order: int = 1
) -> tuple[Any, ...]:
    """The derivative along each axis of a function that is known at points, by differences of second order.

    Inside, with neighbours at distances a and b:

        (a^2 y_(i+1) + (b^2 - a^2) y_i - b^2 y_(i-1)) / (a b (a + b))

    Args:
        spacing: the distance between points, one number or one for each axis; or for each axis the points.
        dim: an axis or several; None is all of them.
        edge_order: 1 or 2, of the differences at both ends.

    Returns: a Tensor of the input's shape for each axis.

    Raises: ShapeError for fewer than edge_order + 1 points along an axis; ArgumentError for another order, or
    for other than one spacing for each axis.

    >>> from xpnn.autograd import tensor
    >>> gradient(tensor([1.0, 4.0, 9.0]), spacing=2.0)
    (tensor([1.5000, 2.0000, 2.5000]),)
    """
    if edge_order not in (1, 2):
        raise ArgumentError(f"expects an edge_order of 1 or 2, got {edge_order!r:.40}", subject="gradient")
    spacing = 1 if spacing is None else spacing
    y = fractional(input)
    given = range(y.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    axes = [axis_of(axis, y.ndim, "gradient") for axis in given]
    if len(set(axes)) < len(axes):
        raise ArgumentError(f"expects each axis once, got dim={dim}", subject="gradient")
    several = isinstance(spacing, (list, tuple))
    spacings = list(spacing) if several else [spacing] * len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"expects one spacing for each of {len(axes)} axes, got {len(spacings)}", subject="gradient"
        )
    return tuple(_along(y, axis, step, edge_order) for axis, step in zip(axes, spacings))


def _along(y: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    count = y.shape[axis]
    if count < edge_order + 1:
        raise ShapeError(
            f"expects {edge_order + 1} points or more along axis {axis}, got {count}", subject="gradient"
        )
    if type(spacing) in NUMBERS or not spacing.ndim:
        ones = namespace(y.array).ones((count - 1,), dtype=y.array.dtype, device=device_of(y.array))
        steps = new_tensor(ones) * spacing
    else:
        if tuple(spacing.shape) != (count,):
            raise ShapeError(
                f"expects {count} points along axis {axis}, got shape {tuple(spacing.shape)}",
                subject="gradient",
            )
        steps = spacing[1:] - spacing[:-1]
    steps = ops.reshape(steps, (count - 1, *(1,) * (y.ndim - axis - 1)))

    def at(x: Any, start: int, stop: int, along: int) -> Any:
        return x[(*(slice(None),) * along, slice(start, stop or None), ...)]

    a, b = at(steps, 0, -1, 0), at(steps, 1, 0, 0)
    before, middle, after = at(y, 0, -2, axis), at(y, 1, -1, axis), at(y, 2, 0, axis)
    inside = (a * a * after + (b * b - a * a) * middle - b * b * before) / (a * b * (a + b))
    ends = []
    for first, second, sign in ((0, 1, 1), (-1, -2, -1)):
        y0, y1 = (at(y, i, i + 1, axis) for i in (first, second))
        h0 = at(steps, first, first + 1, 0)
        slope = sign * (y1 - y0) / h0
        if edge_order == 2:
            y2 = at(y, 2 if sign == 1 else -3, 3 if sign == 1 else -2, axis)
            h1 = at(steps, 1 if sign == 1 else -2, 2 if sign == 1 else -1, 0)
            further = sign * (y2 - y1) / h1
            slope = slope - (further - slope) * h0 / (h0 + h1)
        ends.append(slope)
    return ops.concat([ends[0], inside, ends[1]], axis=axis)
