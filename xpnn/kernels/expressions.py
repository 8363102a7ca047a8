"""Formulas as what is recorded of them: what an elementwise function does to its arguments, step by step.

A formula of xpnn is a Python function of arrays and their namespace. Called with expressions in place of
arrays it leaves behind the operations that compute the same for one element. So the formula in `functional`
or `optim` stays the only one, and a library's kernels are written from it.

    trace = ...                   # of a library: what it makes of an operation
    x = trace.given("x")
    y = x / (1 + xp.abs(x))       # trace.add("abs", (x,)), then "add" and "divide"

An expression that depends on numbers alone, which are the same for all elements, is *uniform*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from xpnn.backend import Backend


class UntraceableError(TypeError):
    """A formula that asks for more than what is the same for all elements."""


# What formulas of anybody's raise where expressions are not enough: then arrays are.
UNTRACEABLE = (UntraceableError, TypeError, AttributeError, ValueError, LookupError, ArithmeticError)


class Trace:
    """What is recorded of a formula.

    Attributes:
        dtype: the type that expressions say they have.
        own: functions that it records as one operation, by the names of xpnn's primitives.
    """

    own: frozenset[str] = frozenset()

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def given(self, name: str, uniform: bool = False) -> Expression:
        """An argument of the formula."""
        return Expression(self, name, uniform, self.dtype)

    def add(self, operation: str, parts: tuple[Any, ...], truth: bool = False) -> Expression:
        """What an operation makes of its parts, expressions or numbers.

        Raises: UntraceableError if the library has no such operation.
        """
        raise NotImplementedError


class Expression:
    """What stands for an array of one element."""

    __slots__ = ("dtype", "name", "trace", "uniform")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None
    shape = ()
    ndim = 0
    device = None

    def __init__(self, trace: Trace, name: str, uniform: bool, dtype: Any) -> None:
        self.trace, self.name, self.uniform, self.dtype = trace, name, uniform, dtype

    @property
    def size(self) -> int:
        """How many elements there are, which is not known yet."""
        raise UntraceableError("the number of elements is not known yet")

    def __bool__(self) -> bool:
        raise UntraceableError("the value of an element is not known yet")

    __int__ = __float__ = __index__ = __len__ = __iter__ = __bool__  # type: ignore[assignment]

    def __neg__(self) -> Expression:
        return self.trace.add("negative", (self,))

    def __pos__(self) -> Expression:
        return self

    def __invert__(self) -> Expression:
        return self.trace.add("not", (self,), truth=True)

    def __pow__(self, power: Any) -> Expression:
        square = type(power) in (int, float) and power == 2
        return self.trace.add("square", (self,)) if square else _pow(self, power)

    def __rpow__(self, base: Any) -> Expression:
        return _pow(base, self)


def _operators() -> None:
    """The operators of two operands, in both orders."""
    numbers = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}
    truths = ("lt", "le", "gt", "ge", "eq", "ne", "and", "or")
    for name, operation in (numbers | dict(zip(truths, truths))).items():
        truth = name in truths

        def method(self: Expression, other: Any, operation: str = operation, truth: bool = truth) -> Any:
            return self.trace.add(operation, (self, other), truth)

        def reflected(self: Expression, other: Any, operation: str = operation, truth: bool = truth) -> Any:
            return self.trace.add(operation, (other, self), truth)

        setattr(Expression, f"__{name}__", method)
        if not truth or name in ("and", "or"):
            setattr(Expression, f"__r{name}__", reflected)


_operators()


def _trace_of(*parts: Any) -> Trace:
    for part in parts:
        if isinstance(part, Expression):
            return part.trace
    raise UntraceableError("a function of numbers alone")


def _function(operation: str, truth: bool = False) -> Callable[..., Expression]:
    def function(*parts: Any) -> Expression:
        return _trace_of(*parts).add(operation, parts, truth)

    return function


_larger, _smaller = _function("maximum"), _function("minimum")


def _limited(x: Any, low: Any = None, high: Any = None, **bounds: Any) -> Any:
    """`clip`, with the bounds by place, or by their names `min` and `max`."""
    low, high = bounds.get("min", low), bounds.get("max", high)
    x = x if low is None else _larger(x, low)
    return x if high is None else _smaller(x, high)


def _as_is(x: Any, *types: Any, **options: Any) -> Any:
    """The type is that of the trace; a truth becomes 1 or 0."""
    dtype = options.get("dtype", types[0] if types else None)
    if isinstance(x, Expression) and x.dtype == bool and dtype is not None and np.dtype(dtype) != bool:
        return x.trace.add("number", (x,))
    return x


_pow = _function("pow")

# Functions of one number.
_OF_ONE = (
    "abs",
    "ceil",
    "cos",
    "exp",
    "expm1",
    "floor",
    "log",
    "log1p",
    "negative",
    "sign",
    "sin",
    "sqrt",
    "tanh",
    "trunc",
)

_FUNCTIONS = {
    "maximum": _larger,
    "minimum": _smaller,
    "clip": _limited,
    "square": lambda x: x * x,
    "logical_and": _function("and", truth=True),
    "logical_or": _function("or", truth=True),
    "logical_not": _function("not", truth=True),
    "isnan": _function("isnan", truth=True),
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "zeros_like": lambda x, **options: 0.0,
    "ones_like": lambda x, **options: 1.0,
    "full_like": lambda x, value, **options: value,
    "astype": _as_is,
    "asarray": _as_is,
    **{name: _function(name) for name in ("where", *_OF_ONE)},
}


class _Namespace(SimpleNamespace):
    """The Array API's functions of elements, on expressions."""

    float32, float64, bool = np.dtype(np.float32), np.dtype(np.float64), np.dtype(bool)
    finfo = staticmethod(np.finfo)
    isdtype = staticmethod(np.isdtype)
    inf, nan, pi, e = math.inf, math.nan, math.pi, math.e

    def __getattr__(self, name: str) -> Any:
        raise UntraceableError(f"`{name}` is no operation on expressions")


xp: Any = _Namespace(**_FUNCTIONS)

Expression._xpnn_backend = Backend(  # type: ignore[attr-defined]
    "expressions",
    packages=(),
    load=lambda: xp,
    install="",
    erfc=_function("erfc"),
)
