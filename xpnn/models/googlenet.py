"""GoogLeNet, with batch norm, and with the names and shapes of torchvision.

See: Szegedy et al. (2015), "Going deeper with convolutions"; Ioffe & Szegedy (2015), "Batch normalization".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.models.fusion import norm_relu
from xpnn.models.registry import register

# Channels in, and of the branches: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 3 x 3; behind the pooling.
_INCEPTIONS = {
    "3a": (192, 64, (96, 128), (16, 32), 32),
    "3b": (256, 128, (128, 192), (32, 96), 64),
    "4a": (480, 192, (96, 208), (16, 48), 64),
    "4b": (512, 160, (112, 224), (24, 64), 64),
    "4c": (512, 128, (128, 256), (24, 64), 64),
    "4d": (512, 112, (144, 288), (32, 64), 64),
    "4e": (528, 256, (160, 320), (32, 128), 128),
    "5a": (832, 256, (160, 320), (32, 128), 128),
    "5b": (832, 384, (192, 384), (48, 128), 128),
}


class GoogLeNetOutputs(NamedTuple):
    """The scores, and in training those of both auxiliary classifiers, (N, num_classes) each."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class BasicConv2d(nn.Module):
    """A convolution, batch norm with an eps of 0.001, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
        )
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)
        self.relu = nn.ReLU()

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        return norm_relu(self.bn, self.relu, self.conv(input))


class Inception(nn.Module):
    """Four branches side by side, their channels one behind the other; 1 x 1 convolutions make them narrow.

    The third branch has a 3 x 3 kernel as in torchvision's weights, where the paper has 5 x 5.

    Args:
        in_channels: of the input.
        ch1x1: of the first branch.
        ch3x3, ch5x5: of the narrow and the wide convolution of the second and the third branch.
        pool_proj: of the convolution behind the pooling.
    """

    def __init__(
        self,
        in_channels: int,
        ch1x1: int,
        ch3x3: tuple[int, int],
        ch5x5: tuple[int, int],
        pool_proj: int,
    ) -> None:
        self.branch1 = BasicConv2d(in_channels, ch1x1, 1)
        self.branch2 = nn.Sequential(BasicConv2d(in_channels, ch3x3[0], 1), BasicConv2d(*ch3x3, 3))
        self.branch3 = nn.Sequential(BasicConv2d(in_channels, ch5x5[0], 1), BasicConv2d(*ch5x5, 3))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, 1, padding=1, ceil_mode=True), BasicConv2d(in_channels, pool_proj, 1)
        )

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, channels of all branches, H, W)."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return xp.concat([branch(input) for branch in branches], axis=1)


class AuxiliaryClassifier(nn.Module):
    """Scores from feature maps in the middle of the network, which bring the gradient there.

    Args:
        in_channels, num_classes: of the maps and of the scores.
        dropout: the probability of dropout before the last layer.
    """

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        self.conv = BasicConv2d(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        x = self.conv(F.adaptive_avg_pool2d(input, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Two plain layers, nine inception modules, average pooling, a linear layer.

    Args:
        num_classes, in_channels: of the scores and of the images.
        aux_logits: whether there are the two auxiliary classifiers. In the paper their losses count 0.3 each.
        dropout, dropout_aux: the probability of dropout before the last linear layers.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes); in training with auxiliary classifiers to
    `GoogLeNetOutputs`.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
        in_channels: int = 3,
    ) -> None:
        self.aux_logits = aux_logits
        self.conv1 = BasicConv2d(in_channels, 64, 7, 2)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = Inception(*_INCEPTIONS["3a"])
        self.inception3b = Inception(*_INCEPTIONS["3b"])
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception4a = Inception(*_INCEPTIONS["4a"])
        self.inception4b = Inception(*_INCEPTIONS["4b"])
        self.inception4c = Inception(*_INCEPTIONS["4c"])
        self.inception4d = Inception(*_INCEPTIONS["4d"])
        self.inception4e = Inception(*_INCEPTIONS["4e"])
        self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.inception5a = Inception(*_INCEPTIONS["5a"])
        self.inception5b = Inception(*_INCEPTIONS["5b"])
        self.aux1 = AuxiliaryClassifier(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = AuxiliaryClassifier(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, 0.0, 0.01)

    def forward(self, input: Any) -> Any:
        """(N, in_channels, H, W) to the scores (N, num_classes), or to `GoogLeNetOutputs`."""
        x = self.maxpool1(self.conv1(input))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        at_4a = self.inception4a(x)
        at_4d = self.inception4d(self.inception4c(self.inception4b(at_4a)))
        x = self.maxpool4(self.inception4e(at_4d))
        x = self.inception5b(self.inception5a(x))
        logits = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        if self.aux1 is None or self.aux2 is None or not self.training:
            return logits
        return GoogLeNetOutputs(logits, self.aux2(at_4d), self.aux1(at_4a))


@register(input_shape=(3, 224, 224))
def googlenet(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> GoogLeNet:
    """GoogLeNet: 13,004,888 parameters with 1000 classes, 6,624,904 of them but for auxiliary classifiers."""
    return GoogLeNet(num_classes, in_channels=in_channels, **options)
