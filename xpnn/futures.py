"""Values that are not there yet, with the names of `torch.futures`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from xpnn.backend import ArgumentError, DTypeError, ProcessError

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")
S = TypeVar("S")


class Source(Protocol):
    """What makes the value of a future."""

    def is_completed(self) -> bool:
        """Go on with it; whether the future has its value."""

    def wait(self) -> Any:
        """Go on with it until the future has its value."""


class Future(Generic[T]):
    """A value that somebody sets later, once.

    Args:
        devices: are accepted.

    >>> first = Future()
    >>> second = first.then(lambda future: future.value() + 1)
    >>> first.set_result(1)
    >>> second.wait()
    2
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._there = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future[T]], Any]] = []
        self._lock = threading.Lock()
        self._source: Source | None = None

    @classmethod
    def of(cls, source: Source) -> Future[Any]:
        """A future whose value comes when its source is asked for it."""
        future: Future[Any] = cls()
        future._source = source
        return future

    def done(self) -> bool:
        """Whether it has its value, or an error instead."""
        if not self._there.is_set() and self._source is not None:
            self._source.is_completed()
        return self._there.is_set()

    def wait(self) -> T:
        """The value, when it has come. Raises: the error that was set instead."""
        self._wait_until_done()
        return self.value()

    def value(self) -> T:
        """The value, which must have come. Raises: ProcessError if it has not; the error that was set."""
        if not self._there.is_set():
            raise ProcessError("has no value yet", subject="Future", hint="Use wait()")
        if self._error is not None:
            raise self._error
        return self._value

    def then(self, callback: Callable[[Future[T]], S]) -> Future[S]:
        """A future of what `callback(self)` returns, which is called when this one is done."""
        _expect_callable(callback, "then")
        following: Future[S] = Future()
        following._source = _After(self)

        def go_on(done: Future[T]) -> None:
            try:
                found = callback(done)
            except Exception as error:
                following.set_exception(error)
            else:
                following.set_result(found)

        self.add_done_callback(go_on)
        return following

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Call `callback(self)` when this is done, at once if it is."""
        _expect_callable(callback, "add_done_callback")
        with self._lock:
            if not self._there.is_set():
                self._callbacks.append(callback)
                return
        callback(self)

    def set_result(self, result: T) -> None:
        """Give it its value. Raises: ProcessError if it is done already."""
        self._set(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Give it an error in place of a value; `wait` raises it."""
        if not isinstance(result, BaseException):
            raise DTypeError(
                f"expects an exception, got {type(result).__name__}", subject="Future.set_exception"
            )
        self._set(None, result)

    def _wait_until_done(self) -> None:
        if not self._there.is_set() and self._source is not None:
            self._source.wait()
        self._there.wait()

    def _set(self, value: Any, error: BaseException | None) -> None:
        with self._lock:
            if self._there.is_set():
                raise ProcessError("is done, and can be so only once", subject="Future")
            self._value, self._error = value, error
            self._there.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


class _After:
    """The source of what follows a future."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def is_completed(self) -> bool:
        return self._future.done()

    def wait(self) -> None:
        """An error is for those who ask for the value."""
        self._future._wait_until_done()


def collect_all(futures: Sequence[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the same futures, which is done when all of them are.

    >>> first, second = Future(), Future()
    >>> both = collect_all([first, second])
    >>> first.set_result(1), second.set_result(2)
    (None, None)
    >>> [future.value() for future in both.wait()]
    [1, 2]
    """
    given = _expect_futures(futures, "collect_all")
    found: Future[list[Future[Any]]] = Future.of(_AfterAll(given))
    lock, missing = threading.Lock(), [len(given)]

    def one_is_done(_: Any) -> None:
        with lock:
            missing[0] -= 1
            last = missing[0] == 0
        if last:
            found.set_result(given)

    for future in given:
        future.add_done_callback(one_is_done)
    if not given:
        found.set_result(given)
    return found


def wait_all(futures: Sequence[Future[Any]]) -> list[Any]:
    """The values of all futures, when they have come. Raises: the error of the first that has one.

    >>> future = Future()
    >>> future.set_result(3)
    >>> wait_all([future])
    [3]
    """
    given = _expect_futures(futures, "wait_all")
    collect_all(given).wait()
    return [future.value() for future in given]


class _AfterAll:
    """The source of what follows several futures."""

    def __init__(self, futures: Sequence[Future[Any]]) -> None:
        self._parts = [_After(future) for future in futures]

    def is_completed(self) -> bool:
        done = [part.is_completed() for part in self._parts]  # each goes on
        return all(done)

    def wait(self) -> None:
        for part in self._parts:
            part.wait()


def _expect_callable(callback: Any, name: str) -> None:
    if not callable(callback):
        raise ArgumentError(
            f"expects a function of the future, got {type(callback).__name__}", subject=f"Future.{name}"
        )


def _expect_futures(futures: Sequence[Any], name: str) -> list[Future[Any]]:
    given = list(futures)
    for future in given:
        if not isinstance(future, Future):
            raise DTypeError(f"expects futures, got {type(future).__name__}", subject=name)
    return given
