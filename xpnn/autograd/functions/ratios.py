"""Ratios of functions that vanish at 0 to their argument, exact there, also in their derivatives."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import ops

__all__ = ["expm1_ratio", "log1p_ratio"]

_SMALL = 1e-3  # below it a series of five terms is exact


def expm1_ratio(x: Any) -> Any:
    """(e^x - 1) / x, and 1 at 0."""
    small, infinite = ops.abs(x) < _SMALL, x == math.inf
    inside = ops.where(small | infinite, 1.0, x)
    series = 1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5)))
    return ops.where(infinite, math.inf, ops.where(small, series, ops.expm1(inside) / inside))


def log1p_ratio(x: Any) -> Any:
    """ln(1 + x) / x, and 1 at 0."""
    small = ops.abs(x) < _SMALL
    inside = ops.where(small, 1.0, x)
    series = 1 - x * (1 / 2 - x * (1 / 3 - x * (1 / 4 - x / 5)))
    return ops.where(small, series, ops.log1p(inside) / inside)
