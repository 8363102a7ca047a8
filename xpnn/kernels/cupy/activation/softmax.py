"""Softmax and its logarithm along any axis in one launch each way."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import (
    MOST_BLOCKS,
    cuda_kernel,
    in_rows,
    launch,
    library_of,
    takes,
    threads_for,
)


def _takes(x: Array, *, axis: int) -> bool:
    return x.itemsize > 2 and takes(x)  # in half precision a result is too coarse to make a gradient of


def _along(name: str, arrays: tuple[Array, ...], axis: int, logarithm: bool) -> Array:
    """A kernel of arrays of one shape, a block for a row."""
    arrays = tuple(map(in_rows, arrays))
    shape = arrays[0].shape
    y = library_of(arrays[0]).empty(shape, dtype=arrays[0].dtype)
    length, inner = shape[axis], prod(shape[axis + 1 :])
    rows = y.size // length
    args = (*arrays, y, rows, length, inner, np.int32(logarithm))
    launch("softmax.cu", name, y, min(rows, MOST_BLOCKS), threads_for(length), args)
    return y


def _register(name: str, logarithm: bool) -> None:
    def forward(x: Array, *, axis: int) -> tuple[Array, tuple]:
        y = _along("softmax", (x,), axis % x.ndim, logarithm)
        return y, (y,)

    def backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Any]:
        return (_along("softmax_input", (gy, *saved), axis % gy.ndim, logarithm),)

    cuda_kernel(name, _takes, forward, backward, alike=True)


_register("softmax", logarithm=False)
_register("log_softmax", logarithm=True)
