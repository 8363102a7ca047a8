"""How a line of the table in `elementwise.py` becomes a primitive."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from xpnn.autograd.ops.broadcasting import NUMBERS, unbroadcast
from xpnn.autograd.primitive import Primitive
from xpnn.backend import Array, device_of, namespace

_SPECIFICATION = "https://data-apis.org/array-api/2024.12/API_specification/generated/array_api."

# Operators take Python numbers as they are and never let them widen an array's element type.
_OPERATORS: dict[str, Callable[[Any, Any], Array]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
}


def unary(
    name: str,
    derivative: Callable[..., Array],
    forward: Callable | None = None,
    make: Callable[[Callable], Any] | None = None,
) -> Any:
    """The function `name` of the standard as a primitive.

    Args:
        derivative: the gradient of the input from `g`, that of the output, and from what its other
            parameters name: the input `x`, the output `y`. The tape keeps what is named.
        forward: computes the function, where it is not simply the library's own.
        make: is `view_primitive` where the result shows the elements of the input, and `primitive` where half
            precision overflows or loses digits on the way to the derivative.
    """
    uses = [("x", "y").index(parameter) for parameter in _parameters(derivative)]

    def compute(x: Array) -> tuple[Array, tuple]:
        y = forward(x) if forward else getattr(namespace(x), name)(x)
        return y, tuple([(x, y)[i] for i in uses])

    def pull_back(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array]:
        return (derivative(g, *saved),)

    return _named(name, compute, pull_back, make)


def wrapped(x: Any, dtype: Any, xp: Any) -> Any:
    """A whole number of 64 bits, counted on from the other end of a type's integers; all else as it is."""
    if type(x) is not int or not -(2**63) <= x < 2**64:
        return x
    limits = xp.iinfo(dtype)
    return (x - limits.min) % (limits.max - limits.min + 1) + limits.min


def stored(x: Any, dtype: Any, xp: Any) -> Any:
    """A number as it is written into an array: -1 is the largest unsigned integer, as in PyTorch."""
    if type(x) is int and x < 0 and xp.isdtype(dtype, "unsigned integer"):
        most = xp.iinfo(dtype).max
        return x + most + 1 if -x <= most else x
    return x


def binary(
    name: str,
    dx1: Callable[..., Array],
    dx2: Callable[..., Array],
    make: Callable[[Callable], Any] | None = None,
    unify: Callable[[Any, Any], tuple[Any, Any]] | None = None,
    forward: Callable[[Any, Any, Any], Array] | None = None,
) -> Any:
    """The function `name` of the standard as a primitive; either operand may be a Python number.

    Args:
        dx1, dx2: the gradients of the operands, before broadcasting is undone, from `g` and from what
            their other parameters name: the operands `x1` and `x2`, the output `y`. An operand that is
            a number has no gradient, and nothing is kept for it.
        make: as of `unary`.
        unify: brings two operands to one element type where they have several, where one is a number, and
            where they are integers that are divided. None is the standard's rule.

        forward: `forward(xp, x1, x2)` computes the function, where it is not the library's own.

    Returns: the primitive; its attribute `promoting(unify)` makes another one of the same derivatives.
    """
    uses1, uses2 = [
        [("x1", "x2", "y").index(parameter) for parameter in _parameters(derivative)]
        for derivative in (dx1, dx2)
    ]
    evaluate = _OPERATORS.get(name) or _promoting(name, forward)

    def compute(x1: Any, x2: Any) -> tuple[Array, tuple]:
        kind1 = None if type(x1) in NUMBERS else (x1.shape, x1.dtype)
        kind2 = None if type(x2) in NUMBERS else (x2.shape, x2.dtype)
        if kind1 and kind2 and kind1[1] is not kind2[1]:
            x1, x2 = (unify or _of_one_kind)(x1, x2)
            y = evaluate(x1, x2)
        elif unify is None:
            y = evaluate(x1, x2)
        else:  # the library's result tells whether it had to change the element type, as it does seldom
            try:
                y = evaluate(x1, x2)
            except TypeError:
                y = None
            except OverflowError:  # a number beyond the integers beside it: it wraps round, as in PyTorch
                of_array, xp = (kind1 or kind2)[1], namespace(x1 if kind1 else x2)  # type: ignore[index]
                x1, x2 = wrapped(x1, of_array, xp), wrapped(x2, of_array, xp)
                y = evaluate(x1, x2)
            given = (kind1 or kind2)[1]  # type: ignore[index]
            if y is None or (y.dtype is not given and y.dtype != given):
                x1, x2 = unify(x1, x2)
                y = evaluate(x1, x2)
        values = (x1, x2, y)
        kept1 = [values[i] if kind1 else None for i in uses1]
        kept2 = [values[i] if kind2 else None for i in uses2]
        return y, (kind1, kind2, *kept1, *kept2)

    middle = 2 + len(uses1)

    def pull_back(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array | None, Array | None]:
        return (
            unbroadcast(dx1(g, *saved[2:middle]), *saved[0]) if needs[0] else None,
            unbroadcast(dx2(g, *saved[middle:]), *saved[1]) if needs[1] else None,
        )

    if unify:  # beside the one of this name, whose kernels it shares
        make = functools.partial(Primitive, name=name, half=True)
    result = _named(name, compute, pull_back, make)
    result.promoting = lambda unify: binary(name, dx1, dx2, unify=unify)
    return result


def as_operand(value: Any, like: Array) -> Array:
    """A Python number as a 0-d array that does not change the element type of `like`."""
    if type(value) not in NUMBERS:
        return value
    xp = namespace(like)
    try:
        return xp.asarray(value, dtype=like.dtype, device=device_of(like))
    except OverflowError:
        return xp.asarray(stored(value, like.dtype, xp), dtype=like.dtype, device=device_of(like))


def _of_one_kind(x1: Array, x2: Array) -> tuple[Array, Array]:
    """Integers beside floating-point numbers, in the latter's element type.

    The standard leaves the mix open: NumPy would widen float32 to float64, array-api-strict refuses it.
    """
    if type(x1) in NUMBERS or type(x2) in NUMBERS or x1.dtype == x2.dtype:
        return x1, x2
    xp = namespace(x1, x2)
    whole1, whole2 = [xp.isdtype(x.dtype, ("bool", "integral")) for x in (x1, x2)]
    if whole1 == whole2:
        return x1, x2
    return (xp.astype(x1, x2.dtype), x2) if whole1 else (x1, xp.astype(x2, x1.dtype))


def _promoting(name: str, forward: Callable[[Any, Any, Any], Array] | None) -> Callable[[Any, Any], Array]:
    """A function of two arrays as one that takes a number for either of them."""

    def evaluate(x1: Any, x2: Any) -> Array:
        xp = namespace(x1, x2)
        x1, x2 = as_operand(x1, like=x2), as_operand(x2, like=x1)
        return forward(xp, x1, x2) if forward else getattr(xp, name)(x1, x2)

    return evaluate


def _parameters(derivative: Callable[..., Array]) -> tuple[str, ...]:
    """The names of the parameters after `g`."""
    code = derivative.__code__
    return code.co_varnames[1 : code.co_argcount]


def _named(name: str, compute: Callable, pull_back: Callable, make: Callable | None = None) -> Any:
    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = f"The standard's `{name}` of each element.\n\nSee: {_SPECIFICATION}{name}.html"
    result = make(compute) if make else Primitive(compute, half=True)
    result.backward(pull_back)
    return result
