"""`xpnn compare RUN...`: what runs had in common, what not, and what came of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from xpnn.backend import MissingDependencyError, printable
from xpnn.cli.record import Record, as_text, read_records
from xpnn.viz import plot_runs

_LARGE_IS_GOOD = ("accuracy", "f1", "auc", "iou", "r2")


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `compare`."""
    parser = commands.add_parser(
        "compare",
        help="compare runs in a table and a picture",
        description="Compare runs: the settings in which they differ, their measures after the last epoch "
        "and the best ones, and their curves in one picture. A folder of runs stands for all of them.",
    )
    parser.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="folders that `xpnn train` has left"
    )
    parser.add_argument("--sort", metavar="NAME", help="a column to sort by, such as val_loss (as given)")
    parser.add_argument("--log", action="store_true", help="logarithmic axes")
    parser.add_argument("--out", metavar="FILE", type=Path, help="the picture (compare.png)")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print the table and draw the picture."""
    console = arguments.console
    records = read_records(arguments.runs)
    rows = [_row(record, _differing(records)) for record in records]
    if arguments.sort:
        known = list(dict.fromkeys(name for row in rows for name in row))
        if arguments.sort not in known:
            arguments.parser.error(
                f"argument --sort: there is no column '{arguments.sort}': {', '.join(known)}"
            )
        rows.sort(key=lambda row: _order(row.get(arguments.sort)))
    console.result("\n".join(_table(rows)), runs=rows)
    out = arguments.out or Path("compare.png")
    try:
        plot_runs({record.name: record.history for record in records}, out, log=arguments.log)
    except MissingDependencyError as error:
        console.say(f"the picture is left out: {error}")
        return 0
    console.say(f"\n{printable(str(out))}")
    console.result(file=str(out))
    return 0


def _differing(records: list[Record]) -> list[str]:
    """The settings that are not the same in all runs."""
    names = list(dict.fromkeys(name for record in records for name in record.settings))
    return [name for name in names if len({as_text(record.settings.get(name)) for record in records}) > 1]


def _row(record: Record, settings: list[str]) -> dict[str, Any]:
    """A run: its settings, the measures of its last epoch, and the best of those on the test set."""
    row: dict[str, Any] = {"run": record.name}
    row |= {name: record.settings.get(name) for name in settings}
    row["epochs"] = record.history["epoch"][-1]
    for name, values in record.history.items():
        if name in ("epoch", "lr") or isinstance(values[-1], list):
            continue
        row[name] = values[-1]
        numbers = [value for value in values if isinstance(value, int | float)]
        if name.startswith("val_") and numbers:
            large = any(word in name for word in _LARGE_IS_GOOD)
            row[f"best {name}"] = max(numbers) if large else min(numbers)
    return row


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([printable(as_text(row.get(name))) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [
        "  ".join(
            f"{cell:{'<' if i == 0 else '>'}{width}}" for i, (cell, width) in enumerate(zip(line, widths))
        )
        for line in cells
    ]


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before texts, and what is missing last."""
    if value is None:
        return 2, ""
    return (0, value) if isinstance(value, int | float) else (1, str(value))
