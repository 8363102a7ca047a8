"""Switches of the tape: whether it records, whether it looks for NaN, whether it is recomputing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from xpnn.backend import DTypeError, hold_precision, use_precision
from xpnn.backend.scope import covering, scoped


class Call(NamedTuple):
    """An operation on Tensors, whether a gradient flows through it or not.

    Attributes:
        name: the primitive's, or the function's of the library.
        arguments, results: raw arrays, and what else was given.
        options: what the operation was given by name.
        scope: the modules around it.
    """

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[Any, ...]
    scope: tuple[Any, ...]


class _Switches(threading.local):
    """The switches of one thread."""

    grad = True
    # What takes away what nodes save: a checkpoint that is recorded or recomputed (checkpoint.py), or hooks
    # (graph.py).
    recorder: Any = None
    no_saved_hooks: str | None = None  # why hooks on what nodes save are refused, see graph.py
    dual_level: Any = None  # see forward_ad.py
    sweep: Any = None  # the backward sweep that runs, see tape.py
    calls: list[Call] | None = None  # what is called, where `noting_calls` asks for it
    recomputing = False

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.casts: dict[str, str | None] = {}  # the low type of `autocast` by kind of device, see casting.py
        # What is shown all results, see `tape.examine`: None for each `detect_anomaly` block.
        self.anomaly: list[Callable[..., None] | None] = []
        # One for each block in which nodes note the module they are of: None for those of `detect_anomaly`
        # and `watching`, and True for those of `graph`, where they keep their values too.
        self.noting: list[bool | None] = []
        self.blocks: list[_Block] = []  # of _GradMode, the innermost last
        self.called: tuple[Any, bool] | None = None  # the last `set_grad_enabled`, and what it changed


switches = _Switches()


class _Block:
    """A `with` block that is entered: whose it is, and whether the tape recorded before it."""

    __slots__ = ("before", "owner")

    def __init__(self, owner: _GradMode, before: bool) -> None:
        self.owner = owner
        self.before = before


class _GradMode:
    """Sets the recording switch inside of a `with` block or a decorated function.

    It keeps no state of its own, so that one object serves several blocks and threads.
    """

    def __init__(self, record: bool) -> None:
        self.record = record

    def __call__(self, function: Callable) -> Callable:
        return covering(function, lambda: _GradMode(self.record))

    def __enter__(self) -> None:
        switches.blocks.append(_Block(self, switches.grad))
        switches.grad = self.record

    def __exit__(self, *exception: object) -> None:
        blocks = switches.blocks
        if blocks and blocks[-1].owner is self:
            switches.grad = blocks.pop().before
            return
        for index in reversed(range(len(blocks))):  # a generator leaves its block before one inside of it
            if blocks[index].owner is self:
                before = blocks.pop(index).before
                blocks[index].before = before
                return


def no_grad(function: Callable | None = None) -> Any:
    """Record nothing inside of the block (`with no_grad():`) or the decorated function (`@no_grad()`).

    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """
    return _GradMode(False) if function is None else _GradMode(False)(function)


def inference_mode(mode: Any = True) -> Any:
    """Record nothing, as `no_grad` does; PyTorch's further restrictions on the results are not made.

    Args:
        mode: False records, whatever is around it; a function is decorated.

    Raises: DTypeError for another mode.

    >>> with inference_mode():
    ...     is_grad_enabled()
    False
    """
    if callable(mode):
        return no_grad(mode)
    if not isinstance(mode, bool):
        raise DTypeError(f"expects True or False, got {mode!r:.60}", subject="inference_mode")
    return _GradMode(not mode)


def enable_grad(function: Callable | None = None) -> Any:
    """Record inside of the block or the decorated function, also within a `no_grad` block."""
    return _GradMode(True) if function is None else _GradMode(True)(function)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording on or off: at once as a call, or for a `with` block, or in a decorated function.

    Raises: DTypeError if `mode` is not a bool.

    >>> @set_grad_enabled(False)
    ... def predict():
    ...     return is_grad_enabled()
    >>> predict(), is_grad_enabled()
    (False, True)
    """

    def __init__(self, mode: bool) -> None:
        if not isinstance(mode, bool):
            raise DTypeError(
                f"expects True or False, got {mode!r:.60}",
                subject="set_grad_enabled",
                hint="As a decorator: @set_grad_enabled(False)",
            )
        super().__init__(mode)
        switches.called = (self, switches.grad)
        switches.grad = mode

    def __call__(self, function: Callable) -> Callable:
        """Decorate a function."""
        self._take_back()
        return super().__call__(function)

    def __enter__(self) -> None:
        self._take_back()
        super().__enter__()

    def _take_back(self) -> None:
        """Undo the call that made this object, if it is for a block or a function."""
        if switches.called is not None and switches.called[0] is self:
            switches.grad = switches.called[1]
            switches.called = None


