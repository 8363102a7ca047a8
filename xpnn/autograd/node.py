"""The nodes of the tape, and what a program can ask them: names, where they lead, hooks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xpnn.autograd.core import TensorBase, as_array, new_tensor
from xpnn.autograd.handle import RemovableHandle
from xpnn.autograd.mode import switches
from xpnn.backend import GradientError, dtype_name, is_array

_order = itertools.count()
hook_keys = itertools.count()

# Where a node keeps the hooks of its own, beside those of its outputs.
BEFORE, AFTER = "before", "after"


class Node:
    """One recorded operation.

    Attributes:
        edges: one per argument (see `tape`).
        saved: what the forward saved; None once it is freed, or where `recompute` brings it back.
        kinds: what each saved value is: `i >= 0` is input i, `-1 - j` is output j, None anything else. Not
            known where a kernel saves what it likes.
        outputs: the number of outputs if the forward returned a tuple, 0 if it returned one array.
        inputs: all raw inputs; kept only where the second derivative has to replay the forward.
        outlines: shape and element type of each output; None for the type of what is no array.
        values: all raw inputs, and all raw outputs, where `graph` runs a function; else None.
        own_backward: the backward of the kernel that ran, if it brought one.
        recompute: what brings back what was saved: a checkpoint, or saved-tensor hooks.
        hooks: pairs: of the number of an output, and the hooks on its gradient; or of BEFORE or AFTER, and
            those on all gradients of the node.
    """

    __slots__ = (
        "__weakref__",
        "_metadata",
        "edges",
        "freed",
        "hooks",
        "inputs",
        "kinds",
        "options",
        "order",
        "outlines",
        "outputs",
        "own_backward",
        "primitive",
        "recompute",
        "saved",
        "scope",
        "values",
    )

    def __init__(
        self,
        primitive: Any,
        options: dict,
        edges: tuple,
        saved: Any,
        outputs: int,
        own_backward: Callable | None = None,
    ) -> None:
        self.primitive = primitive
        self.options = options
        self.edges = edges
        self.saved = saved
        self.outputs = outputs
        self.own_backward = own_backward
        self.order = next(_order)
        self.kinds: tuple = ()
        self.inputs: tuple | None = None
        self.hooks: list | None = None
        self.recompute: Any = None
        self.outlines: tuple = ()
        self.scope: tuple = ()
        self.values: tuple | None = None
        self.freed = False

    def __repr__(self) -> str:
        return f"<node {self.primitive.name}>"

    def note(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Note the module that runs, and keep the values where that is asked for."""
        self.scope = tuple(switches.scopes)
        if True in switches.noting:
            self.values = (tuple(inputs), tuple(outputs))

    def free(self) -> None:
        """Forget what was saved; the edges stay, so that the error of a second sweep can be precise."""
        self.saved = self.inputs = self.recompute = None
        self.freed = True

    # -- what PyTorch's nodes offer

    def name(self) -> str:
        """The name of the operation, as a Tensor's `repr` shows it: "multiply", "sum" ..."""
        return self.primitive.name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each argument the node it came from, and which output of that it was.

        Leaves have an `AccumulateGrad`; it is (None, 0) for what requires no gradient.
        """
        return tuple([_node_at(edge) for edge in self.edges])

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dict for whatever a program wants to note."""
        try:
            return self._metadata
        except AttributeError:
            self._metadata: dict[Any, Any] = {}
            return self._metadata

    def register_prehook(self, hook: Callable[[tuple], Any]) -> RemovableHandle:
        """Call `hook(grad_outputs)` before the backward runs; a tuple that it returns replaces them."""
        return _add_hook(self, BEFORE, hook)

    def register_hook(self, hook: Callable[[tuple, tuple], Any]) -> RemovableHandle:
        """Call `hook(grad_inputs, grad_outputs)` after the backward; a result replaces grad_inputs."""
        return _add_hook(self, AFTER, hook)


