"""Adaptive pooling: as many windows as the output is to have cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

from xpnn.autograd import primitive
from xpnn.autograd.casting import listed
from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT, device_of, namespace
from xpnn.backend.idioms import add_at_slices, index_add, zeros_like_shape
from xpnn.functional.arguments import check_fits_memory, check_flags, tuple_of
from xpnn.functional.pool.arguments import Sizes, check_input
from xpnn.functional.pool.average import pool_average
from xpnn.functional.pool.maximum import pool_maximum
from xpnn.functional.windows import batch_of_one

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
]

OutputSize = int | Sequence[int | None] | None


@batch_of_one(1)
@half_in_float32
def adaptive_avg_pool1d(input: ArrayT, output_size: OutputSize) -> ArrayT:
    """The mean of each of `output_size` windows that cover a sequence evenly; see `adaptive_avg_pool2d`.

    Args:
        input: (N, C, L) floats, or (C, L).
        output_size: OL; None keeps the input's.

    Returns: (N, C, OL) or (C, OL).

    >>> import numpy as np
    >>> adaptive_avg_pool1d(np.arange(6.0).reshape(1, 6), 4).tolist()
    [[0.5, 1.5, 3.5, 4.5]]
    """
    return _adaptive_mean("adaptive_avg_pool1d", 1, input, output_size)


@batch_of_one(2)
@half_in_float32
def adaptive_avg_pool2d(input: ArrayT, output_size: OutputSize) -> ArrayT:
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
    return _adaptive_mean("adaptive_avg_pool2d", 2, input, output_size)


@batch_of_one(3)
@half_in_float32
def adaptive_avg_pool3d(input: ArrayT, output_size: OutputSize) -> ArrayT:
    """The mean of each of `output_size` windows that cover a volume evenly; see `adaptive_avg_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        output_size: OD, OH and OW, or a number for all; None keeps the input's.

    Returns: (N, C, OD, OH, OW) or (C, OD, OH, OW).

    >>> import numpy as np
    >>> adaptive_avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (1, 2, 1)).tolist()
    [[[[2.5], [4.5]]]]
    """
    return _adaptive_mean("adaptive_avg_pool3d", 3, input, output_size)


@overload
def adaptive_max_pool1d(
    input: ArrayT, output_size: OutputSize, return_indices: Literal[False] = ...
) -> ArrayT: ...
@overload
def adaptive_max_pool1d(input: ArrayT, output_size: OutputSize, return_indices: bool) -> Any: ...
@batch_of_one(1)
def adaptive_max_pool1d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest value of each of `output_size` windows of a sequence; see `adaptive_max_pool2d`.

    Args:
        input: (N, C, L) floats, or (C, L).
        output_size: OL; None keeps the input's.
        return_indices: whether to return where each maximum was found.

    Returns: (N, C, OL) or (C, OL), or a pair of it and the indices.

    >>> import numpy as np
    >>> adaptive_max_pool1d(np.arange(6.0).reshape(1, 6), 4).tolist()
    [[1.0, 2.0, 4.0, 5.0]]
    """
    return _adaptive_maximum("adaptive_max_pool1d", 1, input, output_size, return_indices)


@overload
def adaptive_max_pool2d(
    input: ArrayT, output_size: OutputSize, return_indices: Literal[False] = ...
) -> ArrayT: ...
@overload
def adaptive_max_pool2d(input: ArrayT, output_size: OutputSize, return_indices: bool) -> Any: ...
@batch_of_one(2)
def adaptive_max_pool2d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
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
    return _adaptive_maximum("adaptive_max_pool2d", 2, input, output_size, return_indices)


@overload
def adaptive_max_pool3d(
    input: ArrayT, output_size: OutputSize, return_indices: Literal[False] = ...
) -> ArrayT: ...
@overload
def adaptive_max_pool3d(input: ArrayT, output_size: OutputSize, return_indices: bool) -> Any: ...
@batch_of_one(3)
@listed
def adaptive_max_pool3d(input: Any, output_size: OutputSize, return_indices: bool = False) -> Any:
    """The largest value of each of `output_size` windows of a volume; see `adaptive_max_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        output_size: OD, OH and OW, or a number for all; None keeps the input's.
        return_indices: whether to return where each maximum was found.

    Returns: (N, C, OD, OH, OW) or (C, OD, OH, OW), or a pair of it and the indices.

    >>> import numpy as np
    >>> adaptive_max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), (1, 2, 1)).tolist()
    [[[[5.0], [7.0]]]]
    """
    return _adaptive_maximum("adaptive_max_pool3d", 3, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: ArrayT, output_size: OutputSize, return_indices: bool = False
) -> tuple[ArrayT, Array]:
    """`adaptive_max_pool1d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> adaptive_max_pool1d_with_indices(np.ones((1, 4)), 2)[1].tolist()
    [[0, 2]]
    """
    check_flags("adaptive_max_pool1d_with_indices", return_indices=return_indices)
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(
    input: ArrayT, output_size: OutputSize, return_indices: bool = False
) -> tuple[ArrayT, Array]:
    """`adaptive_max_pool2d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> adaptive_max_pool2d_with_indices(np.ones((1, 2, 2)), (2, 1))[1].tolist()
    [[[0], [2]]]
    """
    check_flags("adaptive_max_pool2d_with_indices", return_indices=return_indices)
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(
    input: ArrayT, output_size: OutputSize, return_indices: bool = False
) -> tuple[ArrayT, Array]:
    """`adaptive_max_pool3d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> adaptive_max_pool3d_with_indices(np.ones((1, 2, 2, 2)), (2, 1, 1))[1].tolist()
    [[[[0]], [[4]]]]
    """
    check_flags("adaptive_max_pool3d_with_indices", return_indices=return_indices)
    return adaptive_max_pool3d(input, output_size, True)


# ---- mean and maximum of adaptive windows ----


def _adaptive_mean(subject: str, axes: int, input: Array, output_size: OutputSize) -> Array:
    check_input(subject, axes, input)
    size = tuple(input.shape[2:])
    sizes = _adaptive_size(output_size, input, subject)
    if sizes == (1,) * axes:
        return namespace(input).mean(input, axis=tuple(range(2, 2 + axes)), keepdims=True)
    if all(n and n % count == 0 for n, count in zip(size, sizes)):
        kernel = tuple(n // count for n, count in zip(size, sizes))
        return pool_average(subject, axes, input, kernel, None, 0, False, True, None)
    return _adaptive_means(input, windows=sizes)


def _adaptive_maximum(
    subject: str, axes: int, input: Array, output_size: OutputSize, return_indices: bool
) -> Any:
    check_input(subject, axes, input)
    check_flags(subject, return_indices=return_indices)
    size = tuple(input.shape[2:])
    sizes = _adaptive_size(output_size, input, subject)
    xp = namespace(input)
    x = input
    for axis, count in enumerate(sizes, start=2):
        x = _take_windows(x, axis=axis, windows=count)
    kernel = tuple(n // count for n, count in zip(x.shape[2:], sizes))
    found = pool_maximum(subject, axes, x, kernel, None, 0, 1, False, return_indices)
    if not return_indices:
        return found
    y, indices = found
    left, flat, step = xp.reshape(indices, (-1,)), 0, 1
    for n, count in zip(reversed(size), reversed(sizes)):
        places = _adaptive_cells(n, count, indices)
        flat = flat + step * xp.take(places, left % places.shape[0])
        left, step = left // places.shape[0], step * n
    return y, xp.reshape(flat, tuple(indices.shape))


@primitive(flat=True)
def _adaptive_means(x: Array, *, windows: Sizes) -> tuple[Array, tuple]:
    """The mean of each adaptive window, along one of the last axes after the other.

    A product with a matrix of 1 / n and 0 would be shorter, but make NaN of zeros times infinity.
    """
    size = tuple(x.shape[2:])
    for axis, (cells, count) in enumerate(zip(size, windows), start=2):
        if count != cells:
            x = _means_along(x, axis, count)
    return x, (size,)


@_adaptive_means.backward
def _adaptive_means_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, windows: Sizes
) -> tuple[Array]:
    (size,) = saved
    return (_share_over_windows(gy, size=size),)


@primitive
def _share_over_windows(gy: Array, *, size: Sizes) -> tuple[Array, tuple]:
    """Each cell's share of the gradients of the means that it is in: the adjoint of `_adaptive_means`."""
    windows = tuple(gy.shape[2:])
    for axis, (cells, count) in enumerate(zip(size, windows), start=2):
        if count != cells:
            gy = _share_along(gy, axis, cells)
    return gy, (windows,)


@_share_over_windows.backward
def _share_over_windows_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, size: Sizes
) -> tuple[Array]:
    (windows,) = saved
    return (_adaptive_means(ggx, windows=windows),)


@primitive(half=True)
def _take_windows(x: Array, *, axis: int, windows: int) -> tuple[Array, tuple]:
    """The cells of adaptive windows along an axis, one window after the other."""
    return namespace(x).take(x, _adaptive_cells(x.shape[axis], windows, x), axis=axis), (x.shape[axis],)


@_take_windows.backward
def _take_windows_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int, windows: int
) -> tuple[Array]:
    (cells,) = saved
    return (_add_windows(gy, axis=axis, windows=windows, cells=cells),)


@primitive
def _add_windows(gy: Array, *, axis: int, windows: int, cells: int) -> tuple[Array, tuple]:
    """Zeros, to which the cells of all windows are added: the adjoint of `_take_windows`."""
    xp = namespace(gy)
    total = index_add(xp.moveaxis(gy, axis, 0), _adaptive_cells(cells, windows, gy), cells)
    return xp.moveaxis(total, 0, axis), ()


@_add_windows.backward
def _add_windows_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int, windows: int, cells: int
) -> tuple[Array]:
    return (_take_windows(ggx, axis=axis, windows=windows),)


def _means_along(x: Array, axis: int, windows: int) -> Array:
    xp, cells = namespace(x), x.shape[axis]
    if windows > cells:  # a window is a cell, which counts twice, or two
        first, last = _adaptive_ends(cells, windows, x)
        return 0.5 * xp.take(x, first, axis=axis) + 0.5 * xp.take(x, last - 1, axis=axis)
    before = (slice(None),) * axis
    means = [
        xp.mean(x[*before, slice(*ends), ...], axis=axis, keepdims=True) for ends in _windows(cells, windows)
    ]
    return xp.concat(means, axis=axis)


def _share_along(gy: Array, axis: int, cells: int) -> Array:
    xp, windows = namespace(gy), gy.shape[axis]
    if windows > cells:
        first, last = _adaptive_ends(cells, windows, gy)
        halves = xp.moveaxis(0.5 * gy, axis, 0)
        total = index_add(xp.concat([halves, halves]), xp.concat([first, last - 1]), cells)
        return xp.moveaxis(total, 0, axis)
    gx = zeros_like_shape(gy, (*gy.shape[:axis], cells, *gy.shape[axis + 1 :]))
    before = (slice(None),) * axis
    for i, (first, last) in enumerate(_windows(cells, windows)):
        share = gy[*before, slice(i, i + 1), ...] * (1.0 / (last - first))
        gx = add_at_slices(gx, (*before, slice(first, last), ...), share)
    return gx


def _windows(cells: int, windows: int) -> list[tuple[int, int]]:
    """Where each window begins, and where it ends."""
    return [(i * cells // windows, -(-(i + 1) * cells // windows)) for i in range(windows)]


def _adaptive_size(output_size: Any, input: Array, subject: str) -> Sizes:
    size = tuple(input.shape[2:])
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size,) * len(size)
    if len(wanted) == len(size):
        wanted = [cells if w is None else w for w, cells in zip(wanted, size)]
    sizes = tuple_of(wanted, len(size), "output_size", subject, minimum=1)
    check_fits_memory(sizes, output_size, "output_size", subject)
    return sizes


def _adaptive_ends(cells: int, windows: int, like: Array) -> tuple[Array, Array]:
    """Where each window begins, and where it ends."""
    xp = namespace(like)
    window = xp.arange(windows, dtype=xp.int64, device=device_of(like))
    return window * cells // windows, -(-(window + 1) * cells // windows)


def _adaptive_cells(cells: int, windows: int, like: Array) -> Array:
    """The cells of all windows one after the other, each window as long as the longest."""
    xp = namespace(like)
    first, last = _adaptive_ends(cells, windows, like)
    longest = max(-(-cells // windows) + bool(cells % windows), 1)
    steps = xp.arange(longest, dtype=xp.int64, device=device_of(like))
    places = xp.minimum(first[:, None] + steps, last[:, None] - 1)
    return xp.reshape(places, (-1,))
