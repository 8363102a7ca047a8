"""Rectifiers, which treat what is negative another way: ReLU, leaky, randomized and parametric ReLU."""

from __future__ import annotations

from math import inf
from typing import Any

from xpnn.autograd import Tensor, ops, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, is_integer, namespace, random
from xpnn.functional.activation.pointwise import Pointwise, mask
from xpnn.functional.arguments import (
    check_flags,
    check_floating,
    check_rank,
    check_same_dtype,
    number,
    raw_array,
    shape_of,
)
from xpnn.functional.inplace import in_place, in_place_of

__all__ = [
    "leaky_relu",
    "leaky_relu_",
    "prelu",
    "relu",
    "relu_",
    "rrelu",
    "rrelu_",
    "threshold",
    "threshold_",
]


def relu(input: ArrayT, inplace: bool = False) -> ArrayT:
    """Cut off what is negative: y = max(x, 0).

    Backward: gx = gy where y > 0, else 0. NaN passes both ways. With `inplace` a Tensor `input` takes
    the result.

    See: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".

    >>> import numpy as np
    >>> relu(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if not is_integer(input):
        check_floating(input, "relu")
    y = ops.relu(input)
    return y if inplace is False else in_place_of(input, y, inplace, "relu")


relu_ = in_place(relu)


def leaky_relu(input: ArrayT, negative_slope: float = 0.01, inplace: bool = False) -> ArrayT:
    """Flatten what is negative: y = x where x > 0, else negative_slope x.

    Backward: gx = gy where x > 0, else negative_slope gy. With `inplace` a Tensor `input` takes the result.

    See: Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".

    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.0, 2.0]), 0.1).tolist()
    [-0.1, 2.0]
    """
    y = _leaky_relu(input, slope=number(negative_slope, "negative_slope", "leaky_relu"))
    return in_place_of(input, y, inplace, "leaky_relu")


leaky_relu_ = in_place(leaky_relu)


def _leaky(xp: Any, x: Any, *, slope: float) -> Any:
    larger = xp.maximum if slope <= 1 else xp.minimum
    return larger(x, slope * x if slope else xp.zeros_like(x))  # 0 times infinity is NaN


_leaky_relu = Pointwise(
    "leaky_relu",
    value=_leaky,
    gradient=lambda xp, gy, x, *, slope: _leaky_gradient(gy, x, slope),
    flat=True,
)


def _leaky_gradient(gy: Any, x: Any, slope: float) -> Any:
    if -1 <= slope <= 1:
        return gy * (slope + (1 - slope) * mask(x > 0, x))
    return select(x > 0, gy) + select(~(x > 0), slope * gy)  # of a large slope the sum would lose the 1


def rrelu(
    input: ArrayT,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> ArrayT:
    """Flatten what is negative by a random slope: y = x where x > 0, else a x.

    In training every element has its own a, drawn evenly from [lower, upper) by the next numbers of
    `xpnn.random.default_stream()`: the same on every backend. Else a = (lower + upper) / 2.

    Backward: gx = gy where x > 0, else a gy. With `inplace` a Tensor `input` takes the result.

    Raises: ArgumentError unless lower <= upper, both finite.

    See: Xu, Wang, Chen & Li (2015), "Empirical evaluation of rectified activations in convolutional network".

    >>> import numpy as np
    >>> rrelu(np.asarray([-1.0, 2.0]), 0.25, 0.75).tolist()
    [-0.5, 2.0]
    """
    check_floating(input, "rrelu")
    check_flags("rrelu", training=training)
    lower, upper = number(lower, "lower", "rrelu"), number(upper, "upper", "rrelu")
    if not -inf < lower <= upper < inf:
        raise ArgumentError(f"expects finite lower <= upper, got {lower} and {upper}", subject="rrelu")
    if training:
        drawn = random.default_stream().uniform(tuple(input.shape), raw_array(input))
        y = _rrelu(input, lower + (upper - lower) * drawn)
    else:
        y = _leaky_relu(input, slope=(lower + upper) / 2)
    return in_place_of(input, y, inplace, "rrelu")


rrelu_ = in_place(rrelu)


@half_in_float32
def _rrelu(x: Any, slopes: Any) -> Any:
    slopes = namespace(slopes).astype(slopes, raw_array(x).dtype)
    return select(x > 0, x) + select(~(x > 0), x * slopes)


def threshold(input: ArrayT, threshold: float, value: float, inplace: bool = False) -> ArrayT:
    """Replace what is not above a threshold: y = x where x > threshold, else value.

    Backward: gx = gy where x > threshold, else 0. NaN passes both ways. With `inplace` a Tensor `input` takes
    the result.

    >>> import numpy as np
    >>> threshold(np.asarray([-1.0, 0.5, 2.0]), 0.5, 9.0).tolist()
    [9.0, 9.0, 2.0]
    """
    threshold, value = number(threshold, "threshold", "threshold"), number(value, "value", "threshold")
    return in_place_of(input, _threshold(input, least=threshold, value=value), inplace, "threshold")


threshold_ = in_place(threshold)


_threshold = Pointwise(
    "threshold",
    value=lambda xp, x, *, least, value: xp.where(x <= least, xp.full_like(x, value), x),
    gradient=lambda xp, gy, x, *, least, value: select(~(x <= least), gy),
    half=True,
    flat=True,
)


def prelu(input: ArrayT, weight: Array | Tensor) -> ArrayT:
    """Flatten what is negative by a learned slope: y = x where x > 0, else weight x.

    Backward, the second sum over all elements that share a slope:

        gx = gy where x > 0, else weight gy        gweight = sum gy min(x, 0)

    Args:
        input: (N, C, ...), or of fewer axes, floating.
        weight: (C,), a slope per channel; (1,) or (), one for all.

    Raises: ShapeError if there are neither one nor C slopes; DTypeError for two element types.

    See: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers".

    >>> import numpy as np
    >>> prelu(np.asarray([[-1.0, -1.0]]), np.asarray([0.5, 0.25])).tolist()
    [[-0.5, -0.25]]
    """
    check_floating(input, "prelu")
    check_same_dtype("prelu", input, weight=weight)
    check_rank(weight, (0, 1), "prelu", "channels", "weight")
    if weight.ndim == 0:
        weight = namespace(weight).expand_dims(weight, axis=0)
    if input.ndim == 0:
        xp = namespace(input)
        return xp.reshape(prelu(xp.reshape(input, (1,)), weight), ())
    slopes = weight.shape[0]
    channels = input.shape[1] if input.ndim > 1 else 1
    if slopes not in (1, channels):
        raise ShapeError(
            f"expects 1 or {channels} slopes for an input of shape {shape_of(input)}, got {slopes}",
            subject="prelu",
        )
    return _prelu(input, weight)


@primitive(flat=True)
def _prelu(x, w):
    return _bent(x > 0, x, w), (x, w)


@_prelu.backward
def _prelu_backward(gy, saved, needs):
    x, w = saved
    xp = namespace(gy, x, w)
    gw = None
    if needs[1]:
        shared = tuple(axis for axis in range(x.ndim) if axis != 1 or w.shape[0] == 1)
        left = select(~(x > 0), gy) * xp.minimum(x, xp.zeros_like(x))
        gw = xp.reshape(xp.sum(left, axis=shared), w.shape)
    return _bent(x > 0, gy, w) if needs[0] else None, gw


def _bent(positive: Any, x: Any, w: Any) -> Any:
    """x where `positive`, else w x."""
    slopes = namespace(w).reshape(w, (1, -1, *(1,) * (x.ndim - 2))) if x.ndim > 1 else w
    return select(positive, x) + select(~positive, slopes * x)
