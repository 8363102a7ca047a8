"""How many values lie in which intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import is_whole, raw_of
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    ShapeError,
    device_of,
    dtype_name,
    idioms,
    namespace,
    size_of,
)
from xpnn.backend.arrays import extremes

__all__ = ["histogram", "histogramdd"]


class Histogram(NamedTuple):
    """What `histogram` returns, and `histogramdd`, which has a vector of edges for each axis."""

    hist: Any
    bin_edges: Any


@front
def histogram(
    input: Any,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Histogram:
    """How many elements lie in each interval, and the edges of the intervals; without a gradient.

    An element on an edge belongs to the interval on its right, on the last edge to the last one.

    Args:
        bins: how many intervals of equal width, or their edges, in ascending order.
        range: the first and the last edge, with a number of bins; None is that of the elements.
        weight: what each element counts, of the input's shape; None is 1.
        density: whether counts are divided by their sum and the width of their interval.

    Raises: DTypeError for whole numbers; ShapeError or ArgumentError for other bins or weights.

    >>> from xpnn.autograd import tensor
    >>> histogram(tensor([1.0, 2.0, 1.0]), 4, range=(0.0, 3.0)).hist
    tensor([0., 2., 1., 0.])
    """
    if is_whole(input):
        raise DTypeError(
            f"expects floating-point numbers, got {dtype_name(input.dtype)}",
            subject="histogram",
            hint="Convert them with .float()",
        )
    raw = raw_of(input)
    xp = namespace(raw)
    flat = xp.reshape(raw, (-1,))
    edges = _edges(flat, bins, range, "histogram")
    count = edges.shape[0] - 1
    weights = xp.ones_like(flat) if weight is None else raw_of(weight)
    if tuple(weights.shape) not in (tuple(raw.shape), tuple(flat.shape)):
        raise ShapeError(
            f"expects a weight for each element of shape {tuple(raw.shape)}, got {tuple(weights.shape)}",
            subject="histogram",
        )
    places, inside = _places(flat, edges)
    counted = xp.astype(xp.reshape(weights, (-1,)), flat.dtype) * xp.astype(inside, flat.dtype)
    hist = idioms.index_add(counted, places, count)
    if density:
        hist = hist / (xp.sum(hist) * (edges[1:] - edges[:-1]))
    return Histogram(new_tensor(hist), new_tensor(edges))


@front
def histogramdd(
    input: Any,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Any = None,
    density: bool = False,
) -> Histogram:
    """How many points lie in each cell of a grid, and the edges of the cells; without a gradient.

    Args:
        input: (..., n), points of n coordinates each.
        bins: how many cells of equal width there are, of all axes or of each; or a vector of edges for each.
        range: the first and the last edge of each axis, one after the other: 2 n numbers.
        weight: what each point counts, of the shape (...); None is 1.
        density: whether counts are divided by their sum and the volume of their cell.

    Returns: the counts, of n axes, and a tuple of n vectors of edges.

    Raises: as `histogram`.

    >>> from xpnn.autograd import tensor
    >>> histogramdd(tensor([[0.0, 0.0], [0.1, 1.0], [1.0, 1.0]]), [2, 2]).hist.tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    if is_whole(input):
        raise DTypeError(
            f"expects floating-point numbers, got {dtype_name(input.dtype)}",
            subject="histogramdd",
            hint="Convert them with .float()",
        )
    if input.ndim < 2:
        raise ShapeError(
            f"expects points of shape (..., n), got the shape {tuple(input.shape)}", subject="histogramdd"
        )
    raw = raw_of(input)
    xp, axes = namespace(raw), input.shape[-1]
    points = xp.reshape(raw, (size_of(raw.shape[:-1]), axes))
    each = list(bins) if isinstance(bins, list | tuple) else [bins] * axes
    limits = [None] * axes if range is None else list(zip(range[::2], range[1::2]))
    if len(each) != axes or len(limits) != axes or (range is not None and len(range) != 2 * axes):
        raise ArgumentError(
            f"expects bins for each of {axes} axes, and two numbers of range for each, got {len(each)} and "
            f"{None if range is None else len(range)}",
            subject="histogramdd",
        )
    edges = [_edges(points[:, i], b, r, "histogramdd") for i, (b, r) in enumerate(zip(each, limits))]
    counts = [e.shape[0] - 1 for e in edges]
    cells = xp.zeros(points.shape[0], dtype=xp.int64, device=device_of(raw))
    within = xp.ones(points.shape[0], dtype=xp.bool, device=device_of(raw))
    for i, count in enumerate(counts):
        places, inside = _places(points[:, i], edges[i])
        cells, within = cells * count + places, within & inside
    weights = xp.ones_like(points[:, 0]) if weight is None else raw_of(weight)
    if size_of(weights.shape) != points.shape[0]:
        raise ShapeError(
            f"expects a weight for each of {points.shape[0]} points, got the shape {tuple(weights.shape)}",
            subject="histogramdd",
        )
    counted = xp.astype(xp.reshape(weights, (-1,)), raw.dtype) * xp.astype(within, raw.dtype)
    hist = xp.reshape(idioms.index_add(counted, cells, math.prod(counts)), tuple(counts))
    if density:
        hist = hist / xp.sum(hist)
        for i, e in enumerate(edges):
            hist = hist / xp.reshape(e[1:] - e[:-1], (-1, *[1] * (axes - 1 - i)))
    return Histogram(new_tensor(hist), tuple(map(new_tensor, edges)))


def _places(values: Any, edges: Any) -> tuple[Any, Any]:
    """The number of the interval of each value, and whether it is in any."""
    xp = namespace(values)
    inside = (values >= edges[0]) & (values <= edges[-1])
    places = xp.searchsorted(edges, xp.where(inside, values, edges[0]), side="right") - 1
    return xp.astype(xp.clip(places, 0, edges.shape[0] - 2), xp.int64), inside


def _edges(flat: Any, bins: Any, limits: tuple[float, float] | None, subject: str) -> Any:
    xp, place = namespace(flat), {"dtype": flat.dtype, "device": device_of(flat)}
    if type(bins) is not int:
        edges = raw_of(bins)
        if getattr(edges, "ndim", 0) != 1 or edges.shape[0] < 2 or limits is not None:
            raise ArgumentError(
                f"expects bins as a number, with a range, or as two edges or more, got {bins!r:.60}",
                subject=subject,
            )
        return edges
    low, high = limits or (extremes(flat) if flat.shape[0] else (0.0, 1.0))
    if bins < 1 or not low <= high:
        raise ArgumentError(
            f"expects bins > 0 and an ascending range, got {bins}, ({low}, {high})", subject=subject
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return xp.linspace(float(low), float(high), bins + 1, **place)
