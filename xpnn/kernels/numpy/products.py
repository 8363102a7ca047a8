"""Products of matrices on NumPy, in the way that is fastest on this processor.

A product may be split over xpnn's threads, each with one thread of the BLAS. And it may be cut into blocks,
which one call of `np.matmul` multiplies one by one: OpenBLAS has code for small products that leaves out the
copies of the large ones. Which way is faster, and with which blocks, depends on the processor and on the
sizes, so it is measured (see `xpnn.backend.tuning`).

The BLAS's own threads are not among the ways. They wait for the next product by spinning, and so take the
cores from the threads of everything else, and from other processes.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from xpnn.backend import kernel, tuning
from xpnn.backend.threads import get_num_threads, openblas_core, single_threaded_blas
from xpnn.kernels.numpy.constants import ones
from xpnn.kernels.numpy.parallel import MULTIPLICATION, WORTHWHILE, parallel

# Up to so many multiplications the BLAS uses one thread by itself, and there is nothing to choose.
_UNTHREADED = 200_000

# OpenBLAS for processors with AVX-512 has code for small matrices, up to this, without threads. Where the
# second one is transposed it is for results of up to 1200 elements and sums of at least 32.
SMALL_PRODUCT = 1_000_000
_CORES_WITH_SMALL_PRODUCTS = ("SkylakeX", "Cooperlake", "SapphireRapids")

# Blocks have results of so many elements, fewer where the sums are so long that the product were not small;
# for sums so long that there were less than the least, there are no blocks.
_BLOCK = 1024
_LEAST_BLOCK = 256
_BLOCK_COLUMNS = (16, 32, 64, 128)

# Multiplications from which threads are tried, from which one thread isn't, and at most in a measurement.
_SPLIT_FROM = 3_000_000
_SPLIT_ALWAYS = 30_000_000
_MEASURED = 200_000_000

# Elements from which the BLAS uses threads for the product of a vector and a matrix.
_THREADED_VECTOR = 9216

# Results of fewer elements are faster with `dot`, which checks less, and fills its result with zeros first.
_SMALL_RESULT = 10_000

# Slices of rows start at multiples of this, the height of the BLAS's inner tiles.
_ALIGN = 16

# Elements of the result that are made, and shifted by a bias, at a time.
_CHUNK = 128 * 1024


class _Way(NamedTuple):
    """How to multiply: on how many of xpnn's threads, in blocks of how many columns (0 for no blocks)."""

    split: bool
    columns: int


_WAYS = {
    ("split" if split else "whole") + (f"-{columns}" if columns else ""): _Way(split, columns)
    for split in (False, True)
    for columns in (0, *_BLOCK_COLUMNS)
}


