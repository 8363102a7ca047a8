"""Convolution of sequences where nothing is gathered: windows are read where they lie in memory.

With channels last, what a window sees is one run of memory, of kernel cells times channels. Neighbours
overlap, which rows of a matrix may not in the BLAS; windows a kernel's length apart do not. So the windows
that begin 0, 1, 2 ... cells behind a multiple of the kernel's length are a matrix each, a *phase*. All
sequences of a chunk lie behind one another, with zeros between them; windows that lie across an end are
worked out as well, and left out of the result.

Length 1024, 32 channels: a kernel of 3 cells takes 0.75 of the time of `rows`, the weight gradient 0.6; one
of 7 cells 0.75 and 0.6; 8 to 32 channels 0.8, backward 0.7.
"""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numpy.conv.layout import Windows, add_bias, chunks, reversed_kernel, total_of
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.parallel import in_pieces
from xpnn.kernels.numpy.small_products import correlation, equal_pieces, kernel_matrix, multiply

# Bytes of the sequences and results of a chunk.
_CHUNK_BYTES = 2 * 1024 * 1024

# With more channels products take so long that what is gathered for them does not count; with fewer windows
# the phases are too short.
_MOST_CHANNELS = 128
_LEAST_WINDOWS = 128


def sequences_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, 1, L, C) with w (O, C, 1, K), plus b, to y (N, 1, OL, O)."""
    kernel = kernel_matrix(w)

    def work(images: slice) -> None:
        for chunk in chunks(images, _sequences_in_chunk(windows)):
            _Phases(x[chunk], windows).convolve(kernel, b, y[chunk])

    in_pieces(work, len(x), windows.work)


def sequences_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, 1, K) of `sequences_convolve` with respect to w, from y's gradient gy."""

    def work(images: slice) -> np.ndarray:
        total = _zeros(windows)
        for chunk in chunks(images, _sequences_in_chunk(windows)):
            total += _Phases(x[chunk], windows).correlate(gy[chunk])
        return total

    return _kernel(total_of(in_pieces(work, len(x), windows.work)), windows)


def sequences_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of. Both passes read the same windows over gy.
    """
    windows = windows.reversed
    kernel = kernel_matrix(reversed_kernel(w))

    def work(images: slice) -> np.ndarray:
        total = _zeros(windows)
        for chunk in chunks(images, _sequences_in_chunk(windows)):
            phases = _Phases(gy[chunk], windows)
            phases.convolve(kernel, None, gx[chunk])
            total += phases.correlate(x[chunk])
        return total

    total = total_of(in_pieces(work, len(x), 2 * windows.work))
    return reversed_kernel(_kernel(total, windows))


def suits(windows: Windows) -> bool:
    """Whether the images are sequences whose windows are runs of memory."""
    one_row = windows.size[0] == windows.kernel_size[0] == windows.out_size[0] == 1
    whole = windows.padding[0] == (0, 0) and windows.plain and windows.groups == 1
    few = max(windows.channels, windows.outputs) <= _MOST_CHANNELS
    many = windows.images * windows.out_size[1] >= _LEAST_WINDOWS
    return one_row and whole and windows.kernel_size[1] > 1 and few and many


class _Phases:
    """The windows over some sequences (N, 1, L, C): (phases, steps, K * C), in scratch memory."""

    def __init__(self, x: np.ndarray, windows: Windows) -> None:
        n, _, length, c = x.shape
        kernel, (left, right) = windows.kernel_size[1], windows.padding[1]
        # From one sequence to the next: so that no window of a result sees two of them.
        self._apart = max(length + max(left, right), windows.out_size[1])
        steps = equal_pieces(-(-n * self._apart // kernel), kernel * c, windows.outputs)
        self._shape = (kernel, steps, windows.outputs)

        cells = max((steps + 1) * kernel - 1, left + n * self._apart)
        canvas = scratch("sequences", (cells, c), x.dtype)
        canvas[:left] = 0
        canvas[left + n * self._apart :] = 0
        lines = canvas[left : left + n * self._apart].reshape(n, self._apart, c)
        lines[:, :length] = x[:, 0]
        lines[:, length:] = 0
        cell, item = canvas.strides
        shape, strides = (kernel, steps, kernel * c), (cell, kernel * cell, item)
        self._windows = np.ndarray(shape, x.dtype, canvas, 0, strides)

    def convolve(self, kernel: np.ndarray, b: np.ndarray | None, y: np.ndarray) -> None:
        """Write what the windows see times kernel (K * C, O), plus b, to y (N, 1, OL, O)."""
        products, results = self._results(len(y), y.dtype)
        multiply(self._windows, kernel, out=products)
        if b is None:
            y[:, 0] = results[:, : y.shape[2]]
        else:
            add_bias(results[:, : y.shape[2]], b, out=y[:, 0])

    def correlate(self, gy: np.ndarray) -> np.ndarray:
        """The product (O, K * C) of y's gradient with what the windows see, summed over the windows."""
        upstream, results = self._results(len(gy), gy.dtype)
        results[:, : gy.shape[2]] = gy[:, 0]
        results[:, gy.shape[2] :] = 0
        return correlation(upstream, self._windows).sum(axis=(0, 1))

    def _results(self, n: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Memory for a result of each window: by phase as the windows, and by sequence (N, windows, O)."""
        phases, steps, outputs = self._shape
        flat = scratch("sequences results", (steps * phases, outputs), dtype)
        flat[n * self._apart :] = 0
        by_sequence = flat[: n * self._apart].reshape(n, self._apart, outputs)
        return flat.reshape(steps, phases, outputs).swapaxes(0, 1), by_sequence


def _kernel(total: np.ndarray, windows: Windows) -> np.ndarray:
    """(O, K * C) -> (O, C, 1, K)."""
    return total.reshape(len(total), 1, windows.kernel_size[1], -1).transpose(0, 3, 1, 2)


def _zeros(windows: Windows) -> np.ndarray:
    return np.zeros((windows.outputs, windows.kernel_size[1] * windows.channels), dtype=windows.dtype)


def _sequences_in_chunk(windows: Windows) -> int:
    cells = windows.size[1] * windows.channels + windows.out_size[1] * windows.outputs
    return max(_CHUNK_BYTES // max(cells * windows.dtype.itemsize, 1), 1)
