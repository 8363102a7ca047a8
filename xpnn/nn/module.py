"""Module: a part of a network, which owns its parameters and knows its parts.

A module's state is its attributes. A Parameter, Buffer or Module that is set on it belongs to it under the
attribute's name, in the order in which the names were first set; there are no other books to keep. A
subclass therefore needs no `super().__init__()`, though it does no harm.
"""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from xpnn.autograd import Tensor
from xpnn.autograd.mode import switches
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    RefusingConstructor,
    XpnnError,
    is_array,
    namespace,
    size_of,
)
from xpnn.backend.layouts import check_memory_format
from xpnn.functional.arguments import check_flags
from xpnn.nn.hooks import EVERYWHERE, Hooks, RemovableHandle, add_hook, call_with_hooks, has_hooks
from xpnn.nn.location import locate, running
from xpnn.nn.parameter import Buffer, Parameter, raw_array
from xpnn.nn.state import IncompatibleKeys, check_state, load_state, parse_target, relocate, state_of

__all__ = ["Module", "ParameterIterator"]

_T = TypeVar("_T")
P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
_OWNED = (Parameter, Buffer)


class ParameterIterator(Iterator[Parameter]):
    """What `Module.parameters()` returns: the parameters, one after the other, and their names.

    Attributes:
        named: the same iteration as pairs (name, parameter), for an optimizer, which files its state
            under the names.
    """

    def __init__(self, named: Iterator[tuple[str, Parameter]]) -> None:
        self.named = named

    def __next__(self) -> Parameter:
        return next(self.named)[1]


