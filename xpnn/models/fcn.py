"""Fully convolutional networks: a classifier whose linear layers have become convolutions, then upsampling.

See: Long, Shelhamer & Darrell (2015), "Fully convolutional networks for semantic segmentation".
"""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.models.vgg import VGG

_SHORTCUTS = {32: (), 16: (3,), 8: (3, 2)}  # stages of VGG whose maps are used, too, by the stride


class FCN(nn.Module):
    """VGG's convolutions, two more in place of its linear layers, and scores that are enlarged.

    With a stride of 32 the scores of the last stage are enlarged at once; with 16 or 8 they are doubled, and
    scores from the maps of one or two stages before are added each time. Maps are enlarged bilinearly.

    Args:
        num_classes: of the scores of each cell.
        stride: 32, 16 or 8: the sides of the image over those of the scores before they are enlarged.
        depth: of VGG, as in `VGG`.
        batch_norm: whether VGG has batch norm.
        hidden: channels of the two convolutions.
        dropout: the probability of a channel's zero behind both.

    Shapes: (N, 3, H, W), H and W of at least 32, to (N, num_classes, H, W).

    Raises: ArgumentError for another stride.
    """

    def __init__(
        self,
        num_classes: int = 21,
        stride: int = 8,
        depth: int = 16,
        batch_norm: bool = False,
        hidden: int = 4096,
        dropout: float = 0.5,
        in_channels: int = 3,
    ) -> None:
        if stride not in _SHORTCUTS:
            raise ArgumentError(f"expects stride 32, 16 or 8, got {stride}", subject="FCN")
        features = [*VGG(depth, batch_norm, 1, in_channels, hidden=0).features]
        ends = [i + 1 for i, layer in enumerate(features) if isinstance(layer, nn.MaxPool2d)]
        self.stages = nn.ModuleList(
            [nn.Sequential(*features[first:last]) for first, last in zip([0, *ends], ends)]
        )
        self.classifier = nn.Sequential(
            *(nn.Conv2d(512, hidden, 7, padding=3), nn.ReLU(), nn.Dropout2d(dropout)),
            *(nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Dropout2d(dropout)),
            nn.Conv2d(hidden, num_classes, 1),
        )
        channels = (64, 128, 256, 512)
        self.shortcuts = nn.ModuleDict(
            {str(stage): nn.Conv2d(channels[stage], num_classes, 1) for stage in _SHORTCUTS[stride]}
        )
        for shortcut in self.shortcuts.values():
            nn.init.zeros_(shortcut.weight)  # it starts as the net without

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to the scores of each cell (N, num_classes, H, W)."""
        maps = []
        x = input
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        scores = self.classifier(x)
        for name, shortcut in self.shortcuts.items():
            before = maps[int(name)]
            scores = _enlarged(scores, before.shape[-2:]) + shortcut(before)
        return _enlarged(scores, input.shape[-2:])


def _enlarged(x: Any, size: Any) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
