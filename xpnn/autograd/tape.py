"""The tape: nodes that remember an operation, and the sweep that walks them backwards.

A node holds the *edges* to where its inputs came from, not the inputs themselves: an activation lives on
only if some backward saved it. An edge is a leaf Tensor, a pair `(node, output index)`, or None where no
gradient is wanted.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from xpnn.autograd.casting import casting, entered
from xpnn.autograd.core import TensorBase, as_array, carries_gradient, new_tensor
from xpnn.autograd.mode import enable_grad, switches
from xpnn.autograd.node import Later, Node, call_hooks, run_hooks, run_hooks_after
from xpnn.backend import (
    AnomalyError,
    GradientError,
    device_of,
    is_array,
    namespace,
    to_numpy,
)


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
                    residual = residual or (is_array(value) and carries_gradient(value) != 0)
        kinds.append(kind)
    return tuple(kinds), residual


def sweep(
    roots: Sequence[Any],
    seeds: Sequence[Any],
    *,
    create_graph: bool,
    retain_graph: bool,
    targets: Sequence[Any] | None = None,
    leaves: dict[int, Any] | None = None,
) -> dict[int | tuple[int, int], Any]:
    """Walk the tape backwards from `roots` and sum up the gradients.

    Args:
        roots: edges. seeds: their gradients, raw arrays, or Tensors if `create_graph`.
        targets: the edges that gradients are wanted for; only the paths to them are walked. None walks to
            all leaves.
        leaves: is filled with the leaves that were reached, by `edge_key`.

    Returns: the gradients by `edge_key`: of the targets, or of all leaves.
    """
    if entered and switches.casts:  # gradients are computed in the types of the forward
        with casting({}):
            return sweep(
                roots,
                seeds,
                create_graph=create_graph,
                retain_graph=retain_graph,
                targets=targets,
                leaves=leaves,
            )
    # Where all leaves are wanted, `needed` is None: every node is walked.
    needed = None if targets is None else _nodes_on_paths(roots, targets)
    wanted = set() if targets is None else set(map(edge_key, targets))
    around, switches.sweep = switches.sweep, Sweep(roots, needed, wanted)
    leaves = {} if leaves is None else leaves
    try:
        return _walk(roots, seeds, needed, wanted, targets, leaves, create_graph, retain_graph)
    finally:
        switches.sweep = around


class Sweep:
    """A sweep that is on its way, for hooks to ask what will come by."""

    __slots__ = ("__weakref__", "needed", "roots", "wanted")

    def __init__(self, roots: Sequence[Any], needed: set[int] | None, wanted: set[Any]) -> None:
        self.roots = roots
        self.needed = needed
        self.wanted = wanted

    def reached(self, edges: Sequence[Any]) -> list[bool]:
        """For each edge whether its gradient is computed in this sweep."""
        if self.needed is not None:
            return [
                edge_key(edge) in self.wanted
                or (not isinstance(edge, TensorBase) and edge[0].order in self.needed)
                for edge in edges
            ]
        seen = behind(self.roots)
        return [edge_key(edge) in seen for edge in edges]


def behind(roots: Sequence[Any]) -> dict[int | tuple[int, int], Any]:
    """The edges that `roots` came from, themselves among them, by `edge_key`."""
    seen: dict[Any, Any] = {}
    stack = list(roots)
    while stack:
        edge = stack.pop()
        if edge is None or edge_key(edge) in seen:
            continue
        seen[edge_key(edge)] = edge
        if not isinstance(edge, TensorBase):
            stack.extend(edge[0].edges)
    return seen


def _walk(
    roots: Sequence[Any],
    seeds: Sequence[Any],
    needed: set[int] | None,
    wanted: set[Any],
    targets: Sequence[Any] | None,
    leaves: dict[int, Any],
    create_graph: bool,
    retain_graph: bool,
) -> dict[int | tuple[int, int], Any]:
    """What `sweep` does, with the nodes that are `needed` for what is `wanted`."""
    found: dict[Any, Any] = {}
    hooked: _Hooked | None = None  # made when a leaf with hooks is reached
    ties: list[Any] = []  # edges to what has a gradient of zero (see `_tied`)
    # What has arrived so far at nodes that were not walked yet, by their order: a gradient, or a list of one
    # for each output. The heap has the same nodes, the last recorded first.
    gradients: dict[int, Any] = {}
    heap: list[tuple[int, Node]] = []
    node: Any = None
    edges, results = roots, seeds
    while True:
        for edge, gradient in zip(edges, results):  # each is added to what its edge has got already
            if edge is None:
                continue
            if gradient is None:
                if node.primitive is _tie:
                    ties.append(edge)
                elif not getattr(node.primitive, "may_omit", False):
                    raise _no_gradient(edges, results, node)
                continue
            if type(edge) is not tuple:
                key = id(edge)
                if needed is None or key in wanted:
                    leaves[key] = edge
                    found[key] = found[key] + gradient if key in found else gradient
                    if edge.hooks and hooked is None:
                        hooked = _Hooked(leaves, found, create_graph)
                continue
            source, index = edge
            order, outputs = source.order, source.outputs
            if order not in gradients:
                if needed is not None and order not in needed and (order, index) not in wanted:
                    continue
                heapq.heappush(heap, (-order, source))
                gradients[order] = [None] * outputs if outputs else None
            arrivals, at = (gradients[order], index) if outputs else (gradients, order)
            before = arrivals[at]
            arrivals[at] = gradient if before is None else before + gradient

        if hooked is not None:
            hooked.call(edges, heap)
        if not heap:
            break
        _, node = heapq.heappop(heap)
        gy = gradients.pop(node.order)
        if node.hooks is not None:
            gy = run_hooks(node, gy, create_graph)
        edges = node.edges
        if needed is not None:
            order = node.order
            for index in range(node.outputs or 1):
                if (order, index) in wanted:
                    found[order, index] = gy[index] if node.outputs else gy
            if order not in needed:
                edges = ()
                continue
            edges = [edge if _leads_to(edge, needed, wanted) else None for edge in edges]
        results = _pull_back(node, gy, edges, create_graph)
        if node.hooks is not None:
            results = run_hooks_after(node, results, gy, create_graph)
        if not retain_graph:
            node.free()
        elif node.recompute is not None:
            node.recompute.release(node)
    if ties:
        seed = seeds[0]
        zeros = _zeros_through(ties, targets, found, seed.array if isinstance(seed, TensorBase) else seed)
        for edge, zero in zeros:
            found[edge_key(edge)] = new_tensor(zero) if create_graph else zero
            if isinstance(edge, TensorBase):
                leaves[id(edge)] = edge
                if edge.hooks and hooked is None:
                    hooked = _Hooked(leaves, found, create_graph)
    if hooked is not None:
        hooked.finish()
    return found


class _Hooked:
    """Calls the hooks of leaves, each as soon as nothing more can be added to its gradient.

    So can gradients be sent to other processes while the sweep goes on.
    """

    def __init__(self, leaves: dict[int, Any], found: dict[Any, Any], create_graph: bool) -> None:
        self.leaves = leaves
        self.found = found
        self.create_graph = create_graph
        self.uses: dict[int, int] | None = None  # of each leaf, by nodes that are still to be walked
        self.called: set[int] = set()

    def call(self, edges: Sequence[Any], heap: Sequence[tuple[int, Node]]) -> None:
        """After the gradients of a node have been handed to `edges`, with the nodes of `heap` to come."""
        reached = [id(edge) for edge in edges if isinstance(edge, TensorBase) and edge.hooks]
        if self.uses is None:
            self.uses = _uses_of_leaves([node for _, node in heap])
            reached = list(self.leaves)
        else:
            for key in reached:
                self.uses[key] = self.uses.get(key, 1) - 1
        for key in reached:
            if not self.uses.get(key):
                self._call(key)

    def finish(self) -> None:
        """At the end, for leaves that nodes use which were not walked; and wait for what hooks promised."""
        for key in self.leaves:
            self._call(key)
        for key in self.called:
            if isinstance(self.found[key], Later):
                self.found[key] = self.found[key].result()

    def _call(self, key: int) -> None:
        hooks = self.leaves[key].hooks if key in self.leaves else None
        if hooks and key not in self.called:
            self.called.add(key)
            self.found[key] = call_hooks(hooks, self.found[key], self.create_graph)


def _uses_of_leaves(nodes: list[Node]) -> dict[int, int]:
    """How often the nodes that lead from these hand something to each leaf."""
    uses: dict[int, int] = {}
    seen: set[int] = set()
    while nodes:
        node = nodes.pop()
        if node.order in seen:
            continue
        seen.add(node.order)
        for edge in node.edges:
            if isinstance(edge, TensorBase):
                uses[id(edge)] = uses.get(id(edge), 0) + 1
            elif edge is not None:
                nodes.append(edge[0])
    return uses


def _no_gradient(edges: Sequence[Any], results: Sequence[Any], node: Node) -> GradientError:
    argument = [edge is not None and gradient is None for edge, gradient in zip(edges, results)].index(True)
    return GradientError(f"returned no gradient for its argument {argument}", subject=node.primitive.name)


def edge_of(tensor: TensorBase) -> Any:
    """The edge that leads to a Tensor: itself for a leaf."""
    return tensor if tensor.edge is None else tensor.edge


def edge_key(edge: Any) -> int | tuple[int, int]:
    """What `sweep` files a gradient under."""
    return id(edge) if isinstance(edge, TensorBase) else (edge[0].order, edge[1])


def examine(arrays: Sequence[Any], name: str, what: str, scope: Sequence[Any]) -> None:
    """Show results to `detect_anomaly` and to what `watching` has named."""
    for watch in switches.anomaly:
        (watch or _check_finite)(arrays, name, what, scope)


def _check_finite(arrays: Sequence[Any], name: str, what: str, scope: Sequence[Any]) -> None:
    """Raise an AnomalyError that names the primitive if one of the arrays holds a NaN or infinity."""
    backward = what == "gradient"
    for array in arrays:
        if array is None or not is_array(array) or not carries_gradient(array):
            continue
        raw = array.array if isinstance(array, TensorBase) else array
        xp = namespace(raw)
        if bool(xp.all(xp.isfinite(raw))):
            continue
        values = to_numpy(raw)
        index = next(tuple(map(int, i)) for i in zip(*(~_isfinite(values)).nonzero()))
        where = f", recorded in {' / '.join(map(str, scope))}" if scope and backward else ""
        raise AnomalyError(
            f"made {values[index]} at index {index} of an {what} of shape {tuple(values.shape)}{where}",
            subject=f"the backward of {name}" if backward else name,
            hint="Look at what went in; detect_anomaly() stops at the first one",
        )


def _isfinite(values: Any) -> Any:
    return abs(values) < float("inf")


def _pull_back(node: Node, gy: Any, edges: Sequence[Any], create_graph: bool) -> Sequence[Any]:
    """Run the node's backward; returns a gradient for each argument with an edge."""
    primitive = node.primitive
    if node.saved is None or primitive.backward_function is None:
        _make_ready(node)
    needs = tuple([edge is not None for edge in edges])
    if node.outputs:
        gy = tuple(gy)
    if create_graph:
        with enable_grad():
            saved = _saved_as_tensors(node)
            results = primitive.backward_function(gy, saved, needs, **node.options)
            if getattr(primitive, "flat", False):
                results = [_tied(g, node.edges) for g in results]
    else:
        function = node.own_backward or primitive.backward_function
        results = function(gy, node.saved, needs, **node.options)
    if switches.anomaly:
        wanted = [g if need else None for g, need in zip(results, needs)]  # a rule may give more
        examine(wanted, primitive.name, "gradient", node.scope)
    return results


