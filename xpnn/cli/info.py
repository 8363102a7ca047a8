"""`xpnn info`: versions, which backends can be used, and what is tested of each function."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from xpnn.backend import show_versions

# Written from the rows of the tests by tests/function_table.py.
TABLE = Path(__file__).with_name("functions.csv")


def add_parser(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command `info`."""
    parser = commands.add_parser(
        "info",
        help="show versions and which backends are available",
        description="Show the versions of xpnn and Python, and of each backend, or why it cannot be used.",
    )
    parser.add_argument(
        "--functions",
        action="store_true",
        help="show every public function and module, on which backends and to which derivative it is tested",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    if arguments.functions:
        _show_functions()
    else:
        show_versions()
    return 0


def _show_functions() -> None:
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for place in sorted({row[0] for row in rows[1:]}):
        chosen = [row for row in rows if row[0] == place]
        print(f"{place}: {len(chosen)}, checked {sum(int(row[-1]) for row in chosen):,} times")
