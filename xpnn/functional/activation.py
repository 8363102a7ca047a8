"""Activation functions, each element on its own.

All of them are stable: no exponential is taken of a positive number, so that nothing overflows in
float32, however large the input. Where the derivative can be had from the output, only the output is kept.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ShapeError, namespace, special
from xpnn.functional.arguments import check_floating, check_rank, shape_of

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def relu(input: Array | Tensor) -> Any:
    """Cut off what is negative: y = max(x, 0).

    Backward: gx = gy where y > 0, else 0.

    See: Nair & Hinton (2010), "Rectified linear units improve restricted Boltzmann machines".

    >>> import numpy as np
    >>> relu(np.asarray([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    check_floating(input, "relu")
    return _relu(input)


@primitive
def _relu(x):
    xp = namespace(x)
    y = xp.maximum(x, xp.zeros_like(x))  # with an array of zeros: twice as fast in NumPy as with a number
    return y, (y,)


@_relu.backward
def _relu_backward(gy, saved, needs):
    (y,) = saved
    return (gy * _mask(y > 0, y),)


def leaky_relu(input: Array | Tensor, negative_slope: float = 0.01) -> Any:
    """Flatten what is negative: y = x where x > 0, else negative_slope x.

    Backward: gx = gy where x > 0, else negative_slope gy.

    See: Maas, Hannun & Ng (2013), "Rectifier nonlinearities improve neural network acoustic models".

    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.0, 2.0]), 0.1).tolist()
    [-0.1, 2.0]
    """
    check_floating(input, "leaky_relu")
    return _leaky_relu(input, negative_slope=float(negative_slope))


@primitive
def _leaky_relu(x, *, negative_slope):
    xp = namespace(x)
    larger = xp.maximum if negative_slope <= 1 else xp.minimum
    return larger(x, negative_slope * x), (x,)


@_leaky_relu.backward
def _leaky_relu_backward(gy, saved, needs, *, negative_slope):
    (x,) = saved
    return (gy * _step(x, negative_slope),)


def prelu(input: Array | Tensor, weight: Array | Tensor) -> Any:
    """Flatten what is negative by a learned slope: y = x where x > 0, else weight x.

    Backward, the second sum over all elements that share a slope:

        gx = gy where x > 0, else weight gy        gweight = sum gy min(x, 0)

    Args:
        input: (N, C, ...), floating.
        weight: (C,), a slope per channel, or (1,), one for all.

    Raises: ShapeError if there are neither one nor C slopes.

    See: He, Zhang, Ren & Sun (2015), "Delving deep into rectifiers".

    >>> import numpy as np
    >>> prelu(np.asarray([[-1.0, -1.0]]), np.asarray([0.5, 0.25])).tolist()
    [[-0.5, -0.25]]
    """
    check_floating(input, "prelu")
    check_rank(weight, 1, "prelu", "channels", "weight")
    slopes = weight.shape[0]
    channels = input.shape[1] if input.ndim > 1 else 1
    if slopes not in (1, channels):
        raise ShapeError(
            f"expects 1 or {channels} slopes for an input of shape {shape_of(input)}, got {slopes}",
            subject="prelu",
        )
    return _prelu(input, weight)


@primitive
def _prelu(x, w):
    xp = namespace(x)
    zeros = xp.zeros_like(x)
    return xp.maximum(x, zeros) + _along_channels(w, x) * xp.minimum(x, zeros), (x, w)


@_prelu.backward
def _prelu_backward(gy, saved, needs):
    x, w = saved
    xp = namespace(gy, x, w)
    positive = _mask(x > 0, x)
    gx = gw = None
    if needs[0]:
        gx = gy * (positive + (1 - positive) * _along_channels(w, x))
    if needs[1]:
        shared = tuple(axis for axis in range(x.ndim) if axis != 1 or w.shape[0] == 1)
        gw = xp.reshape(xp.sum(gy * x * (1 - positive), axis=shared), w.shape)
    return gx, gw


def elu(input: Array | Tensor, alpha: float = 1.0) -> Any:
    """Let what is negative approach -alpha: y = x where x > 0, else alpha (e^x - 1).

    Backward: gx = gy where x > 0, else alpha e^x gy.

    See: Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network learning by exponential
    linear units (ELUs)".

    >>> import numpy as np
    >>> elu(np.asarray([-1.0, 2.0])).round(4).tolist()
    [-0.6321, 2.0]
    """
    check_floating(input, "elu")
    return _elu(input, alpha=float(alpha), scale=1.0, rate=1.0)


def selu(input: Array | Tensor) -> Any:
    """ELU with the alpha = 1.6733 and scale = 1.0507 that keep mean 0 and variance 1 through deep nets.

    y = scale x where x > 0, else scale alpha (e^x - 1). Backward: gx = scale gy where x > 0, else
    scale alpha e^x gy.

    See: Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks".

    >>> import numpy as np
    >>> selu(np.asarray([-1.0, 1.0])).round(4).tolist()
    [-1.1113, 1.0507]
    """
    check_floating(input, "selu")
    return _elu(input, alpha=_SELU_ALPHA, scale=_SELU_SCALE, rate=1.0)


def celu(input: Array | Tensor, alpha: float = 1.0) -> Any:
    """ELU with a continuous derivative: y = x where x > 0, else alpha (e^(x / alpha) - 1).

    Backward: gx = gy where x > 0, else e^(x / alpha) gy.

    Raises: ArgumentError unless alpha > 0.

    See: Barron (2017), "Continuously differentiable exponential linear units".

    >>> import numpy as np
    >>> celu(np.asarray([-2.0, 2.0]), alpha=2.0).round(4).tolist()
    [-1.2642, 2.0]
    """
    check_floating(input, "celu")
    if not alpha > 0:
        raise ArgumentError(f"expects a positive alpha, got {alpha}", subject="celu")
    return _elu(input, alpha=float(alpha), scale=1.0, rate=1.0 / alpha)


@primitive
def _elu(x, *, alpha, scale, rate):
    xp = namespace(x)
    zeros = xp.zeros_like(x)
    decay = xp.expm1(rate * xp.minimum(x, zeros))  # 0 where x > 0, so that the two parts just add up
    return scale * xp.maximum(x, zeros) + (scale * alpha) * decay, (x,)


@_elu.backward
def _elu_backward(gy, saved, needs, *, alpha, scale, rate):
    (x,) = saved
    xp = namespace(gy, x)
    positive = _mask(x > 0, x)
    decay = xp.exp(rate * xp.minimum(x, xp.zeros_like(x)))
    return (gy * (scale * positive + (scale * alpha * rate) * (1 - positive) * decay),)


def sigmoid(input: Array | Tensor) -> Any:
    """Squash into (0, 1): y = 1 / (1 + e^-x).

    Backward: gx = gy y (1 - y). Exact to rounding, also where y is as small as e^-80.

    >>> import numpy as np
    >>> sigmoid(np.asarray([0.0, -1e4])).tolist()
    [0.5, 0.0]
    """
    check_floating(input, "sigmoid")
    return _sigmoid(input)


@primitive
def _sigmoid(x):
    xp = namespace(x)
    decay = xp.exp(-xp.abs(x))
    # 1 / (1 + e^-x) right of zero, e^x / (1 + e^x) left of it
    y = xp.maximum(decay, _mask(x >= 0, x)) / (1 + decay)
    return y, (y,)


@_sigmoid.backward
def _sigmoid_backward(gy, saved, needs):
    (y,) = saved
    return (gy * (y * (1 - y)),)


def logsigmoid(input: Array | Tensor) -> Any:
    """The logarithm of the sigmoid: y = -ln(1 + e^-x).

    Backward: gx = gy / (1 + e^x).

    >>> import numpy as np
    >>> logsigmoid(np.asarray([0.0, -1e4])).round(4).tolist()
    [-0.6931, -10000.0]
    """
    check_floating(input, "logsigmoid")
    return _logsigmoid(input)


@primitive
def _logsigmoid(x):
    xp = namespace(x)
    return xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x))), (x,)


