"""Threads over the parts of a batch.

Two threads of Python on half of a batch each do what is bound by memory nearly twice as fast, as NumPy
releases Python's global lock in its loops. A waiting thread starts some ten microseconds after it is called,
so that it pays from about a million elements, and so that the calling thread does a little more than others.
"""

from __future__ import annotations

import contextvars
import functools
import itertools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from xpnn.backend.threads import get_num_threads, single_threaded_blas

_Result = TypeVar("_Result")

# Elements that NumPy passes over, in all operations together, below which one thread is faster.
WORTHWHILE = 1_000_000

# So many times as much it is for what is done piece by piece, in many calls of some ten microseconds: threads
# wait for each other's turn between them, and what follows finds half of the result in another core's cache.
IN_PIECES = 2

# What the calling thread does, in the same unit, until another one has started.
_HEAD_START = 300_000

# What a multiplication in a product of matrices counts for in that unit.
MULTIPLICATION = 1 / 10


def parallel(
    function: Callable[[slice], _Result],
    count: int,
    work: float,
    *,
    align: int = 1,
    times: float = 1,
) -> list[_Result]:
    """Call `function` with slices that cover `range(count)`, one for each thread, at the same time.

    Inside, the BLAS has one thread, also where there is one slice: its own threads hardly speed up what is so
    small, and wait for the next product by spinning. The slices depend on the sizes and on the number of
    threads alone: when the threads are busy, with a call of another thread or one around this, they are
    worked off one after the other, to the same bits.

    Args:
        work: how much there is to do, in the unit of `WORTHWHILE`.
        align: slices start at multiples of this.
        times: with less than so many times `WORTHWHILE` there is one slice.

    Returns: the results, in the order of the slices. Raises: what `function` raises.
    """
    threads = min(get_num_threads(), -(-count // align)) if work >= times * WORTHWHILE else 1
    if threads <= 1:
        return [single_threaded_blas(function, slice(0, count))]
    parts = _parts(count, work, threads, align)
    return single_threaded_blas(_share_out, function, parts)


def in_pieces(
    function: Callable[[slice], _Result], count: int, work: float, *, align: int = 1
) -> list[_Result]:
    """`parallel` for functions that make many calls of NumPy's, each on a piece, and so pay later."""
    return parallel(function, count, work, align=align, times=IN_PIECES)


def _parts(count: int, work: float, threads: int, align: int) -> list[slice]:
    """Slices that take until the same moment; the last one, of the calling thread, is the longest."""
    units = -(-count // align)
    others = units / threads / (1 + _HEAD_START / max(work, 1))
    bounds = [*(max(round(i * others), i) * align for i in range(threads)), count]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


class _Task:
    """A call that a worker makes, and what came of it."""

    __slots__ = ("_call", "ended", "error", "result")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call: Callable[[], Any] | None = call
        self.result: Any = None
        self.error: BaseException | None = None
        self.ended = threading.Lock()  # is held until the end
        self.ended.acquire()

    def run(self) -> None:
        try:
            self.result = self._call()  # type: ignore[misc]
        except BaseException as error:
            self.error = error
        finally:
            self._call = None  # and so the arrays, before anybody asks who holds them
            self.ended.release()


class _Worker:
    """A thread that waits for a task, does it, and waits for the next.

    Attributes:
        task: what it was given to do, None once that has ended.
    """

    def __init__(self) -> None:
        self.task: _Task | None = None
        self.wake = threading.Lock()  # is held while there is nothing to do
        self.wake.acquire()
        threading.Thread(target=self._run, name="xpnn-worker", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.wake.acquire()
            self.task.run()  # type: ignore[union-attr]


# The lock is taken by `with` alone: that Ctrl-C cannot come between taking a lock and entering the block
# holds for locks, and for no function of Python's.
_crew: list[_Worker] = []
_crew_lock = threading.Lock()


def _share_out(function: Callable[[slice], _Result], parts: list[slice]) -> list[_Result]:
    """The results of all parts, by the crew if it is free."""
    if _crew_lock.locked():
        return [function(part) for part in parts]
    with _crew_lock:
        workers = _hired(len(parts) - 1)
        if len(workers) < len(parts) - 1:
            return [function(part) for part in parts]
        return _together(function, parts, workers)


def _hired(count: int) -> list[_Worker]:
    """So many workers, with nothing to do; fewer where no thread can be started."""
    while len(_crew) < count:
        try:
            _crew.append(_Worker())
        except (RuntimeError, MemoryError):  # too many threads, or Python is about to end
            break
    return _crew[:count]


def _together(
    function: Callable[[slice], _Result], parts: list[slice], workers: list[_Worker]
) -> list[_Result]:
    """The last part is done by this thread, the others by the crew, with this thread's np.errstate.

    The others write into arrays of the caller: whatever is raised here, they are waited for, with a further
    Ctrl-C put off. (Should one come through all the same, the next call waits.)
    """
    tasks = [_Task(functools.partial(contextvars.copy_context().run, function, part)) for part in parts[:-1]]
    _finish(workers)
    try:
        for worker, task in zip(workers, tasks):
            worker.task = task
            worker.wake.release()
        own = function(parts[-1])
    finally:
        try:
            late = _finish_undisturbed(workers)
        finally:  # what comes between two turns of its loop is raised there
            _finish_undisturbed(workers)
        if late is not None:
            raise late
    results, failed = [], []
    for task in tasks:
        results.append(task.result)
        if task.error is not None:
            failed.append(task.error)
            task.error = None  # an error keeps all frames around it, and those the task: a circle
    if failed:
        raise failed.pop(0)
    return [*results, own]


def _finish(workers: list[_Worker]) -> None:
    """Wait until none of them has a task."""
    for worker in workers:
        if worker.task is not None:
            with worker.task.ended:
                worker.task = None


def _finish_undisturbed(workers: list[_Worker]) -> BaseException | None:
    """As `_finish`; returns the last of what was raised meanwhile."""
    late: BaseException | None = None
    while True:
        try:
            _finish(workers)
            return late
        except BaseException as error:
            late = error


def _forget_crew() -> None:
    """A forked process has none of the threads of its parent."""
    global _crew_lock
    _crew.clear()
    _crew_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_crew)