class AccumulateGrad:
    """Where a path through the graph ends: at a leaf, whose `.grad` the gradient is added to.

    Attributes:
        variable: the leaf.
    """

    __slots__ = ("variable",)
    next_functions = ()

    def __init__(self, variable: Any) -> None:
        self.variable = variable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash((AccumulateGrad, id(self.variable)))

    def __repr__(self) -> str:
        return "<node AccumulateGrad>"

    def name(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def register_prehook(self, hook: Callable[[tuple], Any]) -> RemovableHandle:
        """Call `hook((gradient,))` when the gradient is known; a tuple that it returns replaces it."""

        def on_gradient(gradient: Any) -> Any:
            replaced = hook((gradient,))
            return replaced[0] if isinstance(replaced, tuple) else replaced

        return self.variable.register_hook(on_gradient)

    def register_hook(self, hook: Callable[[tuple, tuple], Any]) -> RemovableHandle:
        """Call `hook((), (gradient,))` when the gradient has been added to the leaf's `.grad`.

        It is handed the sum in `.grad`; what it returns is not looked at, as nothing comes after.
        """

        def on_sum(leaf: Any) -> None:
            hook((), (leaf.grad,))

        return self.variable.register_post_accumulate_grad_hook(on_sum)


class GradientEdge(NamedTuple):
    """A place in the graph that a gradient can be taken at; see `autograd.graph.get_gradient_edge`.

    Attributes:
        node: a node, or the AccumulateGrad of a leaf.
        output_nr: which of its outputs.
    """

    node: Any
    output_nr: int

    @property
    def edge(self) -> Any:
        """The same as the tape names it."""
        return self.node.variable if isinstance(self.node, AccumulateGrad) else tuple(self)


def edge_at(edge: Any) -> GradientEdge:
    """An edge of the tape as a program names it."""
    return GradientEdge(AccumulateGrad(edge), 0) if isinstance(edge, TensorBase) else GradientEdge(*edge)


def _node_at(edge: Any) -> tuple[Any, int]:
    if edge is None:
        return None, 0
    return (AccumulateGrad(edge), 0) if isinstance(edge, TensorBase) else edge


def _add_hook(node: Node, place: str, hook: Callable[..., Any]) -> RemovableHandle:
    hooks, key = hooks_at(node, place), next(hook_keys)
    hooks[key] = hook
    return RemovableHandle(hooks, key)


def hooks_at(node: Node, place: Any) -> dict[int, Callable]:
    """The table of a node's hooks on the gradient of an output, or of those BEFORE or AFTER its backward."""
    if node.hooks is None:
        node.hooks = []
    for at, hooks in node.hooks:
        if at == place:
            return hooks
    node.hooks.append((place, {}))
    return node.hooks[-1][1]


def run_hooks(node: Node, gy: Any, create_graph: bool) -> Any:
    """The gradients of a node's outputs as its hooks leave them: those of each output, then its own."""
    before: dict[int, Callable] = {}
    for index, hooks in node.hooks or ():
        if index == BEFORE:
            before = hooks
        elif index == AFTER:
            continue
        elif not node.outputs:
            gy = call_hooks(hooks, gy, create_graph)
        elif gy[index] is not None:
            gy[index] = call_hooks(hooks, gy[index], create_graph)
    for hook in list(before.values()):
        replaced = hook(_shown(gy if node.outputs else (gy,)))
        if replaced is not None:
            gradients = _taken(replaced, gy if node.outputs else (gy,), create_graph, node)
            gy = gradients if node.outputs else gradients[0]
    return gy


def run_hooks_after(node: Node, results: Sequence[Any], gy: Any, create_graph: bool) -> Sequence[Any]:
    """The gradients of a node's arguments as the hooks leave them that were registered on the node."""
    for index, hooks in node.hooks or ():
        if index == AFTER:
            for hook in list(hooks.values()):
                replaced = hook(_shown(results), _shown(gy if node.outputs else (gy,)))
                if replaced is not None:
                    results = _taken(replaced, results, create_graph, node)
    return results


def call_hooks(hooks: dict[int, Callable], gradient: Any, create_graph: bool) -> Any:
    """Call each hook with the gradient as a Tensor; a result that is not None replaces it."""
    for hook in list(hooks.values()):
        seen = gradient if create_graph else new_tensor(as_array(gradient))
        replaced = hook(seen)
        if isinstance(replaced, Later):
            return replaced
        if replaced is not None:
            gradient = _replacing(replaced, seen, create_graph)
    return gradient


class Later:
    """What a hook of a leaf may return: a gradient that is asked for when the sweep is over."""

    def result(self) -> Any:
        """The gradient, a raw array."""
        raise NotImplementedError


def _shown(gradients: Sequence[Any]) -> tuple[Any, ...]:
    """Gradients as Tensors; None where there is none."""
    return tuple(
        [g if g is None or isinstance(g, TensorBase) else new_tensor(as_array(g)) for g in gradients]
    )


def _taken(replaced: Any, gradients: Sequence[Any], create_graph: bool, node: Node) -> list[Any]:
    """What a hook of a node returned, in the place of `gradients`."""
    given = list(replaced) if isinstance(replaced, tuple | list) else [replaced]
    if len(given) != len(gradients):
        raise GradientError(
            f"expects {len(gradients)} gradients from a hook, got {len(given)}",
            subject=node.primitive.name,
            hint="A hook that only looks returns None",
        )
    return [
        g if g is None or seen is None else _replacing(g, seen, create_graph)
        for g, seen in zip(given, gradients)
    ]


def _replacing(replaced: Any, seen: Any, create_graph: bool) -> Any:
    """A gradient that takes the place of another: a Tensor in a sweep that is recorded, else raw."""
    if getattr(replaced, "shape", None) != seen.shape or dtype_name(replaced.dtype) != dtype_name(seen.dtype):
        raise GradientError(
            f"expects a gradient of shape {tuple(seen.shape)} and {dtype_name(seen.dtype)} from a hook, got "
            f"{replaced!r:.80}",
            hint="A hook that only looks returns None",
        )
    if not create_graph:
        return replaced.array if isinstance(replaced, TensorBase) else replaced
    known = isinstance(replaced, TensorBase) or not is_array(replaced)
    return replaced if known else new_tensor(as_array(replaced))
