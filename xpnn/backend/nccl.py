"""Arrays of several processes become one on their GPUs: NCCL, by way of CuPy.

What NCCL does is queued on the stream that CuPy computes on: it comes after what made its arrays and before
what uses its results, and the host waits for nothing. MPI tells the processes of each other at the start.

See: NVIDIA, "NCCL: collective operations", and CuPy's `cupy.cuda.nccl`.
"""

from __future__ import annotations

import importlib
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from xpnn.backend.errors import ProcessError
from xpnn.backend.registry import Array, Backend

# NCCL's name of each element type that it computes with.
_CODES = {
    **{name: f"NCCL_{name.upper()}" for name in ("int8", "uint8", "int32", "uint32", "int64", "uint64")},
    **{name: f"NCCL_{name.upper()}" for name in ("float16", "float32", "float64")},
}
_OPERATIONS = {"sum": "NCCL_SUM", "product": "NCCL_PROD", "min": "NCCL_MIN", "max": "NCCL_MAX"}
# What others are computed in; half precision as over MPI.
_WIDER = {"float16": "float32", "bfloat16": "float32", "int16": "int32", "uint16": "uint32"}
_PAIRS = {"complex64": "float32", "complex128": "float64"}


def connect(backend: Backend, array: Array, rank: int, gather: Callable[[Any], list[Any]]) -> Nccl | None:
    """Join the processes of a group by NCCL, which all must call alike; None where they cannot be.

    Then they talk over MPI, and rank 0 warns of what was in the way.

    Args:
        backend: the library, with a module `nccl` in CuPy's form.
        array: one that is to be sent: the GPU is its one.
        rank: which of the group this process is.
        gather: gives all processes the objects of each.
    """
    offers = gather(_offer(backend, array, rank))
    problems = [f"rank {at} {offer.problem}" for at, offer in enumerate(offers) if offer.problem]
    places = [offer.place for offer in offers]
    shared = next((place for place in places if places.count(place) > 1), None)
    if not problems and shared is not None:
        ranks = ", ".join(str(at) for at, place in enumerate(places) if place == shared)
        problems.append(f"ranks {ranks} compute on the same GPU, {shared[1]}")
    if problems:
        if rank == 0:
            warnings.warn(
                f"arrays on GPUs go from process to process through host memory, not by NCCL: {problems[0]}",
                RuntimeWarning,
                stacklevel=4,
            )
        return None
    return Nccl(backend, array.device.id, offers[0].unique_id, rank, len(offers))


class _Offer:
    """What a process brings: a problem, or its GPU, and from rank 0 the id of the group."""

    def __init__(self, problem: str = "", place: tuple[str, str] = ("", ""), unique_id: Any = None) -> None:
        self.problem = problem
        self.place = place
        self.unique_id = unique_id


def _offer(backend: Backend, array: Array, rank: int) -> _Offer:
    try:
        library, nccl = _modules(backend)
        if not nccl.available:
            return _Offer(f"has a {backend.name} without NCCL (pip install nvidia-nccl-cu12, or -cu13)")
        place = platform.node(), library.cuda.runtime.deviceGetPCIBusId(array.device.id)
        return _Offer("", place, nccl.get_unique_id() if rank == 0 else None)
    except Exception as error:  # whatever it is, the others wait to be told of it
        return _Offer(f"cannot use NCCL: {type(error).__name__}: {error}")


def _modules(backend: Backend) -> tuple[Any, Any]:
    assert backend.nccl is not None
    return importlib.import_module(backend.packages[0]), importlib.import_module(backend.nccl)


