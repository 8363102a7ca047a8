"""Resampling as modules; see `functional.interpolate`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module

__all__ = ["Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]

Size = int | tuple[int, ...]
Factor = float | tuple[float, ...]


class Upsample(Module):
    """Resample sequences, images or volumes to another size.

    Args:
        size: cells of the output along each axis of space, a number for all; or
        scale_factor: how many times larger it is.
        mode, align_corners, recompute_scale_factor: as of `functional.interpolate`.

    Shapes: (N, C, L), (N, C, H, W) or (N, C, D, H, W), to as many axes.

    >>> from xpnn.autograd import xp
    >>> Upsample(scale_factor=2, mode="bilinear")(xp.zeros((1, 1, 2, 3))).shape
    (1, 1, 4, 6)
    """

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: Factor | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self.size = size
        self.scale_factor: float | tuple[float, ...] | None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Any) -> Tensor:
        """The same values on another grid."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        """The size, or the factor, and the mode."""
        if self.scale_factor is not None:
            return f"scale_factor={self.scale_factor!r}, mode={self.mode!r}"
        return f"size={self.size!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Resample images to the nearest cell.

    Args: as of `Upsample`.

    >>> from xpnn.autograd import xp
    >>> UpsamplingNearest2d(scale_factor=2)(xp.zeros((1, 1, 2, 3))).shape
    (1, 1, 4, 6)
    """

    def __init__(self, size: Size | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Resample images bilinearly, with aligned corners.

    Args: as of `Upsample`.

    >>> from xpnn.autograd import xp
    >>> UpsamplingBilinear2d(size=(3, 5))(xp.zeros((1, 1, 2, 3))).shape
    (1, 1, 3, 5)
    """

    def __init__(self, size: Size | None = None, scale_factor: Factor | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)
