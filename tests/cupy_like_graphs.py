"""Capture of the stand-in for CuPy: work that a stream records, and a graph that does it again.

While a stream captures, nothing is computed: what the work would write to is garbage until the graph is
launched. So results are computed to know their shapes, and spoilt when the capture ends, and what was
written over is put back. Whatever CuPy or CUDA refuses in a capture raises, and ends it: a look at a value,
a copy from the host, cuBLAS, waiting.

A graph keeps the memory that was made within it, as a pool of its own does. Other memory it only knows by its
address: if that has been given back, the launch raises, where a GPU would compute with what came there later.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np


class CUDARuntimeError(RuntimeError):
    """`cupy.cuda.runtime.CUDARuntimeError`."""


class _Local(threading.local):
    capture: Graph | None = None
    allocator: Any = None


_local = _Local()


@contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    """Take memory from there, in this thread."""
    before, _local.allocator = _local.allocator, allocator
    try:
        yield
    finally:
        _local.allocator = before


def refuse(what: str) -> None:
    """Raise if this thread captures: CUDA cannot do that then, and the capture is lost."""
    if _local.capture is not None:
        _local.capture.lost = True
        raise CUDARuntimeError(f"cudaErrorStreamCaptureUnsupported: {what}")


def refuse_library(what: str) -> None:
    """Raise if this thread captures: CuPy does not call that library then."""
    if _local.capture is not None:
        raise NotImplementedError(f"calling {what} API during stream capture is currently unsupported")


def begin() -> None:
    """Record the work of this thread."""
    refuse("a capture in a capture")
    _local.capture = Graph()


def end() -> Graph:
    """The work since `begin`, of which nothing is done yet."""
    graph, _local.capture = _local.capture, None
    if graph is None or graph.lost:
        raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
    graph.undo()
    return graph


def is_capturing() -> bool:
    """Whether this thread captures."""
    return _local.capture is not None


def do(
    work: Callable[..., Any], args: tuple, options: dict[str, Any], writes: tuple[np.ndarray, ...] = ()
) -> Any:
    """Do work on NumPy's arrays, or record it.

    Args:
        writes: the arrays that it writes into.
    """
    graph = _local.capture
    if graph is None:
        return work(*args, **options)
    if _local.allocator is None:
        raise AssertionError("captured work takes memory of the pool that all others take from")
    return graph.record(work, args, options, writes)


class Graph:
    """Work that was captured."""

    launched: ClassVar[int] = 0  # graphs so far

    def __init__(self) -> None:
        self.lost = False
        self._work: list[tuple[Callable[..., Any], Any, Any, dict[int, np.ndarray]]] = []
        self._made: dict[int, np.ndarray] = {}  # memory of its own, by the identity
        self._before: list[tuple[np.ndarray, np.ndarray]] = []

    def record(self, work: Callable[..., Any], args: tuple, options: dict[str, Any], writes: Any) -> Any:
        self._before += [(array, array.copy()) for array in writes if array.flags.writeable]
        given = [_root(array) for array in _arrays((args, options))]
        frozen = self._frozen(args), self._frozen(options)
        result = work(*args, **options)
        outs = [np.asarray(part) for part in _arrays(result)]
        new = {k: out for k, out in enumerate(outs) if not any(_root(out) is array for array in given)}
        for out in new.values():
            self._made[id(_root(out))] = _root(out)
        self._work.append((work, *frozen, new))
        return _kept(result, iter(outs))

    def undo(self) -> None:
        """Leave memory as it is before the first launch."""
        for array, values in reversed(self._before):
            array[...] = values
        self._before.clear()
        for array in self._made.values():
            if array.flags.writeable and array.dtype.kind in "fc":
                array[...] = np.nan

    def launch(self, stream: Any = None) -> None:
        """Do the work again."""
        Graph.launched += 1
        for work, args, options, outs in self._work:
            results = list(_arrays(work(*_thawed(args), **_thawed(options))))
            for k, out in outs.items():
                out[...] = results[k]

    def _frozen(self, value: Any) -> Any:
        """Arguments that hold no memory of others."""
        if isinstance(value, np.ndarray):
            return value if id(_root(value)) in self._made else _Elsewhere(value)
        if type(value) in (list, tuple):
            return type(value)(map(self._frozen, value))
        if type(value) is dict:
            return {key: self._frozen(part) for key, part in value.items()}
        return value


class _Elsewhere:
    """An array by its address."""

    def __init__(self, array: np.ndarray) -> None:
        root = _root(array)
        self._root = weakref.ref(root)
        low, high = np.lib.array_utils.byte_bounds(array)
        self._low, self._size = low, high - low
        self._like = {
            "shape": array.shape,
            "dtype": array.dtype,
            "offset": array.ctypes.data - low,
            "strides": array.strides,
        }

    def array(self) -> np.ndarray:
        if self._root() is None:
            raise AssertionError("a graph computes with memory that was given back")
        return np.ndarray(buffer=(ctypes.c_char * max(self._size, 1)).from_address(self._low), **self._like)


def _thawed(value: Any) -> Any:
    if isinstance(value, _Elsewhere):
        return value.array()
    if type(value) in (list, tuple):
        return type(value)(map(_thawed, value))
    if type(value) is dict:
        return {key: _thawed(part) for key, part in value.items()}
    return value


def _root(array: np.ndarray) -> np.ndarray:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray | np.generic):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _arrays(part)
    elif isinstance(value, dict):
        yield from _arrays(list(value.values()))


def _kept(value: Any, arrays: Iterator[np.ndarray]) -> Any:
    """A result with the arrays that stand for it."""
    if isinstance(value, np.ndarray | np.generic):
        return next(arrays)
    if isinstance(value, list | tuple):
        parts = [_kept(part, arrays) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value
