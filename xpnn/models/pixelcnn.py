"""PixelCNN: the probability of an image, pixel by pixel in reading order, by masked convolutions.

See: van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import as_tensor, zeros
from xpnn.autograd.functions.random import multinomial
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees what comes before a pixel in reading order, and with kind "B" the pixel itself.

    Args:
        kind: "A" for the first layer of a network, whose input is the image; "B" for the others.
        in_channels, out_channels, kernel_size: as in `Conv2d`; the size is odd, and images keep theirs.

    Raises: ArgumentError for another kind, or an even size.
    """

    def __init__(self, kind: str, in_channels: int, out_channels: int, kernel_size: int) -> None:
        if kind not in ("A", "B") or kernel_size % 2 == 0:
            raise ArgumentError(
                f"expects kind 'A' or 'B' and an odd kernel_size, got {kind!r} and {kernel_size}",
                subject="MaskedConv2d",
            )
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.kind = kind
        middle = kernel_size // 2
        rows = [
            [float((i, j) < (middle, middle + (kind == "B"))) for j in range(kernel_size)]
            for i in range(kernel_size)
        ]
        self.register_buffer("mask", backend_array([[rows]]), persistent=False)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H, W)."""
        weight = self.weight * self.mask.to(self.weight.dtype)
        return F.conv2d(input, weight, self.bias, padding=self.padding)


class ResidualBlock(nn.Module):
    """1 x 1, masked 3 x 3 and 1 x 1 convolutions, each behind ReLU, with the input added."""

    def __init__(self, channels: int) -> None:
        self.layers = nn.Sequential(
            *(nn.ReLU(), nn.Conv2d(2 * channels, channels, 1)),
            *(nn.ReLU(), MaskedConv2d("B", channels, channels, 3)),
            *(nn.ReLU(), nn.Conv2d(channels, 2 * channels, 1)),
        )

    def forward(self, input: Any) -> Tensor:
        """(N, 2 channels, H, W) to the same."""
        return input + self.layers(input)


class PixelCNN(nn.Module):
    """The distribution of each pixel's level, given the pixels before it.

    Args:
        levels: values of a pixel, 2 for black and white.
        channels: half of those between the blocks.
        blocks: residual blocks.

    Shapes: whole numbers (N, 1, H, W), below `levels`, to logits (N, levels, H, W).
    """

    def __init__(self, levels: int = 2, channels: int = 32, blocks: int = 5) -> None:
        self.levels = levels
        self.first = MaskedConv2d("A", 1, 2 * channels, 7)
        self.blocks = nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)])
        self.last = nn.Sequential(
            *(nn.ReLU(), nn.Conv2d(2 * channels, channels, 1)),
            *(nn.ReLU(), nn.Conv2d(channels, levels, 1)),
        )

    def forward(self, input: Any) -> Tensor:
        """Pixels (N, 1, H, W) to the logits of their levels (N, levels, H, W)."""
        x = as_tensor(input).to(self.first.weight.dtype) / max(self.levels - 1, 1)
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
