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

# What the calling thread does, in the same unit, until another one has started.
_HEAD_START = 300_000

# What a multiplication in a product of matrices counts for in that unit.
MULTIPLICATION = 1 / 10


def parallel(
    function: Callable[[slice], _Result], count: int, work: float, *, align: int = 1
) -> list[_Result]:
    """Call `function` with slices that cover `range(count)`, one for each thread, at the same time.

    Inside, the BLAS has one thread. The slices depend on the sizes and on the number of threads alone: when
    the threads are busy, with a call of another thread or one around this, they are worked off one after
    the other, to the same bits.

    Args:
        work: how much there is to do, in the unit of `WORTHWHILE`; below that there is one slice, and the
            BLAS keeps its threads.
        align: slices start at multiples of this.

    Returns: the results, in the order of the slices. Raises: what `function` raises.
    """
    threads = min(get_num_threads(), -(-count // align)) if work >= WORTHWHILE else 1
    if threads <= 1:
        return [function(slice(0, count))]
    parts = _parts(count, work, threads, align)
    with single_threaded_blas():
        if not _crew_lock.acquire(blocking=False):
            return [function(part) for part in parts]
        try:
            return _together(function, parts)
        finally:
            _crew_lock.release()


def _parts(count: int, work: float, threads: int, align: int) -> list[slice]:
    """Slices that take until the same moment; the last one, of the calling thread, is the longest."""
    units = -(-count // align)
    others = units / threads / (1 + _HEAD_START / max(work, 1))
    bounds = [*(max(round(i * others), i) * align for i in range(threads)), count]
    return [slice(first, last) for first, last in itertools.pairwise(bounds)]


class _Worker:
    """A thread that waits for a call, makes it, and waits for the next."""

    def __init__(self) -> None:
        self._called, self._done = threading.Lock(), threading.Lock()
        self._called.acquire()
        self._done.acquire()
        self._call: Callable[[], Any] | None = None
        self._outcome: tuple[Any, BaseException | None] = (None, None)
        threading.Thread(target=self._run, name="xpnn-worker", daemon=True).start()

    def start(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._called.release()

    def finish(self) -> tuple[Any, BaseException | None]:
        """Wait for the call; its result, and what it raised."""
        self._done.acquire()
        outcome, self._outcome, self._call = self._outcome, (None, None), None
        return outcome

    def _run(self) -> None:
        while True:
            self._called.acquire()
            try:
                self._outcome = (self._call(), None)  # type: ignore[misc]
            except BaseException as error:
                self._outcome = (None, error)
            self._done.release()


_crew: list[_Worker] = []
_crew_lock = threading.Lock()


def _together(function: Callable[[slice], _Result], parts: list[slice]) -> list[_Result]:
    """The last part is done by this thread, the others by the crew, with this thread's np.errstate."""
    while len(_crew) < len(parts) - 1:
        _crew.append(_Worker())
    workers = _crew[: len(parts) - 1]
    for worker, part in zip(workers, parts):
        worker.start(functools.partial(contextvars.copy_context().run, function, part))
    try:
        own = function(parts[-1])
    finally:  # the others still write into shared arrays: wait for them whatever happens
        outcomes = [worker.finish() for worker in workers]
    for _, error in outcomes:
        if error is not None:
            raise error
    return [*(result for result, _ in outcomes), own]


def _forget_crew() -> None:
    """A forked process has none of the threads of its parent."""
    global _crew_lock
    _crew.clear()
    _crew_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_crew)
