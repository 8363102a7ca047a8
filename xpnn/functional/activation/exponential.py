"""Activations that bend by an exponential: ELU, SELU, CELU and softplus.

No exponential is taken of a positive number, so that nothing overflows, however large the input.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, namespace
from xpnn.functional.activation.rectified import mask
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import check_floating

__all__ = ["celu", "elu", "selu", "softplus"]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


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
    positive = mask(x > 0, x)
    decay = xp.exp(rate * xp.minimum(x, xp.zeros_like(x)))
    return (gy * (scale * positive + (scale * alpha * rate) * (1 - positive) * decay),)


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
    curved = mask(z <= threshold, x)
    return (xp.maximum(z, xp.zeros_like(z)) + curved * xp.log1p(xp.exp(-xp.abs(z)))) / beta, (x,)


@_softplus.backward
def _softplus_backward(gy, saved, needs, *, beta, threshold):
    (x,) = saved
    curved = mask(beta * x <= threshold, x)
    return (gy * (1 - curved + curved * sigmoid(beta * x)),)
