"""Steps as CUDA graphs: what a step gives the GPU is recorded once, and given again as a whole.

CUDA calls recording a capture. Not all of a step can be captured: CuPy refuses cuBLAS there, and copies from
the host. So a recorded step is a row of parts: graphs, and between them products, which are called each time.
Each part is launched as soon as it is captured, so that the step that is recorded is computed, too.

A graph computes at the addresses that it was captured with. So what goes in is copied into arrays that stay,
the state stays in the same arrays from step to step, and memory that is taken while recording is of a pool
that nothing else takes from. What comes from the host while recording is a constant of the step, as for any
compiler that traces, and stays alive with it.

See: CUDA C++ Programming Guide, "CUDA Graphs".
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from xpnn.backend.registry import Array, Compiler

_PRODUCTS = ("matmul", "tensordot", "vecdot", "dot", "inner", "vdot", "einsum")
_OPERATORS = ("__matmul__", "__rmatmul__")
_UPLOADS = ("asarray", "array")

_one_at_a_time = threading.RLock()  # recordings: for their time, the library's functions are others


class _Local(threading.local):
    recording: _Recording | None = None


_local = _Local()


def graph_compiler(library: Any, xp: Any) -> Compiler:
    """The compiler of a library that has CuPy's streams, graphs and pools; `xp` is its namespace."""
    refusals = (library.cuda.runtime.CUDARuntimeError, NotImplementedError)
    return Compiler(
        compile=lambda function: _Replayed(library, xp, function), refusals=refusals, on_request=True
    )


def keep_for_graph(array: Array) -> None:
    """Have an array that work refers to by its address live as long as the step that is being recorded."""
    if _local.recording is not None:
        _local.recording.kept.append(array)


class _Replayed:
    """A pure function of nested arrays: called once, so that all is warm; then recorded; then replayed."""

    def __init__(self, library: Any, xp: Any, function: Callable[..., Any]) -> None:
        self._library, self._xp, self._function = library, xp, function
        self._warm = False
        self._recording: _Recording | None = None
        self._stream: Any = None
        self._like: Any = None  # the structure of the state
        self._draws: Any = None
        self._fixed: list[Any] = []  # the arrays of the state, of the arguments, and the count of draws
        self._results: list[Array] = []

    def __call__(self, state: Any, leaves: list[Any], count: Any) -> tuple[Any, list[Any], Any]:
        """The state after the step, its results, and how often it has drawn random numbers."""
        like: Any = next(filter(_is_on_device, [*_flat(state), *leaves]))
        with self._library.cuda.Device(like.device.id):
            if not self._warm:
                found = self._function(state, leaves, self._on_device(count))
                self._warm = True
                return found
            with self._in_turn():
                given = [*_flat(state), *leaves, count]
                if self._recording is None:
                    self._record(state, leaves, given)
                else:
                    for fixed, value in zip(self._fixed, given, strict=True):
                        if fixed is not value and _is_on_device(fixed):
                            fixed[...] = value
                    self._recording.replay()
                results = [
                    self._copy(result) if _is_on_device(result) else result for result in self._results
                ]
        return self._state(), results, self._draws

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Compute on a stream of its own, as the default one cannot be captured: after what was before."""
        cuda = self._library.cuda
        if self._stream is None:
            self._stream = cuda.Stream(non_blocking=True)
        outer = cuda.get_current_stream()
        self._stream.wait_event(outer.record())
        try:
            with self._stream:
                yield
        finally:
            outer.wait_event(self._stream.record())

    def _record(self, state: Any, leaves: list[Any], given: list[Any]) -> None:
        """Compute the step, and keep what it gave the device."""
        fixed = [self._copy(value) if _is_on_device(value) else value for value in given[:-1]]
        self._fixed = [*fixed, self._on_device(given[-1])]
        self._like = _rebuilt(state, iter(fixed))
        leaves = self._fixed[len(fixed) - len(leaves) : -1]
        recording = _Recording(self._library, self._xp, self._stream)
        with recording.running():
            after, self._results, self._draws = self._function(self._state(), leaves, self._fixed[-1])
            self._store(list(_flat(after)))
        self._recording = recording

    def _state(self) -> Any:
        """The arrays of the state, in lists and dicts of their own, which optimizers write into."""
        return _rebuilt(self._like, iter(self._fixed))

    def _store(self, after: list[Array]) -> None:
        """Bring the state after the step to where it was before it; one array may have become another."""
        taken = {array.data.ptr for array in self._fixed if _is_on_device(array)}
        shown = [self._copy(result) if self._shows(result, taken) else result for result in self._results]
        self._results = shown
        after = [self._copy(array) if array.data.ptr in taken else array for array in after]
        for fixed, array in zip(self._fixed, after):
            fixed[...] = array

    def _shows(self, result: Any, taken: set[int]) -> bool:
        """Whether a result is an array of the state as it was before the step."""
        return _is_on_device(result) and result.data.ptr in taken

    def _copy(self, array: Array) -> Array:
        copied = self._library.empty(array.shape, dtype=array.dtype)
        copied[...] = array
        return copied

    def _on_device(self, count: Any) -> Array:
        return self._library.asarray(np.asarray(count, dtype=np.int32))


class _Recording:
    """The parts of a step, as far as they are recorded, and what they need to stay as it is."""

    def __init__(self, library: Any, xp: Any, stream: Any) -> None:
        self.kept: list[Any] = []
        self._library, self._xp, self._stream = library, xp, stream
        self._pool = library.cuda.MemoryPool()
        self._parts: list[Callable[[], Any]] = []

    def replay(self) -> None:
        """Do it all again."""
        for part in self._parts:
            part()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record what this thread gives the device on the current stream."""
        with (
            _one_at_a_time,
            _intercepted(self._library, self._xp),
            self._library.cuda.using_allocator(self._pool.malloc),
        ):
            _local.recording = self
            try:
                self._stream.begin_capture()
                yield
                self._end_part()
            except BaseException:
                self._abandon()
                raise
            finally:
                _local.recording = None

    def apart(self, work: Callable[[], Any]) -> Any:
        """Do work that cannot be captured, between two graphs; what it makes stays alive."""
        self._end_part()
        _local.recording = None
        try:
            made = work()
        finally:
            _local.recording = self
            self._stream.begin_capture()
        self.kept.append(made)
        return made

    def product(self, name: str, original: Callable[..., Any], args: tuple, options: dict[str, Any]) -> Any:
        """A product of arrays: called each time, with the same arrays."""
        out = self.apart(lambda: original(*args, **options))

        def again() -> None:
            out[...] = original(*args, **options)

        def into() -> None:
            self._library.matmul(*args, out=out)

        alone = name in ("matmul", "__matmul__") and not options and out.ndim > 1 and out.flags.c_contiguous
        self._parts.append(into if alone else again)
        return out

    def _end_part(self) -> None:
        graph = self._stream.end_capture()
        graph.launch()
        self._parts.append(graph.launch)

    def _abandon(self) -> None:
        """End a capture that has failed; CUDA says once more that it has."""
        try:
            if self._stream.is_capturing():
                self._stream.end_capture()
        except self._library.cuda.runtime.CUDARuntimeError:
            return


