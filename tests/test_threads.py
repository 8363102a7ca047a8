"""Threads of the NumPy backend: what they are given, what they leave behind, and their scratch memory."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.backend import ArgumentError, threads
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy import memory
from xpnn.kernels.numpy import parallel as parallel_module
from xpnn.kernels.numpy.memory import release_scratch, scratch
from xpnn.kernels.numpy.parallel import WORTHWHILE, parallel

needs_openblas = pytest.mark.skipif(threads._blas() is None, reason="NumPy's BLAS is not OpenBLAS")


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = xpnn.get_num_threads()
    xpnn.set_num_threads(3)
    yield
    xpnn.set_num_threads(before)


def blas_threads() -> int:
    return threads._blas()[0]()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 64])
@pytest.mark.parametrize("align", [1, 4])
def test_slices_cover_the_range(count: int, align: int) -> None:
    parts = parallel(lambda part: part, count, WORTHWHILE, align=align)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    assert all(part.start % align == 0 for part in parts)
    assert len(parts) == min(3, -(-count // align))


def test_the_calling_thread_does_a_little_more() -> None:
    parts = parallel(lambda part: (threading.get_ident(), part.stop - part.start), 3000, WORTHWHILE)
    others, own = parts[:-1], parts[-1]
    assert own[0] == threading.get_ident()
    assert all(500 < size < own[1] < 2000 for _, size in others)
    parts = parallel(lambda part: part.stop - part.start, 3000, 1000 * WORTHWHILE)
    assert all(abs(size - 1000) <= 2 for size in parts)


def test_little_work_is_not_handed_out() -> None:
    assert parallel(lambda part: (part, threading.get_ident()), 10, WORTHWHILE - 1) == [
        (slice(0, 10), threading.get_ident())
    ]


def test_threads_work_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=300)
    assert sorted(parallel(lambda part: barrier.wait(), 3, WORTHWHILE)) == [0, 1, 2]


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_errors_are_raised_after_all_have_ended(failing: int) -> None:
    ended = []

    def work(part: slice) -> None:
        if part.start == failing:
            raise ValueError("in a part")
        time.sleep(0.01)
        ended.append(part.start)

    with pytest.raises(ValueError, match="in a part"):
        parallel(work, 3, WORTHWHILE)
    assert sorted(ended) == [i for i in range(3) if i != failing]
    assert parallel(lambda part: part.start, 3, WORTHWHILE) == [0, 1, 2]  # it goes on


def test_a_call_inside_of_a_part_is_worked_off_there() -> None:
    def outer(part: slice) -> list[tuple[slice, bool]]:
        here = threading.get_ident()
        return parallel(lambda inner: (inner, threading.get_ident() == here), 6, WORTHWHILE)

    expected = [(part, True) for part in parallel(lambda part: part, 6, WORTHWHILE)]
    assert len(expected) == 3
    assert parallel(outer, 3, WORTHWHILE) == [expected] * 3


def test_ctrl_c_while_the_others_work_puts_nothing_out_of_step() -> None:
    y = np.zeros(3)

    def slow(part: slice) -> None:
        if part.start == 2:
            raise KeyboardInterrupt
        time.sleep(0.02)
        y[part] = 1

    with pytest.raises(KeyboardInterrupt):
        parallel(slow, 3, WORTHWHILE)
    assert y.tolist() == [1, 1, 0]  # nobody writes any more

    def double(part: slice) -> int:
        time.sleep(0.01)
        return 2 * part.start

    assert [parallel(double, 3, WORTHWHILE) for _ in range(3)] == [[0, 2, 4]] * 3


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(parallel_module, "_crew", [])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    here = threading.get_ident()
    found = parallel(lambda part: (part.start, threading.get_ident()), 3, WORTHWHILE)
    assert found == [(0, here), (1, here), (2, here)]


def test_what_failed_is_not_kept() -> None:
    """Arrays of a call that ran out of memory are free before the next one."""
    arrays = [np.zeros(3)]
    alive = weakref.ref(arrays[0])

    def work(part: slice, x: np.ndarray) -> None:
        if part.start == 0:
            raise MemoryError

    with pytest.raises(MemoryError):
        parallel(functools.partial(work, x=arrays.pop()), 3, WORTHWHILE)
    parallel(lambda part: None, 3, WORTHWHILE)  # the workers are at the next task
    assert alive() is None


def test_two_callers_at_once() -> None:
    """Who finds the crew busy does all parts alone; the results are the same."""
    x = np.random.default_rng(0).standard_normal((30, 1000))
    expected = parallel(lambda part: x[part].sum(), 30, WORTHWHILE)
    results: list[list[float]] = []

    def call() -> None:
        for _ in range(50):
            results.append(parallel(lambda part: x[part].sum(), 30, WORTHWHILE))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [expected] * 200


def test_warnings_are_those_of_the_caller() -> None:
    zeros = np.zeros(3)
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel(lambda part: 1 / zeros[part], 3, WORTHWHILE)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        parallel(lambda part: 1 / zeros[part], 3, WORTHWHILE)


def test_two_models_trained_in_two_threads() -> None:
    """Each learns what it learns alone, to the last bit."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 3, 16, 16), dtype=np.float32), rng.integers(0, 10, 64)

    def network() -> tuple[nn.Module, optim.Optimizer]:
        xpnn.manual_seed(1)
        model = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.LayerNorm(2048), nn.Linear(2048, 10),
        )  # fmt: skip
        return model, optim.Adam(model.parameters(), lr=1e-3)

    def train(model: nn.Module, optimizer: optim.Optimizer) -> list[float]:
        losses = []
        for _ in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    alone = train(*network())
    networks = [network() for _ in range(3)]
    found: dict[int, list[float]] = {}
    workers = [threading.Thread(target=lambda i=i: found.update({i: train(*networks[i])})) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert alone[-1] < alone[0]
    assert found == dict.fromkeys(range(3), alone)


@needs_openblas
def test_the_blas_has_one_thread_inside_and_its_own_afterwards() -> None:
    assert blas_threads() == 3
    assert parallel(lambda part: blas_threads(), 3, WORTHWHILE) == [1, 1, 1]
    assert blas_threads() == 3
    assert single_threaded_blas(single_threaded_blas, blas_threads) == 1
    with pytest.raises(ValueError, match="int"):
        single_threaded_blas(int, "no number")
    assert blas_threads() == 3


@needs_openblas
def test_the_default_is_not_asked_for_inside_of_a_call() -> None:
    """It is looked up once: a first look while the BLAS is limited would leave one thread for good."""
    program = (
        "from xpnn.backend.threads import get_num_threads, single_threaded_blas\n"
        "print(single_threaded_blas(get_num_threads), get_num_threads())"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told.split() == ["2", "2"]


@needs_openblas
def test_calls_may_overlap_in_time() -> None:
    entered, leave = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        leave.wait(200)

    def overlap() -> None:
        other.start()
        entered.wait(200)

    other = threading.Thread(target=single_threaded_blas, args=(work,))
    single_threaded_blas(overlap)
    assert blas_threads() == 1
    xpnn.set_num_threads(2)  # holds from the end of the last call on
    assert blas_threads() == 1
    leave.set()
    other.join()
    assert blas_threads() == 2


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, None, "2"])
def test_number_of_threads_is_checked(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="1 or more"):
        xpnn.set_num_threads(wrong)
    assert xpnn.get_num_threads() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    program = """
        import os
        from xpnn.backend import set_num_threads
        from xpnn.kernels.numpy.parallel import WORTHWHILE, parallel
        set_num_threads(3)
        parallel(lambda part: None, 3, WORTHWHILE)
        child = os.fork()
        if child == 0:
            os._exit(0 if parallel(lambda part: part.start, 3, WORTHWHILE) == [0, 1, 2] else 1)
        print(os.waitpid(child, 0)[1])
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=300).stdout == "0\n"


@needs_openblas
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_while_another_thread_computes_has_all_threads() -> None:
    program = """
        import os, threading
        from xpnn.backend import set_num_threads, threads
        from xpnn.kernels.numpy.parallel import WORTHWHILE, parallel
        set_num_threads(3)
        inside, leave = threading.Event(), threading.Event()

        def work(part):
            inside.set()
            leave.wait(200)

        other = threading.Thread(target=parallel, args=(work, 3, WORTHWHILE))
        other.start()
        inside.wait(200)
        child = os.fork()
        if child == 0:
            blas = threads._blas()[0]
            idents = parallel(lambda part: (blas(), threading.get_ident()), 3, WORTHWHILE)
            ok = blas() == 3 and [n for n, _ in idents] == [1, 1, 1] and len({t for _, t in idents}) > 1
            os._exit(0 if ok else 1)
        print(os.waitpid(child, 0)[1])
        leave.set()
        other.join()
        print(threads._blas()[0]())
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=300).stdout == "0\n3\n"