def is_grad_enabled() -> bool:
    """Whether operations on Tensors that require a gradient are being recorded in this thread."""
    return switches.grad


def recomputing() -> bool:
    """Whether a `checkpoint` is running its function a second time.

    Modules that keep statistics skip their update then, so that it happens once per step.
    """
    return switches.recomputing


@scoped
def detect_anomaly(check_nan: bool = True) -> Iterator[None]:
    """Raise an AnomalyError at the first operation, forward or backward, that makes a NaN or infinity.

    Args:
        check_nan: False looks for nothing, and only convolves exactly.

    The error names the primitive and the module it was called from. Every result is read on the host,
    so that this is for hunting bugs and not for training. Convolutions are exact inside of the block: the
    fast ones spread a NaN to outputs that do not see it (see `xpnn.set_precision`).

    >>> from xpnn.autograd import tensor
    >>> with detect_anomaly():
    ...     tensor([1.0, float("nan")]) * 2.0
    Traceback (most recent call last):
    ...
    xpnn.backend.errors.AnomalyError: multiply made nan at index (1,) of an output of shape (2,)...
    """
    # Those of this thread, also if another one closes the block.
    blocks, noting = switches.anomaly, switches.noting
    if check_nan:
        blocks.append(None)
        noting.append(None)
    try:
        with use_precision("exact"):
            yield
    finally:
        if check_nan and None in blocks:  # `set_detect_anomaly` may have ended them all
            blocks.remove(None)
            noting.remove(None)


class set_detect_anomaly:  # noqa: N801 - PyTorch's name
    """Look for NaN and infinity as `detect_anomaly` does, or stop to: from now on, or for a `with` block.

    Args:
        mode: whether to look, in this thread.
        check_nan: False looks for nothing, and only convolves exactly.

    Raises: DTypeError if `mode` is not a bool.

    >>> with set_detect_anomaly(True):
    ...     pass
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        if not isinstance(mode, bool):
            raise DTypeError(f"expects True or False, got {mode!r:.60}", subject="set_detect_anomaly")
        self.before = switches.anomaly.count(None), hold_precision("exact" if mode else None)
        _set_anomaly(1 if mode and check_nan else 0)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        blocks, precision = self.before
        _set_anomaly(blocks)
        hold_precision(precision)


def _set_anomaly(blocks: int) -> None:
    """As if so many `detect_anomaly` blocks were around; those of `watching` stay."""
    shown = [*[None] * blocks, *(watch for watch in switches.anomaly if watch is not None)]
    switches.anomaly[:] = shown
    switches.noting[:] = [*[None] * len(shown), *filter(None, switches.noting)]


@contextmanager
def watching(watch: Callable[..., None]) -> Iterator[None]:
    """Show `watch(arrays, name, what, scope)` all results and gradients that are made inside of the block.

    `name` is the primitive's, `what` is "output" or "gradient", `scope` the modules around it, and `arrays`
    are raw arrays, Tensors or None.
    """
    blocks, noting = switches.anomaly, switches.noting
    blocks.append(watch)
    noting.append(None)
    try:
        yield
    finally:
        blocks.remove(watch)
        noting.remove(None)


@contextmanager
def keeping_values() -> Iterator[None]:
    """Nodes that are recorded inside of the block keep their inputs and outputs, and note their module."""
    noting = switches.noting
    noting.append(True)
    try:
        yield
    finally:
        noting.remove(True)


@contextmanager
def noting_calls() -> Iterator[list[Call]]:
    """A list of all operations on Tensors inside of the block, in their order; none on raw arrays."""
    before, switches.calls = switches.calls, []
    try:
        with keeping_values():
            yield switches.calls
    finally:
        switches.calls = before


def note_call(name: str, arguments: Any, options: dict[str, Any], results: Any) -> None:
    """Put an operation into the list of `noting_calls`, if there is one."""
    if switches.calls is not None:
        call = Call(name, tuple(arguments), options, tuple(results), tuple(switches.scopes))
        switches.calls.append(call)


@contextmanager
def scope(name: Any) -> Iterator[None]:
    """Name the module that runs inside of the block, for `detect_anomaly`'s report of the backward."""
    switches.scopes.append(name)
    try:
        yield
    finally:
        switches.scopes.pop()
