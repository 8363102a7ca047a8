"""Dropout in NumPy: the stream's numbers in place, piece by piece, compared as the integers that they are."""

from __future__ import annotations

import functools
import math

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.backend.random import THREEFRY_BLOCKS, key_schedule, threefry_in_place
from xpnn.kernels.numpy.chunks import by_element, lying_as
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel

# Masks of at most so many blocks are made for so many draws at a time.
_FEW_BLOCKS = 512
_DRAWS = 16

# What a word costs, in the unit of `parallel`.
_WORK = 20

# Elements below which the reference's fewer calls are faster.
_LARGE = 100_000


@kernel("numpy", "threefry_mask")
def threefry_mask(
    like: np.ndarray, *, shape: tuple[int, ...], steps: int, seed: int, counter: int
) -> tuple[np.ndarray, tuple]:
    """The reference's `_threefry_mask`.

    A number is the upper 24 bits of a word, so that the word itself can be compared.
    """
    size = math.prod(shape)
    mask = np.empty(size, dtype=bool)
    if steps << 8 > 0xFFFFFFFF:
        mask.fill(False)
        return mask.reshape(shape), ()
    least, blocks = np.uint32(steps << 8), (size + 1) // 2
    words = tuple(word & 0xFFFFFFFF for word in key_schedule(seed))

    def compare(x0: np.ndarray, x1: np.ndarray, first: int, last: int) -> None:
        np.greater_equal(x0, least, out=mask[first:last])
        second = mask[blocks + first : blocks + last]  # a word shorter at the end of an odd size
        np.greater_equal(x1[: len(second)], least, out=second)

    def draw(part: slice) -> None:
        for first in range(part.start, part.stop, THREEFRY_BLOCKS):
            last = min(first + THREEFRY_BLOCKS, part.stop)
            x0, x1, turned = (scratch(f"threefry {i}", (last - first,), np.uint32) for i in range(3))
            x0.fill((counter + words[0]) & 0xFFFFFFFF)
            x1[...] = np.arange(first, last, dtype=np.uint32)
            threefry_in_place(words, x0, x1, turned)
            compare(x0, x1, first, last)

    if blocks <= _FEW_BLOCKS:
        x0, x1 = (x[counter % _DRAWS, :blocks] for x in _several_draws(words, counter // _DRAWS))
        compare(x0, x1, 0, blocks)
    else:
        parallel(draw, blocks, _WORK * size, align=64)
    return mask.reshape(shape), ()


@functools.lru_cache(maxsize=4)
def _several_draws(key: tuple[int, ...], number: int) -> tuple[np.ndarray, np.ndarray]:
    """The words of the first blocks of `_DRAWS` draws at once, which take as many calls as those of one."""
    x0 = np.empty((_DRAWS, _FEW_BLOCKS), dtype=np.uint32)
    x1 = np.empty_like(x0)
    first = number * _DRAWS + key[0]
    x0[...] = np.asarray([(first + i) & 0xFFFFFFFF for i in range(_DRAWS)], dtype=np.uint32)[:, None]
    x1[...] = np.arange(_FEW_BLOCKS, dtype=np.uint32)
    threefry_in_place(key, x0, x1, np.empty_like(x0))
    return x0, x1


def _is_large(x: np.ndarray, keep: np.ndarray, *, p: float) -> bool:
    return x.size >= _LARGE and keep.shape == x.shape


@kernel("numpy", "dropout", when=_is_large)
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
    y = np.empty_like(x)
    scale = x.dtype.type(0.0 if p == 1.0 else 1.0 / (1.0 - p))

    def multiply(y: np.ndarray, x: np.ndarray, keep: np.ndarray) -> None:
        np.copyto(y, keep)  # a product of numbers and booleans takes twice as long
        y *= scale
        y *= x

    by_element(multiply, 1.5, y, lying_as(x, y), lying_as(keep, y))
    return y
