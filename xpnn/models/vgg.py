"""VGG: nothing but 3 x 3 convolutions, with the names and shapes of torchvision.

See: Simonyan & Zisserman (2015), "Very deep convolutional networks for large-scale image recognition".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.models.blocks import initialise_by_fan_out
from xpnn.models.fusion import NormReluSequential
from xpnn.models.registry import register

_CHANNELS = (64, 128, 256, 512, 512)  # of the five stages

# The convolutions of each stage, by the number of layers with weights.
_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """Five stages of convolutions, each with max pooling behind it, and linear layers.

    Args:
        depth: layers with weights: 11, 13, 16 or 19.
        batch_norm: whether there is batch norm behind each convolution.
        num_classes, in_channels: of the scores and of the images.
        dropout: the probability of dropout behind both hidden linear layers.
        hidden: features of these; 0 for one linear layer on the averaged maps, as it is usual for images of
            32 x 32.

    Shapes: (N, in_channels, H, W), 32 x 32 or larger, to the scores (N, num_classes).

    Raises: ArgumentError for another depth.
    """

    def __init__(
        self,
        depth: int,
        batch_norm: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.5,
        hidden: int = 4096,
    ) -> None:
        if depth not in _STAGES:
            raise ArgumentError(f"expects depth {', '.join(map(str, _STAGES))}, got {depth}", subject="VGG")
        layers: list[nn.Module] = []
        for count, channels in zip(_STAGES[depth], _CHANNELS):
            for _ in range(count):
                layers.append(nn.Conv2d(in_channels, channels, 3, padding=1))
                layers += [nn.BatchNorm2d(channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
                in_channels = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = NormReluSequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7 if hidden else 1)
        self.classifier = (
            nn.Sequential(
                *(nn.Linear(512 * 7 * 7, hidden), nn.ReLU(), nn.Dropout(dropout)),
                *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
                nn.Linear(hidden, num_classes),
            )
            if hidden
            else nn.Sequential(nn.Linear(512, num_classes))
        )
        initialise_by_fan_out(self)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


@register(input_shape=(3, 224, 224))
def vgg11(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-11: 132,863,336 parameters with 1000 classes; options as in `VGG`, also for the deeper ones."""
    return VGG(11, False, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg13(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-13: 133,047,848 parameters with 1000 classes."""
    return VGG(13, False, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg16(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-16: 138,357,544 parameters with 1000 classes."""
    return VGG(16, False, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg19(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-19: 143,667,240 parameters with 1000 classes."""
    return VGG(19, False, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-11 with batch norm: 132,868,840 parameters with 1000 classes."""
    return VGG(11, True, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-13 with batch norm: 133,053,736 parameters with 1000 classes."""
    return VGG(13, True, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-16 with batch norm: 138,365,992 parameters with 1000 classes."""
    return VGG(16, True, num_classes, in_channels, **options)


@register(input_shape=(3, 224, 224))
def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> VGG:
    """VGG-19 with batch norm: 143,678,248 parameters with 1000 classes."""
    return VGG(19, True, num_classes, in_channels, **options)


@register(input_shape=(3, 32, 32))
def small_vgg(num_classes: int = 10, in_channels: int = 3, depth: int = 16) -> VGG:
    """VGG with batch norm for images of 32 x 32, one linear layer behind it: 14,728,266 parameters."""
    return VGG(depth, True, num_classes, in_channels, hidden=0)
