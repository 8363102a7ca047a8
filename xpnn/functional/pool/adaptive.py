"""Adaptive pooling: as many windows as the output is to have cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, device_of, namespace
from xpnn.functional.arguments import tuple_of
from xpnn.functional.pool.arguments import Sizes, check_input
from xpnn.functional.pool.average import avg_pool2d
from xpnn.functional.pool.maximum import max_pool2d
from xpnn.functional.windows import batch_of_one

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d"]


@batch_of_one(2)
@half_in_float32
def adaptive_avg_pool2d(input: ArrayT, output_size: int | Sequence[int | None] | None) -> ArrayT:
    """The mean of each of `output_size` windows that cover an image evenly.

    Window i of O over H cells reaches from `floor(i H / O)` up to `ceil((i + 1) H / O)`, not including it;
    windows overlap by a cell where O doesn't divide H. A mean over rectangles is a mean along one axis,
    then along the other.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        output_size: OH and OW, or a number for both; None keeps the input's.

    Returns: (N, C, OH, OW) or (C, OH, OW).

    Raises: ShapeError for a wrong rank; DTypeError for integers; ArgumentError for a size below 1.

    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).tolist()
    [[[[2.0, 3.0]]]]
    """
    subject = "adaptive_avg_pool2d"
    check_input(subject, 2, input)
    sizes = _adaptive_size(output_size, tuple(input.shape[2:]), subject)
    xp = namespace(input)
    if sizes == (1, 1):
        return xp.mean(input, axis=(2, 3), keepdims=True)
    height, width = input.shape[2:]
    if height % sizes[0] == 0 and width % sizes[1] == 0:
        return avg_pool2d(input, (height // sizes[0], width // sizes[1]))
    return _means_along(_means_along(input, 2, sizes[0]), 3, sizes[1])


@overload
def adaptive_max_pool2d(
    input: ArrayT, output_size: int | Sequence[int | None] | None, return_indices: Literal[False] = ...
) -> ArrayT: ...
@overload
def adaptive_max_pool2d(
    input: ArrayT, output_size: int | Sequence[int | None] | None, return_indices: bool
) -> Any: ...
@batch_of_one(2)
def adaptive_max_pool2d(
    input: Any, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Any:
    """The largest value of each of `output_size` windows that cover an image evenly.

    The windows are those of `adaptive_avg_pool2d`. Their rows and columns are copied next to each other,
    the last one repeated where a window is a cell short, so that they become the windows of a
    `max_pool2d` whose stride is its kernel. The repeated ones never win: the first of equals does.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        output_size: OH and OW, or a number for both; None keeps the input's.
        return_indices: whether to return where each maximum was found, as `max_pool2d`.

    Returns: (N, C, OH, OW) or (C, OH, OW), or a pair of it and the indices.

    Raises: as `adaptive_avg_pool2d`.

    >>> import numpy as np
    >>> adaptive_max_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).tolist()
    [[[[4.0, 5.0]]]]
    """
    subject = "adaptive_max_pool2d"
    check_input(subject, 2, input)
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


# ---- adaptive windows ----


def _adaptive_size(output_size: Any, size: Sizes, subject: str) -> Sizes:
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size,) * len(size)
    if len(wanted) == len(size):
        wanted = [cells if w is None else w for w, cells in zip(wanted, size)]
    return tuple_of(wanted, len(size), "output_size", subject, minimum=1)


def _adaptive_window(i: int, cells: int, windows: int) -> range:
    return range(i * cells // windows, -(-(i + 1) * cells // windows))


def _means_along(x: Array, axis: int, windows: int) -> Array:
    """The mean of each window along an axis.

    A product with a matrix of 1 / n and 0 would be shorter, but make NaN of zeros times infinity.
    """
    xp = namespace(x)
    means = []
    for i in range(windows):
        window = _adaptive_window(i, x.shape[axis], windows)
        cells = (*(slice(None),) * axis, slice(window.start, window.stop), ...)
        means.append(xp.mean(x[cells], axis=axis, keepdims=True))
    return xp.concat(means, axis=axis)


def _adaptive_cells(cells: int, windows: int) -> list[int]:
    """The cells of all windows one after the other, each window as long as the longest."""
    ranges = [_adaptive_window(i, cells, windows) for i in range(windows)]
    longest = max(map(len, ranges))
    return [window[min(t, len(window) - 1)] for window in ranges for t in range(longest)]
