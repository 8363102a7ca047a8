"""Residual networks for ImageNet, with the names and shapes of torchvision: its checkpoints load as they are.

A block adds what it computes to its input. Where it changes the size or the channels, the input passes
through a projection of its own, a 1 x 1 convolution with batch norm (`downsample`). The bottleneck has
its stride in the 3 x 3 convolution, as torchvision does ("ResNet v1.5"). Batch norm, the sum and relu are
computed in one pass over memory (see `norm_relu`).

See: He, Zhang, Ren & Sun (2016), "Deep residual learning for image recognition".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.fusion import norm_relu
from xpnn.models.registry import register


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around which the input is added.

    Args:
        in_channels, channels: of the input, and of both convolutions.
        stride: of the first convolution.
        downsample: what makes the input fit the output; None is the identity.
    """

    expansion = 1  # channels of the output for each of `channels`

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, channels, H / stride, W / stride)."""
        x = norm_relu(self.bn1, self.relu, self.conv1(input))
        shortcut = input if self.downsample is None else self.downsample(input)
        return norm_relu(self.bn2, self.relu, self.conv2(x), shortcut)


class Bottleneck(nn.Module):
    """A 1 x 1, a 3 x 3 and a 1 x 1 convolution around which the input is added; the last widens fourfold.

    Args:
        in_channels, channels: of the input, and of the 3 x 3 convolution.
        stride: of the 3 x 3 convolution.
        downsample: what makes the input fit the output; None is the identity.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, 4 channels, H / stride, W / stride)."""
        x = norm_relu(self.bn1, self.relu, self.conv1(input))
        x = norm_relu(self.bn2, self.relu, self.conv2(x))
        shortcut = input if self.downsample is None else self.downsample(input)
        return norm_relu(self.bn3, self.relu, self.conv3(x), shortcut)


class ResNet(nn.Module):
    """A 7 x 7 convolution and max pooling, four stages of blocks, average pooling, a linear layer.

    Args:
        block: BasicBlock or Bottleneck.
        layers: the number of blocks of each stage.
        num_classes, in_channels: of the scores and of the images.
        zero_init_residual: start each block as the identity, by a last batch norm of weight 0.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: tuple[int, int, int, int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        in_channels: int = 3,
    ) -> None:
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        width = 64 * block.expansion
        self.layer1 = stage(block, 64, 64, layers[0], 1, project)
        self.layer2 = stage(block, width, 128, layers[1], 2, project)
        self.layer3 = stage(block, 2 * width, 256, layers[2], 2, project)
        self.layer4 = stage(block, 4 * width, 512, layers[3], 2, project)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(8 * width, num_classes)
        initialise(self, zero_init_residual)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        x = self.maxpool(norm_relu(self.bn1, self.relu, self.conv1(input)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


@register(input_shape=(3, 224, 224))
def resnet18(num_classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-18: 11,689,512 parameters with 1000 classes."""
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, zero_init_residual, in_channels)


@register(input_shape=(3, 224, 224))
def resnet34(num_classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-34: 21,797,672 parameters with 1000 classes."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, zero_init_residual, in_channels)


@register(input_shape=(3, 224, 224))
def resnet50(num_classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-50: 25,557,032 parameters with 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, zero_init_residual, in_channels)


@register(input_shape=(3, 224, 224))
def resnet101(num_classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-101: 44,549,160 parameters with 1000 classes."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, zero_init_residual, in_channels)


@register(input_shape=(3, 224, 224))
def resnet152(num_classes: int = 1000, in_channels: int = 3, zero_init_residual: bool = False) -> ResNet:
    """ResNet-152: 60,192,808 parameters with 1000 classes."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, zero_init_residual, in_channels)


def stage(block: Any, in_channels: int, channels: int, count: int, stride: int, shortcut: Any) -> Any:
    """`count` blocks, the first of which takes the stride and, where the shape changes, a shortcut.

    Args:
        shortcut: `shortcut(in_channels, out_channels, stride)` makes the module for it.
    """
    out_channels = channels * block.expansion
    fits = stride == 1 and in_channels == out_channels
    first = block(
        in_channels, channels, stride, None if fits else shortcut(in_channels, out_channels, stride)
    )
    return nn.Sequential(first, *[block(out_channels, channels) for _ in range(count - 1)])


def project(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The shortcut by projection: a 1 x 1 convolution with batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
    )


def initialise(model: nn.Module, zero_init_residual: bool) -> None:
    """He's normal weights, by fan-out, for the convolutions; each block as the identity if asked for."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif zero_init_residual and isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif zero_init_residual and isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)
