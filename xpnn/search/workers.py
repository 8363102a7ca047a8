"""Several processes that work on one search."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xpnn import startup
from xpnn.backend import (
    ArgumentError,
    BackendError,
    get_backend,
    get_device,
    get_num_threads,
    set_backend,
    set_num_threads,
)
from xpnn.train.interrupt import GentleInterrupt

if TYPE_CHECKING:
    from xpnn.search.search import Search

_POLL = 0.5  # seconds


def run(
    search: Search,
    objective: Callable[[Any], float],
    count: int,
    processes: int,
    on_trial: Callable[[Any], None] | None,
) -> None:
    """Let processes work on a search until it has `count` trials, and replace those that are killed.

    Ctrl-C and SIGTERM are passed on to them, so that each ends its step and saves its run.

    Raises: ArgumentError for what cannot be sent to other processes; BackendError if they cannot start.
    """
    device = get_device()
    parts = (search, objective, count, on_trial, max(get_num_threads() // processes, 1))
    place = (get_backend().name, None if device is None else str(device))
    try:
        pickle.dumps((parts, place))
    except Exception as error:
        raise ArgumentError(
            f"cannot be sent to other processes: {error}",
            subject="the function to search over",
            hint="Define it at the top of a module, or use processes=1",
        ) from None
    context = multiprocessing.get_context("spawn")
    crew: list[Any] = []
    with GentleInterrupt() as interrupt:
        try:
            while crew or search.has_work(count):
                before = search.progress()
                wanted = processes - len(crew) if search.has_work(count) else 0
                for _ in range(wanted):
                    crew.append(context.Process(target=_work, args=(*parts, *place)))
                    crew[-1].start()
                multiprocessing.connection.wait([process.sentinel for process in crew], _POLL)
                interrupt.check()
                ended = [process for process in crew if not process.is_alive()]
                crew = [process for process in crew if process.is_alive()]
                failed = [process.exitcode for process in ended if process.exitcode]
                if failed and not crew and search.progress() == before:
                    raise BackendError(
                        f"worker processes end with exit code {failed[0]} before they begin a trial",
                        hint="What they print says why; with one process the error is shown",
                    )
        except (KeyboardInterrupt, SystemExit) as ending:
            _pass_on(ending, crew)
            raise
        except BaseException:
            _pass_on(KeyboardInterrupt(), crew)
            raise


def _pass_on(ending: BaseException, crew: list[Any]) -> None:
    """End the processes as this one ends, and wait for them; a second signal ends them at once."""
    number = signal.SIGINT if isinstance(ending, KeyboardInterrupt) else signal.SIGTERM
    for process in crew:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, number)
    try:
        for process in crew:
            process.join()
    except BaseException:
        for process in crew:
            process.kill()
        raise


def _work(
    search: Search,
    objective: Callable[[Any], float],
    count: int,
    on_trial: Callable[[Any], None] | None,
    threads: int,
    backend: str,
    device: str | None,
) -> None:
    """What each process does."""
    try:
        if hasattr(os, "setpgrp"):
            os.setpgrp()  # the terminal's Ctrl-C comes by way of the parent, once
        startup.over()
        set_num_threads(threads)
        set_backend(backend, device)
        parent = multiprocessing.parent_process()
        search.work(objective, count, on_trial, goes_on=lambda: parent is None or parent.is_alive())
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None
