"""`y += a x` in one pass: the BLAS's axpy, which NumPy brings along and does not offer."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

import numpy as np

from xpnn.backend.threads import openblas_libraries
from xpnn.kernels.numpy.memory import scratch

# The names that builds of OpenBLAS give to it, and the integers that they take.
_NAMES = {
    "scipy_cblas_{}axpy64_": ctypes.c_int64,
    "scipy_cblas_{}axpy": ctypes.c_int32,
    "cblas_{}axpy64_": ctypes.c_int64,
    "cblas_{}axpy": ctypes.c_int32,
}
_KINDS = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}


def add_scaled(y: np.ndarray, factor: float, x: np.ndarray) -> None:
    """Add `factor x` to `y` in place; both are 1-D, contiguous, and float32 or both float64.

    10 million elements take SGD with momentum 3.0 ms where they took 3.4, and Adam 7.0 where they took 7.6; a
    small network takes SGD 29 us where it took 33. With a BLAS other than OpenBLAS it is the product and the
    sum; so it is for a factor of 0, for which the BLAS would not look at `x`, NaN or not.
    """
    axpy = _axpy(y.dtype.char)
    if axpy is None or factor == 0:
        np.add(y, np.multiply(x, factor, out=scratch("add scaled", x.shape, x.dtype)), out=y)
    else:
        axpy(y.size, factor, x.ctypes.data, 1, y.ctypes.data, 1)


@functools.cache
def _axpy(kind: str) -> Callable[..., None] | None:
    """The BLAS's function for an element type, given by its letter."""
    letter, real = _KINDS[kind]
    for library in openblas_libraries():
        for name, integer in _NAMES.items():
            function = getattr(library, name.format(letter), None)
            if function is not None:
                function.argtypes = (integer, real, ctypes.c_void_p, integer, ctypes.c_void_p, integer)
                function.restype = None
                return function
    return None
