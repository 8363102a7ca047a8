"""Pooling: one number for each window. The gradients stand with `functional.pool`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import tuple_of
from xpnn.nn.module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BedOfNails",
    "FractionalMaxPool2d",
    "FractionalMaxPool3d",
    "LPPool1d",
    "LPPool2d",
    "LPPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

Size = int | tuple[int, ...]
OutputSize = int | tuple[int | None, ...] | None


# ---- maximum ----


class _MaxPool(Module):
    """The base of max pooling."""

    _pool: Any

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

    def forward(self, input: Any) -> Any:
        """The maxima, and the indices if they are to be returned."""
        return self._pool(
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


class MaxPool1d(_MaxPool):
    """The largest value of each window of a sequence; see `functional.max_pool1d`.

    Args: as of `MaxPool2d`.

    Shapes: (N, C, L) to (N, C, OL); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> MaxPool1d(2)(xp.ones((1, 1, 4))).shape
    (1, 1, 2)
    """

    _pool = staticmethod(F.max_pool1d)


class MaxPool2d(_MaxPool):
    """The largest value of each window of an image; see `functional.max_pool2d`.

    Args:
        kernel_size: cells of a window; a number, or one for each axis of space, as are stride, padding and
            dilation.
        stride: cells from one window to the next; None is kernel_size.
        padding: cells of minus infinity around the input.
        dilation: cells from one cell of the window to the next.
        return_indices: whether to return (output, indices), with the place of each winner in its channel.
        ceil_mode: whether a last window may hang over the end.

    Shapes: (N, C, H, W) to (N, C, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> MaxPool2d(2)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 2, 2)
    """

    _pool = staticmethod(F.max_pool2d)


class MaxPool3d(_MaxPool):
    """The largest value of each window of a volume; see `functional.max_pool3d`.

    Args: as of `MaxPool2d`.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> MaxPool3d(2)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 2, 2, 2)
    """

    _pool = staticmethod(F.max_pool3d)


class BedOfNails(Module):
    """Make a block of cells of each cell, zeros but for its first corner; see `functional.bed_of_nails`.

    Args:
        scale_factor: cells of a block along each axis of space, or along all of them.

    Shapes: (N, C, L), (N, C, H, W) or (N, C, D, H, W) to the same with axes of space times scale_factor.

    >>> from xpnn.autograd import xp
    >>> BedOfNails(2)(xp.ones((1, 1, 1, 2))).tolist()
    [[[[1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]]
    """

    def __init__(self, scale_factor: Size) -> None:
        self.scale_factor = scale_factor

    def forward(self, input: Any) -> Tensor:
        """The values with zeros between them."""
        return F.bed_of_nails(input, self.scale_factor)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"scale_factor={self.scale_factor}"


class _MaxUnpool(Module):
    """The base of max unpooling."""

    _axes: int
    _unpool: Any

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        name = type(self).__name__
        self.kernel_size = tuple_of(kernel_size, self._axes, "kernel_size", name, minimum=1)
        self.stride = tuple_of(
            kernel_size if stride is None else stride, self._axes, "stride", name, minimum=1
        )
        self.padding = tuple_of(padding, self._axes, "padding", name)

    def forward(self, input: Any, indices: Any, output_size: Sequence[int] | None = None) -> Tensor:
        """What was pooled, with zeros for all but the maxima."""
        return self._unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Put pooled values of a sequence back where they were found; see `functional.max_unpool1d`.

    Args: as of `MaxUnpool2d`.

    Shapes: (N, C, L), input and indices, to (N, C, OL).

    >>> from xpnn.autograd import xp
    >>> y, indices = MaxPool1d(2, return_indices=True)(xp.ones((1, 1, 4)))
    >>> MaxUnpool1d(2)(y, indices).shape
    (1, 1, 4)
    """

    _axes = 1
    _unpool = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Put pooled values of an image back where they were found; see `functional.max_unpool2d`.

    Args:
        kernel_size, stride, padding: of the pooling.

    Shapes: (N, C, H, W), input and indices, to (N, C, OH, OW).

    >>> from xpnn.autograd import xp
    >>> y, indices = MaxPool2d(2, return_indices=True)(xp.ones((1, 1, 4, 4)))
    >>> MaxUnpool2d(2)(y, indices).shape
    (1, 1, 4, 4)
    """

    _axes = 2
    _unpool = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Put pooled values of a volume back where they were found; see `functional.max_unpool3d`.

    Args: as of `MaxUnpool2d`.

    Shapes: (N, C, D, H, W), input and indices, to (N, C, OD, OH, OW).

    >>> from xpnn.autograd import xp
    >>> y, indices = MaxPool3d(2, return_indices=True)(xp.ones((1, 1, 4, 4, 4)))
    >>> MaxUnpool3d(2)(y, indices).shape
    (1, 1, 4, 4, 4)
    """

    _axes = 3
    _unpool = staticmethod(F.max_unpool3d)


class _FractionalMaxPool(Module):
    """The base of fractional max pooling."""

    _axes: int
    _pool: Any

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | tuple[float, ...] | None = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        axes, name = self._axes, type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ArgumentError(
                f"expects one of output_size and output_ratio, got {output_size!r} and {output_ratio!r}",
                subject=name,
            )
        self.kernel_size = tuple_of(kernel_size, axes, "kernel_size", name, minimum=1)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = (
            None if output_size is None else tuple_of(output_size, axes, "output_size", name, minimum=1)
        )
        self.output_ratio = (output_ratio,) * axes if isinstance(output_ratio, float) else output_ratio

    def forward(self, input: Any) -> Any:
        """The maxima of randomly placed windows, and the indices if they are to be returned."""
        return self._pool(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """The largest value of each of some randomly placed windows; see `functional.fractional_max_pool2d`.

    Args:
        kernel_size: cells of a window; a number, or one for each axis of space.
        output_size: how many windows there are; or
        output_ratio: the part of the input's size that they are, between 0 and 1.
        return_indices: whether to return (output, indices).

    Shapes: (N, C, H, W) to (N, C, OH, OW).

    >>> from xpnn.autograd import xp
    >>> FractionalMaxPool2d(2, output_size=2)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 2, 2)
    """

    _axes = 2
    _pool = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """The largest value of each of some randomly placed windows; see `functional.fractional_max_pool3d`.

    Args: as of `FractionalMaxPool2d`.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW).

    >>> from xpnn.autograd import xp
    >>> FractionalMaxPool3d(2, output_size=2)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 2, 2, 2)
    """

    _axes = 3
    _pool = staticmethod(F.fractional_max_pool3d)


# ---- mean and p-norm ----


class AvgPool1d(Module):
    """The mean of each window of a sequence; see `functional.avg_pool1d`.

    Args: as of `AvgPool2d`.

    Shapes: (N, C, L) to (N, C, OL); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AvgPool1d(2)(xp.ones((1, 1, 4))).shape
    (1, 1, 2)
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.kernel_size = tuple_of(kernel_size, 1, "kernel_size", "AvgPool1d", minimum=1)
        self.stride = tuple_of(kernel_size if stride is None else stride, 1, "stride", "AvgPool1d", minimum=1)
        self.padding = tuple_of(padding, 1, "padding", "AvgPool1d")
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Any) -> Tensor:
        """(N, C, L) to (N, C, OL)."""
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """The arguments."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    """The base of average pooling of images and volumes."""

    _pool: Any

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
        """The means of the windows."""
        return self._pool(
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


class AvgPool2d(_AvgPool):
    """The mean of each window of an image; see `functional.avg_pool2d`.

    Args:
        kernel_size, stride, padding, ceil_mode: as of `MaxPool2d`; the padding is zeros.
        count_include_pad: whether cells of the padding count.
        divisor_override: divide by this instead of by the number of cells.

    Shapes: (N, C, H, W) to (N, C, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AvgPool2d(2)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 2, 2)
    """

    _pool = staticmethod(F.avg_pool2d)


class AvgPool3d(_AvgPool):
    """The mean of each window of a volume; see `functional.avg_pool3d`.

    Args: as of `AvgPool2d`.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AvgPool3d(2)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 2, 2, 2)
    """

    _pool = staticmethod(F.avg_pool3d)


class _LPPool(Module):
    """The base of power-average pooling."""

    _pool: Any

    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Any) -> Tensor:
        """The p-norms of the windows."""
        return self._pool(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """The p-norm of each window of a sequence; see `functional.lp_pool1d`.

    Args: as of `LPPool2d`.

    Shapes: (N, C, L) to (N, C, OL); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> LPPool1d(2, 2)(xp.ones((1, 1, 4))).shape
    (1, 1, 2)
    """

    _pool = staticmethod(F.lp_pool1d)


class LPPool2d(_LPPool):
    """The p-norm of each window of an image; see `functional.lp_pool2d`.

    Args:
        norm_type: p, not 0.
        kernel_size, stride, ceil_mode: as of `AvgPool2d`.

    Shapes: (N, C, H, W) to (N, C, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> LPPool2d(2, 2)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 2, 2)
    """

    _pool = staticmethod(F.lp_pool2d)


class LPPool3d(_LPPool):
    """The p-norm of each window of a volume; see `functional.lp_pool3d`.

    Args: as of `LPPool2d`.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> LPPool3d(2, 2)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 2, 2, 2)
    """

    _pool = staticmethod(F.lp_pool3d)


# ---- adaptive ----


class _AdaptiveAvgPool(Module):
    """The base of adaptive average pooling."""

    _pool: Any

    def __init__(self, output_size: OutputSize) -> None:
        self.output_size = output_size

    def forward(self, input: Any) -> Tensor:
        """The means of `output_size` windows."""
        return self._pool(input, self.output_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}"


class _AdaptiveMaxPool(Module):
    """The base of adaptive max pooling."""

    _pool: Any

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        """The maxima of `output_size` windows, and the indices if they are to be returned."""
        return self._pool(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that cover a sequence evenly, whatever its size.

    Args:
        output_size: a number; None keeps the input's size.

    Shapes: (N, C, L) to (N, C, OL); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveAvgPool1d(3)(xp.ones((1, 1, 4))).shape
    (1, 1, 3)
    """

    _pool = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that cover an image evenly, whatever its size.

    Args:
        output_size: a number, or one for each axis of space; None keeps the input's size.

    Shapes: (N, C, H, W) to (N, C, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveAvgPool2d(3)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 3, 3)
    """

    _pool = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """The mean of each of `output_size` windows that cover a volume evenly, whatever its size.

    Args:
        output_size: a number, or one for each axis of space; None keeps the input's size.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveAvgPool3d(3)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 3, 3, 3)
    """

    _pool = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """The largest value of each of `output_size` windows that cover a sequence evenly, whatever its size.

    Args:
        output_size: a number; None keeps the input's size.
        return_indices: whether to return (output, indices), as in `MaxPool2d`.

    Shapes: (N, C, L) to (N, C, OL); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveMaxPool1d(3)(xp.ones((1, 1, 4))).shape
    (1, 1, 3)
    """

    _pool = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """The largest value of each of `output_size` windows that cover an image evenly, whatever its size.

    Args:
        output_size: a number, or one for each axis of space; None keeps the input's size.
        return_indices: whether to return (output, indices), as in `MaxPool2d`.

    Shapes: (N, C, H, W) to (N, C, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveMaxPool2d(3)(xp.ones((1, 1, 4, 4))).shape
    (1, 1, 3, 3)
    """

    _pool = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """The largest value of each of `output_size` windows that cover a volume evenly, whatever its size.

    Args:
        output_size: a number, or one for each axis of space; None keeps the input's size.
        return_indices: whether to return (output, indices), as in `MaxPool2d`.

    Shapes: (N, C, D, H, W) to (N, C, OD, OH, OW); without the batch, too.

    >>> from xpnn.autograd import xp
    >>> AdaptiveMaxPool3d(3)(xp.ones((1, 1, 4, 4, 4))).shape
    (1, 1, 3, 3, 3)
    """

    _pool = staticmethod(F.adaptive_max_pool3d)
