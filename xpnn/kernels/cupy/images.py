"""Batches of images as kernels see them: images without gaps, samples and channels anywhere.

An array (batch, channels, ...) may lie with its samples outermost or, as convolutions leave it, with its
channels outermost. Both have the elements of an image side by side, and kernels are told how far apart the
images of a channel and the channels of a sample are.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import in_rows, library_of

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


class Images(NamedTuple):
    """An array whose images have no gaps.

    Attributes:
        image, plane: from one sample to the next of a channel, and from channel to channel, in elements.
    """

    array: Array
    image: int
    plane: int


def images_of(x: Array) -> Images:
    """The array, copied if its images have gaps."""
    if not _is_dense(x):
        x = in_rows(x)
    return Images(x, x.strides[0] // x.itemsize, x.strides[1] // x.itemsize)


def channels_first(x: Array) -> Array:
    """(batch, channels, ...) to (channels, batch, ...) in rows; nothing moves where it lies so already."""
    return in_rows(x.transpose((1, 0, *range(2, x.ndim))))


def empty_channels_first(like: Array, shape: Sizes) -> Array:
    """An array (batch, channels, ...) that lies with its channels outermost."""
    y = library_of(like).empty((shape[1], shape[0], *shape[2:]), dtype=like.dtype)
    return y.transpose((1, 0, *range(2, len(shape))))


def three(sizes: Sizes, filled: int) -> Sizes:
    """One, two or three axes of space as three."""
    return (*(filled,) * (3 - len(sizes)), *sizes)


def _is_dense(x: Array) -> bool:
    step = x.itemsize
    for axis in reversed(range(2, x.ndim)):
        if x.shape[axis] != 1 and x.strides[axis] != step:
            return False
        step *= x.shape[axis]
    size = prod(x.shape[2:]) * x.itemsize
    lies = {(x.shape[1] * size, size), (size, x.shape[0] * size)}
    return (x.strides[0], x.strides[1]) in lies
