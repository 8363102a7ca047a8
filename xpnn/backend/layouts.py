"""PyTorch's words for how elements lie in memory, which is the library's own affair here.

They are checked and change nothing: kernels choose the order that they are fastest with.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend.errors import ArgumentError, ShapeError

__all__ = [
    *("channels_last", "channels_last_3d", "contiguous_format", "layout", "memory_format"),
    *("preserve_format", "strided"),
]


class _Word:
    """A word of PyTorch's, equal to PyTorch's own of that name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return str(other).rpartition(".")[2] == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"xpnn.{self.name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name,)


class memory_format(_Word):  # noqa: N801 - PyTorch's name
    """An order of the elements in memory; see `channels_last` and its fellows.

    >>> channels_last
    xpnn.channels_last
    """

    __slots__ = ()


class layout(_Word):  # noqa: N801 - PyTorch's name
    """How elements are kept; all Tensors are `strided`.

    >>> strided
    xpnn.strided
    """

    __slots__ = ()


contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
channels_last, channels_last_3d = memory_format("channels_last"), memory_format("channels_last_3d")
strided = layout("strided")

# The axes, in PyTorch's words, and the order from the farthest apart to the closest.
_RANKS = {"channels_last": (4, "N, C, H, W"), "channels_last_3d": (5, "N, C, D, H, W")}
_KNOWN = ("contiguous_format", "preserve_format", *_RANKS)


def check_memory_format(value: Any, shape: tuple[int, ...] | None, subject: str) -> None:
    """Refuse what is no memory format, and one that needs other axes; None and no shape are taken.

    >>> check_memory_format(channels_last, (3,), "to")
    Traceback (most recent call last):
    ...
    xpnn.backend.errors.ShapeError: to expects the axes (N, C, H, W) for xpnn.channels_last, got shape (3,)
    """
    if value is None:
        return
    name = str(value).rpartition(".")[2]
    if name not in _KNOWN:
        raise ArgumentError(
            f"expects a memory_format such as xpnn.channels_last, got {value!r:.60}", subject=subject
        )
    if name in _RANKS and shape is not None and len(shape) != _RANKS[name][0]:
        raise ShapeError(
            f"expects the axes ({_RANKS[name][1]}) for {value!r}, got shape {shape}", subject=subject
        )


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...], memory_format: Any, subject: str) -> bool:
    """Whether elements that lie `strides` elements apart follow each other in this order.

    >>> is_dense((1, 2, 3, 4), (24, 1, 8, 2), channels_last, "is_contiguous")
    True
    """
    check_memory_format(memory_format, None, subject)
    if memory_format == preserve_format:
        raise ArgumentError("cannot say it of xpnn.preserve_format, which is no order", subject=subject)
    order = tuple(range(len(shape)))
    if str(memory_format).rpartition(".")[2] in _RANKS:
        if len(shape) != _RANKS[str(memory_format).rpartition(".")[2]][0]:
            return False
        order = (0, *order[2:], 1)
    if 0 in shape:
        return True
    step = 1
    for axis in reversed(order):
        if shape[axis] != 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True
