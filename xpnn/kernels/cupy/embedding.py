"""The gradient of an embedding in one launch, without atomic sums."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.launching import MOST_BLOCKS, in_rows, launch, library_of, takes, threads_for

# Comparisons of an index with a row, up to which it is faster to make them all than to sort.
_MOST_COMPARISONS = 2**28


def _takes(values: Array, indices: Array, *, rows: int) -> bool:
    usual = takes(values) and values.itemsize > 2 and indices.dtype.char in "lq"
    return usual and rows > 0 and rows * indices.size <= _MOST_COMPARISONS


@kernel("cupy", "sum_into_rows", when=_takes)
def sum_into_rows(values: Array, indices: Array, *, rows: int) -> tuple[Array, tuple[Any, ...]]:
    """The reference's `sum_into_rows`."""
    length = values.shape[-1]
    table = library_of(values).empty((rows, length), dtype=values.dtype)
    args = (in_rows(values), in_rows(indices), table, indices.size, rows, length)
    size = max(values.size, table.size)
    threads = threads_for(length)
    launch("embedding.cu", "sum_into_rows", values, min(rows, MOST_BLOCKS), threads, args, size=size)
    return table, (indices,)
