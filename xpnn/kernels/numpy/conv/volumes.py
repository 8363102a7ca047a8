"""Convolution of volumes as one of images, by `methods`: the depth goes into the batch and the channels.

An output slice sees as many slices of the volume as the kernel is deep. They are laid side by side as the
channels of one image; all images together are a batch of N times the output's depth, and the kernel's slices
lie side by side as well. So 3x3x3 is Winograd's 3x3 of three times as many channels. The gradient of the
volume adds up those of the images (col2im, along the depth alone).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.conv import methods
from xpnn.kernels.numpy.conv.layout import Pair, copy_cells
from xpnn.kernels.numpy.parallel import in_pieces

Sizes = tuple[int, ...]


def _conv_suits(x: np.ndarray, w: np.ndarray, *others: Any, groups: int, **options: Any) -> bool:
    return _suits(x.ndim, w.shape[1] * w.shape[2], len(w), groups)


def _input_gradient_suits(gy: np.ndarray, w: np.ndarray, *, groups: int, **options: Any) -> bool:
    return _suits(gy.ndim, w.shape[1] * w.shape[2], len(w), groups)


def _weight_gradient_suits(
    x: np.ndarray, gy: np.ndarray, *, kernel_size: Sizes, groups: int, **options: Any
) -> bool:
    return _suits(x.ndim, x.shape[1] // groups * kernel_size[0], gy.shape[1], groups)


def _suits(ndim: int, channels_of_a_group: int, outputs: int, groups: int) -> bool:
    least = 1 if groups == 1 else methods.LEAST_CHANNELS_IN_GROUP
    return ndim == 5 and channels_of_a_group >= least and outputs > 0


@kernel("numpy", "conv", when=_conv_suits)
def convolve(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, **options: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `conv`."""
    depth = _Depth(x.shape[2], w.shape[2], **options)
    y, _ = methods.convolve.forward(depth.gather(x), _side_by_side(w), b, **depth.of_images)
    return _as_volumes(y, len(x), depth.out), (x, w)


@convolve.backward
def convolve_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    """All gradients, by those of the images."""
    x, w = saved
    depth = _Depth(x.shape[2], w.shape[2], **options)
    images = depth.gather(x) if needs[1] else _like_gathered(x, depth)
    backward = methods.convolve.backward_function
    assert backward is not None
    gx, gw, gb = backward(_as_images(gy), (images, _side_by_side(w)), needs, **depth.of_images)
    if gx is not None:
        gx = depth.fold(gx, len(x))
    return gx, None if gw is None else _apart(gw, w.shape), gb


@kernel("numpy", "conv_input_gradient", when=_input_gradient_suits)
def input_gradient(gy: np.ndarray, w: np.ndarray, *, size: Sizes, **options: Any) -> tuple[np.ndarray, tuple]:
    """The reference's `conv_input_gradient`."""
    depth = _Depth(size[0], w.shape[2], **options)
    gx, _ = methods.input_gradient.forward(_as_images(gy), _side_by_side(w), size=size[1:], **depth.of_images)
    return depth.fold(gx, len(gy)), (gy, w)


