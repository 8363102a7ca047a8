"""Dropout: the mask of the stream in one launch, and the product with it in one each way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.backend.random import key_schedule
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    blocks_for,
    compiles_cuda,
    cuda_kernel,
    launch,
    library_of,
    lying_alike,
    takes,
)

_SOURCE = "dropout.cu"


def _takes_draw(like: Array, *, shape: tuple[int, ...], counter: Any, **options: Any) -> bool:
    """Guard: the counter of a step that is compiled lies on the device."""
    counts = type(counter) is int or (type(counter) is type(like) and counter.dtype == np.int32)
    return counts and math.prod(shape) > 0 and compiles_cuda(like)


@kernel("cupy", "threefry_mask", when=_takes_draw, half=_takes_draw)
def threefry_mask(
    like: Array, *, shape: tuple[int, ...], steps: int, seed: int, counter: Any
) -> tuple[Array, tuple]:
    """The reference's `_threefry_mask`."""
    library = library_of(like)
    mask = library.empty(shape, dtype=bool)
    number, there = (counter, None) if type(counter) is int else (0, counter)
    words = [np.uint32(word & 0xFFFFFFFF) for word in (*key_schedule(seed), number, steps)]
    beside = (
        library.empty((), dtype=np.float32) if like.dtype.kind != "f" else like
    )  # the kernel reads no element
    blocks = blocks_for((mask.size + 1) // 2)
    given = (mask, mask.size, *words, there)
    launch(_SOURCE, "threefry_mask", beside, blocks, MOST_THREADS, given, size=mask.size)
    return mask, ()


def _takes(x: Array, keep: Array, *, p: float) -> bool:
    return takes(x) and keep.shape == x.shape and keep.dtype.char == "?"


def _masked(x: Array, keep: Array, p: float) -> Array:
    x, keep = lying_alike(x, keep)
    y = library_of(x).empty_like(x)
    scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    launch(_SOURCE, "dropout", x, blocks_for(x.size), MOST_THREADS, (x, keep, y, x.size, scale))
    return y


def _dropout(x: Array, keep: Array, *, p: float) -> tuple[Array, tuple]:
    return _masked(x, keep, p), (keep,)


def _dropout_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, p: float) -> tuple[Any, ...]:
    return _masked(gy, saved[0], p), None


cuda_kernel("dropout", _takes, _dropout, _dropout_backward, alike=True)
