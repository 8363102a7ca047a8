"""Windows of images as columns, and columns added up to images again: "im2col" and "col2im"."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import Array, ArrayT, ShapeError, namespace
from xpnn.functional.arguments import check_floating, check_rank, pair
from xpnn.functional.windows import (
    Pairs,
    Size,
    add_windows,
    batch_of_one,
    check_axes,
    check_kernel_fits,
    output_size,
    pad_spatial,
    window_slices,
)

__all__ = ["fold", "unfold"]

Pair = tuple[int, int]


@batch_of_one(2)
def unfold(
    input: ArrayT, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> ArrayT:
    """The cells that each window sees, as a column.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        kernel_size, dilation, padding, stride: of the windows, as in `conv2d`.

    Returns: (N, C * KH * KW, L) or (C * KH * KW, L), with a column for each of the L windows, row by row.

    The gradient is `fold`.

    Raises: ShapeError if there is no room for a window.

    >>> import numpy as np
    >>> unfold(np.arange(6.0).reshape(1, 2, 3), (1, 2)).tolist()
    [[0.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 5.0]]
    """
    check_axes(input, 2, "unfold")
    check_floating(input, "unfold")
    kernel, options = _windows("unfold", kernel_size, dilation, padding, stride)
    check_kernel_fits(input.shape[2:], kernel, options["padding"], options["dilation"], "unfold")
    return _unfold_columns(input, kernel_size=kernel, **options)


def fold(
    input: ArrayT,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> ArrayT:
    """Images whose cells are the sums of what the windows that see them hold, as columns.

    Args:
        input: (N, C * KH * KW, L) floats, or (C * KH * KW, L), as `unfold` gives it.
        output_size: (H, W) of the images; a number stands for both.
        kernel_size, dilation, padding, stride: of the windows.

    Returns: (N, C, H, W) or (C, H, W).

    The gradient is `unfold`.

    Raises: ShapeError if the columns are no windows of such images.

    >>> import numpy as np
    >>> fold(np.ones((2, 2)), (1, 3), (1, 2)).tolist()
    [[[1.0, 2.0, 1.0]]]
    """
    check_rank(input, (2, 3), "fold", "channels * kernel cells, windows, after the batch if there is one")
    return _fold_batch(input, output_size, kernel_size, dilation, padding, stride)


@batch_of_one(1)
def _fold_batch(
    input: ArrayT, size: Size, kernel_size: Size, dilation: Size, padding: Size, stride: Size
) -> ArrayT:
    check_floating(input, "fold")
    size = pair(size, "output_size", "fold", minimum=1)
    kernel, options = _windows("fold", kernel_size, dilation, padding, stride)
    check_kernel_fits(size, kernel, options["padding"], options["dilation"], "fold")
    windows = math.prod(output_size(size, kernel, **options))
    if input.shape[1] % math.prod(kernel) or input.shape[2] != windows:
        raise ShapeError(
            f"expects columns of a multiple of {math.prod(kernel)} cells, one for each of the {windows} "
            f"windows over {size}, got shape {tuple(input.shape)}",
            subject="fold",
        )
    return _fold_columns(input, size=size, kernel_size=kernel, **options)


def _windows(
    subject: str, kernel_size: Size, dilation: Size, padding: Size, stride: Size
) -> tuple[Pair, dict[str, Any]]:
    kernel = pair(kernel_size, "kernel_size", subject, minimum=1)
    around = pair(padding, "padding", subject)
    return kernel, {
        "stride": pair(stride, "stride", subject, minimum=1),
        "padding": tuple((cells, cells) for cells in around),
        "dilation": pair(dilation, "dilation", subject, minimum=1),
    }


@primitive(half=True)
def _unfold_columns(
    x: Array, *, kernel_size: Pair, stride: Pair, padding: Pairs, dilation: Pair
) -> tuple[Array, tuple]:
    xp = namespace(x)
    out_size = output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    x = pad_spatial(x, padding)
    cells = xp.stack([x[window] for window in window_slices(out_size, kernel_size, stride, dilation)], axis=2)
    return xp.reshape(cells, (x.shape[0], x.shape[1] * cells.shape[2], math.prod(out_size))), (x,)


@_unfold_columns.backward
def _unfold_columns_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, padding: Pairs, **options: Any
) -> tuple:
    (x,) = saved  # padded
    size = tuple(cells - before - after for cells, (before, after) in zip(x.shape[2:], padding))
    return (_fold_columns(gy, size=size, padding=padding, **options),)


@primitive
def _fold_columns(
    columns: Array, *, size: Pair, kernel_size: Pair, stride: Pair, padding: Pairs, dilation: Pair
) -> tuple[Array, tuple]:
    out_size = output_size(size, kernel_size, stride, padding, dilation)
    cells = math.prod(kernel_size)
    n, channels = columns.shape[0], columns.shape[1] // cells
    columns = namespace(columns).reshape(columns, (n, channels, cells, *out_size))
    parts = [columns[:, :, t, ...] for t in range(cells)]
    return add_windows(parts, size, kernel_size, stride, padding, dilation), ()


@_fold_columns.backward
def _fold_columns_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, size: Pair, **options: Any
) -> tuple:
    return (_unfold_columns(gy, **options),)
