"""Which way to compute something is fastest on this processor: measured at first use, and kept.

Ways differ in their last digits, so a choice that is once made stays: in the process, in the user's cache for
the next process, and in checkpoints for whoever resumes the run. Where the cache cannot be written, and with
XPNN_TUNE=0 in the environment, nothing is measured and the first way is taken.

The cache is a folder of its own for each processor, NumPy and BLAS, with a small file for each question. To
have everything measured anew, delete `~/.cache/xpnn/tuning`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backend.folders import user_cache
from xpnn.backend.states import expect_state
from xpnn.backend.threads import openblas_core

# Seconds of measuring for one question, and how often each way runs at least and at most.
_BUDGET = 0.01
_ROUNDS = (3, 50)

# A way is left out of the rounds if its first calls took so many times as long as the fastest's.
_HOPELESS = 1.5

# A way replaces the first one if it takes at most this part of its time.
_CLEARLY_LESS = 0.95

Ways = Mapping[str, Callable[[], object]]

_choices: dict[str, str] = {}
_lock = threading.RLock()  # measure one question at a time; a signal's handler may have one, too


def chosen(question: str) -> str:
    """The way that this process takes; empty while that is open."""
    return _choices.get(question, "")


def choose(question: str, ways: Ways) -> str:
    """The name of the way to take: this process's choice, or that in the cache, or the fastest.

    Args:
        question: what it is about, in letters that may be part of a file's name: "product-float32-7.9.9".
        ways: the candidates by name, each computing the same thing. The first is taken where nothing can be
            measured or kept.

    >>> choose("doctest", {"first": lambda: sum(range(100)), "second": lambda: sum(range(10**6))})
    'first'
    >>> chosen("doctest")
    'first'
    """
    with _lock:
        if chosen(question) not in ways:
            _choices[question] = _find(question, ways)
        return _choices[question]


def state_dict() -> dict[str, Any]:
    """The processor and the choices made so far in this process, for a checkpoint."""
    return {"processor": _processor(), "choices": dict(_choices)}


def load_state_dict(state: Mapping[str, Any]) -> None:
    """Take over the choices of `state_dict` if they were made on a processor like this one.

    Raises: CheckpointError if it is no such state; then nothing was changed.
    """
    check_state_dict(state)
    if state["processor"] == _processor():
        with _lock:
            _choices.update(state["choices"])


def check_state_dict(state: Mapping[str, Any]) -> None:
    """Raise CheckpointError if `load_state_dict` would."""
    expect_state(
        state,
        "The choice of ways to compute",
        processor=lambda name: isinstance(name, str),
        choices=lambda choices: (
            isinstance(choices, dict) and all(isinstance(way, str) for way in choices.values())
        ),
    )


def cache_folder() -> Path | None:
    """Where the choices for this processor are kept; None if nothing is measured or it cannot be made."""
    if os.environ.get("XPNN_TUNE", "1") == "0":
        return None
    try:
        folder = user_cache() / "tuning" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder


def _find(question: str, ways: Ways) -> str:
    """The way that the cache names; if it names none, the fastest one, which is then kept there."""
    first = next(iter(ways))
    folder = cache_folder()
    if folder is None:
        return first
    path = folder / question
    kept = _read(path)
    if kept in ways:
        return kept
    try:
        _keep(path, kept, lambda: _fastest(ways))
    except OSError:
        return first
    kept = _read(path)
    return kept if kept in ways else first


def _keep(path: Path, damaged: str, find: Callable[[], str]) -> None:
    """Make the file with what is found, unless another process does so first.

    The file is opened before anything is measured, since what cannot be kept is not to be used, and gets its
    name when it is complete.
    """
    handle, written = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with open(handle, "w") as file:
            file.write(find())
        if path.exists() and _read(path) == damaged:
            path.unlink()
        with contextlib.suppress(FileExistsError):
            os.link(written, path)
    finally:
        os.unlink(written)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _fastest(ways: Ways) -> str:
    """The way with the least minimum; the first one unless that is clearly slower.

    The ways take turns, so that whatever the machine is doing besides meets all of them alike.
    """
    first = next(iter(ways))
    times = {name: min(_seconds(way), _seconds(way)) for name, way in ways.items()}
    limit = _HOPELESS * min(times.values())
    field = [name for name in ways if name == first or times[name] <= limit]
    rounds = int(_BUDGET / max(sum(times[name] for name in field), 1e-9))
    for _ in range(min(max(rounds, _ROUNDS[0]), _ROUNDS[1])):
        for name in field:
            times[name] = min(times[name], _seconds(ways[name]))
    best = min(field, key=times.__getitem__)
    return best if times[best] <= _CLEARLY_LESS * times[first] else first


def _seconds(way: Callable[[], object]) -> float:
    begin = time.perf_counter()
    way()
    return time.perf_counter() - begin


@functools.cache
def _processor() -> str:
    """A name for all that the fastest way depends on: processor, NumPy and its BLAS."""
    built_with: Any = np.show_config(mode="dicts")
    blas = built_with.get("Build Dependencies", {}).get("blas", {})
    parts = [_model(), np.__version__, blas.get("name"), blas.get("version"), openblas_core()]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _model() -> str:
    """The processor's model. Virtual machines give all generations one name, so the numbers count too."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = ("vendor_id", "cpu family", "model", "model name", "stepping", "cache size", "CPU part")
    return "\n".join(line for line in lines if line.partition(":")[0].strip() in told)


def _renew_lock() -> None:
    """A forked process has none of the threads that may have held it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
