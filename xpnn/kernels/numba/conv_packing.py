"""Kernels and images of convolutions, in the order of memory in which products of blocks want them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.kernels.numba.compiling import Integer, Out3, OutStrided4, Strided4, compiled_function
from xpnn.kernels.numba.products import panel_width
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel

# Numbers of float32 in a line of the cache.
_LINE = 16

# What copying a number from one order to another counts for, in the unit of `parallel`.
_COPY = 4
NO_PANELS = np.empty((0, 1, 1), dtype=np.float32)


@compiled_function
def _pack_kernel(w: Strided4, panels: Out3) -> None:
    """w (O, C, KH, KW) as (O / width, KH * KW * C, width): the columns of a block next to each other."""
    channels, height, width = w.shape[1:]
    columns = panels.shape[2]
    for p in range(panels.shape[0]):
        for c in range(channels):
            for u in range(height):
                for v in range(width):
                    out = panels[p, (u * width + v) * channels + c]
                    for j in range(columns):
                        out[j] = w[p * columns + j, c, u, v]


@compiled_function
def _unpack_kernel(total: Strided4, backwards: Integer, w: OutStrided4) -> None:
    """w (O, C, KH, KW) of total (KH, O, KW, C); or w (C, O, KH, KW), with its cells backwards."""
    height, outputs, width, channels = total.shape
    if not backwards:
        for o in range(outputs):
            for c in range(channels):
                for u in range(height):
                    for v in range(width):
                        w[o, c, u, v] = total[u, o, v, c]
        return
    for first in range(0, outputs, _LINE):  # so that a line of the cache is used while it is there
        for c in range(channels):
            for o in range(first, min(first + _LINE, outputs)):
                for u in range(height):
                    for v in range(width):
                        w[c, o, height - 1 - u, width - 1 - v] = total[u, o, v, c]


PACKING = (_pack_kernel, _unpack_kernel)


def panels_of(w: np.ndarray) -> np.ndarray:
    """The kernel (O, C, KH, KW) as panels (O / width, KH * KW * C, width)."""
    width = panel_width(len(w))
    panels = np.empty((len(w) // width, w[0].size, width), dtype=w.dtype)

    def work(part: slice) -> None:
        _pack_kernel(w[part.start * width : part.stop * width], panels[part])

    parallel(work, len(panels), w.size * _COPY)
    return panels


def kernel_of(total: np.ndarray, backwards: bool) -> np.ndarray:
    """The gradient (O, C, KH, KW) of sums (KH, O, KW, C); backwards (C, O, KH, KW) as of `unpack`."""
    height, outputs, width, channels = total.shape
    gw = empty_kernel(outputs, channels, (height, width), backwards)

    def work(part: slice) -> None:
        unpack(total[:, part], backwards, part_of_kernel(gw, part, backwards))

    parallel(work, outputs, gw.size * _COPY)
    return gw


def empty_kernel(outputs: int, channels: int, size: tuple[int, int], backwards: bool) -> np.ndarray:
    """For the gradient of a kernel, or of one with outputs and channels exchanged."""
    return np.empty((channels, outputs, *size) if backwards else (outputs, channels, *size), dtype=np.float32)


def part_of_kernel(w: np.ndarray, outputs: slice, backwards: bool) -> np.ndarray:
    """Some outputs of such a kernel."""
    return w[:, outputs] if backwards else w[outputs]


def unpack(total: np.ndarray, backwards: bool, gw: np.ndarray) -> None:
    """Write sums (KH, O, KW, C) to gw (O, C, KH, KW); backwards to (C, O, KH, KW), the last cell first."""
    _unpack_kernel(total, backwards, gw)


def aligned_scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`scratch` from the start of a line of the cache on: vectors across two lines take twice as long."""
    return _aligned(scratch(name, (math.prod(shape) + _LINE,), dtype), shape)


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same for what outlives a call."""
    return _aligned(np.empty(math.prod(shape) + _LINE, dtype=dtype), shape)


def _aligned(block: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    first = -(block.ctypes.data // block.itemsize) % _LINE
    return block[first : first + math.prod(shape)].reshape(shape)


def in_one_piece(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Images (N, H, W, C) in C order: as they are, or as (N, C, H, W)."""
    planes = x.transpose(0, 3, 1, 2)
    if planes.flags.c_contiguous and not x.flags.c_contiguous:
        return planes, True
    return np.ascontiguousarray(x), False
