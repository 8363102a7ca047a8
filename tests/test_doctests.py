"""The examples in the docstrings, run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import xpnn

PACKAGE = Path(xpnn.__file__).parent
LEFT_OUT = ("kernels", "distributed", "__main__.py")  # they need libraries that may not be installed


def module_names() -> list[str]:
    files = [path.relative_to(PACKAGE.parent) for path in sorted(PACKAGE.rglob("*.py"))]
    parts = [path.with_suffix("").parts for path in files if path.parts[1] not in LEFT_OUT]
    return [".".join(name[:-1] if name[-1] == "__init__" else name) for name in parts]


@pytest.mark.parametrize("name", module_names())
def test_doctests(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what an example writes goes there
    for package in ("sklearn", "onnx"):
        if package in name.split("."):
            pytest.importorskip(package)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples failed"
