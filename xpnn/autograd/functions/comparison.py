"""Which elements are equal, smaller, finite; logic, bits, and the choice by a condition."""

from __future__ import annotations

import builtins
import math
import operator
from collections.abc import Callable
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, as_array, new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import NUMBERS, is_whole, kind_of_type, promoted, raw_of
from xpnn.autograd.mode import note_call
from xpnn.autograd.ops.rules import as_operand
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    ShapeError,
    device_of,
    dtype_name,
    dtype_named,
    get_default_dtype,
    is_complex,
    namespace,
    size_of,
)

__all__ = [
    "allclose",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "eq",
    "equal",
    "ge",
    "greater",
    "greater_equal",
    "gt",
    "is_nonzero",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "le",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "ne",
    "not_equal",
    "where",
]

_ORDERINGS = frozenset((operator.lt, operator.le, operator.gt, operator.ge))


def compare(operation: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """A Python operator of two operands, without a gradient, with PyTorch's rules for their types.

    Args:
        left, right: Tensors, raw arrays and numbers, not only numbers.
    """
    left, right = raw_of(left), raw_of(right)
    if (
        type(left) in NUMBERS
        or type(right) in NUMBERS
        or (left.dtype is not right.dtype and left.dtype != right.dtype)
    ):
        left, right = promoted(left, right)
    if operation in _ORDERINGS:
        for x in (left, right):
            if type(x) is builtins.complex or (type(x) not in NUMBERS and is_complex(x)):
                raise DTypeError(
                    f"`{operation.__name__}` has no meaning for complex numbers",
                    hint="Compare their absolute values, or their real parts",
                )
    found = as_array(operation(left, right))
    note_call(operation.__name__, (left, right), {}, (found,))
    return new_tensor(found)


@front
def eq(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements are equal.

    >>> from xpnn.autograd import tensor
    >>> eq(tensor([1, 2]), 2)
    tensor([False,  True])
    """
    return compare(operator.eq, input, other)


@front
def ne(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements differ."""
    return compare(operator.ne, input, other)


@front
def lt(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements are smaller."""
    return compare(operator.lt, input, other)


@front
def le(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements are smaller or equal."""
    return compare(operator.le, input, other)


@front
def gt(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements are larger."""
    return compare(operator.gt, input, other)


@front
def ge(input: ArrayT, other: Any) -> ArrayT:
    """Where the elements are larger or equal."""
    return compare(operator.ge, input, other)


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


@front
def equal(input: Any, other: Any) -> bool:
    """Whether two Tensors have the same shape and equal elements.

    >>> from xpnn.autograd import tensor
    >>> equal(tensor([1, 2]), tensor([1, 2])), equal(tensor([1, 2]), tensor([1]))
    (True, False)
    """
    if input.shape != other.shape:
        return False
    return _all(compare(operator.eq, input, other))


@front
def isclose(
    input: ArrayT, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> ArrayT:
    """Where |input - other| <= atol + rtol |other|; infinities are close to themselves.

    Args:
        equal_nan: whether NaN is close to NaN.

    >>> from xpnn.autograd import tensor
    >>> isclose(tensor([1.0, 2.0]), tensor([1.0 + 1e-7, 2.1]))
    tensor([ True, False])
    """
    if dtype_name(input.dtype) != dtype_name(other.dtype):
        raise DTypeError(
            f"expects one element type, got {dtype_name(input.dtype)} and {dtype_name(other.dtype)}",
            subject="isclose",
        )
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise ArgumentError(f"expects {name} of at least 0, got {tolerance}", subject="isclose")
    x, y = raw_of(input), raw_of(other)
    xp = namespace(x)
    close = x == y
    if is_whole(x):
        if not (rtol or atol):
            return new_tensor(as_array(close))
        double = dtype_named("float64", xp)
        x, y = xp.astype(x, double), xp.astype(y, double)
    elif equal_nan:
        close = close | (xp.isnan(x) & xp.isnan(y))
    near = xp.abs(x - y) <= atol + xp.abs(rtol * y)
    return new_tensor(as_array(close | (near & xp.isfinite(x) & xp.isfinite(y))))


@front
def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close; see `isclose`.

    >>> from xpnn.autograd import tensor
    >>> allclose(tensor([1.0]), tensor([1.0 + 1e-7]))
    True
    """
    return _all(isclose(input, other, rtol, atol, equal_nan))


@front
def isnan(input: ArrayT) -> ArrayT:
    """Where an element is no number."""
    return _of_fractions("isnan", input, False)


@front
def isinf(input: ArrayT) -> ArrayT:
    """Where an element is infinite."""
    return _of_fractions("isinf", input, False)


@front
def isfinite(input: ArrayT) -> ArrayT:
    """Where an element is neither infinite nor NaN."""
    return _of_fractions("isfinite", input, True)


@front
def isposinf(input: ArrayT) -> ArrayT:
    """Where an element is +infinity."""
    return compare(operator.eq, input, math.inf)


@front
def isneginf(input: ArrayT) -> ArrayT:
    """Where an element is -infinity."""
    return compare(operator.eq, input, -math.inf)


@front
def isreal(input: ArrayT) -> ArrayT:
    """Where the imaginary part is 0: everywhere in a Tensor of real numbers."""
    raw = raw_of(input)
    if kind_of_type(raw.dtype) == 3:
        return new_tensor(as_array(namespace(raw).imag(raw) == 0))
    return _filled(raw, True)


@front
def is_nonzero(input: Any) -> bool:
    """Whether the one element is not 0. Raises: ShapeError for more or less than one element.

    >>> from xpnn.autograd import tensor
    >>> is_nonzero(tensor([0.0]))
    False
    """
    if size_of(input.shape) != 1:
        raise ShapeError(f"expects one element, got shape {input.shape}", subject="is_nonzero")
    return bool(input.item())


@front
def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """`input` where the condition is true, `other` elsewhere; with the condition alone, where it is.

    Args:
        condition: booleans. input, other: Tensors and numbers, which broadcast.

    Returns: a Tensor; of the condition alone the indices of its true elements, one Tensor an axis.

    The gradient goes to the operand that was chosen.

    >>> from xpnn.autograd import tensor
    >>> where(tensor([True, False]), tensor([1.0, 2.0]), 0.0)
    tensor([1., 0.])
    >>> where(tensor([False, True]))
    (tensor([1]),)
    """
    if not isinstance(condition, TensorBase):
        raise DTypeError(f"expects a Tensor of booleans, got {condition!r:.60}", subject="where")
    if input is None and other is None:
        return ops.nonzero(ops.reshape(condition, (1,)) if not condition.shape else condition)
    if input is None or other is None:
        raise DTypeError("expects input and other, or neither", subject="where")
    if dtype_name(condition.dtype) not in ("bool", "uint8"):
        raise DTypeError(f"expects booleans, got {dtype_name(condition.dtype)}", subject="where")
    chosen = raw_of(condition) if dtype_name(condition.dtype) == "bool" else raw_of(condition) != 0
    if type(input) in NUMBERS and type(other) in NUMBERS:
        return _choice_of_numbers(chosen, input, other)
    x1, x2 = promoted(input, other)
    return ops.where(new_tensor(chosen), x1, x2)


@front
def logical_and(input: ArrayT, other: Any) -> ArrayT:
    """Where both elements are not 0."""
    return _logical(operator.and_, input, other)


@front
def logical_or(input: ArrayT, other: Any) -> ArrayT:
    """Where one element or both are not 0."""
    return _logical(operator.or_, input, other)


@front
def logical_xor(input: ArrayT, other: Any) -> ArrayT:
    """Where one of two elements is not 0."""
    return _logical(operator.xor, input, other)


@front
def logical_not(input: ArrayT) -> ArrayT:
    """Where an element is 0."""
    return new_tensor(as_array(~_truth(input)))


@front
def bitwise_and(input: Any, other: Any) -> Any:
    """The bits that both integers have.

    >>> from xpnn.autograd import tensor
    >>> bitwise_and(tensor([6]), 3)
    tensor([2])
    """
    return _bitwise("bitwise_and", operator.and_, input, other)


@front
def bitwise_or(input: Any, other: Any) -> Any:
    """The bits that one of the integers has, or both."""
    return _bitwise("bitwise_or", operator.or_, input, other)


@front
def bitwise_xor(input: Any, other: Any) -> Any:
    """The bits that one of two integers has."""
    return _bitwise("bitwise_xor", operator.xor, input, other)


@front
def bitwise_not(input: ArrayT) -> ArrayT:
    """All bits turned: -x - 1 of a signed integer; the other truth value of a boolean."""
    _refuse_fractions("bitwise_not", input)
    return new_tensor(as_array(~raw_of(input)))


@front
def bitwise_left_shift(input: Any, other: Any) -> Any:
    """Integers times 2^other."""
    return _bitwise("bitwise_left_shift", operator.lshift, input, other)


@front
def bitwise_right_shift(input: Any, other: Any) -> Any:
    """Integers over 2^other, rounded down."""
    return _bitwise("bitwise_right_shift", operator.rshift, input, other)


def _all(x: Any) -> bool:
    return bool(namespace(x.array).all(x.array))


def _filled(like: Array, value: bool) -> Any:
    xp = namespace(like)
    return new_tensor(xp.full(like.shape, value, dtype=xp.bool, device=device_of(like)))


def _of_fractions(name: str, x: Any, otherwise: bool) -> Any:
    """A question of the standard about floating-point numbers, whose answer for integers is known."""
    raw = raw_of(x)
    return (
        _filled(raw, otherwise) if is_whole(raw) else new_tensor(as_array(getattr(namespace(raw), name)(raw)))
    )


def _truth(x: Any) -> Array:
    raw = raw_of(x)
    return raw if dtype_name(raw.dtype) == "bool" else raw != 0


def _logical(operation: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    if type(x2) in NUMBERS:
        raise DTypeError(f"expects a Tensor as other, got {x2!r}", subject="a logical function")
    return new_tensor(as_array(operation(_truth(x1), _truth(x2))))


def _bitwise(name: str, operation: Callable[[Any, Any], Any], x1: Any, x2: Any) -> Any:
    _refuse_fractions(name, x1, x2)
    return compare(operation, x1, x2)


def _refuse_fractions(name: str, *operands: Any) -> None:
    for x in operands:
        if not is_whole(x):
            kind = type(x).__name__ if type(x) in NUMBERS else dtype_name(x.dtype)
            raise DTypeError(f"expects integers or booleans, got {kind}", subject=name)


def _choice_of_numbers(chosen: Array, number: Any, other: Any) -> Any:
    """One of two numbers, in the element type that they have together."""
    xp = namespace(chosen)
    kinds = {type(number), type(other)}
    if complex in kinds:
        name = get_default_dtype().to_complex().name
    elif float in kinds:
        name = get_default_dtype().name
    else:
        name = "int64" if int in kinds else "bool"
    like = xp.astype(chosen, dtype_named(name, xp))
    return new_tensor(xp.where(chosen, as_operand(number, like), as_operand(other, like)))
