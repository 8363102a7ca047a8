"""Reading an ONNX file as a Module."""

from __future__ import annotations

import inspect
import os
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    XpnnError,
    asarray,
    backend_of,
    device_of,
    is_array,
    is_tensor,
    optional_import,
    to_numpy,
    use_backend,
)
from xpnn.io.onnx.functions import FUNCTIONS, HOST_INPUTS, STATISTICS
from xpnn.nn import Module, Parameter

__all__ = ["OnnxModule", "load"]

OLDEST = 7  # opset: before it, operators broadcast in another way


class LoadError(XpnnError, ValueError):
    """An ONNX file that says what xpnn has not."""


def load(source: str | os.PathLike[str] | bytes | Any) -> OnnxModule:
    """Read an ONNX file as a Module that computes and trains.

    Args:
        source: the file's path, its bytes, or an `onnx.ModelProto`.

    Returns: a Module on the current backend. Its state dict holds the initializers, by their names: those of
    floating-point numbers are Parameters, except for single numbers, running statistics, and what operators
    take as settings (limits, pads), which are Buffers as the integers are. It takes the inputs of the graph,
    in their order or by name, and returns its output, or several in a tuple. Dropout and BatchNormalization
    compute as in evaluation.

    Raises: LoadError for operators, attributes and opsets that are not known, with the name of the node;
    nothing is left out in silence. MissingDependencyError without the package onnx.

    >>> from xpnn import nn, zeros
    >>> from xpnn.io.onnx.export import export
    >>> model = load(export(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), zeros(1, 2)))
    >>> sorted(model.state_dict()), model(zeros(5, 2)).shape
    (['0.bias', '0.weight'], (5, 3))
    """
    onnx = optional_import("onnx", extra="onnx")
    if isinstance(source, str | os.PathLike):
        proto = onnx.load(os.fspath(source))
    elif isinstance(source, bytes):
        proto = onnx.load_from_string(source)
    else:
        proto = source
    if not isinstance(proto, onnx.ModelProto):
        raise ArgumentError(
            f"expects a path, bytes or an onnx.ModelProto, got {type(source).__name__}", subject="load"
        )
    return OnnxModule(proto)


