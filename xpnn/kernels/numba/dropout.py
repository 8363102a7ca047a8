"""Dropout: the stream's words in registers from the first round to the comparison, the mask written once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import saves_as_reference
from xpnn.backend.random import key_schedule
from xpnn.kernels.numba.compiling import (
    In1,
    Integer,
    Mask,
    NewMask,
    Out1,
    Real,
    compiled_function,
    compiled_kernel,
    inlined,
)
from xpnn.kernels.numba.elements import by_element
from xpnn.kernels.numpy.parallel import parallel


@inlined
def _round(x0: Integer, x1: Integer, rotation: Integer) -> tuple[Integer, Integer]:
    """Add, rotate, mix, in 32 bits."""
    x0 = np.uint32(x0 + x1)
    turned = np.uint32(x1 << np.uint32(rotation)) | np.uint32(x1 >> np.uint32(32 - rotation))
    return x0, np.uint32(turned ^ x0)


@inlined
def _threefry(counter: Integer, block: Integer, k0: Integer, k1: Integer) -> tuple[Integer, Integer]:
    """threefry2x32(key, (counter, block)), as in `backend.random`."""
    k2 = np.uint32(k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = np.uint32(counter + k0), np.uint32(block + k1)
    for group in range(5):
        if group % 2 == 0:
            x0, x1 = _round(x0, x1, 13)
            x0, x1 = _round(x0, x1, 15)
            x0, x1 = _round(x0, x1, 26)
            x0, x1 = _round(x0, x1, 6)
        else:
            x0, x1 = _round(x0, x1, 17)
            x0, x1 = _round(x0, x1, 29)
            x0, x1 = _round(x0, x1, 16)
            x0, x1 = _round(x0, x1, 24)
        k0, k1, k2 = k1, k2, k0
        x0, x1 = np.uint32(x0 + k0), np.uint32(x1 + k1 + np.uint32(group + 1))
    return x0, x1


@compiled_function
def _draw(
    counter: Integer,
    k0: Integer,
    k1: Integer,
    start: Integer,
    least: Integer,
    first: NewMask,
    second: NewMask,
) -> None:
    """Which words of the blocks from `start` are `least` or more: the first words, and the second ones."""
    for i in range(second.size):
        x0, x1 = _threefry(np.uint32(counter), np.uint32(start + i), np.uint32(k0), np.uint32(k1))
        first[i] = x0 >= np.uint32(least)
        second[i] = x1 >= np.uint32(least)
    for i in range(second.size, first.size):
        x0, _ = _threefry(np.uint32(counter), np.uint32(start + i), np.uint32(k0), np.uint32(k1))
        first[i] = x0 >= np.uint32(least)


@compiled_function
def _scale(x: In1, keep: Mask, factor: Real, y: Out1) -> None:
    for i in range(x.size):
        y[i] = x[i] * (factor if keep[i] else 0)


def _some_kept(like: np.ndarray, *, steps: int, **_: Any) -> bool:
    return steps << 8 <= 0xFFFFFFFF


@compiled_kernel("threefry_mask", _draw, when=_some_kept)
def threefry_mask(
    like: np.ndarray, *, shape: tuple[int, ...], steps: int, seed: int, counter: int
) -> tuple[np.ndarray, tuple]:
    """The reference's `_threefry_mask`."""
    size = math.prod(shape)
    mask = np.empty(size, dtype=bool)
    blocks = (size + 1) // 2
    first, second = mask[:blocks], mask[blocks:]
    k0, k1 = (word & 0xFFFFFFFF for word in key_schedule(seed)[:2])

    def draw(part: slice) -> None:
        _draw(counter, k0, k1, part.start, steps << 8, first[part], second[part])

    parallel(draw, blocks, 4 * size, align=64)
    return mask.reshape(shape), ()


def _of_all_elements(x: np.ndarray, keep: np.ndarray, *, p: float) -> bool:
    return keep.shape == x.shape


@compiled_kernel("dropout", _scale, when=_of_all_elements)
def dropout(x: np.ndarray, keep: np.ndarray, *, p: float) -> tuple[np.ndarray, tuple]:
    """The reference's `_dropout`."""
    return _masked(x, keep, p), (keep,)


@dropout.backward
@saves_as_reference
def _dropout_backward(
    gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], *, p: float
) -> tuple[np.ndarray, None]:
    return _masked(gy, saved[0], p), None


def _masked(x: np.ndarray, keep: np.ndarray, p: float) -> np.ndarray:
    factor = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return by_element(lambda x, keep, y: _scale(x, keep, factor, y), 2, np.empty_like(x), x, keep)
