"""First and higher derivatives: `backward`, `grad`, and what is built of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xpnn.autograd.core import COMPLEX, TensorBase, as_array, carries_gradient, met, new_tensor
from xpnn.autograd.mode import enable_grad
from xpnn.autograd.node import GradientEdge
from xpnn.autograd.tape import behind, edge_key, edge_of, sweep
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    GradientError,
    ShapeError,
    device_of,
    dtype_name,
    idioms,
    is_array,
    namespace,
    size_of,
)

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of every leaf that they were computed from.

    Args:
        tensors: one Tensor or a sequence of them, or of places in the graph (`autograd.graph.GradientEdge`).
        grad_tensors: the gradients that come from above, of the same shapes; None stands for 1 and needs
            a real Tensor of one element.
        retain_graph: keep what the forward saved, for another sweep; default: the value of create_graph.
        create_graph: record the sweep itself, so that the gradients can be differentiated again.
        inputs: add gradients to these alone, which may be intermediate results; default: all leaves.

    The gradient of a real loss L by complex numbers x + iy is dL/dx + i dL/dy, as PyTorch's.

    Raises: GradientError if a Tensor requires no gradient, or if the graph was freed.
    """
    outputs, seeds = _roots(tensors, grad_tensors, create_graph, "backward")
    if inputs is not None:
        chosen = [_leaf_of(x) for x in _each(inputs)]
        given = grad(outputs, chosen, seeds, retain_graph, create_graph, allow_unused=True)
        for leaf, gradient in zip(chosen, given):
            if gradient is not None:
                _accumulate(leaf, gradient if create_graph else gradient.array, set())
        return
    leaves: dict[int, Any] = {}
    found = sweep(
        list(map(edge_of, outputs)),
        seeds,
        create_graph=create_graph,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        leaves=leaves,
    )
    taken = {id(seed.array if isinstance(seed, TensorBase) else seed) for seed in seeds}
    for key, leaf in leaves.items():
        _accumulate(leaf, found[key], taken)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`; no `.grad` is touched.

    Args:
        outputs, inputs: one Tensor or a sequence of them, or of places in the graph
            (`autograd.graph.GradientEdge`); inputs may be leaves or intermediate results.
        grad_outputs: the gradients that come from above (see `backward`).
        retain_graph, create_graph: see `backward`.
        only_inputs: is accepted; gradients of other leaves are never added up.
        allow_unused: give None for an input that the outputs do not depend on, instead of raising.
        is_grads_batched: grad_outputs have one more axis, the first: a gradient for each of its entries.
        materialize_grads: give zeros for an input that the outputs do not depend on.

    Returns: a tuple of Tensors, one for each input.

    >>> from xpnn.autograd import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> (first,) = grad(x**3, x, create_graph=True)
    >>> (second,) = grad(first, x)
    >>> first.item(), second.item()
    (27.0, 18.0)
    """
    if not only_inputs:
        raise ArgumentError("expects only_inputs=True, as PyTorch does", subject="grad")
    if is_grads_batched:
        single = functools.partial(
            grad,
            outputs,
            inputs,
            create_graph=create_graph,
            allow_unused=allow_unused,
            materialize_grads=materialize_grads,
        )
        return _batched(single, grad_outputs, create_graph if retain_graph is None else retain_graph)
    outputs, seeds = _roots(outputs, grad_outputs, create_graph, "grad")
    inputs = _each(inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, GradientEdge) and not (isinstance(x, TensorBase) and x.requires_grad):
            raise GradientError(f"needs inputs that require a gradient, input {i} does not", subject="grad")
    edges = [x.edge if isinstance(x, GradientEdge) else edge_of(x) for x in inputs]
    found = sweep(
        list(map(edge_of, outputs)),
        seeds,
        create_graph=create_graph,
        retain_graph=create_graph if retain_graph is None else retain_graph,
        targets=edges,
    )
    results = []
    for i, edge in enumerate(edges):
        gradient = found.get(edge_key(edge))
        if gradient is None and materialize_grads:
            gradient = _zeros_at(inputs[i], outputs[0])
        if gradient is None and not allow_unused:
            raise GradientError(
                f"found no path from the outputs to input {i}",
                subject="grad",
                hint="Pass allow_unused=True to get None for it",
            )
        results.append(_as_tensor(gradient))
    return tuple(results)


def _batched(single: Callable[..., Any], grad_outputs: Any, retain_graph: bool) -> tuple[Any, ...]:
    """The gradients for each entry of the first axis of `grad_outputs`, stacked."""
    batches = _each(grad_outputs)
    if any(not is_array(batch) or not batch.shape for batch in batches):
        raise ArgumentError("expects grad_outputs with a first axis", subject="grad with is_grads_batched")
    count = batches[0].shape[0]
    rows = [
        single(grad_outputs=[batch[i, ...] for batch in batches], retain_graph=retain_graph or i < count - 1)
        for i in range(count)
    ]
    return tuple(None if g[0] is None else g[0].__array_namespace__().stack(g) for g in zip(*rows))


def vjp(function: Callable, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """Reverse mode: `(outputs, v^T J)` of `function` at `inputs`, as torch.autograd.functional.vjp.

    Args:
        function: takes the inputs, returns one Tensor or a tuple of them.
        inputs: a Tensor or a tuple of them.
        v: of the outputs' shapes; may be left out for a single output of one element.

    Returns: the outputs, and one product for each input (a tuple if the inputs are one).

    >>> from xpnn.autograd import tensor
    >>> vjp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 1.0]))[1].tolist()
    [2.0, 4.0]
    """
    with enable_grad():
        leaves = _fresh(inputs, create_graph)
        outputs = function(*leaves)
        tracked = _tuple(outputs)
        live = [(y, u) for y, u in zip(tracked, _seeds(tracked, v), strict=True) if y.requires_grad]
        gradients: tuple[Any, ...] = (None,) * len(leaves)
        if live:
            ys, us = zip(*live)
            gradients = grad(ys, leaves, us, create_graph=create_graph, allow_unused=True)
    products = tuple(_zeros(x) if g is None else g for g, x in zip(gradients, leaves))
    return _detached(outputs, create_graph), products if isinstance(inputs, tuple | list) else products[0]


def jvp(function: Callable, inputs: Any, v: Any = None, create_graph: bool = False) -> tuple[Any, Any]:
    """Forward mode: `(outputs, J v)` of `function` at `inputs`, as torch.autograd.functional.jvp.

    It is made of two reverse sweeps (see `Pushforward`).

    >>> from xpnn.autograd import tensor
    >>> jvp(lambda x: x * x, tensor([1.0, 2.0]), tensor([1.0, 0.0]))[1].tolist()
    [2.0, 0.0]
    """
    with enable_grad():
        leaves = _fresh(inputs, create_graph)
        outputs = function(*leaves)
        tracked = _tuple(outputs)
        push = Pushforward(tracked, leaves)
        if v is None and any(size_of(x.shape) != 1 for x in leaves):
            raise ArgumentError("needs v, because the inputs have more than one element", subject="jvp")
        vectors = [_ones(x) for x in leaves] if v is None else list(_tuple(v))
        _check_shapes(vectors, leaves, "jvp", "v")
        products = push(vectors, create_graph)
    pushed = tuple(_zeros(y) if p is None else p for p, y in zip(products, tracked))
    return _detached(outputs, create_graph), pushed if isinstance(outputs, tuple | list) else pushed[0]


class Pushforward:
    """The products J v of outputs with the inputs that they were computed from, for any v.

    The product `u -> u^T J` of a reverse sweep is linear in u; its own derivative is `J v`. So one recorded
    sweep, and another for each v, give forward mode.
    """

    def __init__(self, outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
        self.live = [y for y in outputs if isinstance(y, TensorBase) and y.requires_grad]
        self.places = [self._place(y) for y in outputs]
        self.seeds = [_zeros(y) for y in self.live]
        self.pulled: tuple[Any, ...] = (None,) * len(inputs)
        for seed in self.seeds:
            seed.requires_grad = True
        if self.live:
            with enable_grad():
                self.pulled = grad(self.live, inputs, self.seeds, create_graph=True, allow_unused=True)

    def _place(self, output: Any) -> int | None:
        """The place of an output among those that are alive."""
        return next((i for i, y in enumerate(self.live) if y is output), None)

    def __call__(self, tangents: Sequence[Any], create_graph: bool = False) -> list[Any]:
        """J v for each output, given v for each input; None for an output that no input reaches."""
        moving = [(p, v) for p, v in zip(self.pulled, tangents) if p is not None and p.requires_grad]
        products: tuple[Any, ...] = (None,) * len(self.seeds)
        if moving:
            ps, vs = zip(*moving)
            with enable_grad():
                products = grad(
                    ps, self.seeds, vs, retain_graph=True, create_graph=create_graph, allow_unused=True
                )
        return [None if place is None else products[place] for place in self.places]


def jacobian(function: Callable, inputs: Any, create_graph: bool = False) -> Any:
    """All first derivatives: `J[i..., j...] = d outputs[i...] / d inputs[j...]`.

    Args:
        function: takes the inputs, returns one Tensor or a tuple of them.
        inputs: a Tensor or a tuple of them.

    Returns: a Tensor of shape (*output.shape, *input.shape); nested in tuples (outputs, then inputs) as
    the outputs and inputs are.

    Raises: DTypeError for complex outputs: a sweep back gives the conjugate of what one expects there.

    >>> from xpnn.autograd import tensor
    >>> jacobian(lambda x: x * x, tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    with enable_grad():
        leaves = _fresh(inputs, create_graph)
        outputs = function(*leaves)
        refuse_complex(_tuple(outputs), "jacobian", "outputs")
        rows = tuple(_jacobian_rows(y, leaves, create_graph) for y in _tuple(outputs))
    if not isinstance(inputs, tuple | list):
        rows = tuple(row[0] for row in rows)
    return rows if isinstance(outputs, tuple | list) else rows[0]


def forward_jacobian(function: Callable, inputs: Any, create_graph: bool = False) -> Any:
    """`jacobian` by forward mode, with a product for each element of the inputs; outputs may be complex.

    The derivative in a complex number is that along the real axis: of a holomorphic function the complex one.

    >>> from xpnn.autograd import tensor
    >>> forward_jacobian(lambda x: x * x, tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    with enable_grad():
        leaves = _fresh(inputs, create_graph)
        outputs = function(*leaves)
        tracked = _tuple(outputs)
        push = Pushforward(tracked, leaves)
        blocks: list[list[Any]] = [[] for _ in tracked]
        for leaf in leaves:
            columns: list[list[Any]] = [[] for _ in tracked]
            for direction in _basis(leaf):
                tangents = [direction if x is leaf else _zeros(x) for x in leaves]
                for column, y, product in zip(columns, tracked, push(tangents, create_graph)):
                    column.append(_zeros(y) if product is None else product)
            for block, column, y in zip(blocks, columns, tracked):
                xp = y.__array_namespace__()
                shape = (*y.shape, *leaf.shape)
                block.append(
                    xp.reshape(xp.stack(column, axis=-1), shape)
                    if column
                    else xp.zeros(shape, dtype=y.dtype, device=device_of(y))
                )
    rows = [tuple(block) if isinstance(inputs, tuple | list) else block[0] for block in blocks]
    return tuple(rows) if isinstance(outputs, tuple | list) else rows[0]


def refuse_complex(tensors: Iterable[Any], subject: str, what: str) -> None:
    """Raise a DTypeError for complex Tensors, whose Jacobian a sweep back does not give."""
    if any(isinstance(x, TensorBase) and carries_gradient(x.array) == COMPLEX for x in tensors):
        raise DTypeError(
            f"expects real {what}, got complex ones",
            subject=subject,
            hint="Take view_as_real of them, or jvp and vjp, whose vectors may be complex",
        )


def hessian(function: Callable, inputs: Any, create_graph: bool = False) -> Any:
    """All second derivatives of a scalar function: the Jacobian of its gradient.

    Returns: a Tensor of shape (*input.shape, *input.shape); nested in tuples if the inputs are a tuple.

    >>> from xpnn.autograd import tensor
    >>> hessian(lambda x: (x**3).sum(), tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """

    def gradient(*xs: Any) -> Any:
        output = function(*xs)
        if not isinstance(output, TensorBase) or size_of(output.shape) != 1:
            raise ShapeError("needs a function with one scalar output", subject="hessian")
        if not output.requires_grad:
            return tuple(_zeros(x) for x in xs)
        found = grad(output, xs, create_graph=True, allow_unused=True)
        return tuple(_zeros(x) if g is None else g for g, x in zip(found, xs))

    if isinstance(inputs, tuple | list):
        return jacobian(gradient, tuple(inputs), create_graph)
    return jacobian(lambda x: gradient(x)[0], inputs, create_graph)


def _jacobian_rows(output: Any, leaves: Sequence[Any], create_graph: bool) -> tuple[Any, ...]:
    """One reverse sweep for each element of the output."""
    xp = output.__array_namespace__()
    columns: list[list[Any]] = [[] for _ in leaves]
    for seed in _basis(output):
        if output.requires_grad:
            found = grad(
                output, leaves, seed, retain_graph=True, create_graph=create_graph, allow_unused=True
            )
        else:
            found = (None,) * len(leaves)  # type: ignore[assignment]
        for column, g, x in zip(columns, found, leaves):
            column.append(_zeros(x) if g is None else g)
    return tuple(
        xp.reshape(xp.stack(column), (*output.shape, *x.shape))
        if column
        else xp.zeros((*output.shape, *x.shape), dtype=output.dtype, device=device_of(output))
        for column, x in zip(columns, leaves)
    )


def _basis(tensor: Any) -> Iterator[Any]:
    """Tensors of its shape with a single 1, at each place in turn."""
    xp, size = namespace(tensor.array), size_of(tensor.shape)
    rows = xp.eye(size, dtype=tensor.array.dtype, device=device_of(tensor))
    for i in range(size):
        yield new_tensor(xp.reshape(rows[i, :], tensor.shape))


def _roots(tensors: Any, gradients: Any, create_graph: bool, subject: str) -> tuple[list[Any], list[Any]]:
    """The outputs, and a raw array (a Tensor under create_graph) to start each of them with."""
    if (
        gradients is None
        and isinstance(tensors, TensorBase)
        and tensors._requires_grad
        and size_of(tensors.shape) == 1
        and not (met.complex and carries_gradient(tensors.array) == COMPLEX)
    ):
        seed = idioms.ones_like(tensors.array)
        return [tensors], [new_tensor(seed) if create_graph else seed]
    outputs = [_tensor_at(y) if isinstance(y, GradientEdge) else y for y in _each(tensors)]
    gradients = [None] * len(outputs) if gradients is None else _each(gradients)
    if len(gradients) != len(outputs):
        raise ArgumentError(f"got {len(gradients)} gradients for {len(outputs)} outputs", subject=subject)
    tracked, seeds = [], []
    for i, (output, gradient) in enumerate(zip(outputs, gradients)):
        if not isinstance(output, TensorBase):
            raise DTypeError(f"expects Tensors, got {type(output).__name__}", subject=subject)
        if not output.requires_grad:
            raise GradientError(
                f"was called on a Tensor (number {i}) that requires no gradient",
                subject=subject,
                hint="Set requires_grad=True on what it is computed from, and look for a no_grad() block",
            )
        if gradient is None and size_of(output.shape) != 1:
            raise GradientError(
                f"needs a gradient from above for an output of shape {output.shape}",
                subject=subject,
                hint="Reduce it to a scalar with .sum() or .mean(), or pass the gradient",
            )
        is_complex = carries_gradient(output.array) == COMPLEX
        if gradient is None and is_complex:
            raise GradientError(
                "needs a gradient from above for a complex output: only a real number has a steepest ascent",
                subject=subject,
                hint="Make it real with .abs() or .real, or pass the gradient",
            )
        seed = _ones(output) if gradient is None else gradient
        if not is_array(seed):
            raise DTypeError(
                f"expects Tensors as the gradients from above, got {type(seed).__name__}",
                subject=subject,
                hint=f"Did you mean xpnn.tensor({seed!r:.40})?",
            )
        _check_shapes([seed], [output], subject, "the gradient")
        if not isinstance(seed, TensorBase):
            seed = new_tensor(as_array(seed))
        if is_complex != (carries_gradient(seed.array) == COMPLEX):
            raise DTypeError(
                f"expects a {'complex' if is_complex else 'real'} gradient from above for an output of "
                f"{dtype_name(output.dtype)}, got {dtype_name(seed.dtype)}",
                subject=subject,
            )
        if seed.dtype != output.dtype:  # else it would widen all gradients below
            seed = seed.__array_namespace__().astype(seed, output.dtype)
        tracked.append(output)
        seeds.append(seed if create_graph else seed.array)
    return tracked, seeds


def _tensor_at(place: GradientEdge) -> Any:
    """A Tensor that stands for the one at a place in the graph; only its shape and element type count."""
    if not isinstance(place.edge, tuple):
        return place.edge
    leaf = next(edge for edge in behind([place.edge]).values() if isinstance(edge, TensorBase))
    shape, dtype = place.node.outlines[place.output_nr]
    return new_tensor(namespace(leaf.array).zeros(shape, dtype=dtype, device=device_of(leaf)), place.edge)


def _seeds(outputs: Sequence[Any], v: Any) -> Sequence[Any]:
    """The entries of `v`, one for each output."""
    seeds = (None,) * len(outputs) if v is None else _tuple(v)
    if len(seeds) != len(outputs):
        raise ArgumentError(f"expects {len(outputs)} entries in v, got {len(seeds)}", subject="vjp")
    return seeds


def _accumulate(leaf: TensorBase, gradient: Any, taken: set[int]) -> None:
    """`leaf.grad += gradient`, in the element type of the leaf; a new array each time.

    The first gradient is the one that the sweep found. Other leaves and the caller may hold it too (both
    terms of a sum get the same), and a user may write into `leaf.grad.array`: hence `own`.
    """
    data = leaf.array
    if leaf.grad is None and type(gradient) is type(data) and gradient.dtype == data.dtype:
        leaf.grad = new_tensor(idioms.own(gradient, taken))  # nearly always: spares what follows
    else:
        _add_to_grad(leaf, gradient, taken)
    if leaf.hooks is not None:
        for hook in [*leaf.hooks.values()]:
            if isinstance(hook, AfterAccumulation):
                hook.function(leaf)


def _add_to_grad(leaf: TensorBase, gradient: Any, taken: set[int]) -> None:
    gradient = _as_tensor(gradient)
    if gradient.dtype != leaf.array.dtype:
        gradient = gradient.__array_namespace__().astype(gradient, leaf.array.dtype)
    if leaf.grad is None and not _is_tracked_leaf(gradient):
        leaf.grad = new_tensor(idioms.own(gradient.array, taken), gradient.edge)
    elif leaf.grad is None:
        leaf.grad = gradient
    elif gradient.requires_grad or leaf.grad.requires_grad:
        leaf.grad = leaf.grad + gradient
    else:
        leaf.grad = new_tensor(as_array(leaf.grad.array + gradient.array))


class AfterAccumulation:
    """A hook of a leaf that is called when `.grad` has got its gradient, and leaves that alone before."""

    def __init__(self, function: Callable[[Any], None]) -> None:
        self.function = function

    def __call__(self, gradient: Any) -> None:
        """As other hooks are called, with the gradient on its way: nothing yet."""


def _as_tensor(value: Any) -> Any:
    """A Tensor of its own around a gradient: two inputs may have been given the same one."""
    if value is None:
        return None
    if isinstance(value, TensorBase):
        return value if _is_tracked_leaf(value) else new_tensor(value.array, value.edge)
    return new_tensor(as_array(value))


def _is_tracked_leaf(tensor: TensorBase) -> bool:
    """Whether only this very object leads to its gradient: a `grad_outputs` that requires one."""
    return tensor.edge is None and tensor.requires_grad


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _leaf_of(x: Any) -> Any:
    """What `backward` is to add a gradient to: of an edge the leaf that it leads to."""
    if not isinstance(x, GradientEdge):
        return x
    if not isinstance(x.edge, TensorBase):
        raise GradientError("expects Tensors, or edges to leaves, as inputs", subject="backward")
    return x.edge


def _each(value: Any) -> list[Any]:
    """One Tensor, or any iterable of them (`model.parameters()`), as a list."""
    if is_array(value) or isinstance(value, GradientEdge) or not isinstance(value, Iterable):
        return [value]
    return list(value)


def _fresh(inputs: Any, create_graph: bool) -> list[Any]:
    """Leaves with the values of the inputs; the inputs themselves where they are to stay on the tape."""
    leaves = []
    for x in _tuple(inputs):
        if not (create_graph and isinstance(x, TensorBase) and x.requires_grad):
            raw = x.array if isinstance(x, TensorBase) else x
            if not is_array(raw) or not carries_gradient(raw):
                raise DTypeError(f"expects floating-point Tensors as inputs, got {x!r:.80}")
            x = new_tensor(raw)
            x.requires_grad = True
        leaves.append(x)
    return leaves


def _detached(outputs: Any, keep: bool) -> Any:
    if keep:
        return outputs
    detached = tuple(new_tensor(y.array) for y in _tuple(outputs))
    return detached if isinstance(outputs, tuple | list) else detached[0]


def _zeros_at(x: Any, output: TensorBase) -> Any:
    """Zeros like an input of `grad`, which may be a place in the graph of `output`."""
    if isinstance(x, GradientEdge) and isinstance(x.edge, tuple):
        shape, dtype = x.node.outlines[x.output_nr]
        return new_tensor(namespace(output.array).zeros(shape, dtype=dtype, device=device_of(output)))
    return _zeros(x.edge if isinstance(x, GradientEdge) else x)


def _zeros(like: TensorBase) -> Any:
    return new_tensor(namespace(like.array).zeros_like(like.array))


def _ones(like: TensorBase) -> Any:
    return new_tensor(idioms.ones_like(like.array))


def _check_shapes(given: Sequence[Any], expected: Sequence[Any], subject: str, name: str) -> None:
    if len(given) != len(expected):
        raise ArgumentError(f"expects {len(expected)} entries in {name}, got {len(given)}", subject=subject)
    for one, other in zip(given, expected):
        if tuple(one.shape) != tuple(other.array.shape):
            raise ShapeError(
                f"expects {name} to have shape {tuple(other.array.shape)}, got {tuple(one.shape)}",
                subject=subject,
            )
