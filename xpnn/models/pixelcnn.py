"""PixelCNN: the probability of an image, pixel by pixel in reading order, by masked convolutions.

See: van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array
from xpnn.models.autoregressive import PixelLevels


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees what comes before a pixel in reading order, and with kind "B" the pixel itself.

    Args:
        kind: "A" for the first layer of a network, whose input is the image; "B" for the others.
        in_channels, out_channels: as in `Conv2d`.
        kernel_size: odd, one number or (height, width); images keep their size.

    Raises: ArgumentError for another kind, or an even size.
    """

    def __init__(
        self, kind: str, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int]
    ) -> None:
        height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
        if kind not in ("A", "B") or height % 2 == 0 or width % 2 == 0:
            raise ArgumentError(
                f"expects kind 'A' or 'B' and an odd kernel_size, got {kind!r} and {kernel_size}",
                subject="MaskedConv2d",
            )
        middle = (height // 2, width // 2)
        super().__init__(in_channels, out_channels, (height, width), padding=middle)
        self.kind = kind
        end = (middle[0], middle[1] + (kind == "B"))
        rows = [[float((i, j) < end) for j in range(width)] for i in range(height)]
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


class PixelCNN(PixelLevels):
    """The distribution of each pixel's level, given the pixels before it.

    Args:
        levels: values of a pixel, 2 for black and white.
        channels: half of those between the blocks.
        blocks: residual blocks.

    Shapes: whole numbers (N, 1, H, W), below `levels`, to logits (N, levels, H, W).
    """

    def __init__(self, levels: int = 2, channels: int = 32, blocks: int = 5) -> None:
        super().__init__(
            MaskedConv2d("A", 1, 2 * channels, 7),
            nn.Sequential(*[ResidualBlock(channels) for _ in range(blocks)]),
            channels,
            levels,
        )
