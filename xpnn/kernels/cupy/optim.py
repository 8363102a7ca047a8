"""The updater of CuPy: one launch for all parameters of a group, whatever the optimizer's formula.

The formula is written in C by calling it once with expressions (see `expressions.py`). The kernel is given
a table of addresses (see `tables.py`). Learning rate and step count may lie on the device: no number is read
by the host. New parameters and slots are pieces of new arrays, as nobody's array is written to.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn.backend import Array, is_array, is_tensor, item
from xpnn.backend.update_kernels import GroupStep, updater
from xpnn.kernels.cupy.expressions import Trace
from xpnn.kernels.cupy.launching import (
    MOST_THREADS,
    computed_in,
    filled,
    in_rows,
    launch,
    library_of,
    read_source,
    takes,
)
from xpnn.kernels.cupy.tables import CHUNK, Layout, Tables
from xpnn.kernels.expressions import UNTRACEABLE, Expression, UntraceableError


class Option(NamedTuple):
    """A number of the group: where it stands among the options, and its type if it lies on the device."""

    number: int  # which one it is of all
    name: str
    place: int | None  # in a tuple of numbers
    there: str  # in C; empty for a number of the host

    @property
    def spelt(self) -> str:
        """Its name in the kernel."""
        return f"option{_in_c(self.number, self.name)}"


def _in_c(number: int, name: str) -> str:
    """The end of a name in C; the number holds apart what differs in signs that C has not."""
    return f"{number}_{re.sub(r'[^A-Za-z0-9_]', '_', name)}"


@updater("cupy")
class OneLaunch:
    """Remembers the tables of addresses that lie on the device, by their contents."""

    takes_arrays = True  # among the options

    def __init__(self) -> None:
        self._tables = Tables()

    def update(self, step: GroupStep) -> list[int]:
        """Update the parameters of floating-point numbers, those of one type and device together."""
        alike: dict[tuple[str, str], list[int]] = {}
        for i, grad in enumerate(step.grads):
            if grad is not None and step.slots and not step.states[i]:
                step.prepare(i)  # now, so that states stand in the order of their parameters
            if grad is not None and takes(step.tensors[i].array, grad):
                array = step.tensors[i].array
                alike.setdefault((array.dtype.char, str(array.device)), []).append(i)
        done: list[int] = []
        for (char, _), members in alike.items():
            options = _beside(step.options, step.tensors[members[0]].array)
            numbers, fixed = _options(options)
            source = _source(step.formula, char, tuple(numbers), fixed, tuple(step.slots), step.scalars)
            if source is not None:
                self._launch(source, step, members, [_value(options, option) for option in numbers])
                done += members
        return done

    def _launch(self, source: str, step: GroupStep, members: list[int], options: list[Any]) -> None:
        """Update some parameters of one type, and put the results where the old arrays were."""
        params = [in_rows(step.tensors[i].array) for i in members]
        kept = [in_rows(step.grads[i]) for i in members]  # alive until the kernel is launched
        library, char = library_of(params[0]), params[0].dtype.char
        inside = computed_in(char)
        states = [_complete(step, i, params[k], inside) for k, i in enumerate(members)]

        layout, rows = Layout(params), []
        for row, param, grad, state in zip(layout.rows, params, kept, states):
            arrays = [param, grad, *(in_rows(state[slot]) for slot in step.slots)]
            kept += arrays
            rows.append([*row, *(array.data.ptr for array in arrays)])
        table = self._tables.on_device(library, rows, params[0].device)

        new = library.empty((layout.size,), dtype=params[0].dtype)
        slots = {slot: library.empty((layout.size,), dtype=inside) for slot in step.arrays}
        numbers = {slot: library.empty((len(rows),), dtype=inside) for slot in step.numbers}
        given = [_number(option, inside) for option in options]
        args = (table, np.int32(len(rows)), new, *slots.values(), *numbers.values(), *given)
        launch(source, "update", new, layout.chunks, MOST_THREADS, args, size=layout.size + CHUNK)
        shapes = [param.shape for param in params]
        for i, piece in zip(members, layout.pieces(new, shapes)):
            step.tensors[i].store(piece)
        for slot, array in slots.items():
            for i, piece in zip(members, layout.pieces(array, shapes)):
                step.states[i][slot] = piece
        for slot, array in numbers.items():
            for k, i in enumerate(members):
                step.states[i][slot] = array[k]


def _complete(step: GroupStep, i: int, param: Array, inside: Any) -> dict[str, Array]:
    """The state of a parameter, all slots of the type that is computed in and beside the parameter."""
    state = step.states[i]
    for slot in step.slots:
        array: Any = state.get(slot)
        if type(array) is not type(param) or array.dtype != inside or array.device != param.device:
            return step.prepare(i)
    return state


def _beside(options: dict[str, Any], param: Array) -> dict[str, Any]:
    """The options; numbers in arrays that do not lie beside the parameters are read."""

    def part(value: Any) -> Any:
        array = value.array if is_tensor(value) else value
        if not is_array(array) or (type(array) is type(param) and array.device == param.device):
            return array
        return item(array) if array.size == 1 else array

    return {
        name: tuple(map(part, value)) if type(value) is tuple else part(value)
        for name, value in options.items()
    }


def _options(options: dict[str, Any]) -> tuple[list[Option], tuple[tuple[str, Any], ...]]:
    """The numbers of a group, which may change from step to step, and what is written into the source.

    A zero is written there: of a formula it leaves out a part.
    """
    numbers: list[Option] = []
    fixed: list[tuple[str, Any]] = []
    for name, value in options.items():
        parts = value if type(value) is tuple else (value,)
        if all(part.size == 1 if is_array(part) else type(part) is float and part != 0 for part in parts):
            for place, part in enumerate(parts):
                there = "" if not is_array(part) else "double" if part.dtype == np.float64 else "A"
                numbers.append(Option(len(numbers), name, place if parts is value else None, there))
        else:
            fixed.append((name, value))
    return numbers, tuple(fixed)


def _value(options: dict[str, Any], option: Option) -> Any:
    value = options[option.name]
    return value if option.place is None else value[option.place]


def _number(value: Any, inside: Any) -> Any:
    """A number as the kernel takes it; one on the device in float64, or the type that is computed in."""
    if not is_array(value):
        return np.float64(value)
    return value if value.dtype in (np.float64, inside) else value.astype(inside)


def _source(
    formula: Callable[..., Any],
    char: str,
    numbers: tuple[Option, ...],
    fixed: tuple[tuple[str, Any], ...],
    slots: tuple[str, ...],
    scalars: Any,
) -> str | None:
    function = getattr(formula, "__func__", formula)  # the same for all optimizers of a class
    bound = getattr(formula, "__self__", None) is not None
    try:
        return _traced(function, bound, char, numbers, fixed, slots, tuple(sorted(scalars)))
    except TypeError:  # an option that has no hash, such as a list
        return None


class _Nobody:
    """The optimizer while its formula is traced: what it has of its own may be other than its class's."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        raise UntraceableError(f"the formula asks for `self.{name}`")


