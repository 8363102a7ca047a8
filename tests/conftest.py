"""What all tests share: the choice of backends, a clean state, the slow tests left out."""

from __future__ import annotations

import ctypes
import gc
import os
import random
import signal
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault(
    "XPNN_NUMBA", "0"
)  # what plain NumPy does; with "1" the same tests take Numba's kernels
os.environ.setdefault("XPNN_TUNE", "0")  # the same ways to compute on every machine
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")  # the oracles compare in float64
os.environ.setdefault(  # compiling takes longer than running here, so it is done badly and quickly
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import numpy as np
import pytest
from targets import CHOSEN, TARGETS, Target, missing

import xpnn
from xpnn.autograd import set_grad_enabled


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        metavar="NAME",
        help="run the tests that go over all backends on this one only; may be given several times",
    )
    parser.addoption(
        "--slow", action="store_true", help="run the slow tests too, and every check on every backend"
    )
    parser.addoption("--every", type=int, metavar="N", help="run one of N tests, the same ones at each run")
    parser.addoption("--calls", type=int, metavar="N", help="make N random calls of each function, not a few")


def pytest_configure(config: pytest.Config) -> None:
    names = config.getoption("--backend")
    known = {target.backend for target in TARGETS}
    for name in names or ():
        if name not in known:
            raise pytest.UsageError(f"--backend {name}: there are {', '.join(sorted(known))}")
    chosen = [target for target in TARGETS if not names or target.backend in names]
    config.stash[CHOSEN] = [target for target in chosen if not missing(target)]
    if not config.stash[CHOSEN]:
        raise pytest.UsageError("; ".join(f"--backend {t.backend}: {missing(t)}" for t in chosen))


def pytest_report_header(config: pytest.Config) -> str:
    return f"backends: {', '.join(target.name for target in config.stash[CHOSEN])}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `backend` runs once on each target, unless its module has a plan of its own."""
    if "backend" in metafunc.fixturenames and not hasattr(metafunc.module, "pytest_generate_tests"):
        metafunc.parametrize("backend", metafunc.config.stash[CHOSEN], ids=str, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    every = config.getoption("--every") or 1
    items[:] = [item for item in items if zlib.crc32(item.nodeid.encode()) % every == 0]
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the attacks of tests/attacks tried, and how often xpnn survived it (see the fixture `tally`)."""
    counts: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "attack" and report.when == "call":
                    attack, tried, survived = value
                    counts.setdefault(attack, Counter()).update(tried=tried, survived=survived)
    if counts:
        terminalreporter.section("attacks: tried, survived")
    for attack, count in sorted(counts.items()):
        terminalreporter.write_line(f"{count['tried']:7,} {count['survived']:7,}  {attack}")


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Now and then, make JAX forget the programs that it compiled: thousands of them fill gigabytes."""
    stash = item.config.stash
    stash[FINISHED] = stash.get(FINISHED, 0) + 1
    if stash[FINISHED] % 500 == 0 or _memory() > stash.get(HELD, 0) + MUCH:
        if "jax" in sys.modules:
            sys.modules["jax"].clear_caches()
        gc.collect()  # arrays in cycles count little for the collector, whatever their size
        _give_back()
        stash[HELD] = _memory()


def _memory() -> int:
    """Bytes of this process that lie in memory; 0 where it is not known."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def _give_back() -> None:
    """Hand the system what was freed, where the C library is glibc: it keeps what small pieces lie between.

    Else a process looks as large as ever, and "grown by so much" would be counted from there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Target]:
    """One of the targets, made the current backend for the time of the test.

    `backend.array(values)` makes an array of it, `backend.numpy(array)` goes back.
    """
    with request.param.active():
        yield request.param


@pytest.fixture(autouse=True)
def clean_state() -> None:
    """Every test starts with the same random numbers, those of the oracles too, on NumPy, recording."""
    xpnn.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    xpnn.set_backend("numpy")
    set_grad_enabled(True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest runs in the background


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[[str, int, int], None]:
    """`tally("SIGKILL while saving", tried, survived)`: the run prints the sums at its end."""
    return lambda attack, tried, survived: record_property("attack", (attack, tried, survived))


@pytest.fixture
def calls(request: pytest.FixtureRequest) -> int:
    """How many random calls of each function are made: `--calls`, or the module's CALLS."""
    return request.config.getoption("--calls") or request.module.CALLS


FINISHED, HELD = pytest.StashKey[int](), pytest.StashKey[int]()
MUCH = 2**31  # bytes


@pytest.fixture
def compiled_kernels() -> Iterator[None]:
    """Numba's kernels are on, and any number of threads may be set."""
    before = xpnn.backend.numba_switch.get_numba(), xpnn.get_num_threads()
    xpnn.set_numba(True)
    yield
    xpnn.set_numba(before[0])
    xpnn.set_num_threads(before[1])


@pytest.fixture
def torch_in_float64() -> Iterator[Any]:
    """PyTorch, which keeps some numbers of optimizers in its default element type."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(before)
