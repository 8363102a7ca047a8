"""Where the windows of a convolution or a pooling lie: sizes, padding and slices, in plain integers.

Along each spatial axis a window has `kernel` cells, `dilation` apart, and moves by `stride` over the padded
input. Cell t of window i is cell `i * stride + t * dilation` of the padded input, so that one cell of
*all* windows is one strided slice: every algorithm in `conv.py` and `pool.py` is a loop over these slices.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from xpnn.backend import ArgumentError, Array, ShapeError, namespace, refusing
from xpnn.backend.idioms import add_at_slices, pad, zeros_like_shape
from xpnn.functional.arguments import check_rank, tuple_of

__all__ = ["conv_output_size", "conv_transpose_output_size", "receptive_field"]

Size = int | Sequence[int]
Padding = int | str | Sequence[int]
PADDING_WORDS = ("valid", "same", "full")
Pairs = tuple[tuple[int, int], ...]  # cells of padding before and after, along each axis

F = TypeVar("F", bound=Callable[..., Any])

_SPATIAL_AXES = {1: "L", 2: "HW", 3: "DHW"}


@refusing
def conv_output_size(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    exact: bool = False,
) -> Any:
    """The size of what a convolution gives: `floor((size + 2 p - d (k - 1) - 1) / s) + 1` along each axis.

    Args:
        size: cells of the input along its spatial axes; a number for a single axis.
        kernel_size, stride, dilation: a number for all axes, or one for each.
        padding: cells on both sides; or "valid" (none); or "same": `ceil(size / stride)` cells come out; or
            "full": each window that sees a cell counts.
        exact: whether a stride that does not divide, so that windows leave the last cells out, is an error.

    Returns: an int if `size` is one, else a tuple.

    Raises: ShapeError if the kernel is larger than the padded input; with `exact`, one that names the next
    sizes that fit.

    See: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016.

    >>> conv_output_size(28, 5), conv_output_size((32, 31), 3, stride=2, padding="same")
    (24, (16, 16))
    """
    subject = "conv_output_size"
    sizes = (size,) if isinstance(size, int) else tuple(size)
    kernel = tuple_of(kernel_size, len(sizes), "kernel_size", subject, minimum=1)
    strides = tuple_of(stride, len(sizes), "stride", subject, minimum=1)
    dilations = tuple_of(dilation, len(sizes), "dilation", subject, minimum=1)
    pairs = padding_pairs(padding, sizes, kernel, strides, dilations, subject)
    check_kernel_fits(sizes, kernel, pairs, dilations, subject)
    out = output_size(sizes, kernel, strides, pairs, dilations)
    if exact:
        _check_whole(sizes, kernel, strides, pairs, dilations)
    return out[0] if isinstance(size, int) else out


@refusing
def conv_transpose_output_size(
    size: Size,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Any:
    """The size of what a transposed convolution gives: `(size - 1) s - 2 p + d (k - 1) + 1 + output_padding`.

    A convolution maps `s` neighbouring sizes to one; `output_padding` says which of them to go back to.

    >>> conv_transpose_output_size(16, 3, stride=2, padding=1, output_padding=1)
    32
    """
    subject = "conv_transpose_output_size"
    sizes = (size,) if isinstance(size, int) else tuple(size)
    axes = len(sizes)
    out = tuple(
        (cells - 1) * s - 2 * p + d * (k - 1) + 1 + extra
        for cells, k, s, p, extra, d in zip(
            sizes,
            tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1),
            tuple_of(stride, axes, "stride", subject, minimum=1),
            tuple_of(padding, axes, "padding", subject),
            tuple_of(output_padding, axes, "output_padding", subject),
            tuple_of(dilation, axes, "dilation", subject, minimum=1),
            strict=True,
        )
    )
    return out[0] if isinstance(size, int) else out


@refusing
def receptive_field(layers: Any) -> Any:
    """The cells along each axis that one cell of the last layer's output depends on.

    Layer by layer it grows by `(k - 1) d` steps, and a step is as long as the strides before multiply up to.

    Args:
        layers: convolutions and poolings in their order, as a list or an `nn.Sequential`, which may hold
            others; layers without a `kernel_size`, such as activations and norms, see one cell.

    Returns: an int, or a tuple where layers differ along their axes.

    Raises: ArgumentError for a layer of which it cannot be told, such as a transposed convolution.

    See: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", 2019.

    >>> from xpnn import nn
    >>> receptive_field([nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)])
    8
    """
    subject = "receptive_field"
    windows = [window for layer in _in_order(layers) for window in _windows_of(layer)]
    axes = max((len(size) for window in windows for size in window if isinstance(size, tuple)), default=1)
    field, step = [1] * axes, [1] * axes
    for kernel, stride, dilation in windows:
        sizes = tuple_of(kernel, axes, "kernel_size", subject, minimum=1)
        gaps = tuple_of(dilation, axes, "dilation", subject, minimum=1)
        field = [cells + (k - 1) * d * s for cells, k, d, s in zip(field, sizes, gaps, step)]
        step = [s * t for s, t in zip(step, tuple_of(stride, axes, "stride", subject, minimum=1))]
    return field[0] if len(set(field)) == 1 else tuple(field)


def _in_order(layers: Any) -> Iterator[Any]:
    """The layers of lists and sequences of them, which may hold further ones."""
    if hasattr(layers, "__iter__") and not isinstance(layers, str):  # whose parts are texts for ever
        for layer in layers:
            yield from _in_order(layer)
    else:
        yield layers


def _windows_of(layer: Any) -> list[tuple[Any, Any, Any]]:
    """(kernel size, stride, dilation) of a layer; nothing if it sees one cell."""
    kernel = getattr(layer, "kernel_size", None)
    mixes = any(hasattr(layer, name) for name in ("in_features", "output_size", "start_dim"))
    parts = hasattr(layer, "children") and any(True for _ in layer.children())
    if getattr(layer, "transposed", False) or (kernel is None and (mixes or parts)):
        raise ArgumentError(
            f"cannot tell what one cell behind {type(layer).__name__} sees",
            subject="receptive_field",
            hint="Give it convolutions and poolings in their order",
        )
    if kernel is None:
        return []
    stride = getattr(layer, "stride", None)
    return [(kernel, kernel if stride is None else stride, getattr(layer, "dilation", 1))]


# ---- a single image ----


def batch_of_one(axes: int) -> Callable[[F], F]:
    """Decorate a function of (N, C, ...), with `axes` axes of space: it takes and gives (C, ...) too."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def called(input: Any, *args: Any, **options: Any) -> Any:
            if getattr(input, "ndim", None) != axes + 1:
                return function(input, *args, **options)
            results = function(namespace(input).expand_dims(input, axis=0), *args, **options)
            if isinstance(results, tuple):
                return tuple(_only(y) for y in results)
            return _only(results)

        return cast(F, called)

    return decorate


