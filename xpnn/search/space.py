"""What a search may choose from: one range or list of values for each hyper-parameter."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xpnn.backend import ArgumentError, is_array, is_number, nearest

POINTS = 5  # of a range in a grid


@dataclass(frozen=True)
class Uniform:
    """A number between `low` and `high`, each equally likely; a grid has `points` of them.

    >>> Uniform(0, 0.5, points=3).grid()
    [0.0, 0.25, 0.5]
    """

    low: float
    high: float
    points: int = POINTS

    def __post_init__(self) -> None:
        _expect_range(self)

    def grid(self) -> list[float]:
        """The values of a grid, from low to high."""
        return [self.low + (self.high - self.low) * share for share in _shares(self.points)]

    def distribution(self, optuna: Any) -> Any:
        """Optuna's form of it."""
        return optuna.distributions.FloatDistribution(float(self.low), float(self.high))


@dataclass(frozen=True)
class LogUniform:
    """A number between `low` > 0 and `high` whose logarithm is uniform: for learning rates.

    >>> LogUniform(0.001, 0.1, points=3).grid()
    [0.001, 0.01, 0.1]
    """

    low: float
    high: float
    points: int = POINTS

    def __post_init__(self) -> None:
        _expect_range(self)
        if self.low <= 0:
            raise ArgumentError(f"expects low > 0, got {self.low}", subject="LogUniform")

    def grid(self) -> list[float]:
        """The values of a grid, from low to high, each the same factor above the one before."""
        values = [self.low * (self.high / self.low) ** share for share in _shares(self.points)]
        return [float(f"{value:.6g}") for value in values]

    def distribution(self, optuna: Any) -> Any:
        """Optuna's form of it."""
        return optuna.distributions.FloatDistribution(float(self.low), float(self.high), log=True)


@dataclass(frozen=True)
class Int:
    """A whole number from `low` to `high`, both included; a grid has at most `points` of them.

    >>> Int(1, 100, points=3).grid(), Int(2, 4).grid()
    ([1, 50, 100], [2, 3, 4])
    """

    low: int
    high: int
    points: int = POINTS

    def __post_init__(self) -> None:
        _expect_range(self)
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            raise ArgumentError(f"expects whole numbers, got {self.low} and {self.high}", subject="Int")

    def grid(self) -> list[int]:
        """The values of a grid, from low to high."""
        points = min(self.points, self.high - self.low + 1)
        return [round(self.low + (self.high - self.low) * share) for share in _shares(points)]

    def distribution(self, optuna: Any) -> Any:
        """Optuna's form of it."""
        return optuna.distributions.IntDistribution(self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of several values: numbers, strings, booleans or None.

    >>> Choice(["sgd", "adam"]).grid()
    ['sgd', 'adam']
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not hasattr(self.values, "__iter__"):
            raise ArgumentError(f"expects a list of values, got {self.values!r:.80}", subject="Choice")
        values: Any = self.values
        values = values.tolist() if is_array(values) else values
        object.__setattr__(self, "values", tuple(values) if isinstance(values, Iterable) else (values,))
        if not self.values:
            raise ArgumentError("expects at least one value, got none", subject="Choice")
        for value in self.values:
            if value is not None and not isinstance(value, bool | int | float | str):
                raise ArgumentError(
                    f"expects numbers, strings, booleans or None, got {value!r:.80}", subject="Choice"
                )

    def grid(self) -> list[Any]:
        """The values."""
        return list(self.values)

    def distribution(self, optuna: Any) -> Any:
        """Optuna's form of it."""
        return optuna.distributions.CategoricalDistribution(self.values)


Range = Uniform | LogUniform | Int | Choice
Space = Mapping[str, Range]

_KINDS: dict[str, type] = {"uniform": Uniform, "log-uniform": LogUniform, "int": Int, "choice": Choice}


def space_of(table: Mapping[str, Any], subject: str = "A search space") -> dict[str, Range]:
    """A space as configuration files write it.

    A list of values is a choice; else it is a table of one kind, with its two ends, or its values.

    >>> space_of({"lr": {"log-uniform": [0.001, 0.1]}, "optimizer": ["sgd", "adam"]})["lr"]
    LogUniform(low=0.001, high=0.1, points=5)

    Raises: ArgumentError, naming the parameter.
    """
    if not isinstance(table, Mapping) or not table:
        raise ArgumentError(f"expects a table of parameters, got {table!r:.80}", subject=subject)
    return {name: _range_of(value, f"{subject}: '{name}'") for name, value in table.items()}


def grid_of(space: Space) -> list[dict[str, Any]]:
    """All combinations of the grids of a space; the last parameter changes first."""
    return [dict(zip(space, values)) for values in itertools.product(*(r.grid() for r in space.values()))]


def as_json(space: Space) -> dict[str, Any]:
    """JSON-ready, to tell one space from another."""
    return {name: {"kind": type(range_).__name__, **asdict(range_)} for name, range_ in space.items()}


def _range_of(value: Any, subject: str) -> Range:
    if isinstance(value, Uniform | LogUniform | Int | Choice):
        return value
    if isinstance(value, list | tuple):
        value = {"choice": value}
    if not isinstance(value, Mapping):
        raise ArgumentError(
            f"expects a list of values, or a table such as {{uniform = [0, 1]}}, got {value!r:.80}",
            subject=subject,
        )
    given = {key.replace("_", "-"): item for key, item in value.items()}
    points = given.pop("points", None)
    if len(given) != 1 or next(iter(given)) not in _KINDS:
        close = nearest(next(iter(given), ""), _KINDS)
        raise ArgumentError(
            f"expects one of {', '.join(_KINDS)}, got {', '.join(given) or 'nothing'}",
            subject=subject,
            hint=f"Did you mean {close}?" if close else "",
        )
    ((kind, ends),) = given.items()
    options = {} if points is None else {"points": points}
    try:
        if kind == "choice":
            return Choice(ends, **options)
        low, high = ends
        return _KINDS[kind](low, high, **options)
    except ArgumentError as error:
        raise ArgumentError(f"{error.problem}", subject=subject) from None
    except (TypeError, ValueError):
        expected = "a list of values, and no points" if kind == "choice" else "two ends, [low, high]"
        raise ArgumentError(f"expects {expected}, got {ends!r:.80}", subject=subject) from None


def _expect_range(range_: Uniform | LogUniform | Int) -> None:
    subject = type(range_).__name__
    if not (is_number(range_.low) and is_number(range_.high) and range_.low <= range_.high):
        raise ArgumentError(
            f"expects numbers low <= high, got {range_.low!r:.40} and {range_.high!r:.40}", subject=subject
        )
    if not isinstance(range_.points, int) or isinstance(range_.points, bool) or range_.points < 1:
        raise ArgumentError(f"expects points >= 1, got {range_.points!r:.40}", subject=subject)


def _shares(points: int) -> list[float]:
    """Numbers from 0 to 1; one alone is in the middle."""
    return [0.5] if points == 1 else [i / (points - 1) for i in range(points)]
