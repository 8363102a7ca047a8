"""How exact results of float32 have to be: to the last digits, or as near as fast algorithms come."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from xpnn.backend.errors import ArgumentError
from xpnn.backend.scope import remove_last, scoped

_LEVELS = ("fast", "exact")


class _Local(threading.local):
    held: str | None = None  # comes before all others

    def __init__(self) -> None:
        self.stack: list[list[str]] = []


_local = _Local()
_process_default = "fast"


def set_precision(level: str) -> None:
    """Choose between speed and the last digits in operations on float32, in the whole process.

    Args:
        level: "fast", the default: algorithms whose error is up to 1e-5 of the largest result (convolutions
            of 3x3 by Winograd's method, on NumPy); or "exact": plain sums alone, whose error is about 1e-6.
            Other element types are always exact. The fast ones compute tiles of outputs together, so that
            one NaN or infinity makes NaN of a whole tile, also of outputs that do not see it.

    Raises: ArgumentError for another level.

    >>> set_precision("exact")
    >>> get_precision()
    'exact'
    >>> set_precision("fast")
    """
    global _process_default
    _process_default = _checked(level, "set_precision")


@scoped
def use_precision(level: str) -> Iterator[None]:
    """Choose between speed and the last digits inside of a `with` block, in this thread only.

    >>> with use_precision("exact"):
    ...     get_precision()
    'exact'
    """
    stack, entry = _local.stack, [_checked(level, "use_precision")]
    stack.append(entry)
    try:
        yield
    finally:
        remove_last(stack, entry)


def hold_precision(level: str | None) -> str | None:
    """Make the level in force one that no block changes, in this thread; None lets it go. What was held."""
    before, _local.held = _local.held, level
    return before


def get_precision() -> str:
    """The level in force (see `set_precision`)."""
    if _local.held is not None:
        return _local.held
    return _local.stack[-1][0] if _local.stack else _process_default


def _checked(level: str, subject: str) -> str:
    if level not in _LEVELS:
        raise ArgumentError(f"expects {' or '.join(map(repr, _LEVELS))}, got {level!r}", subject=subject)
    return level
