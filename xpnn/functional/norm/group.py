"""Group norm: every group of channels of every sample gets mean 0 and variance 1.

The statistics are outputs, so that the same backward gives the second derivative.
"""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ShapeError, namespace
from xpnn.functional.arguments import check_floating, check_same_dtype, check_shape, shape_of

__all__ = ["group_norm"]


def group_norm(
    input: Array | Tensor,
    num_groups: int,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
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

    Raises: ShapeError if sizes do not fit; ArgumentError if num_groups does not divide the channels.

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
    return _group_norm(input, weight, bias, groups=num_groups, eps=float(eps))[0]


@primitive
def _group_norm(x, w, b, *, groups, eps):
    """y, and the mean and variance of each group, (N, groups)."""
    z = _by_group(x, groups)
    xp = namespace(x)
    mean = xp.mean(z, axis=-1)
    z = z - mean[..., None]
    variance = xp.mean(z * z, axis=-1)
    z *= _inverse_root(variance, eps)[..., None]
    y = xp.reshape(z, x.shape)
    if w is not None:
        y *= _channels(w, x)
    if b is not None:
        y += _channels(b, x)
    return (y, mean, variance), (x, w, mean, variance)


@_group_norm.backward
def _group_norm_backward(gradients, saved, needs, *, groups, eps):
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    xp = namespace(x, w, gy, gmean, gvariance)
    if gy is None:
        gy = xp.zeros_like(x)
    inverse = _inverse_root(variance, eps)[..., None]
    centred = _by_group(x, groups) - mean[..., None]
    h = centred * inverse
    but_channels = (0, *range(2, x.ndim))
    gx = gw = gb = None
    if needs[0]:
        gh = _by_group(gy if w is None else gy * _channels(w, x), groups)
        gx = gh - xp.mean(gh, axis=-1, keepdims=True) - h * xp.mean(gh * h, axis=-1, keepdims=True)
        gx = gx * inverse
        if gmean is not None:
            gx = gx + gmean[..., None] / gx.shape[-1]
        if gvariance is not None:
            gx = gx + centred * (2 * gvariance[..., None] / gx.shape[-1])
        gx = xp.reshape(gx, x.shape)
    if needs[1]:
        gw = xp.sum(gy * xp.reshape(h, x.shape), axis=but_channels)
    if needs[2]:
        gb = xp.sum(gy, axis=but_channels)
    return gx, gw, gb


def _by_group(x: Any, groups: int) -> Any:
    """(N, C, ...) as (N, groups, elements of a group)."""
    return namespace(x).reshape(x, (x.shape[0], groups, prod(x.shape[1:]) // max(groups, 1)))


def _inverse_root(variance: Any, eps: float) -> Any:
    return 1 / namespace(variance).sqrt(variance + eps)


def _channels(v: Any, x: Any) -> Any:
    """A vector of channels, shaped so that it lies along axis 1 of x."""
    return namespace(v).reshape(v, (1, v.shape[0], *(1,) * (x.ndim - 2)))


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
    check_same_dtype(subject, x, weight=weight, bias=bias)
