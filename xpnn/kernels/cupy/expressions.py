"""Formulas as C: what an elementwise function does to its arguments, traced once and written down.

A formula of xpnn is a Python function of arrays and their namespace. Called with expressions in place of
arrays it leaves behind the statements of C that compute the same for one element. So the formula in
`functional` or `optim` stays the only one.

    trace = Trace("f")
    x = trace.given("x")
    y = x / (1 + xp.abs(x))       # trace.body: "A t0 = fabs(x); A t1 = A(1) + t0; A t2 = x / t1;"

An expression that depends on numbers alone, which are the same for all elements, is *uniform*: its statements
stand apart, and are computed in double precision, as Python computes with numbers.
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
UNTRACEABLE = (UntraceableError, TypeError, AttributeError, ValueError)


class Trace:
    """The statements of a formula.

    Attributes:
        dtype: the type that expressions say they have.
        body: statements for each element. once: those that are uniform.
    """

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.body: list[str] = []
        self.once: list[str] = []
        self.shared: dict[str, int] = {}  # uniform numbers that elements use, and their places
        self._known: dict[str, Expression] = {}

    def given(self, name: str, uniform: bool = False) -> Expression:
        """A name that the kernel declares."""
        return Expression(self, name, uniform, self.dtype)

    def add(self, code: str, parts: tuple[Any, ...], truth: bool = False) -> Expression:
        """A new expression; `code` has a place `{}` for each part, an expression or a number."""
        uniform = all(not isinstance(part, Expression) or part.uniform for part in parts)
        text = code.format(*(self._spelt(part, uniform) for part in parts))
        key = f"{uniform} {text}"
        if key not in self._known:
            name = f"{'u' if uniform else 't'}{len(self._known)}"
            kind = "bool" if truth else "double" if uniform else "A"
            (self.once if uniform else self.body).append(f"const {kind} {name} = {text};")
            dtype = np.dtype(bool) if truth else self.dtype
            self._known[key] = Expression(self, name, uniform, dtype)
        return self._known[key]

    def element(self, value: Any) -> str:
        """An expression or a number as a statement for each element spells it."""
        return self._spelt(value, uniform=False)

    def _spelt(self, part: Any, uniform: bool) -> str:
        if isinstance(part, Expression):
            if part.uniform and not uniform:
                place = self.shared.setdefault(part.name, len(self.shared))
                return f"uniform[{place}]" if part.dtype != bool else f"(uniform[{place}] != 0)"
            return part.name
        return _literal(part, "double" if uniform else "A")


class Expression:
    """What stands for an array of one element."""

    __slots__ = ("dtype", "name", "trace", "uniform")
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None
    shape = ()
    ndim = 0
    size = 1
    device = None

    def __init__(self, trace: Trace, name: str, uniform: bool, dtype: Any) -> None:
        self.trace, self.name, self.uniform, self.dtype = trace, name, uniform, dtype

    def __bool__(self) -> bool:
        raise UntraceableError("the value of an element is not known yet")

    __int__ = __float__ = __index__ = __len__ = __iter__ = __bool__  # type: ignore[assignment]

    def __neg__(self) -> Expression:
        return self.trace.add("-{}", (self,))

    def __pos__(self) -> Expression:
        return self

    def __invert__(self) -> Expression:
        return self.trace.add("!{}", (self,), truth=True)

    def __pow__(self, power: Any) -> Expression:
        square = type(power) in (int, float) and power == 2
        return self.trace.add("{0} * {0}", (self,)) if square else _pow(self, power)

    def __rpow__(self, base: Any) -> Expression:
        return _pow(base, self)


def _operators() -> None:
    """The operators of two operands, in both orders."""
    table = {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}
    truths = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=", "and": "&&", "or": "||"}
    for name, sign in (table | truths).items():
        truth = name in truths

        def method(self: Expression, other: Any, sign: str = sign, truth: bool = truth) -> Any:
            return self.trace.add(f"{{}} {sign} {{}}", (self, other), truth)

        def reflected(self: Expression, other: Any, sign: str = sign, truth: bool = truth) -> Any:
            return self.trace.add(f"{{}} {sign} {{}}", (other, self), truth)

        setattr(Expression, f"__{name}__", method)
        if not truth or name in ("and", "or"):
            setattr(Expression, f"__r{name}__", reflected)


_operators()


def _trace_of(*parts: Any) -> Trace:
    for part in parts:
        if isinstance(part, Expression):
            return part.trace
    raise UntraceableError("a function of numbers alone")


def _function(code: str, truth: bool = False) -> Callable[..., Expression]:
    def function(*parts: Any) -> Expression:
        return _trace_of(*parts).add(code, parts, truth)

    return function


def _literal(value: Any, kind: str) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if not isinstance(value, int | float | np.generic):
        raise UntraceableError(f"an expression meets {type(value).__name__}")
    number = float(value)
    if math.isnan(number):
        return f"({kind})(infinite() - infinite())"
    if math.isinf(number):
        return f"({kind})({'-' if number < 0 else ''}infinite())"
    return f"({kind})({number!r})"


def _larger(x1: Any, x2: Any) -> Expression:
    return _chosen("{0} != {0} || {0} > {1} ? {0} : {1}", x1, x2)


def _smaller(x1: Any, x2: Any) -> Expression:
    return _chosen("{0} != {0} || {0} < {1} ? {0} : {1}", x1, x2)


def _limited(x: Any, low: Any = None, high: Any = None, **bounds: Any) -> Any:
    """`clip`, with the bounds by place, or by their names `min` and `max`."""
    low, high = bounds.get("min", low), bounds.get("max", high)
    x = x if low is None else _larger(x, low)
    return x if high is None else _smaller(x, high)


def _chosen(code: str, *parts: Any) -> Expression:
    return _trace_of(*parts).add(code, parts)


def _as_is(x: Any, *types: Any, **options: Any) -> Any:
    """The type is that of the trace; a truth becomes 1 or 0."""
    dtype = options.get("dtype", types[0] if types else None)
    if isinstance(x, Expression) and x.dtype == bool and dtype is not None and np.dtype(dtype) != bool:
        return x.trace.add("{} ? 1 : 0", (x,))
    return x


_pow = _function("pow({}, {})")

_FUNCTIONS = {
    "abs": _function("fabs({})"),
    "maximum": _larger,
    "minimum": _smaller,
    "clip": _limited,
    "where": _function("{} ? {} : {}"),
    "negative": _function("-{}"),
    "square": lambda x: x * x,
    "sign": _function("{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)"),
    "isnan": _function("{0} != {0}", truth=True),
    "logical_and": _function("{} && {}", truth=True),
    "logical_or": _function("{} || {}", truth=True),
    "logical_not": _function("!{}", truth=True),
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
    **{
        name: _function(name + "({})")
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "tanh", "sin", "cos", "floor", "ceil", "trunc")
    },
}


class _Namespace(SimpleNamespace):
    """The Array API's functions of elements, on expressions."""

    float32, float64, bool = np.dtype(np.float32), np.dtype(np.float64), np.dtype(bool)
    finfo = staticmethod(np.finfo)
    isdtype = staticmethod(np.isdtype)
    inf, nan, pi, e = math.inf, math.nan, math.pi, math.e

    def __getattr__(self, name: str) -> Any:
        raise UntraceableError(f"`{name}` is not written in C")


xp: Any = _Namespace(**_FUNCTIONS)

Expression._xpnn_backend = Backend(  # type: ignore[attr-defined]
    "expressions",
    packages=(),
    load=lambda: xp,
    install="",
    erfc=_function("erfc({})"),
)
