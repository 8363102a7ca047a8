"""One `Case` per public function: what it is given, what it must answer, and what it must refuse.

`tests/test_cases.py` runs every case on every backend. A family of functions has a file or a package in this
folder, whose files name their cases in a list `CASES`; they are found without being registered anywhere.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Inputs = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True)
class Bad:
    """A call that must be refused; made by `bad`."""

    error: type[Exception]
    match: str
    inputs: Inputs | None
    options: dict[str, Any]
    values: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """A public function with everything that holds it to account.

    Args:
        name: the function's name; several cases of one function are told apart after a space
            (`"cross_entropy soft labels"`).
        function: is called as `function(*inputs, **options)`; returns an array or a tuple of arrays.
        inputs: `inputs(rng, **options)` makes NumPy arrays of float64, int64 or bool, or None for an
            argument that is left out. Two to four elements an axis will do.
        options: the keyword arguments to run through, one dictionary a run; see `grid`.
        torch: `torch(torch, *inputs, **options)`: the same by PyTorch, on float64 tensors.
        naive: the same by a loop or the formula, on NumPy arrays; takes the inputs and the options. None
            only where PyTorch is the one oracle.
        differentiable: positions of the inputs that have a gradient; None is all floating ones.
        second_order: whether the second derivative is checked.
        batched: positions of the inputs whose first axis is the batch, for the run with an empty batch;
            () leaves it out, and so does an oracle that refuses an empty batch.
        keeps_dtype: whether floating outputs have the element type of the floating inputs.
        rtol, atol: tolerances of the comparison with the oracles in float64.
        float32: (rtol, atol) of the run in float32 against the one in float64.
        axes: the lowest and the highest number of axes that the first input may have, or None for no limit;
            None is any number.
        extremes: positions of the inputs that NaN, infinities, zeros and the like are put into, one at a
            time, to compare results and gradients with PyTorch's; () leaves it out.
        any_dtype: whether the first input may be integers as well.
        own_dtype: positions of the floating inputs that may have another element type than the first.
        checks: False for a helper whose callers have checked its arguments: no refusals are derived.
        errors: calls that must be refused beside those that all functions refuse (tests/cases/refusals.py);
            see `bad`.
    """

    name: str
    function: Callable[..., Any]
    inputs: Inputs
    options: Sequence[dict[str, Any]] = field(default_factory=lambda: [{}])
    torch: Callable[..., Any] | None = None
    naive: Callable[..., Any] | None = None
    differentiable: tuple[int, ...] | None = None
    second_order: bool = True
    batched: tuple[int, ...] = (0,)
    keeps_dtype: bool = True
    rtol: float = 1e-9
    atol: float = 1e-11
    float32: tuple[float, float] = (1e-4, 1e-5)
    axes: tuple[int, int | None] | None = None
    extremes: tuple[int, ...] = (0,)
    any_dtype: bool = False
    own_dtype: tuple[int, ...] = ()
    checks: bool = True
    errors: Sequence[Bad] = ()

    def __str__(self) -> str:
        return self.name.replace(" ", "_")

    def arrays(self, **options: Any) -> tuple[Any, ...]:
        """The inputs for these options, the same ones at every call."""
        return tuple(self.inputs(np.random.default_rng(0), **options))

    def gradient_positions(self, arrays: Sequence[Any]) -> tuple[int, ...]:
        """Which of these inputs have a gradient."""
        if self.differentiable is not None:
            return tuple(i for i in self.differentiable if arrays[i] is not None)
        return tuple(i for i, array in enumerate(arrays) if array is not None and array.dtype.kind == "f")


def grid(**values: Any) -> list[dict[str, Any]]:
    """Every combination of the options' values; a value that is not a list stays fixed.

    >>> grid(stride=[1, (2, 1)], groups=2)
    [{'stride': 1, 'groups': 2}, {'stride': (2, 1), 'groups': 2}]
    """
    choices = [value if isinstance(value, list) else [value] for value in values.values()]
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*choices)]


def bad(
    error: type[Exception],
    match: str,
    inputs: Inputs | None = None,
    *,
    values: bool = False,
    **options: Any,
) -> Bad:
    """A call that must raise `error` with a message in which the pattern `match` is found.

    Args:
        inputs: `inputs(rng)` makes the arrays; None takes the case's own for its first options, updated
            by these.
        values: whether it takes the values of an array to see what is wrong; on a GPU they are not read.
        options: keyword arguments, over the case's first ones.
    """
    return Bad(error, match, inputs, options, values)


def describe(options: dict[str, Any]) -> str:
    """Options as a part of a test's name.

    >>> describe({"stride": (2, 1), "groups": 1})
    'stride=2x1,groups=1'
    """
    return ",".join(f"{name}={_word(value)}" for name, value in options.items()) or "default"


def family_files() -> Iterator[str]:
    """The names of the modules in this folder and in the packages of families."""
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], "cases."):
        if not module.ispkg:
            yield module.name


def all_cases() -> Iterator[Case]:
    """The cases of every family."""
    for name in family_files():
        yield from getattr(importlib.import_module(name), "CASES", ())


def _word(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "x".join(_word(element) for element in value)
    return str(getattr(value, "__name__", value)).replace(" ", "")
