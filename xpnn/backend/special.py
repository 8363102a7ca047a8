"""Special functions that the Array API standard lacks: the library's own, or a series that serves all.

The normal distribution function Phi(x) = erfc(-x / sqrt(2)) / 2 is what GELU needs. PyTorch, JAX and CuPy
have erfc; elsewhere it is computed for z >= 0 as

    erfc(z) = exp(-z^2) t P(u),    t = c / (c + z),    u = t scaled to [-1, 1].

P is smooth and bounded on the whole half-line, so that one Chebyshev series serves it. The coefficients are
not copied from a table: they are computed from `math.erfc` at the first use, as many as the element type
can resolve (21 for float64, 10 for float32).

The error of Phi against `math.erfc` at 200,001 points in [-12, 12] is below 6e-16 in float64 and 3e-7 in
float32; relative to Phi, far out in the lower tail, it is below 5e-14 and 2e-5.

See: Press, Teukolsky, Vetterling & Flannery (2007), "Numerical Recipes", 3rd ed., section 6.2.2 (the form);
Trefethen (2019), "Approximation Theory and Approximation Practice" (interpolation in Chebyshev points).
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev

from xpnn.backend.namespace import backend_of, namespace
from xpnn.backend.registry import Array

_SCALE = 3.0  # c above; among 1, 1.5, ..., 5 the series is shortest here
_FARTHEST = 26.0  # just before erfc underflows in float64, and twice as far it is 0
_LONGEST = 21  # the coefficients after these are below 1e-16
_NODES = 40
_T_MIN = _SCALE / (_SCALE + _FARTHEST)


def normal_cdf(x: Array) -> Array:
    """Phi(x), the probability that a standard normal variable is at most x, element by element.

    Args:
        x: a raw floating-point array.

    >>> normal_cdf(np.asarray([0.0, -1.0])).round(6).tolist()
    [0.5, 0.158655]
    """
    native = backend_of(x).erfc
    if native is not None:
        return 0.5 * native(x * -math.sqrt(0.5))
    xp = namespace(x)
    z = xp.abs(x) * math.sqrt(0.5)
    z = xp.minimum(z, xp.full_like(z, 2 * _FARTHEST))
    t = _SCALE / (_SCALE + z)
    u = (2.0 * t - (1.0 + _T_MIN)) / (1.0 - _T_MIN)
    highest, *others = reversed(_coefficients(float(xp.finfo(x.dtype).eps)))
    series = xp.full_like(u, highest)
    for coefficient in others:  # Horner's rule
        series *= u
        series += coefficient
    tail = 0.5 * xp.exp(-z * z) * t * series  # Phi(-|x|)
    return tail + xp.astype(x > 0, x.dtype) * (1.0 - 2.0 * tail)


@cache
def _coefficients(eps: float) -> tuple[float, ...]:
    """P as a polynomial in u, lowest power first, to a relative accuracy of `eps`."""
    angles = (np.arange(_NODES) + 0.5) * (math.pi / _NODES)
    values = [_smooth_part(u) for u in np.cos(angles)]
    series = np.cos(np.outer(np.arange(_LONGEST), angles)) @ values * (2.0 / _NODES)
    series[0] /= 2.0
    significant = np.flatnonzero(np.abs(series) > eps * np.abs(series).max())
    return tuple(chebyshev.cheb2poly(series[: significant[-1] + 1]).tolist())


def _smooth_part(u: float) -> float:
    """P(u) = exp(z^2) erfc(z) / t; the exponential would lose digits in float64, z^2 being up to 676."""
    t = (u * (1.0 - _T_MIN) + (1.0 + _T_MIN)) / 2.0
    z = _SCALE * (1.0 - t) / t
    with localcontext(prec=40):
        return float((Decimal(z) ** 2).exp() * Decimal(math.erfc(z)) / Decimal(t))
