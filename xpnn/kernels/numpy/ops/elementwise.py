"""Sums, differences, products and quotients of large arrays in NumPy, by threads.

One thread does not use up the memory's speed. Below a few million elements a second one gains nothing.
The gradient of a factor that was broadcast is one pass over memory, without the product that is summed up.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.kernels.numpy.chunks import lying_as
from xpnn.kernels.numpy.parallel import parallel

# Elements below which one thread is as fast.
_LARGE = 2_000_000

# Elements from which the logarithm of a sum of exponentials is taken by operations on whole arrays.
_MANY = 4096

# Elements of the larger factor below which the gradients of broadcast ones are left to the reference; and
# summands of one number, of which more would lose digits that the library's pairwise sum does not.
_STRETCHED = 4096
_SUMMANDS = 4096

Kind = tuple[tuple[int, ...], np.dtype]


def _are_alike(x1: Any, x2: Any) -> bool:
    """Two large arrays of one shape, one type of floats and one order of memory."""
    return (
        type(x1) is np.ndarray
        and type(x2) is np.ndarray
        and x1.size >= _LARGE
        and x1.shape == x2.shape
        and x1.dtype == x2.dtype
        and x1.dtype.kind == "f"
        and x1.strides == x2.strides
    )


def _is_small_power(x1: Any, x2: Any) -> bool:
    return type(x1) is np.ndarray and x1.dtype.char in "fd" and type(x2) in (int, float) and x2 in (3, 4)


def _kinds(x1: np.ndarray, x2: np.ndarray) -> tuple[Kind, Kind]:
    return (x1.shape, x1.dtype), (x2.shape, x2.dtype)


def _by_threads(function: np.ufunc, x1: np.ndarray, x2: np.ndarray) -> np.ndarray:
    y = np.empty_like(x1)
    flat_y, flat1, flat2 = (array.ravel(order="K") for array in (y, lying_as(x1, y), lying_as(x2, y)))
    parallel(lambda part: function(flat1[part], flat2[part], out=flat_y[part]), y.size, y.size, align=64)
    return y


@kernel("numpy", "add", when=_are_alike)
def add(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The standard's `add`."""
    return _by_threads(np.add, x1, x2), _kinds(x1, x2)


@kernel("numpy", "subtract", when=_are_alike)
def subtract(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The standard's `subtract`."""
    return _by_threads(np.subtract, x1, x2), _kinds(x1, x2)


@kernel("numpy", "multiply", when=_are_alike)
def multiply(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The standard's `multiply`."""
    return _by_threads(np.multiply, x1, x2), (*_kinds(x1, x2), x2, x1)


@multiply.backward
@saves_as_reference
def _multiply_backward(g: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    *_, x2, x1 = saved
    return tuple(
        _by_threads(np.multiply, x, lying_as(g, x)) if need else None for x, need in zip((x2, x1), needs)
    )


def _are_stretched(x1: Any, x2: Any) -> bool:
    return (
        type(x1) is np.ndarray
        and type(x2) is np.ndarray
        and x1.shape != x2.shape
        and max(x1.size, x2.size) >= _STRETCHED
        and x1.dtype == x2.dtype
        and x1.dtype.char in "fd"
    )


@kernel("numpy", "multiply", when=_are_stretched)
def multiply_stretched(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The standard's `multiply`, of factors that are broadcast."""
    return np.multiply(x1, x2), (*_kinds(x1, x2), x2, x1)


@multiply_stretched.backward
@saves_as_reference
def _multiply_stretched_backward(g: np.ndarray, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    *_, x2, x1 = saved
    pairs = ((x2, x1), (x1, x2))
    return tuple(_summed_product(g, x, of.shape) if need else None for (x, of), need in zip(pairs, needs))


def _summed_product(g: np.ndarray, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """g x, summed over the axes along which an operand of `shape` was broadcast."""
    added = g.ndim - len(shape)
    kept = [added + i for i, n in enumerate(shape) if n == g.shape[added + i]]
    if len(kept) == g.ndim:
        return g * x
    if g.size > _SUMMANDS * math.prod(shape):
        summed = tuple(set(range(g.ndim)).difference(kept))
        return np.sum(g * x, axis=summed).reshape(shape)
    return np.einsum(g, [*range(g.ndim)], x, [*range(g.ndim - x.ndim, g.ndim)], kept).reshape(shape)


@kernel("numpy", "divide", when=_are_alike)
def divide(x1: np.ndarray, x2: np.ndarray) -> tuple[np.ndarray, tuple]:
    """The standard's `divide`."""
    y = _by_threads(np.divide, x1, x2)
    return y, (*_kinds(x1, x2), x2, x2, y)


@kernel("numpy", "pow", when=_is_small_power)
def power(x1: np.ndarray, x2: float) -> tuple[np.ndarray, tuple]:
    """The standard's `pow` for exponents 3 and 4, as products: the library takes a logarithm."""
    y = x1 * x1
    y *= x1 if x2 == 3 else y
    return y, ((x1.shape, x1.dtype), None, x1, x2, None, None, None)


@kernel(
    "numpy",
    "logaddexp",
    when=lambda x1, x2: (
        type(x1) is np.ndarray
        and x1.size >= _MANY
        and x1.dtype.char in "fd"
        and (type(x2) in (int, float) or (type(x2) is np.ndarray and x2.dtype == x1.dtype))
    ),
)
def logaddexp(x1: np.ndarray, x2: Any) -> tuple[np.ndarray, tuple]:
    """The standard's `logaddexp`: max(x1, x2) + ln(1 + e^-|x1 - x2|), where NumPy calls the C library."""
    with np.errstate(invalid="ignore", over="ignore"):
        y = np.subtract(x1, x2)
        np.abs(y, out=y)
        np.negative(y, out=y)
        np.log1p(np.exp(y, out=y), out=y)
        y += np.maximum(x1, x2)
    if y.size and np.isnan(y.min()):  # of equal infinities, or indeed of NaN
        y = np.logaddexp(x1, x2)
    if type(x2) is np.ndarray:
        return y, (*_kinds(x1, x2), x1, x2, x1, x2)
    return y, ((x1.shape, x1.dtype), None, x1, x2, None, None)
