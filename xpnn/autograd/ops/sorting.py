"""Sorting, searching and counting: all but `sort` answer with integers or booleans, without a gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd.core import TensorBase
from xpnn.autograd.ops.indexing import take_along_axis
from xpnn.autograd.ops.lifting import lift, unwrap
from xpnn.backend import Array, namespace


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The elements in order along `axis`. Each gradient goes back to where its element came from.

    >>> import numpy as np
    >>> sort(np.asarray([3.0, 1.0, 2.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return take_along_axis(x, order, axis=axis)


def _own(name: str) -> Callable[..., Any]:
    """The library's own function, lifted to Tensors."""

    def function(*args: Any, **options: Any) -> Any:
        arrays = [unwrap(arg) for arg in args if isinstance(arg, TensorBase) or hasattr(arg, "dtype")]
        return getattr(namespace(*arrays), name)(*args, **options)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The standard's `{name}`, which has no gradient."
    return lift(function, name)


all = _own("all")
any = _own("any")
argmax = _own("argmax")
argmin = _own("argmin")
argsort = _own("argsort")
count_nonzero = _own("count_nonzero")
nonzero = _own("nonzero")
searchsorted = _own("searchsorted")