def test_scratch_is_used_again() -> None:
    release_scratch()
    large = scratch("a", (4, 5), np.float32)
    other = scratch("b", (4, 5), np.float32)
    again = scratch("a", (3, 2), np.float64)
    assert large.shape == (4, 5)
    assert large.dtype == np.float32
    assert np.shares_memory(large, again)
    assert not np.shares_memory(large, other)


def test_scratch_of_a_thread_is_its_own() -> None:
    arrays = [scratch("a", (10,), np.float32)]
    worker = threading.Thread(target=lambda: arrays.append(scratch("a", (10,), np.float32)))
    worker.start()
    worker.join()
    assert not np.shares_memory(*arrays)


def test_scratch_after_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    release_scratch()
    scratch("a", (10,), np.uint8)

    def refuse(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", refuse)
        for _ in range(3):
            with pytest.raises(MemoryError):
                scratch("a", (memory.SCRATCH_LIMIT,), np.uint8)
    assert scratch("a", (20,), np.uint8).size == 20
    assert scratch("b", (20,), np.uint8).size == 20
    assert np.shares_memory(scratch("a", (20,), np.uint8), scratch("a", (20,), np.uint8))


def test_kernels_after_a_size_that_no_memory_has() -> None:
    x, w = np.ones((1, 1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
    expected = F.conv2d(x, w)
    for stride, padding in ((2**31, 0), (1, 2**24), (1, 2**40)):
        with contextlib.suppress(MemoryError, ValueError, OverflowError):
            F.conv2d(x, w, stride=stride, padding=padding)
        assert F.conv2d(x, w).tobytes() == expected.tobytes()
    assert [*map(lambda _: F.conv2d(x, w).size, range(5))] == [36] * 5  # noqa: C417 - a map must not end early


def test_scratch_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    release_scratch()
    monkeypatch.setattr(memory, "SCRATCH_LIMIT", 100)
    first = scratch("a", (60,), np.uint8)
    scratch("b", (60,), np.uint8)  # the least recently used has to go
    assert not np.shares_memory(first, scratch("a", (60,), np.uint8))
    assert scratch("c", (1000,), np.uint8).size == 1000
    assert sum(block.size for block in memory._scratch.blocks.values()) <= 100
    release_scratch()
