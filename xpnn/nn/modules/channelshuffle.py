"""Shuffling of channels, under PyTorch's path."""

from __future__ import annotations

from xpnn.nn.shape.shuffling import ChannelShuffle as ChannelShuffle
