"""Tables: rows of numbers and categories from CSV and NPZ files, ready for a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, DataError, ShapeError, path_of, to_numpy
from xpnn.data.collate import default_convert
from xpnn.data.csv_file import is_missing, read_csv
from xpnn.data.dataset import Subset, TensorDataset

__all__ = ["TabularDataset"]


class TabularDataset(TensorDataset):
    """The rows of a table as samples of (features, target), from CSV or NPZ files, or from columns in memory.

    Args:
        source: a .csv or .tsv file with names in its first line, a .npz file of columns, or a dict of them.
        target: the name of the column to predict; None gives samples (features,).
        categories: the names of columns that hold categories though they look like numbers; columns with
            any other text do so by themselves.
        task: "classification" makes classes 0, 1, ... of the target, in sorted order; "regression" takes
            its numbers; None is classification for a target of categories, regression for numbers.
        drop: names of columns to leave out.
        like: another `TabularDataset` of such a table, whose statistics, categories and classes are taken:
            for the test part, so that nothing of it leaks into training.
        standardize: bring columns of numbers to mean 0 and standard deviation 1.

    Missing values (empty, ?, NA, N/A, NaN, null, None): a number becomes the column's mean, and a column that
    has any gets a second feature, 1 where it was missing; a category becomes one of its own. Columns of
    categories become one feature for each, 0 or 1; one that `like` has not seen is 0 in all. Rows without a
    target are left out.

    Samples are float32 (features,) and int64 or, in regression, float32 (1,). `feature_names`, `columns`
    (what was fitted to each), `classes`, `task` and `dropped` (rows without a target) describe them.

    Raises: DataError for a file that is missing or no table, with the line; ArgumentError for names that
    there are not; ShapeError for columns of different lengths.

    >>> table = {"size": [1.0, 3.0, None], "kind": ["a", "b", "a"], "price": [10.0, 20.0, 30.0]}
    >>> rows = TabularDataset(table, target="price")
    >>> rows.feature_names
    ['size', 'size is missing', 'kind=a', 'kind=b']
    >>> rows[0]
    (tensor([-1.,  0.,  1.,  0.]), tensor([10.]))
    """

    target: str | None
    task: str | None
    table_names: list[str]
    columns: list[_Column]
    classes: list[str]

    def __init__(
        self,
        source: str | Path | Mapping[str, Any],
        target: str | None = None,
        *,
        categories: Iterable[str] = (),
        task: str | None = None,
        drop: Iterable[str] = (),
        like: TabularDataset | None = None,
        standardize: bool = True,
    ) -> None:
        if task not in (None, "classification", "regression"):
            raise _error(f"expects task as 'classification' or 'regression', got {task!r}")
        table = _columns_of(source)
        categories, drop = set(categories), set(drop)
        if like is not None:
            target, task, drop = like.target, like.task, drop | (set(table) - set(like.table_names))
            categories = {column.name for column in like.columns if column.values is not None}
        wanted = {*categories, *drop, *([] if target is None else [target])}
        wanted |= set(like.table_names) if like is not None else set()
        if lacking := sorted(wanted - set(table) - (drop if like is not None else set())):
            raise _error(f"has no column {', '.join(map(repr, lacking))}; it has {', '.join(table)}")
        table = {name: values for name, values in table.items() if name not in drop}
        self.table_names = list(table)
        self.target = target
        self.standardize = standardize
        self.dropped = 0
        goal = None
        if target is not None:
            goal = table.pop(target)
            there = np.array([not _is_missing(value) for value in goal], dtype=bool)
            self.dropped = int(np.count_nonzero(~there))
            goal = [value for value in goal if not _is_missing(value)]
            table = {name: [v for v, kept in zip(values, there) if kept] for name, values in table.items()}
        count = len(goal) if goal is not None else len(next(iter(table.values()), []))
        if not count or not table:
            raise DataError(
                f"has no rows of features{'' if target is None else ' with a target'}",
                subject="TabularDataset",
            )
        if like is None:
            self.columns = [
                _Column.fit(name, values, name in categories, standardize) for name, values in table.items()
            ]
        else:
            self.columns = like.columns
        self.feature_names = [name for column in self.columns for name in column.features]
        features = np.concatenate([column.encode(table[column.name]) for column in self.columns], axis=1)
        parts = [default_convert(features)]
        self.classes = []
        self.task = task
        if goal is not None:
            parts.append(default_convert(self._targets(goal, like)))
        super().__init__(*parts)

    def split(self, fraction: float = 0.8, seed: int = 0) -> tuple[Any, Any]:
        """Two parts at random, each (features, target) as a dataset, standardised by the first part alone.

        >>> rows = TabularDataset({"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": [0.0, 1.0, 0.0, 1.0, 0.0]}, "y")
        >>> [len(part) for part in rows.split(0.6)]
        [3, 2]
        """
        count = len(self)
        first = round(count * fraction)
        if not 0 < first < count:
            raise _error(f"expects a fraction that leaves samples in both parts, got {fraction} of {count}")
        order = np.random.default_rng(seed).permutation(count)
        features = to_numpy(self.tensors[0]).astype(np.float64)
        features = _refitted(features, order[:first], self.columns, self.standardize)
        whole = TensorDataset(default_convert(features), *self.tensors[1:])
        return Subset(whole, order[:first].tolist()), Subset(whole, order[first:].tolist())

    def _targets(self, goal: list[Any], like: TabularDataset | None) -> np.ndarray:
        numbers = _numbers(goal)
        if self.task is None:
            self.task = "classification" if numbers is None else "regression"
        if self.task == "regression":
            if numbers is None:
                raise DataError(
                    f"expects numbers in the target column {self.target!r}", subject="TabularDataset"
                )
            return numbers.astype(np.float32)[:, None]
        texts = [_text(value) for value in goal]
        self.classes = sorted(set(texts), key=_by_number) if like is None else like.classes
        number = {name: k for k, name in enumerate(self.classes)}
        if unknown := sorted(set(texts) - set(number)):
            raise DataError(
                f"has a target {unknown[0]!r} that is none of the classes {', '.join(self.classes)}",
                subject="TabularDataset",
            )
        return np.array([number[text] for text in texts], dtype=np.int64)


@dataclass
class _Column:
    """What was fitted to a column, and how it becomes features.

    Attributes:
        values: the categories, or None for numbers.
        mean: of the numbers that are there, which stands for those that are not.
        shift, std: what is subtracted, and then divided by.
        marks: whether there is a feature for missing numbers.
    """

    name: str
    values: list[str] | None = None
    mean: float = 0.0
    shift: float = 0.0
    std: float = 1.0
    marks: bool = False

    @classmethod
    def fit(cls, name: str, values: Sequence[Any], is_category: bool, standardize: bool) -> _Column:
        """Numbers if all that are there can be read as such."""
        numbers = None if is_category else _numbers(values)
        if numbers is None:
            return cls(name, sorted({_text(value) for value in values}, key=_by_number))
        there = numbers[np.isfinite(numbers)]
        mean = float(there.mean()) if len(there) else 0.0
        std = float(there.std()) if len(there) and standardize else 1.0
        return cls(name, None, mean, mean if standardize else 0.0, std or 1.0, len(there) < len(numbers))

    @property
    def features(self) -> list[str]:
        """The names of the features."""
        if self.values is not None:
            return [f"{self.name}={value or 'missing'}" for value in self.values]
        return [self.name, f"{self.name} is missing"] if self.marks else [self.name]

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        """The features (rows, features) of a column of such a table."""
        if self.values is not None:
            texts = np.array([_text(value) for value in values], dtype=object)
            return (texts[:, None] == np.array(self.values, dtype=object)).astype(np.float32)
        numbers = _numbers(values)
        if numbers is None:
            raise DataError(
                f"expects numbers in column {self.name!r}, as where it was fitted", subject="TabularDataset"
            )
        missing = ~np.isfinite(numbers)
        scaled = (np.where(missing, self.mean, numbers) - self.shift) / self.std
        parts = [scaled, missing.astype(np.float64)] if self.marks else [scaled]
        return np.stack(parts, axis=1).astype(np.float32)


def _columns_of(source: Any) -> dict[str, list[Any]]:
    """A table's columns by their names, as lists of numbers, texts and None."""
    if isinstance(source, Mapping):
        table = {str(name): _listed(values, str(name)) for name, values in source.items()}
    else:
        read: Callable[[Any], dict[str, list[Any]]]
        read = _read_npz if path_of(source, "source", "TabularDataset").suffix.lower() == ".npz" else read_csv
        table = read(source)
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"expects columns of one length, got {lengths}", subject="TabularDataset")
    if not table:
        raise DataError("has no columns", subject="TabularDataset")
    return table


