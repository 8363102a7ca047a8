"""Floating-point numbers as they are written in binary: mantissa and exponent, the next number."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import is_whole, promoted, raw_of
from xpnn.backend import BackendError, DTypeError, backend_of, dtype_name, is_half, namespace

__all__ = ["frexp", "nextafter"]

_TINY = 2.0**-40  # below it a number is scaled up first, as its logarithm may be that of a subnormal number
_SCALE = 64


class Parts(NamedTuple):
    """What `frexp` returns."""

    mantissa: Any
    exponent: Any


@front
def frexp(input: Any) -> Parts:
    """x = m 2^e with 1/2 <= |m| < 1 and a whole e, of int32; 0, infinities and NaN are m, with e = 0.

    Backward: gx = gm 2^-e.

    >>> from xpnn.autograd import tensor
    >>> frexp(tensor([6.0])).mantissa, frexp(tensor([6.0])).exponent
    (tensor([0.7500]), tensor([3], dtype=xpnn.int32))
    """
    if is_whole(input):
        raise DTypeError(
            f"expects floating-point numbers, got {dtype_name(input.dtype)}",
            subject="frexp",
            hint="Convert them with .float()",
        )
    raw = raw_of(input)
    xp = namespace(raw)
    wide = xp.astype(raw, xp.float32) if is_half(raw) else raw
    size = xp.abs(wide)
    usual = (size > 0) & (size < math.inf)
    size = xp.where(usual, size, xp.ones_like(size))
    small = size < _TINY
    size = xp.where(small, size * 2.0**_SCALE, size)
    exponent = xp.floor(xp.log2(size)) + 1
    mantissa = _scaled(size, -exponent)
    exponent = exponent + xp.astype(mantissa >= 1, size.dtype) - xp.astype(mantissa < 0.5, size.dtype)
    exponent = exponent - _SCALE * xp.astype(small, size.dtype)
    exponent = xp.where(usual, exponent, xp.zeros_like(exponent))
    mantissa = _scaled(input, xp.astype(-exponent, raw.dtype))
    return Parts(mantissa, new_tensor(xp.astype(exponent, xp.int32)))


@front
def nextafter(input: Any, other: Any) -> Any:
    """The number next to x on the way to y; without a gradient.

    Raises: BackendError where the library has no such function.

    >>> from xpnn.autograd import tensor
    >>> (nextafter(tensor([1.0]), tensor([2.0])) - 1).tolist()
    [1.1920928955078125e-07]
    """
    x, y = (raw_of(value) for value in promoted(input, other))
    xp = namespace(x, y)
    if not hasattr(xp, "nextafter"):
        raise BackendError(f"has no nextafter in {backend_of(x).name}", subject="nextafter")
    x, y = (xp.asarray(value, dtype=x.dtype) for value in (x, y))
    return new_tensor(xp.nextafter(x, y))


def _scaled(x: Any, exponent: Any) -> Any:
    """x 2^exponent in three steps, of which none leaves the range of numbers."""
    xp = namespace(exponent)
    third = xp.trunc(exponent / 3)
    for part in (third, third, exponent - 2 * third):
        x = x * 2.0**part
    return x
