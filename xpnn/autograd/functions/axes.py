"""Axes and sizes as PyTorch's functions take them: counted from either end, one by one or in a list."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError, size_of


def integer(value: Any, name: str, subject: str) -> int:
    """`value` as an int. Raises: DTypeError unless it is a whole number or an integer array of one.

    >>> integer(2, "dim", "flip")
    2
    """
    if isinstance(value, bool):
        raise DTypeError(f"expects {name} as an integer, got {value!r}", subject=subject)
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"expects {name} as an integer, got {value!r:.60}", subject=subject) from None


def axis_of(dim: Any, ndim: int, subject: str, name: str = "dim") -> int:
    """The axis in range(ndim) that `dim` names; of a number, which has none, 0 and -1 count as one.

    Raises: IndexOutOfRangeError for another.

    >>> axis_of(-1, 3, "flip")
    2
    """
    axis, count = integer(dim, name, subject), max(ndim, 1)
    if not -count <= axis < count:
        raise IndexOutOfRangeError(
            f"expects {name} between {-count} and {count - 1} for {ndim} axes, got {axis}", subject=subject
        )
    return axis % count


def axes_of(dims: Any, ndim: int, subject: str, name: str = "dims") -> tuple[int, ...]:
    """The axes that one number or several name, none of them twice.

    >>> axes_of((0, -1), 3, "flip")
    (0, 2)
    """
    listed = dims if isinstance(dims, tuple | list) else (dims,)
    axes = tuple([axis_of(dim, ndim, subject, name) for dim in listed])
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"expects each axis once in {name}, got {dims}", subject=subject)
    return axes


def sizes_of(sizes: Sequence[Any], named: Any, name: str, subject: str) -> tuple[int, ...]:
    """The integers of `f(2, 3)`, `f((2, 3))` and, under their name, `f(size=(2, 3))`.

    >>> sizes_of((2, 3), None, "size", "view"), sizes_of(((2, 3),), None, "size", "view")
    ((2, 3), (2, 3))
    """
    if named is not None:
        if sizes:
            raise ArgumentError(f"expects {name} once, got {sizes} and {named}", subject=subject)
        sizes = named if isinstance(named, tuple | list) else (named,)
    elif len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = sizes[0]
    return tuple([integer(size, name, subject) for size in sizes])


def completed(sizes: tuple[int, ...], count: int, subject: str) -> tuple[int, ...]:
    """Sizes of `count` elements, with a number in place of a -1.

    Raises: ShapeError if no number makes them fit.

    >>> completed((2, -1), 6, "view")
    (2, 3)
    """
    known = size_of(tuple(size for size in sizes if size != -1))
    guessed = len([size for size in sizes if size == -1])
    if guessed == 1 and known > 0 and count % known == 0:
        return tuple([count // known if size == -1 else size for size in sizes])
    if guessed > 0 or known != count or any(size < 0 for size in sizes):
        raise ShapeError(f"cannot give {count} elements the shape {sizes}", subject=subject)
    return sizes
