"""What a network computes, as a list of steps: noted twice, to tell what depends on the input.

All operations on Tensors are noted, and only those are kept that the outputs come from. What a network
computes of raw arrays shows up as constants; so it is run on two inputs of other values, and of other batch
sizes where these are free. A constant that differs between the runs cannot be exported, and shapes that
differ follow the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.autograd.functions.random import get_rng_state
from xpnn.autograd.mode import Call, enable_grad, noting_calls
from xpnn.backend import ArgumentError, XpnnError, asarray, dtype_name, is_array, is_floating, to_numpy
from xpnn.nn import Module
from xpnn.nn.summary import evaluating

BATCHES = (2, 3)  # of the two runs


class ExportError(XpnnError, NotImplementedError):
    """A network that ONNX, or the export, has no words for."""


@dataclass(eq=False)
class Value:
    """An array of the network.

    Attributes:
        shapes: its shape in both runs.
        dtype: by name.
        array: the elements, of a constant.
        name: of an input, a parameter or a buffer.
        fill: the number that a constant is full of, whose shape follows the batch.
        counts: whether it counts the samples of the batch from 0.
        batches: of a number, how many times the size of the batch it is.
        users: the steps that it is an argument of.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtype: str
    array: np.ndarray | None = None
    name: str = ""
    fill: float | None = None
    counts: bool = False
    batches: int = 0
    users: list[Step] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the first run."""
        return self.shapes[0]


@dataclass(eq=False)
class Step:
    """An operation.

    Attributes:
        name: the primitive's.
        arguments: Values, or None for what was left out.
        options: of both runs.
        results: a Value for each.
        place, path: the module that it is in, "Conv2d 'features.0'", and its name.
    """

    name: str
    arguments: list[Value | None]
    both_options: tuple[dict[str, Any], dict[str, Any]]
    results: list[Value]
    place: str
    path: str

    @property
    def options(self) -> dict[str, Any]:
        """The options in the first run."""
        return self.both_options[0]

    def error(self, problem: str, hint: str = "") -> ExportError:
        """An error that names the module."""
        return ExportError(problem, subject=self.place or "The network", hint=hint)


@dataclass
class Trace:
    """The steps of a network, its inputs and its outputs."""

    steps: list[Step]
    inputs: list[Value]
    outputs: list[Value]


def trace(
    model: Module, example: Sequence[Any], names: Sequence[str], axis: int | None, method: str = "forward"
) -> Trace:
    """Record a network in evaluation mode.

    Args:
        example: its arguments.
        names: of the inputs.
        axis: of the inputs that may have any size, or None.
        method: what is called in the place of `forward`.
    """
    runs = [_run(model, _other(example, axis, number), method) for number in range(2)]
    one, other = ([call.name for call in run.calls] for run in runs)
    if one != other or len(runs[0].roots) != len(runs[1].roots):
        raise ExportError(
            "takes other steps for other inputs, which a graph cannot say",
            subject=type(model).__name__,
            hint="With dynamic=False it may for a fixed shape" if axis is not None else "",
        )
    return _Tracer(model, runs, names).trace()


@dataclass
class _Run:
    calls: list[Call]
    inputs: list[Any]  # raw arrays, and so the roots
    roots: list[Any]
    draws: bool  # random numbers


def _run(model: Module, arrays: Sequence[np.ndarray], method: str) -> _Run:
    """Run the network once, and note what it calls."""
    inputs = [Tensor(asarray(array)) for array in arrays]
    for tensor in inputs:
        tensor.requires_grad = is_floating(tensor)
    before = to_numpy(get_rng_state())
    with evaluating(model), enable_grad(), noting_calls() as calls:
        roots = _flat(model(*inputs) if method == "forward" else getattr(model, method)(*inputs))
    draws = not np.array_equal(before, to_numpy(get_rng_state()))
    return _Run(calls, [tensor.array for tensor in inputs], [root.array for root in roots], draws)


def _other(example: Sequence[Any], axis: int | None, number: int) -> list[np.ndarray]:
    """The inputs of a run: the example's rows as often as needed, and for the second run other values."""
    found = []
    for given in example:
        array = to_numpy(given)
        if axis is not None:
            if array.ndim <= axis or not array.shape[axis]:
                raise ArgumentError(
                    f"expects inputs with a batch along axis {axis}, got one of shape {array.shape}",
                    subject="export",
                    hint="dynamic=False fixes the shapes",
                )
            array = np.take(array, np.arange(BATCHES[number]) % array.shape[axis], axis)
        if number:
            array = np.roll(array.reshape(-1)[::-1], 1).reshape(array.shape)
            if array.dtype.kind == "f":
                steps = np.arange(array.size).reshape(array.shape)
                array = array + (0.01 * np.sin(steps)).astype(array.dtype)
        found.append(np.ascontiguousarray(array))
    return found


