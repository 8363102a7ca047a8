"""Bessel's functions J, Y and K of orders 0 and 1, and Airy's function Ai with its derivative.

All are integrals of smooth functions, for which the trapezoidal rule converges faster than any power of its
step: over a whole period for J and Y, over the whole line, where the integrand vanishes doubly exponentially,
for K and Ai. For arguments of 25 and more J and Y are their asymptotic series.

See: NIST Digital Library of Mathematical Functions, sections 9.6, 10.8, 10.9, 10.17 and 10.32; L. Trefethen &
J. Weideman (2014), "The exponentially convergent trapezoidal rule".
"""

from __future__ import annotations

import math
from functools import cache

from xpnn.backend.arrays import device_of
from xpnn.backend.namespace import namespace
from xpnn.backend.registry import Array
from xpnn.backend.special import _double

_FAR = 25.0  # from here on the asymptotic series of J and Y has every digit of float64
_ANGLES = 32  # of a quarter of the period: J of the orders up to 64 is right for all |x| < _FAR
_ORDERS = 32  # Neumann's series of Y ends with J of twice this order, which is 0 below _FAR
_TERMS = 20  # of the asymptotic series
_STEP = 0.25  # of the rules over the line, whose error is e^(-pi^2 / _STEP)
_EULER = 0.5772156649015329
_TINY, _HUGE = 1e-8, 1e16  # below and above them K0 and K1 are their first terms
_SMALL_AIRY = 1.0  # below it Ai is its power series
_AIRY_AT_0, _AIRY_SLOPE_AT_0 = 0.3550280538878172, -0.2588194037928068


def bessel_j(x: Array, order: int) -> Array:
    """J0 or J1.

    >>> import numpy as np
    >>> bessel_j(np.asarray([0.0, 1.0]), 0).round(6).tolist()
    [1.0, 0.765198]
    """
    xp = namespace(x)
    wide = _double(x)
    size = xp.abs(wide)
    near = _mean(xp.where(size < _FAR, size, xp.zeros_like(size)), order, [1.0] * _ANGLES)
    far, _ = _hankel(xp.where(size < _FAR, xp.full_like(size, _FAR), size), order)
    value = xp.where(size < _FAR, near, far)
    return xp.astype(xp.where(wide < 0, -value, value) if order else value, x.dtype)


def bessel_y(x: Array, order: int) -> Array:
    """Y0 or Y1; -inf at 0, NaN below.

    >>> import numpy as np
    >>> bessel_y(np.asarray([0.0, 1.0]), 0).round(6).tolist()
    [-inf, 0.088257]
    """
    xp = namespace(x)
    wide = _double(x)
    near = xp.where((wide > 0) & (wide < _FAR), wide, xp.ones_like(wide))
    ones = [1.0] * _ANGLES
    logarithm = xp.log(near / 2) + _EULER
    value = 2 / math.pi * logarithm * _mean(near, order, ones) - 4 / math.pi * _mean(near, order, _neumann())
    if order:
        value = value - 2 / (math.pi * near) * _mean(near, 0, ones)
    _, far = _hankel(xp.where(wide < _FAR, xp.full_like(wide, _FAR), wide), order)
    value = xp.where(wide < _FAR, value, far)
    value = xp.where(wide == 0, xp.full_like(wide, -math.inf), value)
    return xp.astype(xp.where((wide < 0) | (wide != wide), xp.full_like(wide, math.nan), value), x.dtype)


def bessel_k_scaled(x: Array, order: int) -> Array:
    """e^x K0(x) or e^x K1(x); inf at 0, NaN below.

    >>> import numpy as np
    >>> bessel_k_scaled(np.asarray([0.0, 1.0]), 0).round(6).tolist()
    [inf, 1.144463]
    """
    xp = namespace(x)
    wide = _double(x)
    inside = xp.where((wide > _TINY) & (wide < _HUGE), wide, xp.ones_like(wide))
    # The integral of e^(-x (cosh t - 1)) cosh(order t) over t > 0, whose peak at 0 is narrow for large x.
    scale = 1 / xp.sqrt(xp.where(inside > 1, inside, xp.ones_like(inside)))[..., None]
    t = scale * _steps(wide, 0, 144)
    weights = xp.where(t > 0, xp.ones_like(t), xp.full_like(t, 0.5)) * _STEP * scale
    decay = xp.exp(-2 * inside[..., None] * xp.sinh(t / 2) ** 2)
    value = xp.sum(weights * decay * (xp.cosh(t) if order else xp.ones_like(t)), axis=-1)
    small = xp.where((wide > 0) & (wide <= _TINY), wide, xp.ones_like(wide))
    first = xp.exp(small) * (1 / small if order else -xp.log(small / 2) - _EULER)
    last = math.sqrt(math.pi / 2) / xp.sqrt(xp.where(wide >= _HUGE, wide, xp.ones_like(wide)))
    value = xp.where(wide <= _TINY, first, xp.where(wide >= _HUGE, last, value))
    value = xp.where(wide == 0, xp.full_like(wide, math.inf), value)
    return xp.astype(xp.where((wide < 0) | (wide != wide), xp.full_like(wide, math.nan), value), x.dtype)


