"""Convolution as one product of matrices, with the channels outermost in memory.

With the windows as the columns of a matrix, (channels * cells, batch * windows), the output is one product
with the weights, and so are both gradients; no array is turned round for it. Results lie as the product
leaves them: channels first, then the batch. What follows, norms, pools, sums, keeps it so. A kernel of one
cell is a product with the images as they are; one channel a group is computed without a matrix.
"""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.images import Pairs, Sizes, channels_first, empty_channels_first, images_of
from xpnn.kernels.cupy.launching import (
    MOST_BLOCKS,
    MOST_THREADS,
    in_rows,
    launch,
    library_of,
    takes,
)
from xpnn.kernels.cupy.windows import SOURCE, described, over_elements, windows_over

_MATRIX_BYTES = 2**29  # of windows at a time, at most, if that leaves one sample


def _takes(x: Array, w: Array, *others: Array | None, **options: Any) -> bool:
    return 3 <= x.ndim <= 5 and takes(x, w, *others) and x.itemsize > 2


def _takes_gradients(x: Array, w: Array, *, size: Sizes, **options: Any) -> bool:
    return _takes(x, w) and prod(size) > 0


def _takes_both(x: Array, gy: Array, *, kernel_size: Sizes, **options: Any) -> bool:
    return _takes(x, gy) and prod(kernel_size) > 0 and x.shape[1] > 0


def _is_depthwise(channels: int, groups: int) -> bool:
    return groups > 1 and channels == groups


