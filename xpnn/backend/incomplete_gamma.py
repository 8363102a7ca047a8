"""The incomplete gamma functions P(a, x) and Q(a, x) = 1 - P(a, x), in float64.

For x < a + 1 a power series gives P, elsewhere a continued fraction gives Q, each of so many terms.
From a = 100 on, where they would need many, the integral of t^(a-1) e^-t is taken by Gauss and Legendre's
rule from x to where nothing is left.

See: Press, Teukolsky, Vetterling & Flannery (2007), "Numerical Recipes", 3rd ed., section 6.2.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from xpnn.backend.namespace import namespace
from xpnn.backend.registry import Array
from xpnn.backend.special import lgamma

_LARGE = 100.0  # from here on by the rule
_TERMS = 150  # of the series and of the fraction, which need about 10 sqrt(a) of them
_POINTS = 40
_LEAST = 1e-300


def incomplete_gamma(a: Array, x: Array) -> tuple[Array, Array]:
    """P(a, x) and Q(a, x), element by element, of arrays of one shape and element type.

    NaN for a < 0 or x < 0, and for a = x = 0.

    >>> p, q = incomplete_gamma(np.asarray([1.0]), np.asarray([2.0]))
    >>> p.round(6).tolist(), q.round(6).tolist()
    ([0.864665], [0.135335])
    """
    xp = namespace(a, x)
    wide = getattr(xp, "float64", a.dtype)
    a, x, dtype = xp.astype(a, wide), xp.astype(x, wide), a.dtype
    usual = (a > 0) & (x > 0) & (a < math.inf) & (x < math.inf)
    one = xp.ones_like(a)
    b, y = xp.where(usual, a, one), xp.where(usual, x, one)
    small = xp.where(b < _LARGE, b, one), xp.where(b < _LARGE, y, one)
    below = small[1] < small[0] + 1
    p = _series(small[0], xp.where(below, small[1], one * 0.5))
    q = _fraction(small[0], xp.where(below, small[0] + 1, small[1]))
    p, q = xp.where(below, p, 1 - q), xp.where(below, 1 - p, q)
    large = _by_rule(xp.where(b < _LARGE, one * _LARGE, b), xp.where(b < _LARGE, one * _LARGE, y))
    p, q = (xp.where(b < _LARGE, mine, other) for mine, other in zip((p, q), large))
    nothing = ((x == 0) & (a > 0)) | ((a == math.inf) & (x >= 0) & (x < math.inf))
    all_of_it = ((a == 0) & (x > 0)) | ((x == math.inf) & (a >= 0) & (a < math.inf))
    nan = xp.full_like(a, math.nan)
    found = []
    for value, at_nothing, at_all in ((p, 0.0, 1.0), (q, 1.0, 0.0)):
        value = xp.where(usual, value, nan)
        value = xp.where(nothing, xp.full_like(a, at_nothing), value)
        found.append(xp.astype(xp.where(all_of_it, xp.full_like(a, at_all), value), dtype))
    return found[0], found[1]


def _factor(a: Array, x: Array) -> Array:
    """x^a e^-x / gamma(a)."""
    xp = namespace(a)
    return xp.exp(a * xp.log(x) - x - lgamma(a))


def _series(a: Array, x: Array) -> Array:
    term = total = 1.0 / a
    for k in range(1, _TERMS):
        term = term * x / (a + k)
        total = total + term
    return total * _factor(a, x)


def _fraction(a: Array, x: Array) -> Array:
    """By Lentz's method."""
    xp = namespace(a)
    least = xp.full_like(a, _LEAST)
    b = x + 1 - a
    c, d = xp.full_like(a, 1 / _LEAST), 1.0 / b
    total = d
    for k in range(1, _TERMS):
        factor = -k * (k - a)
        b = b + 2
        d = factor * d + b
        d = 1.0 / xp.where(xp.abs(d) < _LEAST, least, d)
        c = b + factor / c
        c = xp.where(xp.abs(c) < _LEAST, least, c)
        total = total * d * c
    return total * _factor(a, x)


def _by_rule(a: Array, x: Array) -> tuple[Array, Array]:
    """From x to about 12 standard deviations away from the peak, on the side where less is."""
    xp = namespace(a)
    peak = a - 1
    root = xp.sqrt(peak)
    above = x > peak
    end = xp.where(
        above,
        xp.maximum(peak + 12 * root, x + 6 * root),
        xp.maximum(xp.zeros_like(x), xp.minimum(peak - 8 * root, x - 6 * root)),
    )
    total = xp.zeros_like(x)
    for node, weight in _rule():
        t = x + (end - x) * node
        u = xp.maximum((t - peak) / peak, xp.full_like(t, -1 + 1e-16))
        total = total + weight * xp.exp(peak * (xp.log1p(u) - u))
    stirling = (1 / 12 - (1 / 360 - 1 / (1260 * peak * peak)) / (peak * peak)) / peak
    share = total * xp.abs(end - x) * xp.exp(-stirling) / (math.sqrt(2 * math.pi) * root)
    return xp.where(above, 1 - share, share), xp.where(above, share, 1 - share)


@cache
def _rule() -> list[tuple[float, float]]:
    """Points and weights of the rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    return [(float(n + 1) / 2, float(w) / 2) for n, w in zip(nodes, weights)]
