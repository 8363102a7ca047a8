"""What the methods of convolution share: where windows lie, and arrays whose channels come last in memory.

Inside, images are channels-last, (N, H, W, C): the cells that a window covers in one image row then lie next
to each other, all channels together. The user still sees (N, C, H, W), as a transposed view of that memory;
elementwise operations keep it so, and the next convolution finds its input as it wants it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xpnn.kernels.numpy.memory import scratch

Pair = tuple[int, int]
Pairs = tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Windows:
    """Along each of the two axes: cells of the kernel, windows, and how they lie over the padded image."""

    kernel_size: Pair
    out_size: Pair
    stride: Pair
    padding: Pairs
    dilation: Pair

    @property
    def plain(self) -> bool:
        """Neither strides nor dilation."""
        return self.stride == self.dilation == (1, 1)

    @property
    def pointwise(self) -> bool:
        """A kernel of one cell, which sees each cell of the image once and nothing else."""
        return self.kernel_size == self.stride == (1, 1) and self.padding == ((0, 0), (0, 0))

    def multiplications(self, images: int, channels: int, outputs: int) -> int:
        """Of a convolution by its definition."""
        return images * math.prod(self.out_size) * math.prod(self.kernel_size) * channels * outputs


def as_images(x: np.ndarray) -> np.ndarray:
    """Sequences (N, C, L) as images of one row, (N, C, 1, L)."""
    return x if x.ndim == 4 else x[:, :, None]


def pair(along_axes: tuple, first: Any) -> Any:
    """What holds along the two axes; with one axis, of sequences, `first` along the height of the row."""
    return tuple(along_axes) if len(along_axes) == 2 else (first, *along_axes)


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def channels_last_empty(like: np.ndarray, channels: int, size: Pair) -> np.ndarray:
    """An (N, C, H, W) array, whose memory is (N, H, W, C); not filled."""
    return np.empty((like.shape[0], *size, channels), dtype=like.dtype).transpose(0, 3, 1, 2)


def padded(x: np.ndarray, padding: Pairs, name: str = "padded") -> np.ndarray:
    """x (N, H, W, C) with zeros around its images, in scratch of that name; x itself where there are none.

    A result's channels lie together: gathering cells one by one from planes is slow.
    """
    (top, bottom), (left, right) = padding
    n, height, width, c = x.shape
    if not (top or bottom or left or right):
        return x if x.strides[3] == x.itemsize else np.ascontiguousarray(x)
    canvas = scratch(name, (n, height + top + bottom, width + left + right, c), x.dtype)
    canvas[:, :top] = 0
    canvas[:, top + height :] = 0
    canvas[:, top : top + height, :left] = 0
    canvas[:, top : top + height, left + width :] = 0
    canvas[:, top : top + height, left : left + width] = x
    return canvas


def swap_kernel(w: np.ndarray, groups: int = 1) -> np.ndarray:
    """The kernel with inputs and outputs exchanged: (O, C / groups, ...) to (C, O / groups, ...)."""
    if groups == 1:
        return w.transpose(1, 0, 2, 3)
    grouped = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return grouped.reshape(-1, *grouped.shape[2:])


def reversed_kernel(w: np.ndarray) -> np.ndarray:
    """The kernel that the input gradient convolves with: exchanged, its cells in reverse order."""
    return swap_kernel(w)[:, :, ::-1, ::-1]


def copy_cells(target: np.ndarray, source: np.ndarray) -> None:
    """target[...] = source, both (..., C), where the order of cells in memory differs.

    Cells are copied as elements without a type, so that NumPy's inner loop runs over cells and not over the
    few channels of one: 16 channels 0.6 of the time, 128 channels 0.75.
    """
    if target.size and target.strides[-1] == source.strides[-1] == source.itemsize:
        cell = f"V{source.shape[-1] * source.itemsize}"
        target, source = target.view(cell), source.view(cell)
    np.copyto(target, source)


def strided(x: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """A view as by `as_strided`, without the microseconds that it takes, where x is one piece of memory."""
    if x.flags.c_contiguous and x.size:
        return np.ndarray(shape, x.dtype, x, 0, strides)
    return as_strided(x, shape, strides, writeable=False)


def chunks(images: slice, most: int) -> Iterator[slice]:
    """Slices of `images`, as even as can be, of at most `most` each."""
    total = images.stop - images.start
    count = -(-total // -(-total // most)) if total else 1
    for first in range(images.start, images.stop, count):
        yield slice(first, min(first + count, images.stop))


def total_of(parts: list[np.ndarray]) -> np.ndarray:
    """The sum of what threads have added up each, in the memory of the first."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
