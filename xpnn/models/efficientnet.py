"""EfficientNet-B0: inverted residual blocks with squeeze-and-excitation; names and shapes are torchvision's.

See: Tan & Le (2019), "EfficientNet: rethinking model scaling for convolutional neural networks".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.blocks import SqueezeExcitation, conv_norm, initialise_by_fan_out
from xpnn.models.registry import register

# Of each stage: how much wider a block is inside, the kernel, the first one's stride, channels, blocks.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class MBConv(nn.Module):
    """1 x 1, depthwise, squeeze-and-excitation, and 1 x 1 without an activation; the input is added.

    Args:
        in_channels, out_channels: of the input and the output.
        kernel_size, stride: of the depthwise convolution.
        expand_ratio: channels inside for each one of the input.
        drop_path: the probability that what is computed is left out, for a sample in training.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expand_ratio: int,
        drop_path: float,
    ) -> None:
        hidden = in_channels * expand_ratio
        widen = [] if expand_ratio == 1 else [conv_norm(in_channels, hidden, 1, activation=nn.SiLU)]
        self.block = nn.Sequential(
            *widen,
            conv_norm(hidden, hidden, kernel_size, stride, groups=hidden, activation=nn.SiLU),
            SqueezeExcitation(hidden, max(1, in_channels // 4), nn.SiLU),
            conv_norm(hidden, out_channels, 1, activation=None),
        )
        self.stochastic_depth = nn.StochasticDepth(drop_path, "row")
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = self.block(input)
        return input + self.stochastic_depth(x) if self.use_res_connect else x


class EfficientNet(nn.Module):
    """A 3 x 3 convolution, seven stages of blocks, a 1 x 1 convolution, average pooling, a linear layer.

    Args:
        num_classes, in_channels: of the scores and of the images.
        dropout: the probability of dropout before the linear layer.
        stochastic_depth_prob: the probability of leaving a block out grows from 0 to this.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        num_classes: int = 1000,
        dropout: float = 0.2,
        stochastic_depth_prob: float = 0.2,
        in_channels: int = 3,
    ) -> None:
        channels, done = 32, 0
        blocks = sum(stage[-1] for stage in _STAGES)
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, 2, activation=nn.SiLU)]
        for expand_ratio, kernel_size, stride, width, count in _STAGES:
            stage: list[nn.Module] = []
            for i in range(count):
                drop_path = stochastic_depth_prob * done / blocks
                step = stride if i == 0 else 1
                stage.append(MBConv(channels, width, kernel_size, step, expand_ratio, drop_path))
                channels, done = width, done + 1
            layers.append(nn.Sequential(*stage))
        layers.append(conv_norm(channels, 4 * channels, 1, activation=nn.SiLU))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))
        initialise_by_fan_out(self, uniform=1.0)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


@register(input_shape=(3, 224, 224))
def efficientnet_b0(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters with 1000 classes; options as in `EfficientNet`."""
    return EfficientNet(num_classes, in_channels=in_channels, **options)
