"""What a user's type checker knows of xpnn: tests/typing_program.py, read by `mypy --strict`."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("typing_program.py")

# Parts of the program in which something is Any as yet; one that has become right must leave this list.
ANY_AS_YET: set[str] = set()


@pytest.mark.slow
def test_a_users_program_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    options = ["--strict", "--follow-imports=silent", f"--cache-dir={tmp_path}", "--no-error-summary"]
    found = subprocess.run(
        [sys.executable, "-m", "mypy", *options, PROGRAM.name],
        cwd=PROGRAM.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    errors = re.findall(r"^[^:]+:(\d+): error: .*$", found.stdout, re.MULTILINE)
    assert bool(errors) == bool(found.returncode), found.stdout + found.stderr
    wrong = {part_of(int(line)) for line in errors}
    assert wrong == ANY_AS_YET, found.stdout


def part_of(line: int) -> str:
    """The function or class of the program in which a line stands."""
    parts = [n for n in ast.parse(PROGRAM.read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return next((part.name for part in parts if part.lineno <= line <= (part.end_lineno or 0)), "the imports")