class _Tie:
    """What ties the gradient of a flat primitive to that primitive's inputs (see `_tied`)."""

    name = "tie"

    def backward_function(self, gy: Any, saved: tuple, needs: tuple) -> tuple[Any, ...]:
        """The gradient of the gradient, and None for what it does not change with."""
        return gy, *[None] * (len(needs) - 1)


_tie = _Tie()


def _tied(gradient: Any, edges: Sequence[Any]) -> Any:
    """The gradient of a flat primitive, such as relu, as a function of the primitive's inputs.

    It does not change with them. But a bias that a gradient penalty reaches through relu alone has a
    gradient of zero to PyTorch, not none: optimizers treat the two in other ways.
    """
    if not isinstance(gradient, TensorBase):
        return gradient
    source = edge_of(gradient) if gradient._requires_grad else None
    node = Node(_tie, {}, (source, *edges), (), 0)
    node.outlines = ((gradient.array.shape, gradient.array.dtype),)
    return new_tensor(gradient.array, (node, 0))


def _zeros_through(
    ties: Sequence[Any], targets: Sequence[Any] | None, found: dict[Any, Any], like: Any
) -> list[tuple[Any, Any]]:
    """Zeros for the targets, or all leaves, that ties lead to and that no gradient has reached."""
    xp = namespace(like)
    wanted = None if targets is None else set(map(edge_key, targets))
    zeros: dict[Any, tuple[Any, Any]] = {}
    stack, seen = [*ties], set()
    while stack:
        edge = stack.pop()
        if edge is None or edge_key(edge) in seen:
            continue
        key = edge_key(edge)
        seen.add(key)
        is_leaf = isinstance(edge, TensorBase)
        if key not in found and (is_leaf if wanted is None else key in wanted):
            if is_leaf:
                zeros[key] = edge, namespace(edge.array).zeros_like(edge.array)
            else:
                shape, dtype = edge[0].outlines[edge[1]]
                zeros[key] = edge, xp.zeros(shape, dtype=dtype, device=device_of(like))
        if not is_leaf:
            stack.extend(edge[0].edges)
    return [*zeros.values()]


