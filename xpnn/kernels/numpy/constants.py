"""Small arrays of constants, which take longer to make than many an operation with them.

They are made once for each size, and nobody can write to them. Large ones are made anew each time, so that no
memory is kept.
"""

from __future__ import annotations

import functools

import numpy as np

_KEPT = 4096  # elements


def ones(count: int, dtype: np.dtype) -> np.ndarray:
    """`count` ones; few of them are made once and kept."""
    return _ones(count, dtype) if count <= _KEPT else np.ones(count, dtype=dtype)


def even_shares(count: int, dtype: np.dtype) -> np.ndarray:
    """`count` times 1 / count: the product with them is a mean."""
    return _even_shares(count, dtype) if count <= _KEPT else np.full(count, 1 / count, dtype=dtype)


def row_starts(count: int, columns: int) -> np.ndarray:
    """Where the rows of a matrix begin among its elements: 0, columns, 2 columns ..."""
    return _row_starts(count, columns) if count <= _KEPT else np.arange(count) * columns


@functools.lru_cache(maxsize=16)
def zero(dtype: np.dtype) -> np.ndarray:
    """0 as an array, which an operation takes sooner than the number, having nothing to convert."""
    return _locked(np.zeros((), dtype=dtype))


@functools.lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype) -> np.ndarray:
    return _locked(np.ones(count, dtype=dtype))


@functools.lru_cache(maxsize=64)
def _even_shares(count: int, dtype: np.dtype) -> np.ndarray:
    return _locked(np.full(count, 1 / count, dtype=dtype))


@functools.lru_cache(maxsize=64)
def _row_starts(count: int, columns: int) -> np.ndarray:
    return _locked(np.arange(count) * columns)


def _locked(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