class Nccl:
    """The processes of a group, joined by NCCL: each computes on a GPU of its own.

    Every method takes arrays of that GPU, of the same shape and type in all processes, in any memory layout,
    and returns new ones.

    Args:
        backend: the library. device: the number of the GPU.
        unique_id: what NCCL calls the group. rank, size: which of how many processes this one is.

    Raises: ProcessError for what NCCL refuses, and for arrays of another GPU.
    """

    def __init__(self, backend: Backend, device: int, unique_id: Any, rank: int, size: int) -> None:
        self._library, self._nccl = _modules(backend)
        self.device = device
        self.size = size
        with self._on_device("start"):
            self._communicator = self._nccl.NcclCommunicator(size, unique_id, rank)

    def all_reduce(self, array: Array, operation: str) -> Array:
        """The sum (product, min, max) of every process's array.

        Half precision is summed in float32, and integers of 16 bits, which NCCL does not know, in 32.
        """
        name = array.dtype.name
        if name in _PAIRS and operation != "sum":  # NCCL sees two numbers, which do for sums alone
            return self._library.prod(self.all_gather(array), axis=0)
        with self._on_device("all_reduce", array):
            sent = self._contiguous(self._wider(array))
            found = self._library.empty_like(sent)
            if sent.size:
                where = sent.data.ptr, found.data.ptr
                self._communicator.allReduce(
                    *where, *self._described(sent), self._operation(operation), self._stream
                )
            return found.astype(array.dtype, copy=False)

    def reduce_scatter(self, array: Array, operation: str) -> Array:
        """Of the sum (product, min, max) of every process's (size, ...) array, this process's part."""
        if array.dtype.name in _PAIRS and operation != "sum":
            return self.all_reduce(array, operation)[self._communicator.rank_id()]
        with self._on_device("reduce_scatter", array):
            sent = self._contiguous(self._wider(array))
            found = self._library.empty(sent.shape[1:], dtype=sent.dtype)
            if sent.size:
                where = sent.data.ptr, found.data.ptr
                self._communicator.reduceScatter(
                    *where, *self._described(found), self._operation(operation), self._stream
                )
            return found.astype(array.dtype, copy=False)

    def broadcast(self, array: Array, source: int) -> Array:
        """The array of one process."""
        with self._on_device("broadcast", array):
            sent = self._contiguous(array)
            found = self._library.empty_like(sent)
            if sent.size:
                self._communicator.broadcast(
                    sent.data.ptr, found.data.ptr, *self._described(sent), source, self._stream
                )
        return found

    def all_gather(self, array: Array) -> Array:
        """Every process's array, stacked in the order of the ranks."""
        with self._on_device("all_gather", array):
            sent = self._contiguous(array)
            found = self._library.empty((self.size, *sent.shape), dtype=sent.dtype)
            if sent.size:
                self._communicator.allGather(
                    sent.data.ptr, found.data.ptr, *self._described(sent), self._stream
                )
        return found

    def exchange(
        self, sends: Sequence[tuple[Array, int]], receives: Sequence[tuple[Array, int]]
    ) -> list[Array]:
        """Send arrays to processes and receive others, all at once: their order does not matter.

        Args:
            sends: arrays, and to whom. receives: arrays of the shape and type that come, and from whom.

        Returns: what has come, in the order of `receives`.
        """
        with self._on_device("send and recv", *(array for array, _ in (*sends, *receives))):
            given = [(self._contiguous(array), peer) for array, peer in sends]
            found = [self._library.empty(like.shape, dtype=like.dtype) for like, _ in receives]
            self._nccl.groupStart()
            try:
                for array, peer in given:
                    if array.size:
                        self._communicator.send(array.data.ptr, *self._described(array), peer, self._stream)
                for array, (_, peer) in zip(found, receives):
                    if array.size:
                        self._communicator.recv(array.data.ptr, *self._described(array), peer, self._stream)
            finally:
                self._nccl.groupEnd()
        return found

    def _described(self, array: Array) -> tuple[int, int]:
        """How many elements NCCL sees in an array, and the code of their type; bytes where it has none."""
        name = array.dtype.name
        if name in _PAIRS:
            return 2 * array.size, getattr(self._nccl, _CODES[_PAIRS[name]])
        if name in _CODES:
            return array.size, getattr(self._nccl, _CODES[name])
        return array.size * array.dtype.itemsize, self._nccl.NCCL_UINT8

    def _operation(self, name: str) -> int:
        return getattr(self._nccl, _OPERATIONS[name])

    def _wider(self, array: Array) -> Array:
        return array.astype(_WIDER.get(array.dtype.name, array.dtype), copy=False)

    def _contiguous(self, array: Array) -> Array:
        return array if array.flags.c_contiguous else self._library.ascontiguousarray(array)

    @property
    def _stream(self) -> int:
        return self._library.cuda.get_current_stream().ptr

    @contextmanager
    def _on_device(self, doing: str, *arrays: Array) -> Iterator[None]:
        """On the GPU of this process, with NCCL's errors as ours."""
        for array in arrays:
            if array.device.id != self.device:
                raise ProcessError(
                    f"of this process computes on cuda:{self.device}, got an array of cuda:{array.device.id}",
                    subject=f"{doing}: NCCL",
                    hint="Move it there: array.to(device)",
                )
        try:
            with self._library.cuda.Device(self.device):
                yield
        except self._nccl.NcclError as error:
            raise ProcessError(
                f"failed: {error}",
                subject=f"{doing}: NCCL",
                hint="NCCL_DEBUG=WARN makes it say more; init_process_group('mpi') does without it",
            ) from error
