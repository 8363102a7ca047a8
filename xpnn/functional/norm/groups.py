"""What batch, layer, group, instance and RMS norm have in common: groups of elements, and one backward.

A group is a set of elements that get mean 0 and variance 1 together. The norms differ in the axes that a
group extends over, and in those that weight and bias lie along. Mean and variance are outputs of each
primitive, so that the same backward gives the second derivative.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from xpnn.autograd.ops.broadcasting import unbroadcast
from xpnn.backend import namespace


class Groups(NamedTuple):
    """How an array falls into groups.

    Attributes:
        shape: the array is looked at in this shape.
        axes: those of `shape` that a group extends over.
        features: the shape in which weight and bias broadcast to `shape`.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    features: tuple[int, ...]

    @property
    def statistics(self) -> tuple[int, ...]:
        """The shape of means and variances beside the array."""
        return tuple([1 if axis in self.axes else size for axis, size in enumerate(self.shape)])

    @property
    def elements(self) -> int:
        """The number of elements of a group, or 1 where it has none: what sums are divided by."""
        return max(prod([self.shape[axis] for axis in self.axes]), 1)

    @property
    def cut(self) -> bool:
        """Whether the elements of a group have different weights."""
        axes_before = len(self.shape) - len(self.features)
        return any(axis >= axes_before and self.features[axis - axes_before] != 1 for axis in self.axes)


def trailing(x: Any, features: int) -> Groups:
    """Groups of the last `features` axes, each of whose elements has a weight of its own."""
    first = x.ndim - features
    return Groups(x.shape, tuple(range(first, x.ndim)), x.shape[first:])


def normalise(
    x: Any, w: Any, b: Any, groups: Groups, eps: float, centre: bool = True
) -> tuple[Any, Any, Any]:
    """y = w (x - mean) / sqrt(variance + eps) + b, the mean, and the variance of each group.

    Without `centre` the mean is None and counts as 0.
    """
    xp = namespace(x)
    z, mean = xp.reshape(x, groups.shape), None
    if centre:
        mean = _sum(z, groups) / groups.elements
        z = z - mean
    variance = _sum(z * z, groups) / groups.elements
    scale = 1 / xp.sqrt(variance + eps)
    weights = None if w is None else xp.reshape(w, groups.features)
    if weights is not None and not groups.cut:
        scale, weights = scale * weights, None
    y = z * scale
    if weights is not None:
        y = y * weights
    if b is not None:
        y = y + xp.reshape(b, groups.features)
    return xp.reshape(y, x.shape), mean, variance


def normalise_backward(
    gradients: tuple, x: Any, w: Any, mean: Any, variance: Any, groups: Groups, eps: float, needs: tuple
) -> tuple[Any, Any, Any]:
    """The gradients of x, w and b from those of y, the mean and the variance, each of which may be None."""
    gy, gmean, gvariance = gradients
    xp = namespace(x)
    z = xp.reshape(x, groups.shape)
    gy = xp.zeros_like(z) if gy is None else xp.reshape(gy, groups.shape)
    mean, variance, gmean, gvariance = [
        None if s is None else xp.reshape(s, groups.statistics) for s in (mean, variance, gmean, gvariance)
    ]
    if mean is not None:
        z = z - mean
    inverse = scale = 1 / xp.sqrt(variance + eps)
    gb, gw = gy, gy * z
    if not groups.cut:  # sums over the groups serve all three gradients
        gb, gw = _sum(gb, groups), _sum(gw, groups)
    total, product = gb, gw
    if w is not None:
        weights = xp.reshape(w, groups.features)
        total, product = total * weights, product * weights
        scale = scale if groups.cut else scale * weights
    gx = None
    if needs[0]:
        # What comes through the statistics is linear in x within a group: shift + slope z.
        gh = gy
        if groups.cut:
            gh, total, product = total, _sum(total, groups), _sum(product, groups)
        slope = product * inverse * inverse * inverse / -groups.elements
        if gvariance is not None:
            slope = slope + gvariance * (2 / groups.elements)
        gx = gh * scale + z * slope
        if mean is not None:
            shift = total * inverse / -groups.elements
            gx = gx + (shift if gmean is None else shift + gmean / groups.elements)
        gx = xp.reshape(gx, x.shape)
    return (
        gx,
        unbroadcast(gw * inverse, groups.features, x.dtype) if needs[1] else None,
        unbroadcast(gb, groups.features, x.dtype) if needs[2] else None,
    )


def _sum(x: Any, groups: Groups) -> Any:
    return namespace(x).sum(x, axis=groups.axes, keepdims=True)
