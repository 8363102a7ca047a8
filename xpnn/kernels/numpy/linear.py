"""The affine layer in NumPy, by the products of `products.py`."""

from __future__ import annotations

import math

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.products import column_sums, product


@kernel("numpy", "linear")
def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray | None) -> tuple[np.ndarray, tuple]:
    """The reference's `_linear`."""
    if x.ndim == 2:
        return product(x, w.T, bias=b), (x, w)
    return product(_as_rows(x), w.T, bias=b).reshape(*x.shape[:-1], len(w)), (x, w)


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
