"""Values that come later: in what order callbacks are called, and what becomes of errors."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from xpnn.backend import ArgumentError, DTypeError, ProcessError
from xpnn.futures import Future, collect_all, wait_all


class Counter:
    """A source that is done when it is waited for, or asked three times."""

    def __init__(self) -> None:
        self.future: Future[int] = Future.of(self)
        self.asked = 0

    def is_completed(self) -> bool:
        self.asked += 1
        if self.asked == 3:
            self.future.set_result(self.asked)
        return self.asked == 3

    def wait(self) -> None:
        self.future.set_result(0)


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def test_callbacks_are_called_in_order() -> None:
    future: Future[int] = Future()
    seen: list[Any] = []
    future.add_done_callback(lambda done: seen.append(done.value()))
    twice = future.then(lambda done: 2 * done.value())
    twice.add_done_callback(lambda done: seen.append(done.value()))
    assert not future.done()
    assert not twice.done()
    assert seen == []
    future.set_result(5)
    assert seen == [5, 10]
    future.add_done_callback(lambda done: seen.append("at once"))
    assert seen[-1] == "at once"
    assert twice.wait() == twice.value() == 10


def test_a_source_goes_on_when_it_is_asked() -> None:
    last = Counter().future.then(lambda done: done.value() + 1).then(lambda done: done.value() + 1)
    assert last.wait() == 2
    last = Counter().future.then(lambda done: done.value() + 1).then(lambda done: done.value() + 1)
    assert [last.done() for _ in range(4)] == [False, False, True, True]
    assert last.value() == 5
    slow = [Counter().future for _ in range(2)]
    both = collect_all(slow)
    assert [both.done() for _ in range(3)] == [False, False, True]
    assert wait_all([Counter().future for _ in range(2)]) == [0, 0]


def test_a_value_from_another_thread() -> None:
    future: Future[str] = Future()
    threading.Thread(target=future.set_result, args=("there",)).start()
    assert future.wait() == "there"


def test_errors() -> None:
    future = failed(KeyError("lost"))
    for ask in (future.wait, future.value, future.then(lambda done: done.value()).wait):
        with pytest.raises(KeyError, match="lost"):
            ask()
    assert future.then(lambda done: "mended").wait() == "mended"
    assert collect_all([future, failed(OSError())]).wait()[0] is future
    with pytest.raises(KeyError, match="lost"):
        wait_all([future])
    with pytest.raises(ProcessError, match="has no value yet"):
        Future().value()
    with pytest.raises(ProcessError, match="only once"):
        future.set_result(1)
    with pytest.raises(DTypeError, match="expects an exception, got str"):
        Future().set_exception("lost")
    with pytest.raises(ArgumentError, match="then expects a function"):
        future.then(3)
    with pytest.raises(DTypeError, match="expects futures, got int"):
        collect_all([3])
    assert collect_all([]).wait() == wait_all([]) == []
