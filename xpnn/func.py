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
from xpnn.autograd.gradients import Pushforward as _Pushforward
from xpnn.autograd.gradients import refuse_complex as _refuse_complex
from xpnn.autograd.nested import tree_flatten as _tree_flatten
from xpnn.autograd.nested import tree_leaves as _tree_leaves
from xpnn.autograd.nested import tree_map as _tree_map
from xpnn.autograd.tape import behind, edge_of
from xpnn.backend import ArgumentError, DTypeError, ShapeError, concrete, refusing, size_of
from xpnn.backend.random import default_stream
from xpnn.nn import BatchNorm1d, BatchNorm2d, BatchNorm3d, Module, SyncBatchNorm
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
        "linearize",
        "replace_all_batch_norm_modules_",
        "stack_module_state",
    ),
    *("vjp", "vmap"),
]

Argnums = int | tuple[int, ...]

_BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)


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
        given = _tree_leaves(cotangents[0] if len(cotangents) == 1 else cotangents)
        if len(given) != len(call.outputs):
            raise ArgumentError(f"expects {len(call.outputs)} Tensors, got {len(given)}", subject="vjp")
        return call.pull(given, bool(create_graph))

    output = _tree_map(call.plain, call.output)
    return (output, pull, call.aux) if has_aux else (output, pull)


