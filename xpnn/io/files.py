"""Writing a file so that neither an interruption nor another process damages the one that is there."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from xpnn.backend import ArgumentError, errors_naming, path_of
from xpnn.io.locks import HAS_LOCKS, has_name, lock

_PREFIX, _SUFFIX = ".xpnn-", ".tmp"  # of a file that is being written


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is complete and on the disk.

    It is written under another name in the same folder, flushed to the disk and renamed, which is one
    indivisible step of the file system. After an error or a power cut the old file is as it was; of several
    writers each leaves a whole file, and the last one's stays. The permissions of the old file are kept, a
    symbolic link stays one, folders that are missing are made, and what writers that were killed have left
    in the folder is removed.

    Raises: ArgumentError for a path that is a folder, a device or a pipe; OSError, naming the path.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "numbers.bin")
    >>> with atomic_write(path) as file:
    ...     _ = file.write(b"123")
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'123', ['numbers.bin'])
    """
    target = Path(os.path.realpath(path_of(path, "path", "writing a file")))
    unfinished = target.parent / (_PREFIX + secrets.token_hex(8) + _SUFFIX)
    try:
        with errors_naming(path, target, unfinished):
            mode = _mode_of(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target.parent)
            with _create(unfinished, mode) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if not HAS_LOCKS:
                    file.close()  # Windows renames no open file
                os.replace(unfinished, target)
    finally:
        with suppress(OSError):
            os.unlink(unfinished)
    _sync_folder(target.parent)


def _mode_of(target: Path) -> int | None:
    """The permissions of the file that is to be replaced; None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise ArgumentError(
            "cannot be written: it is a folder, a device or a pipe",
            subject=f"'{target}'",
            hint="Give the path of a file",
        )
    return stat.S_IMODE(status.st_mode)


def _create(path: Path, mode: int | None) -> BinaryIO:
    """A new file, locked so that the `_sweep` of others leaves it alone while this process lives."""

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, 0o666 if mode is None else 0o600)  # never more open than it will be

    while True:
        file = open(path, "xb", opener=create)  # noqa: SIM115 - the caller closes it
        try:
            with suppress(OSError):  # where there are no locks, `_sweep` removes nothing
                lock(file)
            if has_name(file):  # else somebody's `_sweep` was faster than the lock
                if mode is not None:
                    os.chmod(path, mode)
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _sweep(folder: Path) -> None:
    """Remove the unfinished files that nobody has locked: their writers are no more."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX) and entry.is_file(follow_symlinks=False):
                with suppress(OSError), open(entry.path, "rb") as file:
                    lock(file, wait=False)
                    os.unlink(entry.path)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, on systems that let folders be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
