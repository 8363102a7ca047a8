"""Formulas as C: the statements that compute for one element what a formula does to arrays.

    trace = Trace("f")
    x = trace.given("x")
    y = x / (1 + xp.abs(x))       # trace.body: "A t0 = fabs(x); A t1 = A(1) + t0; A t2 = x / t1;"

Statements of uniform expressions stand apart, and are computed in double precision, as Python computes with
numbers (see `kernels/expressions.py`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.kernels import expressions
from xpnn.kernels.expressions import Expression, UntraceableError

# Operations in C, with a place `{}` for each part.
_IN_C = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "eq": "{} == {}",
    "ne": "{} != {}",
    "and": "{} && {}",
    "or": "{} || {}",
    "not": "!{}",
    "negative": "-{}",
    "abs": "fabs({})",
    "square": "{0} * {0}",
    "pow": "pow({}, {})",
    "sign": "{0} != {0} ? {0} : ({0} > 0) - ({0} < 0)",
    "isnan": "{0} != {0}",
    "maximum": "{0} != {0} || {0} > {1} ? {0} : {1}",
    "minimum": "{0} != {0} || {0} < {1} ? {0} : {1}",
    "where": "{} ? {} : {}",
    "number": "{} ? 1 : 0",
    **{
        name: name + "({})"
        for name in (
            "ceil",
            "cos",
            "erfc",
            "exp",
            "expm1",
            "floor",
            "log",
            "log1p",
            "sin",
            "sqrt",
            "tanh",
            "trunc",
        )
    },
}


class Trace(expressions.Trace):
    """The statements of a formula.

    Attributes:
        body: statements for each element. once: those that are uniform.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(dtype)
        self.body: list[str] = []
        self.once: list[str] = []
        self.shared: dict[str, int] = {}  # uniform numbers that elements use, and their places
        self._known: dict[str, Expression] = {}

    def add(self, operation: str, parts: tuple[Any, ...], truth: bool = False) -> Expression:
        """A new expression."""
        code = _IN_C.get(operation)
        if code is None:
            raise UntraceableError(f"`{operation}` is not written in C")
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
