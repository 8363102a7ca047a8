"""RMS norm: the features of every sample are divided by their root mean square."""

from __future__ import annotations

from collections.abc import Sequence

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, ArrayT, ShapeError, is_half, namespace, refusing
from xpnn.functional.arguments import (
    check_affine_dtype,
    check_eps,
    check_floating,
    check_shape,
    raw_array,
    shape_of,
)
from xpnn.functional.norm.groups import normalise, normalise_backward, trailing

__all__ = ["rms_norm"]


@refusing
def rms_norm(
    input: ArrayT,
    normalized_shape: int | Sequence[int],
    weight: Array | Tensor | None = None,
    eps: float | None = None,
) -> ArrayT:
    """Divide the features of every sample by their root mean square, then scale each feature.

    With the mean square q over the N features of a sample:

        h = x / sqrt(q + eps)        y = weight h        q = mean(x^2)

    Backward, with gh = weight gy, means over the features and sums over the samples:

        gx = (gh - h mean(gh h)) / sqrt(q + eps)        gweight = sum(gy h)

    Args:
        input: (..., *normalized_shape), floating.
        normalized_shape: the trailing axes that are the features of a sample; a number is one axis.
        weight: normalized_shape or None, which is 1.
        eps: keeps the root away from zero; None is the distance from 1 to the next number of the dtype, or of
            float32 for half precision.

    Raises: ShapeError if the input does not end in normalized_shape.

    See: Zhang & Sennrich (2019), "Root mean square layer normalization".

    >>> import numpy as np
    >>> rms_norm(np.asarray([[3.0, 4.0, 5.0]]), 3).round(4).tolist()
    [[0.7348, 0.9798, 1.2247]]
    """
    check_floating(input, "rms_norm")
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"expects an input that ends in the axes {shape}, got one of shape {shape_of(input)}",
            subject="rms_norm",
        )
    check_shape(weight, shape, "rms_norm", "weight")
    check_affine_dtype("rms_norm", input, weight=weight)
    if eps is None:
        raw = raw_array(input)
        xp = namespace(raw)
        eps = float(xp.finfo(xp.float32 if is_half(raw) else raw.dtype).eps)
    return _rms_norm(input, weight, features=len(shape), eps=check_eps(eps, "rms_norm"))[0]


@primitive(statistics=True)
def _rms_norm(x, w, *, features, eps):
    """y, and the mean square of each sample."""
    y, _, square = normalise(x, w, None, trailing(x, features), eps, centre=False)
    return (y, square), (x, w, square)


@_rms_norm.backward
def _rms_norm_backward(gradients, saved, needs, *, features, eps):
    x, w, square = saved
    gy, gsquare = gradients
    both = (gy, None, gsquare)
    return normalise_backward(both, x, w, None, square, trailing(x, features), eps, (*needs, False))[:2]