class _Matrix:
    """The windows over images of one shape."""

    def __init__(self, size: Sizes, kernel_size: Sizes, out_size: Sizes, options: dict[str, Any]) -> None:
        self.cells, self.windows, self.inputs = prod(kernel_size), prod(out_size), prod(size)
        window = {name: options[name] for name in ("stride", "padding", "dilation")}
        self.described = described(size, out_size, kernel_size, **window)
        ones = all(s == 1 for s in options["stride"])
        self.is_images = (
            self.cells == 1 and ones and size == out_size and not any(map(any, options["padding"]))
        )

    def portions(self, batch: int, channels: int, itemsize: int) -> list[slice]:
        """Samples whose windows are in memory at one time."""
        one = max(channels * self.cells * self.windows * itemsize, 1)
        count = batch if self.is_images else max(min(_MATRIX_BYTES // one, batch), 1)
        return [slice(start, min(start + count, batch)) for start in range(0, batch, count)]

    def unfold(self, x: Array) -> Array:
        """(channels * cells, batch * windows)."""
        batch, channels = x.shape[:2]
        if self.is_images:
            return channels_first(x).reshape((channels, batch * self.inputs))
        images = images_of(x)
        columns = batch * self.windows
        matrix = library_of(x).empty((channels * self.cells, columns), dtype=x.dtype)
        args = (images.array, matrix, images.image, images.plane, batch, channels, *self.described)
        over_elements("unfold", x, args, channels * columns, max(matrix.size, x.size))
        return matrix

    def fold(self, matrix: Array, shape: Sizes) -> Array:
        """The adjoint: images of that shape."""
        batch, channels, *size = shape
        if self.is_images:
            lying = matrix.reshape((channels, batch, *size))
            return lying.transpose((1, 0, *range(2, len(shape))))
        x = empty_channels_first(matrix, shape)
        args = (matrix, x, batch, channels, *self.described)
        over_elements("fold", matrix, args, x.size, max(matrix.size, x.size))
        return x


def _grouped(matrix: Array, groups: int) -> Array:
    return matrix if groups == 1 else matrix.reshape((groups, matrix.shape[0] // groups, *matrix.shape[1:]))


def _weights(w: Array, groups: int) -> Array:
    rows = in_rows(w).reshape((w.shape[0], -1))
    return _grouped(rows, groups)


@kernel("cupy", "conv", when=_takes)
def conv(
    x: Array,
    w: Array,
    b: Array | None,
    *,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[Array, tuple]:
    """The reference's `conv`."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    size, kernel_size = x.shape[2:], w.shape[2:]
    shape = (x.shape[0], w.shape[0], *windows_over(size, kernel_size, **options))
    if _is_depthwise(x.shape[1], groups):
        return _depthwise(x, w, b, shape, options), (x, w)
    matrix = _Matrix(size, kernel_size, shape[2:], options)
    weights, parts = _weights(w, groups), []
    for portion in matrix.portions(x.shape[0], x.shape[1], x.itemsize):
        columns = _grouped(matrix.unfold(x[portion]), groups)
        parts.append((weights @ columns).reshape((shape[1], -1, *shape[2:])))
    y = parts[0] if len(parts) == 1 else library_of(x).concatenate(parts, axis=1)
    if b is not None:
        y += b.reshape((-1, *(1,) * (y.ndim - 1)))
    return y.transpose((1, 0, *range(2, y.ndim))), (x, w)


@kernel("cupy", "conv_input_gradient", when=_takes_gradients)
def conv_input_gradient(
    gy: Array,
    w: Array,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[Array, tuple]:
    """The reference's `conv_input_gradient`."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    channels = w.shape[1] * groups
    if _is_depthwise(channels, groups):
        return _depthwise_input(gy, w, (gy.shape[0], channels, *size), options), (gy, w)
    matrix = _Matrix(tuple(size), w.shape[2:], gy.shape[2:], options)
    weights, parts = _weights(w, groups), []
    for portion in matrix.portions(gy.shape[0], channels, gy.itemsize):
        rows = channels_first(gy[portion])
        columns = _grouped(rows.reshape((rows.shape[0], -1)), groups)
        product = weights.swapaxes(-1, -2) @ columns
        product = product.reshape((channels * matrix.cells, -1))
        parts.append(matrix.fold(product, (rows.shape[1], channels, *size)))
    return parts[0] if len(parts) == 1 else library_of(gy).concatenate(parts), (gy, w)


@kernel("cupy", "conv_weight_gradient", when=_takes_both)
def conv_weight_gradient(
    x: Array,
    gy: Array,
    *,
    kernel_size: Sizes,
    stride: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int,
) -> tuple[Array, tuple]:
    """The reference's `conv_weight_gradient`."""
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    if _is_depthwise(x.shape[1], groups):
        return _depthwise_weight(x, gy, tuple(kernel_size), options), (x, gy)
    matrix = _Matrix(x.shape[2:], tuple(kernel_size), gy.shape[2:], options)
    gw: Any = None
    for portion in matrix.portions(x.shape[0], x.shape[1], x.itemsize):
        columns = _grouped(matrix.unfold(x[portion]), groups)
        rows = channels_first(gy[portion])
        rows = _grouped(rows.reshape((rows.shape[0], -1)), groups)
        product = rows @ columns.swapaxes(-1, -2)
        gw = product if gw is None else gw + product
    return gw.reshape((gy.shape[1], x.shape[1] // groups, *kernel_size)), (x, gy)


def _depthwise(x: Array, w: Array, b: Array | None, shape: Sizes, options: dict[str, Any]) -> Array:
    images, y = images_of(x), empty_channels_first(x, shape)
    sizes = (images.image, images.plane, shape[0], shape[1], shape[1] // x.shape[1])
    windows = described(x.shape[2:], shape[2:], w.shape[2:], **options)
    args = (images.array, in_rows(w), in_rows(b), y, *sizes, *windows)
    over_elements("depthwise", x, args, y.size, max(x.size, y.size))
    return y


def _depthwise_input(gy: Array, w: Array, shape: Sizes, options: dict[str, Any]) -> Array:
    images, gx = images_of(gy), empty_channels_first(gy, shape)
    sizes = (images.image, images.plane, shape[0], gy.shape[1], gy.shape[1] // shape[1])
    windows = described(shape[2:], gy.shape[2:], w.shape[2:], **options)
    args = (images.array, in_rows(w), gx, *sizes, *windows)
    over_elements("depthwise_input", gy, args, gx.size, max(gx.size, gy.size))
    return gx


def _depthwise_weight(x: Array, gy: Array, kernel_size: Sizes, options: dict[str, Any]) -> Array:
    images, above = images_of(x), images_of(gy)
    batch, channels = gy.shape[:2]
    gw = library_of(x).empty((channels, 1, *kernel_size), dtype=x.dtype)
    sizes = (images.image, images.plane, above.image, above.plane, batch, channels, channels // x.shape[1])
    windows = described(x.shape[2:], gy.shape[2:], kernel_size, **options)
    args = (images.array, above.array, gw, *sizes, *windows)
    size = max(x.size, gy.size)
    launch(SOURCE, "depthwise_weight", x, min(gw.size, MOST_BLOCKS), MOST_THREADS, args, size=size)
    return gw
