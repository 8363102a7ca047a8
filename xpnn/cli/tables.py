"""Tables in CSV files: rows to train and test on, and how they become the network's input."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, CheckpointError, DataError, expect_state, is_flag, is_number, nearest
from xpnn.cli.settings import Settings
from xpnn.cli.split import stratified
from xpnn.data import TensorDataset
from xpnn.data.csv_file import Columns, is_missing, read_csv

_MOST_CATEGORIES = 64  # of a column; one with more, such as names, is left out
_MOST_CLASSES = 20  # of a target of whole numbers, unless --task says what it is
_MOST_FEATURES = 65_536
_LARGEST = 1e300
_EXAMPLES = 5  # rows that are kept to try the network on


@dataclass(frozen=True)
class Column:
    """How a column becomes numbers: standardised, with a flag where it is missing; or one-hot.

    Attributes:
        name: its heading.
        mean, std: of the training rows; None for categories.
        flagged: whether a second number tells that the value is missing.
        values: the categories; a missing or unknown one is all zeros.
    """

    name: str
    mean: float | None = None
    std: float | None = None
    flagged: bool = False
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        return len(self.values) if self.mean is None else 1 + self.flagged

    def encode(self, cells: Sequence[str]) -> np.ndarray:
        """(N, width), float32. Raises: DataError for what is no number in a column of numbers."""
        if self.mean is None or self.std is None:
            places = {value: i for i, value in enumerate(self.values)}
            one_hot = np.zeros((len(cells), len(self.values)), np.float32)
            for row, cell in enumerate(cells):
                if cell in places:
                    one_hot[row, places[cell]] = 1
            return one_hot
        numbers = np.array([_number(cell) for cell in cells], np.float64)
        missing = np.isnan(numbers)
        for row in np.flatnonzero(missing).tolist():
            if not is_missing(cells[row]):
                raise DataError(f"expects numbers, got {cells[row]!r:.60}", subject=f"column '{self.name}'")
        scaled = np.where(missing, 0, (numbers - self.mean) / self.std).astype(np.float32)
        parts = [scaled, missing.astype(np.float32)] if self.flagged else [scaled]
        return np.stack(parts, axis=1)


@dataclass(frozen=True)
class RowPreprocessing:
    """What turns rows into the network's input, and its output into a value; kept in the checkpoint.

    Attributes:
        columns: of the input.
        target: the name of the target's column.
        mean, std: of a target that is a number, in the training rows; None for classes.
    """

    columns: tuple[Column, ...]
    target: str
    mean: float | None = None
    std: float | None = None

    image_size = 1  # of networks for images, to which a row is one pixel of many channels

    @property
    def in_channels(self) -> int:
        """How many numbers a row becomes."""
        return sum(column.width for column in self.columns)

    def encode(self, columns: Columns, file: str) -> np.ndarray:
        """The input (N, in_channels), float32, of cells. Raises: DataError for a column that is not there."""
        for column in self.columns:
            if column.name not in columns:
                raise _no_column(column.name, columns, file)
        return np.concatenate([column.encode(columns[column.name]) for column in self.columns], axis=1)

    def in_unit(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the network in the unit of a target that is a number."""
        return outputs.astype(np.float64) * (self.std or 1.0) + (self.mean or 0.0)

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `from_config` goes back."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Any) -> RowPreprocessing:
        """What `to_config` made. Raises: CheckpointError for what it cannot have made."""

        def scale(value: Any) -> bool:
            return value is None or (is_number(value) and abs(value) <= _LARGEST)

        expect_state(
            config,
            "xpnn train",
            target=lambda value: isinstance(value, str),
            columns=lambda value: isinstance(value, list) and 0 < len(value) <= _MOST_FEATURES,
            mean=scale,
            std=lambda value: scale(value) and (value is None) == (config["mean"] is None) and value != 0,
        )
        columns = []
        for column in config["columns"]:
            expect_state(
                column,
                "xpnn train",
                name=lambda value: isinstance(value, str),
                mean=scale,
                std=lambda value: scale(value) and value != 0,
                flagged=is_flag,
                values=lambda value: (
                    isinstance(value, list)
                    and len(value) <= _MOST_CATEGORIES
                    and all(isinstance(word, str) for word in value)
                ),
            )
            if (column["mean"] is None) != (column["std"] is None):
                raise CheckpointError("cannot take this state: a mean without its std", subject="xpnn train")
            columns.append(Column(**{**column, "values": tuple(column["values"])}))
        return cls(tuple(columns), config["target"], config["mean"], config["std"])


