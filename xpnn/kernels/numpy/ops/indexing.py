"""Elements by an index along an axis, in NumPy: one flat index is faster than one for each axis."""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import kernel


def _lies_plainly(x: np.ndarray, indices: np.ndarray, *, axis: int) -> bool:
    return x.flags.c_contiguous and indices.dtype.kind in "iu" and x.size > 0


@kernel("numpy", "take_along_axis", when=_lies_plainly)
def take_along_axis(x: np.ndarray, indices: np.ndarray, *, axis: int) -> tuple[np.ndarray, tuple]:
    """The reference's `_take_along_axis`. The indices are not negative."""
    axis %= x.ndim
    count = x.shape[axis]
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    places = indices.reshape(before, -1, after).astype(np.intp)  # a copy
    if after > 1:
        places *= after
        places += np.arange(after)
    if before > 1:
        places += np.arange(0, before * count * after, count * after)[:, None, None]
    return x.ravel().take(places.reshape(indices.shape)), (indices, (count,))
