"""Saving is attacked: broken off at each call of the system, on a full disk, by many savers at once."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnn.io import load_file, save_file

Tally = Callable[[str, int, int], None]

OLD, NEW = ({"x": np.full(5000, value)} for value in (0.0, 1.0))
CALLS = [
    *((os, name) for name in ("open", "close", "stat", "lstat", "fstat", "chmod", "mkdir", "scandir")),
    *((os, name) for name in ("fsync", "replace", "unlink")),
    (fcntl, "flock"),
]


def value_in(path: Path) -> float:
    """Which of the two files is there; it must be whole."""
    x = load_file(path)["x"]
    assert x.shape == (5000,)
    assert len(set(x.tolist())) == 1
    return x[0]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "input/output error"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("replaces", [True, False])
def test_broken_off_at_each_call_of_the_system(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
    moment: str,
    error: BaseException,
    replaces: bool,
) -> None:
    tried = survived = 0
    number, calls = 1, [""]
    while calls:  # until a save makes fewer calls than `number`
        folder = tmp_path / str(number)
        path = folder / "file.safetensors"
        if replaces:
            save_file(OLD, path)
        with monkeypatch.context() as patch:
            calls = fail_at(patch, number, error, moment)
            try:
                save_file(NEW, path)
                failed = False
            except (OSError, KeyboardInterrupt):
                failed = True
        if not calls:
            assert not failed
            break
        tried += 1
        if path.exists():
            assert value_in(path) in (0.0, 1.0) if failed else value_in(path) == 1.0
        else:
            assert failed
            assert not replaces
        if folder.exists() and calls != ["unlink"]:
            assert set(os.listdir(folder)) <= {path.name}, calls
        save_file(NEW, path)
        assert os.listdir(folder) == [path.name]
        assert value_in(path) == 1.0
        survived += 1
        number += 1
    assert tried > 8
    tally("saving broken off at a call of the system", tried, survived)


def fail_at(patch: pytest.MonkeyPatch, number: int, error: BaseException, moment: str) -> list[str]:
    """Make call `number` fail, before or after it did its work; the list that is returned gets its name."""
    count, failed = 0, []

    def failing(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count != number:
                return original(*args, **kwargs)
            failed.append(name)
            if moment == "after":
                result = original(*args, **kwargs)
                if name == "open":
                    os.closerange(result, result + 1)
                if name == "scandir":
                    result.close()
            raise error

        return call

    for module, name in CALLS:
        patch.setattr(module, name, failing(name, getattr(module, name)))
    return failed


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a disk with room for `size` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk(tmp_path: Path, tally: Tally) -> None:
    """At whatever byte it is full: the old file is whole, nothing is left beside it, the error names it."""
    path = tmp_path / "file.safetensors"
    save_file(OLD, path)
    size = path.stat().st_size
    rng = np.random.default_rng(0)
    limits = [0, 1, 8, size - 1, *rng.integers(size, size=60).tolist()]
    for limit in limits:
        with largest_file(limit), pytest.raises(OSError, match=rf"'{path}'"):
            save_file(NEW, path)
        assert value_in(path) == 0.0
        assert os.listdir(tmp_path) == [path.name]
    with largest_file(size):
        save_file(NEW, path)
    assert value_in(path) == 1.0
    tally("saving on a full disk", len(limits), len(limits))


SAVER = """
import sys
import numpy as np
from xpnn.io import save_file
number = float(sys.argv[2])
print(flush=True)
while True:
    save_file({"x": np.full(200_000, number)}, sys.argv[1])
"""


def start_saver(path: Path, number: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SAVER, str(path), str(number)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.slow
def test_killed_while_saving(tmp_path: Path, tally: Tally) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"x": np.full(200_000, -1.0)}, path)
    rng = np.random.default_rng(0)
    kills = 100
    for number in range(kills):
        process = start_saver(path, number)
        threading.Event().wait(rng.uniform(0, 0.05))
        stop(process)
        x = load_file(path)["x"]
        assert x.shape == (200_000,)
        assert len(np.unique(x)) == 1
        assert len(os.listdir(tmp_path)) <= 2
    save_file(OLD, path)
    assert os.listdir(tmp_path) == [path.name]
    tally("SIGKILL while saving", kills, kills)


@pytest.mark.slow
def test_savers_of_one_file(tmp_path: Path, tally: Tally) -> None:
    """Processes and threads; what a reader finds is whole at all times."""
    path = tmp_path / "file.safetensors"
    save_file({"x": np.full(200_000, -1.0)}, path)
    processes = [start_saver(path, number) for number in range(3)]
    reads = 0
    try:
        for _ in range(200):
            save_file({"x": np.full(200_000, 7.0)}, path)
            for _ in range(3):
                x = load_file(path)["x"]
                assert x.shape == (200_000,)
                assert len(np.unique(x)) == 1
                reads += 1
        assert all(process.poll() is None for process in processes), "no saver has failed"
    finally:
        for process in processes:
            stop(process)
    save_file(OLD, path)
    assert os.listdir(tmp_path) == [path.name]
    tally("reads beside several savers", reads, reads)
