"""Hooks: functions that are called before a module's forward, after it, and in the backward sweep.

A hook belongs to one module (`module.register_forward_hook`), or to all of them
(`register_module_forward_hook`). State dicts have hooks, too; `state.py` calls them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.autograd.handle import RemovableHandle
from xpnn.backend import device_of, namespace

__all__ = [
    "RemovableHandle",
    "register_module_backward_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]

Module = Any  # the class in `module.py`, which is built from these functions

_keys = itertools.count()


class Hooks:
    """The hooks of one module, or of all, in the order in which they are called; some with their options.

    Attributes:
        before: forward pre-hooks, and whether they take keyword arguments.
        after: forward hooks, whether they take keyword arguments, and whether an error lets them be called.
        above: backward pre-hooks.
        backward: backward hooks.
        saving, saved: called before and after `state_dict`.
        loading, loaded: called before and after `load_state_dict`.
        used: whether there ever was a hook of all modules, which every call asks.
    """

    used = False

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable, bool]] = {}
        self.after: dict[int, tuple[Callable, bool, bool]] = {}
        self.above: dict[int, Callable] = {}
        self.backward: dict[int, Callable] = {}
        self.saving: dict[int, Callable] = {}
        self.saved: dict[int, Callable] = {}
        self.loading: dict[int, Callable] = {}
        self.loaded: dict[int, Callable] = {}

    def watches_calls(self) -> bool:
        """Whether there is a hook that a call of the module would call."""
        return bool(self.before or self.after or self.above or self.backward)


EVERYWHERE = Hooks()  # those of all modules


def add_hook(hooks: dict[int, Any], entry: Any, prepend: bool = False) -> RemovableHandle:
    """Put an entry at the end of `hooks`, or at its front."""
    key = next(_keys)
    later = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = entry
    hooks.update(later)
    return RemovableHandle(hooks, key)


def has_hooks(module: Module) -> bool:
    """Whether somebody watches the module's calls."""
    hooks = module._hooks
    return bool(EVERYWHERE.watches_calls() or (hooks is not None and hooks.watches_calls()))


