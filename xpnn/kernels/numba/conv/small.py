"""Convolution of small images, position by position: the rows of a product are the images of the batch.

At the rim of an image a kernel looks at zeros; of 3x3 cells over 2x2 images five in nine. Here each position
of a window has products of its own, with the cells of the kernel that see the image there, and with those
alone. The kernels are what takes time: threads share the outputs, and a kernel is put in order by the thread
that multiplies with it, 32 outputs at a time, which its second-level cache holds.

32 images, 512 channels to 512, 3x3 over 2x2, forward + backward on two threads, in ms: 3.8; by
products of all cells, in NumPy 5.3, in PyTorch 8.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from xpnn.kernels.numba.compiling import (
    In1,
    In3,
    Integer,
    Labels,
    Out2,
    Out3,
    OutStrided4,
    Places,
    Strided4,
    compiled_function,
)
from xpnn.kernels.numba.conv.packing import PACKING, aligned_scratch, unpack
from xpnn.kernels.numba.products import MOST_LANES, add_products, copy_numbers, lanes, panel_width
from xpnn.kernels.numpy.conv.layout import Windows, reversed_kernel
from xpnn.kernels.numpy.parallel import parallel

# Rows of windows longer than this are left to `direct`; fewer images make the blocks of products small.
_MOST_WINDOWS = 7
_LEAST_IMAGES = 8
_LEAST_OUTPUTS = 64

# Outputs whose gradients are put in order at a time.
_OUTPUTS_AT_A_TIME = 24


@compiled_function
def _by_position(x: Strided4, canvas: Out3) -> None:
    """Images (N, H, W, C) as (H * W, N, C or more)."""
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                copy_numbers(x[n, i, j], canvas[i * x.shape[2] + j, n], x.shape[3])


@compiled_function
def _convolve_by_position(
    canvas: In3, count: Integer, w: Strided4, b: In1, places: Places, bounds: Labels, panel: Out2,
    lanes: Integer, y: OutStrided4,
) -> None:  # fmt: skip
    """The convolution, plus b, to y (N, OH, OW, O).

    Args:
        canvas: of `count` images, as `_by_position` makes it.
        places: for each window one place in the canvas and in the panel for each cell that it sees there,
            from bounds[window] to bounds[window + 1].
        panel: (KH * KW * C, width), to work in.
    """
    channels, height, length = w.shape[1:]
    images, step = canvas.reshape(canvas.size), canvas.shape[2]
    width, image = panel.shape[1], y.strides[0] // y.itemsize
    for p in range(w.shape[0] // width):
        for c in range(channels):
            for u in range(height):
                for v in range(length):
                    out = panel[(u * length + v) * channels + c]
                    for j in range(width):
                        out[j] = w[p * width + j, c, u, v]
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                window = i * y.shape[2] + j
                add_products(
                    width // lanes, count, images, step, 1, panel.reshape(panel.size), width,
                    places[bounds[window] : bounds[window + 1]], channels,
                    b[p * width : (p + 1) * width], 0, y[0, i, j, p * width :], image,
                )  # fmt: skip


@compiled_function
def _correlate_by_position(
    of_outputs: In3, of_channels: In3, first: Integer, places: Places, bounds: Labels, count: Integer,
    lanes: Integer, zeros: In1, total: Out3,
) -> None:  # fmt: skip
    """total[k, o, c] = the sum, over what cell k of the kernel sees, of gy[first + o] x[c].

    Args:
        of_outputs, of_channels: gy and x, of `count` images, as `_by_position` makes them.
        places: for each cell of the kernel one place in both for each window that sees the image there.
    """
    above, images = of_outputs.reshape(of_outputs.size)[first:], of_channels.reshape(of_channels.size)
    channels = total.shape[2]
    for k in range(total.shape[0]):
        sums = total[k].reshape(total[k].size)
        for column in range(0, channels, 2 * lanes):
            vectors = min((channels - column) // lanes, 2)
            add_products(
                vectors, total.shape[1], above, 1, of_outputs.shape[2], images[column:], of_channels.shape[2],
                places[bounds[k] : bounds[k + 1]], count, zeros, 0, sums[column:], channels,
            )  # fmt: skip


DTYPES = ("float32",)
FUNCTIONS = (*PACKING, _by_position, _convolve_by_position, _correlate_by_position)


def suits(windows: Windows) -> bool:
    """Whether this is faster than other methods."""
    return (
        windows.images >= _LEAST_IMAGES
        and windows.channels % MOST_LANES == windows.outputs % MOST_LANES == 0
        and windows.outputs >= _LEAST_OUTPUTS
        and max(windows.out_size) <= _MOST_WINDOWS
        and windows.kernel_size != (1, 1)
    )


def small_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of x (N, H, W, C) with w (O, C, KH, KW), plus b, to y (N, OH, OW, O)."""
    outputs = len(w)
    width = panel_width(outputs)
    canvas, bias = _canvas("small images", x), np.zeros(outputs, dtype=x.dtype) if b is None else b
    places, bounds = _seen(windows, x.shape, canvas.shape[2], width)

    def work(part: slice) -> None:
        own = slice(part.start * width, part.stop * width)
        panel = aligned_scratch("small panel", (w[0].size, width), x.dtype)
        own_bias = np.ascontiguousarray(bias[own])
        _convolve_by_position(canvas, len(x), w[own], own_bias, places, bounds, panel, lanes(), y[..., own])

    parallel(work, outputs // width, windows.work)


def small_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (O, C, KH, KW) of `small_convolve` with respect to w, from y's gradient gy."""
    return _correlated(x, gy, windows, backwards=False)


def small_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Write the convolution of gy with the reversed w to gx; return the gradient with respect to w.

    Args:
        windows: of the convolution that gy is the gradient of.
    """
    windows = windows.reversed
    small_convolve(gy, reversed_kernel(w), None, gx, windows)
    return _correlated(gy, x, windows, backwards=True)


def _correlated(x: np.ndarray, gy: np.ndarray, windows: Windows, backwards: bool) -> np.ndarray:
    """The gradient of the kernel; backwards that of the kernel whose reverse convolves x to what gy is of."""
    canvases = _canvas("small images", x), _canvas("small upstream", gy)
    of_outputs, of_channels = canvases if backwards else canvases[::-1]
    places, bounds = _seeing(windows, x.shape, canvases[0].shape[2], canvases[1].shape[2], backwards)
    outputs, channels = (x.shape[3], gy.shape[3]) if backwards else (gy.shape[3], x.shape[3])
    height, width = windows.kernel_size
    gw, zeros = np.empty((outputs, channels, height, width), dtype=x.dtype), np.zeros(channels, dtype=x.dtype)

    def work(part: slice) -> None:
        for first in range(part.start, part.stop, _OUTPUTS_AT_A_TIME):
            last = min(first + _OUTPUTS_AT_A_TIME, part.stop)
            total = aligned_scratch("small sums", (height * width, last - first, channels), x.dtype)
            _correlate_by_position(
                of_outputs, of_channels, first, places, bounds, len(x), lanes(), zeros, total
            )
            cells = total.reshape(height, width, last - first, channels).transpose(0, 2, 1, 3)
            unpack(cells, gw[first:last])

    parallel(work, outputs, windows.work, align=_OUTPUTS_AT_A_TIME)
    return gw


def _canvas(name: str, x: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) by position; a vector too wide, so that they lie in different sets."""
    n, height, width, channels = x.shape
    canvas = aligned_scratch(name, (height * width, n, channels + lanes()), x.dtype)
    _by_position(x if x.strides[3] == x.itemsize else np.ascontiguousarray(x), canvas)
    return canvas


@functools.lru_cache(maxsize=256)
def _seen(windows: Windows, shape: tuple[int, ...], step: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """For each window the cells that it sees: places in the canvas and in a panel."""
    n, channels = shape[0], shape[3]
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(windows.out_size[0] * windows.out_size[1])]
    for window, cell, position in _meetings(windows, shape):
        pairs[window].append((position * n * step, cell * channels * width))
    return _bounded(pairs)


@functools.lru_cache(maxsize=256)
def _seeing(
    windows: Windows, shape: tuple[int, ...], step: int, upstream_step: int, backwards: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For each cell of the kernel the windows that see the image with it: places in gy's canvas and in x's.

    Args:
        backwards: the last cell first, and the places in x's canvas first.
    """
    n = shape[0]
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(windows.kernel_size[0] * windows.kernel_size[1])]
    for window, cell, position in _meetings(windows, shape):
        places = (window * n * upstream_step, position * n * step)
        pairs[-1 - cell if backwards else cell].append(places[::-1] if backwards else places)
    return _bounded(pairs)


def _meetings(windows: Windows, shape: tuple[int, ...]) -> Any:
    """All windows, cells of the kernel and positions in the image that meet."""
    (rows, columns), (height, width) = windows.out_size, windows.kernel_size
    for i, j, u, v in np.ndindex(rows, columns, height, width):
        row = i * windows.stride[0] + u * windows.dilation[0] - windows.padding[0][0]
        column = j * windows.stride[1] + v * windows.dilation[1] - windows.padding[1][0]
        if 0 <= row < shape[1] and 0 <= column < shape[2]:
            yield i * columns + j, u * width + v, row * shape[2] + column


def _bounded(lists: list[list[tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Lists of pairs one after the other, and where each begins and the last one ends."""
    bounds = np.cumsum([0, *(len(pairs) for pairs in lists)])
    return np.array([pair for pairs in lists for pair in pairs], dtype=np.int64).reshape(-1, 2), bounds
