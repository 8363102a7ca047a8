"""Trade time for memory: run a part of the net a second time instead of keeping what it saved."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from xpnn.autograd.casting import casting
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.mode import enable_grad, switches
from xpnn.backend import GradientError
from xpnn.backend.random import default_stream


def checkpoint(function: Callable, *args: Any, **options: Any) -> Any:
    """`function(*args, **options)`, but what its operations saved is thrown away and made again when needed.

    In the backward sweep the function runs once more, with the same random numbers, and its operations
    get back what they had saved. Memory grows with the arguments of the checkpointed parts instead of
    with all their activations, for one more forward pass. Works with any order of derivative, and with
    `grad` as with `backward`.

    The function must do the same operations both times: it may not depend on anything that changes in
    between. Statistics of batch norm are updated once.

    See: Chen, Xu, Zhang & Guestrin (2016), "Training deep nets with sublinear memory cost".

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x).sum(), x).backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """
    if not switches.grad:
        return function(*args, **options)
    recording = _Recording(function, args, options)
    before, switches.recorder = switches.recorder, recording
    try:
        return function(*args, **options)
    finally:
        switches.recorder = before


class _Recording:
    """The nodes that one checkpointed call made, in order, and how to run the call again.

    The nodes hold the recording, which must not hold them: a cycle would keep the arguments until the garbage
    collector comes by.
    """

    unpacks = False

    def __init__(self, function: Callable, args: tuple, options: dict) -> None:
        self.function = function
        self.args = tuple([_as_leaf(arg) for arg in args])  # now: `arg += 1` may rebind it before the replay
        self.options = {name: _as_leaf(option) for name, option in options.items()}
        self.stream = default_stream()
        self.counter = self.stream.counter
        self.casts = switches.casts
        self.nodes: list[tuple[Any, weakref.ref]] = []  # primitives and nodes

    def record(self, node: Any, inputs: list) -> None:
        """Take what a new node saved away from it."""
        node.recompute = self
        node.saved = node.inputs = None
        self.nodes.append((node.primitive, weakref.ref(node)))

    def release(self, node: Any) -> None:
        """Keep what was brought back, after a sweep that retains the graph: the next one needs it, too."""

    def fill(self, node: Any) -> None:
        """Run the function again and give every node back what it had saved."""
        again = _Replay()
        counter, self.stream.counter = self.stream.counter, self.counter
        before = switches.recorder, switches.recomputing
        switches.recorder, switches.recomputing = again, True
        try:
            with enable_grad(), casting(self.casts):
                self.function(*self.args, **self.options)
        finally:
            switches.recorder, switches.recomputing = before
            self.stream.counter = counter
        same = len(again.saved) == len(self.nodes) and all(
            old is primitive for (old, _), (primitive, _, _) in zip(self.nodes, again.saved)
        )
        if not same:
            raise GradientError(
                f"ran {len(again.saved)} operations the second time, {len(self.nodes)} the first",
                subject="checkpoint",
                hint="The function must do the same operations whenever it is called",
            )
        for (_, reference), (_, saved, inputs) in zip(self.nodes, again.saved):
            old = reference()
            if old is not None and not old.freed:
                old.saved, old.inputs = saved, inputs


class _Replay:
    """Collects what the nodes of the second run saved."""

    def __init__(self) -> None:
        self.saved: list[tuple[Any, Any, Any]] = []

    def record(self, node: Any, inputs: list) -> None:
        self.saved.append((node.primitive, node.saved, node.inputs))


def _as_leaf(value: Any) -> Any:
    """A leaf with the same array, so that the second run records the same operations."""
    if not isinstance(value, TensorBase):
        return value
    leaf = new_tensor(value.array)
    leaf.requires_grad = value.requires_grad
    return leaf
