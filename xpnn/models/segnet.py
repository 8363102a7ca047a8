"""SegNet: maps are enlarged by the places where the maxima were found on the way down.

See: Badrinarayanan, Kendall & Cipolla (2017), "SegNet: a deep convolutional encoder-decoder architecture for
image segmentation".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.blocks import conv_norm


class SegNet(nn.Module):
    """Stages of convolutions with max pooling, and their mirror image with unpooling.

    Args:
        num_classes, in_channels: of the scores of each cell and of the images.
        channels, counts: of each stage, its channels and convolutions: those of VGG-16 unless given.

    Shapes: (N, in_channels, H, W) to (N, num_classes, H, W); each stage halves the sides, rounded down.
    """

    def __init__(
        self,
        num_classes: int = 21,
        in_channels: int = 3,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        counts: Sequence[int] = (2, 2, 3, 3, 3),
    ) -> None:
        self.pool = nn.MaxPool2d(2, 2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2, 2)
        before = [in_channels, *channels]
        stages = [*zip(before, channels, counts, strict=False)]
        self.encoder = nn.ModuleList(
            [_convolutions([narrow] + [wide] * count) for narrow, wide, count in stages]
        )
        # the mirror image of the first convolution is the head, without batch norm and ReLU
        self.decoder = nn.ModuleList(
            [
                _convolutions([wide] * count + ([narrow] if i else []))
                for i, (narrow, wide, count) in reversed([*enumerate(stages)])
            ]
        )
        self.head = nn.Conv2d(channels[0], num_classes, 3, padding=1)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores of each cell (N, num_classes, H, W)."""
        places = []
        x = input
        for stage in self.encoder:
            x = stage(x)
            size = x.shape[-2:]
            x, indices = self.pool(x)
            places.append((indices, size))
        for stage in self.decoder:
            indices, size = places.pop()
            x = stage(self.unpool(x, indices, output_size=size))
        return self.head(x)


def _convolutions(channels: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*[conv_norm(a, b) for a, b in itertools.pairwise(channels)])
