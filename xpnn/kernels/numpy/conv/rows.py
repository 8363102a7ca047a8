"""Convolution without strides by "rows": what windows cover is gathered along the image's width alone.

A row of the kernel is one product of matrices, windows x (kernel columns * channels) times (kernel columns *
channels) x outputs. The rows of the kernel see the same gathering, shifted by a row of the image: for a 3x3
kernel it is a third of what all nine cells of each window would take.
"""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numpy.conv.layout import (
    Windows,
    add_bias,
    chunks,
    padded,
    reversed_kernel,
    strided,
    total_of,
)
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces
from xpnn.kernels.numpy.small_products import kernel_matrix, multiply

# Bytes that are gathered at a time, so that the products find them in the L2 cache.
_CHUNK_BYTES = 1024 * 1024


def rows_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to y (N, OH, OW, O)."""
    kernels = kernel_matrix(w).reshape(w.shape[2], -1, len(w))

    def work(images: slice) -> None:
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            _multiply(_gather(x[chunk], windows), kernels, b, y[chunk])

    in_pieces(work, len(x), windows.work)


def rows_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, KH, KW) of `rows_convolve` with respect to w, from y's gradient gy."""

    def work(images: slice) -> np.ndarray:
        total = _zeros(x, gy, windows)
        for chunk in chunks(images, _images_in_chunk(x, windows)):
            _add_correlation(total, gy[chunk], _gather(x[chunk], windows))
        return total

    return _kernel(total_of(in_pieces(work, len(x), windows.work)), windows)


def rows_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of. The two passes share one gathering of gy.
    """
    windows = windows.reversed
    kernels = kernel_matrix(reversed_kernel(w)).reshape(w.shape[2], -1, w.shape[1])

    def work(images: slice) -> np.ndarray:
        total = _zeros(gy, x, windows)
        for chunk in chunks(images, _images_in_chunk(gy, windows)):
            rows = _gather(gy[chunk], windows)
            _multiply(rows, kernels, None, gx[chunk])
            _add_correlation(total, x[chunk], rows)
        return total

    total = total_of(in_pieces(work, len(x), 2 * windows.work))
    return reversed_kernel(_kernel(total, windows))


def _multiply(rows: list[np.ndarray], kernels: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
    """y = sum over the kernel's rows of `rows @ kernels`, plus b."""
    shape = (len(y), -1, y.shape[-1])
    direct = y.flags.c_contiguous
    total = y.reshape(shape) if direct else scratch("rows total", y.shape, y.dtype).reshape(shape)
    part = scratch("rows part", total.shape, y.dtype)
    multiply(rows[0], kernels[0], out=total)
    for row, kernel in zip(rows[1:], kernels[1:]):
        total += multiply(row, kernel, out=part)
    if b is not None:
        add_bias(total, b, out=total)
    if not direct:
        y[...] = total.reshape(y.shape)


def _add_correlation(total: np.ndarray, gy: np.ndarray, rows: list[np.ndarray]) -> None:
    """total[u] += sum over images of gy^T rows[u]."""
    upstream = np.ascontiguousarray(gy).reshape(len(gy), -1, gy.shape[-1]).transpose(0, 2, 1)
    products = scratch("rows correlation", (len(gy), *total.shape[1:]), total.dtype)
    for row_total, row in zip(total, rows):
        np.matmul(upstream, row, out=products)
        row_total += np.add.reduce(products, axis=0)


def _gather(x: np.ndarray, windows: Windows) -> list[np.ndarray]:
    """For each row of the kernel, what all windows see through it: (N, OH * OW, KW * C)."""
    x = padded(x, windows.padding)
    n, c = x.shape[0], x.shape[3]
    (kernel_rows, kernel_columns), (out_rows, out_columns) = windows.kernel_size, windows.out_size
    down, along = windows.dilation
    height = out_rows + (kernel_rows - 1) * down
    image, row, column, cell = x.strides
    shape = (n, height, out_columns, kernel_columns, c)
    seen = strided(x, shape, (image, row, column, along * column, cell))
    gathered = scratch("rows", shape, x.dtype)
    np.copyto(gathered, seen)
    gathered = gathered.reshape(n, height * out_columns, kernel_columns * c)
    firsts = (u * down * out_columns for u in range(kernel_rows))
    return [gathered[:, first : first + out_rows * out_columns] for first in firsts]


def _kernel(total: np.ndarray, windows: Windows) -> np.ndarray:
    """(KH, O, KW * C) -> (O, C, KH, KW)."""
    outputs = total.shape[1]
    return total.reshape(windows.kernel_size[0], outputs, windows.kernel_size[1], -1).transpose(1, 3, 0, 2)


def _zeros(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    rows, columns = windows.kernel_size
    return np.zeros((rows, gy.shape[-1], columns * x.shape[-1]), dtype=x.dtype)


def _images_in_chunk(x: np.ndarray, windows: Windows) -> int:
    height = windows.out_size[0] + (windows.kernel_size[0] - 1) * windows.dilation[0]
    image = height * windows.out_size[1] * windows.kernel_size[1] * x.shape[-1] * x.itemsize
    return max(_CHUNK_BYTES // max(image, 1), 1)
