"""Resampling: an array on a grid of another size.

Each axis is resampled by itself, so that a bilinear sample is two linear ones. Along an axis an output cell
is a weighted sum of a few cells of the input, its *taps*:

    y[i] = sum over k of w[k, i] x[cell[k, i]]

Where a cell i lies on the input's axis is `(i + 0.5) n / m - 0.5`, for n cells that become m; with
align_corners, which puts the centres of the first and the last cells on each other, `i (n - 1) / (m - 1)`.
The gradient adds w gy to the cells; that is the adjoint, so that each of the two primitives is the other's
backward.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, idioms, namespace
from xpnn.functional.arguments import (
    check_fits_memory,
    check_flags,
    check_floating,
    check_rank,
    number,
    shape_of,
    tuple_of,
)
from xpnn.functional.pool.adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from xpnn.functional.pool.average import repeat_cells

__all__ = ["interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

Size = int | Sequence[int]
Factor = float | Sequence[float]

LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}  # axes of space
MODES = ("nearest", "nearest-exact", "area", *LINEAR, "bicubic")
_AREA = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)

# The slope of cubic convolution: PyTorch's, and with antialiasing that of Pillow.
_CUBIC, _CUBIC_ANTIALIASED = -0.75, -0.5


@dataclass(frozen=True)
class Taps:
    """For each output cell of an axis, the cells that it is made of: `cells[k][i]` with `weights[k][i]`.

    Attributes:
        count: cells of the input.
    """

    cells: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    count: int

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@half_in_float32
def interpolate(
    input: ArrayT,
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> ArrayT:
    """Resample sequences, images or volumes to another size.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W) floats.
        size: cells of the output along each axis of space, a number for all; or
        scale_factor: how many times larger it is, rounded down.
        mode: "nearest" (of the cell's corner) and "nearest-exact" (of its centre); "linear", "bilinear" or
            "trilinear", as there are axes of space; "bicubic" for images; "area", the mean of the cells
            that an output cell covers, `adaptive_avg_pool2d`.
        align_corners: whether the centres of the corner cells lie on each other, rather than the corners.
        recompute_scale_factor: whether places follow from the sizes, rather than from the scale_factor, where
            the rounded size is less than that.
        antialias: whether bilinear and bicubic samples are means over what lies between, where the output
            is smaller.

    Returns: (N, C, *size).

    Raises: ArgumentError unless one of size and scale_factor is given, or for a mode that the input's axes do
    not have.

    See: Keys, "Cubic convolution interpolation for digital image processing", 1981.

    >>> import numpy as np
    >>> interpolate(np.asarray([[[1.0, 3.0]]]), scale_factor=2, mode="linear").tolist()
    [[[1.0, 1.5, 2.5, 3.0]]]
    """
    subject = "interpolate"
    check_rank(input, (3, 4, 5), subject, "(N, C) and one, two or three axes of space")
    check_floating(input, subject)
    _check_mode(mode, input.ndim - 2, align_corners, antialias)
    sizes, factors = _sizes(input, size, scale_factor, mode == "area" or bool(recompute_scale_factor))
    if recompute_scale_factor is not None:
        check_flags(subject, recompute_scale_factor=recompute_scale_factor)
        if recompute_scale_factor and size is not None:
            raise ArgumentError("expects no recompute_scale_factor with a size, got both", subject=subject)
    if min(input.shape[1:]) == 0:
        raise ShapeError(f"expects cells to resample, got the shape {shape_of(input)}", subject=subject)
    if mode == "area":
        return _AREA[input.ndim - 3](input, sizes)
    if mode.startswith("nearest"):
        return _nearest(input, sizes, factors, mode)
    for axis, (n, m, factor) in enumerate(zip(input.shape[2:], sizes, factors), start=2):
        taps = _taps(n, m, factor, mode, bool(align_corners), antialias)
        input = _resample(input, axis=axis, taps=taps)
    return input


def upsample(
    input: ArrayT,
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> ArrayT:
    """`interpolate` by its older name.

    >>> import numpy as np
    >>> upsample(np.asarray([[[1.0, 3.0]]]), scale_factor=2).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    """
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: ArrayT, size: Size | None = None, scale_factor: Factor | None = None) -> ArrayT:
    """`interpolate` to the nearest cell.

    >>> import numpy as np
    >>> upsample_nearest(np.asarray([[[1.0, 3.0]]]), size=3).tolist()
    [[[1.0, 1.0, 3.0]]]
    """
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: ArrayT, size: Size | None = None, scale_factor: Factor | None = None) -> ArrayT:
    """`interpolate` images bilinearly, with aligned corners.

    >>> import numpy as np
    >>> upsample_bilinear(np.asarray([[[[1.0, 3.0]]]]), size=(1, 3)).tolist()
    [[[[1.0, 2.0, 3.0]]]]
    """
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---- nearest ----


def _nearest(x: Array, sizes: Sequence[int], factors: Sequence[float | None], mode: str) -> Array:
    xp = namespace(x)
    old = tuple(x.shape[2:])
    rounded = float if x.dtype == xp.float64 else _single
    shift = 0.5 if mode == "nearest-exact" else 0.0
    places = [_nearest_cells(n, m, f, shift, rounded) for n, m, f in zip(old, sizes, factors)]
    times = tuple(m // n for n, m in zip(old, sizes))
    if all(r and cells == [i // r for i in range(n * r)] for n, cells, r in zip(old, places, times)):
        return repeat_cells(x, times)
    for axis, cells in enumerate(places, start=2):
        steps = {after - before for before, after in pairwise(cells)}
        if cells == list(range(x.shape[axis])):
            continue
        if len(steps) == 1 and 0 not in steps:  # every so many cells
            part = slice(cells[0], cells[-1] + 1, steps.pop())
            x = x[(*(slice(None),) * axis, part, ...)]
        else:
            x = xp.take(x, xp.asarray(cells, dtype=xp.int64, device=device_of(x)), axis=axis)
    return x


def _nearest_cells(
    n: int, m: int, factor: float | None, shift: float, rounded: Callable[[float], float]
) -> list[int]:
    """The cell that each output cell shows, in the precision of the input, as PyTorch finds it."""
    scale = rounded(n / m if factor is None else 1.0 / factor)
    return [min(int(rounded((i + shift) * scale)), n - 1) for i in range(m)]


def _single(value: float) -> float:
    """The nearest number of single precision."""
    return struct.unpack("f", struct.pack("f", value))[0]


# ---- weighted sums of taps ----


@primitive
def _resample(x: Array, *, axis: int, taps: Taps) -> tuple[Array, tuple]:
    """The weighted sums of the taps along an axis."""
    xp = namespace(x)
    y: Any = None
    for cells, weights in zip(taps.cells, taps.weights):
        part = xp.take(x, _integers(cells, x), axis=axis) * _along(weights, axis, x)
        y = part if y is None else y + part
    return y, ()


@_resample.backward
def _resample_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple[Array]:
    return (_add_to_taps(gy, **options),)


@primitive
def _add_to_taps(gy: Array, *, axis: int, taps: Taps) -> tuple[Array, tuple]:
    """Zeros, to which each weighted gy is added at its taps."""
    xp = namespace(gy)
    parts = [xp.moveaxis(gy * _along(weights, axis, gy), axis, 0) for weights in taps.weights]
    cells = _integers([cell for row in taps.cells for cell in row], gy)
    total = idioms.index_add(xp.concat(parts, axis=0), cells, taps.count)
    return xp.moveaxis(total, 0, axis), ()


@_add_to_taps.backward
def _add_to_taps_backward(ggx: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple[Array]:
    return (_resample(ggx, **options),)


def _along(weights: Sequence[float], axis: int, x: Array) -> Array:
    xp = namespace(x)
    return xp.reshape(
        xp.asarray(weights, dtype=x.dtype, device=device_of(x)), (-1, *(1,) * (x.ndim - 1 - axis))
    )


def _integers(cells: Sequence[int], x: Array) -> Array:
    xp = namespace(x)
    return xp.asarray(cells, dtype=xp.int64, device=device_of(x))


@lru_cache(maxsize=256)
def _taps(n: int, m: int, factor: float | None, mode: str, align_corners: bool, antialias: bool) -> Taps:
    """The taps of an axis of n cells that becomes one of m."""
    if align_corners:
        scale = (n - 1) / (m - 1) if m > 1 else 0.0
    else:
        scale = n / m if factor is None else 1.0 / factor
    if antialias:
        rows = [_antialiased(i, n, scale, mode) for i in range(m)]
    elif n == m and mode in LINEAR:  # not the neighbours: a weight of 0 would make NaN of infinity
        rows = [[(i, 1.0), (i, 0.0)] for i in range(m)]
    else:
        place = _linear if mode in LINEAR else _cubic
        rows = [place(i * scale if align_corners else (i + 0.5) * scale - 0.5, n) for i in range(m)]
    longest = max(len(row) for row in rows)
    for row in rows:
        while len(row) < longest:  # in halves, as a weight of 0 would make NaN of infinity
            cell, weight = row.pop()
            row += [(cell, weight / 2)] * 2
    columns = list(zip(*rows))
    return Taps(
        tuple(tuple(cell for cell, _ in column) for column in columns),
        tuple(tuple(weight for _, weight in column) for column in columns),
        n,
    )


def _linear(place: float, n: int) -> list[tuple[int, float]]:
    """The two cells around a place, the nearer one with the larger weight."""
    place = max(place, 0.0)
    first = min(int(place), n - 1)
    weight = min(max(place - first, 0.0), 1.0)
    return [(first, 1.0 - weight), (min(first + 1, n - 1), weight)]


def _cubic(place: float, n: int) -> list[tuple[int, float]]:
    """The four cells around a place."""
    first = math.floor(place)
    return [(min(max(first + t, 0), n - 1), _cubic_kernel(place - first - t, _CUBIC)) for t in range(-1, 3)]


def _cubic_kernel(distance: float, a: float) -> float:
    """The weight of a cell at a distance, 0 from 2 on; `a` is its slope at 1."""
    d = abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return (((d - 5) * d + 8) * d - 4) * a if d < 2 else 0.0


def _antialiased(i: int, n: int, scale: float, mode: str) -> list[tuple[int, float]]:
    """All cells under the kernel, which is as wide as the output cells are."""
    kernel: Callable[[float], float]
    if mode in LINEAR:
        radius, kernel = 1.0, lambda d: max(1.0 - abs(d), 0.0)
    else:
        radius, kernel = 2.0, lambda d: _cubic_kernel(d, _CUBIC_ANTIALIASED)
    width = max(scale, 1.0)
    centre, reach = scale * (i + 0.5), radius * width
    cells = range(max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), n))
    weights = [kernel((cell - centre + 0.5) / width) for cell in cells]
    total = sum(weights)
    return [(cell, weight / total) for cell, weight in zip(cells, weights)]


# ---- arguments ----


def _check_mode(mode: Any, axes: int, align_corners: Any, antialias: Any) -> None:
    subject = "interpolate"
    if not isinstance(mode, str) or mode not in MODES:
        known = f"{', '.join(map(repr, MODES[:-1]))} or {MODES[-1]!r}"
        raise ArgumentError(f"expects mode to be {known}, got {mode!r}", subject=subject)
    check_flags(subject, antialias=antialias)
    if axes != {**LINEAR, "bicubic": 2}.get(mode, axes):
        raise ArgumentError(
            f"expects a mode for {axes} axes of space, got {mode!r}",
            subject=subject,
            hint="It is 'linear' for one axis, 'bilinear' for two, 'trilinear' for three",
        )
    if align_corners is not None:
        check_flags(subject, align_corners=align_corners)
        if mode in ("nearest", "nearest-exact", "area"):
            raise ArgumentError(
                f"expects no align_corners in mode {mode!r}, got {align_corners!r}", subject=subject
            )
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ArgumentError(
            f"expects mode 'bilinear' or 'bicubic' with antialias, got {mode!r}", subject=subject
        )


def _sizes(
    input: Array, size: Any, scale_factor: Any, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes of the output, and the factors that places follow from, or None where sizes say it."""
    subject, axes = "interpolate", input.ndim - 2
    if (size is None) == (scale_factor is None):
        raise ArgumentError(
            f"expects one of size and scale_factor, got {size!r} and {scale_factor!r}", subject=subject
        )
    if size is not None:
        wanted = tuple_of(size, axes, "size", subject, minimum=1)
        check_fits_memory(wanted, size, "size", subject)
        return wanted, (None,) * axes
    several = isinstance(scale_factor, Sequence) and not isinstance(scale_factor, str | bytes)
    factors = tuple(scale_factor) if several else (scale_factor,) * axes
    factors = tuple(number(factor, "scale_factor", subject) for factor in factors)
    if len(factors) != axes or not all(0 < factor < math.inf for factor in factors):
        raise ArgumentError(
            f"expects scale_factor above 0, one number or {axes}, got {scale_factor!r}", subject=subject
        )
    sizes = tuple(int(n * factor) for n, factor in zip(input.shape[2:], factors))
    check_fits_memory(sizes, scale_factor, "scale_factor", subject)
    if min(sizes) < 1:
        raise ArgumentError(
            f"expects a scale_factor that leaves a cell, got {scale_factor!r} for an input of shape "
            f"{shape_of(input)}",
            subject=subject,
        )
    return sizes, (None,) * axes if recompute else factors
