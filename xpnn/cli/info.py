"""`xpnn info`: versions, which backends can be used, and what is tested of each function."""

from __future__ import annotations

import argparse
import csv
import platform
from pathlib import Path

from xpnn.backend import available_backends, show_versions
from xpnn.version import __version__

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
        with TABLE.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        arguments.console.result(functions=[dict(zip(rows[0], row)) for row in rows[1:]])
        if not arguments.json:
            _show_functions(rows)
    elif arguments.json:
        backends = {name: status._asdict() for name, status in available_backends().items()}
        arguments.console.result(xpnn=__version__, python=platform.python_version(), backends=backends)
    else:
        show_versions()
    return 0


def _show_functions(rows: list[list[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    for place in sorted({row[0] for row in rows[1:]}):
        chosen = [row for row in rows if row[0] == place]
        print(f"{place}: {len(chosen)}, checked {sum(int(row[-1]) for row in chosen):,} times")
