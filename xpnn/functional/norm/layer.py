"""Layer norm: the features of every sample get mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, ArrayT, ShapeError, refusing
from xpnn.functional.arguments import (
    check_affine_dtype,
    check_eps,
    check_floating,
    check_shape,
    shape_of,
)
from xpnn.functional.norm.groups import normalise, normalise_backward, trailing

__all__ = ["layer_norm"]


@refusing
def layer_norm(
    input: ArrayT,
    normalized_shape: int | Sequence[int],
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> ArrayT:
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

    Deviations whose squares leave the range of numbers (from about 1e19 in float32) have an infinite
    variance, and give 0; PyTorch gives 0 or NaN.

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
    check_affine_dtype("layer_norm", input, weight=weight, bias=bias)
    return _layer_norm(input, weight, bias, features=len(shape), eps=check_eps(eps, "layer_norm"))[0]


@primitive(statistics=True)
def _layer_norm(x, w, b, *, features, eps):
    """Normalise the last `features` axes; the statistics are outputs as well."""
    y, mean, variance = normalise(x, w, b, trailing(x, features), eps)
    return (y, mean, variance), (x, w, mean, variance)


@_layer_norm.backward
def _layer_norm_backward(gradients, saved, needs, *, features, eps):
    x, w, mean, variance = saved
    return normalise_backward(gradients, x, w, mean, variance, trailing(x, features), eps, needs)