@dataclass(frozen=True)
class Table:
    """Rows to train and to test on.

    Attributes:
        columns: cells of the input, by heading. target: cells of the target; none is missing.
        target_name: the heading of the target.
        train, test: positions of rows.
        classes: names of the target's classes; empty where it is a number.
        untested: classes of which there is no test row. notes: what was left out.
    """

    columns: Columns
    target: list[str]
    target_name: str
    train: np.ndarray
    test: np.ndarray
    classes: tuple[str, ...]
    untested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    unit = "rows"

    @property
    def size(self) -> str:
        """What a sample is like, for people."""
        return f"{len(self.columns)} columns"

    def held_out(self, seed: int) -> Table:
        """The training rows alone, divided again: a search leaves the test rows unseen."""
        train, test = self._divided(self.train, seed)
        return replace(self, train=train, test=test, untested=())

    def tested_whole(self, classes: tuple[str, ...]) -> Table:
        """All rows to test on, with the classes of a trained network."""
        unknown = [name for name in self.classes if name not in classes]
        if unknown:
            raise DataError(
                f"has the class '{unknown[0]:.60}', the network was trained on {', '.join(classes)}",
                subject=f"column '{self.target_name}'",
            )
        return replace(self, test=np.arange(len(self.target)), classes=classes)

    def _divided(self, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels = self._labels()[rows] if self.classes else np.zeros(len(rows), int)
        train, test = stratified(labels, seed)
        if not len(test) or not len(train):
            raise DataError(f"has {len(rows)} rows, too few to test on some of them", subject="the table")
        return rows[train], rows[test]

    def _labels(self) -> np.ndarray:
        places = {name: label for label, name in enumerate(self.classes)}
        return np.array([places[cell] for cell in self.target])

    def fit(self, settings: Settings) -> RowPreprocessing:
        """Measure the training rows."""
        columns = tuple(
            _fitted(name, [cells[row] for row in self.train]) for name, cells in self.columns.items()
        )
        if self.classes:
            return RowPreprocessing(columns, self.target_name)
        numbers = np.array([float(self.target[row]) for row in self.train])
        return RowPreprocessing(columns, self.target_name, float(numbers.mean()), _spread(numbers))

    def save_example(self, path: Path) -> Path:
        """Write a few test rows, with their targets, to a CSV file."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*self.columns, self.target_name])
            for row in self.test[:_EXAMPLES]:
                writer.writerow([*(cells[row] for cells in self.columns.values()), self.target[row]])
        return path

    def datasets(self, preprocessing: RowPreprocessing, settings: Settings) -> tuple[Any, Any]:
        """The training and the test set, as the network takes them."""
        inputs = preprocessing.encode(self.columns, "the table")
        if self.classes:
            targets = self._labels()
        else:
            numbers = np.array([float(cell) for cell in self.target])
            scaled = (numbers - (preprocessing.mean or 0.0)) / (preprocessing.std or 1.0)
            targets = scaled.astype(np.float32)[:, None]
        train, test = (TensorDataset(inputs[rows], targets[rows]) for rows in (self.train, self.test))
        return train, test


def load_table(settings: Settings) -> Table:
    """Open the table of a run, divided into training and test rows.

    Raises: DataError for a file that is no table; ArgumentError for a target that is not in it.
    """
    columns = read_csv(settings.data)
    if len(columns) < 2:
        raise DataError(f"has one column alone, '{next(iter(columns)):.60}'", subject=f"'{settings.data}'")
    name = settings.target or list(columns)[-1]
    if name not in columns:
        raise _no_column(name, columns, settings.data, "--target")
    notes = []
    known = [row for row, cell in enumerate(columns[name]) if not is_missing(cell)]
    if len(known) < len(columns[name]):
        notes.append(f"left out: {len(columns[name]) - len(known)} rows without '{name}'")
        columns = {heading: [cells[row] for row in known] for heading, cells in columns.items()}
    target = columns.pop(name)
    for heading in list(columns):
        kinds = {cell for cell in columns[heading] if not is_missing(cell)}
        if not kinds or (len(kinds) > _MOST_CATEGORIES and not _are_numbers(kinds)):
            reason = f"{len(kinds)} different texts" if kinds else "empty"
            notes.append(f"left out: column '{heading}' ({reason})")
            del columns[heading]
    if not target or not columns:
        raise DataError(
            "has no row" if not target else f"has no column to tell '{name}' from",
            subject=f"'{settings.data}'",
        )
    classes = _classes_of(target, settings)
    table = Table(columns, target, name, np.arange(len(target)), np.arange(0), classes, (), tuple(notes))
    train, test = table._divided(np.arange(len(target)), settings.seed)
    tested = {target[row] for row in test}
    untested = tuple(label for label in classes if label not in tested)
    return replace(table, train=train, test=test, untested=untested)


def _classes_of(target: list[str], settings: Settings) -> tuple[str, ...]:
    """The classes of a target, in order; empty for numbers."""
    different = set(target)
    numbers = _are_numbers(different)
    task = settings.task
    if task is None:
        whole = numbers and all(float(cell).is_integer() for cell in different)
        few = len(different) <= min(_MOST_CLASSES, len(target) // 2)
        task = "classification" if not numbers or (whole and few) else "regression"
    if task == "regression":
        if not numbers:
            wrong = next(cell for cell in target if not _are_numbers({cell}))
            raise ArgumentError(
                f"expects a column of numbers, got {wrong!r:.60} in it", subject="--task regression"
            )
        return ()
    if len(different) < 2:
        raise DataError(f"has one class alone, '{target[0]:.60}'", subject=f"'{settings.data}'")
    if len(different) > max(len(target) // 2, 2):
        raise ArgumentError(
            f"expects a column of classes, got {len(different)} different values in {len(target)} rows",
            subject="--target",
            hint="Name another one" + (", or give --task regression" if numbers else ""),
        )
    return tuple(sorted(different, key=lambda cell: (float(cell) if numbers else 0.0, cell)))


def _fitted(name: str, cells: list[str]) -> Column:
    known = [cell for cell in cells if not is_missing(cell)]
    if known and _are_numbers(set(known)):
        numbers = np.array([float(cell) for cell in known])
        return Column(name, float(numbers.mean()), _spread(numbers), len(known) < len(cells))
    return Column(name, values=tuple(sorted(set(known))))


def _spread(numbers: np.ndarray) -> float:
    """The standard deviation; 1 where there is none."""
    std = float(numbers.std())
    return std if std > 1e-12 * max(1.0, float(np.abs(numbers).max())) else 1.0


def _number(cell: str) -> float:
    """The number in a cell, NaN if there is none."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and abs(value) <= _LARGEST else math.nan


def _are_numbers(cells: Any) -> bool:
    return not any(math.isnan(_number(cell)) for cell in cells)


def _no_column(
    name: str, columns: Mapping[str, Any], file: str, option: str = ""
) -> ArgumentError | DataError:
    close = nearest(name, columns)
    hint = f"Did you mean '{close}'?" if close else f"There are: {', '.join(map(repr, columns))}"
    if option:
        return ArgumentError(f"expects a column of '{file}', got '{name}'", subject=option, hint=hint)
    return DataError(f"has no column '{name}'", subject=f"'{file}'", hint=hint)
