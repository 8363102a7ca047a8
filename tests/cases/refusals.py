"""What all functions refuse alike, derived from their cases; a row names only what is its own."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import xpnn.functional as F
from cases.case import Case
from xpnn.backend import ArgumentError, BackendMismatchError, DTypeError, ShapeError


@dataclass(frozen=True)
class SharedRefusal:
    """A call that must raise `error`; the input at `foreign`, if any, is an array of another library."""

    what: str
    error: type[Exception]
    match: str
    inputs: tuple[Any, ...]
    options: dict[str, Any]
    foreign: int | None = None


def shared_refusals(case: Case) -> Iterator[SharedRefusal]:
    """Integers for floats, two element types, two libraries, too few or many axes, options of other types."""
    options = case.options[0]
    inputs = case.arrays(**options)
    floats = [i for i, x in enumerate(inputs) if x is not None and x.dtype.kind == "f"]

    def replaced(position: int, array: np.ndarray) -> tuple[Any, ...]:
        return *inputs[:position], array, *inputs[position + 1 :]

    for i in () if case.any_dtype else floats[:1]:
        integers = replaced(i, np.ones(inputs[i].shape, dtype=np.int64))
        yield SharedRefusal("integers", DTypeError, r"a floating-point \w+, got int64", integers, options)
    for i in floats[1:]:
        if i not in case.own_dtype:
            narrow = replaced(i, inputs[i].astype(np.float32))
            yield SharedRefusal(f"float32 as input {i}", DTypeError, r"got .*float32", narrow, options)
        yield SharedRefusal(
            f"another library at {i}", BackendMismatchError, r"in one operation", inputs, options, i
        )
    if case.axes is not None:
        lowest, highest = case.axes
        for axes in {0, lowest - 1, lowest if highest is None else highest + 1} - {lowest}:
            array = replaced(0, np.ones((2,) * axes, dtype=inputs[0].dtype))
            yield SharedRefusal(f"{axes} axes", ShapeError, rf"axes.* got ({axes}|shape)", array, options)
    if "reduction" in options:
        unknown = {**options, "reduction": "average"}
        match = r"reduction to be 'none', .*, got 'average'"
        yield SharedRefusal("an unknown reduction", ArgumentError, match, inputs, unknown)
    for option, wrong in _wrong_options(case):
        yield SharedRefusal(f"{option}={wrong!r}", ArgumentError, option, inputs, {**options, option: wrong})


def _wrong_options(case: Case) -> Iterator[tuple[str, Any]]:
    """Numbers and switches of the public function, with what is neither."""
    function = getattr(F, case.name.split()[0])
    for name, parameter in inspect.signature(function).parameters.items():
        used = any(name in options for options in case.options)
        if used and parameter.annotation in ("float", "float | None"):
            yield from ((name, wrong) for wrong in ("1", 1j, math.nan, True))
        if used and parameter.annotation == "bool":
            yield from ((name, wrong) for wrong in ("False", 2, None))
