"""CSV files: their columns as texts, and what counts as a missing value in them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from xpnn.backend import DataError

Columns = dict[str, list[str]]  # the cells of each column

_MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})  # in any case


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a value that is not there.

    >>> is_missing("N/A"), is_missing(" "), is_missing("0")
    (True, True, False)
    """
    return cell.strip().lower() in _MISSING


def read_csv(path: str | Path) -> Columns:
    """The columns of a CSV file whose first line has their names; separated by comma, semicolon or tab.

    Raises: DataError, naming the file and the line.
    """
    subject, path = f"'{path}'", Path(path)
    if not path.is_file():
        raise DataError(f"there is no table {subject}" if not path.exists() else f"{subject} is no file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            separator = max("\t;,", key=lambda sign: len(next(csv.reader([first], delimiter=sign), [])))
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"is no CSV file in UTF-8: {error}", subject=subject) from None
    if len(rows) < 2:
        raise DataError("has no row below its heading", subject=subject)
    (_, names), *rows = rows
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"has two columns '{twice[0]}'", subject=subject)
    for line, row in rows:
        if len(row) != len(names):
            raise DataError(
                f"has {len(row)} cells in line {line}, and {len(names)} in its heading", subject=subject
            )
    return {name: [row[i] for _, row in rows] for i, name in enumerate(names)}