class OnnxModule(Module):
    """The Module that `load` makes of an ONNX model.

    Args:
        proto: the `onnx.ModelProto`.

    Attributes:
        inputs, outputs: their names in the graph.
    """

    def __init__(self, proto: Any) -> None:
        onnx = optional_import("onnx", extra="onnx")
        self.opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
        if self.opset < OLDEST:
            raise LoadError(
                f"expects opset {OLDEST} or newer, got {self.opset}",
                subject="An ONNX file",
                hint="onnx.version_converter.convert_version(model, 21) makes it newer",
            )
        graph = proto.graph
        if graph.sparse_initializer or proto.functions:
            raise LoadError(
                "has sparse initializers or functions, which are not known", subject="An ONNX file"
            )
        self._nodes = [_Node(onnx, node, self.opset) for node in graph.node]
        stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.inputs = [value.name for value in graph.input if value.name not in stored]
        self.outputs = [value.name for value in graph.output]
        settings = _settings(self._nodes)
        self._places = {name: _place(self, name, array, name in settings) for name, array in stored.items()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs of the graph for its inputs."""
        known = {**dict(zip(self.inputs, args)), **kwargs}
        if len(args) + len(kwargs) != len(self.inputs) or known.keys() != {*self.inputs}:
            given = [*self.inputs[: len(args)], *kwargs]
            raise ArgumentError(
                f"expects the inputs {', '.join(self.inputs)}, got {len(args)} by position and {given}",
                subject=type(self).__name__,
            )
        values: dict[str, Any] = {"": None}
        for name, (owner, attribute) in self._places.items():
            values[name] = getattr(owner, attribute)
        for name, value in known.items():
            values[name] = value if is_tensor(value) else Tensor(asarray(value))
        for node in self._nodes:
            node.run(values)
        found = tuple([_as_tensor(values[name]) for name in self.outputs])
        return found[0] if len(found) == 1 else found

    def extra_repr(self) -> str:
        """The inputs, the outputs and the number of nodes."""
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}, {len(self._nodes)} nodes"


class _Node:
    """A node of the graph, with its attributes checked."""

    def __init__(self, onnx: Any, node: Any, opset: int) -> None:
        self.kind, self.name = node.op_type, node.name
        self.inputs, self.outputs = list(node.input), list(node.output)
        while self.inputs and not self.inputs[-1]:
            self.inputs.pop()
        if node.domain not in ("", "ai.onnx") or self.kind not in FUNCTIONS:
            domain = f" of {node.domain}" if node.domain else ""
            raise self.error(f"is an operator{domain} that is not known")
        known = inspect.signature(FUNCTIONS[self.kind]).parameters
        self.options = {}
        for attribute in node.attribute:
            if (
                attribute.name not in known
                or known[attribute.name].kind is not inspect.Parameter.KEYWORD_ONLY
            ):
                raise self.error(f"has the attribute '{attribute.name}', which is not known")
            self.options[attribute.name] = self._value(onnx, attribute)
        if "opset" in known:
            self.options["opset"] = opset
        if "count" in known:
            self.options["count"] = len(self.outputs)

    def _value(self, onnx: Any, attribute: Any) -> Any:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, onnx.TensorProto):
            return onnx.numpy_helper.to_array(value)
        if isinstance(value, list | tuple) and value and isinstance(value[0], bytes):
            return [part.decode() for part in value]
        if isinstance(value, onnx.GraphProto):
            raise self.error(f"has a graph as its attribute '{attribute.name}', which is not known")
        if self.kind == "Cast" and attribute.name == "to":
            return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value)).name
        return value

    def run(self, values: dict[str, Any]) -> None:
        """Compute the outputs of the inputs."""
        settings = HOST_INPUTS.get(self.kind, ())
        given = [values[name] for name in self.inputs]
        arguments: list[Any] = [
            to_numpy(_off_tape(value)) if i in settings and value is not None else value
            for i, value in enumerate(given)
        ]
        like = next((a for i, a in enumerate(arguments) if i not in settings and is_tensor(a)), None)
        if like is not None:  # shapes and constants live on the host until they meet an array
            with use_backend(backend_of(like.array).name, device_of(like.array)):
                arguments = [
                    Tensor(asarray(a)) if i not in settings and is_array(a) and not is_tensor(a) else a
                    for i, a in enumerate(arguments)
                ]
        try:
            found = FUNCTIONS[self.kind](*arguments, **self.options)
        except NotImplementedError as error:
            raise LoadError(f"cannot compute {self}: it {error}") from error
        except TypeError as error:
            raise LoadError(f"cannot compute {self}: {error}") from error
        results = found if isinstance(found, tuple) else (found,)
        used = [name for name in self.outputs if name]
        if len(used) > len(results):
            raise LoadError(f"cannot compute {self}: it has {len(used)} outputs, known are {len(results)}")
        values.update({name: result for name, result in zip(self.outputs, results) if name})

    def error(self, problem: str) -> LoadError:
        """An error that names the node."""
        return LoadError(problem, subject=str(self))

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'" if self.name else self.kind


def _settings(nodes: list[_Node]) -> set[str]:
    """The names of what nodes take as settings or statistics only."""
    settings: set[str] = set()
    others: set[str] = set()
    for node in nodes:
        fixed = (*HOST_INPUTS.get(node.kind, ()), *STATISTICS.get(node.kind, ()))
        for i, name in enumerate(node.inputs):
            (settings if i in fixed else others).add(name)
    return settings - others


def _place(root: Module, name: str, array: np.ndarray, is_setting: bool) -> tuple[Module, str]:
    """Put an initializer where its name says, "0.weight" into a part "0".

    One whose name cannot be one of a Module's is called "stored_" and the name.
    """
    *path, last = name.split(".")
    owner: Any = root
    for part in path:
        if not hasattr(owner, part) and part:
            owner.register_module(part, Module())
        owner = getattr(owner, part, None) if part else None
        if not isinstance(owner, Module):
            break
    if not isinstance(owner, Module) or not last or hasattr(owner, last):
        owner, last = root, f"stored_{name.replace('.', '_')}"
    if array.dtype.kind == "f" and array.ndim and not is_setting:
        owner.register_parameter(last, Parameter(asarray(array)))
    else:
        owner.register_buffer(last, asarray(array))
    return owner, last


def _off_tape(value: Any) -> Any:
    return value.detach() if is_tensor(value) else value


def _as_tensor(value: Any) -> Tensor:
    return value if is_tensor(value) else Tensor(asarray(value))
