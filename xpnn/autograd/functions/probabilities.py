"""Functions of `xpnn.special` that stand nowhere else: of the normal distribution, Bessel's ..."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import operand
from xpnn.autograd.functions.promotion import fractional, promoted
from xpnn.autograd.functions.special import erfc, erfcx, erfinv, lgamma
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, ArrayT, namespace

__all__ = [
    *("entr", "i0", "i0e", "i1", "i1e", "log_ndtr", "multigammaln", "ndtr", "ndtri", "xlog1py"),
]

_MOST_TERMS = 10_000

_ROOT2 = math.sqrt(2)
_POINTS = 256  # of the trapezoidal rule below, whose error is e^(-n^2 / (2 |x|)): none up to |x| = 800


@front
@half_in_float32
def entr(input: ArrayT) -> ArrayT:
    """-x ln(x); 0 at 0, and -inf below.

    >>> from xpnn.autograd import tensor
    >>> entr(tensor([0.0, 0.5, -1.0]))
    tensor([0.0000, 0.3466,   -inf])
    """
    x: Any = fractional(input)
    inside = ops.where(x > 0, x, 1.0)
    return ops.where(x < 0, -math.inf, ops.where(x > 0, -inside * ops.log(inside), x * 0))


@front
@half_in_float32
def ndtr(input: ArrayT) -> ArrayT:
    """The standard normal distribution function: the probability of a value below x.

    >>> from xpnn.autograd import tensor
    >>> ndtr(tensor([0.0]))
    tensor([0.5000])
    """
    x: Any = fractional(input)
    return erfc(x / -_ROOT2) / 2


@front
@half_in_float32
def log_ndtr(input: ArrayT) -> ArrayT:
    """The logarithm of `ndtr`, exact far below 0 too.

    >>> from xpnn.autograd import tensor
    >>> log_ndtr(tensor([0.0]))
    tensor([-0.6931])
    """
    x: Any = fractional(input)
    low = ops.where(x < -1, x, -1.0)
    high = ops.where(x < -1, -1.0, x)
    tail = ops.log(erfcx(low / -_ROOT2) / 2) - low * low / 2
    return ops.where(x < -1, tail, ops.log1p(-erfc(high / _ROOT2) / 2))


@front
@half_in_float32
def ndtri(input: ArrayT) -> ArrayT:
    """The inverse of `ndtr`."""
    x: Any = fractional(input)
    return erfinv(2 * x - 1) * _ROOT2


@front
@half_in_float32
def xlog1py(input: Any, other: Any) -> Any:
    """x ln(1 + y), and 0 where x is 0; either may be a number.

    >>> from xpnn.autograd import tensor
    >>> xlog1py(tensor([0.0, 2.0]), tensor([-1.0, 0.0]))
    tensor([0., 0.])
    """
    x, y = promoted(input, other, fractions=True)
    x, y = operand(x, y), operand(y, x)
    vanishes = (x == 0) & ((y <= -1) | (y == math.inf))
    return x * ops.log1p(ops.where(vanishes, 0.0, y))


@front
@half_in_float32
def multigammaln(input: ArrayT, p: int) -> ArrayT:
    """The logarithm of the gamma function of p variables.

    p (p - 1) / 4 ln(pi) + sum over i < p of lgamma(x - i / 2).

    Raises: ArgumentError for a p below 1 or above 10,000, so many terms are added.

    >>> from xpnn.autograd import tensor
    >>> multigammaln(tensor([3.0]), 1)
    tensor([0.6931])
    """
    if type(p) is not int or not 1 <= p <= _MOST_TERMS:
        raise ArgumentError(f"expects a p from 1 to {_MOST_TERMS}, got {p!r:.60}", subject="multigammaln")
    x: Any = fractional(input)
    total = sum(lgamma(x - i / 2) for i in range(p))
    return total + p * (p - 1) / 4 * math.log(math.pi)  # type: ignore[return-value]


# -- Bessel's functions: I0 is the mean of e^(x cos t) over t from 0 to pi, I1 that of x sin(t)^2 e^(x cos t)


@front
@half_in_float32
def i0e(input: ArrayT) -> ArrayT:
    """e^-|x| I0(x), where I0 is Bessel's modified function of order 0.

    >>> from xpnn.autograd import tensor
    >>> i0e(tensor([0.0, 1.0]))
    tensor([1.0000, 0.4658])
    """
    x: Any = fractional(input)
    return _mean_over_angles(ops.abs(x), 0)


@front
@half_in_float32
def i1e(input: ArrayT) -> ArrayT:
    """e^-|x| I1(x), where I1 is the derivative of I0."""
    x: Any = fractional(input)
    return x * _mean_over_angles(ops.abs(x), 2)


@front
@half_in_float32
def i0(input: ArrayT) -> ArrayT:
    """Bessel's modified function of order 0: a multiple of it is the density of angles around a direction.

    >>> from xpnn.autograd import tensor
    >>> i0(tensor([0.0, 1.0]))
    tensor([1.0000, 1.2661])
    """
    return _mean_over_angles(fractional(input), 0, scaled=False)


@front
@half_in_float32
def i1(input: ArrayT) -> ArrayT:
    """The derivative of `i0`."""
    x: Any = fractional(input)
    return x * _mean_over_angles(x, 2, scaled=False)


def _mean_over_angles(x: Any, power: int, scaled: bool = True) -> Any:
    """The mean of sin(t)^power e^(x cos t), by the trapezoidal rule, exact for periodic functions."""
    xp = namespace(x)
    angles = [math.pi * (k + 0.5) / _POINTS for k in range(_POINTS)]
    cosines = xp.asarray([math.cos(t) for t in angles], dtype=x.dtype, device=x.device)
    weights = xp.asarray([math.sin(t) ** power / _POINTS for t in angles], dtype=x.dtype, device=x.device)
    return ops.sum(
        ops.exp(ops.expand_dims(x, axis=-1) * (cosines - 1 if scaled else cosines)) * weights, axis=-1
    )
