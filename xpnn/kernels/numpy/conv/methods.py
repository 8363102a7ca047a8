"""Convolution in NumPy: the three primitives of `functional/conv`, and the table of methods for them.

Each primitive asks its table, once, which method serves the sizes at hand; the tables are filled at the end
of this file, and by `kernels/numba/conv`. A method may be to divide the work into parts, for each of which
the table is asked again. Sequences are images of one row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from xpnn.backend import get_num_threads, get_precision, kernel, numba_switch
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy.chunks import contiguous
from xpnn.kernels.numpy.conv import (
    cells,
    columns,
    depthwise,
    planes,
    rows,
    sequences,
    winograd,
    winograd_rows,
)
from xpnn.kernels.numpy.conv.layout import (
    Pair,
    Windows,
    as_images,
    channels_last,
    padded,
    swap_kernel,
    windows_of,
)
from xpnn.kernels.numpy.conv.table import convolutions, input_gradients, joint_gradients, weight_gradients
from xpnn.kernels.numpy.parallel import IN_PIECES, WORTHWHILE, in_pieces

# Groups of fewer channels are left to the reference, which multiplies all of them at once.
LEAST_CHANNELS_IN_GROUP = 8


def _conv_suits(x: np.ndarray, w: np.ndarray, *others: Any, groups: int, **options: Any) -> bool:
    return _suits(x.ndim, w.shape[1], x.shape[1], w.shape[0], groups)


def _input_gradient_suits(gy: np.ndarray, w: np.ndarray, *, groups: int, **options: Any) -> bool:
    return _suits(gy.ndim, w.shape[1], w.shape[1] * groups, w.shape[0], groups)


def _weight_gradient_suits(x: np.ndarray, gy: np.ndarray, *, groups: int, **options: Any) -> bool:
    return _suits(x.ndim, x.shape[1] // groups, x.shape[1], gy.shape[1], groups)


def _suits(ndim: int, in_group: int, channels: int, outputs: int, groups: int) -> bool:
    """Sequences or images; and groups that are one, wide, or one for each channel."""
    wide = groups == 1 or in_group >= LEAST_CHANNELS_IN_GROUP or groups == channels == outputs
    return ndim in (3, 4) and wide and in_group > 0 and outputs > 0


def _windows(
    x: tuple[int, ...],
    w: tuple[int, ...],
    dtype: np.dtype,
    *,
    stride: tuple[int, ...],
    padding: tuple[Pair, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Windows:
    settings = get_precision() == "fast", numba_switch.numba_enabled(), get_num_threads()
    return windows_of(x, w, dtype, stride, padding, dilation, groups, *settings)  # keywords would cost time


# The BLAS has one thread inside of these; `parallel` has more. Threads of the BLAS wait for each other by
# spinning: on cores that others use too, a small product takes a hundred times as long.


@kernel("numpy", "conv", when=_conv_suits)
def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, **options: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `conv`."""
    windows = _windows(x.shape, w.shape, x.dtype, **options)
    method = convolutions.choose(windows)
    y = method.empty((windows.images, windows.outputs, *windows.out_size), x.dtype)
    images, outputs = _as_read(x), channels_last(y)
    single_threaded_blas(method.run, images, as_images(w), b, outputs, windows)
    return _as_given(y, x), (x, w)


@convolve.backward
def convolve_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    """All gradients; those of x and w in one pass where that can be."""
    x, w = saved
    gx = gw = None
    gy = _as_given(_as_read(gy).transpose(0, 3, 1, 2), gy)
    if needs[0] and needs[1]:
        windows = _windows(x.shape, w.shape, x.dtype, **options)
        method = joint_gradients.choose(windows)
        gx = method.empty((windows.images, windows.channels, *windows.size), x.dtype)
        images, upstream = _as_read(x), channels_last(as_images(gy))
        gw = single_threaded_blas(method.run, images, as_images(w), upstream, channels_last(gx), windows)
        gx, gw = _as_given(gx, x), _in_order(gw).reshape(w.shape)
    elif needs[0]:
        gx, _ = input_gradient.forward(gy, w, size=x.shape[2:], **options)
    elif needs[1]:
        gw, _ = weight_gradient.forward(x, gy, kernel_size=w.shape[2:], **options)
    return gx, gw, sum_over_windows(as_images(gy)) if needs[2] else None


