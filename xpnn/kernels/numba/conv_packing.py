"""Kernels and images of convolutions, in the order of memory in which products of blocks want them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.kernels.numba.compiling import Integer, Out3, Out4, Strided4, compiled_function
from xpnn.kernels.numba.products import panel_width
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import parallel

_CACHE_LINE = 64  # bytes
NO_PANELS = np.empty((0, 1, 1), dtype=np.float32)


@compiled_function
def _pack_kernel(w: Strided4, panels: Out3) -> None:
    """w (O, C, KH, KW) as (O / width, KH * KW * C, width): the columns of a block next to each other."""
    channels, height, width = w.shape[1:]
    columns = panels.shape[2]
    for p in range(panels.shape[0]):
        for c in range(channels):
            for j in range(columns):
                cells = w[p * columns + j, c]
                for u in range(height):
                    for v in range(width):
                        panels[p, (u * width + v) * channels + c, j] = cells[u, v]


@compiled_function
def _unpack_kernel(total: Strided4, width: Integer, backwards: Integer, w: Out4) -> None:
    """w (O, C, KH, KW), or (C, O, KH, KW) with its cells backwards, of total (runs, O, cells in a run, C)."""
    joined, last = total.shape[2], total.shape[0] * total.shape[2] - 1
    for o in range(total.shape[1]):
        for c in range(total.shape[3]):
            for r in range(total.shape[0]):
                for v in range(joined):
                    cell = r * joined + v
                    if backwards:
                        w[c, o, (last - cell) // width, (last - cell) % width] = total[r, o, v, c]
                    else:
                        w[o, c, cell // width, cell % width] = total[r, o, v, c]


PACKING = (_pack_kernel, _unpack_kernel)


def panels_of(w: np.ndarray) -> np.ndarray:
    """The kernel (O, C, KH, KW) as panels (O / width, KH * KW * C, width)."""
    width = panel_width(len(w))
    panels = np.empty((len(w) // width, w[0].size, width), dtype=w.dtype)

    def work(part: slice) -> None:
        _pack_kernel(w[part.start * width : part.stop * width], panels[part])

    parallel(work, len(panels), w.size)
    return panels


def kernel_of(total: np.ndarray, kernel_size: tuple[int, int], backwards: bool) -> np.ndarray:
    """The gradient (O, C, KH, KW) of sums (runs, O, cells in a run, C); backwards see `_unpack_kernel`."""
    outputs, channels = total.shape[1], total.shape[3]
    shape = (channels, outputs) if backwards else (outputs, channels)
    gw = np.empty((*shape, *kernel_size), dtype=total.dtype)

    def work(part: slice) -> None:
        if backwards:
            _unpack_kernel(total[..., part], kernel_size[1], 1, gw[part])
        else:
            _unpack_kernel(total[:, part], kernel_size[1], 0, gw[part])

    parallel(work, shape[0], math.prod(gw.shape))
    return gw


def aligned_scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """`scratch` from the start of a line of the cache on: vectors across two lines take twice as long."""
    count = math.prod(shape)
    line = _CACHE_LINE // np.dtype(dtype).itemsize
    block = scratch(name, (count + line,), dtype)
    first = -(block.ctypes.data // block.itemsize) % line
    return block[first : first + count].reshape(shape)


def in_one_piece(x: np.ndarray) -> tuple[np.ndarray, bool]:
    """Images (N, H, W, C) in C order: as they are, or as (N, C, H, W)."""
    planes = x.transpose(0, 3, 1, 2)
    if planes.flags.c_contiguous and not x.flags.c_contiguous:
        return planes, True
    return np.ascontiguousarray(x), False
