"""The gradient of an embedding: each row is added where it was looked up, each thread its own features."""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numba.compiling import In2, Integer, Labels, Out2, compiled_function, compiled_kernel
from xpnn.kernels.numpy.chunks import as_rows
from xpnn.kernels.numpy.parallel import parallel


@compiled_function
def _add_rows(values: In2, rows: Labels, first: Integer, end: Integer, table: Out2) -> None:
    for i in range(values.shape[0]):
        value, sums = values[i, first:end], table[rows[i], first:end]
        for j in range(value.size):
            sums[j] += value[j]


def _are_rows(values: np.ndarray, indices: np.ndarray, *, rows: int) -> bool:
    """An index outside of the table would write outside of its memory."""
    return indices.size > 0 and int(indices.min()) >= 0 and int(indices.max()) < rows


@compiled_kernel("sum_into_rows", _add_rows, when=_are_rows)
def sum_into_rows(values: np.ndarray, indices: np.ndarray, *, rows: int) -> tuple[np.ndarray, tuple]:
    """The reference's `sum_into_rows`."""
    given, places = as_rows(values), np.ascontiguousarray(indices, dtype=np.int64).reshape(-1)
    features = given.shape[1]
    table = np.zeros((rows, features), dtype=values.dtype)

    def work(part: slice) -> None:
        _add_rows(given, places, part.start, part.stop, table)

    parallel(work, features, given.size / 4, align=16)
    return table, (indices,)
