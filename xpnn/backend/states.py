"""Checks of a `state_dict` before the first of its values is taken over: it may come from a forged file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.backend.errors import CheckpointError


def expect_state(state: Any, subject: str, **fields: Callable[[Any], bool]) -> None:
    """Raise CheckpointError unless a state is a dict whose values pass the tests of their names.

    >>> expect_state({"epoch": -1}, "Trainer", epoch=is_count)
    Traceback (most recent call last):
        ...
    xpnn.backend.errors.CheckpointError: Trainer cannot take this state: its 'epoch' is -1
    """
    if not isinstance(state, dict):
        raise CheckpointError(f"cannot take a {type(state).__name__} as its state", subject=subject)
    for name, test in fields.items():
        if name not in state:
            raise CheckpointError(f"cannot take this state: it has no '{name}'", subject=subject)
        if not test(state[name]):
            raise CheckpointError(
                f"cannot take this state: its '{name}' is {_shown(state[name])}", subject=subject
            )


def is_count(value: Any) -> bool:
    """Whether a value is an integer >= 0 that a counter of 64 bits holds."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number(value: Any) -> bool:
    """Whether a value is a finite Python number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_flag(value: Any) -> bool:
    """Whether a value is True or False."""
    return isinstance(value, bool)


def _shown(value: Any) -> str:
    simple = value is None or isinstance(value, bool | int | float | str)
    return f"{value!r:.80}" if simple else f"a {type(value).__name__}"
