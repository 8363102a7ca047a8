"""ConvNeXt: a residual network in the manner of transformers; names and shapes are torchvision's.

See: Liu, Mao, Wu, Feichtenhofer, Darrell & Xie (2022), "A ConvNet for the 2020s".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.blocks import zero_bias
from xpnn.models.registry import register
from xpnn.nn.parameter import full

_EPS = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell of an image."""

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to the same."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    """The axes in another order."""

    def __init__(self, dims: Sequence[int]) -> None:
        self.dims = tuple(dims)

    def forward(self, input: Any) -> Tensor:
        """The input with its axes in the order `dims`."""
        return input.permute(self.dims)


class ConvNeXtBlock(nn.Module):
    """A depthwise 7 x 7 convolution, layer norm, two linear layers with GELU; scaled, and the input added.

    Args:
        channels: of the input and the output.
        layer_scale: what the factors of the channels start at.
        drop_path: the probability that what is computed is left out, for a sample in training.
    """

    def __init__(self, channels: int, layer_scale: float, drop_path: float) -> None:
        self.layer_scale = nn.Parameter(full((channels, 1, 1), layer_scale))
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Permute((0, 2, 3, 1)),
            nn.LayerNorm(channels, eps=_EPS),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            Permute((0, 3, 1, 2)),
        )
        self.stochastic_depth = nn.StochasticDepth(drop_path, "row")

    def forward(self, input: Any) -> Tensor:
        """(N, channels, H, W) to the same."""
        return input + self.stochastic_depth(self.layer_scale * self.block(input))


class ConvNeXt(nn.Module):
    """Four stages of blocks at quarters, eighths ... of the image's sides; average pooling, a linear layer.

    Args:
        depths, widths: the number of blocks and the channels of each stage.
        num_classes, in_channels: of the scores and of the images.
        stochastic_depth_prob: the probability of leaving a block out grows from 0 to this.
        layer_scale: what the factors behind each block start at.
        patch_size: the kernel and the stride of the first convolution.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        num_classes: int = 1000,
        stochastic_depth_prob: float = 0.1,
        layer_scale: float = 1e-6,
        in_channels: int = 3,
        patch_size: int = 4,
    ) -> None:
        last, done = max(sum(depths) - 1, 1), 0
        layers: list[nn.Module] = []
        channels = in_channels
        for depth, width in zip(depths, widths, strict=True):
            if not layers:
                first = nn.Conv2d(channels, width, patch_size, patch_size)
                layers.append(nn.Sequential(first, ChannelNorm(width, eps=_EPS)))
            else:
                smaller = nn.Conv2d(channels, width, 2, 2)
                layers.append(nn.Sequential(ChannelNorm(channels, eps=_EPS), smaller))
            blocks = [
                ConvNeXtBlock(width, layer_scale, stochastic_depth_prob * (done + i) / last)
                for i in range(depth)
            ]
            layers.append(nn.Sequential(*blocks))
            channels, done = width, done + depth
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            ChannelNorm(channels, eps=_EPS), nn.Flatten(), nn.Linear(channels, num_classes)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                zero_bias(module)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(input)))


@register(input_shape=(3, 224, 224))
def convnext_tiny(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> ConvNeXt:
    """ConvNeXt-T: 28,589,128 parameters with 1000 classes; options as in `ConvNeXt`."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768), num_classes, in_channels=in_channels, **options)