def airy(x: Array, slope: bool = False) -> Array:
    """Ai(x), or its derivative.

    >>> import numpy as np
    >>> airy(np.asarray([0.0, 1.0])).round(6).tolist()
    [0.355028, 0.135292]
    """
    xp = namespace(x)
    wide = _double(x)
    size = xp.abs(wide)
    z = xp.where((size > _SMALL_AIRY) & (size < math.inf), size, xp.ones_like(size))
    zeta = 2 / 3 * z * xp.sqrt(z)
    # Ai and Ai' are multiples of K of these orders at zeta, or at i zeta and -i zeta where x is negative.
    order = 2 / 3 if slope else 1 / 3
    t = xp.exp(_steps(wide, -200, 16))
    base = _STEP * xp.exp(-t) * t ** (order + 0.5) / math.gamma(order + 0.5)
    outer = z if slope else xp.sqrt(z)
    outer = outer / xp.sqrt(zeta) / math.sqrt(6 * math.pi)
    ratio = t / (2 * zeta[..., None])
    right = xp.sum(base * (1 + ratio) ** (order - 0.5), axis=-1) * xp.exp(-zeta) * outer
    modulus = base * (1 + ratio * ratio) ** ((order - 0.5) / 2)
    angle = (order - 0.5) * xp.atan(ratio)
    turned = zeta - math.pi / 4
    cosine = xp.sum(modulus * xp.cos(angle), axis=-1)
    sine = xp.sum(modulus * xp.sin(angle), axis=-1)
    if slope:
        right, left = -right, 2 * outer * (cosine * xp.sin(turned) + sine * xp.cos(turned))
    else:
        left = 2 * outer * (cosine * xp.cos(turned) - sine * xp.sin(turned))
    value = xp.where(wide > 0, right, left)
    value = xp.where(
        size <= _SMALL_AIRY, _airy_series(xp.where(size <= 1, wide, xp.zeros_like(wide)), slope), value
    )
    value = xp.where(wide == math.inf, xp.zeros_like(wide), value)
    return xp.astype(
        xp.where((wide != wide) | (wide == -math.inf), xp.full_like(wide, math.nan), value), x.dtype
    )


def _airy_series(x: Array, slope: bool) -> Array:
    """The power series around 0, whose coefficients follow from Ai'' = x Ai."""
    coefficients = [_AIRY_AT_0, _AIRY_SLOPE_AT_0, 0.0]
    for n in range(3, 28):
        coefficients.append(coefficients[n - 3] / (n * (n - 1)))
    if slope:
        coefficients = [n * coefficient for n, coefficient in enumerate(coefficients)][1:]
    value = namespace(x).zeros_like(x)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def _mean(x: Array, order: int, weights: list[float]) -> Array:
    """The mean over t of weights(t) cos(x sin t), or of weights(t) sin t sin(x sin t) for order 1."""
    xp = namespace(x)
    sines = [math.sin(math.pi / 2 * (k + 0.5) / _ANGLES) for k in range(_ANGLES)]
    factors = [w * (sine if order else 1.0) / _ANGLES for w, sine in zip(weights, sines)]
    angles = x[..., None] * xp.asarray(sines, dtype=x.dtype, device=device_of(x))
    waves = xp.sin(angles) if order else xp.cos(angles)
    return xp.sum(waves * xp.asarray(factors, dtype=x.dtype, device=device_of(x)), axis=-1)


@cache
def _neumann() -> list[float]:
    """The weights by which `_mean` gives the sum of (-1)^k J_2k(x) / k over k > 0."""
    angles = [math.pi / 2 * (k + 0.5) / _ANGLES for k in range(_ANGLES)]
    return [
        math.fsum((-1) ** k * math.cos(2 * k * angle) / k for k in range(1, _ORDERS + 1)) for angle in angles
    ]


def _hankel(x: Array, order: int) -> tuple[Array, Array]:
    """J and Y of a large x: sqrt(2 / (pi x)) times P cos c - Q sin c and P sin c + Q cos c.

    c is x - pi / 4 of order 0, and x - 3 pi / 4 of order 1.
    """
    xp = namespace(x)
    p, q = xp.zeros_like(x), xp.zeros_like(x)
    inverse = 1 / x
    for k in range(_TERMS, -1, -1):
        coefficient = _hankel_coefficient(order, k) * (-1) ** (k // 2)
        if k % 2:
            q = q + coefficient * inverse**k
        else:
            p = p + coefficient * inverse**k
    finite = xp.where(x < math.inf, x, xp.ones_like(x))
    cosine, sine = xp.cos(finite), xp.sin(finite)
    c, s = (sine - cosine, -sine - cosine) if order else (cosine + sine, sine - cosine)
    scale = 1 / xp.sqrt(math.pi * x)  # 0 at infinity
    return scale * (p * c - q * s), scale * (p * s + q * c)


@cache
def _hankel_coefficient(order: int, k: int) -> float:
    factors = ((4 * order**2 - (2 * j - 1) ** 2) / (8 * j) for j in range(1, k + 1))
    return math.prod(factors)


def _steps(like: Array, first: int, last: int) -> Array:
    """The points of the rules over the line."""
    points = [_STEP * k for k in range(first, last + 1)]
    return namespace(like).asarray(points, dtype=like.dtype, device=device_of(like))
