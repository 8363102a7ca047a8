"""Formulas as lists of NumPy's calls, which work in few arrays, piece by piece.

A formula on arrays makes a new array for each operation, and waits for memory at each. Recorded once (see
`kernels/expressions.py`), the same operations run over pieces that stay in the cache. Each writes into one of
a few arrays, whose contents no later one reads, and those that NumPy is slow at are replaced by others to the
same result.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn.kernels import expressions
from xpnn.kernels.expressions import UNTRACEABLE, Expression, UntraceableError, xp
from xpnn.kernels.numpy.chunks import ALIGN, lying_as
from xpnn.kernels.numpy.constants import ones
from xpnn.kernels.numpy.parallel import WORTHWHILE, in_pieces

# Integers as wide as the floats: minus one has all bits set, and one times the bits of x are those of x.
INTEGERS = {"e": np.int16, "f": np.int32, "d": np.int64}

# Elements up to which a formula on arrays is as fast.
FEW = 8192

# Bytes of one array in a piece. Smaller ones spend their time in calls, and two threads in waiting for each
# other's turn between them.
PIECE_BYTES = 1024 * 1024

# The same where nothing but the arguments is read from beyond the cache; elements of a row of summands.
SUMMED_BYTES = 256 * 1024
_ROW = 256

# Combinations of options whose programs are kept.
_MOST = 64

Call = Callable[..., Any]


class Program:
    """What a formula does to each element of its arguments, in calls of NumPy's; found by `Programs`.

    Attributes:
        work: what it does to an element, in the unit of `by_element`.
    """

    def __init__(self, formula: Call, arguments: str, dtype: np.dtype, options: dict[str, Any]) -> None:
        trace = _Trace(dtype)
        given = [None if a == "-" else trace.given(f"x{i}", a == "n") for i, a in enumerate(arguments)]
        result = formula(xp, *given, **options)
        if not isinstance(result, Expression) or result.dtype == bool:
            raise UntraceableError("a result of another type than the arguments")
        if result.name not in trace.steps or result.uniform:
            result = trace.step("copy", (result.name,))
        needed = trace.needed(result.name)
        each = [name for name in needed if not trace.steps[name].uniform]
        self._dtype = dtype
        self._arrays = [i for i, a in enumerate(arguments) if a == "a"]
        self._numbers = [i for i, a in enumerate(arguments) if a == "n"]
        self._constants = [*trace.constants.values()]
        once = [name for name in needed if trace.steps[name].uniform]
        numbers = [*(f"x{i}" for i in self._numbers), *trace.constants, *once]
        self._once = [
            (trace.steps[name].call, [numbers.index(part) for part in trace.steps[name].parts])
            for name in once
        ]
        self._steps = self._laid_out(trace, each, numbers, result.name)
        self.work = sum(trace.steps[name].work for name in each)

    def _laid_out(
        self, trace: _Trace, each: list[str], numbers: list[str], result: str
    ) -> list[tuple[Call, tuple[int, ...]]]:
        """The calls, with the places of what they read and write in the list that `_run` is given.

        From the last step to the first: an array is in use from where it is read last to where it is written,
        and free for another before that. So the result is in the first one.
        """
        array_of = {result: "float0"}
        free: dict[str, list[str]] = {"float": [], "bool": []}
        count = {"float": 1, "bool": 0}
        for name in reversed(each):
            step = trace.steps[name]
            kind = "bool" if step.truth else "float"
            if step.in_place:
                free[kind].append(array_of[name])
            for part in step.parts:
                if part in each and part not in array_of:
                    of = "bool" if trace.steps[part].truth else "float"
                    if not free[of]:
                        free[of].append(f"{of}{count[of]}")
                        count[of] += 1
                    array_of[part] = free[of].pop()
            if not step.in_place:
                free[kind].append(array_of[name])
        self._floats, self._bools = count["float"] - 1, count["bool"]
        order = ["float0", *(f"x{i}" for i in self._arrays), *numbers]
        order += [f"float{1 + i}" for i in range(self._floats)] + [f"bool{i}" for i in range(self._bools)]
        place = {name: i for i, name in enumerate(order)}
        return [
            (
                trace.steps[name].call,
                tuple([place[array_of.get(value, value)] for value in (*trace.steps[name].parts, name)]),
            )
            for name in each
        ]

    def __call__(self, *arguments: Any) -> np.ndarray:
        """A new array that lies in memory as the first of the arrays, which all have its shape."""
        arrays = [arguments[i] for i in self._arrays]
        numbers = self._same_for_all(arguments) if self._numbers else self._constants
        out = np.empty_like(arrays[0])
        straight = out.flags.c_contiguous
        for array in arrays:
            straight = straight and array.flags.c_contiguous
        if straight and out.nbytes <= PIECE_BYTES and self.work * out.size < WORTHWHILE:
            self._run([out, *arrays, *numbers, *self._spare(out.shape)])
            return out
        if not straight:
            arrays = [lying_as(array, out) for array in arrays]
        flat = [array.ravel(order="K") for array in (out, *arrays)]
        work = self.work * out.size
        in_pieces(lambda part: self.run(part, numbers, *flat), out.size, work, align=ALIGN)
        return out

    def sum(self, *arguments: Any) -> np.ndarray:
        """The sum over all elements, of which no array is made."""
        arrays = [arguments[i] for i in self._arrays]
        numbers = self._same_for_all(arguments) if self._numbers else self._constants
        flat = [array.reshape(-1) for array in arrays]
        size = flat[0].size
        if size <= _ROW * _ROW:
            pieces = self._spare((size,), 1)
            self._run([pieces[0], *flat, *numbers, *pieces[1:]])
            return np.asarray(_sum(pieces[0]), dtype=self._dtype)

        def add_up(part: slice) -> float:
            count = _length(SUMMED_BYTES, self._dtype, part)
            spare, total = self._spare((count,), 1), 0.0
            for first in range(part.start, part.stop, count):
                last = min(first + count, part.stop)
                out, *others = [array[: last - first] for array in spare]
                self._run([out, *[array[first:last] for array in flat], *numbers, *others])
                total += _sum(out)
            return total

        totals = in_pieces(add_up, size, self.work * size, align=ALIGN)
        return np.asarray(sum(totals), dtype=self._dtype)

    def _same_for_all(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Numbers: of the arguments, constants, and what is made of both."""
        numbers = [arguments[i] for i in self._numbers] + self._constants
        for call, places in self._once:
            numbers.append(call(*[numbers[place] for place in places], None))
        return numbers

    def run(self, part: slice, numbers: list[Any], out: np.ndarray, *arrays: np.ndarray) -> None:
        """The steps on a part of the arrays, piece by piece; `out` is none of them."""
        count = _length(PIECE_BYTES, self._dtype, part)
        spare = self._spare((count,))
        for first in range(part.start, part.stop, count):
            last = min(first + count, part.stop)
            pieces = [array[first:last] for array in (out, *arrays)]
            self._run([*pieces, *numbers, *[array[: last - first] for array in spare]])

    def _spare(self, shape: tuple[int, ...], more: int = 0) -> list[np.ndarray]:
        """Arrays for what the steps find on the way, and some more before them."""
        floats = [np.empty(shape, self._dtype) for _ in range(self._floats + more)]
        return floats + [np.empty(shape, bool) for _ in range(self._bools)]

    def _run(self, places: list[Any]) -> None:
        at = places.__getitem__
        for call, operands in self._steps:
            call(*map(at, operands))


