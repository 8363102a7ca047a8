"""Batch norm in NumPy: two passes over the input forward, two backward, and residual and relu for nothing.

The sum with the residual and relu are done chunk by chunk in the cache, in the one pass that writes the
result; relu's mask is applied in the backward's first pass, which adds up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel
from xpnn.kernels.numpy.programs import write_selected

# Elements that are worked on at a time, 1 MB in float32. Smaller pieces would stay in the L2 cache, but two
# threads wait for each other's turn in Python after each operation.
_CHUNK = 256 * 1024

# Rows of at least this many elements: vectors of channels are repeated to this width.
_WIDTH = 1024

Vector = np.ndarray | None

# Squares of means up to so many times the variance: the sums of squares then lose less than two digits.
_FAR = 30


class Channels:
    """Arrays of the shape of x (N, C, ...) as matrices whose columns belong to one channel each.

    Where the channels lie next to each other in memory, several cells make a row; where the cells of a
    channel do, an image does, or with the batch innermost one cell of all images.
    """

    def __init__(self, x: np.ndarray) -> None:
        n, c = x.shape[:2]
        cells, space = math.prod(x.shape[2:]), range(2, x.ndim)
        self.shape, self.dtype, self.channels = x.shape, x.dtype, c
        self.last, self._order = False, tuple(range(x.ndim))  # axes as they lie in memory
        if not x.flags.c_contiguous or cells == 1:
            batch_innermost = (*space, 1, 0)
            self.last = n == 1 or not x.transpose(batch_innermost).flags.c_contiguous
            self._order = (0, *space, 1) if self.last else batch_innermost
            cells = n
        self.count = math.prod(x.shape) // c
        self.repeats = math.gcd(self.count, max(_WIDTH // c, 1)) if self.last else cells
        self.width = c * self.repeats
        self.step = max(_CHUNK // self.width, 1)  # rows of a chunk

    def rows(self, array: np.ndarray) -> np.ndarray:
        """The matrix; a copy if the array lies differently in memory."""
        return np.ascontiguousarray(array.transpose(self._order)).reshape(-1, self.width)

    def empty(self) -> tuple[np.ndarray, np.ndarray]:
        """A new array of the shape, not filled, and its matrix."""
        lies = np.empty([self.shape[axis] for axis in self._order], dtype=self.dtype)
        axes = sorted(range(len(self._order)), key=self._order.__getitem__)
        return lies.transpose(axes), lies.reshape(-1, self.width)

    def spread(self, vector: np.ndarray) -> np.ndarray:
        """A value per channel as a row, in the arrays' element type."""
        row = np.empty((self.channels, self.repeats), dtype=self.dtype)
        if self.last:
            row = row.reshape(self.repeats, self.channels)
            row[...] = vector
        else:
            row[...] = vector[:, None]
        return row.reshape(self.width)

    def column_sums(self, g: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums over the rows of two chunks: of g, and of g x.

        A product with ones takes half the time of a sum; `einsum` multiplies and adds in one pass.
        """
        return np.ones(len(g), dtype=self.dtype) @ g, np.einsum("ij,ij->j", g, x)

    def gather(self, row: np.ndarray) -> np.ndarray:
        """The sum over the columns of each channel, in float64."""
        if self.last:
            return row.reshape(self.repeats, self.channels).sum(axis=0, dtype=np.float64)
        return row.reshape(self.channels, self.repeats).sum(axis=1, dtype=np.float64)

    def for_chunks(self, function: Callable[[slice], Any], passes: int) -> list[Any]:
        """Call `function` with slices of rows that fit the cache; its results, of all threads.

        Args:
            passes: how many times the function goes over the elements.
        """
        rows = self.count * self.channels // self.width
        step = self.step

        def work(part: slice) -> list[Any]:
            return [
                function(slice(first, min(first + step, part.stop)))
                for first in range(part.start, part.stop, step)
            ]

        parts = parallel(work, rows, passes * rows * self.width)
        return [result for results in parts for result in results]


def _takes(x: np.ndarray, *others: Any, **options: Any) -> bool:
    return x.ndim >= 2 and x.size > 0 and x.dtype in (np.float32, np.float64)


@kernel("numpy", "batch_norm", when=_takes)
def batch_norm(
    x: np.ndarray, w: Vector, b: Vector, residual: np.ndarray | None, *, eps: float, relu: bool
) -> tuple[tuple, tuple]:
    """The reference's `_batch_norm`.

    The variance is the mean of the squares less the square of the mean; where the mean is so large that few
    digits would be left, a second pass sums the squares of the differences from it.
    """
    layout = Channels(x)
    rows = layout.rows(x)

    def add_up(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
        return layout.column_sums(rows[chunk], rows[chunk])

    mean, square = _means(layout, layout.for_chunks(add_up, passes=2))
    variance = square - mean * mean
    if _is_far(mean, variance):
        centre = layout.spread(mean)

        def add_up_differences(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
            part = np.subtract(rows[chunk], centre, out=_temporary("centred", rows[chunk]))
            return layout.column_sums(part, part)

        offset, square = _means(layout, layout.for_chunks(add_up_differences, passes=3))
        mean = layout.gather(centre) / layout.repeats + offset
        variance = square - offset * offset
    mean, variance = mean.astype(x.dtype), np.maximum(variance, 0).astype(x.dtype)
    y = _normalise(layout, rows, *scale_and_shift(mean, variance, w, b, eps), residual, relu)
    return (y, mean, variance), (x, w, mean, variance, y if relu else None)


def _means(layout: Channels, sums: list[Any]) -> list[np.ndarray]:
    """Of what `column_sums` gave for the chunks: a mean per channel of each of the two, in float64."""
    return [layout.gather(sum(parts)) / layout.count for parts in zip(*sums)]


def _is_far(mean: np.ndarray, variance: np.ndarray) -> bool:
    """Whether a channel's mean is so far from 0, beside its deviation, that products with x lose digits."""
    return not bool(np.all(mean * mean <= _FAR * variance))


@batch_norm.backward
@saves_as_reference
def _batch_norm_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, eps: float, relu: bool
) -> tuple:
    x, _, mean, variance, y = saved
    gy = np.zeros_like(x) if gradients[0] is None else gradients[0]
    layout = Channels(x)
    rows = layout.rows(x)
    above = layout.rows(gy)
    centre = layout.spread(mean) if _is_far(mean, variance) else None
    cut_off: Callable[..., np.ndarray] = _multiply
    if relu:
        gy, masked = layout.empty()
        y_rows = layout.rows(y)

    def add_up(chunk: slice) -> tuple[np.ndarray, np.ndarray]:
        g, part = above[chunk], rows[chunk]
        if relu:
            passed = np.not_equal(y_rows[chunk], 0, out=_temporary("passed", g, np.dtype(bool)))
            g = cut_off(masked[chunk], passed, g)
        if centre is not None:
            part = np.subtract(part, centre, out=_temporary("centred", g))
        return layout.column_sums(g, part)

    results = layout.for_chunks(add_up, passes=5 if relu else 2)
    gb, centred = (layout.gather(sum(parts)) for parts in zip(*results))
    if relu and not np.isfinite(gb).all():  # a product with 0 makes NaN of infinity
        cut_off = write_selected
        results = layout.for_chunks(add_up, passes=5)
        gb, centred = (layout.gather(sum(parts)) for parts in zip(*results))
    if centre is None:
        centred -= mean * gb

    slope, shift, scale, gw = linear_gradient(layout, saved, gradients, gb, centred, eps)
    gx = None
    if needs[0]:
        g = masked if relu else above
        gx, out = (gy, masked) if relu and not needs[3] else layout.empty()
        _combine(layout, rows, g, slope, shift, scale, out)
    return gx, gw.astype(x.dtype), gb.astype(x.dtype), gy if needs[3] else None