@kernel("numpy", "conv_input_gradient", when=_input_gradient_suits)
def input_gradient(
    gy: np.ndarray, w: np.ndarray, *, size: tuple[int, ...], **options: Any
) -> tuple[np.ndarray, tuple]:
    """The reference's `conv_input_gradient`."""
    windows = _windows((len(gy), w.shape[1] * options["groups"], *size), w.shape, gy.dtype, **options)
    method = input_gradients.choose(windows)
    gx = method.empty((windows.images, windows.channels, *windows.size), gy.dtype)
    upstream, images = _as_read(gy), channels_last(gx)
    single_threaded_blas(method.run, upstream, as_images(w), images, windows)
    return _as_given(gx, gy), (gy, w)


@kernel("numpy", "conv_weight_gradient", when=_weight_gradient_suits)
def weight_gradient(
    x: np.ndarray, gy: np.ndarray, *, kernel_size: tuple[int, ...], **options: Any
) -> tuple[np.ndarray, tuple]:
    """The reference's `conv_weight_gradient`."""
    shape = (gy.shape[1], x.shape[1] // options["groups"], *kernel_size)
    windows = _windows(x.shape, shape, x.dtype, **options)
    method = weight_gradients.choose(windows)
    images, upstream = _as_read(x), _as_read(gy)
    gw = single_threaded_blas(method.run, images, upstream, windows)
    return _in_order(gw).reshape(shape), (x, gy)


def _as_read(x: np.ndarray) -> np.ndarray:
    """Images (N, H, W, C) as the methods read them, piece by piece of the batch.

    With the batch innermost in memory all pieces lie in the same lines of it: the images are copied.
    """
    images = channels_last(as_images(x))
    if images.strides[0] == images.itemsize and len(images) > 1:
        return contiguous(images)
    return images


def _as_given(images: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Images; or, where `like` are sequences, images of one row as such."""
    return images if like.ndim == 4 else images[:, :, 0]


def _in_order(gw: np.ndarray) -> np.ndarray:
    """A gradient (O, C, KH, KW) with its memory in the order (O, KH, KW, C), or else in that of its axes.

    The first is as methods make it, and an optimizer lets large weights lie in memory as their gradients do:
    for 512 channels each copy of weights or gradient is a tenth of the time.
    """
    return gw if channels_last(gw).flags.c_contiguous else np.ascontiguousarray(gw)


def sum_over_windows(gy: np.ndarray) -> np.ndarray:
    """The gradient (O,) of the bias.

    Products with ones, which are far faster than `gy.sum`. Short rows of channels are joined to longer ones.
    """
    n, outputs, height, width = gy.shape
    flat = channels_last(gy)
    if not flat.flags.c_contiguous:
        cells = np.ones(height * width, dtype=gy.dtype)
        return np.matmul(gy.reshape(n, outputs, height * width), cells).sum(axis=0)
    joined = math.gcd(n * height * width, max(1024 // max(outputs, 1), 1))
    rows = flat.reshape(-1, joined * outputs)

    def work(part: slice) -> np.ndarray:
        return np.ones(part.stop - part.start, dtype=gy.dtype) @ rows[part]

    total = np.sum(in_pieces(work, len(rows), gy.size), axis=0)
    return total.reshape(joined, outputs).sum(axis=0)


# ---- methods that divide a convolution into several ----


def cropped_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Negative padding, of input gradients, cuts cells off: a view of the rest."""
    seen, windows = windows.cropped
    convolutions.choose(windows).run(x[seen], w, b, y, windows)


def grouped_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """One group of channels after the other."""
    run = convolutions.choose(windows.of_a_group).run
    for channels, outputs in _groups(windows):
        part = None if b is None else b[outputs]
        run(x[..., channels], w[outputs], part, y[..., outputs], windows.of_a_group)


def grouped_correlate(x: np.ndarray, gy: np.ndarray, windows: Windows) -> np.ndarray:
    """One group of channels after the other."""
    run = weight_gradients.choose(windows.of_a_group).run
    parts = [
        run(x[..., channels], gy[..., outputs], windows.of_a_group) for channels, outputs in _groups(windows)
    ]
    return np.concatenate(parts)


def _groups(windows: Windows) -> Iterator[tuple[slice, slice]]:
    """The input and output channels of each group."""
    channels, outputs = windows.channels // windows.groups, windows.outputs // windows.groups
    for group in range(windows.groups):
        yield (
            slice(group * channels, (group + 1) * channels),
            slice(group * outputs, (group + 1) * outputs),
        )


def banded_convolve(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, y: np.ndarray, windows: Windows
) -> None:
    """Fewer images than threads: the bands of each image as a batch.

    Bands of rows overlap in x's memory, and follow one another in y's.
    """
    of_bands = _of_bands(windows)
    bands, height = of_bands.images, of_bands.out_size[0]
    for image, target in zip(x, y):
        image = padded(image[None], windows.padding)[0]
        row, column, cell = image.strides
        shape = (bands, *of_bands.size, windows.channels)
        steps = (height * windows.stride[0] * row, row, column, cell)
        part = as_strided(image, shape, steps, writeable=False)
        target = target.reshape(bands, height, *target.shape[1:])
        convolutions.choose(of_bands).run(part, w, b, target, of_bands)


@functools.lru_cache(maxsize=1024)
def _of_bands(windows: Windows) -> Windows:
    """The windows of an image's bands as a batch."""
    bands = _number_of_bands(windows)
    height, (left, right) = windows.out_size[0] // bands, windows.padding[1]
    seen = (height - 1) * windows.stride[0] + (windows.kernel_size[0] - 1) * windows.dilation[0] + 1
    return replace(
        windows,
        images=bands,
        size=(seen, left + windows.size[1] + right),
        out_size=(height, windows.out_size[1]),
        padding=((0, 0), (0, 0)),
        part=True,
    )


def _number_of_bands(windows: Windows) -> int:
    """The least number, from that of the threads on, that divides the rows of windows; 1 if there is none."""
    height = windows.out_size[0]
    return next((bands for bands in range(windows.threads, height + 1) if height % bands == 0), 1)


def deserves_bands(windows: Windows) -> bool:
    """Whether threads had better share the rows of each image."""
    few = windows.images < windows.threads and not windows.part
    return few and windows.work >= IN_PIECES * WORTHWHILE and _number_of_bands(windows) > 1


def fold_by_remainders(gy: np.ndarray, w: np.ndarray, gx: np.ndarray, windows: Windows) -> None:
    """The input gradient as convolutions of gy with the reversed kernel, without strides.

    Input cell j gets `w[t] gy[i]` from all i and t with `s i + d t = j + p`. Only kernel cells t with the
    same remainder of `d t` by s as `j + p` has can meet that; for them i is `(j + p) // s` minus a
    constant. So the input cells of one remainder are a convolution, with stride 1, of gy by those cells
    of the kernel in reverse order: one for each remainder.
    """
    parts, gaps = _of_remainders(windows)
    if gaps:
        gx[...] = 0
    for at, kernel_cells, of_remainder in parts:
        kernel = swap_kernel(w[kernel_cells], windows.groups)
        convolutions.choose(of_remainder).run(gy, kernel, None, gx[at], of_remainder)


@functools.lru_cache(maxsize=1024)
def _of_remainders(windows: Windows) -> tuple[list[tuple[Any, Any, Windows]], bool]:
    """For each remainder the input cells, the cells of the kernel and the windows over gy.

    And whether there are input cells that no window covers.
    """
    parts, every = [], slice(None)
    along_rows, along_columns = (list(_remainders(axis, windows)) for axis in (0, 1))
    for some_rows, kernel_rows, row_padding, row_dilation in along_rows:
        for some_columns, kernel_columns, column_padding, column_dilation in along_columns:
            of_remainder = replace(
                windows,
                size=windows.out_size,
                channels=windows.outputs,
                outputs=windows.channels,
                kernel_size=_lengths(windows.kernel_size, (kernel_rows, kernel_columns)),
                out_size=_lengths(windows.size, (some_rows, some_columns)),
                stride=(1, 1),
                padding=(row_padding, column_padding),
                dilation=(row_dilation, column_dilation),
                part=windows.stride != (1, 1),
            )
            parts.append(
                ((every, some_rows, some_columns), (every, every, kernel_rows, kernel_columns), of_remainder)
            )
    return parts, len(along_rows) < windows.stride[0] or len(along_columns) < windows.stride[1]


def _lengths(size: Pair, parts: tuple[slice, slice]) -> Pair:
    rows, columns = (len(range(cells)[part]) for cells, part in zip(size, parts))
    return rows, columns


def _remainders(axis: int, windows: Windows) -> Iterator[tuple[slice, slice, Pair, int]]:
    """One axis of `fold_by_remainders`.

    Yields, for each remainder by the stride: the input cells, the kernel cells in reverse order, and the
    padding and dilation of the convolution of gy with them.
    """
    size, stride, dilation = windows.size[axis], windows.stride[axis], windows.dilation[axis]
    padding, out_size = windows.padding[axis][0], windows.out_size[axis]
    step = dilation // math.gcd(stride, dilation)
    for first in range(min(stride, size)):
        cells = [
            t for t in range(windows.kernel_size[axis]) if t * dilation % stride == (first + padding) % stride
        ]
        if cells:
            at = slice(first, size, stride)
            count = len(range(first, size, stride))
            before = cells[-1] * dilation // stride - (first + padding) // stride
            after = count + (len(cells) - 1) * step - out_size - before
            yield at, _backwards(cells), (before, after), step


def _backwards(cells: list[int]) -> slice:
    """Equally spaced cells, the last one first."""
    step = cells[1] - cells[0] if len(cells) > 1 else 1
    return slice(cells[-1], cells[0] - step if cells[0] >= step else None, -step)


def gradients_apart(
    x: np.ndarray, w: np.ndarray, gy: np.ndarray, gx: np.ndarray, windows: Windows
) -> np.ndarray:
    """Each by its own method."""
    input_gradients.choose(windows).run(gy, w, gx, windows)
    return weight_gradients.choose(windows).run(x, gy, windows)


# ---- the tables ----

# Up to so many input channels, the long runs in memory are the image rows, not the channels.
_PLANES_UP_TO = 6

# Planes give (N, C, H, W) memory for fewer outputs than this, or for more input channels than colours have:
# the runs of a few channels are slow, and the next layer too has few.
_CHANNELS_LAST_FROM = 8
_COLOURS = 4

# Images with fewer windows than this fill no product of their own.
_WINDOWS_FOR_ROWS = 100

# Cells that windows see in all, and weights, up to which one call gathers them, if so many lie together.
_FEW_CELLS = 32 * 1024
_LONG_RUN = 24

# Methods that divide the work are asked before all others.
_DIVIDING = 100


def _few_channels(windows: Windows) -> bool:
    return windows.groups == 1 and windows.channels <= _PLANES_UP_TO and not windows.part


def _long_planes(windows: Windows) -> bool:
    return _few_channels(windows) and planes.long_rows_or_few_columns(windows)


def _few_columns(windows: Windows) -> bool:
    """Whether windows see so few cells in all that the fewest calls are fastest, and these in long runs."""
    row = windows.kernel_size[1] * windows.channels
    seen = windows.images * math.prod(windows.out_size) * windows.kernel_size[0] * row
    weights = windows.outputs * windows.kernel_size[0] * row
    return windows.groups == 1 and not windows.part and max(seen, weights) <= _FEW_CELLS and row >= _LONG_RUN


def _colours_to_channels(windows: Windows) -> bool:
    many = windows.outputs >= _CHANNELS_LAST_FROM
    return _few_channels(windows) and windows.channels <= _COLOURS and many


def _winograd_rows_suits(windows: Windows) -> bool:
    return windows.fast and windows.dtype == np.float32 and winograd_rows.suits(windows)


def _winograd_suits(windows: Windows) -> bool:
    return windows.fast and windows.dtype == np.float32 and winograd.suits(windows)


def _cells_suit(windows: Windows) -> bool:
    return windows.groups == 1 and cells.suits(windows)


def _rows_suit(windows: Windows) -> bool:
    wide = math.prod(windows.out_size) >= _WINDOWS_FOR_ROWS
    return windows.stride == (1, 1) and not windows.pointwise and wide


def in_reverse(suits: Any) -> Any:
    """A guard of methods that make the input gradient as one convolution of gy."""

    def suits_in_reverse(windows: Windows) -> bool:
        dense = windows.groups == 1 and windows.stride == (1, 1)
        return dense and not windows.reversed.crops and suits(windows.reversed)

    return suits_in_reverse


def _several_groups(windows: Windows) -> bool:
    return windows.groups > 1 and not windows.depthwise


def _always(windows: Windows) -> bool:
    return True


add = convolutions.add
add("cropped", lambda windows: windows.crops, cropped_convolve, priority=_DIVIDING)
add("grouped", _several_groups, grouped_convolve, priority=_DIVIDING)
add("few columns", _few_columns, columns.few_columns_convolve)
add("planes", _colours_to_channels, planes.planes_convolve)
add("planes", _few_channels, planes.planes_convolve, empty=np.empty)
add("depthwise", lambda windows: windows.depthwise, depthwise.depthwise_convolve)
add("banded", deserves_bands, banded_convolve)
add("winograd rows", _winograd_rows_suits, winograd_rows.winograd_rows_convolve)
add("winograd", _winograd_suits, winograd.winograd_convolve)
add("cells", _cells_suit, cells.cells_convolve)
add("sequences", sequences.suits, sequences.sequences_convolve)
add("rows", _rows_suit, rows.rows_convolve)
add("columns", _always, columns.columns_convolve)

add = input_gradients.add
add("rows of planes", _long_planes, planes.rows_of_planes_fold, empty=np.empty)
add("planes", _few_channels, planes.planes_fold, empty=np.empty)
add("winograd", _winograd_suits, fold_by_remainders)
add("cells", _cells_suit, cells.cells_fold)
add("columns", lambda windows: windows.groups == 1 and windows.stride != (1, 1), columns.columns_fold)
add("remainders", _always, fold_by_remainders)

add = weight_gradients.add
add("grouped", _several_groups, grouped_correlate, priority=_DIVIDING)
add("planes", _few_channels, planes.planes_correlate)
add("depthwise", lambda windows: windows.depthwise, depthwise.depthwise_correlate)
add("winograd rows", _winograd_rows_suits, winograd_rows.winograd_rows_correlate)
add("winograd", _winograd_suits, winograd.winograd_correlate)
add("cells", _cells_suit, cells.cells_correlate)
add("sequences", sequences.suits, sequences.sequences_correlate)
add("rows", _rows_suit, rows.rows_correlate)
add("columns", _always, columns.columns_correlate)

add = joint_gradients.add
add("planes", _few_channels, gradients_apart, empty=np.empty)
add("winograd rows", in_reverse(_winograd_rows_suits), winograd_rows.winograd_rows_gradients)
add("winograd", in_reverse(_winograd_suits), winograd.winograd_gradients)
add("cells", _cells_suit, cells.cells_gradients)
add("sequences", in_reverse(sequences.suits), sequences.sequences_gradients)
add("rows", in_reverse(_rows_suit), rows.rows_gradients)
add("apart", _always, gradients_apart)
