"""Activations that bend by an exponential: ELU, SELU, CELU and softplus.

No exponential is taken of a positive number, so that nothing overflows, however large the input.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError, ArrayT
from xpnn.functional.activation.pointwise import Pointwise
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import number
from xpnn.functional.inplace import in_place, in_place_of

__all__ = ["celu", "celu_", "elu", "elu_", "selu", "selu_", "softplus"]

_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def elu(input: ArrayT, alpha: float = 1.0, inplace: bool = False) -> ArrayT:
    """Let what is negative approach -alpha: y = x where x > 0, else alpha (e^x - 1).

    Backward: gx = gy where x > 0, else alpha e^x gy. With `inplace` a Tensor `input` takes the result.

    See: Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network learning by exponential
    linear units (ELUs)".

    >>> import numpy as np
    >>> elu(np.asarray([-1.0, 2.0])).round(4).tolist()
    [-0.6321, 2.0]
    """
    y = _elu(input, alpha=number(alpha, "alpha", "elu"), scale=1.0, rate=1.0)
    return in_place_of(input, y, inplace, "elu")


def selu(input: ArrayT, inplace: bool = False) -> ArrayT:
    """ELU with the alpha = 1.6733 and scale = 1.0507 that keep mean 0 and variance 1 through deep nets.

    y = scale x where x > 0, else scale alpha (e^x - 1). Backward: gx = scale gy where x > 0, else
    scale alpha e^x gy. With `inplace` a Tensor `input` takes the result.

    See: Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks".

    >>> import numpy as np
    >>> selu(np.asarray([-1.0, 1.0])).round(4).tolist()
    [-1.1113, 1.0507]
    """
    y = _selu(input, alpha=_SELU_ALPHA, scale=_SELU_SCALE, rate=1.0)
    return in_place_of(input, y, inplace, "selu")


def celu(input: ArrayT, alpha: float = 1.0, inplace: bool = False) -> ArrayT:
    """ELU with a continuous derivative: y = x where x > 0, else alpha (e^(x / alpha) - 1).

    Backward: gx = gy where x > 0, else e^(x / alpha) gy. With `inplace` a Tensor `input` takes the result.

    Raises: ArgumentError unless alpha > 0.

    See: Barron (2017), "Continuously differentiable exponential linear units".

    >>> import numpy as np
    >>> celu(np.asarray([-2.0, 2.0]), alpha=2.0).round(4).tolist()
    [-1.2642, 2.0]
    """
    alpha = number(alpha, "alpha", "celu")
    if not alpha > 0:
        raise ArgumentError(f"expects a positive alpha, got {alpha}", subject="celu")
    return in_place_of(input, _celu(input, alpha=alpha, scale=1.0, rate=1.0 / alpha), inplace, "celu")


def _decaying(xp: Any, x: Any, *, alpha: float, scale: float, rate: float) -> Any:
    decay = (scale * alpha) * xp.expm1(rate * xp.minimum(x, xp.zeros_like(x)))
    return xp.where(x >= 0, scale * x, decay)  # 0 at 0, even of an infinite alpha


def _decaying_gradient(xp: Any, gy: Any, x: Any, *, alpha: float, scale: float, rate: float) -> Any:
    decay = xp.exp(rate * xp.minimum(x, xp.zeros_like(x)))
    return gy * xp.where(x > 0, xp.full_like(x, scale), (scale * alpha * rate) * decay)


_elu, _selu, _celu = (Pointwise(name, _decaying, _decaying_gradient) for name in ("elu", "selu", "celu"))


elu_, selu_, celu_ = in_place(elu), in_place(selu), in_place(celu)


def softplus(input: ArrayT, beta: float = 1.0, threshold: float = 20.0) -> ArrayT:
    """A smooth ReLU: y = ln(1 + e^(beta x)) / beta, and y = x where beta x > threshold.

    Backward: gx = gy / (1 + e^(-beta x)), and gx = gy where beta x > threshold.

    See: Dugas, Bengio, Bélisle, Nadeau & Garcia (2001), "Incorporating second-order functional knowledge
    for better option pricing".

    >>> import numpy as np
    >>> softplus(np.asarray([0.0, 1e4])).round(4).tolist()
    [0.6931, 10000.0]
    """
    beta, threshold = number(beta, "beta", "softplus"), number(threshold, "threshold", "softplus")
    if not beta > 0:
        raise ArgumentError(f"expects a positive beta, got {beta}", subject="softplus")
    return _softplus(input, beta=beta, threshold=threshold)


def _smooth(xp: Any, x: Any, *, beta: float, threshold: float) -> Any:
    z = beta * x
    return xp.where(z > threshold, x, (xp.maximum(z, xp.zeros_like(z)) + xp.log1p(xp.exp(-xp.abs(z)))) / beta)


_softplus = Pointwise(
    "softplus",
    value=_smooth,
    gradient=lambda xp, gy, x, *, beta, threshold: xp.where(beta * x > threshold, gy, gy * sigmoid(beta * x)),
)
