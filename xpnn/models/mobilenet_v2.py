"""MobileNetV2: inverted residual blocks, with the names and shapes of torchvision.

See: Sandler, Howard, Zhu, Zhmoginov & Chen (2018), "MobileNetV2: inverted residuals and linear bottlenecks".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.blocks import conv_norm, initialise_by_fan_out, rounded_channels
from xpnn.models.registry import register

# Of each stage: how much wider a block is inside, its channels, the number of blocks.
_STAGES = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
)
# Of the first convolution, and of the first block of each stage.
_STRIDES = (2, 1, 2, 2, 2, 1, 2, 1)


class InvertedResidual(nn.Module):
    """Wide inside and narrow outside: 1 x 1, a depthwise 3 x 3, and 1 x 1 without an activation.

    The input is added where the shape allows it.

    Args:
        in_channels, out_channels: of the input and the output.
        stride: of the depthwise convolution.
        expand_ratio: channels inside for each one of the input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        hidden = in_channels * expand_ratio
        widen = [] if expand_ratio == 1 else [conv_norm(in_channels, hidden, 1, activation=nn.ReLU6)]
        self.conv = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = self.conv(input)
        return input + x if self.use_res_connect else x


class MobileNetV2(nn.Module):
    """A 3 x 3 convolution, seven stages of blocks, a 1 x 1 convolution, average pooling, a linear layer.

    Args:
        num_classes, in_channels: of the scores and of the images.
        width_mult: all channels times this, in multiples of 8.
        dropout: the probability of dropout before the linear layer.
        strides: of the first convolution and of the seven stages; smaller ones suit small images.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        in_channels: int = 3,
        strides: tuple[int, ...] = _STRIDES,
    ) -> None:
        channels = rounded_channels(32 * width_mult)
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, strides[0], activation=nn.ReLU6)]
        for (expand_ratio, width, count), stride in zip(_STAGES, strides[1:], strict=True):
            for i in range(count):
                wide = rounded_channels(width * width_mult)
                layers.append(InvertedResidual(channels, wide, stride if i == 0 else 1, expand_ratio))
                channels = wide
        last = rounded_channels(1280 * max(1.0, width_mult))
        layers.append(conv_norm(channels, last, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        initialise_by_fan_out(self)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


@register(input_shape=(3, 224, 224))
def mobilenet_v2(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> MobileNetV2:
    """MobileNetV2: 3,504,872 parameters with 1000 classes; options as in `MobileNetV2`."""
    return MobileNetV2(num_classes, in_channels=in_channels, **options)


@register(input_shape=(3, 32, 32))
def small_mobilenet_v2(num_classes: int = 10, in_channels: int = 3, **options: Any) -> MobileNetV2:
    """MobileNetV2 for images of 32 x 32, the first two strides left out: 2,236,682 parameters."""
    return MobileNetV2(num_classes, in_channels=in_channels, strides=(1, 1, 1, 2, 2, 1, 2, 1), **options)
