"""What the methods of convolution share: where windows lie, and arrays whose channels come last in memory.

Inside, images are channels-last, (N, H, W, C): the cells that a window covers in one image row then lie next
to each other, all channels together. The user still sees (N, C, H, W), as a transposed view of that memory;
elementwise operations keep it so, and the next convolution finds its input as it wants it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import MULTIPLICATION

Pair = tuple[int, int]
Pairs = tuple[Pair, ...]

# Elements of a row in memory that a loop of NumPy runs over at full speed.
_LONG_ROW = 1024


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows of a convolution over a batch of images: all sizes, and what else the choice of a
    method asks.

    What follows from them is worked out once: `windows_of` gives the same object for the same sizes.

    Attributes:
        images: how many, N.
        size: cells of an image, (H, W).
        channels, outputs: C and O, of all groups.
        kernel_size, out_size, stride, padding, dilation: along each axis. Negative padding leaves cells out.
        dtype: of all arrays.
        fast: whether float32 may lose digits to speed (see `set_precision`).
        compiled: whether kernels that Numba compiles are on.
        threads: how many there are.
        part: whether the arrays are parts of others, with gaps in memory.
    """

    images: int
    size: Pair
    channels: int
    outputs: int
    kernel_size: Pair
    out_size: Pair
    stride: Pair
    padding: Pairs
    dilation: Pair
    groups: int
    dtype: np.dtype
    fast: bool
    compiled: bool
    threads: int
    part: bool = False

    @cached_property
    def chosen(self) -> dict[Any, Any]:
        """The methods that tables have chosen."""
        return {}

    @cached_property
    def plain(self) -> bool:
        """Neither strides nor dilation."""
        return self.stride == self.dilation == (1, 1)

    @cached_property
    def pointwise(self) -> bool:
        """A kernel of one cell, which sees each cell of the image once and nothing else."""
        return self.kernel_size == self.stride == (1, 1) and self.padding == ((0, 0), (0, 0))

    @cached_property
    def depthwise(self) -> bool:
        """A kernel for each channel."""
        return self.groups == self.channels == self.outputs > 1

    @cached_property
    def crops(self) -> bool:
        """Whether cells of the images are left out."""
        return min(map(min, self.padding)) < 0

    @cached_property
    def work(self) -> float:
        """The time of a convolution by its definition, in the unit of `parallel`."""
        cells = math.prod(self.out_size) * math.prod(self.kernel_size)
        return self.images * cells * self.channels * self.outputs / self.groups * MULTIPLICATION

    @cached_property
    def reversed(self) -> Windows:
        """Those of the convolution of y's gradient, with the reversed kernel, to x's; without strides."""
        padding = tuple(
            (d * (k - 1) - before, d * (k - 1) - after)
            for k, d, (before, after) in zip(self.kernel_size, self.dilation, self.padding)
        )
        return replace(
            self,
            size=self.out_size,
            channels=self.outputs,
            outputs=self.channels,
            out_size=self.size,
            padding=padding,
        )

    @cached_property
    def of_a_group(self) -> Windows:
        """Those of the channels of one group."""
        channels, outputs = self.channels // self.groups, self.outputs // self.groups
        return replace(self, channels=channels, outputs=outputs, groups=1, part=True)

    @cached_property
    def cropped(self) -> tuple[tuple[slice, ...], Windows]:
        """Where in the images all cells are that are not left out, and the windows over them."""
        inside = tuple(
            slice(max(-before, 0), max(cells + min(after, 0), 0))
            for cells, (before, after) in zip(self.size, self.padding)
        )
        height, width = (len(range(cells)[part]) for cells, part in zip(self.size, inside))
        padding = tuple((max(before, 0), max(after, 0)) for before, after in self.padding)
        return (slice(None), *inside), replace(self, size=(height, width), padding=padding)


@functools.lru_cache(maxsize=4096)
def windows_of(
    x: tuple[int, ...],
    w: tuple[int, ...],
    dtype: np.dtype,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
    fast: bool,
    compiled: bool,
    threads: int,
) -> Windows:
    """The windows of a convolution of images or sequences.

    Args:
        x, w: the shapes of the images and the kernel.
        fast, compiled, threads: as of `Windows`.
    """
    out_size = tuple(
        (cells + before + after - d * (k - 1) - 1) // s + 1
        for cells, k, s, (before, after), d in zip(x[2:], w[2:], stride, padding, dilation)
    )
    return Windows(
        x[0],
        pair(x[2:], 1),
        x[1],
        w[0],
        pair(w[2:], 1),
        pair(out_size, 1),
        pair(stride, 1),
        pair(padding, (0, 0)),
        pair(dilation, 1),
        groups,
        dtype,
        fast,
        compiled,
        threads,
    )


def as_images(x: np.ndarray) -> np.ndarray:
    """Sequences (N, C, L) as images of one row, (N, C, 1, L)."""
    return x if x.ndim == 4 else x[:, :, None]


def pair(along_axes: tuple, first: Any) -> Any:
    """What holds along the two axes; with one axis, of sequences, `first` along the height of the row."""
    return tuple(along_axes) if len(along_axes) == 2 else (first, *along_axes)


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def channels_last_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of a shape (N, C, H, W), whose memory is (N, H, W, C); not filled."""
    n, channels, height, width = shape
    return np.empty((n, height, width, channels), dtype=dtype).transpose(0, 3, 1, 2)


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
    few channels of one.
    """
    if target.size and target.strides[-1] == source.strides[-1] == source.itemsize:
        cell = f"V{source.shape[-1] * source.itemsize}"
        target, source = target.view(cell), source.view(cell)
    np.copyto(target, source)


def add_bias(x: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """out[...] = x + b, both (..., cells, O).

    NumPy's inner loop would run over the few channels of one cell: several cells are joined to a long row.
    """
    cells, outputs = x.shape[-2:]
    joined = _joined_cells(cells, outputs)
    if joined > 1 and out.strides[-2:] == (outputs * out.itemsize, out.itemsize):
        shape = (*x.shape[:-2], cells // joined, joined * outputs)
        x, out = x.reshape(shape), out.reshape(shape)
        b = np.broadcast_to(b, (joined, outputs)).reshape(-1)
    np.add(x, b, out=out)


@functools.lru_cache(maxsize=1024)
def _joined_cells(cells: int, outputs: int) -> int:
    """The most cells that divide them all, and make a row no longer than needed."""
    most = min(_LONG_ROW // max(outputs, 1), cells)
    return next((count for count in range(most, 1, -1) if cells % count == 0), 1)


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
