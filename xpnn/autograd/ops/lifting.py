"""Functions of the backend that have no gradient rule here, made to take and return Tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from xpnn.autograd.core import TensorBase
from xpnn.autograd.mode import note_call
from xpnn.autograd.primitive import Primitive
from xpnn.backend import Array, DType, dtype_named, is_array


def lift(function: Callable, name: str, xp: Any = None) -> Callable:
    """`function` of raw arrays, out of the namespace `xp`, as one of Tensors: unwrap, call, wrap.

    Results of integers and booleans need no gradient. A floating one becomes an operation without a rule:
    whoever asks for a gradient through it gets a GradientError that names the function.

    >>> import numpy as np
    >>> lift(np.argmax, "argmax")(np.asarray([1.0, 3.0, 2.0])).item()
    1
    """

    def keep(*tensors: Array, result: Any) -> tuple[Any, tuple]:
        return result, ()

    without_rule = Primitive(keep, name)

    @functools.wraps(function, updated=())
    def lifted(*args: Any, **options: Any) -> Any:
        tensors = list(tensors_in((args, options)))
        options = {key: unwrap(value, xp) for key, value in options.items()}
        raws = unwrap(args, xp)
        result = function(*raws, **options)
        if not tensors:
            return result
        note_call(name, raws, options, result if isinstance(result, list | tuple) else (result,))
        if isinstance(result, list | tuple) and all(map(is_array, result)):
            wrapped = without_rule(*tensors, result=tuple(result))
            return type(result)(*wrapped) if hasattr(result, "_fields") else wrapped
        if is_array(result):
            return without_rule(*tensors, result=result)
        return result

    return lifted


def unwrap(value: Any, xp: Any = None) -> Any:
    """`value` with raw arrays in place of the Tensors in it, and `xp`'s own element types."""
    if isinstance(value, TensorBase):
        return value.array
    if type(value) in (list, tuple):
        return type(value)([unwrap(part, xp) for part in value])
    return dtype_named(value, xp) if isinstance(value, DType) and xp is not None else value


def tensors_in(value: Any) -> Iterator[TensorBase]:
    """The Tensors in nested lists, tuples and dicts."""
    if isinstance(value, TensorBase):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part)
