"""Naive oracles that several rows share: windows over any number of spatial axes, one cell at a time.

Arrays are (N, C, *spatial); a size is a number for all spatial axes, or a tuple with one for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Size = int | tuple[int, ...]
Place = tuple[int, ...]


def conv(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> np.ndarray:
    """Y[n, o, i] = b[o] + the sum over c and t of X[n, c, i s + t d - p] W[o, c, t]."""
    axes = x.ndim - 2
    kernel, steps, gaps = w.shape[2:], sizes(stride, axes), sizes(dilation, axes)
    x = np.pad(x, [(0, 0), (0, 0), *pads(padding, x.shape[2:], kernel, steps, gaps)])
    counts = [(c - d * (k - 1) - 1) // s + 1 for c, k, s, d in zip(x.shape[2:], kernel, steps, gaps)]
    per_group_in, per_group_out = w.shape[1], w.shape[0] // groups
    y = np.zeros((x.shape[0], w.shape[0], *counts))
    for n, o, *place in np.ndindex(*y.shape):
        first = o // per_group_out * per_group_in
        for c, *tap in np.ndindex(*w.shape[1:]):
            cell = tuple(i * s + t * d for i, s, t, d in zip(place, steps, tap, gaps))
            y[(n, o, *place)] += x[(n, first + c, *cell)] * w[(o, c, *tap)]
    return y if b is None else y + b.reshape(-1, *[1] * axes)


def conv_transpose(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> np.ndarray:
    """Every cell of the input adds its kernel to the output; the padding is cut off after."""
    axes = x.ndim - 2
    kernel, steps, gaps = w.shape[2:], sizes(stride, axes), sizes(dilation, axes)
    cut, more = sizes(padding, axes), sizes(output_padding, axes)
    full = [
        (c - 1) * s + d * (k - 1) + 1 + e for c, k, s, d, e in zip(x.shape[2:], kernel, steps, gaps, more)
    ]
    per_group_in, per_group_out = x.shape[1] // groups, w.shape[1]
    y = np.zeros((x.shape[0], per_group_out * groups, *full))
    for n, c, *place in np.ndindex(*x.shape):
        first = c // per_group_in * per_group_out
        for o, *tap in np.ndindex(*w.shape[1:]):
            cell = tuple(i * s + t * d for i, s, t, d in zip(place, steps, tap, gaps))
            y[(n, first + o, *cell)] += x[(n, c, *place)] * w[(c, o, *tap)]
    y = y[(..., *(slice(p, size - p) for p, size in zip(cut, full)))]
    return y if b is None else y + b.reshape(-1, *[1] * axes)


def max_pool(
    x: np.ndarray,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The first of the largest cells of each window that lie in the image, and where that is."""
    y, indices = np.zeros(()), np.zeros(())
    for counts, place, window in windows(x, kernel_size, stride, padding, dilation, ceil_mode):
        if y.ndim == 0:
            y = np.full((*x.shape[:2], *counts), -np.inf)
            indices = np.zeros(y.shape, dtype=np.int64)
        for cell in window:
            if inside(cell, x.shape[2:]):
                values, flat = x[(..., *cell)], np.ravel_multi_index(cell, x.shape[2:])
                larger = values > y[(..., *place)]
                indices[(..., *place)] = np.where(larger, flat, indices[(..., *place)])
                y[(..., *place)] = np.where(larger, values, y[(..., *place)])
    return (y, indices) if return_indices else y


def avg_pool(
    x: np.ndarray,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """The sum of each window over the number of its cells that count."""
    y = np.zeros(())
    border = sizes(padding if count_include_pad else 0, x.ndim - 2)
    for counts, place, window in windows(x, kernel_size, stride, padding, 1, ceil_mode):
        if y.ndim == 0:
            y = np.zeros((*x.shape[:2], *counts))
        counted = sum(inside(cell, x.shape[2:], border) for cell in window)
        total = sum(x[(..., *cell)] for cell in window if inside(cell, x.shape[2:]))
        y[(..., *place)] = total / (divisor_override or counted)
    return y


def adaptive_avg_pool(x: np.ndarray, output_size: Any) -> np.ndarray:
    """The mean of each of the windows that cover the image evenly."""
    return adaptive(x, output_size, lambda window: window.mean(axis=-1))


def adaptive_max_pool(x: np.ndarray, output_size: Any, return_indices: bool = False) -> Any:
    """The first of the largest cells of each of these windows, and where that is."""
    y = adaptive(x, output_size, lambda window: window.max(axis=-1))
    if not return_indices:
        return y
    flat = np.broadcast_to(np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:]), x.shape)

    def first_of_largest(window: np.ndarray) -> np.ndarray:
        return np.take_along_axis(window.imag, window.real.argmax(-1)[..., None], -1)[..., 0]

    return y, adaptive(x + 1j * flat, output_size, first_of_largest).astype(np.int64)


def adaptive(x: np.ndarray, output_size: Any, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`function` of each window's cells, which stand along the last axis of (N, C, cells)."""
    spatial = x.shape[2:]
    counts = [count or size for count, size in zip(sizes(output_size, len(spatial)), spatial)]
    results = []
    for place in np.ndindex(*counts):
        window = tuple(
            slice(i * size // count, math.ceil((i + 1) * size / count))
            for i, size, count in zip(place, spatial, counts)
        )
        cells = x[(..., *window)]
        results.append(function(cells.reshape(*x.shape[:2], math.prod(cells.shape[2:]))))
    return np.stack(results, axis=-1).reshape(*x.shape[:2], *counts)


def windows(
    x: np.ndarray, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> Iterator[tuple[list[int], Place, list[Place]]]:
    """The sizes of the output; then for each output cell its place, and the input cells of its window."""
    axes = x.ndim - 2
    kernel = sizes(kernel_size, axes)
    along = list(
        zip(x.shape[2:], kernel, sizes(stride or kernel, axes), sizes(padding, axes), sizes(dilation, axes))
    )
    counts = [window_count(*numbers, ceil_mode) for numbers in along]
    for place in np.ndindex(*counts):
        yield (
            counts,
            place,
            [
                tuple(i * s + t * d - p for i, t, (_, _, s, p, d) in zip(place, tap, along))
                for tap in np.ndindex(*kernel)
            ],
        )


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows lie along an axis; one that would begin in the padding at the end is left out."""
    free = size + 2 * padding - dilation * (kernel - 1) - 1
    count = math.ceil(free / stride) + 1 if ceil_mode else free // stride + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def inside(cell: Place, spatial: Place, border: Place | None = None) -> bool:
    """Whether a cell lies in the image with a border around it."""
    border = border or (0,) * len(cell)
    return all(-p <= i < size + p for i, size, p in zip(cell, spatial, border))


def sizes(value: Any, axes: int) -> tuple[Any, ...]:
    """One size for each spatial axis."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes


def pads(
    padding: Size | str, spatial: Place, kernel: Place, stride: Place, dilation: Place
) -> list[tuple[int, int]]:
    """Cells before and after each spatial axis; "same" makes ceil(size / stride) cells come out."""
    if padding != "same":
        return [(p, p) for p in sizes(0 if padding == "valid" else padding, len(spatial))]
    totals = [
        max((math.ceil(c / s) - 1) * s + d * (k - 1) + 1 - c, 0)
        for c, k, s, d in zip(spatial, kernel, stride, dilation)
    ]
    return [(total // 2, total - total // 2) for total in totals]
