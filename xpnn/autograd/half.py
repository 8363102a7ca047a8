"""Half precision: float16 and bfloat16 in, the same out, float32 in between.

A sum of 70,000 ones is infinite in float16, and 257 is no number of bfloat16. So whatever takes more than one
operation is computed in float32 and rounded once. Primitives are called so by themselves (see `Primitive`); a
function made of several is decorated with `half_in_float32`, as half precision between them would round, and
overflow, on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeVar

from xpnn.autograd.casting import entered, in_type, way_of
from xpnn.autograd.mode import switches
from xpnn.backend import is_array, is_floating, is_half, namespace

_Function = TypeVar("_Function", bound=Callable[..., Any])


def half_in_float32(function: _Function) -> _Function:
    """Decorate a function whose first argument is an array: it never sees half precision.

    >>> import numpy as np
    >>> @half_in_float32
    ... def root_of_square(x):
    ...     return np.sqrt(x * x)
    >>> root_of_square(np.full(2, 300, np.float16)).tolist()
    [300.0, 300.0]
    """
    name = function.__code__.co_varnames[0]  # type: ignore[attr-defined]

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if entered and switches.casts:
            dtype = way_of(function.__name__, args, options)
            if dtype is not None:
                return in_type(call, dtype, args, options)
        x: Any = args[0] if args else options.get(name)
        if getattr(getattr(x, "dtype", None), "itemsize", 0) == 2 and is_half(x):
            floats = [y for y in _arrays((*args, *options.values())) if is_floating(y)]
            if all(y.dtype == x.dtype for y in floats):  # else the function says what is wrong
                if entered and switches.casts:
                    return in_type(in_float32, None, (function, x.dtype, args, options), {})
                return in_float32(function, x.dtype, args, options)
        return function(*args, **options)

    return call  # type: ignore[return-value]


def in_float32(
    function: Callable[..., Any],
    dtype: Any,
    args: tuple[Any, ...],
    options: dict[str, Any],
    rounded: int | None = None,
) -> Any:
    """Call a function with float32 in place of half precision, and round the results to `dtype`.

    Args:
        rounded: how many results are rounded; None is all. Others, such as statistics, stay in float32.
    """
    given = {id(y): y for y in _arrays((*args, *options.values())) if is_half(y)}
    wide = {key: _as_type(y, "float32") for key, y in given.items()}  # the same object where it comes twice

    def widened(value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(map(widened, value))
        return wide.get(id(value), value)

    found = function(*map(widened, args), **{name: widened(value) for name, value in options.items()})
    if type(found) is not tuple:
        return _rounded(found, dtype)
    return tuple([_rounded(y, dtype) if rounded is None or i < rounded else y for i, y in enumerate(found)])


def _arrays(values: Any) -> Iterator[Any]:
    """The arrays among some values, and in tuples and lists among them."""
    for value in values:
        if type(value) in (tuple, list):
            yield from _arrays(value)
        elif is_array(value):
            yield value


def _rounded(y: Any, dtype: Any) -> Any:
    return _as_type(y, dtype) if is_array(y) and y.dtype == namespace(y).float32 else y


def _as_type(x: Any, dtype: Any) -> Any:
    """`x` in another element type; recorded where it is a Tensor, whose namespace is differentiable."""
    xp = namespace(x)
    return xp.astype(x, xp.float32 if dtype == "float32" else dtype)
