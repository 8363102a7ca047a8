"""A public view of the recorded graph: its nodes in topological order, with shapes, values and gradients."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xpnn.autograd.core import TensorBase, as_array, carries_gradient, new_tensor
from xpnn.autograd.mode import enable_grad, keeping_values
from xpnn.autograd.node import Node
from xpnn.autograd.tape import edge_key, edge_of, sweep
from xpnn.autograd.tensor import Tensor, retained, tensor
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    GradientError,
    dtype_name,
    idioms,
    is_array,
    size_of,
    to_numpy,
)

Names = Mapping[str, Any] | Iterable[tuple[str, Any]]


@dataclass(frozen=True, eq=False)
class GraphOutput:
    """One result of a node.

    Attributes:
        shape, dtype: of the result; dtype by its name, "float32".
        value, gradient: Tensors, or None where they are not known.
    """

    shape: tuple[int, ...]
    dtype: str
    value: Tensor | None = field(default=None, repr=False)
    gradient: Tensor | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class GraphNode:
    """An operation that was recorded, or what it was given.

    Attributes:
        index: its place in the topological order.
        kind: "operation"; "leaf" for a Tensor that requires a gradient; "constant" for anything else.
        name: the primitive's name ("multiply"), or "leaf" or "constant".
        label: the name of the Tensor, where it is known: of a parameter "features.0.weight".
        module, module_path: the module that it was recorded in, and its name in the model, where they are
            known: "Conv2d 'features.0'", "features.0".
        parents: the nodes that its arguments came from, in their order. Arguments that are None, and
            constants that nothing has kept, are left out.
        sources: for each parent, which of its results it was.
        outputs: a GraphOutput for each result.
        options: what the primitive was given beside arrays.
    """

    index: int
    kind: str
    name: str
    label: str = ""
    module: str = ""
    module_path: str = ""
    parents: tuple[GraphNode, ...] = ()
    sources: tuple[int, ...] = ()
    outputs: tuple[GraphOutput, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its first result."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> str:
        """The element type of its first result, by name."""
        return self.outputs[0].dtype

    @property
    def value(self) -> Tensor | None:
        """Its first result, or None where nothing has kept it."""
        return self.outputs[0].value

    @property
    def gradient(self) -> Tensor | None:
        """The gradient of its first result, or None where it is not known."""
        return self.outputs[0].gradient

    def __repr__(self) -> str:
        parents = ", ".join(str(parent.index) for parent in self.parents)
        label = f" '{self.label}'" if self.label else ""
        return f"<{self.index}: {self.name}{label}({parents}) {self.shape}>"


class Graph(Sequence[GraphNode]):
    """What `graph` returns: a sequence of nodes, each after its parents; `str()` of it is a table.

    Attributes:
        nodes: the GraphNodes.
        outputs: the nodes of the Tensors that the graph was asked for.
    """

    def __init__(self, nodes: Sequence[GraphNode], outputs: Sequence[GraphNode]) -> None:
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index: Any) -> Any:
        """A node by its place, or by its label. Raises: KeyError if none has that."""
        if not isinstance(index, str):
            return self.nodes[index]
        for node in self.nodes:
            if node.label == index:
                return node
        raise KeyError(index)

    def __iter__(self) -> Iterator[GraphNode]:
        return iter(self.nodes)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(parent, node) by their places, for each argument."""
        return [(parent.index, node.index) for node in self.nodes for parent in node.parents]

    def __repr__(self) -> str:
        titles = ("", "node", "name", "parents", "shape", "type", "value", "gradient", "module")
        lines = [titles, *map(_cells, self.nodes)]
        columns = [column for column in zip(*lines) if any(column[1:])]
        widths = [max(map(len, column)) for column in columns]
        rows = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in zip(*columns)]
        return "\n".join(row.rstrip() for row in rows)


