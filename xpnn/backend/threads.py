"""How many threads the NumPy backend works with: its own, and those of NumPy's BLAS.

NumPy releases Python's global lock inside of its loops, so that threads of Python, each on its own part of a
batch, gain what the cores give. Products of matrices have threads of their own in the BLAS; inside of such a
part they get one (`single_threaded_blas`), and theirs back afterwards.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from xpnn.backend.errors import ArgumentError

# The names that builds of OpenBLAS give to one function: NumPy's wheels, SciPy's, Linux distributions'.
_OPENBLAS_NAMES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")

_Result = TypeVar("_Result")


class _Limit:
    """How many calls of `single_threaded_blas` run, and what number of threads to go back to after them."""

    __slots__ = ("before", "calls")

    def __init__(self) -> None:
        self.calls = 0
        self.before: int | None = None


_limit = _Limit()
_chosen: int | None = None


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
    global _chosen
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise ArgumentError(
            f"expects a number of threads of 1 or more, got {threads!r}", subject="set_num_threads"
        )
    blas = _blas()
    _chosen = threads
    if _limit.before is not None:
        _limit.before = threads
    elif blas is not None:
        blas[1](threads)


def get_num_threads() -> int:
    """How many threads work on one operation of the NumPy backend (see `set_num_threads`)."""
    return _default_threads() if _chosen is None else _chosen


def single_threaded_blas(function: Callable[..., _Result], /, *args: Any, **options: Any) -> _Result:
    """Call a function, and give back what it returns; NumPy's BLAS has one thread meanwhile.

    That holds for the whole process. Calls may be nested and overlap in time; when the last one ends, the
    BLAS has the threads that it had before the first. It takes a microsecond. With a BLAS other than
    OpenBLAS the function is just called.

    It is no context manager: Ctrl-C at the first instruction of an `__exit__` would leave one thread for
    good. Python raises KeyboardInterrupt, and lets other threads run, after calls, at the start of functions
    and at the end of a loop's turns, and nowhere else. So in `finally` all is done once the BLAS is called.
    """
    blas, limit = _blas(), _limit
    if blas is None:
        return function(*args, **options)
    _default_threads()  # is asked of the BLAS once, and not while it has but one
    get, set_ = blas
    limit.calls += 1
    try:
        if limit.before is None:
            threads = get()
            if limit.before is None:  # another thread may have come first
                limit.before = threads
                set_(1)
        return function(*args, **options)
    finally:
        limit.calls -= 1
        if not limit.calls and limit.before is not None:
            threads, limit.before = limit.before, None
            set_(threads)


def openblas_libraries(loader: type[ctypes.CDLL] = ctypes.CDLL) -> Iterator[ctypes.CDLL]:
    """The shared libraries that may be NumPy's OpenBLAS, its own first.

    Args:
        loader: CDLL gives up Python's global lock in each call, PyDLL keeps it.
    """
    for path in _candidates():
        try:
            yield loader(str(path))
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
    """The functions of NumPy's OpenBLAS that get and set its number of threads.

    They keep Python's global lock, so that no other thread sees what is between two of them.
    """
    for library in openblas_libraries(ctypes.PyDLL):
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


def _forget_calls() -> None:
    """A forked process has none of the threads whose calls had limited the BLAS."""
    global _limit
    before, _limit = _limit.before, _Limit()
    blas = _blas() if before is not None else None
    if blas is not None and before is not None:
        blas[1](before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_calls)
