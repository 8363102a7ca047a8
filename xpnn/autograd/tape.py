"""The tape: nodes that remember an operation, and the sweep that walks them backwards.

A node holds the *edges* to where its inputs came from, not the inputs themselves: an activation lives on
only if some backward saved it. An edge is a leaf Tensor, a pair `(node, output index)`, or None where no
gradient is wanted.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd.core import TensorBase, as_array, carries_gradient, new_tensor
from xpnn.autograd.mode import enable_grad, switches
from xpnn.backend import AnomalyError, Deferred, GradientError, array_of, is_array, namespace, to_numpy

_order = itertools.count()


class Node:
    """One recorded operation.

    Attributes:
        edges: one per argument (see the module).
        saved: what the forward saved; None once it is freed.
        kinds: what each saved value is: `i >= 0` is input i, `-1 - j` is output j, None anything else.
        outputs: the number of outputs if the forward returned a tuple, 0 if it returned one array.
        inputs: all raw inputs; kept only where the second derivative has to replay the forward.
        own_backward: the backward of the kernel that ran, if it brought one.
    """

    __slots__ = (
        "__weakref__",
        "edges",
        "freed",
        "hooks",
        "inputs",
        "kinds",
        "options",
        "order",
        "outputs",
        "own_backward",
        "primitive",
        "recompute",
        "saved",
        "scope",
    )

    def __init__(
        self, primitive: Any, options: dict, edges: tuple, saved: Any, kinds: tuple, outputs: int
    ) -> None:
        self.primitive = primitive
        self.options = options
        self.edges = edges
        self.saved = saved
        self.kinds = kinds
        self.outputs = outputs
        self.order = next(_order)
        self.inputs: tuple | None = None
        self.own_backward: Callable | None = None
        self.hooks: list | None = None
        self.recompute: Any = None
        self.scope: tuple = ()
        self.freed = False

    def __repr__(self) -> str:
        return f"<node {self.primitive.name}>"

    def free(self) -> None:
        """Forget what was saved; the edges stay, so that the error of a second sweep can be precise."""
        self.saved = self.inputs = None
        self.freed = True


def classify(
    saved: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], edges: Sequence[Any]
) -> tuple[tuple, bool]:
    """The kind of each saved value (see `Node.kinds`), and whether one is a float residual.

    A float array that is neither input nor output is a function of the inputs that the tape doesn't know
    of. To a second sweep it would look like a constant, and the second derivative would be wrong: the
    forward is replayed on Tensors then. So it is where one array came in as two arguments with different
    edges, as in `x * x.detach()`: which of them was saved cannot be told from the array.
    """
    kinds = []
    residual = False
    for value in saved:
        kind = None
        if value is not None:
            for i, array in enumerate(inputs):
                if value is array:
                    if kind is None:
                        kind = i
                    elif edges[i] is not edges[kind]:
                        residual = True
            if kind is None:
                for j, array in enumerate(outputs):
                    if value is array:
                        kind = -1 - j
                        break
                else:
                    residual = residual or (is_array(value) and carries_gradient(value))
        kinds.append(kind)
    return tuple(kinds), residual


def sweep(
    roots: Sequence[tuple[Any, Any]],
    *,
    create_graph: bool,
    retain_graph: bool,
    targets: Sequence[Any] | None = None,
    leaves: dict[int, Any] | None = None,
) -> dict[int | tuple[int, int], Any]:
    """Walk the tape backwards from `roots` and sum up the gradients.

    Args:
        roots: pairs (edge, gradient); gradients are raw arrays, or Tensors if `create_graph`.
        targets: the edges that gradients are wanted for; only the paths to them are walked. None walks to
            all leaves.
        leaves: is filled with the leaves that were reached, by `edge_key`.

    Returns: the gradients by `edge_key`: of the targets, or of all leaves.
    """
    # Where all leaves are wanted, `needed` is None: every node is walked.
    needed = None if targets is None else _nodes_on_paths(roots, targets)
    wanted = {edge_key(edge) for edge in targets or ()}
    leaves = {} if leaves is None else leaves
    found: dict[Any, Any] = {}
    gradients: dict[int, Any] = {}
    nodes: dict[int, Node] = {}
    heap: list[int] = []

    def deliver(edges: Sequence[Any], arrived: Sequence[Any]) -> None:
        """Add each gradient to those that its edge has got already."""
        for edge, gradient in zip(edges, arrived):
            if edge is None:
                continue
            if type(edge) is not tuple:
                key = id(edge)
                if needed is None or key in wanted:
                    leaves[key] = edge
                    gradient = array_of(gradient)
                    found[key] = found[key] + gradient if key in found else gradient
                continue
            node, index = edge
            order = node.order
            if order not in nodes:
                if needed is not None and order not in needed and (order, index) not in wanted:
                    continue
                nodes[order] = node
                heapq.heappush(heap, -order)
                gradients[order] = [None] * node.outputs if node.outputs else None
            if not node.outputs:
                before = gradients[order]
                gradients[order] = gradient if before is None else before + gradient
            else:
                before = gradients[order][index]
                gradients[order][index] = gradient if before is None else before + gradient

    deliver([edge for edge, _ in roots], [gradient for _, gradient in roots])
    while heap:
        order = -heapq.heappop(heap)
        node = nodes.pop(order)
        gy = gradients.pop(order)
        if node.hooks is not None:
            gy = _run_hooks(node, list(map(array_of, gy)) if node.outputs else array_of(gy), create_graph)
        edges: Sequence[Any] = node.edges
        if needed is not None:
            for index in range(node.outputs or 1):
                if (order, index) in wanted:
                    found[order, index] = array_of(gy[index] if node.outputs else gy)
            if order not in needed:
                continue
            edges = [edge if _leads_to(edge, needed, wanted) else None for edge in edges]
        needs = tuple([edge is not None for edge in edges])
        results = _pull_back(node, gy, needs, create_graph)
        if not retain_graph:
            node.free()
        deliver(edges, results)
    for key, leaf in leaves.items():
        if leaf.hooks:
            found[key] = _call_hooks(leaf.hooks, found[key], create_graph)
    return found


def edge_of(tensor: TensorBase) -> Any:
    """The edge that leads to a Tensor: itself for a leaf."""
    return tensor if tensor.edge is None else tensor.edge


def edge_key(edge: Any) -> int | tuple[int, int]:
    """What `sweep` files a gradient under."""
    return id(edge) if isinstance(edge, TensorBase) else (edge[0].order, edge[1])


def check_finite(arrays: Sequence[Any], name: str, what: str, scope: tuple = ()) -> None:
    """Raise an AnomalyError that names the primitive if one of the arrays holds a NaN or infinity."""
    for array in arrays:
        if array is None or not is_array(array) or not carries_gradient(array):
            continue
        raw = array.data if isinstance(array, TensorBase) else array
        xp = namespace(raw)
        if bool(xp.all(xp.isfinite(raw))):
            continue
        values = to_numpy(raw)
        index = next(tuple(map(int, i)) for i in zip(*(~_isfinite(values)).nonzero()))
        where = f", recorded in {' / '.join(map(str, scope))}" if scope else ""
        raise AnomalyError(
            f"made {values[index]} at index {index} of an {what} of shape {tuple(values.shape)}{where}",
            subject=name,
            hint="Look at what went in; detect_anomaly() stops at the first one",
        )


def _isfinite(values: Any) -> Any:
    return abs(values) < float("inf")


def _pull_back(node: Node, gy: Any, needs: tuple[bool, ...], create_graph: bool) -> Sequence[Any]:
    """Run the node's backward; returns a gradient for each argument that needs one."""
    primitive = node.primitive
    if primitive.backward_function is None:
        raise GradientError(
            "has no gradient rule, and a gradient through it was asked for",
            subject=primitive.name,
            hint="Call detach() on its input if no gradient should flow",
        )
    if node.freed:
        raise GradientError(
            f"the recorded graph was freed by an earlier backward sweep (at '{primitive.name}')",
            hint="Pass retain_graph=True to the first backward() or grad()",
        )
    if node.saved is None:
        node.recompute.fill(node)
    if node.outputs:
        gy = tuple(gy)
    if create_graph:
        with enable_grad():
            saved = _saved_as_tensors(node)
            results = primitive.backward_function(gy, saved, needs, **node.options)
    else:
        function = node.own_backward or primitive.backward_function
        if isinstance(gy, tuple | Deferred) and not getattr(function, "takes_deferred", False):
            gy = tuple(map(array_of, gy)) if isinstance(gy, tuple) else gy.array()
        results = function(gy, node.saved, needs, **node.options)
    for need, result in zip(needs, results):
        if need and result is None:
            argument = [n and r is None for n, r in zip(needs, results)].index(True)
            raise GradientError(f"returned no gradient for its argument {argument}", subject=primitive.name)
    if switches.anomaly:
        check_finite(results, f"the backward of {primitive.name}", "gradient", node.scope)
    return results