def _make_ready(node: Node) -> None:
    """Get back what a checkpoint or hooks took. Raises: GradientError if nothing can bring it back."""
    if node.primitive.backward_function is None:
        raise GradientError(
            "has no gradient rule, and a gradient through it was asked for",
            subject=node.primitive.name,
            hint="Call detach() on its input if no gradient should flow",
        )
    if node.freed:
        raise GradientError(
            f"the recorded graph was freed by an earlier backward sweep (at '{node.primitive.name}')",
            hint="Pass retain_graph=True to the first backward() or grad()",
        )
    node.recompute.fill(node)


def _saved_as_tensors(node: Node) -> tuple:
    """What the reference forward saves, connected to the tape."""
    saved, kinds = node.saved, node.kinds
    raw_of_input = {kind: value for kind, value in zip(kinds, saved) if kind is not None and kind >= 0}
    if node.inputs is not None:
        inputs = node.inputs
        raw_of_input = dict(enumerate(inputs))
        if node.own_backward is not None:
            output, saved = node.primitive.forward(*inputs, **node.options)
            outputs = output if isinstance(output, tuple) else (output,)
            kinds, residual = classify(saved, inputs, outputs, node.edges)
        else:
            residual = True
        if residual:
            tensors = [_input_as_tensor(node, i, raw) for i, raw in raw_of_input.items()]
            return node.primitive.forward(*tensors, **node.options)[1]
    return tuple(
        [
            _constant(value)
            if kind is None
            else _input_as_tensor(node, kind, value)
            if kind >= 0
            else new_tensor(as_array(value), (node, -1 - kind))
            for kind, value in zip(kinds, saved)
        ]
    )


