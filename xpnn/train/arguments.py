"""What callbacks and loggers ask of their arguments when they are made, not when a run has come to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.backend import ArgumentError, DTypeError
from xpnn.functional.arguments import number, whole


def check_count(value: Any, name: str, subject: str, least: int = 1) -> int:
    """`value` as an int of at least `least`.

    >>> check_count(3, "every_n_steps", "NaNGuard")
    3
    """
    count = whole(value, name, subject)
    if count < least:
        raise ArgumentError(f"expects {name} as an integer >= {least}, got {value!r:.60}", subject=subject)
    return count


def check_number(value: Any, name: str, subject: str, least: float = float("-inf")) -> float:
    """`value` as a float of at least `least`."""
    result = number(value, name, subject)
    if result < least:
        raise ArgumentError(f"expects {name} as a number >= {least:g}, got {value!r:.60}", subject=subject)
    return result


def check_text(value: Any, name: str, subject: str, or_none: bool = False) -> None:
    """Raise a DTypeError for what is no string."""
    if not isinstance(value, str) and not (or_none and value is None):
        raise DTypeError(f"expects {name} as a string, got {value!r:.60}", subject=subject)


def check_function(value: Any, name: str, subject: str, or_none: bool = False) -> None:
    """Raise a DTypeError for what cannot be called."""
    if not callable(value) and not (or_none and value is None):
        raise DTypeError(f"expects {name} as a function, got {value!r:.60}", subject=subject)


def optional(check: Callable[..., Any], value: Any, *args: Any) -> Any:
    """What `check` makes of the value; None stays None."""
    return None if value is None else check(value, *args)
