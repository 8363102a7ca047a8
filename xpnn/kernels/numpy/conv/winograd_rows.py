"""Winograd's F(4, 3) down the image alone: four rows of outputs from six rows, half of the multiplications.

The rows of an image lie behind one another in memory, so that the transform of six of them is a product of a
6x6 matrix with long rows as they lie there, and the one back to four rows writes them where they belong.
Along the width the kernel stays as it is: what a window sees of a transformed row is one run of memory, of
kernel columns times channels. As rows of a matrix may not overlap in the BLAS, the windows that begin 0, 1,
2 ... cells behind a multiple of the kernel's width are a matrix each. So nothing is gathered, zeros are laid
around the images, and a pass takes few calls of NumPy, between which threads would wait.

It is for few channels, where `winograd`'s transforms along the width cost as much as they spare. 16 channels
of 32x32, forward and backward on two threads: 0.63 of the time of `rows`, 0.8 of that of `winograd`; 24
channels: 0.57 and 0.85. The rounding error is two to three times that of the plain sum.
"""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numpy.conv.layout import Windows, add_bias, chunks, padded, reversed_kernel, total_of
from xpnn.kernels.numpy.conv.winograd_matrices import INPUT, KERNEL, OUTPUT, TILE, UPSTREAM
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces
from xpnn.kernels.numpy.small_products import correlation, equal_pieces, kernel_matrix, multiply

# With fewer channels, or where the last rows of tiles lie so far over the image that no third of the
# multiplications is saved, the transforms cost what they spare; from more, those along both axes pay.
_LEAST_CHANNELS, _MANY_CHANNELS = 8, 32

# Bytes of the transformed rows of a chunk: with half as many two threads wait more, 1.3 of the time; with
# three times as many they leave the caches, 1.15.
_CHUNK_BYTES = 1024 * 1024


def winograd_rows_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, 3, KW), plus b, to y (N, OH, OW, O)."""
    kernels = _transform_kernels(w)

    def work(images: slice) -> None:
        for chunk in chunks(images, _images_in_chunk(x, y)):
            _Rows(x[chunk], y[chunk], windows).convolve(kernels, b, y[chunk])

    in_pieces(work, len(x), _work(windows))


def winograd_rows_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 3, KW) of `winograd_rows_convolve` with respect to w, from y's gradient gy."""

    def work(images: slice) -> np.ndarray:
        total = _zeros(x, gy, windows)
        for chunk in chunks(images, _images_in_chunk(x, gy)):
            total += _Rows(x[chunk], gy[chunk], windows).correlate(gy[chunk])
        return total

    return _transform_back(total_of(in_pieces(work, len(x), _work(windows))), windows)