def _only(y: Array) -> Array:
    """The one image of a batch; a Tensor where the weights were, though the image was none."""
    return namespace(y).squeeze(y, axis=0)


def check_axes(x: Array, axes: int, subject: str) -> None:
    """Raise a ShapeError unless x is (N, C, ...), which `batch_of_one` makes of (C, ...)."""
    if getattr(x, "ndim", None) != axes + 2:
        check_rank(x, (axes + 1, axes + 2), subject, f"{layout(axes)[1:]} or {layout(axes)}")


# ---- sizes ----


def output_size(
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """How many windows there are along each axis; arguments as the primitives take them."""
    return tuple(
        (cells + before + after - d * (k - 1) - 1) // s + 1
        for cells, k, s, (before, after), d in zip(size, kernel_size, stride, padding, dilation)
    )


def padding_pairs(
    padding: Any,
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    subject: str,
) -> Pairs:
    """Padding as a pair of numbers for each axis; "same" puts the odd cell after the input."""
    if padding == "valid":
        return ((0, 0),) * len(size)
    if padding == "same":
        return tuple(map(_same_padding, size, kernel_size, stride, dilation))
    if padding == "full":
        return tuple((d * (k - 1),) * 2 for k, d in zip(kernel_size, dilation))
    if isinstance(padding, str):
        raise ArgumentError(
            f"expects padding as a number, one for each axis, 'valid', 'same' or 'full', got {padding!r}",
            subject=subject,
        )
    return tuple((p, p) for p in tuple_of(padding, len(size), "padding", subject))


def strides_within(stride: Sequence[int], size: Sequence[int], padding: Pairs) -> tuple[int, ...]:
    """Strides that lead no further than just out of the padded input: longer ones may not fit a machine's."""
    return tuple(min(s, cells + before + after) for s, cells, (before, after) in zip(stride, size, padding))


def check_kernel_fits(
    size: Sequence[int], kernel_size: Sequence[int], padding: Pairs, dilation: Sequence[int], subject: str
) -> None:
    """Raise a ShapeError if there is no room for a single window."""
    padded = tuple(cells + before + after for cells, (before, after) in zip(size, padding))
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel_size, dilation))
    if all(room >= cells for room, cells in zip(padded, extent)):
        return
    kernel = by_cross(kernel_size)
    if tuple(kernel_size) != extent:
        kernel += f" (dilated: {by_cross(extent)})"
    now = by_cross(size) if padded == tuple(size) else f"{by_cross(size)} (padded: {by_cross(padded)})"
    raise ShapeError(
        f"has a kernel of {kernel}, larger than its input of {now}",
        subject=subject,
        hint="Use a smaller kernel, more padding, or larger images",
    )


