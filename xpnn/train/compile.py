"""Compiling a training step: state in, state out, one program for the device.

A library that traces sees pure functions of arrays only. So the state that a step changes (parameters,
buffers, the optimizer's arrays and learning rates, the schedule's count, the count of random draws) is
handed to it as arguments, and what comes out is put back in its place.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor, is_grad_enabled
from xpnn.autograd.mode import switches
from xpnn.backend import (
    ArgumentError,
    Array,
    Backend,
    BackendError,
    DTypeError,
    backend_of,
    device_of,
    dtype_name,
    get_backend,
    is_array,
    item,
    namespace,
    raise_mismatch,
    random,
)
from xpnn.backend.registry import Compiler
from xpnn.nn import Module
from xpnn.optim import LRScheduler, Optimizer
from xpnn.optim.optimizer import Group
from xpnn.train.structure import Structure, map_arrays, put_together, take_apart

_STATEFUL = (Module, Optimizer, LRScheduler)

# What `torch.compile` may be told; here the array library compiles, or none.
_TORCH_COMPILERS = (
    *("inductor", "eager", "aot_eager", "aot_eager_decomp_partition", "cudagraphs", "ipex", "onnxrt"),
    *("openxla", "tensorrt", "torch_tensorrt", "ts", "tvm"),
)
_GRAPH_MODES = ("reduce-overhead", "max-autotune")  # those of PyTorch's that take CUDA graphs
_TORCH_MODES = ("default", "lite", *_GRAPH_MODES, "max-autotune-no-cudagraphs")

_MOST_RECORDINGS = 8  # of a step, each of which holds memory


def compile(
    model: Any = None,
    *objects: Module | Optimizer | LRScheduler,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str | Callable[..., Any] | None = None,
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    name: str | None = None,
    disable: bool = False,
) -> Any:
    """Compile a training or inference step: by `jax.jit` on JAX, on request by CUDA graphs on CuPy.

    Elsewhere it runs as it is.

    As in PyTorch, a model or a function may be given alone. It comes back as it is, differentiable and with
    its own `state_dict()` keys: what makes a program of it is to give the step and all that it changes.

    Args:
        model: a function that computes with, and changes, the objects: typically forward, loss, backward,
            optimizer and schedule step. It is given arrays, Tensors and numbers, in nested tuples, lists
            and dicts, and may return such. Or a module or a function alone. Without it `compile` is a
            decorator.
        objects: all modules, optimizers and schedules whose state the step reads or changes. Two or more
            without a step in front of them make `compile` a decorator of the step.
        mode: `"reduce-overhead"` (or `"max-autotune"`) records the step as CUDA graphs on CuPy, as does
            `backend="cudagraphs"`. The first call runs it as it is, the second is recorded, later ones
            launch what was recorded. Products are launched between graphs, as CuPy cannot capture cuBLAS.
        fullgraph: whether a step that cannot be recorded raises a BackendError; else it warns, and goes on as
            it is.
        dynamic, backend, options, name: PyTorch's settings of its own compiler. They are checked, and change
            nothing more.
        disable: give the step, model or function back as it is.

    Wherever a step with objects runs,

    - gradients do not outlive the step: each `.grad` is None before and after it;
    - Tensors are returned off the tape.

    Where it is compiled,

    - it is traced anew for other shapes of the arguments, for other strings and booleans among them, and
      when training modes, `requires_grad` or options other than the learning rate have changed;
    - it cannot read values: no `float(loss)`, no `if` on an array. Numbers among the arguments are
      arrays inside of it; bind those that must be numbers with `functools.partial`;
    - the arrays of the state are given away at each call, so keep copies, not the arrays
      (`copy.deepcopy(model.state_dict())`);
    - learning rates of the groups and counts of schedules are 0-d arrays afterwards;
      `scheduler.get_last_lr()` and the `state_dict()`s have them as Python numbers.

    Where it is recorded, numbers among the arguments stay numbers, and it is recorded anew for others. Arrays
    that the step takes from elsewhere are read where they lay: change them in place, and keep them alive.

    Raises: DTypeError for what cannot be compiled; ArgumentError for settings that PyTorch does not have;
        BackendError if the step reads a value while it is being traced.

    Warns: RuntimeWarning if a step that asks for CUDA graphs cannot be recorded.

    >>> from xpnn import nn, optim
    >>> model = nn.Linear(2, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> @compile(model, optimizer)
    ... def step(x, y):
    ...     loss = ((model(x) - y) ** 2).mean()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = Tensor([[1.0, 2.0]]), Tensor([[3.0]])
    >>> first, second = step(x, y), step(x, y)
    >>> second.item() < first.item()
    True
    """
    _check_settings(backend, mode, options)
    for part in objects:
        if not isinstance(part, _STATEFUL):
            raise DTypeError(
                f"expects modules, optimizers and schedules after the step, got {type(part).__name__}",
                subject="compile",
            )
    if model is None or isinstance(model, Optimizer | LRScheduler) or (isinstance(model, Module) and objects):
        parts = objects if model is None else (model, *objects)
        return lambda step: compile(
            step, *parts, fullgraph=fullgraph, backend=backend, mode=mode, disable=disable
        )
    if not callable(model):
        raise DTypeError(f"expects a function or a module, got {type(model).__name__}", subject="compile")
    if disable or not objects:
        return model
    return CompiledStep(model, objects, mode in _GRAPH_MODES or backend == "cudagraphs", fullgraph)


def _check_settings(backend: Any, mode: Any, options: Any) -> None:
    """Raise an ArgumentError for settings that `torch.compile` refuses."""
    if not (backend is None or callable(backend) or backend in _TORCH_COMPILERS):
        raise ArgumentError(
            f"expects one of PyTorch's compilers ({', '.join(_TORCH_COMPILERS)}), got {backend!r:.60}",
            subject="compile's backend",
            hint="xpnn.set_backend(...) chooses the array library",
        )
    if not (mode is None or mode in _TORCH_MODES):
        raise ArgumentError(
            f"expects one of {', '.join(_TORCH_MODES)}, got {mode!r:.60}", subject="compile's mode"
        )
    if mode is not None and options is not None:
        raise ArgumentError("expects either mode or options, got both", subject="compile")


class CompiledStep:
    """A step and the objects whose state it changes; made by `compile`.

    Args:
        graphs: whether a compiler is asked that compiles only on request.
        whole: whether what such a compiler refuses is an error.
    """

    def __init__(
        self, step: Callable[..., Any], objects: tuple[Any, ...], graphs: bool = False, whole: bool = False
    ) -> None:
        self.step = step
        self.graphs, self.whole = graphs, whole
        self.state = _State(objects)
        self.variants: dict[Any, _Variant] = {}
        functools.update_wrapper(self, step)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step once, compiled if the library of the model has a compiler."""
        self.state.drop_gradients()
        backend = self.state.backend()
        compiler = None if backend.compiler is None else backend.compiler()
        if compiler is None or (compiler.on_request and not self.graphs):
            return self._as_it_is(args, kwargs)

        self.state.initialize()
        leaves: list[Any] = []
        structure = take_apart((args, kwargs), leaves)
        for leaf in leaves:
            if is_array(leaf) and backend_of(leaf) is not backend:
                raise_mismatch(leaf, self.state.tensors()[0].array)  # tracing would move it silently
        key = (
            structure,
            tuple(_signature(leaf, compiler.on_request) for leaf in leaves),
            self.state.settings(),
            tuple(switches.casts.items()),
        )
        if key not in self.variants:
            if compiler.on_request and len(self.variants) == _MOST_RECORDINGS:
                self._give_up(
                    f"it was called in {_MOST_RECORDINGS} forms, by the shapes and numbers it was given"
                )
                return self._as_it_is(args, kwargs)
            self.variants[key] = _Variant(self.step, self.state, structure, compiler)
        try:
            return self.variants[key](leaves)
        except _RefusedError as error:
            if self.whole or not compiler.on_request:
                raise self._refusal(error.reason) from error.__cause__
            self._give_up(error.reason)
        return self._as_it_is(args, kwargs)

    def _as_it_is(self, args: Any, kwargs: Any) -> Any:
        result = self.step(*args, **kwargs)
        self.state.drop_gradients()
        return map_arrays(_off_tape, result)

    def _refusal(self, reason: str) -> BackendError:
        return BackendError(
            "asks for the value of an array while it is being compiled: " + reason,
            subject=self._name,
            hint="Return the array and read it outside of the step; bind numbers that must stay numbers "
            "with functools.partial",
        )

    def _give_up(self, reason: str) -> None:
        """Run the step as it is from now on, and say so."""
        self.graphs = False
        self.variants.clear()
        warnings.warn(
            f"{self._name} cannot be recorded as CUDA graphs, and goes on as it is: {reason}. A step can be "
            "recorded that reads no values; fullgraph=True makes this an error",
            RuntimeWarning,
            stacklevel=3,
        )

    @property
    def _name(self) -> str:
        return f"The step '{getattr(self.step, '__name__', self.step)}'"


class _RefusedError(Exception):
    """The compiler has refused a step, whose state is as before."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Variant:
    """The step compiled for one structure of arguments and one setting of the objects."""

    def __init__(
        self, step: Callable[..., Any], state: _State, arguments: Structure, compiler: Compiler
    ) -> None:
        self.step = step
        self.state = state
        self.arguments = arguments
        self.refusals = compiler.refusals
        self.wide = compiler.on_request  # numbers keep the bits that they have in a step as it is
        self.run = compiler.compile(self._pure_step)
        self.results: Structure | None = None
        self.draws: int | None = None  # how often the step draws random numbers; found at the first run

    def __call__(self, leaves: list[Any]) -> Any:
        stream = random.default_stream()
        before, count = self.state.collect(), stream.counter
        try:
            after, results, draws = self.run(
                _apart(self.state.lift(before, self.wide), leaves), leaves, count
            )
        except self.refusals as error:
            self.state.install(before)
            raise _RefusedError(str(error).partition("\n")[0]) from error
        except BaseException:
            self.state.install(before)
            raise
        finally:
            stream.counter = count
            self.state.drop_gradients()
        self.state.install(after)
        if self.draws is None:
            self.draws = item(draws)
        stream.counter = count + self.draws
        return put_together(self.results, iter(results))  # type: ignore[arg-type]

    def _pure_step(self, state: Any, leaves: list[Any], count: Any) -> tuple[Any, list[Any], Any]:
        """The step as a function of all that it reads to all that it changes; runs while tracing."""
        stream = random.default_stream()
        self.state.install(state)
        stream.counter = count
        args, kwargs = put_together(self.arguments, iter(leaves))
        result = self.step(*args, **kwargs)
        leaves = []
        self.results = take_apart(map_arrays(_off_tape, result), leaves)
        return _same_types(self.state.collect(), state), leaves, stream.counter - count


class _State:
    """All that a step may change, taken out of its objects as one nesting of arrays, and put back."""

    def __init__(self, objects: tuple[Any, ...]) -> None:
        self.roots = [part for part in objects if isinstance(part, Module)]
        self.optimizers = [part for part in objects if isinstance(part, Optimizer)]
        schedules = [part for part in objects if isinstance(part, LRScheduler)]
        self.schedules = [member for part in schedules for member in part.members()]

    def tensors(self) -> list[Tensor]:
        """Parameters and buffers, each once."""
        found: dict[int, Tensor] = {}
        for module in self.roots:
            found |= {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        for optimizer in self.optimizers:
            found |= {id(tensor): tensor for _, tensor in optimizer.named_parameters()}
        return list(found.values())

    def backend(self) -> Backend:
        """The library that the state lives in."""
        tensors = self.tensors()
        return backend_of(tensors[0].array) if tensors else get_backend()

    def initialize(self) -> None:
        """Make the arrays that are still to come: the structure must not change later."""
        for optimizer in self.optimizers:
            optimizer.initialize_state()
        for schedule in self.schedules:
            schedule.take_in_new_groups()

    def drop_gradients(self) -> None:
        """Set each `.grad` to None."""
        for tensor in self.tensors():
            tensor.grad = None

    def collect(self) -> dict[str, list[Any]]:
        """The state as it is: arrays, and the Python numbers that `lift` makes arrays of."""
        return {
            "tensors": [tensor.array for tensor in self.tensors()],
            "slots": [{name: dict(slots) for name, slots in o.state.items()} for o in self.optimizers],
            "options": [
                [{name: group[name] for name in names} for group in optimizer.param_groups]
                for optimizer, names in self.scheduled()
            ],
            "counts": [schedule.last_epoch for schedule in self.schedules],
            "rates": [[list(schedule.others), list(schedule.last_lrs)] for schedule in self.schedules],
        }

    def install(self, state: dict[str, list[Any]]) -> None:
        """Put a state that was collected, or what became of it, in its place."""
        for tensor, array in zip(self.tensors(), state["tensors"]):
            tensor.store(array)
        for optimizer, slots, options in zip(self.optimizers, state["slots"], state["options"]):
            optimizer.state = dict(slots)
            for group, values in zip(optimizer.param_groups, options):
                group.update(values)
        for schedule, count, rates in zip(self.schedules, state["counts"], state["rates"]):
            schedule.last_epoch = count
            schedule.others, schedule.last_lrs = (list(values) for values in rates)

    def lift(self, state: dict[str, list[Any]], wide: bool) -> dict[str, list[Any]]:
        """The collected state with its Python numbers as 0-d arrays, beside the parameters.

        Args:
            wide: whether they are float64 and int64, and not as wide as the parameters.
        """
        rate = "float64" if wide else None
        options: list[list[dict[str, Any]]] = []
        for optimizer, groups in zip(self.optimizers, state["options"]):
            options.append([])
            for group, values in zip(optimizer.param_groups, groups):
                like = self._beside(group, state)
                options[-1].append({name: _as_array(value, like, rate) for name, value in values.items()})
        return {
            **state,
            "options": options,
            "counts": [self._count(count, state, wide) for count in state["counts"]],
            "rates": [
                [
                    [
                        _as_array(value, self._beside(group, state), rate)
                        for value, group in zip(values, groups)
                    ]
                    for values in rates
                ]
                for rates, groups in zip(state["rates"], (s.optimizer.param_groups for s in self.schedules))
            ],
        }

    def _beside(self, group: Group, state: dict[str, list[Any]]) -> Array:
        """The array whose type and place the rates of a group take."""
        return group["params"][0].array if group["params"] else state["tensors"][0]

    def _count(self, count: Any, state: dict[str, list[Any]], wide: bool) -> Array:
        """A schedule's count as an integer array that becomes a float as wide as the rates."""
        like = state["tensors"][0]
        wide = wide or dtype_name(like.dtype) == "float64"
        return _as_array(count, like, "int64" if wide else "int32")

    def scheduled(self) -> list[tuple[Optimizer, list[str]]]:
        """Each optimizer with the options that its schedules change."""
        return [
            (
                optimizer,
                sorted({"lr"}.union(*(s.scheduled for s in self.schedules if s.optimizer is optimizer))),
            )
            for optimizer in self.optimizers
        ]

    def settings(self) -> tuple[Any, ...]:
        """All that a step may depend on and that is no array: if it changes, the step is traced anew."""
        stream = random.default_stream()
        constants = [
            {name: value for name, value in group.items() if name not in ("params", "param_names", *names)}
            for optimizer, names in self.scheduled()
            for group in optimizer.param_groups
        ]
        return (
            tuple(module.training for root in self.roots for module in root.modules()),
            tuple(tensor.requires_grad for tensor in self.tensors()),
            repr(constants),
            repr([schedule.base_lrs for schedule in self.schedules]),
            (stream.seed, stream.rng, is_grad_enabled()),
        )


def _as_array(value: Any, like: Array, dtype: Any = None) -> Any:
    """A Python number as a 0-d array beside `like`; tuples element by element."""
    if isinstance(value, tuple):
        return tuple(_as_array(part, like, dtype) for part in value)
    if isinstance(value, Tensor):
        value = value.array
    xp = namespace(like)
    dtype = like.dtype if dtype is None else getattr(xp, dtype)
    if is_array(value) and value.dtype == dtype:
        return value
    return xp.asarray(value, dtype=dtype, device=device_of(like))


def _same_types(after: Any, before: Any) -> Any:
    """The state after a step with the element types from before it, so that it fits in again."""
    if isinstance(after, dict):
        return {key: _same_types(part, before[key]) for key, part in after.items()}
    if isinstance(after, list | tuple):
        return type(after)(_same_types(part, other) for part, other in zip(after, before))
    return namespace(before).asarray(after, dtype=before.dtype)


def _apart(state: Any, leaves: list[Any]) -> Any:
    """The state with a copy of each array that occurs twice, or is an argument: it is given away."""
    seen = {id(leaf) for leaf in leaves}

    def own(array: Array) -> Array:
        if id(array) in seen:
            array = namespace(array).asarray(array, copy=True)
        seen.add(id(array))
        return array

    return map_arrays(own, state)


def _off_tape(array: Any) -> Any:
    return array.detach() if isinstance(array, Tensor) else array


def _signature(leaf: Any, fixed_numbers: bool) -> tuple[Any, ...]:
    if is_array(leaf):
        return tuple(leaf.shape), leaf.dtype
    return (repr(leaf),) if fixed_numbers else ()