def winograd_rows_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of. Both passes start from its transform.
    """
    windows = windows.reversed
    kernels = _transform_kernels(reversed_kernel(w))

    def work(images: slice) -> np.ndarray:
        total = _zeros(gy, x, windows)
        for chunk in chunks(images, _images_in_chunk(gy, gx)):
            rows = _Rows(gy[chunk], gx[chunk], windows)
            rows.convolve(kernels, None, gx[chunk])
            total += rows.correlate(x[chunk])
        return total

    total = total_of(in_pieces(work, len(x), 2 * _work(windows)))
    return reversed_kernel(_transform_back(total, windows))


def suits(windows: Windows) -> bool:
    """Whether this is the fastest."""
    tiles = -(-windows.out_size[0] // TILE)
    return (
        windows.kernel_size == (3, 3)
        and windows.plain
        and _LEAST_CHANNELS <= min(windows.channels, windows.outputs) < _MANY_CHANNELS
        and 3 * (6 * tiles) <= 2 * (3 * windows.out_size[0])
    )


class _Rows:
    """The transformed rows of some images, for a convolution to y (N, OH, OW, O).

    For each of the six rows of a tile, those of all tiles of all images lie behind one another in memory.
    Windows that lie across the end of one and the beginning of the next are worked out as well, and left out
    of the result.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, windows: Windows) -> None:
        (top, _), (left, right) = windows.padding
        n, height, width, c = x.shape
        columns = windows.kernel_size[1]
        self._tiles = -(-y.shape[1] // TILE)
        self._width = left + width + right
        count = n * self._tiles * self._width  # of windows
        steps = equal_pieces(-(-count // columns), columns * c, y.shape[3])
        self._shape = (6, steps, columns, y.shape[3])  # of results: window i is at divmod(i, columns)

        rows = scratch("winograd rows", (6, (steps + 1) * columns, c), x.dtype)
        bottom = TILE * self._tiles + 2 - top - height
        canvas = padded(x, ((top, max(bottom, 0)), (left, right)), "winograd rows canvas")
        self._transform(INPUT, canvas, rows)
        plane, cell, item = rows.strides
        shape, strides = (6, columns, steps, columns * c), (plane, cell, columns * cell, item)
        self._windows = np.ndarray(shape, x.dtype, rows, 0, strides)

    def convolve(self, kernels: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
        """Write what the windows see times kernels (6, KW * C, O), plus b, to y."""
        n, height, width, outputs = y.shape
        products = scratch("winograd rows products", self._shape, y.dtype)
        multiply(self._windows, kernels[:, None], out=products.swapaxes(1, 2))
        whole = (n, self._tiles * TILE, width, outputs)
        direct = y.flags.c_contiguous and y.shape == whole
        target = y if direct else scratch("winograd rows outputs", whole, y.dtype)
        rows = self._by_tile(products.reshape(6, -1, outputs), n, width)
        np.matmul(OUTPUT, rows, out=target.reshape(n, self._tiles, TILE, width * outputs))
        if not direct:
            y[...] = target[:, :height]
        if b is not None:
            add_bias(y, b, out=y)

    def correlate(self, gy: np.ndarray) -> np.ndarray:
        """The products (6, O, KW * C) of y's gradient with what the windows see, summed over the windows."""
        _, height, width, outputs = gy.shape
        upstream = scratch("winograd rows products", self._shape, gy.dtype)
        around = ((0, TILE * self._tiles - height), (0, self._width - width))
        canvas = padded(gy, around, "winograd rows canvas")
        self._transform(UPSTREAM, canvas, upstream.reshape(6, -1, outputs))
        return correlation(upstream.swapaxes(1, 2), self._windows).sum(axis=1)

    def _transform(self, matrix: np.ndarray, canvas: np.ndarray, rows: np.ndarray) -> None:
        """Write `matrix` times the rows of each tile of canvas (N, H, W, C) to rows (6, cells, C)."""
        n, _, width, c = canvas.shape
        canvas = np.ascontiguousarray(canvas)
        image, row, _, item = canvas.strides
        shape, steps = (n, self._tiles, matrix.shape[1], width * c), (image, TILE * row, row, item)
        tiles = np.ndarray(shape, canvas.dtype, canvas, 0, steps)
        np.matmul(matrix, tiles, out=self._by_tile(rows, n, width))
        rows[:, n * self._tiles * width :] = 0

    def _by_tile(self, rows: np.ndarray, n: int, width: int) -> np.ndarray:
        """The first `width` cells of the rows (6, cells, C) of each tile: (N, tiles, 6, width * C)."""
        plane, cell, item = rows.strides
        shape = (n, self._tiles, 6, width * rows.shape[2])
        steps = (self._tiles * self._width * cell, self._width * cell, plane, item)
        return np.ndarray(shape, rows.dtype, rows, 0, steps)


def _transform_kernels(w: np.ndarray) -> np.ndarray:
    """(O, C, 3, KW) -> (6, KW * C, O)."""
    rows = kernel_matrix(w).reshape(3, -1)
    return (KERNEL.astype(w.dtype) @ rows).reshape(6, -1, len(w))


def _transform_back(gradient: np.ndarray, windows: Windows) -> np.ndarray:
    """The adjoint of `_transform_kernels`: (6, O, KW * C) -> (O, C, 3, KW)."""
    outputs = gradient.shape[1]
    rows = KERNEL.T.astype(gradient.dtype) @ gradient.reshape(6, -1)
    return rows.reshape(3, outputs, windows.kernel_size[1], -1).transpose(1, 3, 0, 2)


def _zeros(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    return np.zeros((6, gy.shape[3], windows.kernel_size[1] * x.shape[3]), dtype=x.dtype)


def _images_in_chunk(x: np.ndarray, y: np.ndarray) -> int:
    cells = 6 * -(-y.shape[1] // TILE) * max(x.shape[2], y.shape[2])
    return max(_CHUNK_BYTES // max(cells * max(x.shape[3], y.shape[3]) * x.itemsize, 1), 1)


def _work(windows: Windows) -> float:
    """The time of a call in the unit of `parallel`."""
    return windows.work / 2
