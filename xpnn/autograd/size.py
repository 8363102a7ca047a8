"""The sizes of a Tensor's axes, as `x.shape` and `x.size()` give them."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex, overload

from xpnn.backend import DTypeError, size_of


class Size(tuple[int, ...]):
    """The sizes of a Tensor's axes: a tuple that can be multiplied up, and of which a Tensor can be made.

    It is equal to the tuple, and prints as it. Its slices and sums are sizes too.

    Raises: DTypeError for what are no whole numbers.

    >>> Size([2, 3]).numel(), Size([2, 3])[1:].numel()
    (6, 3)
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable[Any] = ()) -> Size:
        """The sizes, in that order."""
        try:
            return tuple.__new__(cls, map(operator.index, sizes))
        except TypeError:
            raise DTypeError(f"expects whole numbers, got {sizes!r:.80}", subject="Size") from None

    def numel(self) -> int:
        """The number of elements."""
        return size_of(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: Any) -> Any:
        found = tuple.__getitem__(self, index)
        return size_from(found) if type(found) is tuple else found

    def __add__(self, other: Any) -> Any:
        return size_from((*self, *other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return size_from((*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> Size:
        return size_from(tuple.__mul__(self, count))

    __rmul__ = __mul__

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)


def size_from(sizes: tuple[int, ...]) -> Size:
    """The `Size` of an array's shape, which holds whole numbers."""
    return tuple.__new__(Size, sizes)
