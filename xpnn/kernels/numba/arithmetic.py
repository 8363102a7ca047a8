"""Elementary functions of float32 that a loop can compute for many numbers at once.

The C library's take one number at a time. These are polynomials without branches. Their
errors are given in units of 6e-8, the resolution of float32, relative to the result.
"""

from __future__ import annotations

import math

import numpy as np

from xpnn.kernels.numba.compiling import Real, inlined

_ONE, _HALF, _TWO = np.float32(1), np.float32(0.5), np.float32(2)

_LOG2_E = np.float32(1 / math.log(2))
# ln 2 in two parts: n times the first is exact for every n that occurs.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(math.log(2) - 0.693359375)
# A number that is added to it is rounded to a whole one, which then stands in the lowest bits.
_ROUNDER = np.float32(1.5 * 2**23)
_EXPONENT_BITS = np.int32(23)
_BIAS = np.int32(127)
# Here and beyond, 2^n has the exponent of 0 and of infinity; tanh is 1.
_LOWEST, _HIGHEST, _LARGE = np.float32(-88), np.float32(89), np.float32(20)

# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, interpolated in Chebyshev points.
_E0 = np.float32(0.5000000013462217)
_E1 = np.float32(0.166666667190077)
_E2 = np.float32(0.041666464976125445)
_E3 = np.float32(0.008333298480360287)
_E4 = np.float32(0.0013933643522651517)
_E5 = np.float32(0.00019899276218419067)

# The series of `backend.special` for the normal distribution, in u = _SLOPE t + _SHIFT with t = c / (c + z).
_C = np.float32(3)
_SLOPE, _SHIFT = np.float32(2.230769230769231), np.float32(-1.2307692307692308)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_P0 = np.float32(0.39068887836428895)
_P1 = np.float32(0.30363891656827346)
_P2 = np.float32(0.18609353518737023)
_P3 = np.float32(0.0871417265238165)
_P4 = np.float32(0.02866687735983996)
_P5 = np.float32(0.00489315688683436)
_P6 = np.float32(-0.0006256620870045195)
_P7 = np.float32(-0.0005128998057319477)
_P8 = np.float32(-1.9644705230881244e-05)
_P9 = np.float32(3.5109453050097274e-05)


@inlined
def exp(x: Real) -> Real:
    """e^x, off by 1.4 at most; 0 below e^-87.7, infinite above e^88.3."""
    limited = _LOWEST if x < _LOWEST else x  # written so that NaN stays NaN
    limited = _HIGHEST if limited > _HIGHEST else limited
    n = limited * _LOG2_E + _ROUNDER
    return (_ONE + _expm1(_remainder(limited, n - _ROUNDER))) * _power_of_two(n)


@inlined
def tanh(x: Real) -> Real:
    """d / (2 - d) with d = 1 - e^(-2 |x|), and the sign of x; off by 3 at most."""
    size = abs(x)
    size = _LARGE if size > _LARGE else size
    z = -_TWO * size
    n = z * _LOG2_E + _ROUNDER
    power = _power_of_two(n)
    d = (_ONE - power) - _expm1(_remainder(z, n - _ROUNDER)) * power
    y = d / (_TWO - d)
    return -y if x < 0 else y


@inlined
def sigmoid(x: Real) -> Real:
    """1 / (1 + e^-x)."""
    return _ONE / (_ONE + exp(-x))


@inlined
def normal_cdf(x: Real, bell: Real) -> Real:
    """The chance that a standard normal variable is below x, given e^(-x^2 / 2), which others need too.

    The chance of one beyond |x| is bell t P(u) / 2; off by 5e-7 at most, absolutely and to the left of 0 also
    relatively.
    """
    t = _C / (_C + abs(x) * _ROOT_HALF)
    u = _SLOPE * t + _SHIFT
    high = _P5 + u * (_P6 + u * (_P7 + u * (_P8 + u * _P9)))
    series = _P0 + u * (_P1 + u * (_P2 + u * (_P3 + u * (_P4 + u * high))))
    beyond = _HALF * bell * t * series
    return _ONE - beyond if x > 0 else beyond


@inlined
def _expm1(r: Real) -> Real:
    """e^r - 1 for |r| <= ln(2) / 2."""
    return r + r * r * (_E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * _E5)))))


@inlined
def _remainder(x: Real, n: Real) -> Real:
    return (x - n * _LN2_HIGH) - n * _LN2_LOW


@inlined
def _power_of_two(rounded: Real) -> Real:
    """2^n, of n + _ROUNDER: n's bits are shifted to where the exponent is."""
    return np.int32((np.float32(rounded).view(np.int32) + _BIAS) << _EXPONENT_BITS).view(np.float32)
