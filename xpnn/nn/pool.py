"""Pooling: one number for each window of an image. The gradients stand with `functional.pool`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d"]

Size = int | tuple[int, int]


class MaxPool2d(Module):
    """The largest value of each window; see `functional.max_pool2d`.

    Args:
        kernel_size: cells of a window; a number, or one for rows and one for columns, as are
            stride, padding and dilation.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of minus infinity around the image.
        dilation: cells from one cell of the window to the next.
        return_indices: whether to return (output, indices), with the place of each winner in H * W.
        ceil_mode: whether a last window may hang over the end.

    Shapes: (N, C, H, W) to (N, C, OH, OW).

    >>> from xpnn.autograd import tensor
    >>> MaxPool2d(2)(tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[4.0]]]]
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW), and the indices if they are to be returned."""
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window; see `functional.avg_pool2d`.

    Args:
        kernel_size, stride, padding, ceil_mode: as in `MaxPool2d`; the padding is zeros.
        count_include_pad: whether cells of the padding count.
        divisor_override: divide by this instead of by the number of cells.

    Shapes: (N, C, H, W) to (N, C, OH, OW).

    >>> from xpnn.autograd import tensor
    >>> AvgPool2d(2)(tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[2.5]]]]
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean of each of `output_size` windows that cover the image evenly, whatever its size.

    Args:
        output_size: (OH, OW), or a number for both; None keeps the input's size.

    Shapes: (N, C, H, W) to (N, C, OH, OW).

    >>> from xpnn.autograd import tensor
    >>> AdaptiveAvgPool2d(1)(tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[2.5]]]]
    """

    def __init__(self, output_size: int | tuple[int | None, int | None]) -> None:
        self.output_size = output_size

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """The largest value of each of `output_size` windows that cover the image evenly.

    Args:
        output_size: as in `AdaptiveAvgPool2d`.
        return_indices: whether to return (output, indices), as in `MaxPool2d`.

    Shapes: (N, C, H, W) to (N, C, OH, OW).

    >>> from xpnn.autograd import tensor
    >>> AdaptiveMaxPool2d(1)(tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).tolist()
    [[[[4.0]]]]
    """

    def __init__(
        self, output_size: int | tuple[int | None, int | None], return_indices: bool = False
    ) -> None:
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW), and the indices if they are to be returned."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}"