def _saved_as_tensors(node: Node) -> tuple:
    """What the reference forward saves, connected to the tape."""
    saved, kinds = node.saved, node.kinds
    raw_of_input = {kind: value for kind, value in zip(kinds, saved) if kind is not None and kind >= 0}
    if node.inputs is not None:
        inputs = tuple(map(array_of, node.inputs))
        raw_of_input = dict(enumerate(inputs))
        if node.own_backward is not None:
            output, saved = node.primitive.forward(*inputs, **node.options)
            outputs = output if isinstance(output, tuple) else (output,)
            kinds, residual = classify(saved, inputs, outputs, node.edges)
        else:
            residual = True
        if residual:
            tensors = [_input_as_tensor(node, i, array_of(raw)) for i, raw in raw_of_input.items()]
            return node.primitive.forward(*tensors, **node.options)[1]
    return tuple(
        [
            _constant(value)
            if kind is None
            else _input_as_tensor(node, kind, array_of(value))
            if kind >= 0
            else new_tensor(as_array(array_of(value)), (node, -1 - kind))
            for kind, value in zip(kinds, saved)
        ]
    )


def _input_as_tensor(node: Node, i: int, raw: Any) -> Any:
    edge = node.edges[i]
    if edge is None:
        return _constant(raw)
    if not isinstance(edge, TensorBase):
        return new_tensor(raw, edge)
    if edge.data is not raw:
        raise GradientError(
            f"a leaf Tensor that '{node.primitive.name}' used was changed since, so that the second "
            "derivative would be taken at the wrong point",
            hint="Call optimizer.step() after all derivatives are taken",
        )
    return edge


