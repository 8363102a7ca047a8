"""Shuffling as modules: cells between channels and space, and channels between groups."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module

__all__ = ["ChannelShuffle", "PixelShuffle", "PixelUnshuffle"]


class PixelShuffle(Module):
    """Make an image r times as large of r * r channels; see `functional.pixel_shuffle`.

    Args:
        upscale_factor: r.

    >>> from xpnn.autograd import xp
    >>> PixelShuffle(2)(xp.zeros((1, 8, 2, 3))).shape
    (1, 2, 4, 6)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Tensor:
        """(..., C r r, H, W) to (..., C, r H, r W)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        """The argument."""
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Make r * r channels of an image that is r times as small; see `functional.pixel_unshuffle`.

    Args:
        downscale_factor: r.

    >>> from xpnn.autograd import xp
    >>> PixelUnshuffle(2)(xp.zeros((1, 2, 4, 6))).shape
    (1, 8, 2, 3)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Tensor:
        """(..., C, r H, r W) to (..., C r r, H, W)."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        """The argument."""
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Mix groups of channels; see `functional.channel_shuffle`.

    Args:
        groups: how many there are.

    >>> from xpnn.autograd import xp
    >>> ChannelShuffle(2)(xp.zeros((1, 4, 3))).shape
    (1, 4, 3)
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def forward(self, input: Any) -> Tensor:
        """(N, C, ...) with its channels in another order."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        """The argument."""
        return f"groups={self.groups}"
