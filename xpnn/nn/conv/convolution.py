"""Convolutions with trained kernels; formula and gradient stand in `functional.conv`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.windows import padding_pairs
from xpnn.nn.conv.base import BaseConv, Size

__all__ = ["Conv1d", "Conv2d", "Conv3d"]


class _Conv(BaseConv):
    """What convolutions along one, two and three axes share."""

    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, ...) or (in_channels, ...) to the same with out_channels."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = self._padded(input), 0
        return type(self).function(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def _padded(self, input: Any) -> Any:
        """The input with cells of its own around it."""
        size = input.shape[-self.axes :]
        kind = type(self).__name__
        pairs = padding_pairs(self.padding, size, self.kernel_size, self.stride, self.dilation, kind)
        return F.pad(input, [cells for pair in reversed(pairs) for cells in pair], self.padding_mode)


class Conv1d(_Conv):
    """`Conv2d` for sequences (N, in_channels, L) or (in_channels, L).

    >>> from xpnn.autograd import xp
    >>> Conv1d(3, 8, kernel_size=3, padding=1)(xp.zeros((2, 3, 5))).shape
    (2, 8, 5)
    """

    axes = 1
    function = F.conv1d


class Conv2d(_Conv):
    """Convolution of images with trained kernels; see `functional.conv2d` for formula and gradient.

    Args:
        in_channels, out_channels: channels of the input, and kernels.
        kernel_size, stride, dilation: a number, or one for rows and one for columns.
        padding: the same; or "valid" (none), or "same" (ceil(H / stride) rows come out).
        groups: cut the channels into that many groups, each with kernels of its own.
        bias: whether a number is added to every output channel.
        padding_mode: what the cells of the padding hold: "zeros"; "reflect", "replicate" or "circular" are
            modes of `functional.pad`.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), at the start from U(-k, k) with
            k = (in_channels / groups * size of the kernel)^-1/2.
        bias: (out_channels,), from the same distribution, or None.

    Shapes: (N, in_channels, H, W) to (N, out_channels, OH, OW), or both without the N.

    Raises: ArgumentError if the groups don't divide the channels.

    >>> from xpnn.autograd import xp
    >>> Conv2d(3, 8, kernel_size=3, padding=1)(xp.zeros((2, 3, 5, 5))).shape
    (2, 8, 5, 5)
    """

    axes = 2
    function = F.conv2d


class Conv3d(_Conv):
    """`Conv2d` for volumes (N, in_channels, D, H, W) or (in_channels, D, H, W).

    >>> from xpnn.autograd import xp
    >>> Conv3d(3, 8, kernel_size=3, padding=1)(xp.zeros((2, 3, 5, 5, 5))).shape
    (2, 8, 5, 5, 5)
    """

    axes = 3
    function = F.conv3d
