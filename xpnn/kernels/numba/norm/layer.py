"""Layer norm, row by row: a row is read from memory once, forward and backward."""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numba.compiling import In1, In2, Out1, Out2, Real, Sums2, compiled_function, compiled_kernel
from xpnn.kernels.numpy.chunks import as_rows
from xpnn.kernels.numpy.parallel import parallel

Vector = np.ndarray | None


@compiled_function
def _normalise(x: In2, w: In1, b: In1, eps: Real, y: Out2, mean: Out1, variance: Out1) -> None:
    size = x.dtype.type(w.size)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.shape[0]):
        row, out = x[i], y[i]
        total = square = zero
        for j in range(w.size):
            total += row[j]
        m = total / size
        for j in range(w.size):
            square += (row[j] - m) * (row[j] - m)
        v = square / size
        mean[i], variance[i] = m, v
        scale = one / np.sqrt(v + eps)
        for j in range(w.size):
            out[j] = (row[j] - m) * scale * w[j] + b[j]


@compiled_function
def _gradients(
    gy: In2,
    x: In2,
    w: In1,
    mean: In1,
    variance: In1,
    eps: Real,
    shift: In1,
    slope: In1,
    gx: Out2,
    sums: Sums2,
) -> None:
    """gx, to which shift + slope (x - mean) of each row is added; gw and gb are `sums`.

    These are summed up in float32 over 32 rows, and in float64 from there on.
    """
    size = x.dtype.type(w.size)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    gw, gb = np.zeros_like(w), np.zeros_like(w)
    for i in range(x.shape[0]):
        row, above, out = x[i], gy[i], gx[i]
        m, scale = mean[i], one / np.sqrt(variance[i] + eps)
        first = second = zero
        for j in range(w.size):
            h = (row[j] - m) * scale
            first += above[j] * w[j]
            second += above[j] * w[j] * h
            gw[j] += above[j] * h
            gb[j] += above[j]
        a = shift[i] - scale * first / size
        b = slope[i] - scale * scale * second / size
        for j in range(w.size):
            out[j] = scale * above[j] * w[j] + a + b * (row[j] - m)
        if i % 32 == 31 or i == x.shape[0] - 1:
            for j in range(w.size):
                sums[0, j] += gw[j]
                sums[1, j] += gb[j]
            gw[:] = 0
            gb[:] = 0


def _has_features(x: np.ndarray, *_: object, **__: object) -> bool:
    return x.size > 0


@compiled_kernel("layer_norm", _normalise, _gradients, when=_has_features)
def layer_norm(
    x: np.ndarray, w: Vector, b: Vector, *, features: int, eps: float
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], tuple]:
    """The reference's `_layer_norm`."""
    rows = as_rows(x, features)
    y = np.empty_like(rows)
    mean, variance = np.empty((2, len(rows)), dtype=x.dtype)
    weights, biases = _vector(w, rows, 1), _vector(b, rows, 0)

    def work(part: slice) -> None:
        _normalise(rows[part], weights, biases, eps, y[part], mean[part], variance[part])

    parallel(work, len(rows), rows.size)
    kept = (*x.shape[: x.ndim - features], *(1,) * features)
    mean, variance = mean.reshape(kept), variance.reshape(kept)
    return (y.reshape(x.shape), mean, variance), (x, w, mean, variance)


@layer_norm.backward
def _layer_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Vector, Vector, Vector]:
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    rows, above = as_rows(x, features), as_rows(np.zeros_like(x) if gy is None else gy, features)
    count, size = rows.shape
    weights, gx = _vector(w, rows, 1), np.empty_like(rows)
    nothing = np.zeros(count, dtype=x.dtype)
    shift = nothing if gmean is None else gmean.reshape(count) / x.dtype.type(size)
    slope = nothing if gvariance is None else gvariance.reshape(count) * x.dtype.type(2 / size)
    vectors = (mean.reshape(count), variance.reshape(count))

    def work(part: slice) -> np.ndarray:
        sums = np.zeros((2, size))
        m, v = (vector[part] for vector in vectors)
        _gradients(above[part], rows[part], weights, m, v, eps, shift[part], slope[part], gx[part], sums)
        return sums

    gw, gb = sum(parallel(work, count, 2 * rows.size)).astype(x.dtype)  # type: ignore[union-attr]
    shape = x.shape[x.ndim - features :]
    return (
        gx.reshape(x.shape) if needs[0] else None,
        gw.reshape(shape) if needs[1] else None,
        gb.reshape(shape) if needs[2] else None,
    )


def _vector(v: Vector, rows: np.ndarray, default: float) -> np.ndarray:
    """The vector in one piece, or one of the default."""
    if v is None:
        return np.full(rows.shape[1], default, dtype=rows.dtype)
    return np.ascontiguousarray(v).reshape(-1)
