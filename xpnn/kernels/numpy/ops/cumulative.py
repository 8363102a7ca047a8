"""Partial sums in NumPy along an axis whose neighbours are apart in memory.

NumPy goes along the axis for one element after the other, through memory in long steps. Here whole slices are
added; to each element the same numbers in the same order, so to the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import kernel

# Elements of a slice, and of it those that lie together, below which the library's way is as fast.
_SLICE = 256
_TOGETHER = 8


def _suits(x: np.ndarray, *, axis: int | None, dtype: Any, include_initial: bool) -> bool:
    if axis is None or dtype is not None or include_initial or x.dtype.char not in "fd" or not x.size:
        return False
    step, after = abs(x.strides[axis]), math.prod(x.shape[axis % x.ndim + 1 :])
    apart = after >= _TOGETHER and (not step or step >= _TOGETHER * x.itemsize)
    return apart and x.size >= _SLICE * x.shape[axis]


@kernel("numpy", "cumulative_sum", when=_suits)
def cumulative_sum(x: np.ndarray, *, axis: int, **_: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_cumulative_sum`."""
    y = np.empty_like(x, order="K" if all(x.strides) else "C")
    slices, sums = np.moveaxis(x, axis, 0), np.moveaxis(y, axis, 0)
    sums[0] = slices[0]
    for before, new, after in zip(sums, slices[1:], sums[1:]):
        np.add(before, new, out=after)
    return y, ((x.dtype,),)
