"""Locks between processes: the system lets them go when the process ends, in whatever way."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from xpnn.backend import ArgumentError

_fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
_NAME = ".xpnn-lock"

HAS_LOCKS = _fcntl is not None


def lock(file: IO[Any], wait: bool = True) -> None:
    """Lock an open file. Raises: OSError if another has it (with `wait=False`), or there are no locks."""
    if _fcntl is None:
        raise OSError("this system has no locks of files")
    _fcntl.flock(file, _fcntl.LOCK_EX | (0 if wait else _fcntl.LOCK_NB))


def has_name(file: IO[Any]) -> bool:
    """Whether an open file is still in a folder."""
    return os.fstat(file.fileno()).st_nlink > 0


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep a folder, which is made if it is missing, for this block alone.

    A file in it says which process has it. That of a process which has ended is taken over. Where a file
    system has no locks, nothing is kept.

    Raises: ArgumentError if another process, or another block of this one, has the folder; OSError if no file
    can be made in it.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with lock_folder(folder), lock_folder(folder):
    ...     pass
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.ArgumentError: ... is in use by process ...
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _NAME
    with _locked_file(path, folder) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _locked_file(path: Path, folder: Path) -> IO[str]:
    while True:
        file = open(path, "a+")  # noqa: SIM115 - the caller closes it
        try:
            lock(file, wait=False)
        except BlockingIOError:
            with file:
                file.seek(0)
                owner = file.read(200) or "another process"
            raise ArgumentError(
                f"is in use by {owner}",
                subject=f"'{folder}'",
                hint="Wait until it has ended, or choose another folder",
            ) from None
        except OSError:  # there are no locks
            return file
        if has_name(file):
            return file
        file.close()  # its owner has just ended, and removed it
