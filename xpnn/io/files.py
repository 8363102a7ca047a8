"""Writing a file so that an interruption never damages the one that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` only once it is complete and on the disk.

    It is written under another name in the same folder, flushed to the disk and renamed, which is one
    indivisible step of the file system. After an error or a power cut the old file is as it was. Folders
    that are missing are made.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "numbers.bin")
    >>> with atomic_write(path) as file:
    ...     _ = file.write(b"123")
    >>> path.read_bytes(), [file.name for file in path.parent.iterdir()]
    (b'123', ['numbers.bin'])
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(unfinished, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, on systems that let folders be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