def _read_npz(source: str | Path) -> dict[str, list[Any]]:
    """Columns (n,), and matrices (n, k) as k columns with a number after their name."""
    path = Path(source)
    if not path.is_file():
        raise DataError(f"there is no table '{source}'")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # NumPy reports damaged files in many ways
        raise DataError(f"cannot be read as an NPZ file: {error}", subject=str(path)) from error
    table: dict[str, list[Any]] = {}
    for name, array in arrays.items():
        if array.ndim == 2:
            table |= {f"{name}[{k}]": array[:, k].tolist() for k in range(array.shape[1])}
        else:
            table[name] = _listed(array, name)
    return table


def _listed(values: Any, name: str) -> list[Any]:
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if not isinstance(listed, list) or any(isinstance(value, list | tuple) for value in listed):
        raise ShapeError(f"expects one value a row in column {name!r}", subject="TabularDataset")
    return listed


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return isinstance(value, str) and is_missing(value)


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Values as float64, NaN where they are missing; None if one is no number."""
    try:
        return np.array([math.nan if _is_missing(value) else float(value) for value in values])
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    """A category as text; "" stands for a missing one, and whole numbers have no decimals."""
    if _is_missing(value):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _by_number(text: str) -> tuple[bool, float, str]:
    """Numbers in their order, then texts in theirs."""
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _refitted(
    features: np.ndarray, rows: np.ndarray, columns: list[_Column], standardize: bool
) -> np.ndarray:
    """Features whose columns of numbers are standardised by some rows alone."""
    place = 0
    features = features.copy()
    for column in columns:
        if column.values is None and standardize:
            there = features[rows, place]
            if column.marks:
                there = there[features[rows, place + 1] == 0]
            mean, std = (there.mean(), there.std() or 1.0) if len(there) else (0.0, 1.0)
            features[:, place] = (features[:, place] - mean) / std
            if column.marks:
                features[features[:, place + 1] == 1, place] = 0.0
        place += len(column.features)
    return features.astype(np.float32)


def _error(problem: str) -> ArgumentError:
    return ArgumentError(problem, subject="TabularDataset")
