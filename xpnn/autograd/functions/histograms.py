"""How many values lie in which intervals."""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import is_whole, raw_of
from xpnn.backend import ArgumentError, DTypeError, ShapeError, device_of, dtype_name, idioms, namespace
from xpnn.backend.arrays import extremes

__all__ = ["histogram"]


class Histogram(NamedTuple):
    """What `histogram` returns."""

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
    edges = _edges(flat, bins, range)
    count = edges.shape[0] - 1
    weights = xp.ones_like(flat) if weight is None else raw_of(weight)
    if tuple(weights.shape) not in (tuple(raw.shape), tuple(flat.shape)):
        raise ShapeError(
            f"expects a weight for each element of shape {tuple(raw.shape)}, got {tuple(weights.shape)}",
            subject="histogram",
        )
    inside = (flat >= edges[0]) & (flat <= edges[-1])
    places = xp.searchsorted(edges, xp.where(inside, flat, edges[0]), side="right") - 1
    places = xp.astype(xp.clip(places, 0, count - 1), xp.int64)
    counted = xp.astype(xp.reshape(weights, (-1,)), flat.dtype) * xp.astype(inside, flat.dtype)
    hist = idioms.index_add(counted, places, count)
    if density:
        hist = hist / (xp.sum(hist) * (edges[1:] - edges[:-1]))
    return Histogram(new_tensor(hist), new_tensor(edges))


def _edges(flat: Any, bins: Any, limits: tuple[float, float] | None) -> Any:
    xp, place = namespace(flat), {"dtype": flat.dtype, "device": device_of(flat)}
    if type(bins) is not int:
        edges = raw_of(bins)
        if getattr(edges, "ndim", 0) != 1 or edges.shape[0] < 2 or limits is not None:
            raise ArgumentError(
                f"expects bins as a number, with a range, or as two edges or more, got {bins!r:.60}",
                subject="histogram",
            )
        return edges
    low, high = limits or (extremes(flat) if flat.shape[0] else (0.0, 1.0))
    if bins < 1 or not low <= high:
        raise ArgumentError(
            f"expects bins > 0 and an ascending range, got {bins}, ({low}, {high})", subject="histogram"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    return xp.linspace(float(low), float(high), bins + 1, **place)
