"""Hooks of optimizers: functions that are called around steps, and where state dicts are made and loaded.

A hook belongs to one optimizer (`optimizer.register_step_post_hook`), or to all of them
(`register_optimizer_step_post_hook`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from xpnn.autograd.handle import RemovableHandle
from xpnn.backend import ArgumentError

__all__ = ["register_optimizer_step_post_hook", "register_optimizer_step_pre_hook"]

Table = dict[int, Callable[..., Any]]


class Hooks:
    """The hooks of an optimizer, or of all.

    Attributes:
        before, after: those of steps.
        saving, saved: those of `state_dict`.
        loading, loaded: those of `load_state_dict`.
    """

    def __init__(self) -> None:
        self.before: Table = {}
        self.after: Table = {}
        self.saving: Table = {}
        self.saved: Table = {}
        self.loading: Table = {}
        self.loaded: Table = {}


NONE = Hooks()  # of an optimizer that has none
EVERYWHERE = Hooks()


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer.

    See `Optimizer.register_step_pre_hook`.
    """
    return add_hook(EVERYWHERE.before, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer.

    >>> from xpnn import nn, optim
    >>> with register_optimizer_step_post_hook(lambda optimizer, args, kwargs: print("a step")):
    ...     optim.SGD(nn.Linear(1, 1).parameters()).step()
    a step
    """
    return add_hook(EVERYWHERE.after, hook)


def add_hook(hooks: Table, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    """Put a hook into a table, after those that are there or before them."""
    key = max(hooks, default=-1) + 1
    others = dict(hooks)
    if prepend:
        hooks.clear()
    hooks[key] = hook
    hooks.update(others)
    return RemovableHandle(hooks, key)


def around_step(step: Callable[..., Any]) -> Callable[..., Any]:
    """A method `step` that calls the hooks, once also where it calls another class's `step`."""

    def call(self: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        for hook in [*EVERYWHERE.before.values(), *self.hooks.before.values()]:
            changed = hook(self, args, kwargs)
            if changed is not None:
                args, kwargs = _arguments(self, changed)
        result = step(*args, **kwargs)
        for hook in [*self.hooks.after.values(), *EVERYWHERE.after.values()]:
            hook(self, args, kwargs)
        return result

    def has_hooks(self: Any) -> Any:
        return self.hooks.before or self.hooks.after or EVERYWHERE.before or EVERYWHERE.after

    return _once(step, call, has_hooks)


def around_saving(state_dict: Callable[..., Any]) -> Callable[..., Any]:
    """A method `state_dict` that calls the hooks."""

    def call(self: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        for hook in [*self.hooks.saving.values()]:
            hook(self)
        result = state_dict(*args, **kwargs)
        for hook in [*self.hooks.saved.values()]:
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    return _once(state_dict, call, lambda self: self.hooks.saving or self.hooks.saved)


def around_loading(load_state_dict: Callable[..., Any]) -> Callable[..., Any]:
    """A method `load_state_dict` that calls the hooks; those before it are given a shallow copy."""

    def call(self: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        if len(args) < 2 and "state_dict" not in kwargs:
            raise TypeError("load_state_dict() expects what state_dict() returned, got nothing")
        state = dict(args[1] if len(args) > 1 else kwargs["state_dict"])
        for hook in [*self.hooks.loading.values()]:
            changed = hook(self, state)
            state = state if changed is None else changed
        load_state_dict(self, state)
        for hook in [*self.hooks.loaded.values()]:
            hook(self)

    return _once(load_state_dict, call, lambda self: self.hooks.loading or self.hooks.loaded)


def _once(
    method: Callable[..., Any],
    call: Callable[[Any, tuple, dict[str, Any]], Any],
    has_hooks: Callable[[Any], Any],
) -> Callable[..., Any]:
    """The method, by way of `call` if there are hooks and it is not itself called by one that has them."""

    @functools.wraps(method)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        self = args[0]
        if method.__name__ in self.within_hooks or not has_hooks(self):
            return method(*args, **kwargs)
        around = self.within_hooks
        self.within_hooks = {*around, method.__name__}
        try:
            return call(self, args, kwargs)
        finally:
            self.within_hooks = around

    return hooked


def _arguments(optimizer: Any, changed: Any) -> tuple[Any, Any]:
    """What a hook returned, as arguments of `step`."""
    if isinstance(changed, tuple) and len(changed) == 2:
        return changed
    raise ArgumentError(
        f"expects a hook before the step to return None or (args, kwargs), got {changed!r:.80}",
        subject=type(optimizer).__name__,
    )
