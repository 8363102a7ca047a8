"""What the methods of convolution share: where windows lie, and arrays whose channels come last in memory.

Inside, images are channels-last, (N, H, W, C): the cells that a window covers in one image row then lie next
to each other, all channels together. The user still sees (N, C, H, W), as a transposed view of that memory;
elementwise operations keep it so, and the next convolution finds its input as it wants it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xpnn.kernels.numpy.memory import scratch

Pair = tuple[int, int]
Pairs = tuple[Pair, ...]

# The NumPy passes of `parallel` that a multiplication in a product of matrices counts for.
MULTIPLICATION = 1 / 20


# OpenBLAS has kernels for small products, of up to 1e6 multiplications, that leave out the copies of the
# large ones: 1.2 times as fast with AVX-512. Pieces of a few rows gain nothing.
_SMALL_PRODUCT = 1_000_000
_LEAST_ROWS = 60

# Columns of a piece in products with matrices of 6 rows: all at once 0.4 of the speed.
_PIECE_COLUMNS = 8192


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


def channels_last(x: np.ndarray) -> np.ndarray:
    """(N, C, H, W) seen as (N, H, W, C)."""
    return x.transpose(0, 2, 3, 1)


def channels_last_empty(like: np.ndarray, channels: int, size: Pair) -> np.ndarray:
    """An (N, C, H, W) array, whose memory is (N, H, W, C); not filled."""
    return np.empty((like.shape[0], *size, channels), dtype=like.dtype).transpose(0, 3, 1, 2)


def padded(x: np.ndarray, padding: Pairs) -> np.ndarray:
    """x (N, H, W, C) with zeros around its images, in scratch memory; x itself where there are none.

    A result's channels lie together: gathering cells one by one from planes is slow.
    """
    (top, bottom), (left, right) = padding
    n, height, width, c = x.shape
    if not (top or bottom or left or right):
        return x if x.strides[3] == x.itemsize else np.ascontiguousarray(x)
    canvas = scratch("padded", (n, height + top + bottom, width + left + right, c), x.dtype)
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


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """np.matmul(a, b, out=out), in small products of some rows of a each where that is faster."""
    rows, columns = a.shape[-2], b.shape[-1]
    most = _SMALL_PRODUCT // max(a.shape[-1] * columns, 1)
    if rows <= most or most < _LEAST_ROWS:
        return np.matmul(a, b, out=out)
    piece = -(-rows // -(-rows // most))
    whole = rows // piece * piece
    np.matmul(
        a[..., :whole, :].reshape(*a.shape[:-2], -1, piece, a.shape[-1]),
        b[..., None, :, :],
        out=out[..., :whole, :].reshape(*out.shape[:-2], -1, piece, columns),
    )
    if whole < rows:
        np.matmul(a[..., whole:, :], b, out=out[..., whole:, :])
    return out


def multiply_columns(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """np.matmul(a, b, out=out) for a small matrix a and long rows of b (K, columns), in pieces of columns."""
    columns = b.shape[-1]
    if columns <= _PIECE_COLUMNS:
        return np.matmul(a, b, out=out)
    piece = -(-columns // -(-columns // _PIECE_COLUMNS))
    whole = columns // piece * piece
    np.matmul(
        a,
        b[:, :whole].reshape(len(b), -1, piece).swapaxes(0, 1),
        out=out[:, :whole].reshape(len(out), -1, piece).swapaxes(0, 1),
    )
    if whole < columns:
        np.matmul(a, b[:, whole:], out=out[:, whole:])
    return out


def kernel_matrix(w: np.ndarray) -> np.ndarray:
    """The kernel (O, C, KH, KW) as a matrix (KH * KW * C, O).

    A small one is copied to the order of its axes, in which products are faster; a large one to the nearest
    order of its memory, and transposed: 512 channels to 512 by 3x3: 0.8 ms, not 3.9.
    """
    matrix = (w[0].size, len(w))
    if math.prod(matrix) * _LEAST_ROWS <= _SMALL_PRODUCT or w.strides[0] < w.strides[1]:
        return np.ascontiguousarray(w.transpose(2, 3, 1, 0)).reshape(matrix)
    return w.transpose(0, 2, 3, 1).reshape(len(w), -1).T


def copy_cells(target: np.ndarray, source: np.ndarray) -> None:
    """target[...] = source, both (..., C), where the order of cells in memory differs.

    Cells are copied as elements without a type, so that NumPy's inner loop runs over cells and not over the
    few channels of one: 16 channels 0.6 of the time, 128 channels 0.75.
    """
    if target.size and target.strides[-1] == source.strides[-1] == source.itemsize:
        cell = f"V{source.shape[-1] * source.itemsize}"
        target, source = target.view(cell), source.view(cell)
    np.copyto(target, source)


def chunks(images: slice, count: int) -> Iterator[slice]:
    """Slices of `images`, `count` at a time."""
    for first in range(images.start, images.stop, count):
        yield slice(first, min(first + count, images.stop))
