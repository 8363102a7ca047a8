"""Products of matrices on NumPy: split over xpnn's threads, each with one thread of the BLAS.

The BLAS's own threads wait for each other by spinning: on cores that somebody else uses too, a product of 0.2
ms has been seen to take 20. And for small products they cost more than they give.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from xpnn.backend import kernel
from xpnn.backend.threads import openblas_core, single_threaded_blas
from xpnn.kernels.numpy.constants import ones
from xpnn.kernels.numpy.parallel import MULTIPLICATION, WORTHWHILE, parallel

# Up to so many multiplications the BLAS uses one thread by itself; to hold it to one takes 2 us of 10.
_UNTHREADED = 200_000

# OpenBLAS for processors with AVX-512 has code for small matrices, up to this, without threads. Where the
# second one is transposed it is for results of up to 1200 elements and sums of at least 32.
_SMALL_PRODUCT = 1_000_000
_CORES_WITH_SMALL_PRODUCTS = ("SkylakeX", "Cooperlake", "SapphireRapids")

# Elements from which the BLAS uses threads for the product of a vector and a matrix.
_THREADED_VECTOR = 9216

# Results of fewer elements are faster with `dot`, which checks less, and fills its result with zeros first.
_SMALL_RESULT = 10_000

# Slices of rows start at multiples of this, the height of the BLAS's inner tiles.
_ALIGN = 16


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The matrix a @ b, of (M, K) and (K, N), split along the larger of M and N."""
    m, k, n = *a.shape, b.shape[1]
    if _is_unthreaded(m, k, n, b.strides[0] < b.strides[1]):
        if out is None and m * n < _SMALL_RESULT:
            return a.dot(b)
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


def column_sums(rows: np.ndarray) -> np.ndarray:
    """The sum of the rows of a matrix, as a product with ones: several times faster than `sum`."""
    if rows.size < _THREADED_VECTOR:
        return ones(len(rows), rows.dtype).dot(rows)
    with single_threaded_blas():
        return ones(len(rows), rows.dtype).dot(rows)


@functools.lru_cache(maxsize=1024)
def _is_unthreaded(m: int, k: int, n: int, transposed: bool) -> bool:
    """Whether the BLAS multiplies two matrices, the second one maybe transposed, in one thread by itself."""
    work = m * k * n
    if work < _UNTHREADED:
        return True
    if work > _SMALL_PRODUCT or m == 1 or n == 1 or openblas_core() not in _CORES_WITH_SMALL_PRODUCTS:
        return False
    return not transposed or (m * n <= 1200 and k >= 32)


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