def _length(size: int, dtype: np.dtype, part: slice) -> int:
    """Elements of a piece of so many bytes; one at least, as `range` takes no steps of zero."""
    return max(min(size // dtype.itemsize, part.stop - part.start), 1)


def _sum(x: np.ndarray) -> float:
    """The sum of a flat array: those of short rows as a product with ones, which is faster, and their sum."""
    whole = x.size - x.size % _ROW
    total = float(np.add.reduce(x[whole:]))
    if whole:
        total += float(np.add.reduce(x[:whole].reshape(-1, _ROW) @ ones(_ROW, x.dtype)))
    return total


class Programs:
    """The programs of some formulas, for each type and combination of options, made when first needed.

    Args:
        formulas: `formula(xp, *arguments, **options)`, and a letter for each argument: "a" is an array, "n" a
            number as an array without axes, "-" None.
    """

    def __init__(self, *formulas: tuple[Call, str]) -> None:
        self._formulas = formulas
        self._known: dict[Any, Any] = {}

    def find(self, dtype: np.dtype, options: dict[str, Any]) -> Any:
        """A list of programs for arrays of a type; None where not all formulas can be written as one."""
        key: Any = dtype.char
        if options:
            key = (key, *options.items())
            if 0.0 in options.values():
                key = repr(key)  # as -0.0 is equal to it
        try:
            return self._known[key]
        except KeyError:
            return self._made(key, dtype, options)

    def _made(self, key: Any, dtype: np.dtype, options: dict[str, Any]) -> list[Program] | None:
        found = None
        with contextlib.suppress(*UNTRACEABLE):
            found = [Program(formula, arguments, dtype, options) for formula, arguments in self._formulas]
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = found
        return found


class _Step(NamedTuple):
    """A call; `in_place` says whether it may write into what it reads."""

    call: Call
    parts: tuple[str, ...]
    truth: bool
    uniform: bool
    in_place: bool
    work: float


class _Trace(expressions.Trace):
    """The steps of a formula by the names of their results, in order; constants by theirs."""

    own = frozenset(["sigmoid"])

    def __init__(self, dtype: np.dtype) -> None:
        super().__init__(dtype)
        self.steps: dict[str, _Step] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._known: dict[tuple, Expression] = {}
        self._given: dict[str, bool] = {}  # whether uniform

    def given(self, name: str, uniform: bool = False) -> Expression:
        """An argument of the formula."""
        self._given[name] = uniform
        return super().given(name, uniform)

    def add(self, operation: str, parts: tuple[Any, ...], truth: bool = False) -> Expression:
        """The result of a step, of one that stands for it, or of an earlier one that is the same."""
        numbers = [part for part in parts if not isinstance(part, Expression)]
        if any(type(number) not in (int, float) for number in numbers):
            raise UntraceableError("an expression meets what is no number")
        truths = {isinstance(part, Expression) and part.dtype == bool for part in parts}
        if operation == "where":
            return self._chosen(*parts)
        if truths != {operation in ("and", "or", "not", "number")}:
            raise UntraceableError(f"`{operation}` of truths and numbers")
        if numbers == [1] and (operation == "multiply" or (operation == "divide" and parts[1] is numbers[0])):
            return next(part for part in parts if isinstance(part, Expression))
        if operation in ("maximum", "minimum") and len(numbers) == 1 and not math.isnan(numbers[0]):
            (x,) = (part for part in parts if isinstance(part, Expression))
            if not x.uniform:
                return self._limited(operation, x, float(numbers[0]))
        return self.step(operation, self._names(parts), truth)

    def step(self, operation: str, names: tuple[str, ...], truth: bool = False) -> Expression:
        """The result of a step as it is."""
        if operation not in _CALLS:
            raise UntraceableError(f"`{operation}` is no call of NumPy's")
        key = (operation, names)
        if key not in self._known:
            name = f"t{len(self.steps)}"
            uniform = operation != "copy" and all(self._is_uniform(part) for part in names)
            if uniform and not isinstance(_CALLS[operation], np.ufunc):
                raise UntraceableError(f"`{operation}` of numbers alone")
            in_place = operation not in ("choose", "sigmoid")
            work = _WORK.get(operation, 0.5)
            self.steps[name] = _Step(_CALLS[operation], names, truth, uniform, in_place, work)
            self._known[key] = Expression(self, name, uniform, bool if truth else self.dtype)
        return self._known[key]

    def needed(self, result: str) -> list[str]:
        """The steps that a result comes from, in order."""
        found, left = set(), [result]
        while left:
            name = left.pop()
            if name in self.steps and name not in found:
                found.add(name)
                left += self.steps[name].parts
        return [name for name in self.steps if name in found]

    def _limited(self, operation: str, x: Expression, bound: float) -> Expression:
        """A maximum or minimum with a number as a `clip`, which is faster, and one with an earlier one."""
        low, high = (bound, math.inf) if operation == "maximum" else (-math.inf, bound)
        earlier = self.steps.get(x.name)
        if earlier is not None and earlier.call is _clip:
            name, *bounds = earlier.parts
            below, above = (float(self.constants[part]) for part in bounds)
            if below <= bound <= above:
                return self.step("clip", (name, *self._names((max(low, below), min(high, above)))))
        return self.step("clip", (x.name, *self._names((low, high))))

    def _chosen(self, condition: Any, x1: Any, x2: Any) -> Expression:
        """`where` by bits: the library mispredicts a branch at every other element."""
        if not isinstance(condition, Expression) or condition.dtype != bool or condition.uniform:
            raise UntraceableError("`where` without a condition of each element")
        if any(isinstance(x, Expression) and x.dtype == bool for x in (x1, x2)):
            raise UntraceableError("`where` of truths")
        if _is_zero(x2):
            return self.step("select", self._names((condition, x1)))
        if _is_zero(x1):
            return self.step("select", self._names((~condition, x2)))
        return self.step("choose", self._names((condition, x1, x2)))

    def _names(self, parts: tuple[Any, ...]) -> tuple[str, ...]:
        return tuple([part.name if isinstance(part, Expression) else self._constant(part) for part in parts])

    def _constant(self, number: float) -> str:
        name = f"constant {float(number)!r}"
        if name not in self.constants:
            with np.errstate(over="ignore"):
                self.constants[name] = np.asarray(number, dtype=self.dtype)
        return name

    def _is_uniform(self, name: str) -> bool:
        return name in self.constants or (
            self.steps[name].uniform if name in self.steps else self._given[name]
        )


def write_selected(out: np.ndarray, condition: np.ndarray, x: Any) -> np.ndarray:
    """x where the condition holds, else 0: one or zero times its bits."""
    integer = INTEGERS[out.dtype.char]
    np.multiply(condition, x.view(integer), out=out.view(integer))
    return out


def _select(condition: np.ndarray, x: Any, out: np.ndarray) -> None:
    write_selected(out, condition, x)


def _choose(condition: np.ndarray, x1: Any, x2: Any, out: np.ndarray) -> None:
    """x1 where the condition holds, else x2: the bits of x2, changed where those of x1 differ."""
    integer = INTEGERS[out.dtype.char]
    bits, other = out.view(integer), x2.view(integer)
    np.bitwise_xor(x1.view(integer), other, bits)
    np.multiply(condition, bits, bits)
    np.bitwise_xor(bits, other, bits)


def _sigmoid(x: np.ndarray, out: np.ndarray) -> None:
    """1 / (1 + e^-x): where the exponential is infinite, 0 is right."""
    np.negative(x, out)
    with np.errstate(over="ignore"):
        np.exp(out, out)
    np.add(out, _ONE[out.dtype.char], out)
    np.divide(_ONE[out.dtype.char], out, out)


def _clip(x: np.ndarray, low: np.ndarray, high: np.ndarray, out: np.ndarray) -> None:
    x.clip(low, high, out)


def _maximum(x1: Any, x2: Any, out: np.ndarray) -> None:
    np.maximum(x1, x2, out=out)  # by name, as for these two the library does not take it by place


def _minimum(x1: Any, x2: Any, out: np.ndarray) -> None:
    np.minimum(x1, x2, out=out)


def _copy(x: Any, out: np.ndarray) -> None:
    np.copyto(out, x)


_ONE = {char: np.asarray(1.0, dtype=char) for char in "fd"}

_CALLS: dict[str, Call] = {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "pow": np.power,
    "clip": _clip,
    "maximum": _maximum,
    "minimum": _minimum,
    "copy": _copy,
    "number": _copy,
    "select": _select,
    "choose": _choose,
    "sigmoid": _sigmoid,
}
_CALLS |= {
    name: getattr(np, name)
    for name in (
        *("add", "subtract", "multiply", "divide", "negative", "abs", "square", "sign"),
        *("exp", "expm1", "log", "log1p", "tanh", "sqrt", "sin", "cos", "floor", "ceil", "trunc", "isnan"),
    )
}

# What takes longer than the others, which count half (see `by_element`).
_WORK = dict.fromkeys(("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "sqrt", "sign"), 2.0)
_WORK |= {"pow": 8.0, "sigmoid": 4.0, "select": 1.25, "choose": 2.25, "number": 0.75}


def _is_zero(x: Any) -> bool:
    return not isinstance(x, Expression) and repr(float(x)) == "0.0"
