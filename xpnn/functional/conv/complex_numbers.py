"""Convolution of complex numbers, by that of their real and imaginary parts, which have the fast kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import ops
from xpnn.backend import is_complex, namespace


def by_parts(function: Callable[[Any, Any], Any], x: Any, w: Any) -> Any:
    """`function(x, w)`, linear in both: (a + ib)(c + id) = ac - bd + i (bc + ad), a and b as one batch."""
    if not is_complex(x):
        return function(x, w)
    xp, n = namespace(x, w), x.shape[0]
    parts = xp.concat([xp.real(x), xp.imag(x)], axis=0)
    by_real, by_imaginary = function(parts, xp.real(w)), function(parts, xp.imag(w))
    return ops.complex_of(by_real[:n, ...] - by_imaginary[n:, ...], by_real[n:, ...] + by_imaginary[:n, ...])


def with_bias(y: Any, bias: Any) -> Any:
    """y + bias, one number for each channel."""
    xp = namespace(y, bias)
    return y + xp.reshape(bias, (-1, *(1,) * (y.ndim - 2)))