def jvp(func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """Forward mode: what `func` returns, and J v.

    It is made of two reverse sweeps (see `xpnn.autograd.gradients.Pushforward`).

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
    vectors = _tree_leaves(tangents)
    call = _Call(func, primals, {}, tuple(range(len(primals))), has_aux, "jvp")
    result = _tree_map(call.plain, call.output), call.push(vectors)
    return (*result, call.aux) if has_aux else result


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable]:
    """What `func` returns at `primals`, and the function that takes tangents, one for each, to J v.

    The function runs once, however many tangents there are.

    >>> from xpnn.autograd import tensor
    >>> output, push = linearize(lambda x: x * x, tensor([1.0, 2.0]))
    >>> push(tensor([1.0, 0.0])).tolist(), push(tensor([0.0, 1.0])).tolist()
    ([2.0, 0.0], [0.0, 4.0])
    """
    call = _Call(func, primals, {}, tuple(range(len(primals))), False, "linearize")

    def push(*tangents: Any) -> Any:
        if len(tangents) != len(primals):
            raise ArgumentError(f"expects {len(primals)} tangents, got {len(tangents)}", subject="linearize")
        vectors = _tree_leaves(tangents)
        return call.push(vectors)

    return _tree_map(call.plain, call.output), push


def jacrev(
    func: Callable, argnums: Argnums = 0, *, has_aux: bool = False, chunk_size: int | None = None
) -> Callable:
    """The function that gives the Jacobian of `func`, of shape (*output, *input), by reverse mode.

    Args:
        func, argnums, has_aux: as in `grad`; func may return any Tensors.
        chunk_size: is accepted; there is one sweep for each element of the output.

    Raises: DTypeError for complex Tensors, as PyTorch does: `jvp` and `vjp` take them.

    >>> from xpnn.autograd import tensor
    >>> jacrev(lambda x: x * x)(tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    _check_chunk_size(chunk_size, "jacrev")

    @functools.wraps(func)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = _Call(func, args, kwargs, argnums, has_aux, "jacrev")
        _refuse_complex(call.ends, "jacrev", "inputs")
        _refuse_complex(call.outputs, "jacrev", "outputs")
        result = call.jacobian()
        return (result, call.aux) if has_aux else result

    return jacobian


def jacfwd(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """As `jacrev`: the same numbers, and by the same sweeps.

    `func` runs once, so that `randomness` changes nothing.

    >>> from xpnn.autograd import tensor
    >>> jacfwd(lambda x: x * x)(tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    _check_randomness(randomness, "jacfwd")
    return jacrev(func, argnums, has_aux=has_aux)


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """The function that gives the second derivatives of `func`: the Jacobian of its Jacobian.

    >>> from xpnn.autograd import tensor
    >>> hessian(lambda x: (x**3).sum())(tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacfwd(jacrev(func, argnums), argnums)


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """The function that calls `func` for each entry along an axis of its arguments, and stacks the results.

    The calls are made one after the other, so this is no faster than a loop.

    Args:
        func: of Tensors without that axis.
        in_dims: the axis in each argument, None for one that is passed whole: an int for all, or nested as
            the arguments are. Keyword arguments are passed whole.
        out_dims: the new axis in the results: an int for all, or nested as the results are; None for one
            that is the same for all entries.
        randomness: "different" draws numbers of its own for each entry, "same" the same ones for all,
            "error" refuses to draw.
        chunk_size: is accepted.

    Raises: ArgumentError if no argument has an axis to go along, and for random numbers where none are to be
    drawn; ShapeError if the axes' lengths differ.

    >>> from xpnn.autograd import tensor
    >>> vmap(lambda a, b: (a * b).sum())(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[1.0, 1.0], [0.0, 1.0]]))
    tensor([3., 4.])
    """
    _check_randomness(randomness, "vmap")
    _check_chunk_size(chunk_size, "vmap")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = _tree_flatten(args)
        axes = _nested_axes(args, in_dims, "in_dims")
        axes = [axis if isinstance(leaf, TensorBase) else None for leaf, axis in zip(leaves, axes)]
        for leaf, axis in zip(leaves, axes):
            if axis is not None and not -leaf.ndim <= axis < leaf.ndim:
                raise ArgumentError(f"finds no axis {axis} in {_described(leaf)}", subject="vmap")
        lengths = {leaf.shape[axis] for leaf, axis in zip(leaves, axes) if axis is not None}
        if not lengths:
            raise ArgumentError("finds no argument with an axis to go along: see in_dims", subject="vmap")
        if len(lengths) > 1:
            raise ShapeError(f"expects axes of one length, got {sorted(lengths)}", subject="vmap")
        count = lengths.pop()
        rows = [
            leaf if axis is None else functions.shape.movedim(leaf, axis, 0)
            for leaf, axis in zip(leaves, axes)
        ]
        if not count:  # one call tells the shapes of the results
            rows = [
                row if axis is None else row.new_zeros((1, *row.shape[1:])) for row, axis in zip(rows, axes)
            ]
        results, draws = [], _Draws(randomness)
        for i in range(max(count, 1)):
            entries = iter([row if axis is None else row[i] for row, axis in zip(rows, axes)])
            with draws:
                results.append(func(*spec.unflatten(entries), **kwargs))
        return _stacked(results, out_dims, count)

    return mapped


class _Draws:
    """What the calls of `vmap` may draw of the random numbers."""

    def __init__(self, randomness: str) -> None:
        self.randomness = randomness
        self.stream = default_stream()
        self.start = self.stream.counter

    def __enter__(self) -> None:
        if self.randomness == "same":
            self.stream.counter = self.start

    def __exit__(self, kind: Any, *exception: object) -> None:
        if kind is None and self.randomness == "error" and self.stream.counter is not self.start:
            raise ArgumentError(
                "was given a function that draws random numbers",
                subject="vmap",
                hint="Choose randomness='different' or 'same', or draw them before",
            )


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


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Let all batch norms in a module use the statistics of their batch only, and keep none: in place.

    So can `vmap` and `grad` go through them, which writes into buffers would refuse. Returns the module.

    >>> from xpnn.nn import BatchNorm1d, Sequential
    >>> net = replace_all_batch_norm_modules_(Sequential(BatchNorm1d(2)))
    >>> net[0].track_running_stats, net[0].running_mean
    (False, None)
    """
    if not isinstance(root, Module):
        raise DTypeError(
            f"expects a Module, got {type(root).__name__}", subject="replace_all_batch_norm_modules_"
        )
    for part in root.modules():
        if (
            isinstance(part, BatchNorm1d | BatchNorm2d | BatchNorm3d | SyncBatchNorm)
            and part.track_running_stats
        ):
            part.running_mean = part.running_var = part.num_batches_tracked = None
            part.track_running_stats = False
    return root


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
        self._pushforward: _Pushforward | None = None  # made for the first tangents
        self._subject = subject
        numbers = argnums if isinstance(argnums, tuple) else (argnums,)
        if any(not -len(args) <= i < len(args) for i in numbers):
            raise ArgumentError(f"expects argnums below {len(args)}, got {argnums}", subject=subject)
        given, self.spec = _tree_flatten(tuple(args[i] for i in numbers))
        for x in given:
            if not isinstance(x, TensorBase) or not carries_gradient(x):
                raise DTypeError(
                    f"expects floating-point Tensors to differentiate in, got {_described(x)}",
                    subject=subject,
                )
        with enable_grad():
            self.ends = [_end(x) for x in given]
            words = list(args)
            for i, value in zip(numbers, self.spec.unflatten(self.ends)):
                words[i] = value
            result = func(*words, **kwargs)
        self.aux = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise ArgumentError("expects a pair from the function, for has_aux=True", subject=subject)
            result, aux = result
        self.output = result
        self.outputs, self.output_spec = _tree_flatten(result)
        self.nested = _others_lead_to(self.outputs, self.ends)
        if has_aux:
            self.aux = _tree_map(self.plain, aux)

    def plain(self, value: Any) -> Any:
        """A result without its way back to the ends."""
        return value if self.nested or not isinstance(value, Tensor) else value.detach()

    def pull(self, cotangents: list[Any], create_graph: bool = False) -> Any:
        """v^T J, in the structure of the arguments."""
        found = self._pulled(self.outputs, cotangents, self.nested or create_graph)
        value = self.spec.unflatten(found)
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
            raise ShapeError("expects tangents of the shapes of the primals", subject=self._subject)
        if self._pushforward is None:
            self._pushforward = _Pushforward(self.outputs, self.ends)
        pushed = self._pushforward(tangents, self.nested or any(v.requires_grad for v in tangents))
        found = [
            functions.creation.zeros_like(y.detach()) if v is None else v
            for y, v in zip(self.outputs, pushed)
        ]
        return self.output_spec.unflatten(found)

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
            value = self.spec.unflatten(
                functions.joining.stack(row).reshape((*y.shape, *x.shape))
                if row
                else functions.creation.zeros((*y.shape, *x.shape), dtype=y.dtype, device=y.device)
                for row, x in zip(rows, self.ends)
            )
            blocks.append(value if isinstance(self.argnums, tuple) else value[0])
        return self.output_spec.unflatten(blocks)


def _end(x: Any) -> Any:
    """A Tensor of the same values to differentiate in, on the tape of `x` if that is on one."""
    return functions.shape.view_as(x, x) if x.requires_grad else x.detach().requires_grad_()


def _others_lead_to(outputs: Sequence[Any], ends: Sequence[Any]) -> bool:
    """Whether the outputs were computed from leaves that are not among `ends`."""
    own = {id(end) for end in ends}
    edges = behind([edge_of(y) for y in outputs if isinstance(y, TensorBase) and y.requires_grad])
    return any(isinstance(edge, TensorBase) and id(edge) not in own for edge in edges.values())


def _nested_axes(value: Any, axes: Any, name: str) -> list[Any]:
    """The axis for each leaf of a nesting, of axes that are nested as deep or less deep."""
    if isinstance(axes, int) or axes is None:
        return [axes] * len(_tree_leaves(value))
    fits = isinstance(value, tuple | list | dict) and isinstance(axes, tuple | list | dict)
    if not fits or isinstance(value, dict) != isinstance(axes, dict) or len(value) != len(axes):
        raise ArgumentError(f"expects {name} nested as what they are for, got {axes}", subject="vmap")
    keys = value if isinstance(value, dict) else range(len(value))
    return [axis for key in keys for axis in _nested_axes(value[key], axes[key], name)]


def _stacked(results: list[Any], out_dims: Any, count: int) -> Any:
    """Results of alike structure, stacked; none of them where the count is 0."""
    rows: list[list[Any]] = []
    for result in results:
        leaves, spec = _tree_flatten(result)
        rows.append(leaves)
    for leaf in rows[0]:
        if not isinstance(leaf, TensorBase):
            raise DTypeError(f"expects Tensors from the function, got {_described(leaf)}", subject="vmap")
    axes = _nested_axes(results[0], out_dims, "out_dims")
    stacked = []
    for column, axis in zip(zip(*rows), axes):
        if axis is None:
            stacked.append(_common(column))
            continue
        whole = functions.joining.stack(column, axis)
        stacked.append(whole if count else functions.shape.narrow(whole, axis, 0, 0))
    return spec.unflatten(stacked)


def _common(column: tuple[Any, ...]) -> Any:
    """The result that is the same for all entries. Raises: ArgumentError where it is seen not to be."""
    first = column[0]
    for other in column[1:]:
        known = concrete(first.array) and concrete(other.array)
        if known and not functions.comparison.equal(first.detach(), other.detach()):
            raise ArgumentError(
                "has results that differ between entries where out_dims is None", subject="vmap"
            )
    return first


def _check_randomness(randomness: Any, subject: str) -> None:
    if not isinstance(randomness, str) or randomness not in ("error", "different", "same"):
        raise ArgumentError(
            f"expects randomness 'error', 'different' or 'same', got {randomness!r:.60}", subject=subject
        )


def _check_chunk_size(chunk_size: Any, subject: str) -> None:
    if chunk_size is not None and not (isinstance(chunk_size, int) and chunk_size >= 1):
        raise ArgumentError(
            f"expects chunk_size as a whole number >= 1 or None, got {chunk_size!r:.60}", subject=subject
        )


def _described(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, TensorBase) else type(value).__name__