@contextmanager
def _intercepted(library: Any, xp: Any) -> Iterator[None]:
    """Have products and copies from the host ask whether their thread records a step."""
    owners: list[tuple[Any, tuple[str, ...], Callable[..., Any]]] = [
        (library.ndarray, _OPERATORS, _Recording.product)
    ]
    for owner in (library, xp, getattr(xp, "linalg", None)):
        owners += [(owner, _PRODUCTS, _Recording.product), (owner, _UPLOADS, _recorded_upload)]
    before = [
        (owner, name, getattr(owner, name))
        for owner, names, _ in owners
        for name in names
        if hasattr(owner, name)
    ]
    around = {(id(owner), name): around for owner, names, around in owners for name in names}
    try:
        for owner, name, original in before:
            setattr(owner, name, _asking(original, name, around[id(owner), name]))
        yield
    finally:
        for owner, name, original in reversed(before):
            setattr(owner, name, original)


def _asking(original: Callable[..., Any], name: str, around: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original, updated=())
    def asking(*args: Any, **options: Any) -> Any:
        recording = _local.recording
        if recording is None:
            return original(*args, **options)
        return around(recording, name, original, args, options)

    return asking


def _recorded_upload(
    recording: _Recording, name: str, original: Any, args: tuple, options: dict[str, Any]
) -> Any:
    """What comes from the host is copied once, between two parts."""
    source = args[0] if args else options.get("obj", options.get("object"))
    if _is_on_device(source):
        return original(*args, **options)
    return recording.apart(lambda: original(*args, **options))


def _is_on_device(value: Any) -> bool:
    return hasattr(value, "data") and hasattr(value.data, "ptr")


def _flat(nested: Any) -> Iterator[Any]:
    if isinstance(nested, dict):
        nested = nested.values()
    elif not isinstance(nested, list | tuple):
        yield nested
        return
    for part in nested:
        yield from _flat(part)


def _rebuilt(like: Any, arrays: Iterator[Any]) -> Any:
    if isinstance(like, dict):
        return {key: _rebuilt(part, arrays) for key, part in like.items()}
    if isinstance(like, list | tuple):
        return type(like)(_rebuilt(part, arrays) for part in like)
    return next(arrays)