def call_with_hooks(module: Module, hooks: Hooks, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with all hooks called around it, those of all modules first."""
    after = [*EVERYWHERE.after.values(), *hooks.after.values()]
    called: list[Any] = []
    try:
        return _call(module, hooks, args, kwargs, after, called)
    except Exception:
        for entry in after:
            if entry[2] and entry not in called:  # whatever they return, there is nothing to replace
                _call_after(entry, module, args, kwargs, None)
        raise


def _call(
    module: Module, hooks: Hooks, args: tuple, kwargs: dict[str, Any], after: list, called: list[Any]
) -> Any:
    for hook, with_kwargs in [*EVERYWHERE.before.values(), *hooks.before.values()]:
        if with_kwargs:
            replaced = hook(module, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        else:
            replaced = hook(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    above = [*EVERYWHERE.above.values(), *hooks.above.values()]
    backward = [*EVERYWHERE.backward.values(), *hooks.backward.values()]
    sweep = _BackwardHooks(module, above, backward) if above or backward else None
    if sweep is not None:
        args = sweep.watch_inputs(args)
    output = module.forward(*args, **kwargs)
    for entry in after:
        called.append(entry)
        replaced = _call_after(entry, module, args, kwargs, output)
        if replaced is not None:
            output = replaced
    return output if sweep is None else sweep.watch_outputs(output)


def _call_after(
    entry: tuple[Callable, bool, bool], module: Module, args: tuple, kwargs: dict, output: Any
) -> Any:
    hook, with_kwargs, _ = entry
    return hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module; a result replaces the arguments."""
    return _for_all(EVERYWHERE.before, (hook, False))


def register_module_forward_hook(
    hook: Callable, *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, output)` after the forward of every module; a result replaces the output.

    Args:
        with_kwargs: call `hook(module, args, kwargs, output)`.
        always_call: call it, with None as the output, when the forward raises.

    >>> from xpnn import nn
    >>> with register_module_forward_hook(lambda module, args, output: output + 1):
    ...     nn.Identity()(2)
    3
    """
    return _for_all(EVERYWHERE.after, (hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, grad_output)` of every module when these are known; a result replaces them."""
    return _for_all(EVERYWHERE.above, hook)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` of every module; a result replaces grad_input."""
    return _for_all(EVERYWHERE.backward, hook)


register_module_backward_hook = register_module_full_backward_hook


def _for_all(hooks: dict[int, Any], entry: Any) -> RemovableHandle:
    EVERYWHERE.used = True
    return add_hook(hooks, entry)


class _BackwardHooks:
    """The backward hooks of one call of a module, and those before them (`above`).

    Two identities are put on the tape, one around the inputs and one around the outputs. The sweep
    comes to the outputs' first, which keeps the gradients, and to the inputs' last, which calls the hooks.
    """

    def __init__(self, module: Module, above: list[Callable], hooks: list[Callable]) -> None:
        self.module = module
        self.above = above
        self.hooks = hooks
        self.inputs = 0
        self.watching = False
        self.positions: list[int] = []
        self.grad_output: tuple = ()

    def watch_inputs(self, args: tuple) -> tuple:
        """The arguments, with the Tensors among them seen through an identity."""
        self.inputs = len(args)
        self.positions = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        self.watching = any(args[i].requires_grad for i in self.positions)
        if not self.watching:
            return args
        watched = list(args)
        for i, tensor in zip(self.positions, _watch(*[args[i] for i in self.positions], seen=self._last)):
            watched[i] = tensor
        return tuple(watched)

    def watch_outputs(self, output: Any) -> Any:
        """The output, a Tensor or a tuple, list or dict of them, seen through an identity; of its class."""
        if isinstance(output, Tensor):
            return _watch(output, seen=self._first)[0]
        if isinstance(output, dict):
            watched = copy.copy(output)
            watched.update(zip(output, self.watch_outputs(tuple(output.values()))))
            return watched
        if not isinstance(output, tuple | list):
            return output
        tensors = [value for value in output if isinstance(value, Tensor)]
        seen = iter(_watch(*tensors, seen=self._first) if tensors else ())
        values = [next(seen) if isinstance(value, Tensor) else value for value in output]
        return type(output)(*values) if hasattr(output, "_fields") else type(output)(values)

    def _first(self, gradients: tuple) -> tuple:
        for hook in self.above:
            replaced = hook(self.module, gradients)
            if replaced is not None:
                gradients = replaced if isinstance(replaced, tuple) else (replaced,)
        self.grad_output = gradients
        if not self.watching:  # no gradient goes on to the inputs: nothing else would call the hooks
            self._call((None,) * self.inputs)
        return gradients

    def _last(self, gradients: tuple) -> tuple:
        by_position = dict(zip(self.positions, gradients))
        grad_input = self._call(tuple(by_position.get(i) for i in range(self.inputs)))
        return tuple(grad_input[i] for i in self.positions)

    def _call(self, grad_input: tuple) -> tuple:
        for hook in self.hooks:
            replaced = hook(self.module, grad_input, self.grad_output)
            if replaced is not None:
                grad_input = replaced if isinstance(replaced, tuple) else (replaced,)
        return grad_input


@primitive(half=True)
def _watch(*arrays: Any, seen: Callable[[tuple], tuple]) -> tuple:
    """The identity; its backward passes the gradients through `seen`."""
    return arrays, arrays


@_watch.backward
def _watch_backward(
    gradients: tuple, saved: tuple, needs: tuple[bool, ...], *, seen: Callable[[tuple], tuple]
) -> tuple:
    taped = any(isinstance(gradient, Tensor) for gradient in gradients)
    shown = tuple([g if g is None or taped else Tensor(g) for g in gradients])
    results: list[Any] = []
    for gradient, array, need in zip(seen(shown), saved, needs):
        if not need:
            results.append(None)
        elif gradient is None:
            xp = namespace(array)
            results.append(xp.zeros(array.shape, dtype=array.dtype, device=device_of(array)))
        else:
            results.append(gradient if taped or not isinstance(gradient, Tensor) else gradient.array)
    return tuple(results)
