"""Where xpnn keeps what it has found out or compiled, from one process to the next."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """The user's own cache folder: $XDG_CACHE_HOME/xpnn, by default ~/.cache/xpnn.

    Raises: RuntimeError if the user has no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xpnn"
