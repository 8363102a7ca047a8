"""Settings for a block (`no_grad`, `use_backend` ...): nothing outlives it, however it is left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import xpnn
from xpnn.autograd.mode import switches, watching
from xpnn.backend import (
    DTypeError,
    XpnnError,
    get_backend,
    get_precision,
    kernels_enabled,
    random,
    reference_only,
)


class Setting(NamedTuple):
    """A context manager: how to make it, what it changes, and the values outside and inside of it."""

    make: Callable[[], Any]
    read: Callable[[], Any]
    outside: Any
    inside: Any


STREAM = random.RandomStream(1)
SETTINGS = {
    "no_grad": Setting(xpnn.no_grad, xpnn.is_grad_enabled, True, False),
    "set_grad_enabled": Setting(lambda: xpnn.set_grad_enabled(False), xpnn.is_grad_enabled, True, False),
    "detect_anomaly": Setting(xpnn.detect_anomaly, lambda: bool(switches.anomaly), False, True),
    "use_backend": Setting(
        lambda: xpnn.use_backend("array_api_strict"), lambda: get_backend().name, "numpy", "array_api_strict"
    ),
    "use_precision": Setting(lambda: xpnn.use_precision("exact"), get_precision, "fast", "exact"),
    "use_stream": Setting(
        lambda: random.use_stream(STREAM), lambda: random.default_stream() is STREAM, False, True
    ),
    "reference_only": Setting(reference_only, kernels_enabled, True, False),
}
each = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Any:
    yield
    for setting in SETTINGS.values():
        assert setting.read() == setting.outside


@each
def test_a_block(setting: Setting) -> None:
    for _ in range(2):
        with setting.make():
            assert setting.read() == setting.inside
        assert setting.read() == setting.outside


@each
def test_one_object_again_and_inside_of_itself(setting: Setting) -> None:
    block = setting.make()
    for _ in range(2):
        with block:
            with block:
                assert setting.read() == setting.inside
            assert setting.read() == setting.inside
        assert setting.read() == setting.outside


@each
def test_an_exception_passes(setting: Setting) -> None:
    with pytest.raises(KeyError), setting.make():
        raise KeyError
    assert setting.read() == setting.outside

    @setting.make()
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert setting.read() == setting.outside


@each
def test_a_function(setting: Setting) -> None:
    @setting.make()
    def function(depth: int) -> list[Any]:
        """Its text."""
        return [setting.read(), *(function(depth - 1) if depth else [])]

    assert setting.read() == setting.outside
    assert function(2) == [setting.inside] * 3
    assert setting.read() == setting.outside
    assert function.__name__ == "function"
    assert function.__doc__ == "Its text."


@each
def test_a_generator(setting: Setting) -> None:
    """Its body runs inside, whoever takes its values does not."""
    left = []

    @setting.make()
    def generator() -> Any:
        try:
            got = yield setting.read()
            try:
                yield (setting.read(), got)
            except ValueError:
                yield "caught", setting.read()
            return setting.read()
        finally:
            left.append(setting.read())

    running = generator()
    assert next(running) == setting.inside
    assert setting.read() == setting.outside
    assert running.send(7) == (setting.inside, 7)
    assert running.throw(ValueError) == ("caught", setting.inside)
    assert setting.read() == setting.outside
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == setting.inside
    unfinished = generator()
    next(unfinished)
    unfinished.close()
    assert left == [setting.inside] * 2
    assert list(zip(generator(), range(1))) == [(setting.inside, 0)]


@each
def test_a_coroutine(setting: Setting) -> None:
    @setting.make()
    async def inside() -> list[Any]:
        before = setting.read()
        await asyncio.sleep(0)
        return [before, setting.read()]

    async def outside() -> list[Any]:
        return [setting.read() for _ in range(3) if await asyncio.sleep(0) is None]

    async def both() -> Any:
        return await asyncio.gather(inside(), outside(), inside())

    assert asyncio.run(both()) == [[setting.inside] * 2, [setting.outside] * 3, [setting.inside] * 2]


@each
def test_an_asynchronous_generator_is_refused(setting: Setting) -> None:
    async def generator() -> Any:
        yield 1

    with pytest.raises(DTypeError, match="asynchronous generator"):
        setting.make()(generator)


@each
def test_blocks_that_generators_leave_in_another_order(setting: Setting) -> None:
    def generator() -> Any:
        with setting.make():
            yield setting.read()

    first, second = generator(), generator()
    assert next(first) == next(second) == setting.inside
    first.close()
    assert setting.read() == setting.inside
    second.close()
    assert setting.read() == setting.outside
    outer = generator()
    next(outer)
    with setting.make():
        outer.close()
        assert setting.read() == setting.inside
    assert setting.read() == setting.outside


@each
def test_one_object_in_two_threads(setting: Setting) -> None:
    block = setting.make()
    if setting is SETTINGS["set_grad_enabled"]:
        xpnn.set_grad_enabled(True)  # as it was before the call
    steps, results = [threading.Event() for _ in range(3)], []

    def early() -> None:
        with block:
            steps[0].set()
            steps[1].wait(10)
            results.append(setting.read())
        results.append(setting.read())
        steps[2].set()

    def late() -> None:
        steps[0].wait(10)
        with block:
            steps[1].set()
            steps[2].wait(10)
            results.append(setting.read())
        results.append(setting.read())

    threads = [threading.Thread(target=target) for target in (early, late)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after_the_first = setting.inside if setting is SETTINGS["reference_only"] else setting.outside
    assert results == [setting.inside, after_the_first, setting.inside, setting.outside]
    assert setting.read() == setting.outside


def test_set_grad_enabled_is_a_call_a_block_and_a_decorator() -> None:
    @xpnn.set_grad_enabled(False)
    def function() -> bool:
        return xpnn.is_grad_enabled()

    assert xpnn.is_grad_enabled()
    assert not function()
    xpnn.set_grad_enabled(False)
    assert not xpnn.is_grad_enabled()
    with xpnn.set_grad_enabled(True):
        assert xpnn.is_grad_enabled()
    assert not xpnn.is_grad_enabled()
    xpnn.set_grad_enabled(True)
    with xpnn.no_grad():
        xpnn.set_grad_enabled(True)
        assert xpnn.is_grad_enabled()
    with xpnn.no_grad():
        assert not xpnn.is_grad_enabled()
        with xpnn.enable_grad():
            assert xpnn.is_grad_enabled()
    assert xpnn.is_grad_enabled()


@pytest.mark.parametrize("mode", ["False", 0, None, lambda: None])
def test_set_grad_enabled_takes_a_bool(mode: Any) -> None:
    with pytest.raises(DTypeError, match="expects True or False"):
        xpnn.set_grad_enabled(mode)
    assert xpnn.is_grad_enabled()


def test_decorators_without_parentheses() -> None:
    @xpnn.no_grad
    def generator() -> Any:
        yield xpnn.is_grad_enabled()

    assert list(generator()) == [False]
    assert xpnn.is_grad_enabled()


@pytest.mark.parametrize("make", [lambda: xpnn.use_backend("nump"), lambda: xpnn.use_precision("high")])
def test_a_block_that_cannot_be_entered_changes_nothing(make: Callable[[], Any]) -> None:
    with pytest.raises(XpnnError), make():
        pass


def test_looking_for_anomalies_convolves_exactly() -> None:
    with xpnn.detect_anomaly():
        assert xpnn.get_precision() == "exact"
    with xpnn.detect_anomaly(check_nan=False), xpnn.autograd.set_detect_anomaly(True):
        assert xpnn.get_precision() == "exact"
    assert xpnn.get_precision() == "fast"
    xpnn.autograd.set_detect_anomaly(True, check_nan=False)
    with xpnn.use_precision("fast"), xpnn.autograd.set_detect_anomaly(True):
        assert xpnn.get_precision() == "exact"
    assert xpnn.get_precision() == "exact"
    xpnn.autograd.set_detect_anomaly(False)
    assert xpnn.get_precision() == "fast"
    with pytest.raises(DTypeError):
        xpnn.autograd.set_detect_anomaly("False")


@pytest.mark.parametrize("mode", [True, False])
def test_who_watches_is_left_by_looking_for_anomalies(mode: bool) -> None:
    names: list[str] = []
    x = xpnn.tensor([1.0])
    with watching(lambda arrays, name, what, scope: names.append(name)):
        xpnn.autograd.set_detect_anomaly(mode)
        x * 2
        with xpnn.autograd.set_detect_anomaly(True), xpnn.detect_anomaly():
            x + 2
            xpnn.autograd.set_detect_anomaly(mode)
        x - 2
    xpnn.autograd.set_detect_anomaly(False)
    assert names == ["multiply", "add", "subtract"]
    assert not switches.anomaly
    assert not switches.noting
