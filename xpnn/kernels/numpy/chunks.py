"""Arrays as rows, and rows in pieces that stay in a core's own cache.

A chain of elementwise operations over pieces of some hundred KB works on what the first of them has brought
into the cache; over whole arrays each operation waits for memory anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xpnn.kernels.numpy.parallel import WORTHWHILE, parallel

# Bytes of one array in a piece. Smaller ones spend their time in calls, and two threads in handing each other
# Python's lock.
CHUNK_BYTES = 512 * 1024

# Bytes of a line of the cache. Elements that one call copies across memory at least; where two threads do it,
# shorter calls would wait for each other's turn. And what it counts for in the unit of `parallel`.
_LINE = 64
_FEW = 8 * 1024
_FEW_FOR_THREADS = 32 * 1024
_WORK_OF_A_COPY = 1 / 2

# Elements that the parts of the threads start at multiples of, so that they share no line of the cache.
ALIGN = 64


def as_rows(x: np.ndarray, features: int = 1) -> np.ndarray:
    """x as a matrix whose rows are the last `features` axes, contiguous; a view where it can be."""
    first = x.ndim - features
    return np.ascontiguousarray(x).reshape(math.prod(x.shape[:first]), math.prod(x.shape[first:]))


def contiguous(x: np.ndarray) -> np.ndarray:
    """`np.ascontiguousarray(x)`, some times faster where x has the batch last and memory has it first, or the
    other way round.

    Then the copy is a matrix transposed, with rows that may be a power of two apart: lines of the cache that
    are so far apart push each other out of it, half read or half written. So what is written at a time is
    some lines of each row.
    """
    if x.flags.c_contiguous or x.size < _FEW:
        return np.ascontiguousarray(x)
    axes = range(x.ndim)
    for order, count in (((*axes[1:], 0), len(x)), ((axes[-1], *axes[:-1]), x.size // x.shape[-1])):
        lies = x.transpose(order)
        if lies.flags.c_contiguous:
            return _transposed(lies.reshape(-1, count)).reshape(x.shape)
    return np.ascontiguousarray(x)


def _transposed(matrix: np.ndarray) -> np.ndarray:
    """A copy."""
    rows, columns = matrix.shape
    y = np.empty((columns, rows), dtype=matrix.dtype)
    work = matrix.size * _WORK_OF_A_COPY
    least = _FEW if work < WORTHWHILE else _FEW_FOR_THREADS
    step = max(_LINE // matrix.itemsize, least // columns)

    def copy(part: slice) -> None:
        for first in range(part.start, part.stop, step):
            some = slice(first, min(first + step, part.stop))
            np.copyto(y[:, some], matrix[some].T)

    parallel(copy, rows, work, align=_LINE)
    return y


def row_chunks(part: slice, rows: np.ndarray) -> Iterator[slice]:
    """Slices of `CHUNK_BYTES` of the rows in `part`, at least one row each."""
    count = max(CHUNK_BYTES // max(rows.shape[1] * rows.itemsize, 1), 1)
    for first in range(part.start, part.stop, count):
        yield slice(first, min(first + count, part.stop))


def by_rows(function: Callable[..., Any], passes: float, *arrays: np.ndarray) -> None:
    """Call `function(*arrays)` on the rows of all arrays in pieces of `CHUNK_BYTES`, each thread on its own.

    Args:
        passes: the work on each element of the first array, for `parallel`.
    """
    first = arrays[0]
    work = passes * first.size
    if work < WORTHWHILE and first.nbytes <= CHUNK_BYTES:
        function(*arrays)
        return

    def run(part: slice) -> None:
        for chunk in row_chunks(part, first):
            function(*[array[chunk] for array in arrays])

    parallel(run, len(first), work)


def lying_as(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """x broadcast to the shape of `like`, in its order of memory without gaps; x itself where it is so."""
    if x.shape == like.shape and x.strides == like.strides and _is_dense(like):
        return x
    if x.shape == like.shape and x.size >= _FEW and _is_dense(like):
        order = sorted(range(x.ndim), key=lambda axis: -like.strides[axis])
        return contiguous(x.transpose(order)).transpose(np.argsort(order))
    copy = np.empty_like(like, dtype=x.dtype)
    copy[...] = x
    return copy


def by_element(function: Callable[..., Any], passes: float, out: np.ndarray, *inputs: np.ndarray) -> None:
    """Call `function(out, *inputs)` on flat pieces of the arrays, each thread on its own.

    Args:
        passes: the work on each element, for `parallel`. An operation in the cache counts half, as handing a
            part to a thread takes as long as a million operations there.
        out: of `np.empty_like`, so that it has no gaps. inputs: `lying_as` it.
    """
    count = max(CHUNK_BYTES // out.itemsize, 1)
    flat = [array.ravel(order="K") for array in (out, *inputs)]
    if out.size <= count and passes * out.size < WORTHWHILE:
        function(*flat)
        return

    def work(part: slice) -> None:
        for first in range(part.start, part.stop, count):
            chunk = slice(first, min(first + count, part.stop))
            function(*[array[chunk] for array in flat])

    parallel(work, out.size, passes * out.size, align=ALIGN)


def _is_dense(x: np.ndarray) -> bool:
    return x.flags.c_contiguous or x.strides == np.empty_like(x).strides
