"""Kernels and images of convolutions, in the order of memory in which products of blocks want them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.kernels.numba.compiling import Out3, OutStrided4, Strided4, compiled_function
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
def _unpack_kernel(total: Strided4, w: OutStrided4) -> None:
    """w (O, C, KH, KW) of total (KH, O, KW, C)."""
    height, outputs, width, channels = total.shape
    for o in range(outputs):
        for u in range(height):
            for v in range(width):
                for c in range(channels):
                    w[o, c, u, v] = total[u, o, v, c]


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
    """The gradient (O, C, KH, KW) of sums (KH, O, KW, C); backwards of (KH, C, KW, O), last cell first."""
    if backwards:
        total = total[::-1, :, ::-1].transpose(0, 3, 2, 1)
    height, outputs, width, channels = total.shape
    gw = np.empty((outputs, channels, height, width), dtype=total.dtype)
    parallel(lambda part: unpack(total[:, part], gw[part]), outputs, gw.size * _COPY)
    return gw


def unpack(total: np.ndarray, gw: np.ndarray) -> None:
    """Write sums (KH, O, KW, C) to gw (O, C, KH, KW)."""
    _unpack_kernel(total, gw)


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
