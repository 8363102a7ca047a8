"""What a run has measured, epoch by epoch."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xpnn.backend import ArgumentError, DTypeError, is_array, is_count, path_of
from xpnn.io import atomic_write


class History(dict[str, list[Any]]):
    """One list of numbers per measure: `history["val_loss"]`; `history["epoch"]` counts from 1.

    A measure that an epoch lacks is None there.

    >>> history = History()
    >>> history.add({"epoch": 1, "loss": 0.5})
    >>> history.add({"epoch": 2, "loss": 0.25, "val_loss": 0.75})
    >>> history
    epoch  loss  val_loss
        1   0.5         -
        2  0.25      0.75
    >>> history["val_loss"]
    [None, 0.75]
    >>> history.rows()[0]
    {'epoch': 1, 'loss': 0.5}
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__()
        if isinstance(rows, str | bytes | Mapping) or is_array(rows) or not isinstance(rows, Iterable):
            raise DTypeError(f"expects a row of measures for each epoch, got {rows!r:.60}", subject="History")
        for row in rows:
            self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Append the measures of one epoch."""
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise DTypeError(f"expects measures by name, got {row!r:.60}", subject="History")
        length = max((len(values) for values in self.values()), default=0)
        for name in row:
            self.setdefault(name, [None] * length)
        for name, values in self.items():
            values.append(row.get(name))

    def __repr__(self) -> str:
        columns = [[name, *map(_shown, values)] for name, values in self.items()]
        widths = [max(map(len, column)) for column in columns]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in zip(*columns)]
        return "\n".join(lines) or f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        if not self:
            return f"<p>{type(self).__name__}()</p>"
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self)
        lines = zip(*([_shown(value) for value in values] for values in self.values()))
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>" for line in lines
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def rows(self) -> list[dict[str, Any]]:
        """The measures epoch by epoch."""
        length = max((len(values) for values in self.values()), default=0)
        return [
            {name: values[i] for name, values in self.items() if values[i] is not None} for i in range(length)
        ]

    def write(self, path: str | Path) -> None:
        """Write a JSONL file: a JSON object per line, one for each epoch."""
        path = path_of(path, "path", "History.write")
        try:
            lines = [json.dumps(row).encode() + b"\n" for row in self.rows()]
        except (TypeError, ValueError) as error:
            raise DTypeError(f"has measures that are no numbers: {error}", subject="History.write") from error
        with atomic_write(path) as file:
            file.writelines(lines)

    @staticmethod
    def read(path: str | Path) -> History:
        """The history that `write` wrote."""
        return History(rows_of(path_of(path, "path", "History.read")))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file.

    Raises: ArgumentError for a line that is no JSON object.
    """
    rows = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise ArgumentError(f"has no measures in line {number}: {line!r:.60}", subject=f"'{path}'")
        rows.append(row)
    return rows


def _shown(value: Any) -> str:
    """A measure in a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else f"{value!s:.24}"


def is_history(rows: Any) -> bool:
    """Whether a value is what `History.rows` returns: dicts of numbers, or of nested lists of them."""
    return isinstance(rows, list) and all(
        isinstance(row, dict) and is_count(row.get("epoch")) and all(map(_is_measure, row.values()))
        for row in rows
    )


def _is_measure(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_measure, value))
    return isinstance(value, int | float)