def _constant(value: Any) -> Any:
    return new_tensor(as_array(value)) if is_array(value) and not isinstance(value, TensorBase) else value


def _run_hooks(node: Node, gy: Any, create_graph: bool) -> Any:
    for index, hooks in node.hooks or ():
        if not node.outputs:
            gy = _call_hooks(hooks, gy, create_graph)
        elif gy[index] is not None:
            gy[index] = _call_hooks(hooks, gy[index], create_graph)
    return gy


def _call_hooks(hooks: dict[int, Callable], gradient: Any, create_graph: bool) -> Any:
    """Call each hook with the gradient as a Tensor; a result that is not None replaces it."""
    for hook in list(hooks.values()):
        seen = gradient if create_graph else new_tensor(as_array(gradient))
        replaced = hook(seen)
        if replaced is None:
            continue
        if getattr(replaced, "shape", None) != seen.shape or replaced.dtype != seen.dtype:
            raise GradientError(
                f"expects a gradient of shape {seen.shape} and {seen.dtype} from a hook, got "
                f"{replaced!r:.80}",
                hint="A hook that only looks returns None",
            )
        if create_graph:
            gradient = _constant(replaced)
        else:
            gradient = replaced.data if isinstance(replaced, TensorBase) else replaced
    return gradient


def _nodes_on_paths(roots: Sequence[tuple[Any, Any]], targets: Sequence[Any]) -> set[int]:
    """The orders of the nodes whose backward has to run for a gradient to reach one of the targets."""
    wanted = {edge_key(edge) for edge in targets}
    reachable: dict[int, Node] = {}
    stack = [edge[0] for edge, _ in roots if not isinstance(edge, TensorBase)]
    while stack:
        node = stack.pop()
        if node.order in reachable:
            continue
        reachable[node.order] = node
        stack.extend(e[0] for e in node.edges if e is not None and not isinstance(e, TensorBase))
    needed: set[int] = set()
    for order in sorted(reachable):  # inputs come before the operations that use them
        if any(_leads_to(edge, needed, wanted) for edge in reachable[order].edges):
            needed.add(order)
    return needed


def _leads_to(edge: Any, needed: set[int], wanted: set) -> bool:
    if edge is None:
        return False
    if isinstance(edge, TensorBase):
        return id(edge) in wanted
    return edge[0].order in needed or (edge[0].order, edge[1]) in wanted
