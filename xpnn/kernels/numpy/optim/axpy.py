"""`y += a x` in one pass: the BLAS's axpy, which NumPy brings along and does not offer."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn.backend.threads import openblas_libraries, single_threaded_blas
from xpnn.kernels.numpy.memory import scratch

# The names that builds of OpenBLAS give to it, and the integers that they take.
_NAMES = {
    "scipy_cblas_{}axpy64_": ctypes.c_int64,
    "scipy_cblas_{}axpy": ctypes.c_int32,
    "cblas_{}axpy64_": ctypes.c_int64,
    "cblas_{}axpy": ctypes.c_int32,
}
_KINDS = {"f": ("s", ctypes.c_float), "d": ("d", ctypes.c_double)}

# Up to so many elements the product and the sum are as fast.
_SMALL = 8192


def add_scaled(y: np.ndarray, factor: float, x: np.ndarray) -> None:
    """Add `factor x` to `y` in place; both are 1-D, contiguous, and float32 or both float64.

    The BLAS reads and writes each element once. With a BLAS other than OpenBLAS it is the product and the
    sum; so it is for a factor of 0, for which the BLAS would not look at `x`, NaN or not.
    """
    axpy = _axpy(y.dtype.char) if y.size > _SMALL and factor != 0 else None
    if axpy is None:
        out = None if y.size <= _SMALL else scratch("add scaled", x.shape, x.dtype)
        np.add(y, np.multiply(x, factor, out=out), out=y)
        return
    single_threaded_blas(axpy, y.size, factor, _address(x), 1, _address(y), 1)


def _address(x: np.ndarray) -> Any:
    """Where the elements are, for a C function; `x.ctypes.data`, which reads alike, takes longer."""
    return ctypes.byref(ctypes.c_char.from_buffer(x)) if x.flags.writeable else x.ctypes.data


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
