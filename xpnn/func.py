"""Functions of functions, with the arguments of `torch.func`: gradients, products, Jacobians, and vmap.

They nest, and what they return is differentiable in Tensors from outside that require a gradient. Arguments
and results may be nested tuples, lists and dictionaries of Tensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import Tensor, enable_grad, functions
from xpnn.autograd import grad as _grad
from xpnn.autograd.core import TensorBase, carries_gradient
from xpnn.autograd.node import Node
from xpnn.autograd.tape import edge_of
from xpnn.backend import ArgumentError, DTypeError, ShapeError, refusing, size_of
from xpnn.nn import Module
from xpnn.nn.utils.stateless import functional_call as functional_call

__all__ = [
    *(
        "functional_call",
        "grad",
        "grad_and_value",
        "hessian",
        "jacfwd",
        "jacrev",
        "jvp",
        "stack_module_state",
    ),
    *("vjp", "vmap"),
]

Argnums = int | tuple[int, ...]


def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The function that gives the gradient of `func`, which returns one number.

    Args:
        func: of Tensors.
        argnums: the argument to differentiate in, or a tuple of them.
        has_aux: whether func returns a pair (number, anything else); the gradient comes with the latter then.

    Raises: ShapeError if func returns no number.

    >>> from xpnn.autograd import tensor
    >>> grad(grad(lambda x: x**3))(tensor(2.0)).item()
    12.0
    """

    @functools.wraps(func)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        found, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient


