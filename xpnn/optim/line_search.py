"""A search along a line for a point that satisfies the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from xpnn.backend import Array

_DECREASE = 1e-4  # of the value, in proportion to what the slope at the start promises
_CURVATURE = 0.9  # the slope that may be left, in proportion to that at the start


class Point(NamedTuple):
    """A point on the line: its place, the function's value and gradient, and the slope along the line."""

    t: float
    value: float
    gradient: Array
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, scale: float, tolerance: float, trials: int
) -> tuple[Point, int]:
    r"""The best point found, and the number of evaluations.

    Args:
        evaluate: the point at `t`.
        start: the point at 0, where the slope is negative.
        t: the first trial.
        scale: the largest element of the direction.
        tolerance: the change of an element below which it is no use to go on.
        trials: the largest number of points, besides the first.

    The conditions on $\phi(t) = f(x + td)$ are $\phi(t) \le \phi(0) + c_1 t \phi'(0)$ and
    $|\phi'(t)| \le c_2 |\phi'(0)|$. The trials grow until two of them hold a minimum between them, which is
    then narrowed down; both by the minimum of a cubic through two values and slopes.

    See: Nocedal & Wright (2006), "Numerical optimization", algorithms 3.5 and 3.6.
    """
    low, high, tried = _bracket(evaluate, start, t, trials)
    count, was_near_an_end = tried + 1, False
    while high is not None and tried < trials and not abs(high.t - low.t) * scale < tolerance:
        left, right = sorted((low.t, high.t))
        first, last = (low, high) if low.t <= high.t else (high, low)
        t = _cubic_minimum(first, last, left, right)
        margin = 0.1 * (right - left)
        is_near_an_end = min(right - t, t - left) < margin
        if is_near_an_end and (was_near_an_end or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            is_near_an_end = False
        was_near_an_end = is_near_an_end

        point = evaluate(t)
        tried, count = tried + 1, count + 1
        if _is_too_high(point, start) or point.value >= low.value:
            low, high = (low, point) if low.value <= point.value else (point, low)
        elif _is_flat(point, start):
            return point, count
        else:
            low, high = point, low if point.slope * (high.t - low.t) >= 0 else high
    return low, count


def _bracket(
    evaluate: Callable[[float], Point], start: Point, t: float, trials: int
) -> tuple[Point, Point | None, int]:
    """The lower and the higher end of an interval with a minimum, or a point that will do; and the trials."""
    before, point = start, evaluate(t)
    for tried in range(trials):
        if _is_too_high(point, start) or (tried > 1 and point.value >= before.value):
            return *_by_value(before, point), tried
        if _is_flat(point, start):
            return point, None, tried
        if point.slope >= 0:
            return *_by_value(before, point), tried
        t = _cubic_minimum(before, point, point.t + 0.01 * (point.t - before.t), point.t * 10)
        before, point = point, evaluate(t)
    return *_by_value(start, point), max(trials, 0)


def _by_value(first: Point, second: Point) -> tuple[Point, Point]:
    return (first, second) if first.value <= second.value else (second, first)


def _is_too_high(point: Point, start: Point) -> bool:
    return point.value > start.value + _DECREASE * point.t * start.slope


def _is_flat(point: Point, start: Point) -> bool:
    return abs(point.slope) <= -_CURVATURE * start.slope


def _cubic_minimum(first: Point, last: Point, low: float, high: float) -> float:
    """Where the cubic through two points and their slopes is least, within bounds; the middle if nowhere."""
    distance = last.t - first.t
    if distance != 0:
        bend = first.slope + last.slope - 3 * (last.value - first.value) / distance
        square = bend * bend - first.slope * last.slope
        if square >= 0:
            root = math.sqrt(square)
            divisor = last.slope - first.slope + 2 * root
            if divisor != 0:
                return min(max(last.t - distance * (last.slope + root - bend) / divisor, low), high)
    return (low + high) / 2
