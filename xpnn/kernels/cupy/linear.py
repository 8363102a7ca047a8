"""The affine layer: the sum over rows that is the bias's gradient in one launch, without ones."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import cuda_kernel, takes
from xpnn.kernels.cupy.sums import column_sums


def _takes(x: Array, w: Array, b: Array | None, **options: Any) -> bool:
    return x.ndim >= 1 and w.ndim == 2 and takes(x, w, b) and x.dtype.char != "e"


def _linear(x: Array, w: Array, b: Array | None) -> tuple[Array, tuple]:
    rows = x.reshape((-1, x.shape[-1]))
    y = rows @ w.T
    if b is not None:
        y += b
    return y.reshape((*x.shape[:-1], w.shape[0])), (x, w)


def _linear_backward(gy: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array | None, ...]:
    x, w = saved
    rows = gy.reshape((-1, gy.shape[-1]))
    gx = (rows @ w).reshape(x.shape) if needs[0] else None
    gw = rows.T @ x.reshape((-1, x.shape[-1])) if needs[1] else None
    gb = column_sums(rows, rows.shape[0], rows.shape[1], (False, True))[1] if needs[2] else None
    return gx, gw, gb


cuda_kernel("linear", _takes, _linear, _linear_backward, alike=True)
