"""Regions of feature maps, brought to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    concrete,
    device_of,
    idioms,
    namespace,
    to_numpy,
)
from xpnn.functional.arguments import (
    as_indices,
    check_flags,
    check_floating,
    check_indices,
    check_rank,
    check_same_dtype,
    number,
    pair,
    raw_array,
    shape_of,
    whole,
)

__all__ = ["roi_align"]

_ROOM = 2**23  # numbers that are gathered at once


@half_in_float32
def roi_align(
    input: ArrayT,
    boxes: Array | Tensor | Sequence[Any],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> ArrayT:
    """Cut boxes out of feature maps, each divided into the same number of bins.

    Each bin is the mean of the map at evenly spaced points in it, read bilinearly; a point more than a cell
    outside the map counts as 0. Backward: each cell gets gy times the weight that it had; boxes have no
    gradient.

    Args:
        input: (N, C, H, W), floating.
        boxes: (K, 5) of the map's number and x1, y1, x2, y2, floating; or a list of (L, 4), one for each map.
        output_size: bins in (height, width).
        spatial_scale: the size of the map over that of the image which the boxes are in cells of.
        sampling_ratio: points of a bin along each side; of 0 or less, the cells of a bin's side, rounded up,
            of which the largest number is read on the host.
        aligned: whether cell i's centre is i + 0.5, as it is in the image, rather than i. If not, a box is at
            least one cell wide and high.

    Returns: (K, C, height, width).

    Raises: ShapeError for other shapes; IndexOutOfRangeError for a map that there is not; ArgumentError
        without a sampling_ratio where boxes are not known yet, as under a compiler.

    See: He, Gkioxari, Dollar & Girshick (2017), "Mask R-CNN".

    >>> import numpy as np
    >>> image = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> roi_align(image, [np.asarray([[0.0, 0.0, 4.0, 4.0]])], 2, aligned=True).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    subject = "roi_align"
    check_rank(input, 4, subject, "NCHW")
    check_floating(input, subject)
    check_flags(subject, aligned=aligned)
    bins = pair(output_size, "output_size", subject, minimum=1)
    scale = number(spatial_scale, "spatial_scale", subject)
    ratio = whole(sampling_ratio, "sampling_ratio", subject)
    rois = _rois(input, boxes, subject)
    points = (ratio, ratio) if ratio > 0 else _most_points(boxes, bins, scale, aligned, subject)
    count, _, *size = input.shape
    if 0 in size:
        raise ShapeError(f"expects maps with cells, got the shape {shape_of(input)}", subject=subject)
    numbers = as_indices(rois[:, 0])
    check_indices(numbers, count, subject, "the number of a map in boxes")
    cells: list[Any] = []
    weights: list[Any] = []
    for axis in (0, 1):
        start, length = _extent(rois, axis, scale, aligned)
        each = None if ratio > 0 else _points(length, bins[axis])
        places, parts = _taps(start, length, bins[axis], size[axis], points[axis], each)
        cells.append(places)
        weights.append(parts)
    (rows, columns), (row_weights, column_weights) = cells, weights
    mixed: Any = namespace(input)
    table = mixed.permute_dims(input, (0, 2, 3, 1))
    found = _weighted_cells(table, numbers, rows, row_weights, columns, column_weights)
    return mixed.permute_dims(found, (0, 3, 1, 2))


def _rois(input: Any, boxes: Any, subject: str) -> Any:
    """Boxes with the numbers of their maps before them, a raw array (K, 5) of the input's element type."""
    if isinstance(boxes, list | tuple):
        if len(boxes) != input.shape[0]:
            raise ShapeError(
                f"expects boxes of each of {input.shape[0]} maps, got a list of {len(boxes)}", subject=subject
            )
        parts = []
        for number_, own in enumerate(boxes):
            _check(input, own, 4, subject)
            raw = raw_array(own)
            xp = namespace(raw)
            parts.append(xp.concat([xp.full_like(raw[:, :1], number_), raw], axis=1))
        if not parts:
            raise ShapeError("expects at least one map", subject=subject)
        return namespace(parts[0]).concat(parts, axis=0)
    _check(input, boxes, 5, subject)
    return raw_array(boxes)


def _check(input: Any, boxes: Any, columns: int, subject: str) -> None:
    check_same_dtype(subject, input, boxes=boxes)
    namespace(input, boxes)
    if boxes.ndim != 2 or boxes.shape[1] != columns:
        raise ShapeError(
            f"expects boxes of shape (K, 5), or a list of (L, 4), got {shape_of(boxes)}", subject=subject
        )


def _extent(rois: Any, axis: int, scale: float, aligned: bool) -> tuple[Any, Any]:
    """Where boxes (K, ... x1, y1, x2, y2) start on the map along an axis, and how long they are there."""
    start, end = (rois[:, i] * scale - (0.5 if aligned else 0.0) for i in (-3 - axis, -1 - axis))
    return start, end - start if aligned else namespace(rois).clip(end - start, 1.0)


def _points(length: Any, bins: int) -> Any:
    """The points of a bin: as many as it has cells, rounded up."""
    xp = namespace(length)
    return xp.clip(xp.ceil(length / bins), 0.0)


