"""Layer norm: the features of every sample get mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, ShapeError, namespace
from xpnn.functional.arguments import check_floating, check_same_dtype, check_shape, shape_of

__all__ = ["layer_norm"]


def layer_norm(
    input: Array | Tensor,
    normalized_shape: int | Sequence[int],
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Give the features of every sample mean 0 and variance 1, then scale and shift each feature.

    With the mean m and the variance v over the N features of a sample:

        h = (x - m) / sqrt(v + eps)        y = weight h + bias

    Backward, with gh = weight gy, means over the features and sums over the samples:

        gx = (gh - mean(gh) - h mean(gh h)) / sqrt(v + eps)
        gweight = sum(gy h)        gbias = sum(gy)

    Args:
        input: (..., *normalized_shape), floating.
        normalized_shape: the trailing axes that are the features of a sample; a number is one axis.
        weight, bias: normalized_shape or None, which is 1 and 0.
        eps: keeps the root away from zero.

    Raises: ShapeError if the input does not end in normalized_shape.

    See: Ba, Kiros & Hinton (2016), "Layer normalization".

    >>> import numpy as np
    >>> layer_norm(np.asarray([[1.0, 3.0]]), 2).round(4).tolist()
    [[-1.0, 1.0]]
    """
    check_floating(input, "layer_norm")
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"expects an input that ends in the axes {shape}, got one of shape {shape_of(input)}",
            subject="layer_norm",
        )
    check_shape(weight, shape, "layer_norm", "weight")
    check_shape(bias, shape, "layer_norm", "bias")
    check_same_dtype("layer_norm", input, weight=weight, bias=bias)
    return _layer_norm(input, weight, bias, features=len(shape), eps=float(eps))[0]


@primitive
def _layer_norm(x, w, b, *, features, eps):
    """Normalise the last `features` axes; the statistics are outputs as well."""
    mean = _mean_over_features(x, features)
    y = x - mean
    variance = _mean_over_features(y * y, features)
    y *= _scale(variance, None, eps)
    if w is not None:
        y *= w
    if b is not None:
        y += b
    return (y, mean, variance), (x, w, mean, variance)


@_layer_norm.backward
def _layer_norm_backward(gradients, saved, needs, *, features, eps):
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    xp = namespace(x, w, gy)
    if gy is None:
        gy = xp.zeros_like(x)
    samples = tuple(range(x.ndim - features))
    scale = _scale(variance, None, eps)
    h = (x - mean) * scale
    gx = gw = gb = None
    if needs[0]:
        gh = gy if w is None else gy * w
        gx = gh - _mean_over_features(gh, features) - h * _mean_over_features(gh * h, features)
        gx = gx * scale
        count = max(prod(x.shape[-features:]), 1)
        if gmean is not None:
            gx = gx + gmean / count
        if gvariance is not None:
            gx = gx + (x - mean) * (2 * gvariance / count)
    if needs[1]:
        gw = xp.sum(gy * h, axis=samples)
    if needs[2]:
        gb = xp.sum(gy, axis=samples)
    return gx, gw, gb


def _scale(variance: Any, w: Any, eps: float) -> Any:
    """w / sqrt(variance + eps): what a centred value is multiplied by."""
    scale = 1 / namespace(variance).sqrt(variance + eps)
    return scale if w is None else w * scale


def _mean_over_features(x: Any, features: int) -> Any:
    return namespace(x).mean(x, axis=tuple(range(x.ndim - features, x.ndim)), keepdims=True)
