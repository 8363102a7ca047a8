"""Convolutions that find the number of their input channels at the first call."""

from __future__ import annotations

from xpnn.nn.conv.convolution import Conv1d, Conv2d, Conv3d
from xpnn.nn.conv.transposed import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from xpnn.nn.lazy import LazyModule

__all__ = [
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
]


class LazyConv1d(LazyModule, Conv1d):
    """A `Conv1d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConv1d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5))).shape, layer.in_channels
    ((2, 4, 4), 3)
    """

    becomes = Conv1d
    channel_axis = -2


class LazyConv2d(LazyModule, Conv2d):
    """A `Conv2d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConv2d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5, 5))).shape, layer.in_channels
    ((2, 4, 4, 4), 3)
    """

    becomes = Conv2d
    channel_axis = -3


class LazyConv3d(LazyModule, Conv3d):
    """A `Conv3d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConv3d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5, 5, 5))).shape, layer.in_channels
    ((2, 4, 4, 4, 4), 3)
    """

    becomes = Conv3d
    channel_axis = -4


class LazyConvTranspose1d(LazyModule, ConvTranspose1d):
    """A `ConvTranspose1d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConvTranspose1d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5))).shape, layer.in_channels
    ((2, 4, 6), 3)
    """

    becomes = ConvTranspose1d
    channel_axis = -2


class LazyConvTranspose2d(LazyModule, ConvTranspose2d):
    """A `ConvTranspose2d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConvTranspose2d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5, 5))).shape, layer.in_channels
    ((2, 4, 6, 6), 3)
    """

    becomes = ConvTranspose2d
    channel_axis = -3


class LazyConvTranspose3d(LazyModule, ConvTranspose3d):
    """A `ConvTranspose3d` whose in_channels are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyConvTranspose3d(4, kernel_size=2)
    >>> layer(xp.zeros((2, 3, 5, 5, 5))).shape, layer.in_channels
    ((2, 4, 6, 6, 6), 3)
    """

    becomes = ConvTranspose3d
    channel_axis = -4
