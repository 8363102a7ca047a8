"""Layer norm and RMS norm in NumPy: rows in pieces that stay in the cache, each thread its own rows.

Three forms are faster than the formula's. A sum along or over the rows is a product with a vector. A product
with a column and then with a row is one with their outer product, which the BLAS makes. Where one factor of a
sum of products is to be normalised, the sum is: gweight = sum of r (gy (x - m)), a product of the vector r
with a matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.chunks import as_rows, row_chunks
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel

# Rows below which two products take less than making the outer product.
_MANY = 64

Vector = np.ndarray | None


def _not_empty(x: np.ndarray, *_: Any, **__: Any) -> bool:
    return x.size > 0


@kernel("numpy", "layer_norm", when=_not_empty)
def layer_norm(
    x: np.ndarray, w: Vector, b: Vector, *, features: int, eps: float
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple]:
    """The reference's `_layer_norm`: y = (x - m) (r w) + b, with r = 1 / sqrt(v + eps)."""
    rows = as_rows(x, features)
    count, size = rows.shape
    y = np.empty(rows.shape, dtype=x.dtype)
    mean, variance = np.empty(count, dtype=x.dtype), np.empty(count, dtype=x.dtype)
    ones, weights, shift = np.ones(size, dtype=x.dtype), _flat(w), _flat(b)

    def normalise(part: slice) -> None:
        for chunk in row_chunks(part, rows):
            m = np.matmul(rows[chunk], ones, out=mean[chunk])
            m /= size
            out = np.subtract(rows[chunk], m[:, None], out=y[chunk])
            v = np.vecdot(out, out, out=variance[chunk])
            v /= size
            _scale(out, inverse_root(v, eps), weights, out)
            if shift is not None:
                out += shift

    parallel(normalise, count, 5 * rows.size)
    kept = (*x.shape[: x.ndim - features], *(1,) * features)
    mean, variance = mean.reshape(kept), variance.reshape(kept)
    return (y.reshape(x.shape), mean, variance), (x, w, mean, variance)


@layer_norm.backward
@saves_as_reference
def _layer_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Vector, Vector, Vector]:
    """gx = gy (r w) - slope (x - m) - shift, where slope and shift are one number for each row."""
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    gy = np.zeros_like(x) if gy is None else gy
    rows, above = as_rows(x, features), as_rows(gy, features)
    count, size = rows.shape
    means = mean.reshape(count)
    scales = inverse_root(variance.reshape(count), eps)
    gx = np.empty(rows.shape, dtype=x.dtype) if needs[0] else None
    weights = _flat(w)
    vector = np.ones(size, dtype=x.dtype) if weights is None else weights

    def pull_back(part: slice) -> np.ndarray:
        sums = np.zeros((2, size), dtype=x.dtype)
        for chunk in row_chunks(part, rows):
            g, r, m = above[chunk], scales[chunk], means[chunk]
            centred = np.subtract(rows[chunk], m[:, None], out=scratch("centred", g.shape, g.dtype))
            out = scratch("product", g.shape, g.dtype) if gx is None else gx[chunk]
            product = np.multiply(g, centred, out=out)
            sums[0] += r @ product
            sums[1] += np.ones(len(g), dtype=g.dtype) @ g
            if gx is None:
                continue
            slope = (product @ vector) * (r * r * r / size)
            shift = (g @ vector) * (r / size)
            if gmean is not None:
                shift -= gmean.reshape(count)[chunk] / size
            if gvariance is not None:
                slope -= gvariance.reshape(count)[chunk] * (2 / size)
            _scale(g, r, weights, out)
            centred *= slope[:, None]
            out -= centred
            out -= shift[:, None]
        return sums

    gw, gb = np.sum(parallel(pull_back, count, 7 * rows.size), axis=0)
    shape = x.shape[x.ndim - features :]
    return (
        None if gx is None else gx.reshape(x.shape),
        gw.reshape(shape) if needs[1] else None,
        gb.reshape(shape) if needs[2] else None,
    )


@kernel("numpy", "rms_norm", when=_not_empty)
def rms_norm(
    x: np.ndarray, w: Vector, *, features: int, eps: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple]:
    """The reference's `_rms_norm`: y = x (r w), with r = 1 / sqrt(mean(x^2) + eps)."""
    rows = as_rows(x, features)
    count, size = rows.shape
    y, square = np.empty(rows.shape, dtype=x.dtype), np.empty(count, dtype=x.dtype)
    weights = _flat(w)

    def normalise(part: slice) -> None:
        for chunk in row_chunks(part, rows):
            mean = np.vecdot(rows[chunk], rows[chunk], out=square[chunk])
            mean /= size
            _scale(rows[chunk], inverse_root(mean, eps), weights, y[chunk])

    parallel(normalise, count, 3 * rows.size)
    square = square.reshape(*x.shape[: x.ndim - features], *(1,) * features)
    return (y.reshape(x.shape), square), (x, w, square)


@rms_norm.backward
@saves_as_reference
def _rms_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Vector, Vector]:
    """gx = gy (r w) - slope x, with one slope for each row."""
    x, w, square = saved
    gy, gsquare = gradients
    gy = np.zeros_like(x) if gy is None else gy
    rows, above = as_rows(x, features), as_rows(gy, features)
    count, size = rows.shape
    scales = inverse_root(square.reshape(count), eps)
    gx = np.empty(rows.shape, dtype=x.dtype) if needs[0] else None
    weights = _flat(w)
    vector = np.ones(size, dtype=x.dtype) if weights is None else weights

    def pull_back(part: slice) -> np.ndarray:
        gw = np.zeros(size, dtype=x.dtype)
        for chunk in row_chunks(part, rows):
            g, r = above[chunk], scales[chunk]
            product = np.multiply(g, rows[chunk], out=scratch("product", g.shape, g.dtype))
            gw += r @ product
            if gx is None:
                continue
            slope = (product @ vector) * (r * r * r / size)
            if gsquare is not None:
                slope -= gsquare.reshape(count)[chunk] * (2 / size)
            out = _scale(g, r, weights, gx[chunk])
            out -= np.multiply(rows[chunk], slope[:, None], out=product)
        return gw

    gw = np.sum(parallel(pull_back, count, 6 * rows.size), axis=0)
    return (
        None if gx is None else gx.reshape(x.shape),
        gw.reshape(x.shape[x.ndim - features :]) if needs[1] else None,
    )


def _flat(v: Vector) -> Vector:
    return None if v is None else np.ascontiguousarray(v).reshape(-1)


def inverse_root(variance: np.ndarray, eps: float) -> np.ndarray:
    """1 / sqrt(variance + eps)."""
    root = variance + eps
    np.sqrt(root, out=root)
    return np.reciprocal(root, out=root)


def _scale(rows: np.ndarray, column: np.ndarray, row: Vector, out: np.ndarray) -> np.ndarray:
    """Multiply rows by a column and by a row, at once by the outer product of both.

    That is made as a product of matrices with a second column of zeros, since NumPy has a slow one for a
    single column.
    """
    if row is None or len(rows) < _MANY:
        np.multiply(rows, column[:, None], out=out)
        return out if row is None else np.multiply(out, row, out=out)
    left = np.zeros((len(column), 2), dtype=column.dtype)
    left[:, 0] = column
    right = np.zeros((2, len(row)), dtype=column.dtype)
    right[0] = row
    outer = np.matmul(left, right, out=scratch("outer", rows.shape, column.dtype))
    return np.multiply(rows, outer, out=out)
