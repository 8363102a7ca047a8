"""Hooks: functions that a module calls before its forward, after it, and in the backward sweep."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.autograd.handle import RemovableHandle
from xpnn.backend import device_of, namespace

__all__ = ["RemovableHandle"]

Module = Any  # the class in `module.py`, which is built from these functions

_keys = itertools.count()


class Hooks:
    """The hooks of one module, in the order in which they are called; forward hooks with their options."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable, bool]] = {}
        self.after: dict[int, tuple[Callable, bool]] = {}
        self.backward: dict[int, Callable] = {}


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
    return hooks is not None and bool(hooks.before or hooks.after or hooks.backward)


def call_with_hooks(module: Module, hooks: Hooks, args: tuple, kwargs: dict[str, Any]) -> Any:
    """`module.forward(*args, **kwargs)` with all hooks called around it."""
    for hook, with_kwargs in list(hooks.before.values()):
        if with_kwargs:
            replaced = hook(module, args, kwargs)
            if replaced is not None:
                args, kwargs = replaced
        else:
            replaced = hook(module, args)
            if replaced is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
    sweep = _BackwardHooks(module, list(hooks.backward.values())) if hooks.backward else None
    if sweep is not None:
        args = sweep.watch_inputs(args)
    output = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.after.values()):
        replaced = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        if replaced is not None:
            output = replaced
    return output if sweep is None else sweep.watch_outputs(output)


class _BackwardHooks:
    """The backward hooks of one call of a module.

    Two identities are put on the tape, one around the inputs and one around the outputs. The sweep
    comes to the outputs' first, which keeps the gradients, and to the inputs' last, which calls the hooks.
    """

    def __init__(self, module: Module, hooks: list[Callable]) -> None:
        self.module = module
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
        """The output, a Tensor or a tuple, list or dict of them, seen through an identity."""
        if isinstance(output, Tensor):
            return _watch(output, seen=self._first)[0]
        if isinstance(output, dict):
            return dict(zip(output, self.watch_outputs(tuple(output.values()))))
        if not isinstance(output, tuple | list):
            return output
        tensors = [value for value in output if isinstance(value, Tensor)]
        seen = iter(_watch(*tensors, seen=self._first) if tensors else ())
        values = [next(seen) if isinstance(value, Tensor) else value for value in output]
        return values if isinstance(output, list) else tuple(values)

    def _first(self, gradients: tuple) -> tuple:
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
