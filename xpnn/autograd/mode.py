"""Switches of the tape: whether it records, whether it looks for NaN, whether it is recomputing."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class _Switches(threading.local):
    """The switches of one thread."""

    grad = True
    anomaly = False
    recorder: Any = None  # the checkpoint that is being recorded or recomputed, see checkpoint.py
    recomputing = False

    def __init__(self) -> None:
        self.scopes: list[Any] = []


switches = _Switches()


class _GradMode:
    """Sets the recording switch inside of a `with` block or a decorated function."""

    def __init__(self, record: bool) -> None:
        self.record = record
        self.before: list[bool] = []

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args: Any, **options: Any) -> Any:
            with _GradMode(self.record):
                return function(*args, **options)

        return wrapper

    def __enter__(self) -> None:
        self.before.append(switches.grad)
        switches.grad = self.record

    def __exit__(self, *exception: object) -> None:
        switches.grad = self.before.pop()


def no_grad(function: Callable | None = None) -> Any:
    """Record nothing inside of the block (`with no_grad():`) or the decorated function (`@no_grad()`).

    >>> with no_grad():
    ...     is_grad_enabled()
    False
    """
    return _GradMode(False) if function is None else _GradMode(False)(function)


def enable_grad(function: Callable | None = None) -> Any:
    """Record inside of the block or the decorated function, also within a `no_grad` block."""
    return _GradMode(True) if function is None else _GradMode(True)(function)


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Switch recording on or off, at once as a call, or for a block as a context manager."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self.before.append(switches.grad)
        switches.grad = mode

    def __enter__(self) -> None:
        pass


def is_grad_enabled() -> bool:
    """Whether operations on Tensors that require a gradient are being recorded in this thread."""
    return switches.grad


def recomputing() -> bool:
    """Whether a `checkpoint` is running its function a second time.

    Modules that keep statistics skip their update then, so that it happens once per step.
    """
    return switches.recomputing


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise an AnomalyError at the first operation, forward or backward, that makes a NaN or infinity.

    The error names the primitive and the module it was called from. Every result is read on the host,
    so that this is for hunting bugs and not for training.

    >>> from xpnn.autograd import tensor
    >>> with detect_anomaly():
    ...     tensor([1.0, float("nan")]) * 2.0
    Traceback (most recent call last):
    ...
    xpnn.backend.errors.AnomalyError: multiply made nan at index (1,) of an output of shape (2,)...
    """
    before, switches.anomaly = switches.anomaly, True
    try:
        yield
    finally:
        switches.anomaly = before


@contextmanager
def scope(name: Any) -> Iterator[None]:
    """Name the module that runs inside of the block, for `detect_anomaly`'s report of the backward."""
    switches.scopes.append(name)
    try:
        yield
    finally:
        switches.scopes.pop()
