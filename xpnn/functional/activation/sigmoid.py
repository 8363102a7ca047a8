"""The logistic function and its kin: sigmoid, log-sigmoid, tanh, softsign, SiLU and Mish.

No exponential is taken of a positive number, so that nothing overflows, however large the input. Where the
derivative can be had from the output, only the output is kept.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.promotion import fractional
from xpnn.backend import ArrayT, dtype_name, is_complex, is_integer
from xpnn.functional.activation.pointwise import Pointwise, mask
from xpnn.functional.arguments import check_floating
from xpnn.functional.inplace import in_place_of

__all__ = ["logsigmoid", "mish", "sigmoid", "silu", "softsign", "tanh", "tanhshrink"]


def sigmoid(input: ArrayT) -> ArrayT:
    """Squash into (0, 1): y = 1 / (1 + e^-x).

    Integers and booleans become floating-point numbers of the default type first.

    Backward: gx = gy y (1 - y). Exact to rounding, also where y is as small as e^-80.

    >>> import numpy as np
    >>> sigmoid(np.asarray([0.0, -1e4])).tolist()
    [0.5, 0.0]
    """
    return ops.sigmoid(_fractional(input, "sigmoid"))


def logsigmoid(input: ArrayT) -> ArrayT:
    """The logarithm of the sigmoid: y = -ln(1 + e^-x).

    Backward: gx = gy / (1 + e^x).

    >>> import numpy as np
    >>> logsigmoid(np.asarray([0.0, -1e4])).round(4).tolist()
    [-0.6931, -10000.0]
    """
    return _logsigmoid(input)


def _fractional(input: ArrayT, subject: str) -> ArrayT:
    """Integers and booleans as floating-point numbers, where PyTorch's function of Tensors takes them."""
    if not is_integer(input) and dtype_name(input.dtype) != "bool":
        check_floating(input, subject, or_complex=True)
        return input
    return fractional(input)


_logsigmoid = Pointwise(
    "logsigmoid",
    value=lambda xp, x: xp.minimum(x, xp.zeros_like(x)) - xp.log1p(xp.exp(-xp.abs(x))),
    gradient=lambda xp, gy, x: gy * ops.sigmoid(-x),
)


def tanh(input: ArrayT) -> ArrayT:
    """Squash into (-1, 1): y = (e^x - e^-x) / (e^x + e^-x).

    Integers and booleans become floating-point numbers of the default type first.

    Backward: gx = gy (1 - y^2).

    >>> import numpy as np
    >>> tanh(np.asarray([0.0, 1e4])).tolist()
    [0.0, 1.0]
    """
    return ops.tanh(_fractional(input, "tanh"))


def tanhshrink(input: ArrayT) -> ArrayT:
    """What tanh takes away: y = x - tanh(x).

    Complex numbers are taken too. Integers and booleans become floating-point numbers first.

    Backward: gx = gy tanh(x)^2.

    >>> import numpy as np
    >>> tanhshrink(np.asarray([0.0, 1.0])).round(4).tolist()
    [0.0, 0.2384]
    """
    x: Any = _fractional(input, "tanhshrink")
    return x - ops.tanh(x) if is_complex(x) else _tanhshrink(x)


def _tanhshrink_gradient(xp: Any, gy: Any, x: Any) -> Any:
    t = xp.tanh(x)
    return gy * (t * t)


_tanhshrink = Pointwise("tanhshrink", value=lambda xp, x: x - xp.tanh(x), gradient=_tanhshrink_gradient)


def softsign(input: ArrayT) -> ArrayT:
    """Squash into (-1, 1), far from zero more slowly than tanh: y = x / (1 + |x|).

    Complex numbers are taken too. Integers and booleans become floating-point numbers first.

    Backward: gx = gy / (1 + |x|)^2.

    See: Bergstra, Desjardins, Lamblin & Bengio (2009), "Quadratic polynomials learn better image features".

    >>> import numpy as np
    >>> softsign(np.asarray([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    x: Any = _fractional(input, "softsign")
    return x / (1 + ops.abs(x)) if is_complex(x) else _softsign(x)


def _softsign_gradient(xp: Any, gy: Any, x: Any) -> Any:
    z = 1 + xp.abs(x)
    return gy / (z * z)


_softsign = Pointwise("softsign", value=lambda xp, x: x / (1 + xp.abs(x)), gradient=_softsign_gradient)


def silu(input: ArrayT, inplace: bool = False) -> ArrayT:
    """Weigh each number by its own sigmoid, also called swish: y = x s with s = 1 / (1 + e^-x).

    Backward: gx = gy s (1 + x (1 - s)). With `inplace` a Tensor `input` takes the result.

    See: Elfwing, Uchibe & Doya (2018), "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning".

    >>> import numpy as np
    >>> silu(np.asarray([0.0, 1.0])).round(4).tolist()
    [0.0, 0.7311]
    """
    y = _silu(input)
    return y if inplace is False else in_place_of(input, y, inplace, "silu")


def _silu_gradient(xp: Any, gy: Any, x: Any) -> Any:
    s = ops.sigmoid(x)
    return gy * (s * (1 + x * (1 - s)))


_silu = Pointwise("silu", value=lambda xp, x: x * ops.sigmoid(x), gradient=_silu_gradient)


def mish(input: ArrayT, inplace: bool = False) -> ArrayT:
    """A smooth gate without an upper end: y = x t with t = tanh(ln(1 + e^x)).

    Backward, with the sigmoid s: gx = gy (t + x s (1 - t^2)). With `inplace` a Tensor `input` takes the
    result.

    See: Misra (2020), "Mish: a self regularized non-monotonic activation function".

    >>> import numpy as np
    >>> mish(np.asarray([-1.0, 1.0])).round(4).tolist()
    [-0.3034, 0.8651]
    """
    return in_place_of(input, _mish(input), inplace, "mish")


def _mish_gate_value(xp: Any, x: Any) -> Any:
    """(u^2 + 2 u) / (u^2 + 2 u + 2) with u = e^x; right of 0 both are divided by u^2."""
    decay, right = xp.exp(-xp.abs(x)), mask(x >= 0, x)
    square = decay * decay
    numerator = 2 * decay + right + (1 - right) * square
    return numerator / (numerator + 2 * (1 - right + right * square))


_mish_gate = Pointwise(
    "mish_gate",
    value=_mish_gate_value,
    gradient=lambda xp, gy, x, y: gy * (ops.sigmoid(x) * (1 - y * y)),
)


def _mish_gradient(xp: Any, gy: Any, x: Any) -> Any:
    gate = _mish_gate(x)
    return gy * (gate + x * (ops.sigmoid(x) * (1 - gate * gate)))


_mish = Pointwise("mish", value=lambda xp, x: x * _mish_gate(x), gradient=_mish_gradient)
