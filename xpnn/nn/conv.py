"""Convolutions of images and their transposes; the gradients stand in `functional.conv`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import tuple_of
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["Conv2d", "ConvTranspose2d"]

Size = int | tuple[int, ...]


class _Conv(Module):
    """What all convolutions share: their arguments, their parameters, and how they print."""

    axes: ClassVar[int] = 2
    transposed: ClassVar[bool] = False
    padding: Any
    output_padding: tuple[int, ...] = ()

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        groups: int,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        kind = type(self).__name__
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or channels % groups:
                raise ArgumentError(
                    f"expects {name} in {groups} equal groups, got {name}={channels}", subject=kind
                )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = tuple_of(kernel_size, self.axes, "kernel_size", kind, minimum=1)
        self.stride = tuple_of(stride, self.axes, "stride", kind, minimum=1)
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, self.axes, "padding", kind)
        self.dilation = tuple_of(dilation, self.axes, "dilation", kind, minimum=1)
        self.groups = groups
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(full((first, second // groups, *self.kernel_size), 0.0, device, dtype))
        self.bias = Parameter(full((out_channels,), 0.0, device, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.fan_in_bias_(self.bias, self.weight)

    def multiplications(self, input: Any, output: Any) -> int:
        """The multiply-accumulate operations of one call: every input or output cell times a kernel."""
        cells = math.prod((input if self.transposed else output).shape)
        return cells * math.prod(self.weight.shape[1:])

    def extra_repr(self) -> str:
        """The arguments; those that are at their defaults are left out."""
        text = f"{self.in_channels}, {self.out_channels}"
        text += f", kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self.axes, (1,) * self.axes
        if self.padding != zeros:
            text += f", padding={self.padding}"
        if self.dilation != ones:
            text += f", dilation={self.dilation}"
        if any(self.output_padding):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else f"{text}, bias=False"


class Conv2d(_Conv):
    """Convolution of images with trained kernels; see `functional.conv2d` for formula and gradient.

    Args:
        in_channels, out_channels: channels of the input, and kernels.
        kernel_size, stride, dilation: a number, or one for rows and one for columns.
        padding: the same; or "valid" (none), or "same" (ceil(H / stride) rows come out).
        groups: cut the channels into that many groups, each with kernels of its own.
        bias: whether a number is added to every output channel.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (out_channels, in_channels / groups, *kernel_size), at the start from U(-k, k) with
            k = (in_channels / groups * size of the kernel)^-1/2.
        bias: (out_channels,), from the same distribution, or None.

    Shapes: (N, in_channels, H, W) to (N, out_channels, OH, OW).

    Raises: ArgumentError if the groups don't divide the channels.

    >>> from xpnn.autograd import xp
    >>> Conv2d(3, 8, kernel_size=3, padding=1)(xp.zeros((2, 3, 5, 5))).shape
    (2, 8, 5, 5)
    """

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device, dtype
        )

    def forward(self, input: Any) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, OH, OW)."""
        return F.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConvTranspose2d(_Conv):
    """Transposed convolution: each input cell stamps its kernel; see `functional.conv_transpose2d`.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding, dilation, groups: those of the convolution that it transposes.
        output_padding: cells added at the bottom and right, to choose among the sizes that the strided
            convolution maps to one.
        bias: whether a number is added to every output channel.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (in_channels, out_channels / groups, *kernel_size), at the start from U(-k, k) with
            k = (out_channels / groups * size of the kernel)^-1/2.
        bias: (out_channels,), from the same distribution, or None.

    Shapes: (N, in_channels, H, W) to (N, out_channels, OH, OW).

    >>> from xpnn.autograd import xp
    >>> ConvTranspose2d(8, 3, kernel_size=2, stride=2)(xp.zeros((2, 8, 5, 5))).shape
    (2, 3, 10, 10)
    """

    transposed = True

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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self.output_padding = tuple_of(output_padding, self.axes, "output_padding", type(self).__name__)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device, dtype
        )

    def forward(self, input: Any, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, OH, OW).

        Args:
            output_size: (OH, OW), or the whole shape, in place of `output_padding`.
        """
        return F.conv_transpose2d(
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
