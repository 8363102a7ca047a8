"""Products of matrices on NumPy: split over xpnn's threads, each with one thread of the BLAS.

The BLAS's own threads wait for each other by spinning: on cores that somebody else uses too, a product of 0.2
ms has been seen to take 20. And for small products they cost more than they give.
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import kernel
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy.parallel import MULTIPLICATION, WORTHWHILE, parallel

# Up to so many multiplications the BLAS uses one thread by itself.
_UNTHREADED = 200_000

# Slices of rows start at multiples of this, the height of the BLAS's inner tiles.
_ALIGN = 16


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The matrix a @ b, of (M, K) and (K, N), split along the larger of M and N."""
    m, k, n = *a.shape, b.shape[1]
    if m * k * n < _UNTHREADED:
        return np.matmul(a, b, out=out)
    work = m * k * n * MULTIPLICATION
    if work < WORTHWHILE:
        with single_threaded_blas():
            return np.matmul(a, b, out=out)
    y = np.empty((m, n), dtype=np.result_type(a, b)) if out is None else out
    if m >= n:
        parallel(lambda part: np.matmul(a[part], b, out=y[part]), m, work, align=_ALIGN)
    else:
        parallel(lambda part: np.matmul(a, b[:, part], out=y[:, part]), n, work, align=_ALIGN)
    return y


def _matrices(x1: np.ndarray, x2: np.ndarray) -> bool:
    return x1.dtype == x2.dtype and x1.dtype.kind == "f"


@kernel("numpy", "matmul", when=_matrices)
def matmul(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The reference's `_matmul`: one long product where the right side is one matrix, else many."""
    saved = (x1, x2)
    if x2.ndim == 2:
        rows = x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1])
        return product(rows, x2).reshape(*x1.shape[:-1], x2.shape[1]), saved
    if x1.ndim != x2.ndim or x1.shape[0] != x2.shape[0]:
        with single_threaded_blas():
            return np.matmul(x1, x2), saved
    batch = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    y = np.empty((*batch, x1.shape[-2], x2.shape[-1]), dtype=x1.dtype)
    work = y.size * x1.shape[-1] * MULTIPLICATION
    if work < WORTHWHILE:
        with single_threaded_blas():
            return np.matmul(x1, x2, out=y), saved
    parallel(lambda part: np.matmul(x1[part], x2[part], out=y[part]), y.shape[0], work)
    return y, saved
