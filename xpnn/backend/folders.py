"""Paths that a user gives, and where xpnn keeps what it has found out or compiled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from xpnn.backend.errors import DTypeError


def user_cache() -> Path:
    """The user's own cache folder: $XDG_CACHE_HOME/xpnn, by default ~/.cache/xpnn.

    Raises: RuntimeError if the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xpnn"


def path_of(value: Any, name: str, subject: str) -> Path:
    """`value` as a path; a number is none, though `open` takes it for a file that is open already.

    >>> path_of("runs/1", "root", "ImageFolder").name
    '1'
    """
    if not isinstance(value, str | os.PathLike):
        raise DTypeError(f"expects {name} as a path, got {value!r:.60}", subject=subject)
    return Path(value)
