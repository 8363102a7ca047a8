"""The table that `xpnn info --functions` prints is that of the rows of today."""

from __future__ import annotations

import csv

import pytest
from function_table import HEAD, lines, text

from xpnn.cli import main
from xpnn.cli.info import TABLE


def test_the_table_is_up_to_date() -> None:
    with TABLE.open(newline="", encoding="utf-8") as file:
        written = [tuple(row) for row in csv.reader(file)]
    assert written == [HEAD, *map(text, lines())], "run python tests/function_table.py"


def test_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--functions"]) == 0
    printed = capsys.readouterr().out
    assert "conv2d" in printed
    assert printed.count("\n") == len(lines()) + 1 + len({line[0] for line in lines()})
