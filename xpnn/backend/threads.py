"""How many threads the NumPy backend works with: its own, and those of NumPy's BLAS.

NumPy releases Python's global lock inside of its loops, so that threads of Python, each on its own part of a
batch, gain what the cores give. Products of matrices have threads of their own in the BLAS; inside of such a
part they get one (`single_threaded_blas`), and theirs back afterwards.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator
from pathlib import Path

import numpy as np

from xpnn.backend.errors import ArgumentError

# The names that builds of OpenBLAS give to one function: NumPy's wheels, SciPy's, Linux distributions'.
_OPENBLAS_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")

_chosen: int | None = None
_limit_lock = threading.Lock()
_limited = 0  # how many blocks of single_threaded_blas are open
_before = 1  # the BLAS's own number of threads while one is


def set_num_threads(threads: int) -> None:
    """Set how many threads work on one operation of the NumPy backend, NumPy's BLAS included.

    Results of float32 sums may differ in the last digits from one number to another; with one number they
    are the same bits from run to run. The default is what the BLAS starts with: the cores that the process
    may use, or the environment variables OPENBLAS_NUM_THREADS and OMP_NUM_THREADS.

    Raises: ArgumentError unless it is a whole number, 1 or more.

    >>> before = get_num_threads()
    >>> set_num_threads(1)
    >>> get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _chosen, _before
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ArgumentError(
            f"expects a number of threads of 1 or more, got {threads!r}", subject="set_num_threads"
        )
    with _limit_lock:
        _chosen = threads
        blas = _blas()
        if _limited:
            _before = threads
        elif blas is not None:
            blas[1](threads)


def get_num_threads() -> int:
    """How many threads work on one operation of the NumPy backend (see `set_num_threads`)."""
    return _default_threads() if _chosen is None else _chosen


class _SingleThreadedBlas(ContextDecorator):
    """The block of `single_threaded_blas`; it has no state of its own, so that one object serves all."""

    def __enter__(self) -> None:
        global _limited, _before
        blas = _blas()
        if blas is not None:
            _default_threads()  # is asked of the BLAS once, and not while it has but one
            with _limit_lock:
                if not _limited:
                    _before = blas[0]()
                    blas[1](1)
                _limited += 1

    def __exit__(self, *exception: object) -> None:
        global _limited
        blas = _blas()
        if blas is not None:
            with _limit_lock:
                _limited -= 1
                if not _limited:
                    blas[1](_before)


_single_threaded_blas = _SingleThreadedBlas()


def single_threaded_blas() -> _SingleThreadedBlas:
    """NumPy's BLAS works with one thread inside of the block or decorated function, for the whole process.

    Blocks may be nested and overlap in time; when the last one ends, the BLAS has the threads that it had
    before the first. It takes a microsecond. With a BLAS other than OpenBLAS nothing happens.
    """
    return _single_threaded_blas


def openblas_libraries() -> Iterator[ctypes.CDLL]:
    """The shared libraries that may be NumPy's OpenBLAS, its own first."""
    for path in _candidates():
        try:
            yield ctypes.CDLL(str(path))
        except OSError:
            continue


@functools.cache
def openblas_core() -> str:
    """The processor that NumPy's OpenBLAS has chosen its code for, such as "SkylakeX"; empty if unknown."""
    for library in openblas_libraries():
        for name in _OPENBLAS_NAMES:
            corename = getattr(library, name.format("get_corename"), None)
            if corename is not None:
                corename.restype = ctypes.c_char_p
                return corename().decode()
    return ""


@functools.cache
def _default_threads() -> int:
    blas = _blas()
    if blas is not None:
        return max(blas[0](), 1)
    variables = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    given = [os.environ[name] for name in variables if os.environ.get(name, "").isdigit()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(int(given[0]) if given else cores, 1)


@functools.cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """The functions of NumPy's OpenBLAS that get and set its number of threads."""
    for library in openblas_libraries():
        for name in _OPENBLAS_NAMES:
            get = getattr(library, name.format("get_num_threads"), None)
            set_ = getattr(library, name.format("set_num_threads"), None)
            if get is not None and set_ is not None:
                set_.argtypes, set_.restype = (ctypes.c_int,), None
                return get, set_
    return None


def _candidates() -> Iterator[Path]:
    """Where NumPy's BLAS may lie: beside a wheel's NumPy, or among what the process has loaded."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs", package / ".libs"):
        yield from sorted(folder.glob("*openblas*"))
    try:
        loaded = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    yield from sorted({Path(line.split()[-1]) for line in loaded if "openblas" in line})
