"""Shuffling of pixels, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.shape.shuffling import PixelShuffle as PixelShuffle
from xpnn.nn.shape.shuffling import PixelUnshuffle as PixelUnshuffle