@functools.lru_cache(maxsize=256)
def _traced(
    function: Callable[..., Any],
    bound: bool,
    char: str,
    numbers: tuple[Option, ...],
    fixed: tuple[tuple[str, Any], ...],
    slots: tuple[str, ...],
    scalars: tuple[str, ...],
) -> str | None:
    """The kernel of an optimizer's formula, or None where it cannot be written in C."""
    trace = Trace(computed_in(char))
    options: dict[str, Any] = dict(fixed)
    for option in numbers:
        number = trace.given(option.spelt, uniform=True)
        options[option.name] = number if option.place is None else (*options.get(option.name, ()), number)
    state: dict[str, Any] = {
        slot: trace.given(f"old{_in_c(k, slot)}", uniform=slot in scalars) for k, slot in enumerate(slots)
    }
    if "step" in state:
        state["step"] = state["step"] + 1
    param, grad = trace.given("param"), trace.given("grad")
    call = functools.partial(function, _Nobody()) if bound else function
    try:
        param, state = call(param, grad, state, options)
        return _written(trace, param, state, numbers, slots, scalars)
    except UNTRACEABLE:
        return None


def _written(
    trace: Trace,
    param: Any,
    state: dict[str, Any],
    numbers: tuple[Option, ...],
    slots: tuple[str, ...],
    scalars: tuple[str, ...],
) -> str:
    spelt = {slot: _in_c(k, slot) for k, slot in enumerate(slots)}
    arrays = [slot for slot in slots if slot not in scalars]
    counts = [slot for slot in slots if slot in scalars]
    parameters = ["T* __restrict__ new_param"]
    parameters += [f"A* __restrict__ new{spelt[slot]}" for slot in (*arrays, *counts)]
    parameters += [f"const {o.there}* {o.spelt}_" if o.there else f"double {o.spelt}" for o in numbers]
    addresses = ["const T* params = (const T*)row[3];", "const T* grads = (const T*)row[4];"]
    for place, slot in enumerate(slots, start=5):
        addresses.append(f"const A* slot{spelt[slot]} = (const A*)row[{place}];")

    body = ["const A param = read(params, i), grad = read(grads, i);"]
    body += [f"const A old{spelt[slot]} = slot{spelt[slot]}[i];" for slot in arrays]
    results = [f"write(new_param, offset + i, {trace.element(param)});"]
    results += [f"new{spelt[slot]}[offset + i] = {trace.element(state[slot])};" for slot in arrays]
    body += [*trace.body, *results]

    once = [f"const double {o.spelt} = *{o.spelt}_;" for o in numbers if o.there]
    once += [f"const double old{spelt[slot]} = *slot{spelt[slot]};" for slot in counts]
    once += [*trace.once, *(f"uniform[{place}] = (A){name};" for name, place in trace.shared.items())]
    for slot in counts:
        if not (isinstance(state[slot], Expression) and state[slot].uniform):
            raise TypeError(f"the slot {slot} is not a number")
    places = {
        "<PARAMETERS>": ", ".join(parameters),
        "<WIDTH>": str(5 + len(slots)),
        "<CHUNK>": str(CHUNK),
        "<UNIFORMS>": str(max(len(trace.shared), 1)),
        "<ADDRESSES>": "\n    ".join(addresses),
        "<ONCE>": "\n        ".join(once),
        "<NUMBERS>": "\n            ".join(
            f"new{spelt[slot]}[low] = (A){state[slot].name};" for slot in counts
        ),
        "<BODY>": "\n        ".join(body),
    }
    return filled(read_source("multi_tensor.cu"), places)
