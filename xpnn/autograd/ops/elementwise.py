"""Elementwise functions: the derivative of each on its line.

A derivative gives the gradient of the input from `g`, the gradient of the output, and from what else it
names: the input `x` (or `x1`, `x2`) and the output `y`. What it names is what the tape keeps.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd.ops.activation import sigmoid
from xpnn.autograd.ops.broadcasting import NUMBERS, kind_of, unbroadcast
from xpnn.autograd.ops.rules import as_operand, binary, unary
from xpnn.autograd.primitive import Primitive, primitive, view_primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    ViewError,
    dtype_name,
    idioms,
    is_complex,
    is_floating,
    namespace,
)

_LN2 = math.log(2)
_LN10 = math.log(10)

# Signs and powers
negative = unary("negative", lambda g: -g)
positive = unary("positive", lambda g: g)
reciprocal = unary("reciprocal", lambda g, y: -g * y * y)
sign = unary("sign", lambda g, x: _zero(g), forward=lambda x: _sign(x))
abs = unary("abs", lambda g, x: g * sign(x))
sqrt = unary("sqrt", lambda g, y: g / (2 * y))
square = unary("square", lambda g, x: g * (2 * x))

# Exponentials and logarithms
exp = unary("exp", lambda g, y: g * y)
expm1 = unary("expm1", lambda g, y: g * (y + 1))
log = unary("log", lambda g, x: g / x)
log1p = unary("log1p", lambda g, x: g / (x + 1))
log2 = unary("log2", lambda g, x: g / (x * _LN2))
log10 = unary("log10", lambda g, x: g / (x * _LN10))

# Trigonometric and hyperbolic functions
cos = unary("cos", lambda g, x: -g * sin(x))
sin: Primitive = unary("sin", lambda g, x: g * cos(x))
tan = unary("tan", lambda g, y: g * (1 + y * y))
acos = unary("acos", lambda g, x: -g / sqrt(1 - x * x))
asin = unary("asin", lambda g, x: g / sqrt(1 - x * x))
atan = unary("atan", lambda g, x: g / (1 + x * x))
cosh = unary("cosh", lambda g, x: g * sinh(x))
sinh: Primitive = unary("sinh", lambda g, x: g * cosh(x))
tanh = unary("tanh", lambda g, y: g * (1 - y * y))
acosh = unary("acosh", lambda g, x: g / (sqrt(x - 1) * sqrt(x + 1)), make=primitive)
asinh = unary("asinh", lambda g, x: g / sqrt(x * x + 1), make=primitive)
atanh = unary("atanh", lambda g, x: g / (1 - x * x), make=primitive)

# Rounding: flat between the steps
ceil = unary("ceil", lambda g: _zero(g))
floor = unary("floor", lambda g: _zero(g))
round = unary("round", lambda g: _zero(g))
trunc = unary("trunc", lambda g: _zero(g))

# The parts of a complex number; of a real one it is the number itself, and 0
real = unary("real", lambda g: g, forward=lambda x: _real(x), make=view_primitive)
imag = unary("imag", lambda g: _zero(g), forward=lambda x: _imag(x), make=view_primitive)
conj = unary("conj", lambda g: g, forward=lambda x: _conj(x), make=view_primitive)

# Two operands
add = binary("add", dx1=lambda g: g, dx2=lambda g: g)
subtract = binary("subtract", dx1=lambda g: g, dx2=lambda g: -g)
multiply = binary("multiply", dx1=lambda g, x2: g * x2, dx2=lambda g, x1: g * x1)
divide = binary("divide", dx1=lambda g, x2: g / x2, dx2=lambda g, x2, y: -g * y / x2)
floor_divide = binary("floor_divide", dx1=lambda g: _zero(g), dx2=lambda g: _zero(g))
remainder = binary("remainder", dx1=lambda g: g, dx2=lambda g, x1, x2: -g * floor_divide(x1, x2))
pow = binary(
    "pow",
    dx1=lambda g, x1, x2: _base_rule(g, x1, x2),
    dx2=lambda g, x1, x2, y: _exponent_rule(g, x1, x2, y),
    make=primitive,
)
maximum = binary("maximum", dx1=lambda g, x1, x2: _share(x1, x2, g), dx2=lambda g, x1, x2: _share(x2, x1, g))
minimum = binary("minimum", dx1=lambda g, x1, x2: _share(x2, x1, g), dx2=lambda g, x1, x2: _share(x1, x2, g))
hypot = binary("hypot", dx1=lambda g, x1, y: g * x1 / y, dx2=lambda g, x2, y: g * x2 / y)
logaddexp = binary(
    "logaddexp",
    dx1=lambda g, x1, x2: g * sigmoid(x1 - x2),
    dx2=lambda g, x1, x2: g * sigmoid(x2 - x1),
)
atan2 = binary(
    "atan2",
    dx1=lambda g, x1, x2: g * x2 / _squared_radius(x1, x2),
    dx2=lambda g, x1, x2: -g * x1 / _squared_radius(x1, x2),
    make=primitive,
)
copysign = binary("copysign", dx1=lambda g, x1, y: g * sign(x1) * sign(y), dx2=lambda g: _zero(g))


def where(condition: Array, x1: Array | float, x2: Array | float, /) -> Array:
    """`x1` where the condition holds, `x2` elsewhere.

    The gradient goes to the operand that was chosen; the other one gets an exact zero.

    >>> import numpy as np
    >>> where(np.asarray([True, False]), 1.0, np.asarray([5.0, 6.0])).tolist()
    [1.0, 6.0]
    """
    return _where(condition, x1, x2)


@primitive(half=True)
def _where(condition: Array, x1: Any, x2: Any) -> tuple[Array, tuple]:
    y = namespace(condition).where(condition, as_operand(x1, like=x2), as_operand(x2, like=x1))
    return y, (condition, kind_of(x1), kind_of(x2))


@_where.backward
def _where_backward(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    condition, kind1, kind2 = saved
    g1 = unbroadcast(where(condition, g, 0.0), *kind1) if needs[1] else None
    g2 = unbroadcast(where(condition, 0.0, g), *kind2) if needs[2] else None
    return None, g1, g2


def clip(x: Array, /, min: Array | float | None = None, max: Array | float | None = None) -> Array:
    """Each element limited to [min, max]; a bound of None is none.

    The gradient goes to `x` where it lies within the bounds (or on one), else to the bound in its place. NaN
    has none.

    >>> import numpy as np
    >>> clip(np.asarray([-1.0, 0.5, 2.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    return _clip(x, min, max)


@primitive(half=True)
def _clip(x: Array, low: Any, high: Any) -> tuple[Array, tuple]:
    return namespace(x).clip(x, low, high), (x, low, high)


@_clip.backward
def _clip_backward(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    x, low, high = saved
    below = None if low is None else x < low
    above = None if high is None else x > high
    gx = g_low = g_high = None
    if needs[0]:
        gx = g if low is None else where(x >= low, g, 0.0)
        gx = unbroadcast(gx if high is None else where(x <= high, gx, 0.0), *kind_of(x))
    if needs[1]:  # where the bounds cross, the upper one wins
        g_low = where(below, g, 0.0) if high is None else where(below & (low < high), g, 0.0)
        g_low = unbroadcast(g_low, *kind_of(low))
    if needs[2]:
        g_high = where(above if low is None else above | (high < low), g, 0.0)
        g_high = unbroadcast(g_high, *kind_of(high))
    return gx, g_low, g_high


def _zero(g: Array) -> Array:
    return namespace(g).zeros_like(g)


def _share(winner: Any, loser: Any, g: Array) -> Array:
    """The part of `g` for the operand that wins where `winner > loser`: all, half of a tie, all at NaN."""
    return where(winner < loser, 0.0, where(winner == loser, g / 2, g))


def _squared_radius(x1: Array, x2: Array) -> Array:
    """x1^2 + x2^2, and 1 where that is 0, so that a quotient of 0 by it is 0."""
    square = x1 * x1 + x2 * x2
    return where(square == 0, 1.0, square)


def _base_rule(g: Array, x1: Array, x2: Any) -> Array:
    """g x2 x1^(x2 - 1), which at x2 = 0 is 0, also where x1^(-1) is infinite or NaN."""
    if type(x2) in NUMBERS:
        return g * (x2 * x1 ** (x2 - 1)) if x2 else _zero(g)
    least = namespace(x1).finfo(x1.dtype).smallest_normal
    lost = (x2 == 0) & ((abs(x1) < least) | (x1 != x1))
    return g * (x2 * where(lost, 0, x1) ** where(lost, 1, x2 - 1))


def _exponent_rule(g: Array, x1: Any, x2: Array, y: Array) -> Array:
    """g y log(x1), which at x1 = 0 and Re(x2) >= 0 is 0."""
    x1 = as_operand(x1, like=y)
    return g * (y * log(where((x1 == 0) & (real(x2) >= 0), 1, x1)))


def complex_of(x1: Array, x2: Array, /) -> Array:
    """The complex numbers x1 + i x2, of two real arrays of one element type.

    Backward: gx1 = Re(g), gx2 = Im(g).

    >>> import numpy as np
    >>> complex_of(np.asarray([1.0, 2.0]), np.asarray([0.0, -1.0])).tolist()
    [(1+0j), (2-1j)]
    """
    xp = namespace(x1, x2)
    return complex_pairs(xp.stack(xp.broadcast_arrays(x1, x2), axis=-1))


@view_primitive
def complex_pairs(x: Array) -> tuple[Array, tuple]:
    """Pairs of real numbers along the last axis as complex numbers. Backward: the pairs of the gradient.

    >>> import numpy as np
    >>> complex_pairs(np.asarray([1.0, 2.0])).tolist()
    (1+2j)
    """
    if not is_floating(x):
        raise ArgumentError(f"expects pairs of floating numbers, got {dtype_name(x.dtype)}")
    return idioms.complex_of_pairs(x), ()


@view_primitive
def pairs_of_complex(x: Array) -> tuple[Array, tuple]:
    """Complex numbers as pairs of their parts along a new last axis. Backward: those of the gradient.

    >>> import numpy as np
    >>> pairs_of_complex(np.asarray(1 + 2j)).tolist()
    [1.0, 2.0]
    """
    if not is_complex(x):
        raise ArgumentError(f"expects complex numbers, got {dtype_name(x.dtype)}")
    return idioms.pairs_of_complex(x), ()


@complex_pairs.backward
def _complex_pairs_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (pairs_of_complex(g),)


@pairs_of_complex.backward
def _pairs_of_complex_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (complex_pairs(g),)


# -- what complex numbers change


@abs.backward_over_complex
def _abs_over_complex(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (g * sign(saved[0]),)


@sign.backward_over_complex
def _sign_over_complex(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    """Of u = x / |x|: what of g is not along u, (g - u Re(conj(u) g)) / |x|, and 0 at 0."""
    (x,) = saved
    size, direction = abs(x), sign(x)
    across = g - direction * real(conj(direction) * g)
    return (where(size == 0, 0.0, across / where(size == 0, 1.0, size)),)


@real.backward_over_complex
def _real_over_complex(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (complex_of(g, _zero(g)),)


@imag.backward_over_complex
def _imag_over_complex(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (complex_of(_zero(g), g),)


@conj.backward_over_complex
def _conj_over_complex(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (conj(g),)


def _sign(x: Array) -> Array:
    """Of complex numbers x / |x|, and 0 of 0."""
    xp = namespace(x)
    if not is_complex(x):
        return xp.sign(x)
    size = xp.abs(x)
    return xp.where(size == 0, 0.0, x / xp.where(size == 0, 1.0, size))  # of no sign, as -0 / 1 has


def _real(x: Array) -> Array:
    return namespace(x).real(x) if is_complex(x) else x


def _imag(x: Array) -> Array:
    return namespace(x).imag(x) if is_complex(x) else namespace(x).zeros_like(x)


@real.write
def _real_write(x: Array, value: Array) -> Array:
    return complex_of(value, imag(x)) if is_complex(x) else value


@imag.write
def _imag_write(x: Array, value: Array) -> Array:
    if not is_complex(x):
        raise ViewError("of real numbers cannot be written into", subject="the imaginary part")
    return complex_of(real(x), value)


@conj.write
def _conj_write(x: Array, value: Array) -> Array:
    return conj(value)


def _conj(x: Array) -> Array:
    return namespace(x).conj(x) if is_complex(x) else x
