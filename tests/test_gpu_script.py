"""ci/gpu.sh without a GPU: every part's code, on the stand-in for CuPy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cuda_on_cpu
import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("agreement", "suite", "trajectories", "replay", "graphs", "sanitizer", "speed", "ceilings")

pytestmark = pytest.mark.skipif(cuda_on_cpu.compiler() is None, reason="needs Linux and g++")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "ci" / "gpu.sh"), *words]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_the_dry_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    done = run("--dry-run", "--results", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.partition("== summary\n")[2]
    assert [line.split()[:2] for line in summary.splitlines()] == [[f"{part}:", "passed"] for part in PARTS]
    assert (tmp_path / "results.txt").read_text() == done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == set(PARTS)
    rows = [row for part in PARTS for row in results[part]]
    assert not [row for row in rows if "wrong" in row or "left out" in row]
    assert results["suite"][0]["tests"] > results["suite"][0]["skipped"]
    assert {row["name"] for row in results["speed"]} == {"mlp xpnn, CuPy", "mlp PyTorch"}


def test_a_part_that_is_wrong_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "ci"))
    import gpu
    from on_gpu.setting import beyond

    rows = [{"name": "right", **beyond(0.1, 1.0)}, {"name": "wrong", **beyond(float("nan"), 1.0)}]
    monkeypatch.setitem(gpu.PARTS, "agreement", lambda setting: iter(rows))
    assert gpu.main(["agreement", "--results", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "results.json").read_text()) == {"agreement": rows}
    monkeypatch.setitem(gpu.PARTS, "agreement", lambda setting: iter(rows[:1]))
    assert gpu.main(["agreement"]) == 0
    monkeypatch.setitem(gpu.PARTS, "agreement", lambda setting: iter([]))
    assert gpu.main(["agreement"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--part", "sped"], "has no part sped"),
        (["--part"], "needs a word"),
        (["folder"], "does not know folder"),
        (["--wheels", "/nowhere"], "finds no folder"),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], said: str) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert said in done.stderr
