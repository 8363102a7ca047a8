"""Depthwise convolution, whose sums stay in registers, and both of its gradients from one pass over memory.

A band of an image's rows is put into a frame of zeros in the second-level cache. What cell t of the kernel
sees in a row of windows then lies at equal distances from a place of its own, so that borders take no branch.
A vector of channels at a time, nine cells of the kernel slide along the row: their weights, or the sums of
their gradients, stay in registers.

The input gradient is such a convolution too: with the reversed kernel, of the upstream gradient with zeros
between its cells where the windows were strides apart. What its windows see times the input itself is the
gradient of the kernel, so that one frame serves both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnn.kernels.numba.compiling import (
    In1,
    In2,
    In4,
    Integer,
    Labels,
    Out2,
    Out4,
    Sums2,
    compiled_function,
    inlined,
)
from xpnn.kernels.numba.conv.packing import aligned_scratch
from xpnn.kernels.numba.vectors import lanes, load, multiply_add, numbers_in_vector, store, store_past_cache
from xpnn.kernels.numpy.conv.layout import Pair, Windows, total_of
from xpnn.kernels.numpy.parallel import parallel

# Cells of the kernel that are worked on together: a 3x3 kernel's, and their weights fit the registers.
_CELLS = 9

# Bytes of a framed band.
_BAND_BYTES = 256 * 1024

# Results from so many bytes on are written past the cache.
_LARGE_BYTES = 8 * 1024 * 1024

# What a multiplication counts for, in the unit of `parallel`.
_MULTIPLICATION = 1 / 5

# Bytes of the largest vectors that there are: all channels of a cell fill one.
_VECTOR_BYTES = 64


@inlined
def _frame(image: Any, top: Any, left: Any, row_gap: Any, column_gap: Any, canvas: Any, rows: Any) -> None:
    """Rows of the canvas, from an image whose first cell comes to (top, left).

    The canvas has planes of (rows, columns), one for each vector of channels; the last one overlaps the
    vector before. Between the image's cells stay zeros; what comes to lie outside is left out.
    """
    height, width, channels = image.shape
    vector, columns = lanes(canvas), canvas.shape[1] // lanes(canvas)
    numbers, cells = image.reshape(image.size), canvas.reshape(canvas.size)
    before = max(0, -(left // column_gap))
    after = min(width, (columns - 1 - left) // column_gap + 1)
    for r in range(rows):
        row = (r - top) // row_gap
        if row * row_gap != r - top or row < 0 or row >= height:
            for plane in range(-(-channels // vector)):
                canvas[plane * rows + r] = 0
            continue
        for j in range(before, after):
            place = (r * columns + left + j * column_gap) * vector
            source = (row * width + j) * channels
            for slot in range(0, channels, vector):
                store(cells, place, load(numbers, source + min(slot, channels - vector)))
                place += canvas.shape[1] * rows


@inlined
def _convolve_row(cells: Any, places: Any, step: Any, w: Any, b: Any, c: Any, out: Any, past: Any) -> None:
    """out[j] = bias + the sum over t of w[t] cells[places[t] + j step], of the channels from c on."""
    channels = out.shape[1]
    for t in range(0, places.size, _CELLS):
        p0, p1, p2, p3, p4 = places[t], places[t + 1], places[t + 2], places[t + 3], places[t + 4]
        p5, p6, p7, p8 = places[t + 5], places[t + 6], places[t + 7], places[t + 8]
        w0, w1, w2 = load(w[t], c), load(w[t + 1], c), load(w[t + 2], c)
        w3, w4, w5 = load(w[t + 3], c), load(w[t + 4], c), load(w[t + 5], c)
        w6, w7, w8 = load(w[t + 6], c), load(w[t + 7], c), load(w[t + 8], c)
        place, seen, bias = c, 0, load(b, c)
        while place < out.size:
            total = bias if t == 0 else load(out, place)
            total = multiply_add(load(cells, p0 + seen), w0, total)
            total = multiply_add(load(cells, p1 + seen), w1, total)
            total = multiply_add(load(cells, p2 + seen), w2, total)
            total = multiply_add(load(cells, p3 + seen), w3, total)
            total = multiply_add(load(cells, p4 + seen), w4, total)
            total = multiply_add(load(cells, p5 + seen), w5, total)
            total = multiply_add(load(cells, p6 + seen), w6, total)
            total = multiply_add(load(cells, p7 + seen), w7, total)
            total = multiply_add(load(cells, p8 + seen), w8, total)
            if past:
                store_past_cache(out, place, total)
            else:
                store(out, place, total)
            place += channels
            seen += step


@inlined
def _correlate_row(cells: Any, places: Any, step: Any, above: Any, c: Any, slot: Any, sums: Any) -> None:
    """sums[t] += the sum over j of above[j] cells[places[t] + j step], of the channels from c on."""
    channels = above.shape[1]
    for t in range(0, places.size, _CELLS):
        p0, p1, p2, p3, p4 = places[t], places[t + 1], places[t + 2], places[t + 3], places[t + 4]
        p5, p6, p7, p8 = places[t + 5], places[t + 6], places[t + 7], places[t + 8]
        s0, s1, s2 = load(sums[t], slot), load(sums[t + 1], slot), load(sums[t + 2], slot)
        s3, s4, s5 = load(sums[t + 3], slot), load(sums[t + 4], slot), load(sums[t + 5], slot)
        s6, s7, s8 = load(sums[t + 6], slot), load(sums[t + 7], slot), load(sums[t + 8], slot)
        place, seen = c, 0
        while place < above.size:
            a = load(above, place)
            s0 = multiply_add(load(cells, p0 + seen), a, s0)
            s1 = multiply_add(load(cells, p1 + seen), a, s1)
            s2 = multiply_add(load(cells, p2 + seen), a, s2)
            s3 = multiply_add(load(cells, p3 + seen), a, s3)
            s4 = multiply_add(load(cells, p4 + seen), a, s4)
            s5 = multiply_add(load(cells, p5 + seen), a, s5)
            s6 = multiply_add(load(cells, p6 + seen), a, s6)
            s7 = multiply_add(load(cells, p7 + seen), a, s7)
            s8 = multiply_add(load(cells, p8 + seen), a, s8)
            place += channels
            seen += step
        store(sums[t], slot, s0)
        store(sums[t + 1], slot, s1)
        store(sums[t + 2], slot, s2)
        store(sums[t + 3], slot, s3)
        store(sums[t + 4], slot, s4)
        store(sums[t + 5], slot, s5)
        store(sums[t + 6], slot, s6)
        store(sums[t + 7], slot, s7)
        store(sums[t + 8], slot, s8)


@inlined
def _add_up(part: Any, sums: Any) -> None:
    """Add to sums what vectors of channels have added up in a row, and start these again."""
    channels = sums.shape[1]
    for slot in range(0, channels, lanes(part)):
        c = min(slot, channels - lanes(part))
        for t in range(sums.shape[0]):
            for k in range(slot - c, lanes(part)):
                sums[t, c + k] += part[t, slot + k]
    part[:] = 0


@compiled_function
def _slide(
    x: In4, geometry: Labels, kernel: Labels, first: Integer, last: Integer, w: In2, b: In1, y: Out4,
    above: In4, canvas: Out2, part: Out2, sums: Sums2,
) -> None:  # fmt: skip
    """Rows first to last of all images' windows: the convolution of x, plus b, to y; and its correlation
    with `above`, added to `sums`. With an empty y there is none of the one, without sums none of the other.

    Args:
        geometry: rows of windows in an image; rows and columns of zeros before an image, distances of its
            cells, distances of the windows; rows that a window sees, rows of a plane; whether y is written
            past the cache.
        kernel: where its cells lie in a frame, from the first one; -1 for those that fill up nine.
        canvas: for the planes of a framed band of rows, one for each vector of channels, and a row of
            zeros.
        part: for sums of a band.
    """
    height, top, left, down, rows = geometry[0], geometry[1], geometry[2], geometry[5], geometry[8]
    channels, vector, plane = x.shape[3], lanes(canvas), rows * canvas.shape[1]
    cells, places = canvas.reshape(canvas.size), np.empty_like(kernel)
    canvas[:] = 0
    part[:] = 0
    row = first
    while row < last:
        n, i = row // height, row % height
        count = min((rows - geometry[7]) // down + 1, height - i, last - row)
        _frame(x[n], top - i * down, left, geometry[3], geometry[4], canvas, rows)
        for slot in range(0, channels, vector):
            c = min(slot, channels - vector)
            for k in range(count):
                start = slot // vector * plane + k * down * canvas.shape[1]
                for t in range(kernel.size):
                    places[t] = cells.size - canvas.shape[1] if kernel[t] < 0 else start + kernel[t] * vector
                if y.size:
                    _convolve_row(cells, places, geometry[6] * vector, w, b, c, y[n, i + k], geometry[9])
                if sums.shape[0]:
                    _correlate_row(cells, places, geometry[6] * vector, above[n, i + k], c, slot, part)
        if sums.shape[0]:
            _add_up(part, sums)
        row += count


@dataclass(frozen=True, slots=True)
class _Windows:
    """How windows lie over framed images, along each axis.

    Args:
        before: cells of zeros before an image; negative ones are left out.
        gaps: distances of the image's cells.
    """

    kernel_size: Pair
    out_size: Pair
    before: Pair
    gaps: Pair
    stride: Pair
    dilation: Pair

    def spans(self) -> Pair:
        """Cells from the first to the last that a window sees."""
        (height, width), (down, along) = self.kernel_size, self.dilation
        return down * (height - 1) + 1, along * (width - 1) + 1

    def band(self, cell_bytes: int) -> Pair:
        """Rows and columns of a framed band."""
        rows, columns = (
            (count - 1) * s + span for count, s, span in zip(self.out_size, self.stride, self.spans())
        )
        most = max(_BAND_BYTES // (columns * cell_bytes), 2 * self.spans()[0])
        return min(rows, most), columns

    def places(self, columns: int) -> np.ndarray:
        """Where the kernel's cells lie in a frame of so many columns; -1 fills up nine."""
        (height, width), (down, along) = self.kernel_size, self.dilation
        places = np.add.outer(np.arange(height) * down * columns, np.arange(width) * along).ravel()
        return np.pad(places, (0, -len(places) % _CELLS), constant_values=-1)


