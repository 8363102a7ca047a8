"""ShuffleNetV2: half of the channels pass a block as they are; names and shapes are torchvision's.

See: Ma, Zhang, Zheng & Sun (2018), "ShuffleNet V2: practical guidelines for efficient CNN architecture
design".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.models.blocks import conv_norm
from xpnn.models.fusion import NormReluSequential
from xpnn.models.registry import register


class ShuffleBlock(nn.Module):
    """A branch of 1 x 1, depthwise 3 x 3 and 1 x 1 beside what passes; then the channels are shuffled.

    With stride 1 the branch is given half of the channels and the others pass. With stride 2 both the branch
    and another one, a depthwise and a 1 x 1 convolution, are given all.

    Args:
        in_channels, out_channels: of the input and the output; equal with stride 1.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        width = out_channels // 2
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = NormReluSequential(
                *conv_norm(in_channels, in_channels, 3, stride, groups=in_channels, activation=None),
                *conv_norm(in_channels, width, 1),
            )
        self.branch2 = NormReluSequential(
            *conv_norm(in_channels if stride > 1 else width, width, 1),
            *conv_norm(width, width, 3, stride, groups=width, activation=None),
            *conv_norm(width, width, 1),
        )

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        if self.stride == 1:
            half = input.shape[1] // 2
            passed, seen = input[:, :half], input[:, half:]
        else:
            passed, seen = self.branch1(input), input
        return F.channel_shuffle(xp.concat([passed, self.branch2(seen)], axis=1), 2)


class ShuffleNetV2(nn.Module):
    """A 3 x 3 convolution and max pooling, three stages of blocks, a 1 x 1 convolution, a linear layer.

    Args:
        stages_repeats: the number of blocks of each stage.
        stages_out_channels: channels of the first convolution, of the three stages, and of the last one.
        num_classes, in_channels: of the scores and of the images.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        first, *widths, last = stages_out_channels
        self.conv1 = conv_norm(in_channels, first, 3, 2)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = first
        stages = []
        for count, width in zip(stages_repeats, widths, strict=True):
            blocks = [ShuffleBlock(width, width, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(ShuffleBlock(channels, width, 2), *blocks))
            channels = width
        self.stage2, self.stage3, self.stage4 = stages
        self.conv5 = conv_norm(channels, last, 1)
        self.fc = nn.Linear(last, num_classes)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        x = self.maxpool(self.conv1(input))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean((2, 3)))


@register(input_shape=(3, 224, 224))
def shufflenet_v2_x0_5(num_classes: int = 1000, in_channels: int = 3) -> ShuffleNetV2:
    """ShuffleNetV2 of half the width: 1,366,792 parameters with 1000 classes."""
    return ShuffleNetV2((4, 8, 4), (24, 48, 96, 192, 1024), num_classes, in_channels)


@register(input_shape=(3, 224, 224))
def shufflenet_v2_x1_0(num_classes: int = 1000, in_channels: int = 3) -> ShuffleNetV2:
    """ShuffleNetV2: 2,278,604 parameters with 1000 classes."""
    return ShuffleNetV2((4, 8, 4), (24, 116, 232, 464, 1024), num_classes, in_channels)
