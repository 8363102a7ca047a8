"""Sums over the rows of a matrix: gradients of what is added to, or multiplies, each row."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import MOST_THREADS, blocks_for, computed_in, in_rows, launch, library_of

_SOURCE = "rows.cu"
_TILE = 32  # columns of a block
_ROWS = 512  # up to so many one block adds up; more are shared, as few blocks would leave a GPU idle
_MOST_PARTS = 32


def column_sums(
    gy: Array,
    rows: int,
    columns: int,
    wanted: tuple[bool, ...],
    statistics: tuple[Any, ...] = (None, None, None, 0.0),
) -> tuple[Array | None, Array | None]:
    """The sums of gy h and of gy over the rows of gy (rows, columns), those that are wanted.

    Args:
        statistics: x, the mean (or None) and the variance of each row, and eps, of which h is made.
    """
    library, inside = library_of(gy), computed_in(gy.dtype.char)
    x, mean, variance, eps = statistics
    gy = in_rows(gy)
    parts = 1 if rows <= _ROWS else min(-(-rows // _ROWS), _MOST_PARTS)
    direct = parts == 1 and gy.dtype == inside
    sums = [library.empty((parts, columns), dtype=inside) if needed else None for needed in wanted]
    grid = -(-columns // _TILE) * parts
    args = (gy, x, mean, variance, *sums, rows, columns, parts, float(eps))
    launch(_SOURCE, "column_sums", gy, grid, MOST_THREADS, args)
    if direct:
        gw, gb = (None if s is None else s.reshape((columns,)) for s in sums)
        return gw, gb
    gw, gb = (library.empty((columns,), dtype=gy.dtype) if needed else None for needed in wanted)
    launch(_SOURCE, "sum_of_parts", gy, blocks_for(columns), MOST_THREADS, (*sums, gw, gb, columns, parts))
    return gw, gb
