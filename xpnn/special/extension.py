"""`xp.special`: what SciPy looks for in the namespace of the arrays that its `scipy.special` is given.

With SCIPY_ARRAY_API=1 in the environment SciPy calls these functions for Tensors, so that its own functions
built on them carry gradients. They are those of `xpnn.special` under SciPy's names, and the few below.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions import bessel, elementwise, probabilities, special
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.elementwise import operand
from xpnn.autograd.functions.gamma import igamma, igammac
from xpnn.autograd.functions.promotion import fractional, promoted
from xpnn.autograd.functions.ratios import expm1_ratio, log1p_ratio
from xpnn.autograd.functions.reduction import logsumexp
from xpnn.autograd.functions.special import lgamma
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.namespace import add_extension
from xpnn.backend import is_array, no_array

__all__ = [
    *("betaln", "boxcox", "boxcox1p", "cbrt", "cosm1", "exp10", "exprel", "gdtr", "gdtrc", "huber"),
    *("inv_boxcox", "inv_boxcox1p", "kl_div", "pdtr", "pdtrc", "pseudo_huber", "rel_entr"),
]


@front
@half_in_float32
def rel_entr(x: Any, y: Any) -> Any:
    """x ln(x / y) for positive numbers; 0 where x is 0 and y is not negative, else inf; no gradient there.

    >>> from xpnn.autograd import tensor
    >>> rel_entr(tensor([0.0, 1.0, -1.0]), tensor([1.0, 1.0, 1.0]))
    tensor([0., 0., inf])
    """
    x, y = _pair(x, y)
    inside = (x > 0) & (y > 0)
    p, q = ops.where(inside, x, 1.0), ops.where(inside, y, 1.0)
    outside = ops.where((x == 0) & (y >= 0), x * 0.0, math.inf)
    found = ops.where(inside, p * (ops.log(p) - ops.log(q)), outside)
    return ops.where((x != x) | (y != y), math.nan, found)


@front
@half_in_float32
def kl_div(x: Any, y: Any) -> Any:
    """x ln(x / y) - x + y for positive numbers; y where x is 0 and y is not negative, else inf.

    >>> from xpnn.autograd import tensor
    >>> kl_div(tensor([0.0, 1.0]), tensor([3.0, 1.0]))
    tensor([3., 0.])
    """
    x, y = _pair(x, y)
    return ops.where((x >= 0) & (y >= 0), rel_entr(x, y) - x + y, rel_entr(x, y))


@front
@half_in_float32
def betaln(a: Any, b: Any) -> Any:
    """The logarithm of the beta function: ln G(a) + ln G(b) - ln G(a + b), added up in float64.

    >>> from xpnn.autograd import tensor
    >>> betaln(tensor([1.0, 2.0]), tensor([1.0, 3.0]))
    tensor([ 0.0000, -2.4849])
    """
    a, b = _pair(a, b)
    dtype = a.dtype
    a, b = a.to("float64"), b.to("float64")
    return (lgamma(a) + lgamma(b) - lgamma(a + b)).to(dtype)


@front
@half_in_float32
def boxcox(x: Any, lmbda: Any) -> Any:
    """(x^l - 1) / l, and ln(x) where l is 0.

    >>> from xpnn.autograd import tensor
    >>> boxcox(tensor([1.0, 3.0]), 2.0)
    tensor([0., 4.])
    """
    x, power = _pair(x, lmbda)
    return _powered(ops.log(x), power)


@front
@half_in_float32
def boxcox1p(x: Any, lmbda: Any) -> Any:
    """`boxcox(1 + x, l)`, exact for small x.

    >>> from xpnn.autograd import tensor
    >>> boxcox1p(tensor([0.0, 2.0]), 2.0)
    tensor([0., 4.])
    """
    x, power = _pair(x, lmbda)
    return _powered(ops.log1p(x), power)


@front
@half_in_float32
def inv_boxcox(y: Any, lmbda: Any) -> Any:
    """(1 + l y)^(1 / l), and e^y where l is 0: the inverse of `boxcox`.

    >>> from xpnn.autograd import tensor
    >>> inv_boxcox(tensor([0.0, 4.0]), 2.0)
    tensor([1., 3.])
    """
    return ops.exp(_log_inverse(y, lmbda))


@front
@half_in_float32
def inv_boxcox1p(y: Any, lmbda: Any) -> Any:
    """The inverse of `boxcox1p`: `inv_boxcox(y, l) - 1`, exact for small y.

    >>> from xpnn.autograd import tensor
    >>> inv_boxcox1p(tensor([0.0, 4.0]), 2.0)
    tensor([0., 2.])
    """
    return ops.expm1(_log_inverse(y, lmbda))


@front
@half_in_float32
def exprel(x: Any) -> Any:
    """(e^x - 1) / x, and 1 at 0.

    >>> from xpnn.autograd import tensor
    >>> exprel(tensor([0.0, 1.0]))
    tensor([1.0000, 1.7183])
    """
    return expm1_ratio(fractional(x))


@front
@half_in_float32
def exp10(x: Any) -> Any:
    """10^x.

    >>> from xpnn.autograd import tensor
    >>> exp10(tensor([0.0, 1.0]))
    tensor([ 1., 10.])
    """
    x = fractional(x)
    return ops.pow(10.0, x)


@front
@half_in_float32
def cosm1(x: Any) -> Any:
    """cos(x) - 1, exact for small x: -2 sin(x / 2)^2.

    >>> from xpnn.autograd import tensor
    >>> cosm1(tensor([0.0]))
    tensor([-0.])
    """
    return -2 * ops.square(ops.sin(fractional(x) / 2))


@front
@half_in_float32
def cbrt(x: Any) -> Any:
    """The real cube root; its derivative at 0 is NaN.

    >>> from xpnn.autograd import tensor
    >>> cbrt(tensor([0.0, -8.0]))
    tensor([ 0., -2.])
    """
    x = fractional(x)
    return ops.sign(x) * ops.pow(ops.abs(x), 1 / 3)


@front
@half_in_float32
def huber(delta: Any, r: Any) -> Any:
    """r^2 / 2 up to |r| = delta, from there the tangent; inf for a negative delta.

    >>> from xpnn.autograd import tensor
    >>> huber(1.0, tensor([0.5, 3.0]))
    tensor([0.1250, 2.5000])
    """
    delta, r = _pair(delta, r)
    size = ops.abs(r)
    found = ops.where(size <= delta, r * r / 2, delta * (size - delta / 2))
    return ops.where(delta < 0, math.inf, found)


@front
@half_in_float32
def pseudo_huber(delta: Any, r: Any) -> Any:
    """delta^2 (sqrt(1 + (r / delta)^2) - 1), 0 for a delta of 0; inf for a negative one.

    >>> from xpnn.autograd import tensor
    >>> pseudo_huber(1.0, tensor([0.0, 2.0]))
    tensor([0.0000, 1.2361])
    """
    delta, r = _pair(delta, r)
    ratio = r / ops.where(delta == 0, 1.0, delta)
    # sqrt(1 + u^2) - 1 = u^2 / (1 + sqrt(1 + u^2)), which loses no digits
    found = ops.square(delta * ratio) / (1 + ops.sqrt(1 + ops.square(ratio)))
    return ops.where(delta < 0, math.inf, found)


@front
@half_in_float32
def gdtr(a: Any, b: Any, x: Any) -> Any:
    """The distribution function of the gamma distribution of rate a and shape b.

    >>> from xpnn.autograd import tensor
    >>> gdtr(1.0, 1.0, tensor([0.0, 1.0]))
    tensor([0.0000, 0.6321])
    """
    a, b, x = _triple(a, b, x)
    return igamma(b, a * x)


@front
@half_in_float32
def gdtrc(a: Any, b: Any, x: Any) -> Any:
    """1 - `gdtr`, exact where that is near 1.

    >>> from xpnn.autograd import tensor
    >>> gdtrc(1.0, 1.0, tensor([0.0, 1.0]))
    tensor([1.0000, 0.3679])
    """
    a, b, x = _triple(a, b, x)
    return igammac(b, a * x)


@front
@half_in_float32
def pdtr(k: Any, m: Any) -> Any:
    """The probability of at most k under Poisson's distribution of mean m.

    >>> from xpnn.autograd import tensor
    >>> pdtr(0, tensor([0.0, 1.0]))
    tensor([1.0000, 0.3679])
    """
    k, m = _pair(k, m)
    return ops.where(k < 0, math.nan, igammac(ops.floor(ops.where(k < 0, 0.0, k)) + 1, m))


@front
@half_in_float32
def pdtrc(k: Any, m: Any) -> Any:
    """The probability of more than k under Poisson's distribution of mean m.

    >>> from xpnn.autograd import tensor
    >>> pdtrc(0, tensor([0.0, 1.0]))
    tensor([0.0000, 0.6321])
    """
    k, m = _pair(k, m)
    return ops.where(k < 0, math.nan, igamma(ops.floor(ops.where(k < 0, 0.0, k)) + 1, m))


def _pair(x: Any, y: Any) -> tuple[Any, Any]:
    """Both as Tensors of one element type."""
    _expect_an_array(x, y)
    x, y = promoted(x, y, fractions=True)
    return operand(x, y), operand(y, x)


def _expect_an_array(*parts: Any) -> None:
    if not any(map(is_array, parts)):
        raise no_array(parts[-1], "xp.special", "one of the arguments")


def _triple(a: Any, b: Any, x: Any) -> tuple[Any, Any, Any]:
    _expect_an_array(a, b, x)
    a, b, x = promoted(a, b, x, fractions=True)
    like = next(one for one in (a, b, x) if not isinstance(one, int | float))
    return operand(a, like), operand(b, like), operand(x, like)


def _powered(logarithm: Any, power: Any) -> Any:
    """(e^(l t) - 1) / l of a logarithm t, and t where l is 0."""
    infinite = ops.abs(logarithm) == math.inf
    t = ops.where(infinite, 0.0, logarithm)
    z, divisor = power * t, ops.where(power == 0, 1.0, power)
    small = ops.abs(z) < 1
    found = ops.where(small, t * expm1_ratio(ops.where(small, z, 0.0)), ops.expm1(z) / divisor)
    above = ops.where(power < 0, -1 / divisor, math.inf)
    below = ops.where(power > 0, -1 / divisor, -math.inf)
    return ops.where(infinite, ops.where(logarithm > 0, above, below), found)


def _log_inverse(y: Any, lmbda: Any) -> Any:
    """ln(1 + l y) / l, and y where l is 0."""
    y, power = _pair(y, lmbda)
    return y * log1p_ratio(power * y)


add_extension(
    "special",
    SimpleNamespace(
        **{name: globals()[name] for name in __all__},
        entr=probabilities.entr,
        erf=special.erf,
        erfc=special.erfc,
        erfcx=special.erfcx,
        erfinv=special.erfinv,
        exp2=elementwise.exp2,
        expit=elementwise.sigmoid,
        gammainc=igamma,
        gammaincc=igammac,
        gammaln=special.lgamma,
        i0=probabilities.i0,
        i0e=probabilities.i0e,
        i1=probabilities.i1,
        i1e=probabilities.i1e,
        j0=bessel.bessel_j0,
        j1=bessel.bessel_j1,
        k0=bessel.modified_bessel_k0,
        k0e=bessel.scaled_modified_bessel_k0,
        k1=bessel.modified_bessel_k1,
        k1e=bessel.scaled_modified_bessel_k1,
        log_ndtr=probabilities.log_ndtr,
        logit=elementwise.logit,
        logsumexp=logsumexp,
        multigammaln=probabilities.multigammaln,
        ndtr=probabilities.ndtr,
        ndtri=probabilities.ndtri,
        polygamma=special.polygamma,
        digamma=special.digamma,
        psi=special.digamma,
        sinc=elementwise.sinc,
        xlog1py=probabilities.xlog1py,
        xlogy=elementwise.xlogy,
        y0=bessel.bessel_y0,
        y1=bessel.bessel_y1,
        zeta=special.zeta,
    ),
)
