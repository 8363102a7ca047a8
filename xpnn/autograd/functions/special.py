"""The error function, the gamma function's logarithm, and their relatives."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import operand
from xpnn.autograd.functions.promotion import fractional, promoted
from xpnn.autograd.mode import is_grad_enabled
from xpnn.autograd.ops.rules import unary
from xpnn.autograd.primitive import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, GradientError, special

__all__ = ["digamma", "erf", "erfc", "erfinv", "lgamma", "polygamma"]

_DENSITY = 2 / math.sqrt(math.pi)

_erf = unary("erf", lambda g, x: g * _DENSITY * ops.exp(-x * x), forward=special.erf, make=primitive)
_erfc = unary("erfc", lambda g, x: -g * _DENSITY * ops.exp(-x * x), forward=special.erfc, make=primitive)
_erfcx: Any = unary(
    "erfcx", lambda g, x: g * (2 * x * _erfcx(x) - _DENSITY), forward=special.erfcx, make=primitive
)
_erfinv = unary("erfinv", lambda g, y: g / _DENSITY * ops.exp(y * y), forward=special.erfinv, make=primitive)


@primitive
def _polygamma(x: Array, *, n: int) -> tuple[Array, tuple]:
    return special.polygamma(n, x), (x,)


@_polygamma.backward
def _polygamma_backward(g: Array, saved: tuple, needs: tuple, *, n: int) -> tuple[Array]:
    return (g * _polygamma(saved[0], n=n + 1),)


_digamma = unary("digamma", lambda g, x: g * _polygamma(x, n=1), forward=special.digamma, make=primitive)
_lgamma = unary("lgamma", lambda g, x: g * _digamma(x), forward=special.lgamma, make=primitive)


@front
def erf(input: ArrayT) -> ArrayT:
    """The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.

    Backward: gx = g 2 / sqrt(pi) e^(-x^2).

    >>> from xpnn.autograd import tensor
    >>> erf(tensor([0.0, 1.0]))
    tensor([0.0000, 0.8427])
    """
    return _erf(fractional(input))


@front
def erfc(input: ArrayT) -> ArrayT:
    """1 - erf(x), exact where that is small too."""
    return _erfc(fractional(input))


@front
def erfcx(input: ArrayT) -> ArrayT:
    """e^(x^2) erfc(x), which does not vanish for large x. Backward: gx = g (2 x erfcx(x) - 2 / sqrt(pi))."""
    return _erfcx(fractional(input))


@front
def erfinv(input: ArrayT) -> ArrayT:
    """The inverse of the error function, of numbers in [-1, 1].

    >>> from xpnn.autograd import tensor
    >>> erfinv(tensor([0.5]))
    tensor([0.4769])
    """
    return _erfinv(fractional(input))


@front
def lgamma(input: ArrayT) -> ArrayT:
    """The logarithm of the absolute value of the gamma function. Backward: gx = g digamma(x).

    >>> from xpnn.autograd import tensor
    >>> lgamma(tensor([5.0]))
    tensor([3.1781])
    """
    return _lgamma(fractional(input))


@front
def digamma(input: ArrayT) -> ArrayT:
    """The derivative of `lgamma`."""
    return _digamma(fractional(input))


@front
def polygamma(n: int, input: Any) -> Any:
    """The n-th derivative of `digamma`. Raises: ArgumentError for an n below 0 or above 160, beyond which n!
    is no float64.

    >>> from xpnn.autograd import tensor
    >>> polygamma(1, tensor([1.0]))
    tensor([1.6449])
    """
    if not 0 <= n <= 160:
        raise ArgumentError(f"expects 0 <= n <= 160, got {n!r:.40}", subject="polygamma")
    return _polygamma(fractional(input), n=n) if n else digamma(input)


@primitive
def _zeta(s: Array, q: Array) -> tuple[Array, tuple]:
    return special.zeta(s, q), (s, q)


@_zeta.backward
def _zeta_backward(g: Array, saved: tuple, needs: tuple) -> tuple[None, Array]:
    s, q = saved
    return None, -g * s * _zeta(s + 1, q)


@front
def zeta(input: Any, other: Any) -> Any:
    """Hurwitz's zeta function of s = input and q = other: the sum of (q + k)^-s over k >= 0.

    Riemann's has q = 1. NaN for s < 1, inf for s = 1 and for q = 0, -1, ... Either may be a number.

    Backward: gq = -g s zeta(s + 1, q); there is no gradient of s.

    Raises: GradientError if a gradient of s is to pass.

    See: NIST Digital Library of Mathematical Functions, section 25.11.

    >>> from xpnn.autograd import tensor
    >>> zeta(tensor([2.0]), 1)
    tensor([1.6449])
    """
    s, q = promoted(input, other, fractions=True)
    s, q = operand(s, q), operand(q, s)
    if s.requires_grad and is_grad_enabled():
        raise GradientError(
            "has no gradient of its first argument", subject="zeta", hint="Call detach() on it"
        )
    return _zeta(*ops.broadcast_arrays(s.detach(), q))
