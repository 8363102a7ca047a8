"""Group norm: every group of channels of every sample gets mean 0 and variance 1."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, namespace, refusing
from xpnn.functional.arguments import (
    check_affine_dtype,
    check_eps,
    check_floating,
    check_shape,
    shape_of,
)
from xpnn.functional.norm.groups import Groups, normalise, normalise_backward

__all__ = ["group_norm"]


@refusing
def group_norm(
    input: ArrayT,
    num_groups: int,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> ArrayT:
    """Give every group of channels of every sample mean 0 and variance 1, then scale and shift each channel.

    With the mean m and the variance v over the M elements of a group:

        h = (x - m) / sqrt(v + eps)        y = weight h + bias

    Backward, with gh = weight gy, means over the group and sums over all but the channels:

        gx = (gh - mean(gh) - h mean(gh h)) / sqrt(v + eps)
        gweight = sum(gy h)        gbias = sum(gy)

    Args:
        input: (N, C, ...), floating.
        num_groups: divides C.
        weight, bias: (C,) or None, which is 1 and 0.
        eps: keeps the root away from zero.

    Deviations whose squares leave the range of numbers (from about 1e19 in float32) have an infinite
    variance, and give 0; PyTorch gives 0 or NaN.

    Raises: ShapeError if sizes do not fit, or for a single sample with one value per group; ArgumentError if
    num_groups does not divide the channels.

    See: Wu & He (2018), "Group normalization".

    >>> import numpy as np
    >>> group_norm(np.asarray([[1.0, 3.0, 5.0, 5.0]]), 2).round(4).tolist()
    [[-1.0, 1.0, 0.0, 0.0]]
    """
    check_channels(input, weight, bias, "group_norm")
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ArgumentError(
            f"expects num_groups that divides the {input.shape[1]} channels, got {num_groups}",
            subject="group_norm",
        )
    if input.shape[0] * (input.shape[1] // num_groups) * prod(input.shape[2:]) == 1:
        raise ShapeError(
            f"expects more than one value per group, got an input of shape {shape_of(input)} "
            f"in {num_groups} groups",
            subject="group_norm",
        )
    return _group_norm(input, weight, bias, groups=num_groups, eps=check_eps(eps, "group_norm"))[0]


@primitive(statistics=True)
def _group_norm(x, w, b, *, groups, eps):
    """y, and the mean and variance of each group, (N, groups)."""
    y, mean, variance = normalise(x, w, b, _of_channels(x, groups), eps)
    xp = namespace(x)
    mean, variance = [xp.reshape(s, (x.shape[0], groups)) for s in (mean, variance)]
    return (y, mean, variance), (x, w, mean, variance)


@_group_norm.backward
def _group_norm_backward(gradients, saved, needs, *, groups, eps):
    x, w, mean, variance = saved
    found = normalise_backward(gradients, x, w, mean, variance, _of_channels(x, groups), eps, needs)
    return tuple(found[:1]) + tuple(flat_channels(g) for g in found[1:])


def _of_channels(x: Any, groups: int) -> Groups:
    """Groups of neighbouring channels of a sample."""
    size, channels = prod(x.shape[2:]), x.shape[1]
    together = channels // max(groups, 1)
    return Groups((x.shape[0], groups, together, size), (2, 3), (groups, together, 1))


def flat_channels(g: Any) -> Any:
    """The gradient of a vector of channels, from the shape that the vector was used in."""
    return None if g is None else namespace(g).reshape(g, (-1,))


def check_channels(x: Any, weight: Any | None, bias: Any | None, subject: str) -> None:
    """Raise unless x is a floating array (N, C, ...), with weight and bias of (C,) or None."""
    check_floating(x, subject)
    if x.ndim < 2:
        raise ShapeError(
            f"expects an input of at least 2 axes (N, C, ...), got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )
    for name, vector in {"weight": weight, "bias": bias}.items():
        check_shape(vector, (x.shape[1],), subject, name, hint=f"The input has {x.shape[1]} channels")
    check_affine_dtype(subject, x, weight=weight, bias=bias)
