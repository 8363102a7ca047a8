"""Unpooling: values go back to where a max pooling found them, zeros everywhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, idioms, namespace
from xpnn.functional.arguments import (
    as_indices,
    check_floating,
    check_indices,
    check_integer,
    check_rank,
    check_shape,
    raw_array,
    shape_of,
    tuple_of,
)
from xpnn.functional.pool.arguments import Sizes
from xpnn.functional.shape.padding import pad
from xpnn.functional.windows import Size, layout

__all__ = ["bed_of_nails", "max_unpool1d", "max_unpool2d", "max_unpool3d"]


def max_unpool1d(
    input: ArrayT,
    indices: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> ArrayT:
    """Put the values of a pooled sequence where `max_pool1d` found them; see `max_unpool2d`.

    Args:
        input, indices: (N, C, L) or (C, L), as `max_pool1d(..., return_indices=True)` gives them.
        kernel_size, stride, padding, output_size: as of `max_unpool2d`.

    >>> import numpy as np
    >>> max_unpool1d(np.asarray([[3.0, 4.0]]), np.asarray([[1, 2]]), 2).tolist()
    [[0.0, 3.0, 4.0, 0.0]]
    """
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: ArrayT,
    indices: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> ArrayT:
    """Put the values of a pooled image where `max_pool2d` found them, and zeros everywhere else.

    Of several values for a cell, which windows that overlap have, the last one stays. Backward: each value
    gets the gradient of its cell.

    Args:
        input, indices: (N, C, H, W) or (C, H, W), as `max_pool2d(..., return_indices=True)` gives them.
        kernel_size, stride, padding: of the pooling.
        output_size: what was pooled, as its last axes or its whole shape; None is
            `(H - 1) stride - 2 padding + kernel_size` along each axis, one of several sizes that
            are pooled to H.

    Raises: ShapeError unless the indices have the input's shape; DTypeError unless they are integers;
    IndexOutOfRangeError for a place outside of the output; ArgumentError for an output size that is not
    pooled to the input's.

    See: Zeiler & Fergus, "Visualizing and understanding convolutional networks", 2014.

    >>> import numpy as np
    >>> max_unpool2d(np.asarray([[[5.0]]]), np.asarray([[[2]]]), 2).tolist()
    [[[0.0, 0.0], [5.0, 0.0]]]
    """
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: ArrayT,
    indices: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> ArrayT:
    """Put the values of a pooled volume where `max_pool3d` found them; see `max_unpool2d`.

    Args:
        input, indices: (N, C, D, H, W) or (C, D, H, W), as `max_pool3d(..., return_indices=True)` gives them.
        kernel_size, stride, padding, output_size: as of `max_unpool2d`.

    >>> import numpy as np
    >>> max_unpool3d(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 7), 2)[0, 1].tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def bed_of_nails(input: ArrayT, scale_factor: Size) -> ArrayT:
    """Make a block of cells of each cell: the value in its first corner, and zeros in the others.

    The way back of taking every `scale_factor`-th cell, which is its gradient.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        scale_factor: cells of a block along each axis of space, or along all of them.

    Returns: (N, C, L scale_factor) and so on.

    Raises: ShapeError for another number of axes; ArgumentError for a factor below 1.

    See: Dosovitskiy, Springenberg & Brox (2015), "Learning to generate chairs with convolutional neural
    networks".

    >>> import numpy as np
    >>> bed_of_nails(np.asarray([[[1.0, 2.0]]]), 2).tolist()
    [[[1.0, 0.0, 2.0, 0.0]]]
    """
    check_rank(input, (3, 4, 5), "bed_of_nails", "N, C, and axes of space")
    factors = tuple_of(scale_factor, input.ndim - 2, "scale_factor", "bed_of_nails", minimum=1)
    xp, sizes = namespace(input), input.shape[2:]
    apart = xp.reshape(input, (*input.shape[:2], *(n for size in sizes for n in (size, 1))))
    blocks = pad(apart, [n for factor in reversed(factors) for n in (0, factor - 1, 0, 0)])
    return xp.reshape(blocks, (*input.shape[:2], *(n * factor for n, factor in zip(sizes, factors))))


