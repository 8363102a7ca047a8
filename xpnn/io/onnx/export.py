"""Writing a network as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, backend_of, device_of, is_array, optional_import, use_backend
from xpnn.io.files import atomic_write
from xpnn.io.onnx.operators import OPERATORS
from xpnn.io.onnx.trace import BATCHES, ExportError, Step, Trace, Value, trace
from xpnn.nn import Module
from xpnn.version import __version__

__all__ = ["export"]

OPSET, IR_VERSION = 21, 10


def export(
    model: Module,
    example: Any,
    path: str | os.PathLike[str] | None = None,
    dynamic: bool = True,
    *,
    method: str = "forward",
    batch_axis: int = 0,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
) -> Any:
    """Write a network, as it computes in evaluation mode, as an ONNX file (opset 21).

    One layer is one ONNX node where ONNX has it. Initializers are the parameters and buffers, with their
    names in the state dict; those of recurrent layers, whose gates ONNX has in another order, end in "@onnx".

    Args:
        model: the network. It is run twice, on the example and on one of other values.
        example: its argument, or several in a tuple: arrays or Tensors.
        path: the file; None writes none.
        dynamic: whether the batch may have any size; otherwise all shapes are those of the example.
        method: what is exported in the place of `forward`, such as "encode".
        batch_axis: the axis of all inputs that is the batch.
        input_names, output_names: default to "input" and "output", or "input_0", "input_1" ...

    Returns: the `onnx.ModelProto`, which `onnx.checker` has checked.

    Raises: ExportError, which names the module, for operations that ONNX has not, or the export does not
    know; for random numbers; and for what is computed from the input on raw arrays or on the host.
    ArgumentError for an example without a batch, or a method that there is not. MissingDependencyError
    without the package onnx.

    See: https://onnx.ai/onnx/operators/

    >>> from xpnn import nn, zeros
    >>> proto = export(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), zeros(1, 2))
    >>> [node.op_type for node in proto.graph.node], [tensor.name for tensor in proto.graph.initializer]
    (['Gemm', 'Relu'], ['0.weight', '0.bias'])
    """
    onnx = optional_import("onnx", extra="onnx")
    arrays = example if isinstance(example, tuple | list) else (example,)
    if not arrays or not all(map(is_array, arrays)):
        raise ArgumentError("expects example as an array, or several in a tuple", subject="export")
    if not callable(getattr(model, method, None)):
        raise ArgumentError(f"{type(model).__name__} has no method {method!r}", subject="export")
    inputs = _names("input", input_names, len(arrays))
    first = next(iter(model.parameters()), None)
    like = arrays[0] if first is None else first.array
    with use_backend(backend_of(like).name, device_of(like)):
        recorded = trace(model, arrays, inputs, batch_axis if dynamic else None, method)
    outputs = _names("output", output_names, len(recorded.outputs))
    proto = Exporter(onnx, recorded, batch_axis).model(type(model).__name__, outputs)
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        with atomic_write(path) as file:
            file.write(proto.SerializeToString())
    return proto


class Exporter:
    """Makes the nodes of an ONNX graph; `OPERATORS` use it.

    Args:
        onnx: the package.
        recorded: what the network computes.
        axis: of the inputs, which is the batch.
    """

    def __init__(self, onnx: Any, recorded: Trace, axis: int) -> None:
        self.onnx = onnx
        self.recorded = recorded
        self.axis = axis
        self.nodes: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.names: dict[int, str] = {id(value): value.name for value in recorded.inputs}
        self.done: set[int] = set()  # steps that came along with another one
        self.step: Step | None = None
        self._batch = ""
        self._taken = {value.name for value in recorded.inputs}

    def model(self, title: str, outputs: Sequence[str]) -> Any:
        """The whole model."""
        helper = self.onnx.helper
        for step in self.recorded.steps:
            if id(step) in self.done:
                continue
            if step.name not in OPERATORS:
                raise step.error(f"cannot be exported: there is nothing in ONNX for its '{step.name}'")
            self.step = step
            found = OPERATORS[step.name](self, step)
            for value, name in zip(step.results, [found] if isinstance(found, str) else found):
                self.names.setdefault(id(value), name)
            for value in step.results[1 if isinstance(found, str) else len(found) :]:
                if value.users or value in self.recorded.outputs:
                    raise step.error(f"cannot be exported: a further result of '{step.name}' is used")
        self.step = None
        self._name_outputs(outputs)
        graph = helper.make_graph(
            self.nodes,
            title,
            [self._info(value.name, value) for value in self.recorded.inputs],
            [self._info(name, value) for name, value in zip(outputs, self.recorded.outputs)],
            list(self.initializers.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="xpnn",
            producer_version=__version__,
        )

    # -- what the operators use

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node, and return the name of its output, or a list of them; "" is an input left out."""
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        base = f"{self.step.path}/{kind}" if self.step is not None and self.step.path else kind
        name = self._free(base)
        results = [name] if outputs == 1 else [f"{name}.{i}" for i in range(outputs)]
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), results, name=name, **attributes))
        return results[0] if outputs == 1 else results

    def input(self, step: Step, index: int) -> str:
        """The name of an argument; "" of one that was left out."""
        value = step.arguments[index] if index < len(step.arguments) else None
        return "" if value is None else self.name(value)

    def inputs(self, step: Step) -> list[str]:
        """The names of all arguments."""
        return [self.input(step, i) for i in range(len(step.arguments))]

    def name(self, value: Value) -> str:
        """The name of a Value; a constant becomes an initializer."""
        if id(value) not in self.names:
            if value.fill is not None:
                number = self.constant(np.asarray(value.fill, dtype=value.dtype))
                self.names[id(value)] = self.add("Expand", number, self.shape(value))
            elif value.counts or value.batches:
                size = self.add("Squeeze", self._batch_size(), self.constant([0]))
                if value.counts:
                    size = self.add("Range", self.constant(np.int64(0)), size, self.constant(np.int64(1)))
                elif value.batches > 1:
                    size = self.add("Mul", size, self.constant(np.int64(value.batches)))
                self.names[id(value)] = size if value.dtype == "int64" else self.cast(size, value.dtype)
            else:
                assert value.array is not None
                self.names[id(value)] = self.constant(value.array, value.name)
        return self.names[id(value)]

    def constant(self, array: Any, name: str = "") -> str:
        """The name of an initializer with these elements; lists are int64."""
        array = np.asarray(array, dtype=np.int64) if isinstance(array, list | tuple) else np.asarray(array)
        name = self._free(name or "constant")
        self.initializers[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        if array.ndim == 0:  # `ascontiguousarray` makes it one of one element
            del self.initializers[name].dims[:]
        return name

    def number(self, number: float, step: Step) -> str:
        """A number of the element type of the step's result."""
        return self.constant(np.asarray(number, dtype=step.results[0].dtype))

    def cast(self, name: str, dtype: str) -> str:
        """A value as one of another element type."""
        return self.add("Cast", name, to=self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def shape(self, value: Value, into: bool = False) -> str:
        """The name of a vector with the shape of a Value, in which the batch has the size that it has.

        Args:
            into: for a Reshape, which finds one size itself.
        """
        one, other = value.shapes
        varying = [i for i, (a, b) in enumerate(zip(one, other)) if a != b]
        if not varying:
            return self.constant(list(one))
        if into and len(varying) == 1:
            return self.constant([-1 if i in varying else size for i, size in enumerate(one)])
        parts = []
        for a, b in zip(one, other):
            times, rest = divmod(a, BATCHES[0])
            if a == b:
                parts.append(self.constant([a]))
            elif rest or times * BATCHES[1] != b:
                raise self.error(f"has a size that is no multiple of the batch: {a} for {BATCHES[0]}")
            else:
                size = self._batch_size()
                parts.append(size if times == 1 else self.add("Mul", size, self.constant([times])))
        return self.add("Concat", *parts, axis=0)

    def error(self, problem: str) -> ExportError:
        """An error that names the module whose step is being exported."""
        return self.step.error(problem) if self.step is not None else ExportError(problem)

    # -- names

    def _batch_size(self) -> str:
        if not self._batch:
            first = self.recorded.inputs[0].name
            self._batch = self.add("Shape", first, start=self.axis, end=self.axis + 1)
        return self._batch

    def _free(self, name: str) -> str:
        """The name, with a number if it is taken."""
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found

    def _name_outputs(self, outputs: Sequence[str]) -> None:
        """Give the results of the network the names of its outputs."""
        made = {name for node in self.nodes for name in node.output}
        renamed: dict[str, str] = {}
        for value, output in zip(self.recorded.outputs, outputs):
            name = self.name(value)
            if name in made and name not in renamed:
                renamed[name] = output
            else:
                self.nodes.append(
                    self.onnx.helper.make_node("Identity", [name], [output], name=f"{output}/Identity")
                )
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]

    def _info(self, name: str, value: Value) -> Any:
        element = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
        sizes = [a if a == b else _size_name(a, b) for a, b in zip(*value.shapes)]
        return self.onnx.helper.make_tensor_value_info(name, element, sizes)


def _size_name(one: int, other: int) -> str | None:
    """What a size is called that follows the batch."""
    return "batch" if (one, other) == BATCHES else None


def _names(word: str, given: Sequence[str], count: int) -> list[str]:
    if given and len(given) != count:
        raise ArgumentError(f"expects {count} {word}_names, got {len(given)}", subject="export")
    return list(given) or ([word] if count == 1 else [f"{word}_{i}" for i in range(count)])
