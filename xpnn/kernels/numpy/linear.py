"""The affine layer in NumPy: the bias is added to rows that the product has just left in the cache.

The products are split over xpnn's own threads (see `products.py`).
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.parallel import MULTIPLICATION, parallel
from xpnn.kernels.numpy.products import column_sums, product

# Elements of the result that are made, and shifted by the bias, at a time.
_CHUNK = 128 * 1024


@kernel("numpy", "linear")
def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> tuple[np.ndarray, tuple]:
    """The reference's `_linear`."""
    rows = x if x.ndim == 2 else _as_rows(x)
    count, (features_out, features_in) = len(rows), w.shape
    if b is None or count * features_out < _CHUNK:
        y = product(rows, w.T)
        if b is not None:
            y += b
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], features_out), (x, w)

    y = np.empty((count, features_out), dtype=x.dtype)
    step = max(_CHUNK // features_out, 1)

    def work(part: slice) -> None:
        for first in range(part.start, part.stop, step):
            chunk = slice(first, min(first + step, part.stop))
            np.matmul(rows[chunk], w.T, out=y[chunk])
            y[chunk] += b

    parallel(work, count, y.size * features_in * MULTIPLICATION)
    return y.reshape(*x.shape[:-1], features_out), (x, w)


@linear.backward
@saves_as_reference
def _linear_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    x, w = saved
    rows, gy_rows = (x, gy) if x.ndim == 2 else (_as_rows(x), _as_rows(gy))
    gx = gw = gb = None
    if needs[0]:
        gx = product(gy_rows, w)
        gx = gx if x.ndim == 2 else gx.reshape(x.shape)
    if needs[1]:
        gw = product(gy_rows.T, rows)
    if needs[2]:
        gb = column_sums(gy_rows)
    return gx, gw, gb


def _as_rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