def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The function that gives the gradient of `func` and what it returns; see `grad`.

    >>> from xpnn.autograd import tensor
    >>> grad_and_value(lambda x: x**2)(tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> Any:
        call = _Call(func, args, kwargs, argnums, has_aux, "grad")
        value = call.output
        if not isinstance(value, TensorBase) or size_of(value.shape) != 1 or value.shape:
            raise ShapeError(
                f"needs a function that returns a Tensor of shape (), got {_described(value)}", subject="grad"
            )
        found = call.pull([None])
        value = call.plain(value)
        return found, (value, call.aux) if has_aux else value

    return both


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> Any:
    """Reverse mode: what `func` returns, and the function that takes v to v^T J.

    Args:
        func: of Tensors.
        primals: its arguments.
        has_aux: whether func returns a pair; the second is passed on, as a third result.

    >>> from xpnn.autograd import tensor
    >>> output, pull = vjp(lambda x: x * x, tensor([1.0, 2.0]))
    >>> pull(tensor([1.0, 1.0]))[0].tolist()
    [2.0, 4.0]
    """
    call = _Call(func, primals, {}, tuple(range(len(primals))), has_aux, "vjp")

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given: list[Any] = []
        _take_apart(cotangents[0] if len(cotangents) == 1 else cotangents, given)
        if len(given) != len(call.outputs):
            raise ArgumentError(f"expects {len(call.outputs)} Tensors, got {len(given)}", subject="vjp")
        return call.pull(given, bool(create_graph))

    output = _mapped(call.plain, call.output)
    return (output, pull, call.aux) if has_aux else (output, pull)


def jvp(func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """Forward mode: what `func` returns, and J v.

    Reverse mode is linear in the vector that it takes; differentiating it in that vector gives J v.

    Args:
        func: of Tensors.
        primals: a tuple of its arguments. tangents: v, a tuple of their shapes.
        strict: is accepted.
        has_aux: as in `vjp`.

    >>> from xpnn.autograd import tensor
    >>> jvp(lambda x: x * x, (tensor([1.0, 2.0]),), (tensor([1.0, 0.0]),))[1].tolist()
    [2.0, 0.0]
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or len(primals) != len(tangents):
        raise ArgumentError("expects two tuples of one length", subject="jvp")
    vectors: list[Any] = []
    _take_apart(tangents, vectors)
    call = _Call(func, primals, {}, tuple(range(len(primals))), has_aux, "jvp")
    result = _mapped(call.plain, call.output), call.push(vectors)
    return (*result, call.aux) if has_aux else result


def jacrev(func: Callable, argnums: Argnums = 0, *, has_aux: bool = False, **options: Any) -> Callable:
    """The function that gives the Jacobian of `func`, of shape (*output, *input), by reverse mode.

    Args:
        func, argnums, has_aux: as in `grad`; func may return any Tensors.
        options: PyTorch's `chunk_size`, which changes no result.

    >>> from xpnn.autograd import tensor
    >>> jacrev(lambda x: x * x)(tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = _Call(func, args, kwargs, argnums, has_aux, "jacrev")
        result = call.jacobian()
        return (result, call.aux) if has_aux else result

    return jacobian


def jacfwd(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error", **options: Any
) -> Callable:
    """As `jacrev`: the same numbers, and by the same sweeps.

    >>> from xpnn.autograd import tensor
    >>> jacfwd(lambda x: x * x)(tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """The function that gives the second derivatives of `func`: the Jacobian of its Jacobian.

    >>> from xpnn.autograd import tensor
    >>> hessian(lambda x: (x**3).sum())(tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacfwd(jacrev(func, argnums), argnums)


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: Any = None
) -> Callable:
    """The function that calls `func` for each entry along an axis of its arguments, and stacks the results.

    The calls are made one after the other, so this is no faster than a loop.

    Args:
        func: of Tensors without that axis.
        in_dims: the axis in each argument, None for one that is passed whole: an int for all, or nested as
            the arguments are.
        out_dims: the new axis in the results: an int for all, or a tuple of one for each.
        randomness: is accepted; each call draws numbers of its own.
        chunk_size: is accepted.

    Raises: ArgumentError if no argument has an axis to go along, ShapeError if their lengths differ.

    >>> from xpnn.autograd import tensor
    >>> vmap(lambda a, b: (a * b).sum())(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1.0, 1.0], [0.0, 1.0]]))
    tensor([3., 4.])
    """

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        rebuild = _take_apart(args, leaves)
        axes = _axes_of(args, in_dims)
        whole = len(leaves)
        rebuild_named = _take_apart(kwargs, leaves)
        axes += [0] * (len(leaves) - whole)
        lengths = {leaf.shape[axis] for leaf, axis in zip(leaves, axes) if axis is not None}
        if not lengths:
            raise ArgumentError("finds no argument with an axis to go along: see in_dims", subject="vmap")
        if len(lengths) > 1:
            raise ShapeError(f"expects axes of one length, got {sorted(lengths)}", subject="vmap")
        rows = [
            leaf if axis is None else functions.shape.movedim(leaf, axis, 0)
            for leaf, axis in zip(leaves, axes)
        ]
        results = []
        for i in range(lengths.pop()):
            entries = iter([row if axis is None else row[i] for row, axis in zip(rows, axes)])
            words, named = rebuild(entries), rebuild_named(entries)
            results.append(func(*words, **named))
        return _stacked(results, out_dims)

    return mapped


@refusing
def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The Parameters and the Buffers of alike modules by name, stacked along a new first axis.

    >>> from xpnn.nn import Linear
    >>> parameters, buffers = stack_module_state([Linear(2, 1), Linear(2, 1), Linear(2, 1)])
    >>> parameters["weight"].shape, buffers
    ((3, 1, 2), {})
    """
    if not models or len({type(model) for model in models}) > 1:
        raise ArgumentError("expects one module or more, all of one class", subject="stack_module_state")

    def stack(all_named: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            name: functions.joining.stack([named[name].detach() for named in all_named]).requires_grad_(
                value.requires_grad
            )
            for name, value in all_named[0].items()
        }

    return (
        stack([dict(model.named_parameters()) for model in models]),
        stack([dict(model.named_buffers()) for model in models]),
    )


class _Call:
    """One call of a function, with the arguments that are differentiated in as new ends of the tape.

    Attributes:
        output: what the function returned, without `aux`. outputs: the Tensors in it.
        nested: whether the output depends on other Tensors that require a gradient, too: then the derivatives
            stay on the tape, else they leave it.
    """

    def __init__(
        self, func: Callable, args: tuple, kwargs: dict, argnums: Argnums, has_aux: bool, subject: str
    ) -> None:
        if not callable(func):
            raise DTypeError(f"expects a function, got {func!r:.60}", subject=subject)
        self.argnums = argnums
        numbers = argnums if isinstance(argnums, tuple) else (argnums,)
        if any(not -len(args) <= i < len(args) for i in numbers):
            raise ArgumentError(f"expects argnums below {len(args)}, got {argnums}", subject=subject)
        given: list[Any] = []
        self.rebuild = _take_apart(tuple(args[i] for i in numbers), given)
        for x in given:
            if not isinstance(x, TensorBase) or not carries_gradient(x):
                raise DTypeError(
                    f"expects floating-point Tensors to differentiate in, got {_described(x)}",
                    subject=subject,
                )
        with enable_grad():
            self.ends = [_end(x) for x in given]
            words = list(args)
            for i, value in zip(numbers, self.rebuild(iter(self.ends))):
                words[i] = value
            result = func(*words, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError("expects a pair from the function, for has_aux=True", subject=subject)
            result, aux = result
        self.output = result
        self.outputs: list[Any] = []
        self.rebuild_output = _take_apart(result, self.outputs)
        self.nested = _others_lead_to(self.outputs, self.ends)
        if has_aux:
            self.aux = _mapped(self.plain, aux)

    def plain(self, value: Any) -> Any:
        """A result without its way back to the ends."""
        return value if self.nested or not isinstance(value, Tensor) else value.detach()

    def pull(self, cotangents: list[Any], create_graph: bool = False) -> Any:
        """v^T J, in the structure of the arguments."""
        found = self._pulled(self.outputs, cotangents, self.nested or create_graph)
        value = self.rebuild(iter(found))
        return value if isinstance(self.argnums, tuple) else value[0]

    def _pulled(self, outputs: list[Any], cotangents: list[Any], create_graph: bool) -> list[Any]:
        live = [(y, v) for y, v in zip(outputs, cotangents) if isinstance(y, TensorBase) and y.requires_grad]
        if not live or not self.ends:
            return [functions.creation.zeros_like(x.detach()) for x in self.ends]
        ys, vs = zip(*live)
        with enable_grad():
            return list(
                _grad(
                    ys,
                    self.ends,
                    list(vs),
                    retain_graph=True,
                    create_graph=create_graph,
                    materialize_grads=True,
                )
            )

    def push(self, tangents: list[Any]) -> Any:
        """J v, in the structure of the output."""
        if [tuple(v.shape) for v in tangents] != [tuple(x.shape) for x in self.ends]:
            raise ShapeError("expects tangents of the shapes of the primals", subject="jvp")
        with enable_grad():
            duals = [functions.creation.zeros_like(y.detach()).requires_grad_() for y in self.outputs]
            pulled = self._pulled(self.outputs, duals, True)
            live = [(g, v) for g, v in zip(pulled, tangents) if g.requires_grad]
            pushed: Any = [functions.creation.zeros_like(y.detach()) for y in self.outputs]
            tracked = self.nested or any(v.requires_grad for v in tangents)
            if live:
                gs, vs = zip(*live)
                pushed = _grad(gs, duals, list(vs), create_graph=tracked, materialize_grads=True)
        return self.rebuild_output(iter(pushed))

    def jacobian(self) -> Any:
        """The Jacobian, in the structure of the output, and below that in that of the arguments."""
        blocks = []
        for y in self.outputs:
            rows: list[list[Any]] = [[] for _ in self.ends]
            basis = functions.creation.eye(size_of(y.shape), dtype=y.dtype, device=y.device)
            for i in range(size_of(y.shape)):
                found = self._pulled([y], [basis[i].reshape(tuple(y.shape))], self.nested)
                for row, g in zip(rows, found):
                    row.append(g)
            value = self.rebuild(
                functions.joining.stack(row).reshape((*y.shape, *x.shape))
                if row
                else functions.creation.zeros((*y.shape, *x.shape), dtype=y.dtype, device=y.device)
                for row, x in zip(rows, self.ends)
            )
            blocks.append(value if isinstance(self.argnums, tuple) else value[0])
        return self.rebuild_output(iter(blocks))


def _end(x: Any) -> Any:
    """A Tensor of the same values to differentiate in, on the tape of `x` if that is on one."""
    return functions.shape.view_as(x, x) if x.requires_grad else x.detach().requires_grad_()


def _others_lead_to(outputs: Sequence[Any], ends: Sequence[Any]) -> bool:
    """Whether the outputs were computed from leaves that are not among `ends`."""
    own = {id(end) for end in ends}
    stack = [edge_of(y) for y in outputs if isinstance(y, TensorBase) and y.requires_grad]
    seen: set[int] = set()
    while stack:
        edge = stack.pop()
        if isinstance(edge, TensorBase):
            if id(edge) not in own:
                return True
            continue
        node: Node = edge[0]
        if node.order not in seen:
            seen.add(node.order)
            stack.extend(e for e in node.edges if e is not None)
    return False


def _take_apart(value: Any, leaves: list[Any]) -> Callable[[Any], Any]:
    """Append the leaves of a nesting to a list; the result puts others together in their places."""
    if isinstance(value, dict):
        parts = [(key, _take_apart(part, leaves)) for key, part in value.items()]
        return lambda others: type(value)((key, part(others)) for key, part in parts)
    if isinstance(value, tuple | list):
        items = [_take_apart(part, leaves) for part in value]
        if hasattr(value, "_fields"):  # a NamedTuple
            return lambda others: type(value)(*[part(others) for part in items])
        return lambda others: type(value)([part(others) for part in items])
    leaves.append(value)
    return next


def _mapped(function: Callable[[Any], Any], value: Any) -> Any:
    leaves: list[Any] = []
    return _take_apart(value, leaves)(iter([function(leaf) for leaf in leaves]))


def _axes_of(value: Any, in_dims: Any) -> list[Any]:
    """The axis for each leaf of a nesting, of `in_dims` that are nested as deep or less deep."""
    if isinstance(in_dims, int) or in_dims is None:
        leaves: list[Any] = []
        _take_apart(value, leaves)
        return [in_dims if isinstance(leaf, TensorBase) else None for leaf in leaves]
    if not isinstance(value, tuple | list | dict) or len(value) != len(in_dims):
        raise ArgumentError(
            f"expects in_dims for the arguments as they are nested, got {in_dims}", subject="vmap"
        )
    keys = value if isinstance(value, dict) else range(len(value))
    return [axis for key in keys for axis in _axes_of(value[key], in_dims[key])]


def _stacked(results: list[Any], out_dims: Any) -> Any:
    """Results of alike structure, stacked."""
    if not results:
        raise ShapeError("cannot go along an axis of length 0", subject="vmap")
    rows: list[list[Any]] = []
    for result in results:
        leaves: list[Any] = []
        rebuild = _take_apart(result, leaves)
        rows.append(leaves)
    for leaf in rows[0]:
        if not isinstance(leaf, TensorBase):
            raise DTypeError(f"expects Tensors from the function, got {_described(leaf)}", subject="vmap")
    axes = [out_dims] * len(rows[0]) if isinstance(out_dims, int) or out_dims is None else [*out_dims]
    if len(axes) != len(rows[0]):
        raise ArgumentError(f"expects {len(rows[0])} out_dims, got {len(axes)}", subject="vmap")
    stacked = [
        column[0] if axis is None else functions.joining.stack(column, axis)
        for column, axis in zip(zip(*rows), axes)
    ]
    return rebuild(iter(stacked))


def _described(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, TensorBase) else type(value).__name__
