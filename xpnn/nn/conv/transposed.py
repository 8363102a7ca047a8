"""Transposed convolutions; formula and gradient stand in `functional.conv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.nn.conv.base import BaseConv, Size

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _ConvTranspose(BaseConv):
    """What transposed convolutions along one, two and three axes share."""

    transposed = True
    function: ClassVar[Callable[..., Any]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
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
            output_padding,
        )

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in_channels, ...) or (in_channels, ...) to the same with out_channels.

        Args:
            output_size: the sizes of the spatial axes, or the whole shape, in place of `output_padding`.
        """
        return type(self).function(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding if output_size is None else self._padding_for(input, output_size),
            self.groups,
            self.dilation,
        )

    def _padding_for(self, input: Any, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that gives an output of that size."""
        size = tuple(input.shape[-self.axes :])
        least = F.conv_transpose_output_size(
            size, self.kernel_size, self.stride, self.padding, dilation=self.dilation
        )
        extra = tuple(wanted - cells for wanted, cells in zip(output_size[-self.axes :], least))
        if len(extra) != self.axes or not all(0 <= e < s for e, s in zip(extra, self.stride)):
            most = tuple(cells + s - 1 for cells, s in zip(least, self.stride))
            raise ArgumentError(
                f"expects an output_size between {least} and {most} for an input of {size}, "
                f"got {tuple(output_size)}",
                subject=type(self).__name__,
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """`ConvTranspose2d` for sequences (N, in_channels, L) or (in_channels, L).

    >>> from xpnn.autograd import xp
    >>> ConvTranspose1d(8, 3, kernel_size=2, stride=2)(xp.zeros((2, 8, 5))).shape
    (2, 3, 10)
    """

    axes = 1
    function = F.conv_transpose1d


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution: each input cell stamps its kernel; see `functional.conv_transpose2d`.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding, dilation, groups: those of the convolution that it transposes.
        output_padding: cells added at the bottom and right, to choose among the sizes that the strided
            convolution maps to one.
        bias: whether a number is added to every output channel.
        padding_mode: "zeros".
        device, dtype: as in `Linear`.

    Attributes:
        weight: (in_channels, out_channels / groups, *kernel_size), at the start from U(-k, k) with
            k = (out_channels / groups * size of the kernel)^-1/2.
        bias: (out_channels,), from the same distribution, or None.

    Shapes: (N, in_channels, H, W) to (N, out_channels, OH, OW), or both without the N.

    >>> from xpnn.autograd import xp
    >>> ConvTranspose2d(8, 3, kernel_size=2, stride=2)(xp.zeros((2, 8, 5, 5))).shape
    (2, 3, 10, 10)
    """

    axes = 2
    function = F.conv_transpose2d


class ConvTranspose3d(_ConvTranspose):
    """`ConvTranspose2d` for volumes (N, in_channels, D, H, W) or (in_channels, D, H, W).

    >>> from xpnn.autograd import xp
    >>> ConvTranspose3d(8, 3, kernel_size=2, stride=2)(xp.zeros((2, 8, 5, 5, 5))).shape
    (2, 3, 10, 10, 10)
    """

    axes = 3
    function = F.conv_transpose3d
