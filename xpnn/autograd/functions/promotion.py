"""PyTorch's rules for operands of several element types, of which the standard leaves some open.

There are four kinds: booleans, integers, floating-point and complex numbers. An array without axes, and a
Python number still more, changes the element type of an array with axes only where it is of a higher kind.
Python's floats beside integers make the default element type, and so does a division of integers.
"""

from __future__ import annotations

import functools
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.casting import is_mixed
from xpnn.autograd.core import REAL, TensorBase, carries_gradient
from xpnn.autograd.ops.broadcasting import NUMBERS
from xpnn.backend import (
    Array,
    DTypeError,
    default_dtype,
    dtype_name,
    dtype_named,
    get_default_dtype,
    namespace,
    promote_types,
)

_KINDS = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}  # by the first letter, where bfloat16 counts as float
_NUMBER_TYPES = {bool: "bool", int: "int64"}


def kind_of_type(dtype: Any) -> int:
    """0 of booleans, 1 of integers, 2 of floating-point numbers, 3 of complex ones.

    >>> kind_of_type("int8"), kind_of_type("bfloat16")
    (1, 2)
    """
    return _kind(dtype_name(dtype))


def is_whole(x: Any) -> bool:
    """Whether an array's elements, or a number, are integers or booleans."""
    if type(x) in NUMBERS:
        return type(x) in (bool, int)
    raw = raw_of(x)
    return raw.dtype not in _fractions(namespace(raw))


def result_type(*operands: Any) -> Any:
    """The element type, of their library, of what is computed from arrays, Tensors and numbers together.

    >>> import numpy as np
    >>> dtype_name(result_type(np.ones(2, np.float32), np.ones(())))
    'float32'
    """
    arrays = [raw_of(x) for x in operands if type(x) not in NUMBERS]
    return dtype_named(result_name(*operands), namespace(arrays[-1]))


def result_name(*operands: Any) -> str:
    """The name of the element type of what is computed from arrays, Tensors and numbers together.

    >>> result_name(2, 1.5)
    'float32'
    """
    levels: list[str] = ["", "", ""]  # of arrays with axes, arrays without, numbers
    for x in operands:
        if type(x) in NUMBERS:
            level, name = 2, _NUMBER_TYPES.get(type(x)) or _default_of(type(x))
        else:
            level, name = 0 if x.shape else 1, dtype_name(x.dtype)
        levels[level] = promote_types(levels[level], name).name if levels[level] else name
    return functools.reduce(lambda low, high: _over(high, low), reversed(levels))


def promoted(*operands: Any, fractions: bool = False) -> list[Any]:
    """Operands in one element type, numbers as they are where that takes them.

    Args:
        operands: arrays or Tensors, whose conversion is recorded, and numbers, not only numbers.
        fractions: whether integers become the default floating-point numbers.
    """
    if _are_alike(operands):
        return list(operands)
    dtype = result_type(*operands)
    if fractions and kind_of_type(dtype) < 2:
        dtype = default_dtype(namespace(raw_of(next(x for x in operands if type(x) not in NUMBERS))))
    return [x if type(x) in NUMBERS else cast(x, dtype) for x in operands]


def check_one_type(x: Any, y: Any, subject: str) -> None:
    """Raise a DTypeError for arrays of two element types, unless they are cast to one here."""
    if x.dtype != y.dtype and not is_mixed(x, y):
        raise DTypeError(
            f"expects one element type, got {dtype_name(x.dtype)} and {dtype_name(y.dtype)}",
            subject=subject,
            hint="Convert one of them with .to(...)",
        )


def _are_alike(operands: tuple[Any, ...]) -> bool:
    """Whether all are arrays of real floating-point numbers of one element type, as most are."""
    known = None
    for x in operands:
        if type(x) in NUMBERS:
            return False
        raw = x.array if isinstance(x, TensorBase) else x
        dtype = raw.dtype
        if known is None:
            if carries_gradient(raw) != REAL:
                return False
            known = dtype
        elif dtype is not known:
            return False
    return True


def promote_raw(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two raw operands, each an array or a number, in one element type."""
    x1, x2 = promoted(x1, x2)
    return x1, x2


def promote_fractions(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Two raw operands in one element type, which is not one of integers."""
    x1, x2 = promoted(x1, x2, fractions=True)
    return x1, x2


def fractional(x: Any) -> Any:
    """Integers and booleans as the default floating-point numbers; all else as it is."""
    return ops.astype(x, default_dtype(namespace(raw_of(x)))) if is_whole(x) else x


def cast(x: Any, dtype: Any) -> Any:
    """`x` in an element type of its library, itself if it has it."""
    return x if x.dtype == dtype else ops.astype(x, dtype)


def raw_of(x: Any) -> Array:
    """The raw array of a Tensor, or of what is one already."""
    return x.array if isinstance(x, TensorBase) else x


# The operators' own arithmetic: the standard's, with PyTorch's rules where two element types meet.
add = ops.add.promoting(promote_raw)
subtract = ops.subtract.promoting(promote_raw)
multiply = ops.multiply.promoting(promote_raw)
divide = ops.divide.promoting(promote_fractions)


def _over(high: str, low: str) -> str:
    """The type where one of operands that count more meets one of operands that count less."""
    if not high or not low:
        return high or low
    if _kind(low) <= _kind(high):
        return high
    if _kind(low) == 3 and _kind(high) == 2:
        return _complex_of(high)
    return low


def _kind(name: str) -> int:
    return 2 if name == "bfloat16" else _KINDS[name[0]]


def _complex_of(name: str) -> str:
    return "complex128" if name == "float64" else "complex64"


def _default_of(number: type) -> str:
    name = get_default_dtype().name
    return name if number is float else _complex_of(name)


@functools.cache
def _fractions(xp: Any) -> frozenset[Any]:
    """The element types of a library that hold fractions."""
    names = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
    return frozenset(xp.empty(0, dtype=getattr(xp, name)).dtype for name in names if hasattr(xp, name))
