"""Activations in NumPy: all operations over one piece before the next, each thread its own pieces.

Times are of 1,048,576 elements in float32, forward and backward, on one thread, in ms. What is gained there
is the cache; threads come on top of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.chunks import by_element, lying_as
from xpnn.kernels.numpy.constants import zero
from xpnn.kernels.numpy.memory import scratch

# Elements below which the reference's fewer calls are faster.
LARGE = 100_000

# Elements up to which the fewest calls are fastest, whatever they cost for an element.
FEW = 8192

# 2 Phi(x) - 1 = tanh(x P(x^2)), with the polynomial P fitted so that Phi is off by at most 3e-8, half a unit
# in float32's last place; beyond the farthest x that it was fitted for, Phi is 1 in float32. Lowest power
# first.
_NORMAL_CDF = (
    0.7978849414892009,
    0.03633308441175853,
    -3.259474794594435e-05,
    -5.530631535079635e-05,
    3.964772895148977e-06,
    -1.3226625858493624e-07,
    1.7562768705587371e-09,
)
_FARTHEST_SQUARE = 5.4**2

# GELU's other form takes the tanh of sqrt(2 / pi) (x + 0.044715 x^3) = x (_LINEAR + _CUBIC x^2).
_LINEAR = math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR

Result = tuple[np.ndarray, tuple]
Gradient = tuple[np.ndarray]


def _is_large(x: np.ndarray, **_: Any) -> bool:
    return x.size >= LARGE


def _is_large_float(x: np.ndarray, **_: Any) -> bool:
    return x.size >= LARGE and x.dtype.kind == "f" and x.dtype.itemsize >= 4


def _is_float32(x: np.ndarray) -> bool:
    return x.dtype == np.float32 and x.size > 0


# ---- GELU ----


# 1.3 and 0.7; the reference, with an exponential and a longer series, 3.8 and 0.75.
@kernel("numpy", "gelu", when=_is_float32)
def gelu(x: np.ndarray) -> Result:
    """The reference's `_gelu`; like it, this keeps Phi(x), which costs more than all the rest."""
    y = np.empty_like(x)
    x_dense, cdf = lying_as(x, y), np.empty_like(x)

    def evaluate(y: np.ndarray, cdf: np.ndarray, x: np.ndarray) -> None:
        np.multiply(x, _normal_cdf(x, out=cdf), out=y)

    by_element(evaluate, 6, y, cdf, x_dense)
    return y, (x, cdf)


@gelu.backward
@saves_as_reference
def _gelu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    """gx = gy (Phi(x) + x phi(x))."""
    x, cdf = saved
    gx = np.empty_like(cdf)

    def pull_back(out: np.ndarray, gy: np.ndarray, x: np.ndarray, cdf: np.ndarray) -> None:
        np.multiply(x, x, out=out)
        out *= -0.5
        np.exp(out, out=out)
        out *= math.sqrt(0.5 / math.pi)
        out *= x
        out += cdf
        out *= gy

    by_element(pull_back, 5, gx, lying_as(gy, gx), lying_as(x, gx), cdf)
    return (gx,)


