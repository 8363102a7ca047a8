"""Functions of each element on its own: arithmetic, powers, trigonometry, rounding.

Functions whose results are fractions make the default floating-point numbers of integers and booleans.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions import promotion
from xpnn.autograd.functions.axes import axis_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import NUMBERS, cast, fractional, is_whole, promoted, raw_of
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.rules import as_operand, binary, unary
from xpnn.autograd.primitive import Primitive, primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    cheap_to_read,
    concrete,
    dtype_name,
    dtype_named,
    finfo,
    is_complex,
    namespace,
)

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "addcdiv",
    "addcmul",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "clip",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "div",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fix",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frac",
    "gcd",
    "heaviside",
    "hypot",
    "lcm",
    "ldexp",
    "lerp",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logit",
    "maximum",
    "minimum",
    "mul",
    "multiply",
    "nan_to_num",
    "neg",
    "negative",
    "positive",
    "pow",
    "rad2deg",
    "reciprocal",
    "relu",
    "remainder",
    "round",
    "rsqrt",
    "sgn",
    "sigmoid",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "softmax",
    "sqrt",
    "square",
    "sub",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "xlogy",
]

_LN2 = math.log(2)
_PI = math.pi
_EUCLID = 93  # steps that the algorithm takes of numbers of 64 bits

_fmod = binary(
    "fmod",
    dx1=lambda g: g,
    dx2=lambda g, x1, x2: -g * ops.trunc(x1 / x2),
    forward=lambda xp, x1, x2: _remainder_of_sign(xp, x1, x2),
)
_rsqrt = unary(
    "rsqrt", lambda g, y: g * (y * y * y) * -0.5, forward=lambda x: 1 / namespace(x).sqrt(x), make=primitive
)


# -- arithmetic


@front
def add(input: ArrayT, other: Any, *, alpha: float = 1) -> ArrayT:
    """input + alpha * other.

    >>> from xpnn.autograd import tensor
    >>> add(tensor([1.0, 2.0]), tensor([10.0, 20.0]), alpha=2)
    tensor([21., 42.])
    """
    _refuse_fraction(alpha, input, other)
    return promotion.add(input, _scaled(other, alpha))


@front
def sub(input: ArrayT, other: Any, *, alpha: float = 1) -> ArrayT:
    """input - alpha * other. Raises: DTypeError for booleans.

    >>> from xpnn.autograd import tensor
    >>> sub(tensor([3, 4]), 1)
    tensor([2, 3])
    """
    _refuse_fraction(alpha, input, other)
    _refuse_booleans("sub", "logical_xor", input, other)
    return promotion.subtract(input, _scaled(other, alpha))


@front
def mul(input: ArrayT, other: Any) -> ArrayT:
    """The product.

    >>> from xpnn.autograd import tensor
    >>> mul(tensor([1, 2]), 0.5)
    tensor([0.5000, 1.0000])
    """
    return promotion.multiply(input, other)


@front
def div(input: ArrayT, other: Any, *, rounding_mode: str | None = None) -> ArrayT:
    """The quotient.

    Args:
        rounding_mode: None leaves fractions, also of integers; "trunc" rounds towards 0, "floor" down; then
            the gradient is 0.

    >>> from xpnn.autograd import tensor
    >>> div(tensor([-7, 7]), 2), div(tensor([-7, 7]), 2, rounding_mode="trunc")
    (tensor([-3.5000,  3.5000]), tensor([-3,  3]))
    """
    if rounding_mode is None:
        return promotion.divide(input, other)
    if rounding_mode not in ("trunc", "floor"):
        raise ArgumentError(
            f"expects rounding_mode None, 'trunc' or 'floor', got {rounding_mode!r}", subject="div"
        )
    x1, x2 = promoted(input, other)
    _refuse_zero("div", x1, x2)
    if rounding_mode == "floor":
        return ops.floor_divide(x1, x2)
    if is_whole(x1) and is_whole(x2):
        return ops.floor_divide(ops.subtract(x1, _fmod(x1, x2)), x2)
    return ops.trunc(ops.divide(x1, x2))


subtract, multiply, divide, true_divide = sub, mul, div, div


@front
def floor_divide(input: ArrayT, other: Any) -> ArrayT:
    """The quotient, rounded down; its gradient is 0.

    >>> from xpnn.autograd import tensor
    >>> floor_divide(tensor([-7, 7]), 2)
    tensor([-4,  3])
    """
    x1, x2 = promoted(input, other)
    _refuse_zero("floor_divide", x1, x2)
    return ops.floor_divide(x1, x2)


@front
def remainder(input: Any, other: Any) -> Any:
    """x - y floor(x / y), which has the sign of y.

    >>> from xpnn.autograd import tensor
    >>> remainder(tensor([-7, 7]), 3)
    tensor([2, 1])
    """
    x1, x2 = promoted(input, other)
    _refuse_zero("remainder", x1, x2)
    return ops.remainder(x1, x2)


@front
def fmod(input: ArrayT, other: Any) -> ArrayT:
    """x - y trunc(x / y), which has the sign of x.

    >>> from xpnn.autograd import tensor
    >>> fmod(tensor([-7, 7]), 3)
    tensor([-1,  1])
    """
    x1, x2 = promoted(input, other)
    _refuse_zero("fmod", x1, x2)
    return _fmod(x1, x2)


@front
@half_in_float32
def addcmul(input: ArrayT, tensor1: Any, tensor2: Any, *, value: float = 1) -> ArrayT:
    """input + value * tensor1 * tensor2.

    >>> from xpnn.autograd import tensor
    >>> addcmul(tensor([1.0]), tensor([2.0]), tensor([3.0]), value=0.5)
    tensor([4.])
    """
    return promotion.add(input, _scaled(promotion.multiply(tensor1, tensor2), value))


@front
@half_in_float32
def addcdiv(input: ArrayT, tensor1: Any, tensor2: Any, *, value: float = 1) -> ArrayT:
    """input + value * tensor1 / tensor2. Raises: DTypeError for integers alone.

    >>> from xpnn.autograd import tensor
    >>> addcdiv(tensor([1.0]), tensor([3.0]), tensor([2.0]))
    tensor([2.5000])
    """
    if is_whole(tensor1) and is_whole(tensor2):
        raise DTypeError(
            "does not divide integers by integers", subject="addcdiv", hint="Convert one with .float()"
        )
    return promotion.add(input, _scaled(promotion.divide(tensor1, tensor2), value))


@front
@half_in_float32
def lerp(input: ArrayT, end: Any, weight: Any) -> ArrayT:
    """input + weight * (end - input): input for weight 0, end for 1.

    >>> from xpnn.autograd import tensor
    >>> lerp(tensor([0.0, 10.0]), tensor([10.0, 20.0]), 0.25)
    tensor([ 2.5000, 12.5000])
    """
    for x in (input, end):
        if is_whole(x):
            raise DTypeError(f"expects floating-point numbers, got {dtype_name(x.dtype)}", subject="lerp")
    if type(weight) in NUMBERS:
        near_end = (builtins.abs(weight) if type(weight) is complex else weight) >= 0.5
        return end - (end - input) * (1 - weight) if near_end else input + weight * (end - input)
    size = ops.abs(weight) if is_complex(weight) else weight
    return ops.where(size < 0.5, input + weight * (end - input), end - (end - input) * (1 - weight))


@front
def neg(input: ArrayT) -> ArrayT:
    """-x. Raises: DTypeError for booleans."""
    _refuse_booleans("neg", "logical_not", input)
    return ops.negative(input)


@front
def positive(input: ArrayT) -> ArrayT:
    """The Tensor as it is. Raises: DTypeError for booleans."""
    _refuse_booleans("positive", "logical_not", input)
    return input


@front
def abs(input: ArrayT) -> ArrayT:
    """The absolute value; of a complex number its distance from 0.

    >>> from xpnn.autograd import tensor
    >>> abs(tensor([-1.5, 2.0]))
    tensor([1.5000, 2.0000])
    """
    _refuse_booleans("abs", "logical_not", input)
    return ops.abs(input)


negative, absolute = neg, abs


@front
def sign(input: ArrayT) -> ArrayT:
    """-1, 0 or 1, and 0 of NaN; its gradient is 0. Raises: DTypeError for complex numbers."""
    if is_complex(input):
        raise DTypeError("expects real numbers, got complex ones", subject="sign", hint="Use sgn")
    if dtype_name(input.dtype) == "bool":
        return _copy(input)
    x: Any = input
    return ops.sign(x) if is_whole(x) else ops.where(x == x, ops.sign(x), 0.0)


@front
def sgn(input: ArrayT) -> ArrayT:
    """The sign; of a complex number z / |z|, and 0 of 0."""
    if not is_complex(input):
        return sign(input)
    return ops.sign(input)


@front
def signbit(input: ArrayT) -> ArrayT:
    """Whether the sign is negative, also that of a zero or of no number.

    >>> from xpnn.autograd import tensor
    >>> signbit(tensor([-0.0, 0.0]))
    tensor([ True, False])
    """
    raw = raw_of(input)
    xp = namespace(raw)
    if dtype_name(raw.dtype) == "bool":
        return new_tensor(xp.zeros_like(raw))
    return new_tensor(raw < 0 if is_whole(raw) else xp.signbit(raw))


# -- powers, exponentials and logarithms


@front
def pow(input: Any, exponent: Any) -> Any:
    """The power x^y; either may be a number.

    Backward: gx = g y x^(y - 1), gy = g x^y ln(x).

    Raises: ArgumentError for integers to the power of a negative number, which would be fractions; those of
    an array of powers are rounded to 0, as in PyTorch.

    >>> from xpnn.autograd import tensor
    >>> pow(tensor([1.0, 2.0]), 3), pow(2, tensor([1, 3]))
    (tensor([1., 8.]), tensor([2, 8]))
    """
    x1, x2 = promoted(input, exponent)
    if is_whole(x1) and type(x2) is int and x2 < 0:
        raise ArgumentError(
            "does not take integers to a negative power", subject="pow", hint="Convert them with .float()"
        )
    if type(x2) is bool:
        x2 = int(x2)
    if type(x2) is not int and is_whole(x2) and is_whole(x1) and dtype_name(x2.dtype).startswith("int"):
        return _power_of_integers(x1, x2)
    return ops.pow(x1, x2)


def _power_of_integers(x1: Any, x2: Any) -> Any:
    """Integers to the powers of an array; negative ones of all but 1 and -1 are fractions, rounded to 0."""
    below = x2 < 0
    power = ops.pow(x1, ops.where(below, x2 % 2, x2))
    return ops.where(below & (x1 != 1) & (x1 != -1), 0, power)


@front
def float_power(input: Any, exponent: Any) -> Any:
    """The power x^y in float64, or complex128.

    >>> from xpnn.autograd import tensor
    >>> float_power(tensor([2]), -1)
    tensor([0.5000], dtype=xpnn.float64)
    """
    raw = raw_of(input if type(exponent) in NUMBERS else exponent)
    complex_too = any(type(x) is complex if type(x) in NUMBERS else is_complex(x) for x in (input, exponent))
    double = dtype_named("complex128" if complex_too else "float64", namespace(raw))
    x1, x2 = [x if type(x) in NUMBERS else cast(x, double) for x in (input, exponent)]
    return ops.pow(x1, x2)


@front
def square(input: ArrayT) -> ArrayT:
    """x^2. Backward: gx = 2 g x."""
    if dtype_name(input.dtype) == "bool":
        return ops.astype(input, dtype_named("int64", namespace(raw_of(input))))
    return ops.square(input)


@front
def rsqrt(input: ArrayT) -> ArrayT:
    """1 / sqrt(x). Backward: gx = -g / (2 x sqrt(x))."""
    return _rsqrt(fractional(input))


@front
def exp2(input: ArrayT) -> ArrayT:
    """2^x. Backward: gx = g ln(2) 2^x."""
    return ops.pow(2.0, fractional(input))


@front
@half_in_float32
def ldexp(input: ArrayT, other: Any) -> ArrayT:
    """x 2^y.

    >>> from xpnn.autograd import tensor
    >>> ldexp(tensor([1.0]), tensor([1, 2]))
    tensor([2., 4.])
    """
    x1, x2 = promoted(input, other, fractions=True)
    return promotion.multiply(x1, 2.0**x2 if type(x2) in NUMBERS else exp2(x2))


@front
@half_in_float32
def logaddexp(input: ArrayT, other: Any) -> ArrayT:
    """ln(e^x + e^y), without overflow.

    >>> from xpnn.autograd import tensor
    >>> logaddexp(tensor([1000.0]), tensor([1000.0]))
    tensor([1000.6932])
    """
    x1, x2 = promoted(input, other)
    if not is_complex(x1):
        return ops.logaddexp(x1, x2)
    # What is taken out of both is the one of the larger real part: its power then has the absolute value 1.
    first = ops.real(x1) >= ops.real(x2)
    larger = ops.where(first, x1, x2)
    return larger + ops.log(1 + ops.exp(ops.where(first, x2, x1) - larger))


@front
@half_in_float32
def logaddexp2(input: ArrayT, other: Any) -> ArrayT:
    """The logarithm to base 2 of 2^x + 2^y, without overflow.

    >>> from xpnn.autograd import tensor
    >>> logaddexp2(tensor([2.0]), tensor([2.0]))
    tensor([3.])
    """
    x1, x2 = promoted(input, other)
    return ops.logaddexp(x1 * _LN2, x2 * _LN2) / _LN2


@front
@half_in_float32
def logit(input: ArrayT, eps: float | None = None) -> ArrayT:
    """ln(x / (1 - x)), the inverse of the sigmoid.

    Args:
        eps: moves x into [eps, 1 - eps] first; None leaves it.

    >>> from xpnn.autograd import tensor
    >>> logit(tensor([0.5]))
    tensor([0.])
    """
    x: Any = fractional(input)
    if eps is not None:
        x = ops.clip(x, eps, 1 - eps)
    return ops.log(x / (1 - x))


@front
@half_in_float32
def xlogy(input: Any, other: Any) -> Any:
    """x ln(y), and 0 where x is 0; either may be a number.

    >>> from xpnn.autograd import tensor
    >>> xlogy(tensor([0.0, 2.0]), tensor([0.0, 1.0]))
    tensor([0., 0.])
    """
    x, y = promoted(input, other, fractions=True)
    x, y = operand(x, y), operand(y, x)
    vanishes = (x == 0) & ((y <= 0) | (y == math.inf))
    return x * ops.log(ops.where(vanishes, 1.0, y))


@front
@half_in_float32
def sigmoid(input: ArrayT) -> ArrayT:
    """1 / (1 + e^-x): no overflow, and no digits lost where it is small.

    Backward: gx = g y (1 - y).
    """
    if is_complex(input):
        return ops.reciprocal(1 + ops.exp(ops.negative(input)))
    return ops.sigmoid(fractional(input))


@front
def softmax(input: ArrayT, dim: int, dtype: Any = None) -> ArrayT:
    """e^x over its sum along `dim`, shifted by the maximum so that it cannot overflow.

    Args:
        dtype: the element type that the input is converted to first.

    >>> from xpnn.autograd import tensor
    >>> softmax(tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    return _along(dim, ops.softmax, _converted(input, dtype), "softmax")


@front
def log_softmax(input: ArrayT, dim: int, dtype: Any = None) -> ArrayT:
    """The logarithm of `softmax`, also where that is too small for a number.

    >>> from xpnn.autograd import tensor
    >>> log_softmax(tensor([0.0, 0.0]), 0)
    tensor([-0.6931, -0.6931])
    """
    return _along(dim, ops.log_softmax, _converted(input, dtype), "log_softmax")


# -- exponentials, logarithms, roots and angles, as the standard has them


@front
def acos(input: ArrayT) -> ArrayT:
    """The inverse of the cosine, in [0, pi]."""
    return ops.acos(fractional(input))


arccos = acos


@front
def acosh(input: ArrayT) -> ArrayT:
    """The inverse of the hyperbolic cosine, not negative."""
    return ops.acosh(fractional(input))


arccosh = acosh


@front
def asin(input: ArrayT) -> ArrayT:
    """The inverse of the sine, in [-pi/2, pi/2]."""
    return ops.asin(fractional(input))


arcsin = asin


@front
def asinh(input: ArrayT) -> ArrayT:
    """The inverse of the hyperbolic sine."""
    return ops.asinh(fractional(input))


arcsinh = asinh


@front
def atan(input: ArrayT) -> ArrayT:
    """The inverse of the tangent, in [-pi/2, pi/2]."""
    return ops.atan(fractional(input))


arctan = atan


@front
def atanh(input: ArrayT) -> ArrayT:
    """The inverse of the hyperbolic tangent."""
    return ops.atanh(fractional(input))


arctanh = atanh


@front
def cos(input: ArrayT) -> ArrayT:
    """The cosine of an angle in radians. Backward: gx = -g sin(x)."""
    return ops.cos(fractional(input))


@front
def cosh(input: ArrayT) -> ArrayT:
    """The hyperbolic cosine, (e^x + e^-x) / 2."""
    return ops.cosh(fractional(input))


@front
def exp(input: ArrayT) -> ArrayT:
    """The exponential, e^x. Backward: gx = g e^x."""
    return ops.exp(fractional(input))


@front
def expm1(input: ArrayT) -> ArrayT:
    """e^x - 1, exact where x is near 0 too."""
    return ops.expm1(fractional(input))


@front
def log(input: ArrayT) -> ArrayT:
    """The natural logarithm. Backward: gx = g / x."""
    return ops.log(fractional(input))


@front
def log10(input: ArrayT) -> ArrayT:
    """The logarithm to base 10."""
    return ops.log10(fractional(input))


@front
def log1p(input: ArrayT) -> ArrayT:
    """ln(1 + x), exact where x is near 0 too."""
    return ops.log1p(fractional(input))


@front
def log2(input: ArrayT) -> ArrayT:
    """The logarithm to base 2."""
    return ops.log2(fractional(input))


@front
def reciprocal(input: ArrayT) -> ArrayT:
    """1 / x. Backward: gx = -g / x^2."""
    return ops.reciprocal(fractional(input))


@front
def sin(input: ArrayT) -> ArrayT:
    """The sine of an angle in radians. Backward: gx = g cos(x)."""
    return ops.sin(fractional(input))


@front
def sinh(input: ArrayT) -> ArrayT:
    """The hyperbolic sine, (e^x - e^-x) / 2."""
    return ops.sinh(fractional(input))


@front
def sqrt(input: ArrayT) -> ArrayT:
    """The square root. Backward: gx = g / (2 sqrt(x))."""
    return ops.sqrt(fractional(input))


@front
def tan(input: ArrayT) -> ArrayT:
    """The tangent of an angle in radians. Backward: gx = g (1 + tan(x)^2)."""
    return ops.tan(fractional(input))


@front
def tanh(input: ArrayT) -> ArrayT:
    """The hyperbolic tangent. Backward: gx = g (1 - tanh(x)^2)."""
    return ops.tanh(fractional(input))


@front
def atan2(input: ArrayT, other: Any) -> ArrayT:
    """The angle of the point (other, input), in [-pi, pi].

    >>> from xpnn.autograd import tensor
    >>> atan2(tensor([1.0]), tensor([1.0]))
    tensor([0.7854])
    """
    return ops.atan2(*promoted(input, other, fractions=True))


arctan2 = atan2


@front
def hypot(input: ArrayT, other: Any) -> ArrayT:
    """sqrt(x^2 + y^2), without overflow.

    >>> from xpnn.autograd import tensor
    >>> hypot(tensor([3.0]), tensor([4.0]))
    tensor([5.])
    """
    return ops.hypot(*promoted(input, other))


@front
@half_in_float32
def sinc(input: ArrayT) -> ArrayT:
    """sin(pi x) / (pi x), and 1 at 0.

    Beside 0 it is the first terms of its series: the quotient's derivative is a difference of large numbers.
    """
    x: Any = fractional(input)
    is_small = ops.abs(x) < 1 / 64
    angle = ops.where(is_small, 1.0, x) * _PI
    square = ops.square(ops.where(is_small, x, 0.0) * _PI)
    series = 1 - square / 6 * (1 - square / 20 * (1 - square / 42))
    return ops.where(is_small, series, ops.sin(angle) / angle)


@front
@half_in_float32
def deg2rad(input: ArrayT) -> ArrayT:
    """Degrees as radians: x pi / 180."""
    return fractional(input) * (_PI / 180)


@front
@half_in_float32
def rad2deg(input: ArrayT) -> ArrayT:
    """Radians as degrees: x 180 / pi."""
    return fractional(input) * (180 / _PI)


# -- rounding, whose gradient is 0


@front
def ceil(input: ArrayT) -> ArrayT:
    """The next integer from below."""
    return _rounded("ceil", input)


@front
def floor(input: ArrayT) -> ArrayT:
    """The next integer from above."""
    return _rounded("floor", input)


@front
def trunc(input: ArrayT) -> ArrayT:
    """The next integer towards 0."""
    return _rounded("trunc", input)


fix = trunc


@front
@half_in_float32
def round(input: ArrayT, *, decimals: int = 0) -> ArrayT:
    """The nearest integer, the even one of two.

    Args:
        decimals: digits after the point that are kept; negative ones count before it.

    >>> from xpnn.autograd import tensor
    >>> round(tensor([0.5, 1.5, 2.25])), round(tensor([2.25]), decimals=1)
    (tensor([0., 2., 2.]), tensor([2.2000]))
    """
    if not decimals:
        return _rounded("round", input)
    if is_whole(input):
        raise DTypeError(
            f"rounds floating-point numbers to decimals, got {dtype_name(input.dtype)}", subject="round"
        )
    scale: Any = 10.0 ** builtins.abs(decimals)
    x: Any = input
    return ops.round(x * scale) / scale if decimals > 0 else ops.round(x / scale) * scale


@front
def frac(input: ArrayT) -> ArrayT:
    """x - trunc(x), which has the sign of x. Raises: DTypeError for integers."""
    if is_whole(input):
        raise DTypeError(f"expects floating-point numbers, got {dtype_name(input.dtype)}", subject="frac")
    return ops.subtract(input, ops.trunc(input))


# -- limits and choices


@front
def clamp(input: ArrayT, min: Any = None, max: Any = None) -> ArrayT:
    """The elements, moved into [min, max]; where the bounds cross, it is max.

    Args:
        min, max: numbers or Tensors; None is no bound, and not both may be None.

    The gradient goes to x where it lies within the bounds, else to the bound.

    >>> from xpnn.autograd import tensor
    >>> clamp(tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise ArgumentError("expects min or max, got neither", subject="clamp")
    bounds = [bound for bound in (min, max) if bound is not None]
    x, *bounds = promoted(input, *bounds)
    low: Any = None if min is None else bounds[0]
    high: Any = None if max is None else bounds[-1]
    if dtype_name(x.dtype) == "bool":
        raise DTypeError("expects numbers, got bool", subject="clamp")
    if any(isinstance(bound, float) and bound != bound for bound in bounds):
        return ops.where(x == x, math.nan, x)
    if all(type(bound) in NUMBERS for bound in (low, high)) and low > high:
        return ops.where(x == x, high, x)
    return ops.clip(x, low, high)


@front
def clamp_min(input: ArrayT, min: Any) -> ArrayT:
    """The elements, at least `min`; see `clamp`."""
    return clamp(input, min)


@front
def clamp_max(input: ArrayT, max: Any) -> ArrayT:
    """The elements, at most `max`; see `clamp`."""
    return clamp(input, None, max)


clip = clamp


@front
def relu(input: ArrayT) -> ArrayT:
    """max(x, 0); the gradient at 0 is 0."""
    if dtype_name(input.dtype) == "bool" or is_complex(input):
        raise DTypeError(f"expects real numbers, got {dtype_name(input.dtype)}", subject="relu")
    return ops.relu(input)


@front
def maximum(input: ArrayT, other: Any) -> ArrayT:
    """The larger of two elements, NaN where one is; a tie shares the gradient.

    >>> from xpnn.autograd import tensor
    >>> maximum(tensor([1.0, 5.0]), tensor([2.0, 3.0]))
    tensor([2., 5.])
    """
    return ops.maximum(*promoted(input, other))


@front
def minimum(input: ArrayT, other: Any) -> ArrayT:
    """The smaller of two elements, NaN where one is; a tie shares the gradient."""
    return ops.minimum(*promoted(input, other))


@front
def fmax(input: ArrayT, other: Any) -> ArrayT:
    """The larger of two elements, the other one where one is NaN.

    >>> from xpnn.autograd import tensor
    >>> fmax(tensor([1.0, float("nan")]), tensor([2.0, 3.0]))
    tensor([2., 3.])
    """
    x1, x2 = promoted(input, other)
    return ops.where((x1 >= x2) | (x2 != x2), x1, x2)


@front
def fmin(input: ArrayT, other: Any) -> ArrayT:
    """The smaller of two elements, the other one where one is NaN."""
    x1, x2 = promoted(input, other)
    return ops.where((x1 <= x2) | (x2 != x2), x1, x2)


@front
def copysign(input: ArrayT, other: Any) -> ArrayT:
    """|x| with the sign of y.

    >>> from xpnn.autograd import tensor
    >>> copysign(tensor([1.0, 2.0]), -1)
    tensor([-1., -2.])
    """
    return ops.copysign(*promoted(input, other, fractions=True))


@front
def heaviside(input: ArrayT, values: Any) -> ArrayT:
    """0 below 0, 1 above it, and `values` at it.

    >>> from xpnn.autograd import tensor
    >>> heaviside(tensor([-1.0, 0.0, 1.0]), tensor([0.5]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    x, values = [x.detach() for x in promoted(input, values)]
    one_above = ops.astype(x > 0, x.dtype)
    return ops.where(x == 0, values, ops.where(x != x, x, one_above))


@front
def nan_to_num(
    input: ArrayT, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> ArrayT:
    """Numbers in place of NaN and of the infinities; whose gradient is 0.

    Args:
        nan: default 0. posinf, neginf: default the largest and the smallest number of the element type.

    >>> from xpnn.autograd import tensor
    >>> nan_to_num(tensor([float("nan"), 1.0]), nan=-1.0)
    tensor([-1.,  1.])
    """
    if is_whole(input):
        return _copy(input)
    limits = finfo(dtype_name(input.dtype))
    x: Any = input
    x = ops.where(x != x, 0.0 if nan is None else nan, x)
    x = ops.where(x == math.inf, limits.max if posinf is None else posinf, x)
    return ops.where(x == -math.inf, limits.min if neginf is None else neginf, x)


# -- whole numbers


@front
def gcd(input: ArrayT, other: Any) -> ArrayT:
    """The greatest common divisor of integers, by Euclid's algorithm.

    >>> from xpnn.autograd import tensor
    >>> gcd(tensor([12, 7]), tensor([8, 21]))
    tensor([4, 7])
    """
    return new_tensor(_greatest_divisor(*_integers("gcd", input, other)))


@front
def lcm(input: ArrayT, other: Any) -> ArrayT:
    """The least common multiple of integers.

    >>> from xpnn.autograd import tensor
    >>> lcm(tensor([4, 0]), tensor([6, 5]))
    tensor([12,  0])
    """
    x1, x2 = _integers("lcm", input, other)
    xp = namespace(x1)
    divisor = _greatest_divisor(x1, x2)
    return new_tensor(xp.abs(x1 // xp.where(divisor == 0, xp.ones_like(divisor), divisor) * x2))


def _scaled(value: Any, factor: Any) -> Any:
    if type(factor) in (int, float) and factor == 1:
        return value
    both_numbers = type(value) in NUMBERS and type(factor) in NUMBERS
    return value * factor if both_numbers else promotion.multiply(value, factor)


def _copy(x: Any) -> Any:
    return ops.astype(x, x.dtype, copy=True)


def operand(x: Any, like: Any) -> Any:
    """A number as a Tensor without axes, of the element type and on the device of another one."""
    return new_tensor(as_operand(x, raw_of(like))) if type(x) in NUMBERS else x


def _converted(x: Any, dtype: Any) -> Any:
    return fractional(x) if dtype is None else cast(x, dtype_named(dtype, namespace(raw_of(x))))


def _along(dim: int, function: Primitive, x: Any, subject: str) -> Any:
    """What a function does along an axis; a number is a row of one."""
    axis = axis_of(dim, x.ndim or 1, subject)
    return function(x, axis=axis) if x.ndim else ops.reshape(function(ops.reshape(x, (1,)), axis=0), ())


def _rounded(name: str, x: Any) -> Any:
    if dtype_name(x.dtype) == "bool":
        raise DTypeError("expects numbers, got bool", subject=name)
    return _copy(x) if is_whole(x) else getattr(ops, name)(x)


def _remainder_of_sign(xp: Any, x1: Array, x2: Array) -> Array:
    """What a division leaves, with the sign of the dividend."""
    rest = xp.remainder(xp.abs(x1), xp.abs(x2))
    return xp.where(x1 < 0, -rest, rest)


def _integers(name: str, input: Any, other: Any) -> list[Array]:
    """Two raw arrays of integers in one element type."""
    operands = promoted(input, other)
    like = next(x for x in operands if type(x) not in NUMBERS)
    found = [raw_of(operand(x, like)) for x in operands]
    for x in found:
        if promotion.kind_of_type(x.dtype) != 1:
            raise DTypeError(f"expects integers, got {dtype_name(x.dtype)}", subject=name)
    return found


def _greatest_divisor(x1: Array, x2: Array) -> Array:
    xp = namespace(x1)
    x1, x2 = xp.broadcast_arrays(xp.abs(x1), xp.abs(x2))
    for _ in builtins.range(_EUCLID):
        if concrete(x2) and cheap_to_read(x2) and not xp.any(x2 != 0):
            break
        rest = xp.remainder(x1, xp.where(x2 == 0, xp.ones_like(x2), x2))
        x1, x2 = xp.where(x2 == 0, x1, x2), xp.where(x2 == 0, x2, rest)
    return x1


def _refuse_fraction(alpha: Any, *operands: Any) -> None:
    if type(alpha) is float and all(is_whole(x) for x in operands):
        raise DTypeError(
            f"expects an integer to multiply integers by, got alpha={alpha}",
            hint="Convert them with .float()",
        )


def _refuse_booleans(name: str, instead: str, *operands: Any) -> None:
    for x in operands:
        if type(x) not in NUMBERS and dtype_name(x.dtype) == "bool":
            raise DTypeError("expects numbers, got bool", subject=name, hint=f"Use {instead}")


def _refuse_zero(name: str, dividend: Any, divisor: Any) -> None:
    """Raise for a division of integers by 0, where that is seen without waiting for an accelerator."""
    if not (is_whole(dividend) and is_whole(divisor)) or 0 in getattr(dividend, "shape", ()):
        return
    raw = raw_of(divisor)
    if type(raw) in NUMBERS:
        zero = not raw
    else:
        zero = concrete(raw) and cheap_to_read(raw) and bool(namespace(raw).any(raw == 0))
    if zero:
        raise ArgumentError("does not divide integers by 0", subject=name)
