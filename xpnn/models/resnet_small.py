"""Residual networks for images of 32 x 32: ResNet-20 to ResNet-110.

See: He, Zhang, Ren & Sun (2016), "Deep residual learning for image recognition", section 4.2.
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, device_of, namespace
from xpnn.models.fusion import norm_relu
from xpnn.models.non_local import NonLocalBlock
from xpnn.models.registry import register
from xpnn.models.resnet import BasicBlock, initialise, project, stage


class PaddedShortcut(nn.Module):
    """The shortcut without parameters ("option A"): every `stride`-th cell, and channels of zeros behind.

    >>> from xpnn.autograd import xp
    >>> PaddedShortcut(16, 32, stride=2)(xp.ones((1, 16, 8, 8))).shape
    (1, 32, 4, 4)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        self.padding = out_channels - in_channels
        self.stride = stride

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        x = input[:, :, :: self.stride, :: self.stride]
        batch, _, rows, columns = x.shape
        xp = namespace(x)
        zeros = xp.zeros((batch, self.padding, rows, columns), dtype=x.dtype, device=device_of(x))
        return xp.concat([x, zeros], axis=1)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, stride={self.stride}"


_SHORTCUTS = {"padding": PaddedShortcut, "projection": project}


class SmallResNet(nn.Module):
    """A 3 x 3 convolution, three stages of 16, 32 and 64 channels, average pooling, a linear layer.

    Args:
        depth: layers with weights, 6 n + 2: n blocks of two convolutions in each stage.
        num_classes, in_channels: of the scores and of the images.
        shortcut: "padding" is the paper's option A, without parameters; "projection" its option B.
        zero_init_residual: start each block as the identity.
        dropout: the probability of dropout before the linear layer.
        non_local: the kind of a `NonLocalBlock` behind the second stage; None puts none there. It starts as
            the identity, so that a trained net may get one.

    Shapes: (N, in_channels, H, W), 32 x 32 in the paper, to the scores (N, num_classes).

    Raises: ArgumentError for a depth that is not 6 n + 2, or an unknown shortcut.

    >>> sum(p.size for p in SmallResNet(20).parameters())
    269722
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        in_channels: int = 3,
        shortcut: str = "padding",
        zero_init_residual: bool = False,
        dropout: float = 0.0,
        non_local: str | None = None,
    ) -> None:
        count, rest = divmod(depth - 2, 6)
        if count < 1 or rest:
            raise ArgumentError(
                f"expects depth 6 n + 2, such as 20 or 32, got {depth}", subject="SmallResNet"
            )
        if shortcut not in _SHORTCUTS:
            raise ArgumentError(
                f"expects shortcut 'padding' or 'projection', got {shortcut!r}", subject="SmallResNet"
            )
        fit = _SHORTCUTS[shortcut]
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = stage(BasicBlock, 16, 16, count, 1, fit)
        self.layer2 = stage(BasicBlock, 16, 32, count, 2, fit)
        self.layer3 = stage(BasicBlock, 32, 64, count, 2, fit)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(64, num_classes)
        initialise(self, zero_init_residual)
        self.non_local = None if non_local is None else NonLocalBlock(32, kind=non_local)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        x = norm_relu(self.bn1, self.relu, self.conv1(input))
        x = self.layer2(self.layer1(x))
        if self.non_local is not None:
            x = self.non_local(x)
        x = self.layer3(x)
        return self.fc(self.dropout(self.flatten(self.avgpool(x))))


@register(input_shape=(3, 32, 32))
def resnet20(num_classes: int = 10, in_channels: int = 3, **options: Any) -> SmallResNet:
    """ResNet-20: 0.27 million parameters; options as in `SmallResNet`, also for the deeper ones."""
    return SmallResNet(20, num_classes, in_channels, **options)


@register(input_shape=(3, 32, 32))
def resnet32(num_classes: int = 10, in_channels: int = 3, **options: Any) -> SmallResNet:
    """ResNet-32: 0.46 million parameters."""
    return SmallResNet(32, num_classes, in_channels, **options)


@register(input_shape=(3, 32, 32))
def resnet44(num_classes: int = 10, in_channels: int = 3, **options: Any) -> SmallResNet:
    """ResNet-44: 0.66 million parameters."""
    return SmallResNet(44, num_classes, in_channels, **options)


@register(input_shape=(3, 32, 32))
def resnet56(num_classes: int = 10, in_channels: int = 3, **options: Any) -> SmallResNet:
    """ResNet-56: 0.85 million parameters."""
    return SmallResNet(56, num_classes, in_channels, **options)


@register(input_shape=(3, 32, 32))
def resnet110(num_classes: int = 10, in_channels: int = 3, **options: Any) -> SmallResNet:
    """ResNet-110: 1.7 million parameters."""
    return SmallResNet(110, num_classes, in_channels, **options)
