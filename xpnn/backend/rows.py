"""Numbers in a row, computed on the host in float64 or int64: the same on every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend.errors import ArgumentError, DTypeError


def steps(start: Any, end: Any, step: Any) -> np.ndarray:
    """start, start + step, ... up to and without `end`; int64 if all three are whole.

    >>> steps(1, 2, 0.25).tolist()
    [1.0, 1.25, 1.5, 1.75]
    """
    numbers = (start, end, step)
    if not all(isinstance(n, int | float) for n in numbers):
        raise DTypeError(
            f"expects real numbers, got {start!r:.60}, {end!r:.60}, {step!r:.60}", subject="arange"
        )
    if not all(map(math.isfinite, numbers)) or step == 0 or (end - start) * step < 0:
        raise ArgumentError(
            f"expects finite bounds and a step that leads from one to the other, got {start}, {end}, {step}",
            subject="arange",
        )
    if all(isinstance(n, int) for n in numbers):
        return np.arange(start, end, step, dtype=np.int64)
    return start + step * np.arange(math.ceil((end - start) / step), dtype=np.float64)


def evenly(start: complex, end: complex, count: int) -> np.ndarray:
    """`count` numbers from start to end, both of them included; of complex numbers complex128.

    >>> evenly(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    return np.linspace(start, end, count)


def triangle(rows: int, columns: int, offset: int, lower: bool) -> np.ndarray:
    """(2, n): rows and columns of the cells of a matrix on and below, or above, a diagonal, row by row.

    >>> triangle(2, 2, 0, True).tolist()
    [[0, 1, 1], [0, 0, 1]]
    """
    first = np.arange(rows)[:, None]
    chosen = np.tri(rows, columns, offset, bool) if lower else ~np.tri(rows, columns, offset - 1, bool)
    at_row, at_column = np.nonzero(chosen)
    return np.stack([at_row, at_column]) if first.size else np.zeros((2, 0), np.int64)
