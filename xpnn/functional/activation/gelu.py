"""GELU: the input times the probability that a normal number is below it."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, ArrayT, namespace, special
from xpnn.backend.formulas import Formula, register_formula
from xpnn.functional.activation.pointwise import Pointwise
from xpnn.functional.arguments import check_floating

__all__ = ["gelu"]


def gelu(input: ArrayT, approximate: str = "none") -> ArrayT:
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
    if isinstance(approximate, str):  # an array would be compared element by element
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


_normal_cdf = Pointwise(
    "normal_cdf",
    value=lambda xp, x: special.normal_cdf(x),
    gradient=lambda xp, gy, x: gy * _normal_density(x),
)


register_formula(
    Formula(
        "gelu",
        value=lambda xp, x: x * _normal_cdf(x),
        gradient=lambda xp, gy, x: gy * (_normal_cdf(x) + x * _normal_density(x)),
        saved=(0,),
        kept_alike=False,
    )
)


def _normal_density(x: Any) -> Any:
    return math.sqrt(0.5 / math.pi) * namespace(x).exp(-0.5 * (x * x))


def _gelu_tanh_value(xp: Any, x: Any) -> Any:
    return 0.5 * x * (1 + xp.tanh(_gelu_argument(x)))


def _gelu_tanh_gradient(xp: Any, gy: Any, x: Any) -> Any:
    t = xp.tanh(_gelu_argument(x))
    slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * (x * x))
    return gy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


def _gelu_argument(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))


_gelu_tanh = Pointwise("gelu_tanh", _gelu_tanh_value, _gelu_tanh_gradient, subject="gelu")