def graph(outputs: Any, *inputs: Any, names: Names = (), gradients: bool = False) -> Graph:
    """The recorded graph that Tensors were computed by, in topological order.

    Args:
        outputs: a Tensor that requires a gradient, or several, also nested; or a function, which is then
            called with `inputs` and recorded in full: with all values, the constants, and the module of each
            operation.
        inputs: what the function is given. Numbers and floating-point arrays become Tensors that require a
            gradient; so do Tensors, where neither they nor parameters of the function require one (those
            that were given stay as they are). Its arguments' names are theirs in the graph.
        names: names of Tensors, leaves or results: a dict, or `model.named_parameters()`.
        gradients: find the gradient of the sum of the outputs with respect to each node, as `xpnn.grad` does
            (hooks run; no `.grad` changes). Otherwise there are those that `backward()` has left in `.grad`.

    Returns: a Graph. Shapes are known always; values are known of leaves, outputs, and what a backward has to
    remember, unless a function was given; a backward sweep frees them.

    Raises: GradientError for Tensors without a gradient, or if `gradients` are asked for and the graph was
    freed; DTypeError for what is neither Tensor nor function.

    >>> from xpnn.autograd import ops
    >>> graph(lambda x: 2 / ops.sin(ops.exp(-x)), -0.5, gradients=True)
       node      name  parents  shape  type     value  gradient
    0  leaf      x              ()     float32  -0.5   -0.2583
    1  negative        0        ()     float32  0.5    0.2583
    2  exp             1        ()     float32  1.649  0.1566
    3  sin             2        ()     float32  0.997  -2.012
    4  constant                 ()              2
    5  divide          4, 3     ()     float32  2.006  1
    """
    labels = _labels(names)
    if callable(outputs):
        inputs = tuple([_as_leaf(x) for x in inputs])
        parameters = _parameters_of(outputs)
        if not parameters and not any(isinstance(x, TensorBase) and x.requires_grad for x in inputs):
            inputs = tuple([_as_leaf(x.array) if isinstance(x, TensorBase) else x for x in inputs])
        for name, x in zip(_argument_names(outputs, len(inputs)), inputs):
            if isinstance(x, TensorBase):
                labels.setdefault(_key(x), name)
        labels |= {key: name for key, name in parameters.items() if key not in labels}
        with enable_grad(), keeping_values():
            outputs = outputs(*inputs)
    elif inputs:
        raise ArgumentError("takes inputs only for a function that it calls with them", subject="graph")
    roots = _flat(outputs)
    for root in roots:
        if not isinstance(root, TensorBase):
            raise DTypeError(f"expects Tensors or a function, got {type(root).__name__}", subject="graph")
        if not root.requires_grad:
            raise GradientError(
                "was asked for the graph of a Tensor that requires no gradient, so that nothing was recorded",
                subject="graph",
                hint="Set requires_grad=True on what it is computed from, and look for a no_grad() block",
            )
    return _Builder(roots, labels, gradients).graph()


class _Builder:
    """Collects what is known of each edge, and makes the nodes."""

    def __init__(self, roots: list[Any], labels: dict[Any, str], gradients: bool) -> None:
        self.roots = roots
        self.operations = operations_of(roots)
        self.labels = labels
        self.asked: set[int] = set()  # modules whose parameters have their names
        self.values: dict[Any, Any] = {edge_key(edge_of(root)): root.array for root in roots}
        self.gradients: dict[Any, Any] = {}
        self.arguments = {node.order: _arguments(node) for node in self.operations}
        for node in self.operations:
            self._take_values(node)
            self._take_names(node)
        self._take_gradients(gradients)
        self.nodes: list[GraphNode] = []
        self.made: dict[Any, GraphNode] = {}  # by the order of an operation, or `_key` of what it was given

    def graph(self) -> Graph:
        for root in self.roots:
            if root.edge is None:
                self._leaf(root)
        for node in self.operations:
            self._operation(node)
        ends = [self.made[id(r) if r.edge is None else r.edge[0].order] for r in self.roots]
        return Graph(self.nodes, list(dict.fromkeys(ends)))

    def _take_values(self, node: Node) -> None:
        for edge, value in zip(node.edges, self.arguments[node.order]):
            if edge is not None and value is not None:
                self.values.setdefault(edge_key(edge), value)
        if node.values is not None:
            results = dict(enumerate(node.values[1]))
        else:
            results = {
                -1 - kind: v for kind, v in zip(node.kinds, node.saved or ()) if kind is not None and kind < 0
            }
        for index, value in results.items():
            self.values.setdefault((node.order, index), value)

    def _take_names(self, node: Node) -> None:
        root = getattr(node.scope[0], "root", None) if node.scope else None
        if root is not None and id(root) not in self.asked:
            self.asked.add(id(root))
            for key, name in _parameters_of(root).items():
                self.labels.setdefault(key, name)

    def _take_gradients(self, wanted: bool) -> None:
        leaves = [edge for node in self.operations for edge in node.edges if isinstance(edge, TensorBase)]
        for edge in [*leaves, *self.roots]:
            if edge.grad is not None and edge.edge is None:
                self.gradients[id(edge)] = edge.grad
        keepers = {}
        for node in self.operations:
            for index, hooks in node.hooks or ():
                keeper = retained(hooks)
                if keeper is not None:
                    keepers[keeper] = keeper.grad
                    self.gradients[node.order, index] = keeper.grad
        if wanted:
            edges = [(n, i) for n in self.operations for i in range(max(n.outputs, 1))] + leaves
            starts = [edge_of(root) for root in self.roots]
            seeds = [idioms.ones_like(root.array) for root in self.roots]
            found = sweep(starts, seeds, create_graph=False, retain_graph=True, targets=[*edges, *starts])
            self.gradients = {key: new_tensor(value) for key, value in found.items() if value is not None}
            for keeper, gradient in keepers.items():  # the sweep has added to them
                keeper.grad = gradient

    def _operation(self, node: Node) -> None:
        parents, sources = [], []
        for edge, value in zip(node.edges, self.arguments[node.order]):
            if isinstance(edge, TensorBase):
                parent, source = self._leaf(edge), 0
            elif edge is not None:
                parent, source = self.made[edge[0].order], edge[1]
            elif value is not None:
                parent, source = self._constant(value), 0
            else:
                continue
            parents.append(parent)
            sources.append(source)
        outputs = [
            GraphOutput(
                tuple(shape), "" if dtype is None else dtype_name(dtype),
                _wrapped(self.values.get((node.order, i))), self.gradients.get((node.order, i)),
            )
            for i, (shape, dtype) in enumerate(node.outlines)
        ]  # fmt: skip
        label = next(
            (self.labels[node.order, i] for i in range(len(outputs)) if (node.order, i) in self.labels), ""
        )
        place = node.scope[-1] if node.scope else ""
        self.made[node.order] = self._add(
            "operation", node.primitive.name, label, str(place), getattr(place, "path", ""), tuple(parents),
            tuple(sources), tuple(outputs), node.options,
        )  # fmt: skip

    def _leaf(self, leaf: TensorBase) -> GraphNode:
        if id(leaf) not in self.made:
            value = self.values.get(id(leaf), leaf.array)
            output = GraphOutput(
                leaf.shape, dtype_name(leaf.dtype), _wrapped(value), self.gradients.get(id(leaf))
            )
            self.made[id(leaf)] = self._add("leaf", "leaf", self.labels.get(id(leaf), ""), outputs=(output,))
        return self.made[id(leaf)]

    def _constant(self, value: Any) -> GraphNode:
        array = is_array(value)
        key = ("constant", id(value))
        if array and key in self.made:
            return self.made[key]
        shape, dtype = (tuple(value.shape), dtype_name(value.dtype)) if array else ((), "")
        output = GraphOutput(shape, dtype, _wrapped(value if array else tensor(value)))
        node = self._add("constant", "constant", self.labels.get(key, ""), outputs=(output,))
        if array:
            self.made[key] = node
        return node

    def _add(self, *fields: Any, **more: Any) -> GraphNode:
        self.nodes.append(GraphNode(len(self.nodes), *fields, **more))
        return self.nodes[-1]


