"""Padding as modules: cells around arrays, which negative widths cut off; see `functional.pad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import tuple_of
from xpnn.nn.module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]

Widths = int | Sequence[int]

_ANY = -(2**63)  # negative widths cut off


class _Padding(Module):
    """The base of what pads the last `axes` axes, in `mode`."""

    axes = 1
    mode = "constant"

    def __init__(self, padding: Widths) -> None:
        self.padding = tuple_of(padding, 2 * self.axes, "padding", type(self).__name__, minimum=_ANY)

    def forward(self, input: Any) -> Tensor:
        """Each padded axis longer by its two widths."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The widths."""
        return f"{self.padding}"


class ConstantPad1d(_Padding):
    """Put cells of `value` around the last axis.

    Args:
        padding: cells before and after; a number for both. Negative ones are cut off.
        value: of the new cells.

    >>> from xpnn.autograd import tensor
    >>> ConstantPad1d((1, 2), 9.0)(tensor([[1.0, 2.0]])).tolist()
    [[9.0, 1.0, 2.0, 9.0, 9.0]]
    """

    def __init__(self, padding: Widths, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Tensor:
        """Each padded axis longer by its two widths."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Put cells of `value` around the last two axes.

    Args:
        padding: cells at the left, right, top and bottom; a number for all. Negative ones are cut off.
        value: of the new cells.

    >>> from xpnn.autograd import xp
    >>> ConstantPad2d((1, 1, 0, 2), 9.0)(xp.zeros((1, 1, 3, 4))).shape
    (1, 1, 5, 6)
    """

    axes = 2


class ConstantPad3d(ConstantPad1d):
    """Put cells of `value` around the last three axes.

    Args:
        padding: cells at the left, right, top, bottom, front and back; a number for all.
        value: of the new cells.

    >>> from xpnn.autograd import xp
    >>> ConstantPad3d(1, 9.0)(xp.zeros((1, 1, 2, 3, 4))).shape
    (1, 1, 4, 5, 6)
    """

    axes = 3


class _ZeroPadding(_Padding):
    """The base of what pads with zeros."""

    def __init__(self, padding: Widths) -> None:
        super().__init__(padding)
        self.value = 0.0


class ZeroPad1d(_ZeroPadding):
    """Put zeros around the last axis.

    Args:
        padding: cells before and after; a number for both.

    >>> from xpnn.autograd import tensor
    >>> ZeroPad1d((1, 2))(tensor([[1.0, 2.0, 3.0]])).tolist()
    [[0.0, 1.0, 2.0, 3.0, 0.0, 0.0]]
    """


class ZeroPad2d(ZeroPad1d):
    """Put zeros around the last two axes.

    Args:
        padding: cells at the left, right, top and bottom; a number for all.

    >>> from xpnn.autograd import xp
    >>> ZeroPad2d(1)(xp.zeros((1, 1, 3, 4))).shape
    (1, 1, 5, 6)
    """

    axes = 2


class ZeroPad3d(ZeroPad1d):
    """Put zeros around the last three axes.

    Args:
        padding: cells at the left, right, top, bottom, front and back; a number for all.

    >>> from xpnn.autograd import xp
    >>> ZeroPad3d(1)(xp.zeros((1, 1, 2, 3, 4))).shape
    (1, 1, 4, 5, 6)
    """

    axes = 3


class ReflectionPad1d(_Padding):
    """Mirror the last axis at both ends; the cell at the border is not repeated.

    Args:
        padding: cells before and after; a number for both.

    >>> from xpnn.autograd import tensor
    >>> ReflectionPad1d((1, 2))(tensor([[1.0, 2.0, 3.0]])).tolist()
    [[2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """Mirror the last two axes at both ends; the cell at the border is not repeated.

    Args:
        padding: cells at the left, right, top and bottom; a number for all.

    >>> from xpnn.autograd import xp
    >>> ReflectionPad2d(1)(xp.zeros((1, 1, 3, 4))).shape
    (1, 1, 5, 6)
    """

    axes = 2


class ReflectionPad3d(ReflectionPad1d):
    """Mirror the last three axes at both ends; the cell at the border is not repeated.

    Args:
        padding: cells at the left, right, top, bottom, front and back; a number for all.

    >>> from xpnn.autograd import xp
    >>> ReflectionPad3d(1)(xp.zeros((1, 1, 2, 3, 4))).shape
    (1, 1, 4, 5, 6)
    """

    axes = 3


class ReplicationPad1d(_Padding):
    """Repeat the cells at both ends of the last axis.

    Args:
        padding: cells before and after; a number for both.

    >>> from xpnn.autograd import tensor
    >>> ReplicationPad1d((1, 2))(tensor([[1.0, 2.0, 3.0]])).tolist()
    [[1.0, 1.0, 2.0, 3.0, 3.0, 3.0]]
    """

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """Repeat the cells at both ends of the last two axes.

    Args:
        padding: cells at the left, right, top and bottom; a number for all.

    >>> from xpnn.autograd import xp
    >>> ReplicationPad2d(1)(xp.zeros((1, 1, 3, 4))).shape
    (1, 1, 5, 6)
    """

    axes = 2


class ReplicationPad3d(ReplicationPad1d):
    """Repeat the cells at both ends of the last three axes.

    Args:
        padding: cells at the left, right, top, bottom, front and back; a number for all.

    >>> from xpnn.autograd import xp
    >>> ReplicationPad3d(1)(xp.zeros((1, 1, 2, 3, 4))).shape
    (1, 1, 4, 5, 6)
    """

    axes = 3


class CircularPad1d(_Padding):
    """Go on around the ends of the last axis.

    Args:
        padding: cells before and after; a number for both.

    >>> from xpnn.autograd import tensor
    >>> CircularPad1d((1, 2))(tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0, 2.0, 3.0, 1.0, 2.0]]
    """

    mode = "circular"


class CircularPad2d(CircularPad1d):
    """Go on around the ends of the last two axes.

    Args:
        padding: cells at the left, right, top and bottom; a number for all.

    >>> from xpnn.autograd import xp
    >>> CircularPad2d(1)(xp.zeros((1, 1, 3, 4))).shape
    (1, 1, 5, 6)
    """

    axes = 2


class CircularPad3d(CircularPad1d):
    """Go on around the ends of the last three axes.

    Args:
        padding: cells at the left, right, top, bottom, front and back; a number for all.

    >>> from xpnn.autograd import xp
    >>> CircularPad3d(1)(xp.zeros((1, 1, 2, 3, 4))).shape
    (1, 1, 4, 5, 6)
    """

    axes = 3
