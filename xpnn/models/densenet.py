"""DenseNet: each layer sees the maps of all layers before it; names and shapes are torchvision's.

See: Huang, Liu, van der Maaten & Weinberger (2017), "Densely connected convolutional networks".
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.models.blocks import zero_bias
from xpnn.models.fusion import NormReluSequential, norm_relu
from xpnn.models.registry import register


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 1 x 1 convolution, the same with a 3 x 3 one: `growth_rate` new maps.

    Args:
        in_channels: of all maps before it.
        growth_rate: new maps.
        bn_size: maps between the convolutions for each of them.
        drop_rate: the probability of dropout behind it.
    """

    def __init__(self, in_channels: int, growth_rate: int, bn_size: int, drop_rate: float) -> None:
        hidden = bn_size * growth_rate
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, growth_rate, H, W)."""
        x = self.conv1(norm_relu(self.norm1, self.relu1, input))
        x = self.conv2(norm_relu(self.norm2, self.relu2, x))
        return F.dropout(x, self.drop_rate, self.training) if self.drop_rate else x


class DenseBlock(nn.Module):
    """Layers of which each is given the maps of all before it, and the block's input."""

    def __init__(
        self, count: int, in_channels: int, growth_rate: int, bn_size: int, drop_rate: float
    ) -> None:
        for i in range(count):
            layer = DenseLayer(in_channels + i * growth_rate, growth_rate, bn_size, drop_rate)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, in_channels + count growth_rate, H, W)."""
        x = input
        for layer in self.children():
            x = xp.concat([x, layer(x)], axis=1)
        return x


class DenseNet(nn.Module):
    """Convolution, dense blocks with a halving of maps and of their sides between them, a linear layer.

    Args:
        growth_rate: new maps of each layer.
        block_config: the number of layers of each block.
        num_init_features: maps of the first convolution.
        bn_size: maps inside a layer, for each new one.
        drop_rate: the probability of dropout behind each layer.
        num_classes, in_channels: of the scores and of the images.
        small_images: a 3 x 3 convolution first and no pooling, as for images of 32 x 32.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes).
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        small_images: bool = False,
    ) -> None:
        channels = num_init_features
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if small_images:
            layers["conv0"] = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        else:
            layers["conv0"] = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
            layers["norm0"] = nn.BatchNorm2d(channels)
            layers["relu0"] = nn.ReLU()
            layers["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
        for i, count in enumerate(block_config, start=1):
            layers[f"denseblock{i}"] = DenseBlock(count, channels, growth_rate, bn_size, drop_rate)
            channels += count * growth_rate
            if i < len(block_config):
                layers[f"transition{i}"] = _transition(channels, channels // 2)
                channels //= 2
        layers[f"norm{len(block_config) + 1}"] = nn.BatchNorm2d(channels)
        self.features = NormReluSequential(layers)
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        zero_bias(self.classifier)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        x = F.relu(self.features(input))
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


def _transition(in_channels: int, out_channels: int) -> nn.Sequential:
    return NormReluSequential(
        OrderedDict(
            norm=nn.BatchNorm2d(in_channels),
            relu=nn.ReLU(),
            conv=nn.Conv2d(in_channels, out_channels, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


@register(input_shape=(3, 224, 224))
def densenet121(num_classes: int = 1000, in_channels: int = 3, **options: Any) -> DenseNet:
    """DenseNet-121: 7,978,856 parameters with 1000 classes; options as in `DenseNet`."""
    return DenseNet(num_classes=num_classes, in_channels=in_channels, **options)


@register(input_shape=(3, 32, 32))
def small_densenet(num_classes: int = 10, in_channels: int = 3, **options: Any) -> DenseNet:
    """DenseNet-BC-100 with 12 new maps a layer, for images of 32 x 32: 769,162 parameters."""
    return DenseNet(
        growth_rate=12,
        block_config=(16, 16, 16),
        num_init_features=24,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=True,
        **options,
    )
