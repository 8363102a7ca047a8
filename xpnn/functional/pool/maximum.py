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
from typing import Any, Literal, overload

from xpnn.autograd import primitive
from xpnn.autograd.casting import listed
from xpnn.autograd.ops.activation import select
from xpnn.backend import Array, ArrayT, device_of, namespace
from xpnn.backend.idioms import zeros_like_shape
from xpnn.functional.arguments import check_flags
from xpnn.functional.pool.arguments import Sizes, spelt_window
from xpnn.functional.windows import (
    Pairs,
    Size,
    add_windows,
    batch_of_one,
    output_size,
    pad_spatial,
    window_slices,
)

__all__ = [
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
]


@overload
def max_pool1d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> ArrayT: ...
@overload
def max_pool1d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...
@batch_of_one(1)
def max_pool1d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of a sequence; gradients as of `max_pool2d`.

    Args:
        input: (N, C, L) floats, or (C, L).
        kernel_size, stride, padding, dilation: as of `max_pool2d`, a number or one for each axis of space.
        ceil_mode, return_indices: as of `max_pool2d`; indices count the cells of one (L,) channel.

    Returns, Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> max_pool1d(np.asarray([[1.0, 3.0, 2.0, 0.0]]), 2, return_indices=True)[1].tolist()
    [[1, 2]]
    """
    return pool_maximum(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@overload
def max_pool2d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> ArrayT: ...
@overload
def max_pool2d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...
@batch_of_one(2)
def max_pool2d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of an image.

    `y[n, c, i, j] = max over u, v of x[n, c, s i + d u - p, s j + d v - p]`; the gradient goes to the cell
    that won, to the first in reading order if several did, and adds up where windows overlap. NaN wins over
    all numbers, the last one if there are several.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        kernel_size: cells of a window; a number, or one for rows and one for columns, as are the next three.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of minus infinity around the input, at most half of the kernel. They never win.
        dilation: cells from one cell of a window to the next.
        ceil_mode: whether a last window may hang over the end of the input.
        return_indices: whether to return where each maximum was found, too.

    Returns: (N, C, OH, OW) or (C, OH, OW); with `return_indices` a pair of it and integers of the same shape,
    that count the cells of one (H, W) channel row by row.

    Raises: ShapeError if the rank is wrong or a window is larger than the padded input; DTypeError for
    integers; ArgumentError for a stride below 1 or too much padding.

    See: Boureau et al., "A theoretical analysis of feature pooling in visual recognition", 2010.

    >>> import numpy as np
    >>> max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    return pool_maximum(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


@overload
def max_pool3d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: Literal[False] = ...,
) -> ArrayT: ...
@overload
def max_pool3d(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = ...,
    padding: Size = ...,
    dilation: Size = ...,
    ceil_mode: bool = ...,
    return_indices: bool = ...,
) -> Any: ...
@batch_of_one(3)
@listed
def max_pool3d(
    input: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of each window of a volume; gradients as of `max_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        kernel_size, stride, padding, dilation: as of `max_pool2d`, a number or one for each axis of space.
        ceil_mode, return_indices: as of `max_pool2d`; indices count the cells of a (D, H, W) channel.

    Returns, Raises: as `max_pool2d`.

    >>> import numpy as np
    >>> max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2), 2).tolist()
    [[[[7.0]]]]
    """
    return pool_maximum(
        "max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool1d_with_indices(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[ArrayT, Array]:
    """`max_pool1d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> max_pool1d_with_indices(np.ones((1, 2)), 2)[1].tolist()
    [[0]]
    """
    check_flags("max_pool1d_with_indices", return_indices=return_indices)
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[ArrayT, Array]:
    """`max_pool2d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> max_pool2d_with_indices(np.ones((1, 2, 2)), 2)[1].tolist()
    [[[0]]]
    """
    check_flags("max_pool2d_with_indices", return_indices=return_indices)
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: ArrayT,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[ArrayT, Array]:
    """`max_pool3d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> max_pool3d_with_indices(np.ones((1, 2, 2, 2)), 2)[1].tolist()
    [[[[0]]]]
    """
    check_flags("max_pool3d_with_indices", return_indices=return_indices)
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


# ---- maximum ----


@primitive(flat=True)
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
    parts = [select(winner == t, gy) for t in range(math.prod(kernel_size))]
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
    padded = pad_spatial(x, padding)
    y = zeros_like_shape(x, winner.shape)
    slices = window_slices(winner.shape[2:], kernel_size, stride, dilation)
    for t, window in enumerate(slices):
        y = y + select(winner == t, padded[window])
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
    winner = _first_inside(x, out_size, kernel_size, stride, padding, dilation)
    winner = xp.broadcast_to(winner, y.shape)
    for t, window in enumerate(slices, start=1):
        challenger = padded[window]
        # A later cell has a larger number, and wins only if it is larger, not equal, or NaN.
        won = (challenger > y) | (challenger != challenger)
        winner = xp.maximum(winner, t * xp.astype(won, xp.int32))
        y = xp.maximum(y, challenger)
    return y, winner


def _first_inside(
    x: Array, out_size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes
) -> Array:
    """The number of each window's first cell that is no padding: it wins where all are minus infinity."""
    xp = namespace(x)
    first = xp.zeros((), dtype=xp.int32, device=device_of(x))
    for count, k, s, (before, _), d in zip(out_size, kernel_size, stride, padding, dilation):
        cells = [max(-((i * s - before) // d), 0) for i in range(count)]
        cells = xp.asarray(cells, dtype=xp.int32, device=device_of(x))
        first = first[..., None] * k + cells
    return first


def _indices_of_winners(winner: Array, size: Sizes, window: dict[str, Any]) -> Array:
    """The winners' places among the cells of one channel, counted row by row."""
    xp, device = namespace(winner), device_of(winner)
    axes, counts = len(size), window["kernel_size"]
    index = xp.zeros(winner.shape, dtype=xp.int64, device=device)
    cells = xp.reshape(winner, (-1,))
    step = 1
    for axis in reversed(range(axes)):
        count = winner.shape[2 + axis]
        starts = xp.arange(count, dtype=xp.int64, device=device) * window["stride"][axis]
        starts = xp.reshape(starts - window["padding"][axis][0], (count, *(1,) * (axes - 1 - axis)))
        # how far each cell of a window is from its first one along this axis
        after = math.prod(counts[axis + 1 :])
        steps = [t // after % counts[axis] * window["dilation"][axis] for t in range(math.prod(counts))]
        steps = xp.asarray(steps, dtype=xp.int64, device=device)
        place = starts + xp.reshape(xp.take(steps, cells), winner.shape)
        if size[axis] < window["dilation"][axis]:  # a window may lie around the image
            place = xp.minimum(place, xp.full_like(place, size[axis] - 1))
        index = index + step * place
        step *= size[axis]
    return index


@primitive
def _winners(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The number of the winning cell of each window: integers, that no gradient flows through."""
    return _maximum_and_winners(x, **window)[1], ()


@primitive
def _places_of_maxima(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The place of each winner among the cells of its channel."""
    return _indices_of_winners(_winners(x, **window), tuple(x.shape[2:]), window), ()


# ---- from the user's arguments to the primitives' ----


def pool_maximum(
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
    """`max_pool2d` with any number of axes of space, which are the last ones."""
    check_flags(subject, return_indices=return_indices)
    window = spelt_window(subject, axes, input, kernel_size, stride, padding, dilation, ceil_mode)
    y = _max_pool(input, **window)
    if not return_indices:
        return y
    return y, _places_of_maxima(input, **window)
