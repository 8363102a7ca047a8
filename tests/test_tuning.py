"""Choices between ways to compute: measured once, kept in the cache and in checkpoints, the same for all."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xpnn import nn
from xpnn.backend import tuning
from xpnn.io import load_checkpoint, save_checkpoint


@pytest.fixture(autouse=True)
def fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that measures, with an empty cache and no choices yet."""
    monkeypatch.setenv("XPNN_TUNE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "_choices", {})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way takes as long as it says."""
    monkeypatch.setattr(tuning, "_seconds", lambda way: way())


def taking(**seconds: float) -> dict[str, Callable[[], float]]:
    return {name: lambda value=value: value for name, value in seconds.items()}


def must_not_run() -> float:
    raise AssertionError("measured")


def as_next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_choices", {})


@pytest.mark.parametrize(
    ("seconds", "choice"),
    [
        ({"a": 1.0, "b": 0.5}, "b"),
        ({"a": 1.0, "b": 0.97}, "a"),  # not by enough
        ({"a": 1.0, "b": 2.0, "c": 0.9, "d": 0.8}, "d"),
        ({"a": 1e-9, "b": 1e-9}, "a"),
    ],
)
@pytest.mark.usefixtures("clock")
def test_a_clearly_faster_way_is_taken(seconds: dict[str, float], choice: str) -> None:
    assert tuning.chosen("q") == ""
    assert tuning.choose("q", taking(**seconds)) == tuning.chosen("q") == choice


def test_one_slow_moment_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter(range(1000))
    monkeypatch.setattr(tuning, "_seconds", lambda way: way() * (20 if next(calls) % 2 else 1))
    assert tuning.choose("q", taking(a=1e-4, b=0.5e-4, c=2e-4)) == "b"


@pytest.mark.usefixtures("clock")
def test_the_next_process_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuning.choose("q", taking(a=1, b=0.5)) == "b"
    as_next_process(monkeypatch)
    assert tuning.choose("q", {"a": must_not_run, "b": must_not_run}) == "b"
    folder = tuning.cache_folder()
    assert folder is not None
    assert [path.name for path in folder.iterdir()] == ["q"]  # no temporary files are left


@pytest.mark.usefixtures("clock")
def test_it_never_changes_in_a_process() -> None:
    assert tuning.choose("q", taking(a=1, b=0.5)) == "b"
    (tuning.cache_folder() / "q").write_text("a")
    assert tuning.choose("q", taking(a=0.1, b=0.5)) == "b"


@pytest.mark.usefixtures("clock")
def test_the_first_of_two_processes_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_process_is_first() -> float:
        (tuning.cache_folder() / "q").write_text("c")
        return 0.1

    ways = {"a": lambda: 1.0, "b": other_process_is_first, "c": lambda: 1.0}
    assert tuning.choose("q", ways) == "c"
    as_next_process(monkeypatch)
    assert tuning.choose("q", ways) == "c"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"unknown", b"b and more"])
@pytest.mark.usefixtures("clock")
def test_a_damaged_file_is_replaced(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tuning.cache_folder() / "q").write_bytes(content)
    assert tuning.choose("q", taking(a=1, b=0.5)) == "b"
    as_next_process(monkeypatch)
    assert tuning.choose("q", {"a": must_not_run, "b": must_not_run}) == "b"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert tuning.cache_folder() is None
    assert tuning.choose("q", {"a": must_not_run, "b": must_not_run}) == "a"


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert tuning.cache_folder() is None
    assert tuning.choose("q", {"a": must_not_run, "b": must_not_run}) == "a"


@pytest.mark.usefixtures("clock")
def test_a_handler_of_a_signal_asks_while_its_thread_measures() -> None:
    """It runs in the middle of the measuring, in the same thread, which holds the lock."""
    assert (
        tuning.choose("q", {"a": lambda: len(tuning.choose("r", taking(a=1, b=0.5))), "b": lambda: 9}) == "a"
    )
    assert tuning.chosen("r") == "b"


@pytest.mark.usefixtures("clock")
def test_a_file_system_without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    assert tuning.choose("q", taking(a=1, b=0.5)) == "a"
    assert not list(tuning.cache_folder().iterdir())


def test_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPNN_TUNE", "0")
    assert tuning.cache_folder() is None
    assert tuning.choose("q", {"a": must_not_run, "b": must_not_run}) == "a"


@pytest.mark.usefixtures("clock")
def test_what_is_raised_leaves_the_question_open() -> None:
    def interrupted() -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.choose("q", {"a": lambda: 1.0, "b": interrupted})
    assert not list(tuning.cache_folder().iterdir())
    assert tuning.choose("q", taking(a=1, b=0.5)) == "b"


@pytest.mark.usefixtures("clock")
def test_a_checkpoint_carries_the_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(2, 1)
    tuning.choose("q", taking(a=1, b=0.5))
    save_checkpoint(tmp_path / "last", model=model)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    as_next_process(monkeypatch)
    assert tuning.choose("q", taking(a=0.5, b=1)) == "a"
    load_checkpoint(tmp_path / "last", model=model, random=False)  # to look at it, not to go on with the run
    assert tuning.chosen("q") == "a"
    load_checkpoint(tmp_path / "last", model=model)
    assert tuning.chosen("q") == "b"


def test_choices_of_another_processor_are_left_alone() -> None:
    state = {**tuning.state_dict(), "choices": {"q": "b"}}
    tuning.load_state_dict({**state, "processor": "another"})
    assert tuning.chosen("q") == ""
    tuning.load_state_dict(state)
    assert tuning.chosen("q") == "b"


PROGRAM = """
import numpy as np, xpnn
from xpnn import nn
xpnn.manual_seed(0)
x = np.random.default_rng(0).standard_normal((96, 700), dtype=np.float32)
model = nn.Sequential(nn.Linear(700, 300), nn.ReLU(), nn.Linear(300, 10))
loss = (model(xpnn.asarray(x)) ** 2).sum()
loss.backward()
print(loss.item(), *(p.grad.numpy().tobytes().hex()[-64:] for p in model.parameters()))
"""


def test_runs_that_start_together_compute_alike() -> None:
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    results = {run.communicate(timeout=600)[0] for run in runs}
    later = subprocess.run([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, check=True)
    assert results == {later.stdout}
    assert any(path.name.startswith("product-float32") for path in tuning.cache_folder().iterdir())
