"""AlexNet, in its form of one column and in the paper's of two, and ZFNet.

See: Krizhevsky, Sutskever & Hinton (2012), "ImageNet classification with deep convolutional neural networks";
Krizhevsky (2014), "One weird trick for parallelizing convolutional neural networks"; Zeiler & Fergus (2014),
"Visualizing and understanding convolutional networks".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.models.blocks import zero_bias
from xpnn.models.registry import register


class AlexNet(nn.Module):
    """Five convolutions and three linear layers.

    Args:
        features: the convolutions, which end in 256 channels.
        num_classes: of the scores.
        dropout: the probability of dropout before both hidden linear layers.

    Shapes: (N, in_channels, H, W) to the scores (N, num_classes). Feature maps that are not 6 x 6, as of
    images of other sizes, are averaged to that.
    """

    def __init__(self, features: nn.Sequential, num_classes: int = 1000, dropout: float = 0.5) -> None:
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores (N, num_classes)."""
        return self.classifier(self.avgpool(self.features(input)).flatten(1))


@register(input_shape=(3, 224, 224))
def alexnet(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> AlexNet:
    """AlexNet in one column, 64 maps first, for 224 x 224, as torchvision has it: 61,100,840 parameters."""
    features = nn.Sequential(
        *(nn.Conv2d(in_channels, 64, 11, 4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    return AlexNet(features, num_classes, dropout)


@register(input_shape=(3, 227, 227))
def alexnet_two_columns(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> AlexNet:
    """The paper's AlexNet, 96 maps first, for 227 x 227: 60,965,224 parameters.

    Its two columns, of one GPU each, are the two groups of three of the convolutions.
    """
    features = nn.Sequential(
        *(nn.Conv2d(in_channels, 96, 11, 4), nn.ReLU(), *_normalised_and_pooled()),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), *_normalised_and_pooled()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    return _as_in_the_paper(AlexNet(features, num_classes, dropout), ones=(4, 10, 12))


@register(input_shape=(3, 224, 224))
def zfnet(num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> AlexNet:
    """ZFNet: AlexNet with smaller kernels and strides first, 7 x 7 and 5 x 5 by 2: 62,357,608 parameters."""
    features = nn.Sequential(
        *(nn.Conv2d(in_channels, 96, 7, 2, padding=1), nn.ReLU(), *_pooled_and_normalised()),
        *(nn.Conv2d(96, 256, 5, 2), nn.ReLU(), *_pooled_and_normalised()),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    return AlexNet(features, num_classes, dropout)


def _normalised_and_pooled() -> tuple[nn.Module, ...]:
    """The paper's local response normalisation: its alpha is that of a sum, PyTorch's that of a mean."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0), nn.MaxPool2d(3, 2)


def _pooled_and_normalised() -> tuple[nn.Module, ...]:
    norm, _ = _normalised_and_pooled()
    return nn.MaxPool2d(3, 2, ceil_mode=True), norm


def _as_in_the_paper(model: AlexNet, ones: tuple[int, ...]) -> AlexNet:
    """Weights from N(0, 0.01^2); biases of 0, but 1 for some convolutions and the hidden linear layers."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, 0.01)
            zero_bias(module)
    for module in (*(model.features[i] for i in ones), model.classifier[1], model.classifier[4]):
        nn.init.ones_(module.bias)
    return model