class _HasForward(Protocol[P, R_co]):
    """For type checkers: calling a module takes and returns what its `forward` does."""

    _hooks: Hooks | None

    def forward(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...


class Module(RefusingConstructor):
    """Base class of all layers, losses and networks.

    A subclass sets its parameters and parts as attributes and defines `forward`; calling the module runs
    it, with the hooks. Names, arguments and state dicts are PyTorch's.

    Attributes:
        training: True in training mode, False after `eval()`.

    An XpnnError that leaves `forward` names the innermost module, by class and path.

    >>> class Affine(Module):
    ...     def __init__(self):
    ...         self.scale, self.shift = Parameter([2.0]), Parameter([1.0])
    ...     def forward(self, x):
    ...         return x * self.scale + self.shift
    >>> affine = Affine()
    >>> affine(Tensor(raw_array([3.0]))).tolist(), list(affine.state_dict())
    ([7.0], ['scale', 'shift'])
    """

    training: bool = True
    _hooks: Hooks | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A module of this library takes True or False for what is declared as bool, nothing else."""
        names = _flags(cls.__init__)
        if names and (args or kwargs):
            given = inspect.signature(cls.__init__).bind_partial(None, *args, **kwargs).arguments
            check_flags(cls.__name__, **{name: given[name] for name in names if name in given})
        return object.__new__(cls)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; defined by each subclass."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward()")

    def __call__(self: _HasForward[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `forward` with the hooks around it."""
        try:
            if switches.noting:
                with running(self):
                    return call_with_hooks(self, self._hooks or Hooks(), args, kwargs)
            if (self._hooks is not None or EVERYWHERE.used) and has_hooks(self):
                return call_with_hooks(self, self._hooks or Hooks(), args, kwargs)
            return self.forward(*args, **kwargs)
        except XpnnError as error:
            locate(error, self)
            raise

    def extra_repr(self) -> str:
        """What stands between the brackets of the module's repr."""
        return ""

    def _get_name(self) -> str:
        """What the repr calls the module."""
        return type(self).__name__

    # --- what belongs to it ---

    def __getattr__(self, name: str) -> Any:
        """Called for names that are not there; by hand, PyTorch's programs call it for those that are."""
        if name in self.__dict__:
            return self.__dict__[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        if isinstance(held, _OWNED) and value is not None and not isinstance(value, type(held)):
            value = self._assigned(name, held, value)
        if _is_part(value) and not _is_part(held) and name not in self._left_out():
            self.__dict__.pop(name, None)  # what was no part yet comes after those that are
        elif value is None and _is_part(held):
            self._leave_out(name)
        object.__setattr__(self, name, value)

    def _left_out(self) -> set[str]:
        """The names of parts that are None, and keep their place among the others."""
        return self.__dict__.get("_names_left_out", set())

    def _leave_out(self, name: str) -> None:
        self.__dict__.setdefault("_names_left_out", set()).add(name)

    def _assigned(self, name: str, held: Tensor, value: Any) -> Tensor:
        """What takes the place of `held` when something that is not of its kind is assigned."""
        if isinstance(held, Buffer) and is_array(value):
            held.store(raw_array(value))
            return held
        raise DTypeError(
            f"cannot take a {type(value).__name__} in place of its {type(held).__name__} '{name}'",
            subject=type(self).__name__,
            hint=f"Assign a {type(held).__name__}, or None",
        )

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set a Parameter, or None for one that is left out, under a name that is not taken."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Set a Buffer made of an array, Tensor or numbers, or None for one that is left out."""
        check_flags(type(self).__name__, persistent=persistent)
        if tensor is not None and not isinstance(tensor, Buffer):
            tensor = Buffer(tensor, persistent)
        self._register(name, tensor, Buffer)

    def register_module(self, name: str, module: Module | None) -> None:
        """Set a part under a name that is not taken; also called `add_module`."""
        self._register(name, module, Module)

    add_module = register_module

    def _register(self, name: str, value: Any, kind: type) -> None:
        subject = type(self).__name__
        if value is not None and not isinstance(value, kind):
            raise DTypeError(
                f"expects a {kind.__name__} or None as '{name}', got {type(value).__name__}", subject=subject
            )
        if not name or "." in name:
            raise ArgumentError(f"expects a name without dots, got {name!r}", subject=subject)
        if hasattr(self, name) and not isinstance(getattr(self, name), kind | None):
            raise ArgumentError(f"has an attribute {name!r} already", subject=subject)
        if value is None:
            self._leave_out(name)
        setattr(self, name, value)

    @property
    def _modules(self) -> MutableMapping[str, Any]:
        """The parts by name, as PyTorch keeps them; what is set in it is set on the module."""
        return _Registry(self, Module)

    @property
    def _parameters(self) -> MutableMapping[str, Any]:
        """The module's own Parameters by name; see `_modules`."""
        return _Registry(self, Parameter)

    @property
    def _buffers(self) -> MutableMapping[str, Any]:
        """The module's own Buffers by name; see `_modules`."""
        return _Registry(self, Buffer)

    @property
    def _forward_hooks(self) -> dict[int, Any]:
        """The hooks by key, as PyTorch keeps them; programs count and clear them."""
        return self._own_hooks().after

    @property
    def _forward_pre_hooks(self) -> dict[int, Any]:
        """See `_forward_hooks`."""
        return self._own_hooks().before

    @property
    def _backward_hooks(self) -> dict[int, Any]:
        """See `_forward_hooks`."""
        return self._own_hooks().backward

    def named_parts(self) -> list[tuple[str, Module]]:
        """The parts that are set on this module itself under all their names, also shared ones."""
        return _owned(self, Module)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The parts that are set on this module itself, with their names; shared ones once."""
        seen: set[int] = set()
        for name, child in _owned(self, Module):
            if id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The parts that are set on this module itself."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all below it with their dotted names, each before its parts; shared ones once."""
        return _walk(self, prefix, set() if remove_duplicate else None)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The Parameters with their dotted names; shared ones once.

        >>> from xpnn import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> ParameterIterator:
        """The Parameters; an optimizer finds their names in the iterator's `named`."""
        return ParameterIterator(self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """The Buffers with their dotted names; shared ones once."""
        return self._named(Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The Buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(
        self, kind: type[_T], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, _T]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in _owned(module, kind):
                if remove_duplicate and id(value) in seen:
                    continue
                seen.add(id(value))
                yield _join(path, name), value

    def get_submodule(self, target: str) -> Module:
        """The part with a dotted name; `""` is the module itself. Raises: ArgumentError if there is none.

        >>> from xpnn import nn
        >>> nn.Sequential(nn.Sequential(nn.ReLU())).get_submodule("0.0")
        ReLU()
        """
        module = self
        for name in target.split(".") if target else ():
            part = vars(module).get(name)
            if not isinstance(part, Module):
                names = ", ".join(name for name, _ in module.named_children()) or "none"
                raise ArgumentError(
                    f"has no part '{target}': there is no '{name}' in {type(module).__name__}",
                    subject=type(self).__name__,
                    hint=f"Its parts are: {names}",
                )
            module = part
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module in the place of the part with a dotted name.

        Args:
            target: where; the part that it is set on has to be there.
            strict: whether there has to be a part of the name already.

        Raises: ArgumentError if there is no such place.

        >>> from xpnn import nn
        >>> net = nn.Sequential(nn.Sequential(nn.ReLU()))
        >>> net.set_submodule("0.0", nn.Tanh())
        >>> net[0][0]
        Tanh()
        """
        if not target:
            raise ArgumentError("expects the name of a part, got ''", subject=type(self).__name__)
        if not isinstance(module, Module):
            raise DTypeError(f"expects a module, got {type(module).__name__}", subject=type(self).__name__)
        if strict:
            self.get_submodule(target)
        path, _, name = target.rpartition(".")
        setattr(self.get_submodule(path), name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The Parameter with a dotted name. Raises: ArgumentError if there is none."""
        return self._get(target, Parameter)

    def get_buffer(self, target: str) -> Buffer:
        """The Buffer with a dotted name. Raises: ArgumentError if there is none."""
        return self._get(target, Buffer)

    def _get(self, target: str, kind: type[_T]) -> _T:
        path, _, name = target.rpartition(".")
        value = vars(self.get_submodule(path)).get(name)
        if not isinstance(value, kind):
            raise ArgumentError(f"has no {kind.__name__} '{target}'", subject=type(self).__name__)
        return value

    # --- what is done to all of it ---

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below this one, then on this one; for a weight initialisation, say."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set the training mode of this module and all below it: dropout drops, batch norm learns."""
        check_flags(type(self).__name__, mode=mode)
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set the evaluation mode: the same as `train(False)`."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Thaw all parameters of this module, or freeze them with False."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = Tensor(namespace(parameter.grad.array).zeros_like(parameter.grad.array))

    def to(
        self,
        *args: Any,
        backend: Any = None,
        device: Any = None,
        dtype: Any = None,
        non_blocking: Any = False,
        memory_format: Any = None,
    ) -> Self:
        """Move all parameters, gradients and buffers to a backend, device or element type.

        Args:
            args: any of the three by position, told apart by what they are; or a Tensor that has them.
            backend: a backend's name, `"cupy"`.
            device: the library's word for a device, `"cuda:0"`.
            dtype: a floating-point type or its name; integer buffers keep theirs.
            non_blocking, memory_format: change nothing: both are the library's affair.

        The Parameter objects stay the same, so that an optimizer that was made earlier still trains them.

        >>> from xpnn import nn
        >>> nn.Linear(2, 3).to("numpy", dtype="float64").weight.dtype
        xpnn.float64
        """
        check_memory_format(memory_format, None, "Module.to")
        target = parse_target(args, backend, device, dtype)
        for tensor in (*self.parameters(), *self.buffers()):
            relocate(tensor, target)
        return self

    def to_empty(self, *, device: Any = None, recurse: bool = True) -> Self:
        """Move to a device, where the values do not matter: here they come along.

        Args:
            device: the library's word for a device; None leaves all where it is.
            recurse: whether the parts are moved, too.
        """
        target = parse_target((), None, device, None)
        for tensor in (*self.named_parameters(recurse=recurse), *self.named_buffers(recurse=recurse)):
            relocate(tensor[1], target)
        return self

    def cpu(self) -> Self:
        """Move to the host's processor."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Self:
        """Move to a GPU of the library that the parameters are of, the first one unless told otherwise."""
        if device is None or isinstance(device, int):
            device = f"cuda:{device or 0}"
        return self.to(device=device)

    def share_memory(self) -> Self:
        """Itself: processes that are forked see the parameters as they are, and no writes of each other."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing, where PyTorch compiles the module's calls: `xpnn.compile` compiles a training step."""

    def type(self, dst_type: Any) -> Self:
        """Make all parameters and floating-point buffers of an element type."""
        return self.to(dtype=dst_type)

    def half(self) -> Self:
        """Make all parameters and floating-point buffers float16."""
        return self.to(dtype="float16")

    def bfloat16(self) -> Self:
        """Make all parameters and floating-point buffers bfloat16."""
        return self.to(dtype="bfloat16")

    def float(self) -> Self:
        """Make all parameters and floating-point buffers float32."""
        return self.to(dtype="float32")

    def double(self) -> Self:
        """Make all parameters and floating-point buffers float64."""
        return self.to(dtype="float64")

    def state_dict(
        self, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """The values of all parameters and persistent buffers by dotted name, off the tape.

        They share their elements with the module: what is written into them in place reaches it, and they
        show what training makes of it. `copy.deepcopy(model.state_dict())` keeps what there is now.

        Args:
            destination: a dictionary that takes them, in place of a new one.
            prefix: what every name begins with.
            keep_vars: whether they are the Parameters and Buffers themselves.

        >>> from xpnn import nn
        >>> [(name, t.shape) for name, t in nn.Linear(2, 3).state_dict(prefix="fc.").items()]
        [('fc.weight', (3, 2)), ('fc.bias', (3,))]
        """
        return state_of(self, {} if destination is None else destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Take over the values of a `state_dict()`, whichever backend, device and dtype they come in.

        Args:
            state_dict: Tensors or arrays by dotted name.
            strict: whether a missing or unexpected name is an error. A wrong shape always is.
            assign: whether the arrays themselves are taken, of whichever element type, in place of copies.

        Returns: the named tuple (missing_keys, unexpected_keys).

        Raises: CheckpointError that lists every entry that does not fit; nothing is loaded then.
        """
        check_flags(type(self).__name__, strict=strict, assign=assign)
        return load_state(self, state_dict, strict, assign)

    def check_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> None:
        """Raise what `load_state_dict` would, without loading anything."""
        check_state(self, state_dict, strict)

    def get_extra_state(self) -> Any:
        """What the state dict is to hold beside Tensors; a subclass that defines it has that stored."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_extra_state()")

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave; defined beside it."""
        raise NotImplementedError(f"{type(self).__name__} defines no set_extra_state()")

    def keeps_extra_state(self) -> bool:
        """Whether a subclass defines `get_extra_state`."""
        return type(self).get_extra_state is not Module.get_extra_state

    # --- hooks ---

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before the forward; what it returns, if not None, replaces the arguments.

        Args:
            prepend: call it before the hooks that are there.
            with_kwargs: call `hook(module, args, kwargs)`, which returns None or both.
        """
        return add_hook(self._own_hooks().before, (hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after the forward; a result that is not None replaces the output.

        Args:
            prepend: call it before the hooks that are there.
            with_kwargs: call `hook(module, args, kwargs, output)`.
            always_call: call it, with None as the output, when the forward raises.

        >>> from xpnn import nn
        >>> layer = nn.Identity()
        >>> with layer.register_forward_hook(lambda module, args, output: output + 1):
        ...     layer(2)
        3
        """
        return add_hook(self._own_hooks().after, (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known.

        Both are tuples with one gradient per positional argument or output, None where there is none. A
        result that is not None replaces grad_input.
        """
        return add_hook(self._own_hooks().backward, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known.

        A result that is not None replaces grad_output.
        """
        return add_hook(self._own_hooks().above, hook, prepend)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module puts its entries into a state dict."""
        return add_hook(self._own_hooks().saving, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` after it; a result replaces the second."""
        return add_hook(self._own_hooks().saved, hook)

    _register_state_dict_hook = register_state_dict_post_hook

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Call a hook with a copy of the state dict, which it may change, before anything is compared.

        `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)`;
        what it adds to the last three lists is complained of.
        """
        return add_hook(self._own_hooks().loading, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        """The same, where `hook` only takes the module if `with_module`."""
        return self.register_load_state_dict_pre_hook(
            hook if with_module else lambda module, *words: hook(*words)
        )

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may take names off its two lists."""
        return add_hook(self._own_hooks().loaded, hook)

    def _own_hooks(self) -> Hooks:
        if self._hooks is None:
            self._hooks = Hooks()
        return self._hooks

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        lines = [f"({name}): {indent(repr(child))}" for name, child in _owned(self, Module)]
        return format_module(type(self).__name__, extra, lines)

    def _repr_html_(self) -> str:
        """What notebooks show: the parts, to be folded open, with the numbers of their parameters."""
        return _folded(self, "")


class _Registry(MutableMapping[str, Any]):
    """The attributes of a module that are of one kind, under their names."""

    def __init__(self, module: Module, kind: type) -> None:
        self.module = module
        self.kind = kind

    def __getitem__(self, name: str) -> Any:
        return dict(_owned(self.module, self.kind))[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if self.kind is Buffer and is_array(value) and not isinstance(value, Buffer):
            value = Buffer(value)
        if value is not None and not isinstance(value, self.kind):
            raise DTypeError(
                f"expects a {self.kind.__name__} or None as '{name}', got {type(value).__name__}",
                subject=type(self.module).__name__,
            )
        setattr(self.module, name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        delattr(self.module, name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in _owned(self.module, self.kind)])

    def __len__(self) -> int:
        return len(_owned(self.module, self.kind))

    def __repr__(self) -> str:
        return repr(dict(self))


def format_module(name: str, extra: list[str], lines: list[str]) -> str:
    """The text of a module: on one line where it has no parts, else a line for each of them."""
    if not lines and len(extra) <= 1:
        return f"{name}({''.join(extra)})"
    body = "\n".join(f"  {line}" for line in (*extra, *lines))
    return f"{name}(\n{body}\n)"


def _folded(module: Module, name: str) -> str:
    """A module as HTML: a line where it has no parts, else one that can be folded open."""
    parts = _owned(module, Module)
    text = type(module).__name__ if parts else repr(module)
    count = sum(size_of(parameter.shape) for parameter in module.parameters())
    label = f"<b>{html.escape(name)}</b> " if name else ""
    line = f"{label}{html.escape(text)} <small>{count:,} parameters</small>"
    if not parts:
        return f"<div>{line}</div>"
    inner = "".join(_folded(part, key) for key, part in parts)
    opened = "" if name else " open"
    return f'<details{opened}><summary>{line}</summary><div style="margin-left:1.5em">{inner}</div></details>'


@functools.cache
def _flags(init: Callable[..., None]) -> list[str]:
    """The parameters that this library declares as bool."""
    if not (getattr(init, "__module__", "") or "").startswith("xpnn."):  # the user's, or object's
        return []
    parameters = inspect.signature(init).parameters.values()
    return [parameter.name for parameter in parameters if parameter.annotation == "bool"]


def _owned(module: Module, kind: type[_T]) -> list[tuple[str, _T]]:
    """The attributes of a kind; a list, because a forward may set attributes in the meantime."""
    return [(name, value) for name, value in vars(module).items() if isinstance(value, kind)]


def _walk(module: Module, path: str, seen: set[int] | None) -> Iterator[tuple[str, Module]]:
    if seen is not None:
        if id(module) in seen:
            return
        seen.add(id(module))
    yield path, module
    for name, child in _owned(module, Module):
        yield from _walk(child, _join(path, name), seen)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def indent(text: str) -> str:
    """The text with all lines but the first two columns to the right."""
    return text.replace("\n", "\n  ")


def _is_part(value: Any) -> bool:
    return isinstance(value, (*_OWNED, Module))
