"""The switch for compiled kernels; and what happens without Numba, or without its cache."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.backend import ArgumentError, find_backend, find_kernels, numba_switch

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="needs Numba")


@pytest.fixture(autouse=True)
def _switched_on() -> Iterator[None]:
    before = numba_switch.get_numba()
    xpnn.set_numba(True)
    yield
    xpnn.set_numba(before)


def test_switch() -> None:
    x = np.ones((100, 100), dtype=np.float32)  # fewer are left to plain NumPy
    entries = find_kernels(find_backend("numpy"), "relu")
    entry = next(e for e in entries if e.forward.__module__.startswith("xpnn.kernels.numba"))
    assert entry.when(x)
    xpnn.set_numba(False)
    assert not entry.when(x)
    assert numba_switch.get_numba() is False
    xpnn.set_numba("auto")
    assert entry.when(x)
    assert not entry.when(x.astype(np.float16))
    with pytest.raises(ArgumentError, match="expects True, False or 'auto', got 1"):
        xpnn.set_numba(1)  # type: ignore[arg-type]


SCRIPT = """
import sys, warnings
{prelude}
import numpy as np, xpnn
from xpnn import functional as F
assert "numba" not in sys.modules or sys.modules["numba"] is None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    xpnn.set_numba({mode})
    for _ in range(3):
        print(F.relu(np.asarray([-1.0, 2.0] * 5000, dtype=np.float32))[:2].tolist())
print([str(w.message) for w in caught])
"""


@pytest.mark.parametrize("mode", [True, "auto"])
def test_without_numba(mode: Any) -> None:
    output = run_script("sys.modules['numba'] = None", mode)
    assert output[:3] == ["[0.0, 2.0]"] * 3
    if mode == "auto":
        assert output[3] == "[]"
    else:
        assert output[3].count("Compiled kernels are off") == 1
        assert "pip install 'xpnn[numba]'" in output[3]


def test_with_a_numba_that_fails(tmp_path: Path) -> None:
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('needs NumPy 1.0')")
    output = run_script(f"sys.path.insert(0, {str(tmp_path)!r})", "auto")
    assert output[:3] == ["[0.0, 2.0]"] * 3
    assert output[3].count("Compiled kernels are off, plain NumPy is used") == 1
    assert "needs NumPy 1.0" in output[3]


def test_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """One warning; compiled code is then kept in memory."""
    from xpnn.kernels.numba import cache, compiling
    from xpnn.kernels.numba.activation import pointwise as kernels

    cache._root.cache_clear()
    monkeypatch.setattr(cache, "_can_be_used", lambda folder: False)
    functions = [compiling.compiled_function(kernels._relu.function) for _ in range(2)]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert compiling.can_run(tuple(functions), np.dtype("float32"))
        assert ["not kept on disk" in str(w.message) for w in caught] == [True]
    finally:
        cache._root.cache_clear()
    x, y = np.float32([-1, 2]), np.empty(2, dtype=np.float32)
    functions[0](x, y)
    assert y.tolist() == [0, 2]


def test_disk_that_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found out when Numba writes: what was compiled is not lost."""
    from numba.core.dispatcher import Dispatcher

    from xpnn.kernels.numba import compiling
    from xpnn.kernels.numba.activation import pointwise as kernels

    compile_, failures = Dispatcher.compile, iter([OSError("No space left on device")])

    def compile_once_without_space(self: Any, signature: Any) -> Any:
        for failure in failures:
            raise failure
        return compile_(self, signature)

    monkeypatch.setattr(Dispatcher, "compile", compile_once_without_space)
    function = compiling.compiled_function(kernels._relu.function)
    with pytest.warns(RuntimeWarning, match="No space left"):
        function.prepare(np.dtype("float32"))
    x, y = np.float32([-1, 2]), np.empty(2, dtype=np.float32)
    function(x, y)
    assert y.tolist() == [0, 2]


