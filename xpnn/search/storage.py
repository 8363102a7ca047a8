"""Where a search is kept: Optuna's journal, a file in the search's folder that many processes append to."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xpnn.backend import optional_import
from xpnn.io.locks import HAS_LOCKS, lock

JOURNAL = "journal.log"
_NAME = "search"  # of the one study in a journal
_WORKERS = "workers"  # folder of a file for each process


def open_study(folder: Path, maximize: bool, create: bool) -> Any:
    """Optuna's study of a folder. Raises: KeyError if there is none and none may be made."""
    optuna = optional_import("optuna", extra="search")
    optional_import("optuna.storages.journal", extra="search")
    logging.getLogger("optuna").setLevel(logging.ERROR)
    path = folder / JOURNAL
    guard: Any = _Lock(path) if HAS_LOCKS else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is experimental
        journal = optuna.storages.journal
        if guard is not None:
            guard.acquire()  # mends what a killed process has left, before anything is read
            guard.release()
        storage = journal.JournalStorage(journal.JournalFileBackend(str(path), lock_obj=guard))
        if create:
            direction = "maximize" if maximize else "minimize"
            return optuna.create_study(
                study_name=_NAME, storage=storage, direction=direction, load_if_exists=True
            )
        return optuna.load_study(study_name=_NAME, storage=storage)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Let one process at a time choose the next trial."""
    with open(folder / ".choosing", "a") as file:
        if HAS_LOCKS:
            lock(file)
        yield


class Worker:
    """A process that works on a search: a file that it keeps locked as long as it lives."""

    def __init__(self, folder: Path) -> None:
        self.name = secrets.token_hex(8)
        self._path = folder / _WORKERS / self.name
        self._path.parent.mkdir(exist_ok=True)
        self._file: IO[str] = open(self._path, "w")  # noqa: SIM115 - it stays open
        if HAS_LOCKS:
            lock(self._file)

    def close(self) -> None:
        """The work is over."""
        self._path.unlink(missing_ok=True)
        self._file.close()


def is_alive(folder: Path, name: str) -> bool:
    """Whether a worker's process still runs; where there are no locks, whether it has not ended properly."""
    path = folder / _WORKERS / name
    try:
        with open(path) as file:
            if not HAS_LOCKS:
                return True
            lock(file, wait=False)
            path.unlink(missing_ok=True)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


class _Lock:
    """A lock of a journal that the system lets go when its process is killed, unlike Optuna's own."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file: IO[Any] | None = None

    def acquire(self) -> bool:
        """Wait for the lock; then the journal is whole."""
        self._file = open(self._journal.with_suffix(".lock"), "a")  # noqa: SIM115 - `release` closes it
        lock(self._file)
        _cut_unfinished_line(self._journal)
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            self._file.close()


def _cut_unfinished_line(path: Path) -> None:
    """Remove what a process that was killed has left behind the last whole line."""
    try:
        with open(path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            if not end:
                return
            file.seek(end - 1)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
    except FileNotFoundError:
        return