# ---- writing to places ----


@primitive(half=True)
def _put(x: Array, places: Array, *, count: int) -> tuple[Array, tuple]:
    """Rows of zeros, (..., count), with `y[..., places[..., k]] = x[..., k]`; the last of several stays."""
    xp = namespace(x)
    rows, width = math.prod(x.shape[:-1]), x.shape[-1]
    if rows * width == 0:
        return idioms.zeros_like_shape(x, (*x.shape[:-1], count)), (places,)
    starts = xp.arange(rows, dtype=places.dtype, device=device_of(x)) * count
    targets = xp.reshape(xp.reshape(places, (rows, width)) + starts[:, None], (-1,))
    order = xp.argsort(targets, stable=True)
    sorted_targets = xp.take(targets, order)
    end = xp.ones((1,), dtype=xp.bool, device=device_of(x))
    last = xp.concat([sorted_targets[1:] != sorted_targets[:-1], end])
    values = select(last, xp.take(xp.reshape(x, (-1,)), order))
    total = idioms.index_add(values, sorted_targets, rows * count)
    return xp.reshape(total, (*x.shape[:-1], count)), (places,)


@_put.backward
def _put_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, count: int
) -> tuple[Array | None, None]:
    (places,) = saved
    return namespace(gy).take_along_axis(gy, places, axis=-1), None


# ---- arguments ----


def _unpool(
    subject: str,
    axes: int,
    input: Array,
    indices: Array,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    output_size: Sequence[int] | None,
) -> Array:
    check_rank(input, (axes + 1, axes + 2), subject, f"{layout(axes)[1:]} or {layout(axes)}")
    check_floating(input, subject)
    check_integer(indices, subject, "indices")
    check_shape(indices, tuple(input.shape), subject, "indices", "They come with the input from max pooling")
    kernel = tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1)
    strides = kernel if stride is None else tuple_of(stride, axes, "stride", subject, minimum=1)
    border = tuple_of(padding, axes, "padding", subject)
    size = tuple(input.shape[-axes:])
    usual = tuple((n - 1) * s + k - 2 * p for n, k, s, p in zip(size, kernel, strides, border))
    sizes = usual if output_size is None else _given_size(output_size, usual, strides, subject)
    if min(sizes) < 1:
        raise ShapeError(
            f"has nothing to make of an input of shape {shape_of(input)}: {sizes}", subject=subject
        )
    xp = namespace(input)
    leading = tuple(input.shape[:-axes])
    flat = (*leading, math.prod(size))
    places = as_indices(indices)
    check_indices(places, math.prod(sizes), subject, "indices", f"The output has {sizes} cells")
    if places is raw_array(indices):
        places = indices  # a Tensor, whose operations are noted
    places = namespace(places).reshape(places, flat)
    y = _put(xp.reshape(input, flat), places, count=math.prod(sizes))
    return xp.reshape(y, (*leading, *sizes))


def _given_size(output_size: Any, usual: Sizes, strides: Sizes, subject: str) -> Sizes:
    axes = len(usual)
    if isinstance(output_size, Sequence) and len(output_size) == axes + 2:
        output_size = tuple(output_size)[2:]
    if not isinstance(output_size, Sequence) or len(output_size) != axes:
        raise ArgumentError(
            f"expects output_size as {axes} or {axes + 2} integers, got {output_size!r}", subject=subject
        )
    sizes = tuple_of(output_size, axes, "output_size", subject)
    if not all(n - s < size < n + s for n, s, size in zip(usual, strides, sizes)):
        raise ArgumentError(
            f"expects an output_size less than a stride from {usual}, got {output_size!r}", subject=subject
        )
    return sizes