def _multiply(out: np.ndarray, passed: np.ndarray, g: np.ndarray) -> np.ndarray:
    """g where it passed relu, else 0, if all of g is finite: faster than a choice."""
    return np.multiply(g, passed, out=out)


def linear_gradient(
    layout: Channels, saved: tuple, gradients: tuple, gb: np.ndarray, centred: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """gx as `slope x + shift + scale gy` with a value per channel, and gw; all in float64.

    Args:
        saved, gradients: of the backward.
        gb, centred: the sums of gy and of gy (x - mean).
    """
    _, w, mean, variance, _ = saved
    _, gmean, gvariance = gradients
    inverse = 1 / np.sqrt(variance.astype(np.float64) + eps)
    gw = centred * inverse
    scale = inverse if w is None else w * inverse
    slope, shift = -scale * gw * inverse / layout.count, -scale * gb / layout.count
    if gmean is not None:
        shift = shift + gmean / layout.count
    if gvariance is not None:
        slope = slope + 2 * gvariance / layout.count
    return slope, shift - slope * mean, scale, gw


@kernel("numpy", "batch_norm_inference", when=_takes)
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
    y = _normalise(layout, layout.rows(x), *factors, residual, relu)
    return y, (x, mean, variance, w, y if relu else None)


def scale_and_shift(
    mean: np.ndarray, variance: np.ndarray, w: Vector, b: Vector, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel, in float64: `scale x + shift` is x normalised by these statistics."""
    scale = 1 / np.sqrt(variance.astype(np.float64) + eps)
    if w is not None:
        scale *= w
    shift = -mean * scale
    if b is not None:
        shift += b
    return scale, shift


def _normalise(
    layout: Channels,
    x: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    residual: np.ndarray | None,
    relu: bool,
) -> np.ndarray:
    """`scale x + shift`, plus the residual, through relu."""
    y, rows = layout.empty()
    scale, shift, zeros = layout.spread(scale), layout.spread(shift), np.zeros(layout.width, dtype=x.dtype)
    other = None if residual is None else layout.rows(residual)

    def write(chunk: slice) -> None:
        out = np.multiply(x[chunk], scale, out=rows[chunk])
        out += shift
        if other is not None:
            out += other[chunk]
        if relu:
            np.maximum(out, zeros, out=out)  # with a number it takes three times as long

    layout.for_chunks(write, passes=4)
    return y


def _combine(
    layout: Channels,
    x: np.ndarray,
    g: np.ndarray,
    slope: np.ndarray,
    shift: np.ndarray,
    scale: np.ndarray,
    result: np.ndarray,
) -> None:
    """Write `slope x + shift + scale g` to the result, which may be g."""
    slope, shift, scale = map(layout.spread, (slope, shift, scale))

    def write(chunk: slice) -> None:
        out = np.multiply(g[chunk], scale, out=result[chunk])
        out += shift
        out += np.multiply(x[chunk], slope, out=_temporary("scaled", out))

    layout.for_chunks(write, passes=4)


def _temporary(name: str, like: np.ndarray, dtype: np.dtype | None = None) -> np.ndarray:
    return scratch(f"batch_norm.{name}", like.shape, like.dtype if dtype is None else dtype)
