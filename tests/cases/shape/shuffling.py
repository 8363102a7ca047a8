"""Shuffling of pixels and channels."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def _of_shape(*shape):
    return lambda rng, **options: (rng.standard_normal(shape),)


def _in_torch(name):
    return lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options)


def _shuffled(x, upscale_factor):
    r = upscale_factor
    n, channels, height, width = x.shape
    y = np.zeros((n, channels // r**2, height * r, width * r))
    for i, c, row, column in np.ndindex(*y.shape):
        y[i, c, row, column] = x[i, c * r * r + row % r * r + column % r, row // r, column // r]
    return y


def _unshuffled(x, downscale_factor):
    r = downscale_factor
    n, channels, height, width = x.shape
    y = np.zeros((n, channels * r**2, height // r, width // r))
    for i, c, row, column in np.ndindex(*y.shape):
        y[i, c, row, column] = x[i, c // r**2, row * r + c % r**2 // r, column * r + c % r]
    return y


CASES = [
    Case(
        "pixel_shuffle",
        F.pixel_shuffle,
        inputs=_of_shape(2, 8, 2, 3),
        options=[{"upscale_factor": 2}],
        torch=_in_torch("pixel_shuffle"),
        naive=_shuffled,
        any_dtype=True,
        axes=(3, None),
        errors=[
            bad(ShapeError, r"channels that 3 \* 3 divides", upscale_factor=3),
            bad(ArgumentError, r"upscale_factor of at least 1", upscale_factor=0),
        ],
    ),
    Case(
        "pixel_unshuffle",
        F.pixel_unshuffle,
        inputs=_of_shape(2, 2, 4, 2),
        options=[{"downscale_factor": 2}],
        torch=_in_torch("pixel_unshuffle"),
        naive=_unshuffled,
        batched=(),  # PyTorch's gives an empty batch back in its old shape
        any_dtype=True,
        axes=(3, None),
        errors=[bad(ShapeError, r"height and a width that 3 divides", downscale_factor=3)],
    ),
    Case(
        "channel_shuffle",
        F.channel_shuffle,
        inputs=_of_shape(2, 6, 3),
        options=[{"groups": 3}, {"groups": 1}],
        torch=_in_torch("channel_shuffle"),
        naive=lambda x, groups: x[:, np.arange(6).reshape(groups, -1).T.ravel()],
        any_dtype=True,
        errors=[bad(ShapeError, r"channels 4 groups divide", groups=4)],
    ),
]

LAYERS = [
    layer("PixelShuffle", (2, 8, 2, 3), upscale_factor=2),
    layer("PixelUnshuffle", (2, 2, 4, 2), downscale_factor=2),
    layer("ChannelShuffle", (2, 6, 3), groups=2),
]
