"""Where compiled code is kept from one process to the next.

Code is run as it is read, so that a damaged file would end the process and a forged one could do anything.
Hence a digest of all files beside them, and only folders into which nobody else can write.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from xpnn.backend.folders import user_cache
from xpnn.version import __version__

_PACKAGE = Path(__file__).parent
_DIGEST = "digest"  # the name of the file
_log = logging.getLogger("xpnn")


def cache_folder(name: str, sources: frozenset[str]) -> Path | None:
    """The folder for what is compiled from these files; None, after a warning, if none can be written.

    Args:
        name: of the function and its version.

    The folder bears a digest of the sources, because Numba itself looks only at the time and size of the one
    file that a function stands in, not at what the function calls.
    """
    root = _root()
    if root is None:
        return None
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(sources):
        digest.update(Path(path).read_bytes())
    return root / digest.hexdigest()[:12] / name


def is_sound(folder: Path) -> bool:
    """Whether the folder is there, with its files as they were when it was published."""
    try:
        return (folder / _DIGEST).read_text() == _digest_of(folder)
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def kept_in(folder: Path) -> Iterator[Path]:
    """The folder to read code from, or to write it to inside of the block.

    Where it is damaged or missing, what is written goes to a folder of this process alone, which takes its
    place when it is complete, unless another process comes first. Nothing is left of what is cut.

    Raises: OSError.
    """
    if is_sound(folder):
        yield folder
        return
    folder.parent.mkdir(exist_ok=True)
    written = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        yield written
        (written / _DIGEST).write_text(_digest_of(written))
        if not is_sound(folder):
            shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            written.rename(folder)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _digest_of(folder: Path) -> str:
    """Of the names and contents of Numba's files: indices (.nbi) and code (.nbc)."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.nb[ic]")):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _root() -> Path | None:
    """The first that can be used: beside the package, or in the user's own cache."""
    beside = _PACKAGE / "__pycache__"
    try:
        places = [beside, user_cache()]
    except RuntimeError:  # no home
        places = [beside]
    for folder in places:
        if _can_be_used(folder / "compiled"):
            return folder / "compiled"
    names = " and ".join(map(str, places))
    warn_not_kept(f"no folder there that this user alone can write to: {names}")
    return None


def cache_root() -> Path | None:
    """The folder of all compiled kernels, which is made if it is missing; None if there can be none."""
    return _root()


def warn_not_kept(reason: str) -> None:
    """Say that every process has to compile anew."""
    message = f"Compiled kernels are not kept on disk, and the next process compiles them again: {reason}."
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def announce() -> None:
    """Say why the first steps take seconds, once in a process."""
    _announce_once(_root())


@cache
def _announce_once(folder: Path | None) -> None:
    where = f", once; they are kept in {folder}" if folder is not None else ""
    _log.warning("xpnn: compiling kernels with Numba%s", where)


def _can_be_used(folder: Path) -> bool:
    """Whether we can write to it, or make it, and nobody else can."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return _is_private(folder.resolve())
    except OSError:
        return False


def _is_private(folder: Path) -> bool:
    """Whether nobody else, root aside, can write to it or put another one in its place.

    In a folder like /tmp everybody can make files, but not replace those of others: the sticky bit.
    """
    if not hasattr(os, "geteuid"):  # Windows: a user's folders are the user's own
        return True
    for place in (folder, *folder.parents):
        status = place.stat()
        if status.st_uid not in (0, os.geteuid()):
            return False
        sticky = place != folder and status.st_mode & stat.S_ISVTX
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
            return False
    return True
