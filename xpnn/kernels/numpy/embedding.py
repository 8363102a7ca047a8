"""The gradient of an embedding in NumPy: rows that were looked up several times are added up pairwise."""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel

# Indices below which the fewer calls of the reference are faster.
_MANY = 256


def _are_many(values: np.ndarray, indices: np.ndarray, *, rows: int) -> bool:
    return indices.size >= _MANY and values.shape[-1] > 0


@kernel("numpy", "sum_into_rows", when=_are_many)
def sum_into_rows(values: np.ndarray, indices: np.ndarray, *, rows: int) -> tuple[np.ndarray, tuple]:
    """The reference's `sum_into_rows`.

    The values are sorted by row. Of each run of one row, every second value is then added to the one before
    it, until the runs have one value each: few operations on whole arrays, for any number of repetitions.
    """
    flat = indices.reshape(-1)
    order = np.argsort(flat)
    targets = flat[order]
    sums = values.reshape(len(flat), values.shape[-1])[order]
    places = np.arange(len(flat))
    while True:
        second = _second_of_pairs(targets)
        if not second.any():
            break
        right = np.flatnonzero(second)
        sums[places[right - 1]] += sums[places[right]]
        first = ~second
        places, targets = places[first], targets[first]
    table = np.zeros((rows, values.shape[-1]), dtype=values.dtype)
    table[targets] = sums if len(places) == len(sums) else sums[places]
    return table, (indices,)


def _second_of_pairs(targets: np.ndarray) -> np.ndarray:
    """Which elements of sorted numbers have an odd place in their run of equal ones."""
    count = np.arange(len(targets))
    starts = np.zeros_like(count)
    np.multiply(count[1:], targets[1:] != targets[:-1], out=starts[1:])
    return ((count - np.maximum.accumulate(starts)) & 1).astype(bool)
