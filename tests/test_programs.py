"""Programs as PyTorch's users write them: one source runs on both, its import lines changed.

They take their initial weights, noise and data from NumPy's generators, so that both compute the same losses.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def main_of(path: Path, library: str) -> Callable[[], list[float]]:
    """The program's `main`, with its import lines changed from torch to `library`."""
    lines = [
        changed(line, library) if re.match(r"(import|from) torch\b", line) else line
        for line in path.read_text().splitlines()
    ]
    names: dict[str, object] = {"__name__": path.stem}
    exec(compile("\n".join(lines), str(path), "exec"), names)
    return names["main"]  # type: ignore[return-value]


def changed(line: str, library: str) -> str:
    """An import line of PyTorch as one of `library`.

    >>> changed("import torch", "xpnn"), changed("from torch.nn import Linear", "xpnn")
    ('import xpnn as torch', 'from xpnn.nn import Linear')
    """
    if line == "import torch":
        return f"import {library} as torch"
    moved = re.sub(r"^(import|from) torch\b", rf"\1 {library}", line)
    return moved if " as " in moved or moved.startswith("from") else f"{moved}; import {library} as torch"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_losses_are_those_of_pytorch(path: Path) -> None:
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, of old names
        expected = main_of(path, "torch")()
    np.testing.assert_allclose(main_of(path, "xpnn")(), expected, rtol=2e-3, atol=1e-4)