def _normal_cdf(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        square = np.multiply(x, x, out=scratch("square", x.shape, x.dtype))
    np.clip(square, 0.0, _FARTHEST_SQUARE, out=square)
    highest, *others = reversed(_NORMAL_CDF)
    np.multiply(square, highest, out=out)
    for coefficient in others[:-1]:  # Horner's rule
        out += coefficient
        out *= square
    out += others[-1]
    out *= x
    np.tanh(out, out=out)
    out += 1.0
    out *= 0.5
    return out


# 0.55 and 1.05; the reference 0.7 and 1.9.
@kernel("numpy", "gelu_tanh", when=_is_large)
def gelu_tanh(x: np.ndarray) -> Result:
    """The reference's `_gelu_tanh`: y = x (1 + t) / 2."""
    y = np.empty_like(x)

    def evaluate(y: np.ndarray, x: np.ndarray) -> None:
        _tanh_of_cubic(x, out=y)
        y += 1.0
        y *= x
        y *= 0.5

    by_element(evaluate, 4, y, lying_as(x, y))
    return y, (x,)


@gelu_tanh.backward
@saves_as_reference
def _gelu_tanh_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    """gx = gy (1 + t) (1 + x (1 - t) z') / 2, with t = tanh(z)."""
    (x,) = saved
    gx = np.empty_like(x)

    def pull_back(out: np.ndarray, gy: np.ndarray, x: np.ndarray) -> None:
        t = _tanh_of_cubic(x, out=scratch("tanh", x.shape, x.dtype))
        np.multiply(x, x, out=out)
        out *= 3 * _CUBIC
        out += _LINEAR
        out *= x
        out *= np.subtract(1.0, t, out=scratch("square", x.shape, x.dtype))
        out += 1.0
        t += 1.0
        out *= t
        out *= 0.5
        out *= gy

    by_element(pull_back, 8, gx, lying_as(gy, gx), lying_as(x, gx))
    return (gx,)


def _tanh_of_cubic(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    np.multiply(x, x, out=out)
    out *= _CUBIC
    out += _LINEAR
    out *= x
    return np.tanh(out, out=out)


# ---- sigmoid, SiLU, tanh ----


# 0.6 and 0.25; the reference 0.8 and 0.2.
@kernel("numpy", "sigmoid", when=_is_large_float)
def sigmoid(x: np.ndarray) -> Result:
    """The reference's `_sigmoid`, as 1 / (1 + e^-x): where the exponential is infinite, 0 is right."""
    y = np.empty_like(x)
    by_element(_sigmoid, 4, y, lying_as(x, y))
    return y, (y,)


@sigmoid.backward
@saves_as_reference
def _sigmoid_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (y,) = saved
    gx = np.empty_like(y)

    def pull_back(out: np.ndarray, gy: np.ndarray, y: np.ndarray) -> None:
        np.subtract(1.0, y, out=out)
        out *= y
        out *= gy

    by_element(pull_back, 1.5, gx, lying_as(gy, gx), y)
    return (gx,)


# 0.7 and 1.0; the reference 0.9 and 1.2.
@kernel("numpy", "silu", when=_is_large_float)
def silu(x: np.ndarray) -> Result:
    """The reference's `_silu`."""
    y = np.empty_like(x)

    def evaluate(y: np.ndarray, x: np.ndarray) -> None:
        _sigmoid(y, x)
        y *= x

    by_element(evaluate, 4, y, lying_as(x, y))
    return y, (x,)


@silu.backward
@saves_as_reference
def _silu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    """gx = gy s (1 + x (1 - s))."""
    (x,) = saved
    gx = np.empty_like(x)

    def pull_back(out: np.ndarray, gy: np.ndarray, x: np.ndarray) -> None:
        s = _sigmoid(scratch("sigmoid", x.shape, x.dtype), x)
        np.subtract(1.0, s, out=out)
        out *= x
        out += 1.0
        out *= s
        out *= gy

    by_element(pull_back, 7, gx, lying_as(gy, gx), lying_as(x, gx))
    return (gx,)


def _sigmoid(out: np.ndarray, x: np.ndarray) -> np.ndarray:
    np.negative(x, out=out)
    with np.errstate(over="ignore"):
        np.exp(out, out=out)
    out += 1.0
    return np.reciprocal(out, out=out)


@kernel("numpy", "tanh", when=_is_large_float)
def tanh(x: np.ndarray) -> Result:
    """The reference's `_tanh`."""
    y = np.empty_like(x)
    by_element(lambda y, x: np.tanh(x, out=y), 1, y, lying_as(x, y))
    return y, (y,)


@tanh.backward
@saves_as_reference
def _tanh_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (y,) = saved
    gx = np.empty_like(y)

    def pull_back(out: np.ndarray, gy: np.ndarray, y: np.ndarray) -> None:
        np.multiply(y, y, out=out)
        np.subtract(1.0, out, out=out)
        out *= gy

    by_element(pull_back, 1.5, gx, lying_as(gy, gx), y)
    return (gx,)


# ---- ReLU ----

# Integers as wide as the floats: minus one has all bits set, so that `mask & x` is x, and `0 & x` is 0.
_INTEGERS = {"e": np.int16, "f": np.int32, "d": np.int64}


@kernel("numpy", "select", when=lambda condition, x: x.dtype.char in _INTEGERS and x.shape == condition.shape)
def select(condition: np.ndarray, x: np.ndarray) -> Result:
    """The reference's `_select`, by its bits: `where` mispredicts a branch at every other element."""
    y = np.empty_like(condition, dtype=x.dtype)
    return write_selected(y, condition, x), (condition,)


def write_selected(out: np.ndarray, condition: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x where the condition holds, else 0."""
    integer = _INTEGERS[x.dtype.char]
    bits = out.view(integer)
    np.copyto(bits, condition)
    np.negative(bits, out=bits)
    np.bitwise_and(bits, x.view(integer), out=bits)
    return out


@kernel("numpy", "relu", when=lambda x: x.dtype.kind == "f")
def relu(x: np.ndarray) -> Result:
    """The reference's `_relu`; `clip` needs no array of zeros, and is as fast as `maximum` with one."""
    if x.size <= FEW:
        y = np.maximum(x, zero(x.dtype))
        return y, (y,)
    y = np.empty_like(x)
    by_element(lambda y, x: np.clip(x, 0.0, math.inf, out=y), 0.5, y, lying_as(x, y))
    return y, (y,)


@relu.backward
@saves_as_reference
def _relu_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> Gradient:
    (y,) = saved
    gx = np.empty_like(y)
    if y.size <= FEW:
        return (write_selected(gx, np.not_equal(y, zero(y.dtype)), gy),)

    def pull_back(out: np.ndarray, gy: np.ndarray, y: np.ndarray) -> None:
        write_selected(out, np.not_equal(y, 0.0, out=scratch("passed", y.shape, bool)), gy)

    by_element(pull_back, 1, gx, lying_as(gy, gx), y)
    return (gx,)
