"""How many of a loader's threads load at a time."""

from __future__ import annotations

import statistics
import threading

_LOADS = 10  # that are measured at each number of threads
_ENOUGH = 1.0  # seconds of loads that are measured, if they are long
_GAIN = 0.9  # a batch must take less than that of its time at fewer threads


class Pace:
    """Lets so many threads load at a time as make the batches come fastest, which it measures.

    One thread at a time runs Python. Threads that compute in short steps of it hand it to and fro at each
    step, and two take longer than one; while a thread reads a file or decodes an image, the others go on.
    So one thread loads at first, then two, four ..., as long as batches come faster by it. What is loaded
    does not depend on it.

    Args:
        threads: how many there are.
        measured: False lets all of them load at once.

    Attributes:
        at_once: so many may load now.
        settled: whether that has been measured.

    >>> pace = Pace(2)
    >>> pace.loaded(2.0, at_once=1)
    >>> pace.at_once
    2
    """

    def __init__(self, threads: int, measured: bool = True) -> None:
        self.threads = threads
        self.settled = threads == 1 or not measured
        self.at_once = threads if self.settled else 1
        self._lock = threading.Lock()
        self._begun = False  # whether what only the first load has to do is done
        self._times: list[float] = []  # seconds a batch, with `at_once` threads
        self._former: tuple[int, float] | None = None  # fewer threads, and their seconds a batch

    def loaded(self, seconds: float, at_once: int) -> None:
        """A load took so long, begun when so many threads were loading."""
        if self.settled:
            return
        with self._lock:
            if at_once != self.at_once or self.settled:  # too few to tell, or of before the last change
                return
            if self._begun or seconds > _ENOUGH:
                self._times.append(seconds / at_once)
            self._begun = True
            if len(self._times) == _LOADS or sum(self._times) > _ENOUGH:
                self._compare(statistics.mean(self._times))

    def _compare(self, taken: float) -> None:
        self._times = []
        if self._former is not None and taken > _GAIN * self._former[1]:
            self.at_once, self.settled = self._former[0], True
        elif self.at_once == self.threads:
            self.settled = True
        else:
            self._former = self.at_once, taken
            self.at_once = min(2 * self.at_once, self.threads)
