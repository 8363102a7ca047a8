"""The base of optimizers: parameter groups, state by parameter name, checkpoints of both.

A subclass says which arrays it keeps for a parameter (`slots`) and gives one pure function on raw arrays
(`update`). It reads no array on the host and writes none in place, so that the same lines run eagerly on
every backend and inside of a compiled step.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, ClassVar, TypeAlias

from xpnn.autograd import Tensor, enable_grad
from xpnn.autograd.handle import RemovableHandle
from xpnn.backend import (
    ArgumentError,
    Array,
    Backend,
    CheckpointError,
    DType,
    DTypeError,
    RefusingConstructor,
    ShapeError,
    backend_of,
    concrete,
    device_of,
    dtype_name,
    dtype_named,
    idioms,
    is_array,
    is_complex,
    is_half,
    is_tensor,
    move,
    namespace,
    python_scalar,
)
from xpnn.backend.update_kernels import GroupStep, State, Updater, find_updater
from xpnn.optim.by_parameter import StateByParameter
from xpnn.optim.hooks import (
    NONE,
    Hooks,
    add_hook,
    around_loading,
    around_saving,
    around_step,
)
from xpnn.optim.hooks import (
    register_optimizer_step_post_hook as register_optimizer_step_post_hook,
)
from xpnn.optim.hooks import (
    register_optimizer_step_pre_hook as register_optimizer_step_pre_hook,
)
from xpnn.optim.state import STRUCTURE, as_python, in_our_layout, misfits, taken_options

__all__ = ["Optimizer", "elementwise"]

Group = dict[str, Any]
Formula = Callable[..., tuple[Array, State]]

_PLAIN = frozenset((float, int, bool, str, type(None)))  # options that an update takes as they are

Domain = tuple[str, Callable[[Any], bool]]  # of an option: in words, and as a test of its value

_FLAG: Domain = ("True or False", lambda flag: flag in (True, False))
_COMMON_DOMAINS: dict[str, Domain] = {
    **{
        name: (f"{name} >= 0", lambda value: value >= 0)
        for name in ("lr", "eps", "weight_decay", "momentum", "lr_decay", "momentum_decay")
    },
    **dict.fromkeys(("maximize", "amsgrad", "nesterov", "centered", "decoupled_weight_decay"), _FLAG),
    "betas": ("two betas in [0, 1)", lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas)),
}
_NOTHING: State = {}  # the state of a parameter that was never updated


def elementwise(formula: Formula | None = None, *, kernel: str = "") -> Any:
    """Decorate an `update` that acts element by element, with or without parentheses.

    It is then called with 1-D arrays as well that hold many small parameters, or a part of a large one. (It
    is the function that is marked: a subclass with an `update` of its own marks that, or doesn't.)

    Args:
        kernel: the name under which a backend may have the same in a faster form (see
            `xpnn.backend.update_kernels`).

    >>> class SignDescent(Optimizer):
    ...     def slots(self, group):
    ...         return ()
    ...     @elementwise
    ...     def update(self, param, grad, state, options):
    ...         return param - options["lr"] * namespace(param).sign(grad), state
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> SignDescent([x], {"lr": 0.5}).step()
    >>> x
    tensor([0.5000, 1.5000], requires_grad=True)
    """

    def mark(formula: Any) -> Formula:
        formula.is_elementwise, formula.kernel = True, kernel
        return formula

    return mark if formula is None else mark(formula)


# The methods that call hooks, in every class that has one of its own.
_HOOKED = {"step": around_step, "state_dict": around_saving, "load_state_dict": around_loading}


ParamsT: TypeAlias = Iterable[Any]  # parameters, named parameters or groups


class Optimizer(RefusingConstructor):
    """What all optimizers share: PyTorch's interface, with the state kept by parameter *name*.

    A subclass either gives a formula (`slots`, `update`), or overrides `step` as one writes it in PyTorch,
    with what it keeps for a parameter `p` in `self.state[p]`.

    Args:
        params: `model.parameters()`, `model.named_parameters()`, an iterable of Tensors or of
            (name, Tensor) pairs, or a list of groups: dicts with such an iterable as `"params"` and
            options of their own. Parameters without a name are called by their position, "0", "1" ...
        defaults: the options of groups that do not bring their own.

    Attributes:
        param_groups: the groups, each a dict with `"params"`, `"param_names"` and the options.
        state: what is kept for a parameter, arrays by slot: `state["conv1.weight"]["exp_avg"]`, or with
            the parameter itself for its name. It is where its parameter is: when the model moves to another
            backend, device or element type, the state follows at the next step.

    State dicts are by name as well; those of PyTorch, which are by number, are taken too.

    `lr`, and what a schedule cycles (momentum, betas), may be Python floats or 0-d arrays; either way a
    float32 parameter stays float32.

    A parameter that occurs twice in a group is updated twice, with a warning, as in PyTorch. Complex ones are
    updated as pairs of real numbers, where the formula acts element by element.

    Raises: ArgumentError for options outside of their domain or misspelt, for no parameters, and for a
    parameter that occurs in two groups; DTypeError for what is not a Tensor.
    """

    scalars: tuple[str, ...] = ("step",)  # the slots that are 0-d
    never_negative: tuple[str, ...] = ("step",)  # slots
    domains: ClassVar[dict[str, Domain]] = {}  # of options, beside those that all optimizers share
    kept_options: tuple[str, ...] = ()  # what a state dict may not change
    # Those of a class that wraps another optimizer, and never calls this one's `__init__`.
    hooks: Hooks = NONE
    scheduled_lrs: list[Any] = []  # noqa: RUF012  (the rates of the groups as a schedule has set them last)
    within_hooks: Collection[str] = ()  # the methods that are running with them
    _names: dict[int, tuple[str, Tensor]] = {}  # noqa: RUF012
    takes_complex: bool = True  # where the formula acts by elements: on both parts of each, as PyTorch's does

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in _HOOKED.keys() & vars(cls).keys():
            setattr(cls, name, _HOOKED[name](vars(cls)[name]))

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = {name: _option(value) for name, value in defaults.items()}
        self.param_groups: list[Group] = []
        self._slots: dict[str, State] = {}
        self._names = {}  # by the parameter's identity, when asked for
        self.schedules_stepped = False  # whether a learning-rate schedule has gone on from its start
        self._repeated: dict[int, list[int]] = {}  # positions of parameters that came before, of a group
        self._updaters: dict[int, Updater] = {}  # of each group, with what it remembers between steps
        if is_array(params) or isinstance(params, dict | str) or not isinstance(params, Iterable):
            raise self._error(
                DTypeError,
                f"expects an iterable of parameters or groups, got {type(params).__name__}",
                "Did you mean model.parameters()?",
            )
        if not hasattr(params, "named"):
            params = list(params)
        if isinstance(params, list) and params and isinstance(params[0], dict):
            for group in params:
                self.add_param_group(group)
        else:
            self.add_param_group({"params": params})
        if not any(group["params"] for group in self.param_groups):
            raise self._error(
                ArgumentError, "expects at least one parameter, got none", "Has the model any layers yet?"
            )

    # -- what a subclass defines

    def slots(self, group: Group) -> tuple[str, ...]:
        """The names of the arrays kept for each parameter of `group`.

        `"step"` is the count of updates. They have the parameter's element type, and float32 beside a
        parameter of half precision.
        """
        return ()

    def slot_shapes(self, group: Group, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The slots of a parameter of this shape, and theirs: the same, or () for `scalars`."""
        return {slot: () if slot in self.scalars else shape for slot in self.slots(group)}

    def initial(self, slot: str, group: Group) -> Any:
        """The number, or 0-d array, that a slot is filled with at first."""
        return 0.0

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, State]:
        """The formula, a pure function: the new parameter and the new slots.

        Decorate it with `@elementwise` where it acts element by element.

        Args:
            param, grad: raw arrays of one backend, device, shape and element type; float32 in place of half
                precision, to which the new parameter is rounded.
            state: its slots; `"step"` counts this update already. All arrays are 0-d or of the shape of
                the parameter, where the formula acts element by element; it returns the slots anew.
            options: those of the group: Python numbers, or 0-d arrays beside `param`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def check_options(self, group: Group) -> None:
        """Raise ArgumentError for an option that is outside of its domain."""
        for name, (domain, test) in (_COMMON_DOMAINS | self.domains).items():
            if name in group:
                self.expect(group, name, domain, test)

    # -- what a user calls

    @property
    def state(self) -> StateByParameter:
        """What is kept for each parameter (see the class)."""
        return StateByParameter(self._slots, self._name_of)

    @state.setter
    def state(self, state: Any) -> None:
        self._slots = dict(state)

    @around_step
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update each parameter that has a gradient.

        Args:
            closure: computes the loss anew, with its gradients, and returns it.

        Returns: what the closure returned, or None.

        A step that is cut in the middle, by Ctrl-C or because memory ran out, leaves parameters and state
        between old and new, as backends update them in place. Go on from a `state_dict` or a checkpoint;
        `Trainer` lets Ctrl-C wait for the end of the step, and never saves in the middle of one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for index, group in enumerate(self.param_groups):
            tensors = group["params"]
            if not tensors:
                continue
            backend = backend_of(tensors[0].array)
            grads = self._gradients(group)
            for i in self._repeated.get(index, ()):
                grads[i] = None  # for a second update, after the others
            done = self._update_together(index, group, grads, backend)
            if len(done) < len(grads):
                for i, (name, param, grad) in enumerate(zip(group["param_names"], tensors, grads)):
                    if grad is not None and i not in done:
                        self._update(name, param, grad, group)
            for i in self._repeated.get(index, ()):
                if tensors[i].grad is not None:
                    self._update(group["param_names"][i], tensors[i], tensors[i].grad.array, group)
            if backend.end_of_step is not None:
                self._compute_now(group, backend.end_of_step)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with `set_to_none=False` make them zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none or param.grad is None:
                    param.grad = None
                else:
                    param.grad = Tensor(_zeros(param.array))

    @property
    def has_formula(self) -> bool:
        """Whether there is an `update`; without one, `step` is the user's own and its state any."""
        return type(self).update is not Optimizer.update

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return other args and kwargs.

        `args` begins with the optimizer.
        """
        return add_hook(self._own_hooks().before, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return add_hook(self._own_hooks().after, hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before a state dict is made; with `prepend` before other such hooks."""
        return add_hook(self._own_hooks().saving, hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` when one is made; what it returns, if not None, replaces it."""
        return add_hook(self._own_hooks().saved, hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before one is loaded, with a copy; a result replaces it."""
        return add_hook(self._own_hooks().loading, hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` when a state dict was loaded."""
        return add_hook(self._own_hooks().loaded, hook, prepend)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickled optimizer takes along: all but hooks, as in PyTorch."""
        return {name: value for name, value in vars(self).items() if name not in ("hooks", "within_hooks")}

    def _own_hooks(self) -> Hooks:
        if self.hooks is NONE:
            self.hooks = Hooks()
        return self.hooks

    def add_param_group(self, param_group: Group) -> None:
        """Add a group: a dict with `"params"` and any options that differ from the defaults."""
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise self._error(
                DTypeError,
                f"expects a group as a dict with the key 'params', got {param_group!r:.80}",
                "Either all entries are groups, or all are parameters",
            )
        options = {name: _option(value) for name, value in param_group.items() if name not in STRUCTURE}
        self._refuse_misspelt(options)
        names, params = self._named(param_group["params"], param_group.get("param_names"))
        group = {"params": params, "param_names": names, **self.defaults, **options}
        self.check_options(group)
        self.param_groups.append(group)
        if len(set(names)) < len(names):
            again = [i for i, name in enumerate(names) if name in names[:i]]
            self._repeated[len(self.param_groups) - 1] = again

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters of all groups, each with the name that its state goes by."""
        for group in self.param_groups:
            yield from zip(group["param_names"], group["params"])

    def initialize_state(self) -> None:
        """Make the state of all parameters now, rather than each at its first update.

        A compiled step needs this, because the structure of what it is given must not change.
        """
        for group in self.param_groups:
            for name, param in zip(group["param_names"], group["params"]):
                if param.requires_grad:
                    self._slots[name] = self._state_beside(name, param.array, group)

    @around_saving
    def state_dict(self) -> dict[str, Any]:
        """The state and the options: arrays in a JSON-ready structure (see `xpnn.io`).

        `{"optimizer": class name, "state": {name: {slot: array}}, "updated": [names], "param_groups":
        [options, with the names as "params"]}`. Options that a compiled step keeps as arrays come back as
        Python floats.
        """
        return {
            "optimizer": type(self).__name__,
            "state": {name: self._apart(slots) for name, slots in self._slots.items()},
            "updated": list(self._slots),
            "param_groups": [
                {
                    "params": list(group["param_names"]),
                    **{name: as_python(value) for name, value in group.items() if name not in STRUCTURE},
                }
                for group in self.param_groups
            ],
        }

    @around_loading
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, on whatever backend the parameters are now.

        A state dict of the PyTorch optimizer of this name is taken as well: its parameters are numbered, and
        meet those of this optimizer in their order.

        Raises: CheckpointError with a list of all that does not fit; then nothing was changed.
        """
        self.check_state_dict(state_dict)
        state_dict = in_our_layout(state_dict, self)
        params = dict(self.named_parameters())
        self._slots = {
            name: {slot: self._taken(array, slot, params[name].array) for slot, array in slots.items()}
            for name, slots in state_dict["state"].items()
        }
        for group, saved in zip(self.param_groups, state_dict["param_groups"]):
            group.update(taken_options(saved))
            self.schedules_stepped |= "initial_lr" in saved

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError, with a list of all that does not fit, if `load_state_dict` would."""
        problems = list(misfits(in_our_layout(state_dict, self), self))
        if problems:
            shown = problems[:10] + [f"{len(problems) - 10} more"] * (len(problems) > 10)
            raise self._error(
                CheckpointError,
                "cannot take this state: " + "; ".join(shown),
                "Build the optimizer as it was when the state was saved, for the same model",
            )

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name not in STRUCTURE]
        return "\n".join([*lines, ")"])

    # -- for subclasses

    def expect(self, group: Group, name: str, domain: str, test: Callable[[Any], bool]) -> None:
        """Raise ArgumentError unless the option passes the test; arrays are not read."""
        value = group[name]
        for number in value if isinstance(value, tuple) else (value,):
            if is_array(number) and number.ndim:
                raise self._error(ArgumentError, f"expects one number as {name}, got shape {number.shape}")
        if is_array(value) or (isinstance(value, tuple) and any(is_array(v) for v in value)):
            return
        try:
            fits = test(value)
        except (TypeError, ValueError, IndexError):
            fits = False
        if not fits:
            raise self._error(ArgumentError, f"expects {domain}, got {name}={value!r:.80}")

    def check_way(
        self,
        foreach: bool | None = None,
        fused: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        """Take PyTorch's options of how to compute, which change no result here.

        Raises: ArgumentError for both of foreach and fused, and for `differentiable=True`: an update is not
            recorded.
        """
        for name, value in (("foreach", foreach), ("fused", fused), ("capturable", capturable)):
            if value not in (None, True, False):
                raise self._error(ArgumentError, f"expects {name} as True, False or None, got {value!r:.80}")
        if foreach and fused:
            raise self._error(ArgumentError, "expects at most one of foreach and fused, got both")
        if differentiable:
            raise self._error(
                ArgumentError,
                "does not record its updates, so differentiable=True cannot be had",
                "Write the update on Tensors: w - lr * xpnn.grad(loss, w, create_graph=True)[0]",
            )

    # -- helpers

    def _update_together(
        self, index: int, group: Group, grads: list[Array | None], backend: Backend
    ) -> Collection[int]:
        """Have the backend update what it can of a group; returns the positions of what it took."""
        formula: Any = self.update
        names, tensors = group["param_names"], group["params"]
        kind = find_updater(backend) if getattr(formula, "is_elementwise", False) else None
        if kind is None:
            return ()
        if type(self._updaters.get(index)) is not kind:
            self._updaters[index] = kind()
        states = [self._slots.get(name, _NOTHING) for name in names]

        def prepare(i: int) -> State:
            states[i] = self._slots[names[i]] = self._state_beside(names[i], tensors[i].array, group)
            return states[i]

        as_they_are = getattr(kind, "takes_arrays", False)
        options = {
            name: value if type(value) in _PLAIN or as_they_are else as_python(value)
            for name, value in group.items()
            if name not in STRUCTURE
        }
        return self._updaters[index].update(
            GroupStep(
                formula,
                formula.kernel,
                tensors,
                grads,
                states,
                self.slots(group),
                self.scalars,
                options,
                prepare,
            )
        )

    def _update(self, name: str, param: Tensor, grad: Array, group: Group) -> None:
        data = param.array
        state, dtype = self._state_beside(name, data, group), data.dtype
        by_parts = is_complex(data)
        if by_parts:  # as PyTorch does: complex numbers are pairs of real ones
            data, grad = idioms.pairs_of_complex(data), idioms.pairs_of_complex(grad)
            state = {slot: _parts(array) for slot, array in state.items()}
        if is_half(data):  # updated in float32, and rounded once
            data, grad = (namespace(array).astype(array, namespace(array).float32) for array in (data, grad))
        if "step" in state:
            state["step"] = state["step"] + 1
        options = {key: _beside(value, data) for key, value in group.items() if key not in STRUCTURE}
        data, state = self.update(data, grad, state, options)
        as_array = backend_of(data).as_array
        if as_array is not None:
            data, state = as_array(data), {slot: as_array(array) for slot, array in state.items()}
        if by_parts:
            state = {
                slot: array if slot in self.scalars else idioms.complex_of_pairs(array)
                for slot, array in state.items()
            }
            data = idioms.complex_of_pairs(data)
        param.store(data if data.dtype == dtype else namespace(data).astype(data, dtype))
        self._slots[name] = state

    def _apart(self, slots: State) -> State:
        """The slots, with numbers that no other parameter shares: PyTorch counts on in place."""
        return {
            slot: namespace(array).asarray(array, copy=True)
            if slot in self.scalars and is_array(array)
            else array
            for slot, array in slots.items()
        }

    def _taken(self, value: Any, slot: str, param: Array) -> Any:
        """A value of a state dict as the state holds it: Tensors and anything else of a user's own `step`."""
        if self.has_formula:
            return _copied(value, slot in self.scalars, param)
        if not is_array(value):
            return copy.deepcopy(value)
        moved = move(value.array if is_tensor(value) else value, backend_of(param), device_of(param))
        return Tensor(namespace(param).asarray(moved, copy=True))

    def _compute_now(self, group: Group, compute: Callable[[list[Array]], None]) -> None:
        """Have a lazy library compute the new parameters and slots (see `Backend.end_of_step`)."""
        slots = [self._slots.get(name, _NOTHING).values() for name in group["param_names"]]
        compute([*(tensor.array for tensor in group["params"]), *itertools.chain(*slots)])

    def _state_beside(self, name: str, param: Array, group: Group) -> State:
        """The slots of a parameter, made or moved so that they are where it is."""
        kept = self._slots.get(name, {})
        state = {}
        for slot, shape in self.slot_shapes(group, param.shape).items():
            dtype = _slot_dtype(slot in self.scalars, param)
            if slot not in kept:
                state[slot] = _filled(param, shape, dtype, self.initial(slot, group))
            elif _together(kept[slot], param, dtype):
                state[slot] = kept[slot]
            else:
                state[slot] = move(kept[slot], backend_of(param), device_of(param), dtype)
        return state

    def _named(self, params: Any, given: Iterable[str] | None) -> tuple[list[str], list[Tensor]]:
        """The names and Tensors of a new group.

        Names that the user gave must differ from all others. Those that `module.parameters()` brings are
        relative to that module, so two groups may bring the same one, which then gets the group's number
        in front.
        """
        relative = hasattr(params, "named")
        entries = [params] if isinstance(params, Tensor) else list(params.named if relative else params)
        if given is not None:
            entries = list(zip(given, [_tensor_of(entry) for entry in entries]))
        taken = dict(self.named_parameters())
        elsewhere = {id(param) for param in taken.values()}
        here: dict[int, str] = {}
        names: list[str] = []
        for entry in entries:
            param = _tensor_of(entry)
            name = entry[0] if isinstance(entry, tuple) else str(len(taken))
            if relative and name in taken:
                name = f"{len(self.param_groups)}.{name}"
            self._check_parameter(name, param)
            if id(param) in elsewhere:
                raise self._error(ArgumentError, f"got the parameter '{name}' twice, in two groups")
            if id(param) in here:
                names.append(here[id(param)])
                continue
            if name in taken:
                raise self._error(
                    ArgumentError,
                    f"got two parameters of the name '{name}'",
                    "Give them names that differ, such as f'generator.{name}'",
                )
            here[id(param)] = name
            taken[name] = param
            names.append(name)
        if len(here) < len(names):
            warnings.warn(
                f"{type(self).__name__} got duplicate parameters in a group, which are updated twice a step",
                stacklevel=4,
            )
        return names, [taken[name] for name in names]

    def _name_of(self, param: Tensor) -> str:
        """Raises: KeyError for a Tensor that is not trained."""
        known = self._names.get(id(param))
        if known is None or known[1] is not param:
            self._names = {id(one): (name, one) for name, one in self.named_parameters()}
        if id(param) not in self._names:
            raise KeyError(f"{type(self).__name__} does not train this Tensor of shape {param.shape}")
        return self._names[id(param)][0]

    def _check_parameter(self, name: str, param: Any) -> None:
        if not isinstance(param, Tensor):
            raise self._error(
                DTypeError,
                f"expects Tensors to train, got {type(param).__name__}",
                "Did you mean model.parameters()?",
            )
        if not param.is_leaf:
            raise self._error(
                ArgumentError,
                f"cannot train '{name}': it is the result of a recorded operation, not a leaf",
                "Give it the parameters themselves",
            )
        by_element = getattr(type(self).update, "is_elementwise", False)
        if is_complex(param) and (not self.takes_complex or (self.has_formula and not by_element)):
            raise self._error(
                DTypeError,
                f"does not train complex parameters, such as '{name}'",
                "Train xpnn.view_as_real(...) of them, and use view_as_complex in the model",
            )

    def _gradients(self, group: Group) -> list[Array | None]:
        """The arrays of the gradients; what a user assigned might broadcast or widen the parameter."""
        arrays: list[Array | None] = []
        for name, param in zip(group["param_names"], group["params"]):
            grad = param.grad
            if grad is None:
                arrays.append(None)
                continue
            if not isinstance(grad, Tensor):
                raise self._error(
                    DTypeError,
                    f"expects a Tensor as the gradient of '{name}', got {type(grad).__name__}",
                    "Assign xpnn.Tensor(...) to .grad",
                )
            array, data = grad.array, param.array
            if array.shape != data.shape or array.dtype != data.dtype:
                raise self._error(
                    ShapeError,
                    f"expects a gradient of shape {param.shape} and {dtype_name(param.dtype)} for '{name}', "
                    f"got {grad.shape} and {dtype_name(grad.dtype)}",
                )
            arrays.append(array)
        return arrays

    def _refuse_misspelt(self, options: dict[str, Any]) -> None:
        for name in options.keys() - self.defaults.keys() - {"initial_lr"}:
            likely = difflib.get_close_matches(name, self.defaults, n=1)
            if likely:
                raise self._error(ArgumentError, f"has no option '{name}'", f"Did you mean '{likely[0]}'?")

    def _error(self, kind: type, problem: str, hint: str = "") -> Exception:
        return kind(problem, subject=type(self).__name__, hint=hint)


def _tensor_of(entry: Any) -> Any:
    return entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry


def _zeros(like: Array, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Array:
    return namespace(like).zeros(
        like.shape if shape is None else shape, dtype=dtype or like.dtype, device=device_of(like)
    )


def _filled(like: Array, shape: tuple[int, ...], dtype: Any, value: Any) -> Array:
    zeros = _zeros(like, shape, dtype)
    value = _beside(value, zeros)
    if is_complex(zeros):
        value = value * (1 + 1j)  # both parts of each
    return zeros if type(value) in _PLAIN and value == 0 else namespace(zeros).asarray(zeros + value)


def _option(value: Any) -> Any:
    """An option as a group holds it: lists are tuples, and an array of a single number is 0-d."""
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, tuple):
        return tuple(map(_option, value))
    if is_array(value) and value.ndim and math.prod(value.shape) == 1:
        return namespace(value).reshape(value, ())
    return value


def _parts(array: Any) -> Any:
    return idioms.pairs_of_complex(array) if is_array(array) and is_complex(array) else array


def _slot_dtype(scalar: bool, param: Array) -> Any:
    """The parameter's element type; float32 beside half precision, in which small squares would vanish.

    Numbers without axes are real.
    """
    if scalar and is_complex(param):
        return dtype_named(DType(param.dtype).to_real(), namespace(param))
    return namespace(param).float32 if is_half(param) else param.dtype


def _together(array: Array, param: Array, dtype: Any) -> bool:
    """Whether `array` is of `dtype` and can be combined with `param` as it is."""
    if backend_of(array) is not backend_of(param) or array.dtype != dtype:
        return False
    if not backend_of(param).several_devices or not (concrete(array) and concrete(param)):
        return True
    return device_of(array) == device_of(param)


def _copied(array: Any, scalar: bool, param: Array) -> Array:
    """A copy beside `param`: a compiled step gives its arrays away, so two owners must not share one."""
    dtype = _slot_dtype(scalar, param)
    if not is_array(array):  # a count
        return namespace(param).asarray(array, dtype=dtype, device=device_of(param))
    array = array.array if is_tensor(array) else array
    moved = move(array, backend_of(param), device_of(param), dtype)
    return namespace(param).asarray(moved, copy=True)


def _beside(value: Any, param: Array) -> Any:
    """An option as the update takes it: a Python scalar, or a 0-d array of the type and place of `param`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple):
        return tuple(_beside(element, param) for element in value)
    if isinstance(value, Tensor):
        value = value.array
    value = python_scalar(value)
    if not is_array(value):
        return value
    if concrete(value) and concrete(param):
        return move(value, backend_of(param), device_of(param), param.dtype)
    return namespace(param).astype(value, param.dtype)
