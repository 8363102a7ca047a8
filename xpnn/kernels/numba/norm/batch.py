"""Batch norm in two passes over memory each way, with a residual and relu in the same passes.

The matrices whose columns belong to one channel each are those of `kernels.numpy.norm.batch`. Sums are made
in float32 over 32 rows, and in float64 from there on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn.backend import saves_as_reference
from xpnn.kernels.numba.compiling import (
    In1,
    In2,
    Out2,
    Real,
    Sums2,
    compiled_function,
    compiled_kernel,
    inlined,
)
from xpnn.kernels.numpy.norm.batch import Channels, Vector, linear_gradient, scale_and_shift
from xpnn.kernels.numpy.parallel import parallel

_NO_LIMIT = math.nan  # no number compares with it

# Rows that the mean is guessed from, and standard deviations that the guess may be off.
_SAMPLE = 64
_TOO_FAR = 10.0


@compiled_function
def _moments(x: In2, shift: In1, sums: Sums2) -> None:
    """Of each column the sums of x - shift and of its square."""
    first, second = np.zeros_like(shift), np.zeros_like(shift)
    for i in range(0, x.shape[0] - 3, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(shift.size):
            d0, d1, d2, d3 = x0[j] - shift[j], x1[j] - shift[j], x2[j] - shift[j], x3[j] - shift[j]
            first[j] += (d0 + d1) + (d2 + d3)
            second[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
        if i % 32 == 28:
            _flush(first, second, sums)
    for i in range(x.shape[0] // 4 * 4, x.shape[0]):
        for j in range(shift.size):
            d = x[i, j] - shift[j]
            first[j] += d
            second[j] += d * d
    _flush(first, second, sums)


@compiled_function
def _gradient_sums(gy: In2, x: In2, mean: In1, sums: Sums2) -> None:
    """Of each column the sums of gy and of gy (x - mean)."""
    first, second = np.zeros_like(mean), np.zeros_like(mean)
    for i in range(0, x.shape[0] - 3, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        g0, g1, g2, g3 = gy[i], gy[i + 1], gy[i + 2], gy[i + 3]
        for j in range(mean.size):
            m = mean[j]
            first[j] += (g0[j] + g1[j]) + (g2[j] + g3[j])
            low = g0[j] * (x0[j] - m) + g1[j] * (x1[j] - m)
            second[j] += low + g2[j] * (x2[j] - m) + g3[j] * (x3[j] - m)
        if i % 32 == 28:
            _flush(first, second, sums)
    for i in range(x.shape[0] // 4 * 4, x.shape[0]):
        for j in range(mean.size):
            first[j] += gy[i, j]
            second[j] += gy[i, j] * (x[i, j] - mean[j])
    _flush(first, second, sums)


@inlined
def _flush(first: Any, second: Any, sums: Any) -> None:
    """Add float32 sums to those in float64, and start again."""
    for j in range(first.size):
        sums[0, j] += first[j]
        sums[1, j] += second[j]
    first[:] = 0
    second[:] = 0


@compiled_function
def _normalise(x: In2, scale: In1, shift: In1, low: Real, y: Out2) -> None:
    """scale x + shift, and `low` where that is less."""
    for i in range(x.shape[0]):
        row, out = x[i], y[i]
        for j in range(scale.size):
            v = row[j] * scale[j] + shift[j]
            out[j] = low if v <= low else v


@compiled_function
def _normalise_and_add(x: In2, scale: In1, shift: In1, residual: In2, low: Real, y: Out2) -> None:
    for i in range(x.shape[0]):
        row, more, out = x[i], residual[i], y[i]
        for j in range(scale.size):
            v = row[j] * scale[j] + shift[j] + more[j]
            out[j] = low if v <= low else v


@compiled_function
def _mask(gy: In2, y: In2, gx: Out2) -> None:
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            gx[i, j] = gy[i, j] if y[i, j] != 0 else 0


@compiled_function
def _combine(x: In2, gy: In2, slope: In1, shift: In1, scale: In1, gx: Out2) -> None:
    """slope x + shift + scale gy."""
    for i in range(x.shape[0]):
        row, above, out = x[i], gy[i], gx[i]
        for j in range(scale.size):
            out[j] = slope[j] * row[j] + shift[j] + scale[j] * above[j]


def _is_batch(x: np.ndarray, *_: Any, **__: Any) -> bool:
    return x.ndim >= 2 and x.size > 0


@compiled_kernel(
    "batch_norm",
    *(_moments, _gradient_sums, _normalise, _normalise_and_add, _mask, _combine),
    when=_is_batch,
)
def batch_norm(
    x: np.ndarray, w: Vector, b: Vector, residual: np.ndarray | None, *, eps: float, relu: bool
) -> tuple[tuple, tuple]:
    """The reference's `_batch_norm`."""
    layout = Channels(x)
    rows = layout.rows(x)
    sample = rows[:: max(len(rows) // _SAMPLE, 1)].mean(axis=0)
    mean, variance = _statistics(layout, rows, layout.gather(sample) / layout.repeats)
    y = _normalised(layout, rows, *scale_and_shift(mean, variance, w, b, eps), residual, relu)
    return (y, mean, variance), (x, w, mean, variance, y if relu else None)


@batch_norm.backward
@saves_as_reference
def _batch_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, eps: float, relu: bool
) -> tuple:
    x, _, mean, _, y = saved
    gy = np.zeros_like(x) if gradients[0] is None else gradients[0]
    layout = Channels(x)
    rows, means = layout.rows(x), layout.spread(mean)
    above = g_rows = layout.rows(gy)
    if relu:
        gy, g_rows = layout.empty()
        y_rows = layout.rows(y)

    def add_up(chunk: slice) -> np.ndarray:
        if relu:
            _mask(above[chunk], y_rows[chunk], g_rows[chunk])
        sums = np.zeros((2, layout.width))
        _gradient_sums(g_rows[chunk], rows[chunk], means, sums)
        return sums

    gb, centred = map(layout.gather, sum(layout.for_chunks(add_up, passes=3)))
    slope, shift, scale, gw = linear_gradient(layout, saved, gradients, gb, centred, eps)
    gx = None
    if needs[0]:
        vectors = [layout.spread(v) for v in (slope, shift, scale)]
        gx, out = (gy, g_rows) if relu and not needs[3] else layout.empty()
        _over_rows(layout, 2, lambda part: _combine(rows[part], g_rows[part], *vectors, out[part]))
    return gx, gw.astype(x.dtype), gb.astype(x.dtype), gy if needs[3] else None


@compiled_kernel("batch_norm_inference", _normalise, _normalise_and_add, when=_is_batch)
def batch_norm_inference(
    x: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    w: Vector,
    b: Vector,
    residual: np.ndarray | None,
    *,
    eps: float,
    relu: bool,
) -> tuple[np.ndarray, tuple]:
    """The reference's `_batch_norm_inference`."""
    layout = Channels(x)
    factors = scale_and_shift(mean, variance, w, b, eps)
    y = _normalised(layout, layout.rows(x), *factors, residual, relu)
    return y, (x, mean, variance, w, y if relu else None)


def _normalised(
    layout: Channels,
    x: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    residual: np.ndarray | None,
    relu: bool,
) -> np.ndarray:
    """`scale x + shift`, plus the residual, through relu."""
    y, out = layout.empty()
    scale, shift, low = layout.spread(scale), layout.spread(shift), 0.0 if relu else _NO_LIMIT
    if residual is None:
        _over_rows(layout, 1, lambda part: _normalise(x[part], scale, shift, low, out[part]))
        return y
    more = layout.rows(residual)
    _over_rows(layout, 2, lambda part: _normalise_and_add(x[part], scale, shift, more[part], low, out[part]))
    return y


def _statistics(
    layout: Channels, rows: np.ndarray, guess: np.ndarray, last: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each channel, from one pass of sums of x - guess and of its square.

    A guess that turns out to be far from the mean has cost digits of the variance: then once more with the
    mean.
    """
    shift = layout.spread(guess)
    guess = layout.gather(shift) / layout.repeats  # as it was rounded

    def add_up(part: slice) -> np.ndarray:
        sums = np.zeros((2, layout.width))
        _moments(rows[part], shift, sums)
        return sums

    offset, square = (layout.gather(s) / layout.count for s in sum(_over_rows(layout, 1, add_up)))
    variance = np.maximum(square - offset * offset, 0)
    if not last and (offset * offset > _TOO_FAR**2 * variance).any():
        return _statistics(layout, rows, guess + offset, last=True)
    return (guess + offset).astype(rows.dtype), variance.astype(rows.dtype)


def _over_rows(layout: Channels, passes: float, function: Callable[[slice], Any]) -> list[Any]:
    """Call `function` with each thread's rows."""
    count = layout.count * layout.channels // layout.width
    return parallel(function, count, passes * layout.count * layout.channels)
