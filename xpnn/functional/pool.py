"""Pooling: the largest or the mean value of each window, channel by channel.

The cells of all windows that have the same place t in the window are one strided slice of the input
(`windows.py`), so a pooling is a loop over the few cells of the kernel, each step working on whole arrays:

    maximum:  y = max(y, x[slice t])           sum:  y = y + x[slice t]

The gradient runs the same loop the other way: it adds to `gx[slice t]`, because windows may overlap.

Both are linear maps once it is known which cell of each window won, and come with their adjoint: selecting
the winners with scattering to the winners, summing windows with spreading over windows. The backward of
one is the other, to any order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, Array, device_of, namespace
from xpnn.functional.arguments import check_floating, check_rank, tuple_of
from xpnn.functional.windows import (
    Pairs,
    Size,
    add_windows,
    check_kernel_fits,
    layout,
    output_size,
    pad_spatial,
    window_slices,
)

Sizes = tuple[int, ...]


def max_pool2d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of an image.

    `y[n, c, i, j] = max over u, v of x[n, c, s i + d u - p, s j + d v - p]`; the gradient goes to the cell
    that won, to the first in reading order if several did, and adds up where windows overlap.

    Args:
        input: (N, C, H, W) floats.
        kernel_size: cells of a window; a number, or one for rows and one for columns, as are the next three.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of minus infinity around the input, at most half of the kernel.
        dilation: cells from one cell of a window to the next.
        ceil_mode: whether a last window may hang over the end of the input.
        return_indices: whether to return where each maximum was found, too.

    Returns: (N, C, OH, OW); with `return_indices` a pair of it and integers of the same shape, that count
    the cells of one (H, W) channel row by row.

    Raises: ShapeError if the rank is wrong or a window is larger than the padded input; DTypeError for
    integers; ArgumentError for a stride below 1 or too much padding.

    See: Boureau et al., "A theoretical analysis of feature pooling in visual recognition", 2010.

    >>> import numpy as np
    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return _pool_maximum(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def avg_pool2d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of each window of an image.

    `y[n, c, i, j] = sum over u, v of x[n, c, s i + u - p, s j + v - p] / count`; the gradient spreads
    gy / count over the window.

    Args:
        input: (N, C, H, W) floats.
        kernel_size: cells of a window; a number, or one for rows and one for columns.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of zeros around the input, at most half of the kernel.
        ceil_mode: whether a last window may hang over the end; cells beyond the padding never count.
        count_include_pad: whether cells of the padding count.
        divisor_override: divide by this instead of by the number of cells.

    Returns: (N, C, OH, OW).

    Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """
    return _pool_average(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def adaptive_avg_pool2d(input: Array, output_size: int | Sequence[int | None] | None) -> Array:
    """The mean of each of `output_size` windows that cover an image evenly.

    Window i of O over H cells reaches from `floor(i H / O)` up to `ceil((i + 1) H / O)`, not including it;
    windows overlap by a cell where O doesn't divide H. A mean over rectangles is a mean along one axis,
    then along the other: `y = A x B^T`, with a row of A for each window.

    Args:
        input: (N, C, H, W) floats.
        output_size: OH and OW, or a number for both; None keeps the input's.

    Returns: (N, C, OH, OW).

    Raises: ShapeError for a wrong rank; DTypeError for integers; ArgumentError for a size below 1.

    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).tolist()
    [[[[2.0, 3.0]]]]
    """
    subject = "adaptive_avg_pool2d"
    _check_input(subject, 2, input)
    sizes = _adaptive_size(output_size, tuple(input.shape[2:]), subject)
    xp = namespace(input)
    if sizes == (1, 1):
        return xp.mean(input, axis=(2, 3), keepdims=True)
    rows, columns = (_averaging_matrix(input, axis, size) for axis, size in zip((2, 3), sizes))
    return xp.matmul(xp.matmul(rows, input), columns.mT)


def adaptive_max_pool2d(
    input: Array, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Any:
    """The largest value of each of `output_size` windows that cover an image evenly.

    The windows are those of `adaptive_avg_pool2d`. Their rows and columns are copied next to each other,
    the last one repeated where a window is a cell short, so that they become the windows of a
    `max_pool2d` whose stride is its kernel. The repeated ones never win: the first of equals does.

    Args:
        input: (N, C, H, W) floats.
        output_size: OH and OW, or a number for both; None keeps the input's.
        return_indices: whether to return where each maximum was found, as `max_pool2d`.

    Returns: (N, C, OH, OW), or a pair of it and the indices.

    Raises: as `adaptive_avg_pool2d`.

    >>> import numpy as np
    >>> adaptive_max_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).tolist()
    [[[[4.0, 5.0]]]]
    """
    subject = "adaptive_max_pool2d"
    _check_input(subject, 2, input)
    sizes = _adaptive_size(output_size, tuple(input.shape[2:]), subject)
    xp = namespace(input)
    height, width = input.shape[2:]
    rows, columns = _adaptive_cells(height, sizes[0]), _adaptive_cells(width, sizes[1])
    as_index = {"dtype": xp.int64, "device": device_of(input)}
    rows_of_x, columns_of_x = xp.asarray(rows, **as_index), xp.asarray(columns, **as_index)
    x = xp.take(xp.take(input, rows_of_x, axis=2), columns_of_x, axis=3)
    kernel_size = (len(rows) // sizes[0], len(columns) // sizes[1])
    y = max_pool2d(x, kernel_size, return_indices=return_indices)
    if not return_indices:
        return y
    y, indices = y
    flat = xp.reshape(indices, (-1,))
    found = xp.take(rows_of_x, flat // len(columns)) * width + xp.take(columns_of_x, flat % len(columns))
    return y, xp.reshape(found, tuple(indices.shape))


# ---- maximum ----


@primitive
def _max_pool(
    x: Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[Array, tuple]:
    """The largest value of each window; saves the number of the winning cell."""
    y, winner = _maximum_and_winners(x, kernel_size, stride, padding, dilation)
    return y, (winner, tuple(x.shape[2:]))


@_max_pool.backward
def _max_pool_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **window: Any) -> tuple:
    winner, size = saved
    return (_scatter_to_winners(gy, winner, size=size, **window),)


@primitive
def _scatter_to_winners(
    gy: Array,
    winner: Array,
    *,
    size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
) -> tuple[Array, tuple]:
    """Zeros of `size`, to which gy of each window is added at its winning cell."""
    xp = namespace(gy)
    parts = [gy * xp.astype(winner == t, gy.dtype) for t in range(math.prod(kernel_size))]
    return add_windows(parts, size, kernel_size, stride, padding, dilation), (winner,)


@_scatter_to_winners.backward
def _scatter_to_winners_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes, **window: Any
) -> tuple:
    (winner,) = saved
    return _select_winners(ggx, winner, **window), None


@primitive
def _select_winners(
    x: Array, winner: Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[Array, tuple]:
    """The value of each window at its winning cell."""
    xp = namespace(x)
    padded = pad_spatial(x, padding)
    y = xp.zeros(winner.shape, dtype=x.dtype, device=device_of(x))
    slices = window_slices(winner.shape[2:], kernel_size, stride, dilation)
    for t, window in enumerate(slices):
        y = y + padded[window] * xp.astype(winner == t, x.dtype)
    return y, (winner, tuple(x.shape[2:]))


@_select_winners.backward
def _select_winners_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **window: Any) -> tuple:
    winner, size = saved
    return _scatter_to_winners(gy, winner, size=size, **window), None


def _maximum_and_winners(
    x: Array, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> tuple[Array, Array]:
    """The running maximum over the cells of the windows, and the number of the cell that it came from."""
    xp = namespace(x)
    out_size = output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    padded = pad_spatial(x, padding, -math.inf)
    slices = window_slices(out_size, kernel_size, stride, dilation)
    y = padded[next(slices)]
    winner = xp.zeros(y.shape, dtype=xp.int32, device=device_of(x))
    for t, window in enumerate(slices, start=1):
        challenger = padded[window]
        # A later cell has a larger number, and wins only if it is larger, not equal.
        winner = xp.maximum(winner, t * xp.astype(challenger > y, xp.int32))
        y = xp.maximum(y, challenger)
    return y, winner


def _indices_of_winners(winner: Array, size: Sizes, window: dict[str, Any]) -> Array:
    """The winners' places among the cells of one channel, counted row by row."""
    xp = namespace(winner)
    axes = len(size)
    index = xp.zeros(winner.shape, dtype=xp.int64, device=device_of(winner))
    cell = xp.astype(winner, xp.int64)
    step = 1
    for axis in reversed(range(axes)):
        count = winner.shape[2 + axis]
        starts = xp.arange(count, dtype=xp.int64, device=device_of(winner)) * window["stride"][axis]
        starts = xp.reshape(starts - window["padding"][axis][0], (count, *(1,) * (axes - 1 - axis)))
        along_axis = cell % window["kernel_size"][axis]
        cell = cell // window["kernel_size"][axis]
        index = index + step * (starts + along_axis * window["dilation"][axis])
        step *= size[axis]
    return index


@primitive
def _winners(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The number of the winning cell of each window: integers, that no gradient flows through."""
    return _maximum_and_winners(x, **window)[1], ()


# ---- sum ----


@primitive
def _sum_pool(x: Array, *, kernel_size: Sizes, stride: Sizes, padding: Pairs) -> tuple[Array, tuple]:
    """The sum of each window."""
    dense = (1,) * len(kernel_size)
    out_size = output_size(x.shape[2:], kernel_size, stride, padding, dense)
    padded = pad_spatial(x, padding)
    slices = window_slices(out_size, kernel_size, stride, dense)
    y = padded[next(slices)]
    for window in slices:
        y = y + padded[window]
    return y, (tuple(x.shape[2:]),)


@_sum_pool.backward
def _sum_pool_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **window: Any) -> tuple:
    (size,) = saved
    return (_spread_over_windows(gy, size=size, **window),)


@primitive
def _spread_over_windows(
    gy: Array, *, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> tuple[Array, tuple]:
    """Zeros of `size`, to which gy of each window is added at every cell of the window."""
    parts = [gy] * math.prod(kernel_size)
    return add_windows(parts, size, kernel_size, stride, padding, (1,) * len(kernel_size)), ()


@_spread_over_windows.backward
def _spread_over_windows_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes, **window: Any
) -> tuple:
    return (_sum_pool(ggx, **window),)


# ---- from the user's arguments to the primitives' ----


def _pool_maximum(
    subject: str,
    axes: int,
    input: Array,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    window = _window(subject, axes, input, kernel_size, stride, padding, dilation, ceil_mode)
    y = _max_pool(input, **window)
    if not return_indices:
        return y
    return y, _indices_of_winners(_winners(input, **window), tuple(input.shape[2:]), window)


def _pool_average(
    subject: str,
    axes: int,
    input: Array,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    window = _window(subject, axes, input, kernel_size, stride, padding, 1, ceil_mode)
    del window["dilation"]
    total = _sum_pool(input, **window)
    if divisor_override is not None:
        if divisor_override == 0:
            raise ArgumentError("expects a divisor_override other than 0", subject=subject)
        return total * (1.0 / divisor_override)
    border = window["padding"] if count_include_pad else ((0, 0),) * axes
    if count_include_pad and ceil_mode:  # what hangs over beyond the padding never counts
        border = tuple((before, before) for before, _ in border)
    if border == window["padding"]:
        return total * (1.0 / math.prod(window["kernel_size"]))
    return total * _reciprocal_counts(input, tuple(total.shape[2:]), border, **window)


def _reciprocal_counts(
    x: Array, out_size: Sizes, border: Pairs, *, kernel_size: Sizes, stride: Sizes, padding: Pairs
) -> Array:
    """1 / the number of cells of each window that lie in the input or in the `border` around it."""
    xp = namespace(x)
    product = xp.ones((), dtype=x.dtype, device=device_of(x))
    for axis, cells in enumerate(x.shape[2:]):
        first, last = -border[axis][0], cells + border[axis][1]
        starts = [i * stride[axis] - padding[axis][0] for i in range(out_size[axis])]
        counts = [min(start + kernel_size[axis], last) - max(start, first) for start in starts]
        column = (-1, *(1,) * (len(out_size) - 1 - axis))
        reciprocals = xp.asarray([1.0 / n for n in counts], dtype=x.dtype, device=device_of(x))
        product = product * xp.reshape(reciprocals, column)
    return product


def _window(
    subject: str,
    axes: int,
    input: Array,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> dict[str, Any]:
    """The checked arguments as the primitives take them; ceil mode becomes padding after the input."""
    _check_input(subject, axes, input)
    kernel = tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1)
    strides = kernel if stride is None else tuple_of(stride, axes, "stride", subject, minimum=1)
    border = tuple_of(padding, axes, "padding", subject)
    dilations = tuple_of(dilation, axes, "dilation", subject, minimum=1)
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(border, kernel, dilations)):
        raise ArgumentError(
            f"expects padding of at most half of the kernel, got padding={padding} for "
            f"kernel_size={kernel_size}",
            subject=subject,
        )
    size = tuple(input.shape[2:])
    pairs = tuple((p, p) for p in border)
    check_kernel_fits(size, kernel, pairs, dilations, subject)
    if ceil_mode:
        pairs = tuple(map(_overhang, size, kernel, strides, border, dilations))
    return {"kernel_size": kernel, "stride": strides, "padding": pairs, "dilation": dilations}


def _overhang(cells: int, k: int, s: int, p: int, d: int) -> tuple[int, int]:
    """Padding of an axis with room for the last window, if that starts inside of the input or before it."""
    extent = d * (k - 1) + 1
    count = -((extent - cells - 2 * p) // s) + 1
    if (count - 1) * s >= cells + p:
        count -= 1
    return p, max(p, (count - 1) * s + extent - cells - p)


def _check_input(subject: str, axes: int, input: Array) -> None:
    check_rank(input, axes + 2, subject, layout(axes))
    check_floating(input, subject)


# ---- adaptive windows ----


def _adaptive_size(output_size: Any, size: Sizes, subject: str) -> Sizes:
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size,) * len(size)
    if len(wanted) == len(size):
        wanted = [cells if w is None else w for w, cells in zip(wanted, size)]
    return tuple_of(wanted, len(size), "output_size", subject, minimum=1)


def _adaptive_window(i: int, cells: int, windows: int) -> range:
    return range(i * cells // windows, -(-(i + 1) * cells // windows))


def _averaging_matrix(x: Array, axis: int, windows: int) -> Array:
    """(windows, cells of the axis): row i holds 1 / n at the n cells of window i."""
    cells = x.shape[axis]
    rows = []
    for i in range(windows):
        window = _adaptive_window(i, cells, windows)
        rows.append([1.0 / len(window) if cell in window else 0.0 for cell in range(cells)])
    return namespace(x).asarray(rows, dtype=x.dtype, device=device_of(x))


def _adaptive_cells(cells: int, windows: int) -> list[int]:
    """The cells of all windows one after the other, each window as long as the longest."""
    ranges = [_adaptive_window(i, cells, windows) for i in range(windows)]
    longest = max(map(len, ranges))
    return [window[min(t, len(window) - 1)] for window in ranges for t in range(longest)]