def test_compiling_is_announced_once(caplog: pytest.LogCaptureFixture) -> None:
    from xpnn.kernels.numba import cache

    cache._announce_once.cache_clear()
    with caplog.at_level(logging.WARNING, "xpnn"):
        cache.announce()
        cache.announce()
    assert len(caplog.messages) == 1
    assert "compiling kernels with Numba, once" in caplog.messages[0]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of one function, compiled in a cache of its own."""
    from xpnn.kernels.numba import cache

    monkeypatch.setattr(cache, "_root", lambda: tmp_path)
    compile_relu()
    (folder,) = tmp_path.glob("*/_relu-float32")
    return folder


def compile_relu() -> Any:
    """As the next process does it; the dispatcher."""
    from xpnn.kernels.numba import compiling
    from xpnn.kernels.numba.activation import pointwise as kernels

    function = compiling.compiled_function(kernels._relu.function)
    function.prepare(np.dtype("float32"))
    x, y = np.float32([-1, 2]), np.empty(2, dtype=np.float32)
    function(x, y)
    assert y.tolist() == [0, 2]
    return function._dispatcher


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_next_process_reads_compiled_code(kept: Path) -> None:
    before = contents(kept)
    assert len(before) == 3
    assert sum(compile_relu().stats.cache_hits.values()) == 1
    assert contents(kept) == before
    assert [*kept.parent.iterdir()] == [kept]  # nothing is left over


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "missing", "no digest", "no text"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_damaged_code_is_compiled_anew(kept: Path, kind: str, damage: str) -> None:
    """It would end the process: it is machine code, and Numba unpickles and runs it as it is."""
    (path,) = kept.rglob(f"*.{kind}")
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "missing":
        path.unlink()
    elif damage == "no digest":
        (kept / "digest").unlink()
    elif damage == "no text":
        (kept / "digest").write_bytes(b"\xff\xfe")
    else:
        changed = {
            "flip": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "cut": data[:middle],
            "empty": b"",
            "foreign": b"cos\nsystem\n(S'false'\ntR.",
        }
        path.write_bytes(changed[damage])
    assert sum(compile_relu().stats.cache_hits.values()) == 0
    assert sum(compile_relu().stats.cache_hits.values()) == 1


def test_another_process_comes_first(kept: Path) -> None:
    from xpnn.kernels.numba import cache

    before = contents(kept)
    (kept / "digest").unlink()
    with cache.kept_in(kept):
        (kept / "digest").write_bytes(before["digest"])
    assert contents(kept) == before
    assert [*kept.parent.iterdir()] == [kept]


def test_compiling_is_cut(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and want of memory are raised, leave nothing behind, and do not switch Numba off."""
    from numba.core.dispatcher import Dispatcher

    from xpnn.kernels.numba import compiling
    from xpnn.kernels.numba.activation import pointwise as kernels

    (kept / "digest").unlink()
    compile_ = Dispatcher.compile
    for error in (KeyboardInterrupt, MemoryError):
        for after in (False, True):

            def cut(self: Any, signature: Any, after: bool = after, error: Any = error) -> None:
                if after:
                    compile_(self, signature)
                raise error

            function = compiling.compiled_function(kernels._relu.function)
            with monkeypatch.context() as patch:
                patch.setattr(Dispatcher, "compile", cut)
                with pytest.raises(error):
                    compiling.can_run((function,), np.dtype("float32"))
            assert {path.name for path in kept.parent.iterdir()} <= {kept.name}
            assert compiling.can_run((function,), np.dtype("float32"))
            x, y = np.float32([-1, 2]), np.empty(2, dtype=np.float32)
            function(x, y)
            assert y.tolist() == [0, 2]
            (kept / "digest").unlink()
    assert numba_switch.numba_enabled()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no such permissions here")
def test_folders_that_others_may_write_are_not_used(tmp_path: Path) -> None:
    from xpnn.kernels.numba import cache

    private, shared, sticky = tmp_path / "private", tmp_path / "shared", tmp_path / "sticky"
    for folder in (private, shared, sticky):
        folder.mkdir()
    shared.chmod(0o777)
    sticky.chmod(0o1777)
    assert cache._can_be_used(private / "xpnn" / "compiled")
    assert cache._can_be_used(sticky / "xpnn" / "compiled")  # as /tmp is
    assert not cache._can_be_used(shared / "xpnn" / "compiled")
    (private / "xpnn" / "compiled").chmod(0o775)
    assert not cache._can_be_used(private / "xpnn" / "compiled")
    (private / "link").symlink_to(shared)
    assert not cache._can_be_used(private / "link" / "compiled")


def test_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xpnn.kernels.numba import cache

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)
    (tmp_path / "__pycache__").write_text("not a folder")
    cache._root.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="not kept on disk"):
            assert cache.cache_folder("f-float32", frozenset()) is None
    finally:
        cache._root.cache_clear()


def run_script(prelude: str, mode: Any) -> list[str]:
    script = SCRIPT.format(prelude=prelude, mode=repr(mode))
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()
