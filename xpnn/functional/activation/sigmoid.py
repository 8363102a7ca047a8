"""The logistic function and what is made of it: sigmoid, log-sigmoid, tanh and SiLU.

No exponential is taken of a positive number, so that nothing overflows, however large the input. Where the
derivative can be had from the output, only the output is kept.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.backend import ArrayT
from xpnn.functional.activation.pointwise import Pointwise, mask
from xpnn.functional.arguments import check_floating

__all__ = ["logsigmoid", "sigmoid", "silu", "tanh"]


def sigmoid(input: ArrayT) -> ArrayT:
    """Squash into (0, 1): y = 1 / (1 + e^-x).

    Backward: gx = gy y (1 - y). Exact to rounding, also where y is as small as e^-80.

    >>> import numpy as np
    >>> sigmoid(np.asarray([0.0, -1e4])).tolist()
    [0.5, 0.0]
    """
    return _sigmoid(input)


def _logistic(xp: Any, x: Any) -> Any:
    decay = xp.exp(-xp.abs(x))
    # 1 / (1 + e^-x) right of zero, e^x / (1 + e^x) left of it
    return xp.maximum(decay, mask(x >= 0, x)) / (1 + decay)


_sigmoid = Pointwise("sigmoid", value=_logistic, gradient=lambda xp, gy, y: gy * (y * (1 - y)))


def logsigmoid(input: ArrayT) -> ArrayT:
    """The logarithm of the sigmoid: y = -ln(1 + e^-x).

    Backward: gx = gy / (1 + e^x).

    >>> import numpy as np
    >>> logsigmoid(np.asarray([0.0, -1e4])).round(4).tolist()
    [-0.6931, -10000.0]
    """
    return _logsigmoid(input)


_logsigmoid = Pointwise(
    "logsigmoid",
    value=lambda xp, x: xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x))),
    gradient=lambda xp, gy, x: gy * _sigmoid(-x),
)


def tanh(input: ArrayT) -> ArrayT:
    """Squash into (-1, 1): y = (e^x - e^-x) / (e^x + e^-x).

    Backward: gx = gy (1 - y^2).

    >>> import numpy as np
    >>> tanh(np.asarray([0.0, 1e4])).tolist()
    [0.0, 1.0]
    """
    check_floating(input, "tanh")
    return ops.tanh(input)


def silu(input: ArrayT) -> ArrayT:
    """Weigh each number by its own sigmoid, also called swish: y = x s with s = 1 / (1 + e^-x).

    Backward: gx = gy s (1 + x (1 - s)).

    See: Elfwing, Uchibe & Doya (2018), "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".

    >>> import numpy as np
    >>> silu(np.asarray([0.0, 1.0])).round(4).tolist()
    [0.0, 0.7311]
    """
    return _silu(input)


def _silu_gradient(xp: Any, gy: Any, x: Any) -> Any:
    s = _sigmoid(x)
    return gy * (s * (1 + x * (1 - s)))


_silu = Pointwise("silu", value=lambda xp, x: x * _sigmoid(x), gradient=_silu_gradient)
