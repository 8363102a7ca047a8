"""Depthwise convolution: each channel by a kernel of its own, as shifted products over whole image rows.

The sum over the kernel's cells of `x shifted by the cell * w` is one call of `np.einsum`, whose loop
multiplies and adds in one pass, over rows of windows * channels with the kernel repeated along them: 0.8 of
the time of a product and a sum for each cell, and 0.6 for the kernel's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xpnn.kernels.numpy.conv.layout import Pair, Windows, chunks, padded, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces

# Bytes of the padded images of a chunk.
_CHUNK_BYTES = 512 * 1024


def depthwise_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of each channel of x (N, H, W, C) with w (C, 1, KH, KW), plus b, to y."""
    kernels = _repeated(w, windows.out_size[1])

    def work(images: slice) -> None:
        for chunk in chunks(images, _images_in_chunk(x)):
            shape = (len(y[chunk]), windows.out_size[0], kernels.shape[2])
            total = scratch("depthwise total", shape, y.dtype)
            part = scratch("depthwise part", shape, y.dtype)
            for at, seen in _shifted(x[chunk], windows):
                if at.start == 0:
                    np.einsum("uvnhq,uvq->nhq", seen, kernels[:, at], out=total)
                else:
                    total += np.einsum("uvnhq,uvq->nhq", seen, kernels[:, at], out=part)
            result = total.reshape(y[chunk].shape)
            if b is None:
                y[chunk] = result
            else:
                np.add(result, b, out=y[chunk])

    in_pieces(work, len(x), _work(y, windows))


def depthwise_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (C, 1, KH, KW) of `depthwise_convolve` with respect to w, from y's gradient gy."""
    columns, channels = windows.out_size[1], x.shape[-1]

    def work(images: slice) -> np.ndarray:
        total = np.zeros((*windows.kernel_size, columns * channels), dtype=x.dtype)
        part = scratch("depthwise correlation", total.shape, total.dtype)
        for chunk in chunks(images, _images_in_chunk(x)):
            upstream = np.ascontiguousarray(gy[chunk]).reshape(-1, windows.out_size[0], columns * channels)
            for at, seen in _shifted(x[chunk], windows):
                total[:, at] += np.einsum("uvnhq,nhq->uvq", seen, upstream, out=part[:, at])
        return total.reshape(*windows.kernel_size, columns, channels).sum(axis=2)

    total = total_of(in_pieces(work, len(x), _work(gy, windows)))
    return total.transpose(2, 0, 1)[:, None]


def _shifted(x: np.ndarray, windows: Windows) -> Iterator[tuple[slice, np.ndarray]]:
    """What cells of the kernel see in all windows, (KH, cells, N, OH, OW * C), and which of its columns.

    The windows of a row lie next to each other in memory: where they are strides apart, the columns of the
    image are sorted by their remainder first, and the kernel's columns come in as many portions.
    """
    x = padded(x, windows.padding)
    n, c = x.shape[0], x.shape[3]
    (kernel_rows, kernel_columns), (down, along) = windows.kernel_size, windows.stride
    row_dilation, dilation = windows.dilation
    portions = along // math.gcd(along, dilation)
    for first in range(min(portions, kernel_columns)):
        start, remainder = divmod(first * dilation, along)
        if along == 1 and x.flags.c_contiguous:
            cells = x
        else:
            source = x[:, :, remainder::along]
            cells = scratch("depthwise columns", source.shape, x.dtype)
            np.copyto(cells, source)
        count = len(range(first, kernel_columns, portions))
        image, row, column, cell = cells.strides
        shape = (kernel_rows, count, n, windows.out_size[0], windows.out_size[1] * c)
        shift = portions * dilation // along * column
        steps = (row_dilation * row, shift, image, down * row, cell)
        yield slice(first, None, portions), as_strided(cells[:, :, start:], shape, steps, writeable=False)


def _repeated(w: np.ndarray, columns: int) -> np.ndarray:
    """(C, 1, KH, KW) -> (KH, KW, columns * C)."""
    return np.tile(w[:, 0].transpose(1, 2, 0), (1, 1, columns))


def _images_in_chunk(x: np.ndarray) -> int:
    return max(_CHUNK_BYTES // max(math.prod(x.shape[1:]) * x.itemsize, 1), 1)


def _work(y: np.ndarray, windows: Windows) -> float:
    """The time of a call in the unit of `parallel`."""
    kernel_size: Pair = windows.kernel_size
    return y.size * math.prod(kernel_size)
