"""Where compiled code is kept from one process to the next."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import warnings
from functools import cache
from pathlib import Path

from xpnn.backend.folders import user_cache
from xpnn.version import __version__

_PACKAGE = Path(__file__).parent
_log = logging.getLogger("xpnn")


def cache_folder(sources: frozenset[str]) -> Path | None:
    """The folder for what is compiled from these files; None, after a warning, if none can be written.

    It bears a digest of the files, because Numba itself looks only at the time and size of the one file that
    a function stands in, not at what the function calls.
    """
    root = _root()
    if root is None:
        return None
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(sources):
        digest.update(Path(path).read_bytes())
    return root / digest.hexdigest()[:12]


@cache
def _root() -> Path | None:
    """The first that can be written: beside the package, or in the user's own cache."""
    beside = _PACKAGE / "__pycache__"
    own = user_cache()
    for folder in (beside, own):
        if _can_be_written(folder):
            return folder / "compiled"
    warn_not_kept(f"neither {beside} nor {own} can be written")
    return None


def warn_not_kept(reason: str) -> None:
    """Say that every process has to compile anew."""
    message = f"Compiled kernels are not kept on disk, and the next process compiles them again: {reason}."
    warnings.warn(message, RuntimeWarning, stacklevel=2)


def announce(function: str, folder: Path | None) -> None:
    """Say why the first steps take seconds, once in a process, if `function` is not in the cache."""
    if folder is None or not any(folder.rglob(f"*.{function}-*.nbi")):
        _announce_once(_root())


@cache
def _announce_once(folder: Path | None) -> None:
    where = f", once; they are kept in {folder}" if folder is not None else ""
    _log.warning("xpnn: compiling kernels with Numba%s", where)


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
