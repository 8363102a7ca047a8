"""Less than all of the data or of the time: limits on batches, overfitting a few of them, seconds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from xpnn.backend import ArgumentError

Limit = int | float | None


class Limited:
    """The first batches of a loader, in each pass; a pass that was left is gone on with, where that can be.

    Args:
        loader: the loader.
        count: how many.
    """

    def __init__(self, loader: Any, count: int) -> None:
        self.loader = loader
        self.count = count

    def __len__(self) -> int:
        length = length_of(self.loader)
        return self.count if length is None else min(self.count, length)

    def __iter__(self) -> Iterator[Any]:
        knows = knows_its_position(self.loader)
        start = self.loader.state_dict().get("position", 0) if knows else 0
        yield from first_batches(self.loader, max(self.count - start, 0))

    def __getattr__(self, name: str) -> Any:
        if name in ("loader", "count"):  # while it is being copied
            raise AttributeError(name)
        return getattr(self.loader, name)


def limited(loader: Any, limit: Limit, name: str) -> Any:
    """A loader with at most so many batches (an int), or with that part of them (a float up to 1.0)."""
    count = count_of(loader, limit, name)
    return loader if count is None else Limited(loader, count)


def first_batches(loader: Any, count: int | None) -> Iterator[Any]:
    """The first batches of a pass over a loader, or all of them; the next pass is a new epoch of it."""
    yield from itertools.islice(iter(loader), count)
    state = loader.state_dict() if count is not None and knows_its_position(loader) else {}
    if state.get("position"):  # it would go on with the batches that are left
        loader.load_state_dict(state | {"epoch": state["epoch"] + 1, "position": 0})


def count_of(loader: Any, limit: Limit, name: str) -> int | None:
    """How many batches of a loader a limit lets pass; None for all."""
    if limit is None or (isinstance(limit, float) and limit == 1.0):
        return None
    if isinstance(limit, int):
        return limit
    length = length_of(loader)
    if length is None:
        raise _error(
            f"expects {name} as a number of batches for a loader without a length, got {limit}",
            f"Give an integer: {name}=100",
        )
    count = int(length * limit)
    if limit and not count:
        raise _error(
            f"has no batch left: {name}={limit} of {length}", f"Give at least {name}={1 / length:.3g}"
        )
    return count


def check_limit(name: str, limit: Any) -> None:
    """Refuse what is neither a count nor a part."""
    fits = isinstance(limit, int | float) and not isinstance(limit, bool) and limit >= 0
    if limit is not None and (not fits or (isinstance(limit, float) and limit > 1)):
        raise _error(f"expects {name} as an integer >= 0 or a float in [0, 1], got {limit!r:.60}")


def seconds_of(time: Any) -> float | None:
    """Seconds of a timedelta, of "DD:HH:MM:SS", or of a dict of timedelta's arguments; None is no limit."""
    if time is None:
        return None
    try:
        if isinstance(time, str):
            days, hours, minutes, seconds = (int(part) for part in time.strip().split(":"))
            time = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        elif isinstance(time, Mapping):
            time = timedelta(**time)
        return float(time.total_seconds())
    except (AttributeError, TypeError, ValueError):
        raise _error(
            f"expects a time as a timedelta, a dict of its arguments, or 'DD:HH:MM:SS', got {time!r:.60}",
            "Half an hour is '00:00:30:00'",
        ) from None


def length_of(loader: Any) -> int | None:
    """The number of batches, if the loader knows it."""
    try:
        length = len(loader)
    except TypeError:
        return None
    return None if isinstance(length, float) and math.isinf(length) else length


def knows_its_position(loader: Any) -> bool:
    """Whether a loader can be resumed between two batches."""
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def repeated(loader: Iterable[Any], count: int) -> list[Any]:
    """The first batches of a loader, kept, so that each epoch has the same ones."""
    return list(itertools.islice(loader, count))


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
