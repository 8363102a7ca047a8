"""Measures in text files: a line of JSON, or a row of a table, for each time that something is logged."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xpnn.backend import DTypeError
from xpnn.io import atomic_write
from xpnn.train.arguments import check_count
from xpnn.train.history import rows_of
from xpnn.train.hyperparameters import storable
from xpnn.train.loggers.base import Logger, plain


class _Table(Logger):
    """Rows that are kept, and written anew as a whole, so that a file is never half of a row."""

    file_name = ""

    def __init__(
        self,
        save_dir: str | Path = ".",
        name: str | None = "logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(save_dir, name, version, prefix)
        self.flush_logs_every_n_steps = check_count(
            flush_logs_every_n_steps, "flush_logs_every_n_steps", type(self).__name__
        )
        self.rows: list[dict[str, Any]] = []
        self.hparams: dict[str, Any] = {}

    @property
    def path(self) -> Path:
        """The file."""
        return self.log_dir / self.file_name

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row."""
        step = len(self.rows) if step is None else check_count(step, "step", type(self).__name__, 0)
        row = self._named(metrics)
        if lost := row.keys() - storable(row).keys():
            raise DTypeError(
                f"expects measures as numbers, got {row[min(lost)]!r:.60} as '{min(lost):.60}'",
                subject=type(self).__name__,
            )
        self.rows.append({"step": step, **row})
        if len(self.rows) % self.flush_logs_every_n_steps == 0:
            self.save()

    def log_hyperparams(self, params: Any, metrics: Mapping[str, Any] | None = None) -> None:
        """Write those that JSON has to `hparams.json`."""
        self.hparams |= storable(plain(params))
        with atomic_write(self.log_dir / "hparams.json") as file:
            file.write(json.dumps(self.hparams, indent=2).encode())

    def position(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def resume(self, step: int, position: int | None = None) -> None:
        """Go on with the rows that the file had when the run was saved."""
        check_count(step, "step", type(self).__name__, -1)
        if not self.rows and self.path.exists():
            self.rows = self._read()
        self.rows = [row for row in self.rows if row["step"] <= step][:position]

    def save(self) -> None:
        """Write the file."""
        if self.rows:
            with atomic_write(self.path) as file:
                file.write(self._text().encode())

    def _text(self) -> str:
        raise NotImplementedError

    def _read(self) -> list[dict[str, Any]]:
        raise NotImplementedError


class JSONLLogger(_Table):
    """Measures in `metrics.jsonl`, a JSON object in each line.

    Args:
        save_dir, name, version, prefix: see `Logger`.
        flush_logs_every_n_steps: after how many rows the file is written.
    """

    file_name = "metrics.jsonl"

    def _text(self) -> str:
        return "".join(json.dumps(row) + "\n" for row in self.rows)

    def _read(self) -> list[dict[str, Any]]:
        return rows_of(self.path)


class CSVLogger(_Table):
    """Measures in `metrics.csv`, a column for each; what was not measured at a step is empty there.

    Args:
        save_dir, name, version, prefix: see `Logger`.
        flush_logs_every_n_steps: after how many rows the file is written.
    """

    file_name = "metrics.csv"

    def _text(self) -> str:
        names = dict.fromkeys(name for row in self.rows for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def _read(self) -> list[dict[str, Any]]:
        with self.path.open(newline="") as file:
            return [
                {name: _number(text) for name, text in row.items() if text} for row in csv.DictReader(file)
            ]


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