def _check_whole(
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
) -> None:
    """Raise a ShapeError unless the windows reach the last cell along each axis."""
    left = tuple(
        (cells + before + after - d * (k - 1) - 1) % s
        for cells, k, s, (before, after), d in zip(size, kernel_size, stride, padding, dilation)
    )
    if any(left):
        smaller = tuple(cells - rest for cells, rest in zip(size, left))
        larger = tuple(cells + (s - rest) % s for cells, rest, s in zip(size, left, stride))
        raise ShapeError(
            f"has a stride of {by_cross(stride)} that leaves the last {by_cross(left)} cells of its input "
            f"of {by_cross(size)} out",
            subject="conv_output_size",
            hint=f"Sizes that fit: {by_cross(smaller)}, {by_cross(larger)}",
        )


def by_cross(size: Sequence[int]) -> str:
    """A size as it is read: `3 x 4`."""
    return " x ".join(map(str, size))


def layout(axes: int) -> str:
    """The letters of the axes of an array with that many spatial ones: `NCHW` for 2."""
    return "NC" + _SPATIAL_AXES[axes]


def _same_padding(size: int, kernel_size: int, stride: int, dilation: int) -> tuple[int, int]:
    out = -(-size // stride)
    total = max((out - 1) * stride + dilation * (kernel_size - 1) + 1 - size, 0)
    return total // 2, total - total // 2


# ---- slices ----


def window_slices(
    out_size: Sequence[int], kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """For each cell of the kernel, row by row: the slice of the padded input that it sees in all windows."""
    along_axes = [
        [slice(t * d, t * d + s * (count - 1) + 1, s) for t in range(k)]
        for count, k, s, d in zip(out_size, kernel_size, stride, dilation)
    ]
    for slices in itertools.product(*along_axes):
        yield (..., *slices)


def pad_spatial(x: Array, padding: Pairs, value: float = 0.0) -> Array:
    """`x` with cells of `value` around its last axes."""
    untouched = x.ndim - len(padding)
    return pad(x, ((0, 0),) * untouched + tuple(padding), value)


def add_windows(
    parts: Sequence[Array],
    size: Sequence[int],
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
) -> Array:
    """Lay the cells of all windows back where they came from, adding up where windows overlap.

    Args:
        parts: one array (..., *output size) for each cell of the kernel.

    Returns: (..., *size), the padding cut off. It is the adjoint of slicing with `window_slices`.
    """
    out_size = parts[0].shape[-len(size) :]
    padded = tuple(cells + before + after for cells, (before, after) in zip(size, padding))
    canvas = zeros_like_shape(parts[0], (*parts[0].shape[: -len(size)], *padded))
    for part, window in zip(parts, window_slices(out_size, kernel_size, stride, dilation), strict=True):
        canvas = add_at_slices(canvas, window, part)
    inside = tuple(slice(before, before + cells) for cells, (before, _) in zip(size, padding))
    return canvas[(..., *inside)]
