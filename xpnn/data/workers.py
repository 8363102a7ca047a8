"""Threads that load ahead of the loop, in order."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError, wait
from dataclasses import dataclass
from typing import Any

from xpnn.backend import DataError
from xpnn.data.pace import Pace

_LOOK = 0.25  # seconds between looks whether calls that were interrupted have ended


@dataclass(frozen=True)
class WorkerInfo:
    """Which of a DataLoader's workers the code runs in.

    Attributes:
        id: its number, from 0.
        num_workers: how many there are.
        seed: differs from worker to worker.
        dataset: the dataset that it reads; of an IterableDataset a shallow copy of its own.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


class _Local(threading.local):
    info: WorkerInfo | None = None


_local = _Local()


def get_worker_info() -> WorkerInfo | None:
    """In a worker of a DataLoader: which one it is; elsewhere None.

    >>> get_worker_info() is None
    True
    """
    return _local.info


def enter_worker(info: WorkerInfo) -> None:
    """Make this thread, or the process that it is the main one of, that worker."""
    _local.info = info


def in_order(
    function: Callable[[Any], Any],
    items: Iterator[Any],
    infos: list[WorkerInfo],
    ahead: int,
    timeout: float,
    begin: Callable[[int], Any] | None,
    pace: Pace,
    interrupt: Callable[[], None] | None = None,
    grace: float = 0.0,
) -> Iterator[Any]:
    """`map(function, items)`, computed by threads up to `ahead` items each in advance.

    Leaving the loop early, by whatever way, closes this generator and ends the threads.

    Args:
        infos: of the workers; none computes in the loop itself.
        timeout: seconds to wait for a result; 0 waits as long as it takes.
        begin: is called with its number in each thread at first.
        pace: how many of them compute at a time.
        interrupt: is called while the threads are waited for, to end what they wait for themselves.
        grace: seconds that they get to end by themselves.
    """
    if not infos:
        yield from map(function, items)
        return
    crew = _Crew(function, infos, begin, pace)
    results: deque[Future[Any]] = deque()
    try:
        for item in itertools.islice(items, len(infos) * ahead):
            results.append(crew.submit(item))
        while results:
            result = _result(results[0], timeout)
            results.popleft()
            results.extend(crew.submit(item) for item in itertools.islice(items, 1))
            yield result
    finally:
        _end([crew], results, timeout, interrupt, grace)


class _Crew:
    """Threads that compute a function of items in their order, so many at a time as a pace says.

    A thread goes on with the next item as long as there are any: to hand over to another one costs more.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        infos: list[WorkerInfo],
        begin: Callable[[int], Any] | None,
        pace: Pace,
    ) -> None:
        self._function = function
        self._infos = iter(infos)
        self._begin = begin
        self._pace = pace
        self._pool = ThreadPoolExecutor(len(infos), thread_name_prefix="xpnn-loader")
        self._lock = threading.Lock()
        self._active = 0
        self._items: deque[tuple[Future[Any], Any]] = deque()  # that no thread has taken yet

    def submit(self, item: Any) -> Future[Any]:
        """What will be the result."""
        future: Future[Any] = Future()
        with self._lock:
            self._items.append((future, item))
            self._employ()
        return future

    def shutdown(self, wait: bool = True, cancel_futures: bool = False) -> None:
        """End the threads; as that of an executor."""
        if cancel_futures:
            with self._lock:
                while self._items:
                    self._items.popleft()[0].cancel()
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def _employ(self) -> None:
        for _ in range(min(self._pace.at_once - self._active, len(self._items))):
            self._pool.submit(self._work)
            self._active += 1

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._items or self._active > self._pace.at_once:
                    self._active -= 1
                    return
                future, item = self._items.popleft()
                side_by_side = self._active
            start = time.perf_counter()
            self._fulfil(future, item)
            del future, item  # a batch is the loop's alone
            self._pace.loaded(time.perf_counter() - start, side_by_side)
            with self._lock:
                self._employ()

    def _fulfil(self, future: Future[Any], item: Any) -> None:
        try:
            if get_worker_info() is None:
                with self._lock:
                    info = next(self._infos)
                _enter(info, self._begin)
            future.set_result(self._function(item))
        except BaseException as error:
            future.set_exception(error)
            del future  # which the error's traceback would keep, and the other way round


def in_turns(
    function: Callable[[WorkerInfo], Iterator[Any]],
    infos: list[WorkerInfo],
    ahead: int,
    timeout: float,
    begin: Callable[[int], Any] | None,
    interrupt: Callable[[], None] | None = None,
    grace: float = 0.0,
) -> Iterator[Any]:
    """What the iterators `function(info)` give, each run by a thread of its own, one from each in turn."""
    pools = [ThreadPoolExecutor(1, "xpnn-loader") for _ in infos]
    end = object()
    turns: deque[tuple[Any, Iterator[Any], deque[Future[Any]]]] = deque()
    try:
        for pool, info in zip(pools, infos):
            items = _when_asked(function, info, begin)
            turns.append((pool, items, deque(pool.submit(next, items, end) for _ in range(ahead))))
        while turns:
            pool, items, results = turns[0]
            result = _result(results[0], timeout)
            turns.popleft()
            results.popleft()
            if result is end:
                continue
            results.append(pool.submit(next, items, end))
            turns.append((pool, items, results))
            yield result
    finally:
        running = itertools.chain.from_iterable(results for _, _, results in turns)
        _end(pools, running, timeout, interrupt, grace)


def _end(
    pools: Sequence[ThreadPoolExecutor | _Crew],
    running: Iterable[Future[Any]],
    timeout: float,
    interrupt: Callable[[], None] | None,
    grace: float,
) -> None:
    """Begin no more calls, and wait for those that run, unless they could take for ever."""
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
    if interrupt is not None:
        _, unfinished = wait([call for call in running if not call.done()], grace)
        while unfinished:  # a call that has just begun may not have been there to be interrupted
            interrupt()
            _, unfinished = wait(unfinished, _LOOK)
    for pool in pools:
        pool.shutdown(wait=not timeout or interrupt is not None)


def _when_asked(
    function: Callable[[WorkerInfo], Iterator[Any]], info: WorkerInfo, begin: Callable[[int], Any] | None
) -> Iterator[Any]:
    """`function(info)`, called at the first item, so by the thread that takes it."""
    _enter(info, begin)
    yield from function(info)


def _enter(info: WorkerInfo, begin: Callable[[int], Any] | None) -> None:
    """Make this thread that worker."""
    enter_worker(info)
    if begin is not None:
        try:
            begin(info.id)
        except Exception as error:
            error.add_note(f"(in worker_init_fn of worker {info.id})")
            raise


def _result(future: Future[Any], timeout: float) -> Any:
    try:
        return future.result(timeout or None)
    except TimeoutError:
        if future.done():  # it is the dataset's
            raise
        raise DataError(
            f"has waited {timeout:g} s for a batch",
            subject="DataLoader",
            hint="Give it more time by timeout=, or more workers",
        ) from None
