"""LeNet-5, and a relative of it for images of 8 x 8."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.models.registry import register

_SMALLEST = 16  # below this side two 5 x 5 convolutions and two poolings leave nothing


class LeNet(nn.Module):
    """LeNet-5 with ReLU and max pooling: two convolutions, three linear layers.

    Args:
        num_classes, in_channels: of the scores and of the images.
        image_size: the side of the square images, 28 (padded to 32, as the original's were) or more.
        dropout: the probability of dropout behind both hidden linear layers.

    Shapes: (N, in_channels, image_size, image_size) to the scores (N, num_classes).

    Pooling comes before ReLU: both orders give the same result, and this one has a quarter of the work.

    See: LeCun, Bottou, Bengio & Haffner (1998), "Gradient-based learning applied to document recognition".

    >>> sum(p.size for p in LeNet().parameters())
    61706
    """

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, image_size: int = 28, dropout: float = 0.0
    ) -> None:
        if image_size < _SMALLEST:
            raise ArgumentError(
                f"expects image_size of at least {_SMALLEST}, got {image_size}",
                subject="LeNet",
                hint="Use SmallLeNet, or models.create('lenet', image_size=...), which chooses",
            )
        padding = 2 if image_size < 32 else 0
        side = ((image_size + 2 * padding - 4) // 2 - 4) // 2
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * side**2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, image_size, image_size) to the scores (N, num_classes)."""
        x = F.relu(F.max_pool2d(self.conv1(input), 2))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = self.dropout(F.relu(self.fc1(self.flatten(x))))
        x = self.dropout(F.relu(self.fc2(x)))
        return self.fc3(x)


class SmallLeNet(nn.Module):
    """A LeNet for images as small as 8 x 8: 3 x 3 kernels that keep the size, more of them, one pooling.

    Args:
        num_classes, in_channels, image_size: as in `LeNet`.
        dropout: the probability of dropout behind the hidden linear layer.

    Shapes: (N, in_channels, image_size, image_size) to the scores (N, num_classes).

    >>> sum(p.size for p in SmallLeNet().parameters())
    71754
    """

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, image_size: int = 8, dropout: float = 0.5
    ) -> None:
        if image_size < 2:
            raise ArgumentError(f"expects image_size of at least 2, got {image_size}", subject="SmallLeNet")
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * (image_size // 2) ** 2, 128)
        self.fc2 = nn.Linear(128, num_classes)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, image_size, image_size) to the scores (N, num_classes)."""
        x = F.relu(self.conv1(input))
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = self.dropout(F.relu(self.fc1(self.flatten(x))))
        return self.fc2(x)


@register(input_shape=(1, 28, 28))
def lenet(
    num_classes: int = 10, in_channels: int = 1, image_size: int = 28, dropout: float | None = None
) -> nn.Module:
    """`LeNet`, or `SmallLeNet` for images below 16 x 16; each with its own dropout unless one is given.

    >>> type(lenet()).__name__, type(lenet(image_size=8)).__name__
    ('LeNet', 'SmallLeNet')
    """
    kind = LeNet if image_size >= _SMALLEST else SmallLeNet
    options = {} if dropout is None else {"dropout": dropout}
    return kind(num_classes, in_channels, image_size, **options)
