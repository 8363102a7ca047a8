"""Sorting, searching and counting: all but `sort` answer with integers or booleans, without a gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

from xpnn.autograd.core import TensorBase
from xpnn.autograd.ops.indexing import take_along_axis
from xpnn.autograd.ops.lifting import lift, unwrap
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, namespace


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The elements in order along `axis`. Each gradient goes back to where its element came from.

    >>> import numpy as np
    >>> sort(np.asarray([3.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return take_along_axis(x, order, axis=axis)


@primitive(half=True)
def places_of_extremes(x: Array, *, axis: int, count: int, descending: bool) -> tuple[Array, tuple]:
    """Where the first `count` elements stand once they are in order, in that order; equal ones by place."""
    xp = namespace(x)
    order = xp.argsort(x, axis=axis, descending=descending)
    index = (slice(None),) * (axis % x.ndim) + (slice(0, count), ...)
    return xp.asarray(order[index], copy=True), ()


def _own(signature: Callable[..., Any]) -> Callable[..., Any]:
    """The library's own function of that name, lifted to Tensors, with the standard's signature."""
    name = signature.__name__

    @functools.wraps(signature)
    def function(*args: Any, **options: Any) -> Any:
        arrays = [unwrap(arg) for arg in args if isinstance(arg, TensorBase) or hasattr(arg, "dtype")]
        return getattr(namespace(*arrays), name)(*args, **options)

    return lift(function, name)


@_own
def all(x: Array, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:  # type: ignore[empty-body]
    """Whether all elements are true."""


@_own
def any(x: Array, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:  # type: ignore[empty-body]
    """Whether any element is true."""


@_own
def argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:  # type: ignore[empty-body]
    """The index of the first largest element."""


@_own
def argmin(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:  # type: ignore[empty-body]
    """The index of the first smallest element."""


@_own
def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:  # type: ignore[empty-body]
    """The indices that put the elements in order."""


@_own
def count_nonzero(  # type: ignore[empty-body]
    x: Array, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False
) -> Array:
    """How many elements are not 0."""


@_own
def nonzero(x: Array, /) -> tuple[Array, ...]:  # type: ignore[empty-body]
    """The indices of the elements that are not 0, an array for each axis."""


@_own
def searchsorted(  # type: ignore[empty-body]
    x1: Array, x2: Array, /, *, side: Literal["left", "right"] = "left", sorter: Array | None = None
) -> Array:
    """Where in `x1`, which is sorted, the elements of `x2` belong."""
