"""Softmax and its logarithm along the last axis in NumPy: rows in pieces that stay in the cache.

Sums of rows are products, with ones or of two arrays with each other, which are faster than `sum`.
"""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.chunks import as_rows, by_rows
from xpnn.kernels.numpy.constants import ones, row_starts
from xpnn.kernels.numpy.memory import scratch

# An exponential takes as long as this many operations.
EXPONENTIAL = 2

# Elements below which the fewer calls of the reference are faster.
_WORTHWHILE = 2048


def _along_rows(x: np.ndarray, *, axis: int) -> bool:
    return axis == x.ndim - 1 and x.size >= _WORTHWHILE


@kernel("numpy", "softmax", when=_along_rows)
def softmax(x: np.ndarray, *, axis: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_softmax`."""
    rows = as_rows(x)
    y = np.empty(rows.shape, dtype=x.dtype)
    units = ones(rows.shape[1], x.dtype)

    def normalise(rows: np.ndarray, out: np.ndarray) -> None:
        below_largest(rows, out)
        np.exp(out, out=out)
        out *= np.reciprocal(out @ units)[:, None]

    by_rows(normalise, 3 + EXPONENTIAL, rows, y)
    y = y.reshape(x.shape)
    return y, (y,)


@softmax.backward
@saves_as_reference
def _softmax_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, axis: int
) -> tuple[np.ndarray]:
    y, above = as_rows(saved[0]), as_rows(gy)
    gx = np.empty(y.shape, dtype=y.dtype)

    def pull_back(y: np.ndarray, above: np.ndarray, out: np.ndarray) -> None:
        np.subtract(above, np.vecdot(above, y)[:, None], out=out)
        out *= y

    by_rows(pull_back, 3, y, above, gx)
    return (gx.reshape(gy.shape),)


@kernel("numpy", "log_softmax", when=_along_rows)
def log_softmax(x: np.ndarray, *, axis: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_log_softmax`."""
    rows = as_rows(x)
    y = np.empty(rows.shape, dtype=x.dtype)
    units = ones(rows.shape[1], x.dtype)

    def normalise(rows: np.ndarray, out: np.ndarray) -> None:
        below_largest(rows, out)
        powers = np.exp(out, out=scratch("powers", out.shape, out.dtype))
        out -= np.log(powers @ units)[:, None]

    by_rows(normalise, 3 + EXPONENTIAL, rows, y)
    y = y.reshape(x.shape)
    return y, (y,)


@log_softmax.backward
@saves_as_reference
def _log_softmax_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, axis: int
) -> tuple[np.ndarray]:
    y, above = as_rows(saved[0]), as_rows(gy)
    gx = np.empty(y.shape, dtype=y.dtype)
    units = ones(y.shape[1], y.dtype)

    def pull_back(y: np.ndarray, above: np.ndarray, out: np.ndarray) -> None:
        np.exp(y, out=out)
        out *= (above @ units)[:, None]
        np.subtract(above, out, out=out)

    by_rows(pull_back, 3 + EXPONENTIAL, y, above, gx)
    return (gx.reshape(gy.shape),)


def below_largest(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Each row minus its largest element, so that no exponential overflows.

    NumPy finds the place of the largest faster than its value.
    """
    largest = rows.take(row_starts(*rows.shape) + rows.argmax(axis=1))
    return np.subtract(rows, largest[:, None], out=out)
