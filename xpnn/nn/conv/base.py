"""What convolutions and transposed convolutions share as modules."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from xpnn.backend import ArgumentError
from xpnn.functional.arguments import tuple_of
from xpnn.functional.windows import PADDING_WORDS
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

Size = int | tuple[int, ...]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class BaseConv(Module):
    """The arguments and parameters of all convolutions, and how they print."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    padding: Any
    weight: Parameter
    bias: Parameter | None

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
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: Size = 0,
    ) -> None:
        kind = type(self).__name__
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if groups < 1 or channels % groups:
                raise ArgumentError(
                    f"expects {name} in {groups} equal groups, got {name}={channels}", subject=kind
                )
        allowed = PADDING_MODES[:1] if self.transposed else PADDING_MODES
        if padding_mode not in allowed:
            raise ArgumentError(
                f"expects padding_mode {' or '.join(map(repr, allowed))}, got {padding_mode!r}", subject=kind
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = tuple_of(kernel_size, self.axes, "kernel_size", kind, minimum=1)
        self.stride = tuple_of(stride, self.axes, "stride", kind, minimum=1)
        named = isinstance(padding, str) and padding in PADDING_WORDS and not self.transposed
        self.padding = padding if named else tuple_of(padding, self.axes, "padding", kind)
        self.dilation = tuple_of(dilation, self.axes, "dilation", kind, minimum=1)
        self.output_padding = tuple_of(output_padding, self.axes, "output_padding", kind)
        self.groups = groups
        self.padding_mode = padding_mode
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
        if self.output_padding != zeros:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"
