"""What networks share that give the distribution of each number given those before it.

Their product is the probability of the whole: the likelihood is exact. Samples are drawn number by number.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import as_tensor, zeros
from xpnn.autograd.functions.random import bernoulli, multinomial
from xpnn.backend import ArgumentError


class BinaryVectors(nn.Module):
    """A network whose logits say how likely each of `features` numbers is 1, given those before it."""

    features: int

    def bits_per_pixel(self, input: Any) -> Tensor:
        """Minus the mean log2 probability of the numbers, the loss that is trained."""
        logits = self(input)
        return F.binary_cross_entropy_with_logits(logits, input.reshape(logits.shape)) / math.log(2)

    def sample(self, count: int, generator: Any = None) -> Tensor:
        """Vectors (count, features), drawn number by number."""
        weight = next(self.parameters())
        x = zeros(count, self.features, dtype=weight.dtype, device=weight.device)
        with no_grad():
            for i in range(self.features):
                x[:, i] = bernoulli(F.sigmoid(self(x)[:, i]), generator=generator)
        return x


class PixelLevels(nn.Module):
    """A network that gives the logits of each pixel's levels: a masked layer, blocks, and two 1 x 1 layers.

    Args:
        first: the masked layer, which sees the pixels before each one.
        blocks: whose outputs see what their inputs saw.
        channels: half of those between the blocks.
        levels: values of a pixel.
    """

    def __init__(self, first: nn.Module, blocks: nn.Module, channels: int, levels: int) -> None:
        if levels < 2:
            raise ArgumentError(f"expects at least 2 levels, got {levels}", subject=type(self).__name__)
        self.levels = levels
        self.first, self.blocks = first, blocks
        self.last = nn.Sequential(
            *(nn.ReLU(), nn.Conv2d(2 * channels, channels, 1)),
            *(nn.ReLU(), nn.Conv2d(channels, levels, 1)),
        )

    def forward(self, input: Any) -> Tensor:
        """Pixels (N, 1, H, W) to the logits of their levels (N, levels, H, W)."""
        x = as_tensor(input).to(self.first.weight.dtype) / (self.levels - 1)
        return self.last(self.blocks(self.first(x)))

    def bits_per_pixel(self, images: Any) -> Tensor:
        """Minus the mean log2 probability of the pixels, the loss that is trained."""
        return F.cross_entropy(self(images), images[:, 0]) / math.log(2)

    def sample(self, count: int, height: int, width: int, generator: Any = None) -> Tensor:
        """Images (count, 1, height, width), drawn pixel by pixel."""
        weight = self.first.weight
        images = zeros(count, 1, height, width, dtype=xp.int64, device=weight.device)
        with no_grad():
            for i in range(height):
                for j in range(width):
                    # rows below cannot be seen
                    logits = self(images[:, :, : i + 1])[:, :, i, j]
                    images[:, 0, i, j] = multinomial(F.softmax(logits, 1), 1, generator=generator)[:, 0]
        return images
