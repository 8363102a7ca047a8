"""Every pointwise activation in one launch each way, written from the formulas of the references."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.backend import Array, kernel, saves_as_reference
from xpnn.backend.formulas import Formula, registered_formulas
from xpnn.kernels.cupy.expressions import Trace
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    blocks_for,
    computed_in,
    filled,
    launch,
    library_of,
    lying_alike,
    read_source,
    takes,
)
from xpnn.kernels.expressions import UNTRACEABLE, xp

_PER_THREAD = 4  # elements, so that a thread waits for memory once for all of them


class Source(NamedTuple):
    """The kernels of a formula: the text, and the names of the options that they are given as numbers."""

    text: str
    numbers: tuple[str, ...]


def _register(formula: Formula, half: bool) -> None:
    """The kernel of an activation, for half precision or for the others."""

    def when(x: Array, **options: Any) -> bool:
        return takes(x) and (x.itemsize == 2) == half and _source(formula, x.dtype.char, options) is not None

    @kernel("cupy", formula.name, when=when, half=when if half else None)
    def forward(x: Array, **options: Any) -> tuple[Array, tuple]:
        y = _evaluate(formula, "pointwise_value", [x], options)
        return y, tuple([(x, y)[k] for k in formula.saved])

    def backward(gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple[Array]:
        return (_evaluate(formula, "pointwise_gradient", [gy, *saved], options),)

    # What is kept in half precision would make second derivatives in half precision: those are replayed.
    alike = formula.kept_alike and not half
    forward.backward(saves_as_reference(backward) if alike else backward)


def _evaluate(formula: Formula, name: str, arrays: list[Array], options: dict[str, Any]) -> Array:
    """A kernel of arrays of one shape; the result lies in memory as the first of them."""
    arrays = lying_alike(*arrays)
    y = library_of(arrays[0]).empty_like(arrays[0])
    source = _source(formula, y.dtype.char, options)
    assert source is not None
    numbers = [float(options[name]) for name in source.numbers]
    blocks = blocks_for(y.size, _PER_THREAD)
    launch(source.text, name, y, blocks, MOST_THREADS, (*arrays, y, *numbers, y.size))
    return y


def _source(formula: Formula, char: str, options: dict[str, Any]) -> Source | None:
    """The kernels of a formula, or None where it cannot be written in C.

    Numbers are arguments of the kernels, unless the formula goes different ways by them.
    """
    numbers = tuple(name for name, value in options.items() if type(value) is float)
    others = tuple((name, value) for name, value in options.items() if name not in numbers)
    return _traced(formula, char, numbers, others) or _traced(formula, char, (), tuple(options.items()))


@functools.lru_cache(maxsize=1024)
def _traced(
    formula: Formula, char: str, numbers: tuple[str, ...], others: tuple[tuple[str, Any], ...]
) -> Source | None:
    functions = {
        "pointwise_value": (formula.value, 1),
        "pointwise_gradient": (formula.gradient, 1 + len(formula.saved)),
    }
    try:
        texts = [
            _text(name, function, count, char, numbers, dict(others))
            for name, (function, count) in functions.items()
        ]
    except UNTRACEABLE:
        return None
    return Source("\n".join(texts), numbers)


def _text(
    name: str,
    function: Callable[..., Any],
    count: int,
    char: str,
    numbers: tuple[str, ...],
    options: dict[str, Any],
) -> str:
    """A kernel of `function(xp, *arrays, **options)` with so many arrays."""
    trace = Trace(computed_in(char))
    arrays = [trace.given(f"x{k}") for k in range(count)]
    result = function(xp, *arrays, **options, **{n: trace.given(f"option_{n}") for n in numbers})
    body = [f"const A x{k} = read(in{k}, i);" for k in range(count)]
    body += [*trace.body, f"write(out, i, {trace.element(result)});"]
    parameters = [f"const T* __restrict__ in{k}" for k in range(count)]
    parameters += ["T* __restrict__ out", *(f"A option_{n}" for n in numbers)]
    places = {"<NAME>": name, "<PARAMETERS>": ", ".join(parameters), "<BODY>": "\n        ".join(body)}
    return filled(read_source("pointwise.cu"), places)


for _formula in registered_formulas():
    for _half in (False, True):
        _register(_formula, _half)
