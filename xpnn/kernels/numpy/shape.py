"""Resampling in NumPy: products with small blocks of the matrix of weights, which is zero off a band."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.bands import Block, blocks_of_band, is_finite, multiply_along, multiply_back


@kernel("numpy", "resample", when=is_finite)
def resample(x: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_resample`."""
    return multiply_along(x, axis, _blocks(taps, x.dtype.char)), ()


@kernel("numpy", "add_to_taps", when=is_finite)
def add_to_taps(gy: np.ndarray, *, axis: int, taps: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `_add_to_taps`."""
    return multiply_back(gy, axis, _blocks(taps, gy.dtype.char), taps.count), ()


@functools.lru_cache(maxsize=256)
def _blocks(taps: Any, char: str) -> list[Block]:
    return blocks_of_band(np.asarray(taps.cells), np.asarray(taps.weights), char)