@_logsigmoid.backward
def _logsigmoid_backward(gy, saved, needs):
    (x,) = saved
    return (gy * _sigmoid(-x),)


def softplus(input: Array | Tensor, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """A smooth ReLU: y = ln(1 + e^(beta x)) / beta, and y = x where beta x > threshold.

    Backward: gx = gy / (1 + e^(-beta x)), and gx = gy where beta x > threshold.

    See: Dugas, Bengio, Bélisle, Nadeau & Garcia (2001), "Incorporating second-order functional knowledge
    for better option pricing".

    >>> import numpy as np
    >>> softplus(np.asarray([0.0, 1e4])).round(4).tolist()
    [0.6931, 10000.0]
    """
    check_floating(input, "softplus")
    if not beta > 0:
        raise ArgumentError(f"expects a positive beta, got {beta}", subject="softplus")
    return _softplus(input, beta=float(beta), threshold=float(threshold))


@primitive
def _softplus(x, *, beta, threshold):
    xp = namespace(x)
    z = beta * x
    curved = _mask(z <= threshold, x)
    return (xp.maximum(z, xp.zeros_like(z)) + curved * xp.log1p(xp.exp(-xp.abs(z)))) / beta, (x,)


@_softplus.backward
def _softplus_backward(gy, saved, needs, *, beta, threshold):
    (x,) = saved
    curved = _mask(beta * x <= threshold, x)
    return (gy * (1 - curved + curved * _sigmoid(beta * x)),)


def tanh(input: Array | Tensor) -> Any:
    """Squash into (-1, 1): y = (e^x - e^-x) / (e^x + e^-x).

    Backward: gx = gy (1 - y^2).

    >>> import numpy as np
    >>> tanh(np.asarray([0.0, 1e4])).tolist()
    [0.0, 1.0]
    """
    check_floating(input, "tanh")
    return _tanh(input)


@primitive
def _tanh(x):
    y = namespace(x).tanh(x)
    return y, (y,)


@_tanh.backward
def _tanh_backward(gy, saved, needs):
    (y,) = saved
    return (gy * (1 - y * y),)


def silu(input: Array | Tensor) -> Any:
    """Weigh each number by its own sigmoid, also called swish: y = x s with s = 1 / (1 + e^-x).

    Backward: gx = gy s (1 + x (1 - s)).

    See: Elfwing, Uchibe & Doya (2018), "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".

    >>> import numpy as np
    >>> silu(np.asarray([0.0, 1.0])).round(4).tolist()
    [0.0, 0.7311]
    """
    check_floating(input, "silu")
    return _silu(input)


@primitive
def _silu(x):
    return x * _sigmoid(x), (x,)


@_silu.backward
def _silu_backward(gy, saved, needs):
    (x,) = saved
    s = _sigmoid(x)
    return (gy * (s * (1 + x * (1 - s))),)


def gelu(input: Array | Tensor, approximate: str = "none") -> Any:
    """Weigh each number by the chance that a standard normal variable is smaller: y = x Phi(x).

    Backward: gx = gy (Phi(x) + x phi(x)), with the density phi(x) = e^(-x^2 / 2) / sqrt(2 pi).

    Args:
        input: floating, any shape.
        approximate: "none" computes Phi to the last digits of the input's dtype; "tanh" takes
            Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which is off by up to 5e-4.

    Raises: ArgumentError for another `approximate`.

    See: Hendrycks & Gimpel (2016), "Gaussian error linear units (GELUs)".

    >>> import numpy as np
    >>> gelu(np.asarray([-1.0, 1.0])).round(4).tolist()
    [-0.1587, 0.8413]
    """
    check_floating(input, "gelu")
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise ArgumentError(f"expects approximate='none' or 'tanh', got {approximate!r}", subject="gelu")


@primitive
def _gelu(x):
    cdf = _normal_cdf(x)
    return x * cdf, (x, cdf)  # cdf is kept: it costs more than all the rest


@_gelu.backward
def _gelu_backward(gy, saved, needs):
    x, cdf = saved
    return (gy * (cdf + x * _normal_density(x)),)


@primitive
def _normal_cdf(x):
    return special.normal_cdf(x), (x,)


@_normal_cdf.backward
def _normal_cdf_backward(gy, saved, needs):
    (x,) = saved
    return (gy * _normal_density(x),)


def _normal_density(x: Any) -> Any:
    return math.sqrt(0.5 / math.pi) * namespace(x).exp(-0.5 * (x * x))


@primitive
def _gelu_tanh(x):
    return 0.5 * x * (1 + namespace(x).tanh(_gelu_argument(x))), (x,)


@_gelu_tanh.backward
def _gelu_tanh_backward(gy, saved, needs):
    (x,) = saved
    t = _tanh(_gelu_argument(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (x * x))
    return (gy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope),)


def _gelu_argument(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))


def _mask(condition: Any, like: Any) -> Any:
    """1.0 where the condition holds, else 0.0; multiplying by it is far faster in NumPy than `where`."""
    return namespace(condition).astype(condition, like.dtype)


def _step(x: Any, low: float) -> Any:
    """1.0 where x > 0, else `low`."""
    return low + (1 - low) * _mask(x > 0, x)


def _along_channels(w: Any, x: Any) -> Any:
    """A vector of channels, shaped so that it lies along axis 1 of x."""
    return namespace(w).reshape(w, (1, -1, *(1,) * (x.ndim - 2))) if x.ndim > 1 else w
