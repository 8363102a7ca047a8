"""Bessel's and Airy's functions, with gradients, which PyTorch's have not.

See: NIST Digital Library of Mathematical Functions, chapters 9 and 10.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import sinc
from xpnn.autograd.functions.probabilities import i0, i1
from xpnn.autograd.functions.promotion import fractional
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.rules import unary
from xpnn.autograd.primitive import primitive
from xpnn.backend import ArrayT, bessel

__all__ = [
    "airy_ai",
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "spherical_bessel_j0",
]

modified_bessel_i0, modified_bessel_i1 = i0, i1


def _of(function: Any, order: Any, name: str, derivative: Any) -> Any:
    return unary(name, derivative, forward=lambda x: function(x, order), make=primitive)


_j0: Any = _of(bessel.bessel_j, 0, "bessel_j0", lambda g, x: -g * _j1(x))
_j1: Any = _of(bessel.bessel_j, 1, "bessel_j1", lambda g, x: g * (_j0(x) - _over(_j1(x), x)))
_y0: Any = _of(bessel.bessel_y, 0, "bessel_y0", lambda g, x: -g * _y1(x))
_y1: Any = _of(bessel.bessel_y, 1, "bessel_y1", lambda g, x: g * (_y0(x) - _y1(x) / x))
_k0e: Any = _of(bessel.bessel_k_scaled, 0, "bessel_k0_scaled", lambda g, x: g * (_k0e(x) - _k1e(x)))
_k1e: Any = _of(
    bessel.bessel_k_scaled, 1, "bessel_k1_scaled", lambda g, x: g * (_k1e(x) - _k0e(x) - _k1e(x) / x)
)
_airy: Any = _of(bessel.airy, False, "airy", lambda g, x: g * _airy_slope(x))
_airy_slope: Any = _of(bessel.airy, True, "airy_slope", lambda g, x: g * x * _airy(x))


def _over(j1: Any, x: Any) -> Any:
    """J1(x) / x, 1/2 at 0."""
    return ops.where(x == 0, 0.5, j1 / ops.where(x == 0, 1.0, x))


@front
def bessel_j0(input: ArrayT) -> ArrayT:
    """Bessel's function of the first kind, of order 0.

    Backward: gx = -g J1(x).

    >>> from xpnn.autograd import tensor
    >>> bessel_j0(tensor([0.0, 1.0]))
    tensor([1.0000, 0.7652])
    """
    return _j0(fractional(input))


@front
def bessel_j1(input: ArrayT) -> ArrayT:
    """Bessel's function of the first kind, of order 1.

    Backward: gx = g (J0(x) - J1(x) / x).

    >>> from xpnn.autograd import tensor
    >>> bessel_j1(tensor([0.0, 1.0]))
    tensor([0.0000, 0.4401])
    """
    return _j1(fractional(input))


@front
def bessel_y0(input: ArrayT) -> ArrayT:
    """Bessel's function of the second kind, of order 0: -inf at 0, NaN below.

    Backward: gx = -g Y1(x).

    >>> from xpnn.autograd import tensor
    >>> bessel_y0(tensor([1.0]))
    tensor([0.0883])
    """
    return _y0(fractional(input))


@front
def bessel_y1(input: ArrayT) -> ArrayT:
    """Bessel's function of the second kind, of order 1: -inf at 0, NaN below.

    Backward: gx = g (Y0(x) - Y1(x) / x).

    >>> from xpnn.autograd import tensor
    >>> bessel_y1(tensor([1.0]))
    tensor([-0.7812])
    """
    return _y1(fractional(input))


@front
@half_in_float32
def modified_bessel_k0(input: ArrayT) -> ArrayT:
    """Bessel's modified function of the second kind, of order 0: inf at 0, NaN below.

    Backward: gx = -g K1(x).

    >>> from xpnn.autograd import tensor
    >>> modified_bessel_k0(tensor([1.0]))
    tensor([0.4210])
    """
    x: Any = fractional(input)
    return _k0e(x) * ops.exp(-x)


@front
@half_in_float32
def modified_bessel_k1(input: ArrayT) -> ArrayT:
    """Bessel's modified function of the second kind, of order 1: inf at 0, NaN below.

    Backward: gx = -g (K0(x) + K1(x) / x).

    >>> from xpnn.autograd import tensor
    >>> modified_bessel_k1(tensor([1.0]))
    tensor([0.6019])
    """
    x: Any = fractional(input)
    return _k1e(x) * ops.exp(-x)


@front
def scaled_modified_bessel_k0(x: ArrayT) -> ArrayT:
    """e^x K0(x), which does not vanish for large x.

    Backward: gx = g e^x (K0(x) - K1(x)).

    >>> from xpnn.autograd import tensor
    >>> scaled_modified_bessel_k0(tensor([1.0]))
    tensor([1.1445])
    """
    return _k0e(fractional(x))


@front
def scaled_modified_bessel_k1(x: ArrayT) -> ArrayT:
    """e^x K1(x), which does not vanish for large x.

    Backward: gx = g e^x (K1(x) - K0(x) - K1(x) / x).

    >>> from xpnn.autograd import tensor
    >>> scaled_modified_bessel_k1(tensor([1.0]))
    tensor([1.6362])
    """
    return _k1e(fractional(x))


@front
@half_in_float32
def spherical_bessel_j0(input: ArrayT) -> ArrayT:
    """The spherical Bessel function of order 0: sin(x) / x, and 1 at 0.

    Backward: gx = g (cos(x) - sin(x) / x) / x.

    >>> from xpnn.autograd import tensor
    >>> spherical_bessel_j0(tensor([0.0, 1.0]))
    tensor([1.0000, 0.8415])
    """
    x: Any = fractional(input)
    return sinc(x / math.pi)


@front
def airy_ai(input: ArrayT) -> ArrayT:
    """Airy's function, the bounded solution of y'' = x y.

    Backward: gx = g Ai'(x), of which the derivative is x Ai(x).

    >>> from xpnn.autograd import tensor
    >>> airy_ai(tensor([0.0, 1.0]))
    tensor([0.3550, 0.1353])
    """
    return _airy(fractional(input))
