"""What a network computes, as a list of steps: recorded twice, to tell what depends on the input.

The tape records operations that a gradient flows through. Anything else a network computes shows up as
constants; so it is run on two inputs of other values, and of other batch sizes where these are free. A
constant that differs between the runs cannot be exported, and shapes that differ follow the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.autograd.core import TensorBase
from xpnn.autograd.mode import enable_grad, keeping_values
from xpnn.autograd.node import Node
from xpnn.autograd.recorded import operations_of
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
        users: the steps that it is an argument of.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    dtype: str
    array: np.ndarray | None = None
    name: str = ""
    fill: float | None = None
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


def trace(model: Module, example: Sequence[Any], names: Sequence[str], axis: int | None) -> Trace:
    """Record a network in evaluation mode.

    Args:
        example: its arguments.
        names: of the inputs.
        axis: of the inputs that may have any size, or None.
    """
    runs = [_run(model, _other(example, axis, number)) for number in range(2)]
    one, other = ([node.primitive.name for node in run.nodes] for run in runs)
    if one != other or len(runs[0].roots) != len(runs[1].roots):
        raise ExportError(
            "takes other steps for other inputs, which a graph cannot say",
            subject=type(model).__name__,
            hint="With dynamic=False it may for a fixed shape" if axis is not None else "",
        )
    return _Tracer(model, runs, names).trace()


@dataclass
class _Run:
    nodes: list[Node]
    inputs: list[Tensor]
    roots: list[Tensor]


def _run(model: Module, arrays: Sequence[np.ndarray]) -> _Run:
    """Run and record the network once."""
    inputs = [Tensor(asarray(array)) for array in arrays]
    for tensor in inputs:
        tensor.requires_grad = is_floating(tensor)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    for parameter in frozen:  # so that what is computed of it is recorded too
        parameter.requires_grad = True
    try:
        with evaluating(model), enable_grad(), keeping_values():
            roots = _flat(model(*inputs))
    finally:
        for parameter in frozen:
            parameter.requires_grad = False
    return _Run(operations_of(roots), inputs, roots)


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
    def __init__(self, model: Module, runs: list[_Run], names: Sequence[str]) -> None:
        self.runs = runs
        self.values: dict[Any, Value] = {}  # by the id of an array, or the place on the tape
        self.kept: list[Any] = []
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self._constant(tensor.array, name)
        self.inputs = []
        for name, one, other in zip(names, runs[0].inputs, runs[1].inputs):
            value = Value((tuple(one.shape), tuple(other.shape)), dtype_name(one.dtype), name=name)
            self.values[id(one.array)] = value
            self.inputs.append(value)

    def trace(self) -> Trace:
        steps = [self._step(*nodes) for nodes in zip(self.runs[0].nodes, self.runs[1].nodes)]
        outputs = []
        for one, other in zip(self.runs[0].roots, self.runs[1].roots):
            if one.edge is not None:
                outputs.append(self.values[one.edge[0].order, one.edge[1]])
            else:
                outputs.append(self._given(one.array, other.array, None))
        return Trace(steps, self.inputs, outputs)

    def _step(self, node: Node, other: Node) -> Step:
        place = node.scope[-1] if node.scope else ""
        step = Step(
            node.primitive.name, [], (node.options, other.options), [], str(place), getattr(place, "path", "")
        )
        for i, (shape, dtype) in enumerate(node.outlines):
            value = Value((tuple(shape), tuple(other.outlines[i][0])), dtype_name(dtype))
            self.values[node.order, i] = value
            step.results.append(value)
        if node.values is None or other.values is None:
            raise step.error(f"cannot be exported: '{step.name}' keeps no values")
        for edge, one, two in zip(node.edges, node.values[0], other.values[0]):
            if isinstance(edge, tuple):
                argument: Value | None = self.values[edge[0].order, edge[1]]
            elif isinstance(edge, TensorBase):
                argument = self._given(edge.array, two, step)
            else:
                argument = None if one is None else self._given(one, two, step)
            if argument is not None:
                argument.users.append(step)
            step.arguments.append(argument)
        return step

    def _given(self, one: Any, two: Any, step: Step | None) -> Value:
        """The Value of what was no result of a step: an input, a parameter, or a constant."""
        if not is_array(one):
            dtype = step.results[0].dtype if step is not None else "float32"
            return Value(((), ()), dtype, np.asarray(one, dtype=dtype if dtype != "bool" else None))
        if id(one) in self.values:
            return self.values[id(one)]
        array, again = to_numpy(one), to_numpy(two)
        if array.shape == again.shape and np.array_equal(array, again, equal_nan=array.dtype.kind == "f"):
            return self._constant(one, "")
        for value, first, second in zip(self.inputs, self.runs[0].inputs, self.runs[1].inputs):
            if np.array_equal(array, to_numpy(first)) and np.array_equal(again, to_numpy(second)):
                return value
        full = {*np.unique(array).tolist(), *np.unique(again).tolist()}
        if len(full) == 1 and array.ndim == again.ndim:
            return Value((array.shape, again.shape), array.dtype.name, fill=full.pop())
        problem = (
            f"computes an argument of '{step.name if step else 'the output'}' from the input by an operation "
            "without a gradient (a comparison, an index, integers), which the tape does not record, or of "
            "random numbers"
        )
        hint = "Pass it to the network as an input of its own"
        raise step.error(problem, hint) if step else ExportError(problem, hint=hint)

    def _constant(self, raw: Any, name: str) -> Value:
        if id(raw) not in self.values:
            self.kept.append(raw)  # so that no other array gets its id
            array = to_numpy(raw)
            self.values[id(raw)] = Value((array.shape, array.shape), array.dtype.name, array, name)
        return self.values[id(raw)]


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