def operations_of(roots: list[Any]) -> list[Node]:
    """All nodes that the roots came from, in the order in which they were recorded."""
    found: dict[int, Node] = {}
    stack = [root.edge[0] for root in roots if root.edge is not None]
    while stack:
        node = stack.pop()
        if node.order not in found:
            found[node.order] = node
            stack.extend(edge[0] for edge in node.edges if type(edge) is tuple)
    return [found[order] for order in sorted(found)]


def _arguments(node: Node) -> list[Any]:
    """The raw arguments of an operation; None where they are not known."""
    if node.values is not None:
        return list(node.values[0])
    if node.inputs is not None:
        return list(node.inputs)
    known = {kind: value for kind, value in zip(node.kinds, node.saved or ()) if kind is not None}
    return [known.get(i) for i in range(len(node.edges))]


def _key(x: TensorBase) -> Any:
    """What a Tensor goes by in the graph."""
    return edge_key(edge_of(x)) if x.requires_grad else ("constant", id(x.array))


def _flat(outputs: Any) -> list[Any]:
    """What is in nested tuples, lists and dicts."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if not isinstance(outputs, tuple | list):
        return [outputs]
    return [part for output in outputs for part in _flat(output)]


def _labels(names: Names) -> dict[Any, str]:
    pairs = names.items() if isinstance(names, Mapping) else names
    return {_key(x): name for name, x in pairs}


def _parameters_of(module: Any) -> dict[Any, str]:
    """The names of a module's parameters, by `_key`; none for anything else."""
    named = getattr(module, "named_parameters", None)
    return {} if named is None else {_key(parameter): name for name, parameter in named()}


def _argument_names(function: Callable, count: int) -> list[str]:
    """The names of a function's first arguments."""
    try:
        parameters = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):  # of what is written in C
        return []
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        else:
            names.append(parameter.name)
    return names[:count]


def _as_leaf(x: Any) -> Any:
    """Numbers and floating-point arrays as Tensors that require a gradient; anything else as it is."""
    if isinstance(x, TensorBase):
        return x
    if type(x) in (int, float):
        return tensor(float(x), requires_grad=True)
    return Tensor(x, requires_grad=True) if is_array(x) and carries_gradient(x) else x


def _wrapped(array: Any) -> Any:
    return array if array is None or isinstance(array, TensorBase) else new_tensor(as_array(array))


def _cells(node: GraphNode) -> tuple[str, ...]:
    parents = ", ".join(str(parent.index) for parent in node.parents)
    of_parts = " ".join(str(output.shape) for output in node.outputs)
    return (
        str(node.index), node.name, node.label, parents, of_parts, node.dtype, brief(node.value),
        brief(node.gradient),
        node.module,
    )  # fmt: skip


def brief(x: Any) -> str:
    """A Tensor in a word: its number, or the norm of its many; nothing for None."""
    if x is None:
        return ""
    values = abs(to_numpy(x)) if size_of(x.shape) != 1 else to_numpy(x).reshape(())
    if values.ndim == 0:
        return f"{values.item():.4g}"
    return f"norm {float((values.astype('float64') ** 2).sum()) ** 0.5:.4g}"