def _most_points(
    boxes: Any, bins: tuple[int, int], scale: float, aligned: bool, subject: str
) -> tuple[int, int]:
    """The most points of any bin, along both axes; at least 1. Under a compiler no box is known any more."""
    parts = [raw_array(x) for x in (boxes if isinstance(boxes, list | tuple) else [boxes])]
    if not all(concrete(x) for x in parts):
        raise ArgumentError("expects a sampling_ratio above 0 where boxes are not known yet", subject=subject)
    known = [x for x in map(to_numpy, parts) if len(x)]
    if not all(math.isfinite(x.sum()) for x in known):
        raise ArgumentError("expects finite boxes", subject=subject)
    down, across = (
        max([1, *(int(_points(_extent(x, axis, scale, aligned)[1], bins[axis]).max()) for x in known)])
        for axis in (0, 1)
    )
    return down, across


def _taps(start: Any, length: Any, bins: int, size: int, points: int, each: Any) -> tuple[Any, Any]:
    """Along one axis, the cells that each bin reads and their weights, both (K, bins, 2 points).

    Args:
        each: the points of a bin of each box, at most `points`; None is `points` of all.
    """
    xp: Any = namespace(start)
    device = device_of(start)
    each = xp.full_like(length, float(points)) if each is None else xp.clip(each, None, float(points))
    bin_number = xp.arange(bins, dtype=start.dtype, device=device)[:, None]
    point = xp.arange(points, dtype=start.dtype, device=device)
    start, length, each = (x[:, None, None] for x in (start, length, each))
    several = xp.clip(each, 1.0)
    most = 2 * size + 5  # points of a bin on the map, as they are more than half a cell apart
    if points > most:  # of a box that is far larger than the map: those before it are passed over
        step = length / bins / several
        before = (-1.0 - start - bin_number * (length / bins)) / xp.where(step > 0, step, 1.0)
        point = point[:most] + xp.clip(xp.floor(before) - 1.0, 0.0)
    place = start + (bin_number + (point + 0.5) / several) * (length / bins)
    used = (place >= -1.0) & (place <= size) & (point < each)
    place = xp.clip(place, 0.0, float(size - 1))
    first = xp.floor(place)
    second = xp.clip(first + 1.0, None, float(size - 1))
    part = place - first
    weight = xp.astype(used, place.dtype) / several
    cells = xp.concat([first, second], axis=2)
    return as_indices(cells), xp.concat([(1.0 - part) * weight, part * weight], axis=2)


@primitive
def _weighted_cells(table, numbers, rows, row_weights, columns, column_weights):
    """The sum of weights times cells of maps (N, H, W, C): (K, bins, bins, C).

    Cells are read in all pairs of the rows and columns of a bin, (K, bins, taps) both; the weight of a pair
    is the product of theirs.
    """
    xp = namespace(table, row_weights)
    taps = (numbers, rows, row_weights, columns, column_weights)
    flat = xp.reshape(table, (-1, table.shape[3]))
    parts = []
    for part in _parts(rows, columns, table.shape[3]):
        cells, weights = _bags(part, table.shape, *taps)
        found = xp.reshape(xp.take(flat, xp.reshape(cells, (-1,)), axis=0), (*cells.shape, table.shape[3]))
        parts.append(xp.matmul(weights[:, None, :], found)[:, 0, :])
    shape = (rows.shape[0], rows.shape[1], columns.shape[1], table.shape[3])
    return xp.reshape(parts[0] if len(parts) == 1 else xp.concat(parts, axis=0), shape), (table, *taps)


@_weighted_cells.backward
def _weighted_cells_backward(gy, saved, needs):
    table, *taps = saved
    return _spread_cells(gy, *taps, shape=tuple(table.shape)), *[None] * len(taps)


@primitive
def _spread_cells(values, numbers, rows, row_weights, columns, column_weights, *, shape):
    """The transpose of `_weighted_cells`: each cell of the maps sums the values times its weights."""
    xp = namespace(values, row_weights)
    taps = (numbers, rows, row_weights, columns, column_weights)
    table: Any = 0.0
    for part in _parts(rows, columns, shape[3]):
        cells, weights = _bags(part, shape, *taps)
        own = xp.reshape(values[part, ...], (-1, 1, shape[3]))
        spread = xp.reshape(weights[:, :, None] * own, (-1, shape[3]))
        table = table + idioms.index_add(spread, xp.reshape(cells, (-1,)), shape[0] * shape[1] * shape[2])
    return xp.reshape(table, shape), taps


@_spread_cells.backward
def _spread_cells_backward(gy, saved, needs, *, shape):
    return _weighted_cells(gy, *saved), *[None] * len(saved)


def _bags(
    part: slice,
    shape: tuple[int, ...],
    numbers: Any,
    rows: Any,
    row_weights: Any,
    columns: Any,
    column_weights: Any,
) -> tuple[Any, Any]:
    """For each bin of some boxes the numbers of the cells that it reads, and their weights."""
    xp = namespace(rows)
    rows = rows[part, ...] + numbers[part, None, None] * shape[1]
    cells = rows[:, :, None, :, None] * shape[2] + columns[part, None, :, None, :]
    weights = row_weights[part, :, None, :, None] * column_weights[part, None, :, None, :]
    bags = (cells.shape[0] * cells.shape[1] * cells.shape[2], cells.shape[3] * cells.shape[4])
    return xp.reshape(cells, bags), namespace(weights).reshape(weights, bags)


def _parts(rows: Any, columns: Any, channels: int) -> list[slice]:
    """Slices of the boxes, such that what is gathered for one is of bounded size."""
    count, bins, taps = rows.shape
    step = max(1, _ROOM // max(bins * taps * columns.shape[1] * columns.shape[2] * channels, 1))
    return [slice(start, min(start + step, count)) for start in range(0, max(count, 1), step)]