def _input_as_tensor(node: Node, i: int, raw: Any) -> Any:
    edge = node.edges[i]
    if edge is None:
        return _constant(raw)
    if not isinstance(edge, TensorBase):
        return new_tensor(raw, edge)
    if edge.array is not raw:
        if node.recompute is not None and node.recompute.unpacks:
            return _leading_to(edge, raw)
        raise GradientError(
            f"a leaf Tensor that '{node.primitive.name}' used was changed since, so that the second "
            "derivative would be taken at the wrong point",
            hint="Call optimizer.step() after all derivatives are taken",
        )
    return edge


def _leading_to(leaf: Any, raw: Any) -> Any:
    """A Tensor of another array than the leaf's that passes its gradient on to the leaf."""
    node = Node(_tie, {}, (leaf,), (), 0)
    node.outlines = ((raw.shape, raw.dtype),)
    return new_tensor(raw, (node, 0))


def _constant(value: Any) -> Any:
    return new_tensor(as_array(value)) if is_array(value) and not isinstance(value, TensorBase) else value


def _nodes_on_paths(roots: Sequence[Any], targets: Sequence[Any]) -> set[int]:
    """The orders of the nodes whose backward has to run for a gradient to reach one of the targets."""
    wanted = {edge_key(edge) for edge in targets}
    reachable: dict[int, Node] = {}
    stack = [edge[0] for edge in roots if not isinstance(edge, TensorBase)]
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
