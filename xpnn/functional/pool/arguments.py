"""What all pooling does with its arguments: windows spelt out, and checked against the input."""

from __future__ import annotations

import functools
from typing import Any

from xpnn.backend import ArgumentError, Array, ShapeError
from xpnn.functional.arguments import check_flags, check_floating, raw_array, tuple_of
from xpnn.functional.windows import (
    Pairs,
    Size,
    check_axes,
    check_kernel_fits,
    strides_within,
)

Sizes = tuple[int, ...]


def spelt_window(
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
    check_input(subject, axes, input)
    check_flags(subject, ceil_mode=ceil_mode)
    kernel = tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1)
    strides = kernel if stride is None else tuple_of(stride, axes, "stride", subject, minimum=1)
    border = tuple_of(padding, axes, "padding", subject)
    dilations = tuple_of(dilation, axes, "dilation", subject, minimum=1)
    size = tuple(raw_array(input).shape[2:])
    pairs, strides = _padding_and_strides(subject, size, kernel, strides, border, dilations, ceil_mode)
    return {"kernel_size": kernel, "stride": strides, "padding": pairs, "dilation": dilations}


@functools.lru_cache(maxsize=1000)
def _padding_and_strides(
    subject: str, size: Sizes, kernel: Sizes, strides: Sizes, border: Sizes, dilations: Sizes, ceil_mode: bool
) -> tuple[Pairs, Sizes]:
    """The padding before and after each axis, and strides that lead no further than just out of the input.

    Raises: ArgumentError if there is too much padding; ShapeError if there is no room for a window.
    """
    if any(2 * p > d * (k - 1) + 1 for p, k, d in zip(border, kernel, dilations)):
        padding, kernel_size = (sizes[0] if len({*sizes}) == 1 else sizes for sizes in (border, kernel))
        raise ArgumentError(
            f"expects padding of at most half of the kernel, got padding={padding} for "
            f"kernel_size={kernel_size}",
            subject=subject,
        )
    pairs: Pairs = tuple((p, p) for p in border)
    if ceil_mode:
        pairs = tuple(map(_overhang, size, kernel, strides, border, dilations))
    check_kernel_fits(size, kernel, pairs, dilations, subject)
    return pairs, strides_within(strides, size, pairs)


def _overhang(cells: int, k: int, s: int, p: int, d: int) -> tuple[int, int]:
    """Padding of an axis with room for the last window, if that starts inside of the input or before it."""
    extent = d * (k - 1) + 1
    count = -((extent - cells - 2 * p) // s) + 1
    if (count - 1) * s >= cells + p:
        count -= 1
    return p, max(p, (count - 1) * s + extent - cells - p)


def check_input(subject: str, axes: int, input: Array) -> None:
    """Raise unless the input is a floating array (N, C, ...) with `axes` axes of space, none empty."""
    check_axes(input, axes, subject)
    check_floating(input, subject)
    if 0 in raw_array(input).shape[2:]:
        raise ShapeError(
            f"expects an input of at least one cell along each axis, got shape {tuple(input.shape)}",
            subject=subject,
        )
