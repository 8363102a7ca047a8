"""The switch for the kernels of the NumPy backend that the optional package Numba compiles."""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import cache

from xpnn.backend.errors import ArgumentError

_INSTALL = "Install it with: pip install 'xpnn[numba]'"

_mode: bool | str = {"0": False, "1": True}.get(os.environ.get("XPNN_NUMBA", "auto"), "auto")
_failed = False  # since when plain NumPy does the work whatever the mode


def set_numba(mode: bool | str) -> None:
    """Choose whether the NumPy backend uses kernels that Numba compiles, where there are any.

    They are compiled at their first use, once for a machine: what is compiled is kept on disk. The
    environment variable XPNN_NUMBA, with "auto", "1" or "0", sets the mode that a process starts with.

    Args:
        mode: "auto" (the default) uses them if Numba is installed; True does too, and warns if it isn't;
            False leaves all work to plain NumPy.

    Raises: ArgumentError for another mode.

    >>> before = get_numba()
    >>> set_numba(False)
    >>> numba_enabled()
    False
    >>> set_numba(before)
    """
    global _mode
    if not (isinstance(mode, bool) or mode == "auto"):
        raise ArgumentError(f"expects True, False or 'auto', got {mode!r}", subject="set_numba")
    _mode = mode
    if mode is True:
        numba_installed()


def get_numba() -> bool | str:
    """The mode that `set_numba` was last called with."""
    return _mode


def numba_enabled() -> bool:
    """Whether kernels that need Numba are to be used now."""
    return _mode is not False and not _failed and numba_installed()


def numba_installed() -> bool:
    """Whether Numba can be found; it is not imported. Without it, mode True warns, once."""
    installed = _find_numba()
    if not installed and _mode is True:
        give_up("Numba is not installed", _INSTALL)
    return installed


def give_up(reason: str, hint: str = "") -> None:
    """Leave all work to plain NumPy from now on, with one warning that says why."""
    global _failed
    if not _failed:
        _failed = True
        message = f"Compiled kernels are off, plain NumPy is used: {reason}."
        warnings.warn(f"{message} {hint}".rstrip(), RuntimeWarning, stacklevel=2)


@cache
def _find_numba() -> bool:
    return importlib.util.find_spec("numba") is not None
