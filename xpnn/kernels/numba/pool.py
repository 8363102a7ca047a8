"""Pooling of channels-last images in one pass; in PyTorch's order of memory NumPy is as fast.

The largest and the sum of a window are found over its rows first, in whole rows of the image, then over its
columns.
"""

from __future__ import annotations

import numpy as np

from xpnn.kernels.numba.compiling import (
    In2,
    In4,
    Integer,
    Out4,
    Real,
    compiled_function,
    compiled_kernel,
    inlined,
)
from xpnn.kernels.numpy.parallel import parallel

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


@inlined
def _larger(a: Real, b: Real) -> Real:
    """The larger one; NaN if one is NaN."""
    return b if (b > a) | (b != b) else a


@inlined
def _first_inside(offset: Integer, stride: Integer) -> Integer:
    """The first i >= 0 with i stride + offset >= 0."""
    return max(0, -(offset // stride))


@inlined
def _end_inside(offset: Integer, stride: Integer, size: Integer, count: Integer) -> Integer:
    """One after the last i < count with i stride + offset < size."""
    return min(count, (size - 1 - offset) // stride + 1)


@inlined
def _has_nan(values: In2) -> bool:
    found = False
    for j in range(values.shape[0]):
        for c in range(values.shape[1]):
            found |= values[j, c] != values[j, c]
    return found


@compiled_function
def _max_pool(
    x: In4,
    kh: Integer,
    kw: Integer,
    sh: Integer,
    sw: Integer,
    ph: Integer,
    pw: Integer,
    dh: Integer,
    dw: Integer,
    y: Out4,
) -> None:
    """The largest of the cells that lie inside; -inf if there are none."""
    images, height, width, channels = x.shape
    rows = x.reshape(images, height, width * channels)
    best = np.empty_like(rows[0, 0])
    cells = best.reshape(width, channels)
    for n in range(images):
        for i in range(y.shape[1]):
            best[:] = -np.inf
            for t in range(kh):
                row = i * sh - ph + t * dh
                if 0 <= row < height:
                    run = rows[n, row]
                    for j in range(run.size):
                        best[j] = _larger(best[j], run[j])
            out = y[n, i]
            out[:] = -np.inf
            for t in range(kw):
                offset = t * dw - pw
                first = _first_inside(offset, sw)
                end = _end_inside(offset, sw, width, out.shape[0])
                for j in range(first, end):
                    column = j * sw + offset
                    for c in range(channels):
                        out[j, c] = _larger(out[j, c], cells[column, c])


@compiled_function
def _max_pool_gradient(
    gy: In4,
    x: In4,
    y: In4,
    kh: Integer,
    kw: Integer,
    sh: Integer,
    sw: Integer,
    ph: Integer,
    pw: Integer,
    dh: Integer,
    dw: Integer,
    gx: Out4,
) -> None:
    """Cell by cell of the windows: a cell that equals the maximum takes what is `left` of gy.

    NaN equals nothing: the last NaN of its window takes what is left after all others.
    """
    images, height, width, channels = x.shape
    left = np.empty_like(gy[0, 0])
    for n in range(images):
        gx[n] = 0
        for i in range(y.shape[1]):
            left[:] = gy[n, i]
            maxima = y[n, i]
            for t in range(kh):
                row = i * sh - ph + t * dh
                if row < 0 or row >= height:
                    continue
                cells, out = x[n, row], gx[n, row]
                for u in range(kw):
                    offset = u * dw - pw
                    first = _first_inside(offset, sw)
                    end = _end_inside(offset, sw, width, maxima.shape[0])
                    for j in range(first, end):
                        column = j * sw + offset
                        for c in range(channels):
                            won = cells[column, c] == maxima[j, c]
                            out[column, c] += left[j, c] if won else 0
                            left[j, c] = 0 if won else left[j, c]
            if not _has_nan(maxima):
                continue
            for t in range(kh - 1, -1, -1):
                row = i * sh - ph + t * dh
                if row < 0 or row >= height:
                    continue
                for u in range(kw - 1, -1, -1):
                    offset = u * dw - pw
                    first = _first_inside(offset, sw)
                    for j in range(first, _end_inside(offset, sw, width, maxima.shape[0])):
                        column = j * sw + offset
                        for c in range(channels):
                            if np.isnan(x[n, row, column, c]):
                                gx[n, row, column, c] += left[j, c]
                                left[j, c] = 0


@compiled_function
def _sum_pool(
    x: In4, kh: Integer, kw: Integer, sh: Integer, sw: Integer, ph: Integer, pw: Integer, y: Out4
) -> None:
    images, height, width, channels = x.shape
    rows = x.reshape(images, height, width * channels)
    total = np.empty_like(rows[0, 0])
    cells = total.reshape(width, channels)
    for n in range(images):
        for i in range(y.shape[1]):
            total[:] = 0
            for row in range(max(i * sh - ph, 0), min(i * sh - ph + kh, height)):
                run = rows[n, row]
                for j in range(run.size):
                    total[j] += run[j]
            out = y[n, i]
            out[:] = 0
            for t in range(kw):
                offset = t - pw
                first = _first_inside(offset, sw)
                end = _end_inside(offset, sw, width, out.shape[0])
                for j in range(first, end):
                    column = j * sw + offset
                    for c in range(channels):
                        out[j, c] += cells[column, c]


@compiled_function
def _spread(
    gy: In4, kh: Integer, kw: Integer, sh: Integer, sw: Integer, ph: Integer, pw: Integer, gx: Out4
) -> None:
    """Add every gy to all cells of its window: to a row first, and that to the rows."""
    images, height, width, channels = gx.shape
    rows = gx.reshape(images, height, width * channels)
    part = np.empty_like(rows[0, 0])
    cells = part.reshape(width, channels)
    for n in range(images):
        gx[n] = 0
        for i in range(gy.shape[1]):
            part[:] = 0
            above = gy[n, i]
            for t in range(kw):
                offset = t - pw
                first = _first_inside(offset, sw)
                for j in range(first, _end_inside(offset, sw, width, above.shape[0])):
                    column = j * sw + offset
                    for c in range(channels):
                        cells[column, c] += above[j, c]
            for row in range(max(i * sh - ph, 0), min(i * sh - ph + kh, height)):
                run = rows[n, row]
                for j in range(run.size):
                    run[j] += part[j]


def _is_channels_last(x: np.ndarray, **_: object) -> bool:
    return x.ndim == 4 and x.shape[1] > 3 and x.size > 0 and x.transpose(0, 2, 3, 1).flags.c_contiguous


@compiled_kernel("max_pool", _max_pool, _max_pool_gradient, when=_is_channels_last)
def max_pool(
    x: np.ndarray, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[np.ndarray, tuple]:
    """The reference's `_max_pool`, without the numbers of the winners: the backward finds them again."""
    y, out = _new(x, _out_size(x, kernel_size, stride, padding, dilation))
    given, window = _images(x), (*kernel_size, *stride, *_before(padding), *dilation)
    parallel(lambda n: _max_pool(given[n], *window, out[n]), len(out), kernel_size[0] * x.size)
    return y, (x, y)


@max_pool.backward
def _max_pool_backward(
    gy: np.ndarray,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[np.ndarray]:
    """The first of equal cells takes all of gy."""
    x, y = saved
    gx, out = _new(x, x.shape[2:])
    window = (*kernel_size, *stride, *_before(padding), *dilation)
    above, cells, maxima = map(_images, (gy, x, y))
    parallel(
        lambda n: _max_pool_gradient(above[n], cells[n], maxima[n], *window, out[n]), len(out), 4 * x.size
    )
    return (gx,)


@compiled_kernel("sum_pool", _sum_pool, when=_is_channels_last)
def sum_pool(x: np.ndarray, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> tuple[np.ndarray, tuple]:
    """The reference's `_sum_pool`."""
    y, out = _new(x, _out_size(x, kernel_size, stride, padding, (1, 1)))
    given, window = _images(x), (*kernel_size, *stride, *_before(padding))
    parallel(lambda n: _sum_pool(given[n], *window, out[n]), len(out), kernel_size[0] * x.size)
    return y, (x.shape[2:],)


@compiled_kernel("spread_over_windows", _spread, when=_is_channels_last)
def spread_over_windows(
    gy: np.ndarray, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[np.ndarray, tuple]:
    """The reference's `_spread_over_windows`."""
    gx, out = _new(gy, size)
    above, window = _images(gy), (*kernel_size, *stride, *_before(padding))
    parallel(lambda n: _spread(above[n], *window, out[n]), len(out), 2 * gx.size)
    return gx, ()


def _images(x: np.ndarray) -> np.ndarray:
    """(N, H, W, C), as a view, or as a copy if x lies in another order of memory."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def _new(like: np.ndarray, size: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """A new array (N, C, *size), and its `_images`."""
    images = np.empty((like.shape[0], *size, like.shape[1]), dtype=like.dtype)
    return images.transpose(0, 3, 1, 2), images


def _out_size(x: np.ndarray, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Sizes:
    return tuple(
        (cells + sum(pair) - d * (k - 1) - 1) // s + 1
        for cells, k, s, pair, d in zip(x.shape[2:], kernel_size, stride, padding, dilation)
    )


def _before(padding: Pairs) -> Sizes:
    """The cells of padding above and left of the image; those on the other sides follow from the sizes."""
    return tuple(before for before, _ in padding)
