"""Convolution cell by cell of the kernel: one product for all windows that see the image through the cell.

On small images many cells of the windows lie outside, over zeros: of 2x2 with 3x3 and padding 1, 20 of 36.
Here they are left out, nothing but the image is gathered, and the input gradient adds to the cells that
were seen, whatever the strides. The price is a sum of as many products as the kernel has cells.

The weights of such layers are larger than their images: each thread makes some of the outputs, from its part
of the weights, for all images. The order that they are wanted in is (O, KH, KW, C), where each cell is a
matrix. Others are copied to it; and the gradient is left in it, which an optimizer may take over for the
weights themselves.

Forward and backward, two threads, of the time of full im2col: 512 channels of 2x2 with weights in that order
0.4, with others 0.55; 256 of 4x4 0.6 and 0.65; 256 to 512 of 4x4 by strides of 2 0.5 and 0.65.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.kernels.numpy.conv.layout import Windows
from xpnn.kernels.numpy.parallel import in_pieces

# Where the sums of the products cost as much as is spared: the part of all multiplications that lies inside
# the images, and how many there are for an element of a product.
_MOST_INSIDE = 0.92
_LEAST_CHANNELS = 128

Slices = tuple[slice, slice, slice]


def cells_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to y (N, OH, OW, O)."""

    def make_outputs(outputs: slice) -> None:
        kernel, target = _cells_of(w[outputs]), y[..., outputs]
        target[...] = 0 if b is None else b[outputs]
        for u, v, some, seen in _seen(windows):
            target[some] += (_matrix(x[seen]) @ kernel[:, u, v].T).reshape(target[some].shape)

    in_pieces(make_outputs, len(w), windows.work)


def cells_fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """Write the gradient of `cells_convolve` with respect to x to gx (N, H, W, C)."""

    def make_channels(channels: slice) -> None:
        _fold(gy, w[:, channels], gx[..., channels], windows)

    in_pieces(make_channels, w.shape[1], windows.work)


def cells_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, KH, KW) of `cells_convolve` with respect to w, from y's gradient gy."""
    gw = _empty_cells(x, gy, windows)

    def make_outputs(outputs: slice) -> None:
        _correlate_outputs(x, gy[..., outputs], gw[outputs], windows)

    in_pieces(make_outputs, len(gw), windows.work)
    return gw.transpose(0, 3, 1, 2)


def cells_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Both gradients of `cells_convolve`: that with respect to x is written to gx, that to w returned.

    Threads are called once for the two.
    """
    gw = _empty_cells(x, gy, windows)

    def work(outputs: slice) -> None:
        first, last = (i * w.shape[1] // len(w) for i in (outputs.start, outputs.stop))
        _fold(gy, w[:, first:last], gx[..., first:last], windows)
        _correlate_outputs(x, gy[..., outputs], gw[outputs], windows)

    in_pieces(work, len(w), 2 * windows.work)
    return gw.transpose(0, 3, 1, 2)


def _fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    kernel = _cells_of(w)
    gx[...] = 0
    for u, v, some, seen in _seen(windows):
        gx[seen] += (_matrix(gy[some]) @ kernel[:, u, v]).reshape(gx[seen].shape)


def _correlate_outputs(x: np.ndarray, gy: np.ndarray, gw: np.ndarray, windows: Windows) -> None:
    cells = list(_seen(windows))
    if len(cells) < math.prod(windows.kernel_size):
        gw[...] = 0
    for u, v, some, seen in cells:
        np.matmul(_matrix(gy[some]).T, _matrix(x[seen]), out=gw[:, u, v])


def _empty_cells(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    return np.empty((gy.shape[3], *windows.kernel_size, x.shape[3]), dtype=gy.dtype)


def suits(windows: Windows) -> bool:
    """Whether this is the fastest, but for Winograd's method."""
    if min(windows.channels, windows.outputs) < _LEAST_CHANNELS:
        return False
    inside = sum(math.prod(part.stop - part.start for part in some[1:]) for _, _, some, _ in _seen(windows))
    return inside <= _MOST_INSIDE * math.prod(windows.kernel_size) * math.prod(windows.out_size)


def _seen(windows: Windows) -> Iterator[tuple[int, int, Slices, Slices]]:
    """Each cell (u, v) of the kernel, which windows see x (N, H, W, C) through it, and which cells of x."""
    every = slice(None)
    rows, columns = (list(_along(axis, windows)) for axis in (0, 1))
    for u, some_rows, seen_rows in rows:
        for v, some_columns, seen_columns in columns:
            yield u, v, (every, some_rows, some_columns), (every, seen_rows, seen_columns)


def _along(axis: int, windows: Windows) -> Iterator[tuple[int, slice, slice]]:
    """The same along one axis, for the cells that anything is seen through."""
    size, stride = windows.size[axis], windows.stride[axis]
    for t in range(windows.kernel_size[axis]):
        start = t * windows.dilation[axis] - windows.padding[axis][0]  # of what the first window sees
        first = max(-(start // stride), 0)
        last = min((size - 1 - start) // stride, windows.out_size[axis] - 1)
        if first <= last:
            seen = slice(start + first * stride, start + last * stride + 1, stride)
            yield t, slice(first, last + 1), seen


def _cells_of(w: np.ndarray) -> np.ndarray:
    """(O, C, KH, KW) -> (O, KH, KW, C), each cell a matrix that the BLAS takes as it lies."""
    cells = w.transpose(0, 2, 3, 1)
    return cells if cells.strides[3] == cells.itemsize else np.ascontiguousarray(cells)


def _matrix(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C) -> (N * H * W, C)."""
    return x.reshape(-1, x.shape[3])
