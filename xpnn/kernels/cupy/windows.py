"""How windows lie over images, as the kernels of `cuda/windows.cu` are told."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import Array
from xpnn.kernels.cupy.images import Pairs, Sizes, three
from xpnn.kernels.cupy.launching import MOST_THREADS, blocks_for, launch

SOURCE = "windows.cu"


def windows_over(size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Pairs, dilation: Sizes) -> Sizes:
    """How many windows there are over images of a size, along each axis of space."""
    return tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(size, kernel_size, stride, padding, dilation)
    )


def described(
    in_size: Sizes,
    out_size: Sizes,
    kernel_size: Sizes = (),
    stride: Sizes = (),
    padding: Pairs = (),
    dilation: Sizes = (),
) -> tuple[np.int32, ...]:
    """The numbers that a kernel takes, each for three axes of space; what is left out does not matter.

    What is padded behind an image is told by the number of windows.
    """
    before = tuple(pair[0] for pair in padding)
    sizes = ((in_size, 1), (out_size, 1), (kernel_size, 1), (stride, 1), (before, 0), (dilation, 1))
    return tuple(np.int32(number) for values, filled in sizes for number in three(values, filled))


def over_elements(name: str, like: Array, args: tuple[Any, ...], elements: int, size: int) -> None:
    """Launch a kernel that has a thread for an element, whose indices reach `size`."""
    launch(SOURCE, name, like, blocks_for(elements), MOST_THREADS, args, size=size)