def _depthwise_passes(
    x: np.ndarray,
    w: np.ndarray | None,
    b: np.ndarray | None,
    y: np.ndarray | None,
    above: np.ndarray | None,
    windows: _Windows,
) -> np.ndarray | None:
    """Write the convolution of x (N, H, W, C), plus b, to y, if that is given; return its correlation
    (C, 1, KH, KW) with `above`, if that is given."""
    channels, (height, width) = x.shape[3], windows.out_size
    band_rows, columns = windows.band(channels * x.itemsize)
    vector = numbers_in_vector(8 * x.itemsize)
    planes = -(-channels // vector)
    places, cells = windows.places(columns), math.prod(windows.kernel_size)
    past = y is not None and y.nbytes >= _LARGE_BYTES and len(places) == _CELLS and _in_lines(y)
    geometry = np.array(
        [height, *windows.before, *windows.gaps, *windows.stride, windows.spans()[0], band_rows, past]
    )
    weights = np.zeros((len(places), channels), dtype=x.dtype)
    if w is not None:
        weights[:cells] = w.reshape(channels, cells).T
    bias = np.zeros(channels, dtype=x.dtype) if b is None else np.ascontiguousarray(b)
    nothing = np.empty((len(x), 0, 0, channels), dtype=x.dtype)
    images, over = _in_order(x), nothing if above is None else _in_order(above)

    def work(rows: slice) -> np.ndarray:
        sums = np.zeros((0 if above is None else cells, channels))
        part = np.zeros((len(places), planes * vector), dtype=x.dtype)
        canvas = aligned_scratch("depthwise frame", (planes * band_rows + 1, columns * vector), x.dtype)
        _slide(
            images, geometry, places, rows.start, rows.stop, weights, bias, nothing if y is None else y,
            over, canvas, part, sums,
        )  # fmt: skip
        return sums

    passes = (y is not None) + (above is not None)
    rows = len(x) * height
    totals = parallel(work, rows, passes * rows * width * channels * cells * _MULTIPLICATION)
    total = total_of(totals).astype(x.dtype)
    return None if above is None else total.T.reshape(channels, 1, *windows.kernel_size)


def empty_in_lines(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A new (N, C, H, W), channels-last in memory from the start of a line of the cache on."""
    n, channels, height, width = shape
    size, line = math.prod(shape), _VECTOR_BYTES // np.dtype(dtype).itemsize
    block = np.empty(size + line, dtype=dtype)
    first = -(block.ctypes.data // block.itemsize) % line
    return block[first : first + size].reshape(n, height, width, channels).transpose(0, 3, 1, 2)


def _in_lines(y: np.ndarray) -> bool:
    """Whether each cell begins a line of the cache."""
    return y.ctypes.data % _VECTOR_BYTES == y.shape[3] * y.itemsize % _VECTOR_BYTES == 0


def _in_order(x: np.ndarray) -> np.ndarray:
    """x in C order."""
    if x.flags.c_contiguous:
        return x
    y = np.empty(x.shape, dtype=x.dtype)
    parallel(lambda part: np.copyto(y[part], x[part]), len(x), x.size)
    return y


DTYPES = ("float32", "float64")
FUNCTIONS = (_slide,)


def suits(windows: Windows) -> bool:
    """Whether there is a kernel for each channel, and the channels fill a vector."""
    fills = windows.channels * windows.dtype.itemsize >= _VECTOR_BYTES
    return windows.depthwise and fills and windows.images * min(windows.size) > 0


def depthwise_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Write the convolution of each channel of x (N, H, W, C) with w (C, 1, KH, KW), plus b, to y."""
    _depthwise_passes(x, w, b, y, None, _forwards(windows))


def depthwise_fold(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """Write the gradient with respect to x to gx."""
    _depthwise_passes(gy, _backwards(w), None, gx, None, _upstream(windows))


def depthwise_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """The gradient (C, 1, KH, KW) with respect to w."""
    gw: Any = _depthwise_passes(x, None, None, None, gy, _forwards(windows))
    return gw


def depthwise_gradients(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Both in one pass: what the windows over gy see times x is the gradient of the reversed kernel."""
    gw: Any = _depthwise_passes(gy, _backwards(w), None, gx, x, _upstream(windows))
    return _backwards(gw)


def _backwards(w: np.ndarray) -> np.ndarray:
    """The kernel (C, 1, KH, KW) with its cells in reverse order."""
    return w[:, :, ::-1, ::-1]


def _forwards(windows: Windows) -> _Windows:
    """The windows of a convolution itself."""
    (top, _), (left, _) = windows.padding
    return _Windows(
        windows.kernel_size, windows.out_size, (top, left), (1, 1), windows.stride, windows.dilation
    )


def _upstream(windows: Windows) -> _Windows:
    """Windows over gy, one for each cell of x."""
    top, left = (
        d * (k - 1) - first
        for k, d, (first, _) in zip(windows.kernel_size, windows.dilation, windows.padding)
    )
    return _Windows(windows.kernel_size, windows.size, (top, left), windows.stride, (1, 1), windows.dilation)
