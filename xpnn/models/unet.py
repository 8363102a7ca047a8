"""U-Net: down to small maps and up again, with the maps of each size passed across.

See: Ronneberger, Fischer & Brox (2015), "U-Net: convolutional networks for biomedical image segmentation".
"""

from __future__ import annotations

import itertools
from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor, xp
from xpnn.backend import ArgumentError, ShapeError
from xpnn.models.fusion import NormReluSequential


class DoubleConv(NormReluSequential):
    """Two 3 x 3 convolutions that keep the size, each with ReLU, and with batch norm if asked for."""

    def __init__(self, in_channels: int, out_channels: int, batch_norm: bool = True) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(out_channels), nn.ReLU()] if batch_norm else [nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    """Pairs of convolutions with max pooling between them, then with transposed convolutions between them.

    Convolutions keep the size, where the paper's lose a border, so that the scores are as large as the image.

    Args:
        in_channels, num_classes: of the images and of the scores of each cell.
        channels: of the first pair; the next ones have twice as many each.
        depth: how often the size is halved.
        batch_norm: whether there is batch norm behind each convolution, which the paper has not.

    Shapes: (N, in_channels, H, W) to (N, num_classes, H, W); H and W are multiples of 2^depth.

    Raises: ArgumentError for a depth below 1; ShapeError for other sizes.

    >>> sum(p.size for p in UNet(1, 2, batch_norm=False).parameters())
    31030658
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 2,
        channels: int = 64,
        depth: int = 4,
        batch_norm: bool = True,
    ) -> None:
        if depth < 1:
            raise ArgumentError(f"expects depth of at least 1, got {depth}", subject="UNet")
        widths = [channels * 2**i for i in range(depth + 1)]
        self.depth = depth
        self.pool = nn.MaxPool2d(2)
        pairs = zip([in_channels, *widths], widths)
        self.down = nn.ModuleList([DoubleConv(*pair, batch_norm) for pair in pairs])
        steps = [(wide, narrow) for narrow, wide in itertools.pairwise(widths)][::-1]
        self.upsample = nn.ModuleList([nn.ConvTranspose2d(wide, narrow, 2, 2) for wide, narrow in steps])
        self.up = nn.ModuleList([DoubleConv(wide, narrow, batch_norm) for wide, narrow in steps])
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores of each cell (N, num_classes, H, W)."""
        if any(size % 2**self.depth for size in input.shape[-2:]):
            raise ShapeError(
                f"expects sides that are multiples of {2**self.depth}, got {tuple(input.shape)}",
                subject="UNet",
                hint="Pad the images, or choose another depth",
            )
        passed: list[Any] = []
        x = input
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else self.pool(x))
            passed.append(x)
        passed.pop()
        for upsample, block in zip(self.upsample, self.up):
            x = block(xp.concat([passed.pop(), upsample(x)], axis=1))
        return self.head(x)
