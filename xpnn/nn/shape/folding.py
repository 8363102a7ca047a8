"""Windows of images as columns, and back; the formulas stand in `functional.shape.folding`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module

__all__ = ["Fold", "Unfold"]

Size = int | tuple[int, ...]


class Unfold(Module):
    """The cells that each window of an image sees, as a column; see `functional.unfold`.

    Shapes: (N, C, H, W) to (N, C * KH * KW, L), or both without the N.

    >>> from xpnn.autograd import xp
    >>> Unfold(2)(xp.zeros((1, 3, 4, 4))).shape
    (1, 12, 9)
    """

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to (N, C * KH * KW, L)."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Unfold):
    """Add up columns of windows to images; see `functional.fold`.

    Shapes: (N, C * KH * KW, L) to (N, C, *output_size), or both without the N.

    >>> from xpnn.autograd import xp
    >>> Fold(output_size=4, kernel_size=2)(xp.zeros((1, 12, 9))).shape
    (1, 3, 4, 4)
    """

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Any) -> Tensor:
        """(N, C * KH * KW, L) to (N, C, *output_size)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}, {super().extra_repr()}"