@kernel("numpy", "conv_weight_gradient", when=_weight_gradient_suits)
def weight_gradient(
    x: np.ndarray, gy: np.ndarray, *, kernel_size: Sizes, **options: Any
) -> tuple[np.ndarray, tuple]:
    """The reference's `conv_weight_gradient`."""
    depth = _Depth(x.shape[2], kernel_size[0], **options)
    gw, _ = methods.weight_gradient.forward(
        depth.gather(x), _as_images(gy), kernel_size=kernel_size[1:], **depth.of_images
    )
    return _apart(gw, (gy.shape[1], x.shape[1] // options["groups"], *kernel_size)), (x, gy)


class _Depth:
    """The windows along the depth.

    Attributes:
        of_images: the options of the convolution of images.
        out: how many windows there are.
    """

    def __init__(
        self,
        size: int,
        kernel_size: int,
        *,
        stride: Sizes,
        padding: tuple[Pair, ...],
        dilation: Sizes,
        groups: int,
    ) -> None:
        self.of_images = {
            "stride": stride[1:],
            "padding": padding[1:],
            "dilation": dilation[1:],
            "groups": groups,
        }
        self.out = (size + sum(padding[0]) - dilation[0] * (kernel_size - 1) - 1) // stride[0] + 1
        self.kernel_size = kernel_size
        self._size, self._groups = size, groups
        self._stride, self._before, self._dilation = stride[0], padding[0][0], dilation[0]
        # One window for each slice, which it alone sees: the volume's slices are the images.
        self._plain = kernel_size == stride[0] == 1 and padding[0] == (0, 0)

    def gather(self, x: np.ndarray) -> np.ndarray:
        """What the windows see of x (N, C, D, H, W): (N * out, C * kernel, H, W), channels last."""
        if self._plain:
            return _as_images(x)
        n, c, _, height, width = x.shape
        per_group = c // self._groups
        seen = np.empty((n, self.out, height, width, self._groups, self.kernel_size, per_group), x.dtype)
        cells = x.transpose(0, 2, 3, 4, 1).reshape(n, self._size, height, width, self._groups, per_group)

        def work(rows: slice) -> None:
            for u, some, slices in self._along():
                copy_cells(seen[:, some, rows, :, :, u], cells[:, slices, rows])
                seen[:, : some.start, rows, :, :, u] = 0
                seen[:, some.stop :, rows, :, :, u] = 0

        in_pieces(work, height, seen.size)
        return seen.reshape(n * self.out, height, width, c * self.kernel_size).transpose(0, 3, 1, 2)

    def fold(self, images: np.ndarray, n: int) -> np.ndarray:
        """The adjoint of `gather`: (N * out, C * kernel, H, W) to (N, C, D, H, W)."""
        if self._plain:
            return _as_volumes(images, n, self._size)
        _, channels, height, width = images.shape
        per_group = channels // (self._groups * self.kernel_size)
        total = np.empty((n, self._size, height, width, self._groups, per_group), images.dtype)
        sent = images.transpose(0, 2, 3, 1)
        sent = sent.reshape(n, self.out, height, width, self._groups, self.kernel_size, per_group)

        def work(rows: slice) -> None:
            total[:, :, rows] = 0
            for u, some, slices in self._along():
                total[:, slices, rows] += sent[:, some, rows, :, :, u]

        in_pieces(work, height, images.size)
        return total.reshape(*total.shape[:4], channels // self.kernel_size).transpose(0, 4, 1, 2, 3)

    def _along(self) -> Iterator[tuple[int, slice, slice]]:
        """Each cell of the kernel, the windows that see a slice through it, and these slices."""
        stride = self._stride
        for u in range(self.kernel_size):
            start = u * self._dilation - self._before  # of what the first window sees
            first = min(max(-(start // stride), 0), self.out)
            last = max(min((self._size - 1 - start) // stride, self.out - 1), first - 1)
            slices = slice(start + first * stride, start + last * stride + 1, stride)
            yield u, slice(first, last + 1), slices if first <= last else slice(0, 0)


def _like_gathered(x: np.ndarray, depth: _Depth) -> np.ndarray:
    """An array of the shape and type of `depth.gather(x)`, where nothing is read of it."""
    n, c, _, height, width = x.shape
    shape = (n * depth.out, c * depth.kernel_size, height, width)
    return np.broadcast_to(np.zeros((), x.dtype), shape)


def _as_images(x: np.ndarray) -> np.ndarray:
    """(N, C, D, H, W) -> (N * D, C, H, W)."""
    n, c, depth, height, width = x.shape
    return x.transpose(0, 2, 1, 3, 4).reshape(n * depth, c, height, width)


def _as_volumes(images: np.ndarray, n: int, depth: int) -> np.ndarray:
    """(N * D, C, H, W) -> (N, C, D, H, W)."""
    return images.reshape(n, depth, *images.shape[1:]).transpose(0, 2, 1, 3, 4)


def _side_by_side(w: np.ndarray) -> np.ndarray:
    """(O, C, KD, KH, KW) -> (O, KD * C, KH, KW)."""
    outputs, c, depth, height, width = w.shape
    return w.transpose(0, 2, 1, 3, 4).reshape(outputs, depth * c, height, width)


def _apart(gw: np.ndarray, shape: Sizes) -> np.ndarray:
    """The inverse of `_side_by_side`."""
    outputs, c, depth, height, width = shape
    return np.ascontiguousarray(gw.reshape(outputs, depth, c, height, width).transpose(0, 2, 1, 3, 4))