def product(
    a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """The matrix a @ b + bias, of (M, K), (K, N) and (N,)."""
    m, k, n = *a.shape, b.shape[1]
    transposed = b.strides[0] < b.strides[1]
    if k == 1 and out is None and bias is None:
        return _outer_product(a, b)
    if _is_unthreaded(m, k, n, transposed):
        y = a.dot(b) if out is None and m * n < _SMALL_RESULT else np.matmul(a, b, out=out)
        if bias is not None:
            y += bias
        return y
    y = np.empty((m, n), dtype=np.result_type(a, b)) if out is None else out
    lie = ("t" if a.strides[0] < a.strides[1] else "n") + ("t" if transposed else "n")
    question = size_class("product", (m, k, n), lie, a.dtype, get_num_threads())
    _multiply(_WAYS.get(tuning.chosen(question)) or _choose(question, a, b, y), a, b, y, bias)
    return y


def column_sums(rows: np.ndarray) -> np.ndarray:
    """The sum of the rows of a matrix, as a product with ones: several times faster than `sum`."""
    if rows.size < _THREADED_VECTOR:
        return ones(len(rows), rows.dtype).dot(rows)
    return single_threaded_blas(ones(len(rows), rows.dtype).dot, rows)


def _outer_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of a column and a row. `np.matmul` leaves it to a loop of its own, which takes seven times as long."""
    y = np.empty((len(a), b.shape[1]), dtype=np.result_type(a, b))
    parallel(lambda part: np.dot(a[part], b, out=y[part]), len(a), y.size, align=_ALIGN)
    return y


@functools.lru_cache(maxsize=1024)
def _is_unthreaded(m: int, k: int, n: int, transposed: bool) -> bool:
    """Whether the BLAS multiplies two matrices, the second one maybe transposed, in one thread by itself."""
    work = m * k * n
    if work < _UNTHREADED:
        return True
    if work > SMALL_PRODUCT or m == 1 or n == 1 or openblas_core() not in _CORES_WITH_SMALL_PRODUCTS:
        return False
    return not transposed or (m * n <= 1200 and k >= 32)


@functools.lru_cache(maxsize=4096)
def size_class(kind: str, sizes: tuple[int, int, int], lie: str, dtype: np.dtype, threads: int = 1) -> str:
    """The question for `tuning` of how to multiply matrices of (M, K) and (K, N).

    Products whose sizes have the same powers of two, and whose operands lie alike, take the same way.

    Args:
        lie: a letter for each operand, "t" if it is transposed in memory, "n" if not.
    """
    powers = ".".join(str(power_of_two(size)) for size in sizes)
    return f"{kind}-{dtype.name}-{lie}-{powers}-threads{threads}"


def power_of_two(size: int) -> int:
    """Of the least one that is not below the size."""
    return max(size - 1, 0).bit_length()


def _choose(question: str, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> _Way:
    """The way for products like this one, measured with it, or with the first rows or columns of it."""
    m, k, n = *a.shape, b.shape[1]
    names = _candidates(*(1 << power_of_two(size) for size in (m, k, n)))
    share = min(_MEASURED / (m * k * n), 1)
    if m >= n:
        a, y = a[: math.ceil(share * m)], y[: math.ceil(share * m)]
    else:
        b, y = b[:, : math.ceil(share * n)], y[:, : math.ceil(share * n)]
    ways = {name: functools.partial(_multiply, _WAYS[name], a, b, y, None) for name in names}
    return _WAYS[tuning.choose(question, ways)]


def _candidates(m: int, k: int, n: int) -> list[str]:
    """The names of the ways worth trying; the first is the fixed one. They depend on powers of two alone."""
    work = m * k * n
    splits = [False, True] if work * MULTIPLICATION < WORTHWHILE else [True, False]
    if get_num_threads() == 1 or work < _SPLIT_FROM:
        splits = [False]
    elif work >= _SPLIT_ALWAYS:
        splits = [True]
    blocks = _BLOCK_COLUMNS if min(m, n) > 1 and _block_elements(k) >= _LEAST_BLOCK else ()
    wanted = [_Way(split, columns) for columns in (0, *blocks) for split in splits]
    return [name for way in wanted for name, known in _WAYS.items() if known == way]


def _multiply(way: _Way, a: np.ndarray, b: np.ndarray, y: np.ndarray, bias: np.ndarray | None) -> None:
    """y = a b + bias; threads share out the larger of M and N."""
    m, n = y.shape
    work = max(m * a.shape[1] * n * MULTIPLICATION, WORTHWHILE)
    if not way.split:
        single_threaded_blas(_multiply_part, way, a, b, y, bias)
    elif m >= n:
        parallel(lambda part: _multiply_part(way, a[part], b, y[part], bias), m, work, align=_ALIGN)
    else:
        parallel(
            lambda part: _multiply_part(way, a, b[:, part], y[:, part], None if bias is None else bias[part]),
            n,
            work,
            align=_ALIGN,
        )


def _multiply_part(way: _Way, a: np.ndarray, b: np.ndarray, y: np.ndarray, bias: np.ndarray | None) -> None:
    """In one thread; a bias is added to rows that are still in the cache."""
    rows = len(y) if bias is None else max(_CHUNK // max(y.shape[1], 1), 1)
    for first in range(0, len(y), rows):
        chunk = slice(first, first + rows)
        if way.columns:
            _multiply_blocks(a[chunk], b, y[chunk], way.columns)
        else:
            np.matmul(a[chunk], b, out=y[chunk])
        if bias is not None:
            y[chunk] += bias


def _multiply_blocks(a: np.ndarray, b: np.ndarray, y: np.ndarray, columns: int) -> None:
    """y = a b in blocks of about so many columns, and of as many rows as keep each product small."""
    (m, k), n = a.shape, b.shape[1]
    columns = min(columns, n)
    rows = equal_share(m, max(_block_elements(k) // max(columns, 1), 1))
    if m <= rows and n <= columns:
        np.matmul(a, b, out=y)
        return
    whole_m, whole_n = m - m % rows, n - n % columns
    np.matmul(
        a[:whole_m].reshape(-1, 1, rows, k),
        b[:, :whole_n].reshape(k, -1, columns).swapaxes(0, 1),
        out=y[:whole_m, :whole_n].reshape(whole_m // rows, rows, -1, columns).swapaxes(1, 2),
    )
    if whole_n < n:
        _multiply_blocks(a[:whole_m], b[:, whole_n:], y[:whole_m, whole_n:], columns)
    if whole_m < m:
        _multiply_blocks(a[whole_m:], b, y[whole_m:], columns)


def _block_elements(k: int) -> int:
    """Of the result of a block's product, with sums of k."""
    return min(_BLOCK, SMALL_PRODUCT // max(k, 1))


def equal_share(size: int, most: int) -> int:
    """What is cut off at a time where `size` is cut into the fewest equal pieces of at most `most`."""
    return -(-size // max(-(-size // most), 1))


def _matrices(x1: np.ndarray, x2: np.ndarray) -> bool:
    return x1.dtype == x2.dtype and x1.dtype.kind == "f"


@kernel("numpy", "matmul", when=_matrices)
def matmul(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The reference's `_matmul`: one long product where the right side is one matrix, else many."""
    saved = (x1, x2)
    if x2.ndim == 2:
        rows = x1.reshape(math.prod(x1.shape[:-1]), x1.shape[-1])
        return product(rows, x2).reshape(*x1.shape[:-1], x2.shape[1]), saved
    if x1.shape[-1] == x2.shape[-2] == 1:  # columns by rows, for which `np.matmul` has a slow loop
        return np.multiply(x1, x2), saved
    if x1.ndim != x2.ndim or x1.shape[0] != x2.shape[0]:
        return single_threaded_blas(np.matmul, x1, x2), saved
    batch = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    y = np.empty((*batch, x1.shape[-2], x2.shape[-1]), dtype=x1.dtype)
    work = y.size * x1.shape[-1] * MULTIPLICATION
    if work < WORTHWHILE:
        return single_threaded_blas(np.matmul, x1, x2, out=y), saved
    parallel(lambda part: np.matmul(x1[part], x2[part], out=y[part]), y.shape[0], work)
    return y, saved
