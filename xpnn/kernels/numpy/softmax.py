"""Softmax and its logarithm along the last axis in NumPy: rows in pieces that stay in the cache.

Sums of rows are products, with ones or of two arrays with each other: three times as fast as `sum`.
"""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.chunks import as_rows, row_chunks
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel

# An exponential takes as long as this many operations.
EXPONENTIAL = 2

# Elements below which the fewer calls of the reference are faster.
_WORTHWHILE = 2048


def _along_rows(x: np.ndarray, *, axis: int) -> bool:
    return axis == x.ndim - 1 and x.size >= _WORTHWHILE


# Of 2048 rows of 128, on one thread: 0.21 ms forward and 0.10 backward; the reference 0.38 and 0.17.
@kernel("numpy", "softmax", when=_along_rows)
def softmax(x: np.ndarray, *, axis: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_softmax`."""
    rows = as_rows(x)
    y = np.empty(rows.shape, dtype=x.dtype)
    ones = np.ones(rows.shape[1], dtype=x.dtype)

    def normalise(part: slice) -> None:
        for chunk in row_chunks(part, rows):
            out = below_largest(rows[chunk], y[chunk])
            np.exp(out, out=out)
            out *= np.reciprocal(out @ ones)[:, None]

    parallel(normalise, len(rows), (3 + EXPONENTIAL) * rows.size)
    y = y.reshape(x.shape)
    return y, (y,)


@softmax.backward
@saves_as_reference
def _softmax_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, axis: int
) -> tuple[np.ndarray]:
    y, above = as_rows(saved[0]), as_rows(gy)
    gx = np.empty(y.shape, dtype=y.dtype)

    def pull_back(part: slice) -> None:
        for chunk in row_chunks(part, y):
            out = np.subtract(above[chunk], np.vecdot(above[chunk], y[chunk])[:, None], out=gx[chunk])
            out *= y[chunk]

    parallel(pull_back, len(y), 3 * y.size)
    return (gx.reshape(gy.shape),)


@kernel("numpy", "log_softmax", when=_along_rows)
def log_softmax(x: np.ndarray, *, axis: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_log_softmax`."""
    rows = as_rows(x)
    y = np.empty(rows.shape, dtype=x.dtype)
    ones = np.ones(rows.shape[1], dtype=x.dtype)

    def normalise(part: slice) -> None:
        for chunk in row_chunks(part, rows):
            out = below_largest(rows[chunk], y[chunk])
            powers = np.exp(out, out=scratch("powers", out.shape, out.dtype))
            out -= np.log(powers @ ones)[:, None]

    parallel(normalise, len(rows), (3 + EXPONENTIAL) * rows.size)
    y = y.reshape(x.shape)
    return y, (y,)


@log_softmax.backward
@saves_as_reference
def _log_softmax_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, axis: int
) -> tuple[np.ndarray]:
    y, above = as_rows(saved[0]), as_rows(gy)
    gx = np.empty(y.shape, dtype=y.dtype)
    ones = np.ones(y.shape[1], dtype=y.dtype)

    def pull_back(part: slice) -> None:
        for chunk in row_chunks(part, y):
            out = np.exp(y[chunk], out=gx[chunk])
            out *= (above[chunk] @ ones)[:, None]
            np.subtract(above[chunk], out, out=out)

    parallel(pull_back, len(y), (3 + EXPONENTIAL) * y.size)
    return (gx.reshape(gy.shape),)


def below_largest(rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Each row minus its largest element, so that no exponential overflows.

    NumPy finds the place of the largest four times as fast as its value: 17 us for 1024 rows of 128, not 68.
    """
    largest = rows[np.arange(len(rows)), rows.argmax(axis=1)]
    return np.subtract(rows, largest[:, None], out=out)