class _Tracer:
    """Makes the steps of two runs, which call the same operations.

    Arrays go by their ids: `kept` and the runs hold all of them.
    """

    def __init__(self, model: Module, runs: list[_Run], names: Sequence[str]) -> None:
        self.runs = runs
        self.values: dict[int, Value] = {}
        self.kept: list[Any] = []
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self._constant(tensor.array, name)
        self.inputs = []
        for name, one, other in zip(names, runs[0].inputs, runs[1].inputs):
            value = Value((tuple(one.shape), tuple(other.shape)), dtype_name(one.dtype), name=name)
            self.values[id(one)] = value
            self.inputs.append(value)

    def trace(self) -> Trace:
        calls = [*zip(self.runs[0].calls, self.runs[1].calls)]
        steps = [self._step(*calls[i]) for i in self._wanted(calls)]
        roots = zip(self.runs[0].roots, self.runs[1].roots)
        outputs = [self._given(one, other, None) for one, other in roots]
        return Trace(steps, self.inputs, outputs)

    def _wanted(self, calls: list[tuple[Call, Call]]) -> list[int]:
        """Which calls are steps: those that an output comes from, unless their results are constants."""
        varying = {id(one) for one in self.runs[0].inputs}
        makers: dict[int, int] = {}  # by the id of a result, the call that made it
        for i, (call, _) in enumerate(calls):
            given = {id(x) for x in _arrays_in(call.arguments)}
            fresh = [id(y) for y in call.results if id(y) not in given and id(y) not in self.values]
            for key in fresh:
                makers.setdefault(key, i)
            if given & varying:
                varying.update(fresh)
        roots = [id(root) for root in self.runs[0].roots]
        wanted: set[int] = set()
        asked = [makers[root] for root in roots if root in makers]
        while asked:
            i = asked.pop()
            one, other = calls[i]
            if i in wanted or (not varying & {*map(id, one.results)} and self._is_constant(one, other)):
                continue
            wanted.add(i)
            asked += [makers[id(x)] for x in _arrays_in(one.arguments) if id(x) in makers]
        return sorted(wanted)

    def _is_constant(self, call: Call, other: Call) -> bool:
        return all(
            self._plain(a, b, to_numpy(a), to_numpy(b)) is not None
            for a, b in zip(call.results, other.results)
        )

    def _step(self, call: Call, other: Call) -> Step:
        place = call.scope[-1] if call.scope else ""
        results = [
            Value((tuple(one.shape), tuple(two.shape)), dtype_name(one.dtype))
            for one, two in zip(call.results, other.results)
        ]
        options = (call.options, other.options)
        step = Step(call.name, [], options, results, str(place), getattr(place, "path", ""))
        for one, two in zip(call.arguments, other.arguments):
            if isinstance(one, list | tuple):
                step.arguments += [self._argument(*pair, step, call) for pair in zip(one, two)]
            else:
                step.arguments.append(self._argument(one, two, step, call))
        for raw, value in zip(call.results, results):
            self.values.setdefault(id(raw), value)
        return step

    def _argument(self, one: Any, two: Any, step: Step, call: Call) -> Value | None:
        if one is None:
            return None
        if is_array(one):
            value = self._given(one, two, step)
        else:
            value = self._number(one, two, step, call)
        value.users.append(step)
        return value

    def _number(self, one: Any, two: Any, step: Step, call: Call) -> Value:
        """A number, which is of the type of what it meets."""
        dtype = step.results[0].dtype
        if dtype == "bool":
            dtype = next((dtype_name(x.dtype) for x in _arrays_in(call.arguments)), dtype)
        if one == two or one != one:
            return Value(((), ()), dtype, np.asarray(one, dtype=dtype))
        times, rest = divmod(one, BATCHES[0])
        if rest or times * BATCHES[1] != two:
            raise step.error(
                "takes a number that follows the input, and is no multiple of the batch: "
                f"{one} for {BATCHES[0]} samples, {two} for {BATCHES[1]}"
            )
        return Value(((), ()), dtype, batches=int(times))

    def _given(self, one: Any, two: Any, step: Step | None) -> Value:
        """The Value of an array: of an input, of a step's result, or of a constant."""
        if id(one) in self.values:
            return self.values[id(one)]
        array, again = to_numpy(one), to_numpy(two)
        found = self._plain(one, two, array, again)
        if found is not None:
            return found
        problem = f"computes an argument of '{step.name if step else 'the output'}' "
        if self.runs[0].draws:
            problem += "of random numbers, or from the input by raw arrays"
            hint = "Export what draws nothing, such as method='encode', or a part of the network"
        else:
            problem += "from the input by raw arrays, or on the host, where operations are not noted"
            hint = "Pass it to the network as an input of its own"
        raise step.error(problem, hint) if step else ExportError(problem, hint=hint)

    def _plain(self, one: Any, two: Any, array: np.ndarray, again: np.ndarray) -> Value | None:
        """The Value of what no step has to compute: a constant, or the copy of an input."""
        if array.shape == again.shape and np.array_equal(array, again, equal_nan=array.dtype.kind == "f"):
            return self._constant(one, "")
        for value, first, second in zip(self.inputs, self.runs[0].inputs, self.runs[1].inputs):
            if np.array_equal(array, to_numpy(first)) and np.array_equal(again, to_numpy(second)):
                return value
        shapes = (array.shape, again.shape)
        full = {*np.unique(array).tolist(), *np.unique(again).tolist()}
        if len(full) == 1 and array.ndim == again.ndim:
            return Value(shapes, array.dtype.name, fill=full.pop())
        of_samples = shapes == tuple((size,) for size in BATCHES) and array.dtype.kind == "i"
        if of_samples and all(np.array_equal(x, np.arange(len(x))) for x in (array, again)):
            return Value(shapes, array.dtype.name, counts=True)
        return None

    def _constant(self, raw: Any, name: str) -> Value:
        if id(raw) not in self.values:
            self.kept.append(raw)  # so that no other array gets its id
            array = to_numpy(raw)
            self.values[id(raw)] = Value((array.shape, array.shape), array.dtype.name, array, name)
        return self.values[id(raw)]


def _arrays_in(arguments: Sequence[Any]) -> Iterator[Any]:
    """The arrays among arguments, also those in lists."""
    for x in arguments:
        if isinstance(x, list | tuple):
            yield from _arrays_in(x)
        elif is_array(x):
            yield x


def _flat(outputs: Any) -> list[Tensor]:
    """The Tensors in nested tuples, lists and dicts; what is None is left out."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, tuple | list):
        return [tensor for output in outputs for tensor in _flat(output)]
    if outputs is None:
        return []
    if not isinstance(outputs, Tensor):
        raise ExportError(f"expects Tensors as the outputs of the network, got {type(outputs).__name__}")
    return [outputs]
