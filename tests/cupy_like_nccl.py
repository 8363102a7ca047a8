"""`cupy.cuda.nccl` for the arrays of `cupy_like`: what NCCL does between GPUs, MPI does in host memory.

It has CuPy's names and signatures, and takes what NCCL would: numbers. Each is held against the array whose
address it is, and against what the other processes call at the same time: NCCL would wait for ever, or read
what does not belong to the array.
"""

from __future__ import annotations

import ctypes
from typing import Any

import cupy_like
import numpy as np
from mpi4py import MPI

available = True
calls: list[str] = []  # what was called so far
fails = 0  # the status that the next call ends with, if it is not 0

# The numbers of NCCL's header.
NCCL_INT8, NCCL_UINT8, NCCL_INT32, NCCL_UINT32, NCCL_INT64, NCCL_UINT64 = range(6)
NCCL_FLOAT16, NCCL_FLOAT32, NCCL_FLOAT64 = 6, 7, 8
NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN = range(4)

_TYPES = dict(
    enumerate(
        ["int8", "uint8", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"],
    )
)
_REDUCTIONS = {NCCL_SUM: MPI.SUM, NCCL_PROD: MPI.PROD, NCCL_MAX: MPI.MAX, NCCL_MIN: MPI.MIN}
_HALVES = {"complex64": "float32", "complex128": "float64"}
_SEEN_AS_BYTES = ("bool", "int16", "uint16", "uint8")
_group: list[Any] | None = None  # what waits for the end of a group of calls


class NcclError(RuntimeError):
    """What NCCL refuses."""

    def __init__(self, status: int) -> None:
        super().__init__(f"NCCL_ERROR_{status}")
        self.status = status


def get_unique_id() -> tuple[int, ...]:
    """128 signed bytes; here they tell which process asked, and how often it has."""
    calls.append("get_unique_id")
    made = calls.count("get_unique_id")
    return (MPI.COMM_WORLD.Get_rank() - 128, made % 256 - 128, made // 256) + (-1,) * 125


def groupStart() -> None:
    """Keep calls back until the group's end."""
    global _group
    assert _group is None
    _group = []


def groupEnd() -> None:
    """All calls of the group at once."""
    global _group
    assert _group is not None
    requests, _group = [start() for start in _group], None
    MPI.Request.Waitall(requests)


class NcclCommunicator:
    """As CuPy's."""

    def __init__(self, ndev: int, commId: tuple[int, ...], rank: int) -> None:
        assert [type(value) for value in (ndev, commId, rank)] == [int, tuple, int]
        assert len(commId) == 128
        assert all(-128 <= byte < 128 for byte in commId)
        _expect_device()
        calls.append("NcclCommunicator")
        root, tag = commId[0] + 128, 1000 + commId[1] + 128
        world = MPI.COMM_WORLD
        if world.Get_rank() == root:
            assert rank == 0
            others = {}
            for _ in range(ndev - 1):
                theirs, their_rank = world.recv(tag=tag)
                others[their_rank] = theirs
            members = [root, *(others[at] for at in range(1, ndev))]
            for other in members[1:]:
                world.send(members, other, tag=tag)
        else:
            world.send((world.Get_rank(), rank), root, tag=tag)
            members = world.recv(source=root, tag=tag)
        self._mpi = world.Create_group(world.Get_group().Incl(members), tag)
        assert (self._mpi.Get_rank(), self._mpi.Get_size()) == (rank, ndev)

    def rank_id(self) -> int:
        return self._mpi.Get_rank()

    def allReduce(self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int) -> None:
        self._begin("allReduce", count, datatype, op, stream)
        given, result = _memory(sendbuf, count, datatype), _memory(recvbuf, count, datatype)
        assert datatype != NCCL_FLOAT16, "sums of half precision are asked for in float32"
        self._mpi.Allreduce(given, result, _REDUCTIONS[op])

    def reduceScatter(
        self, sendbuf: int, recvbuf: int, recvcount: int, datatype: int, op: int, stream: int
    ) -> None:
        self._begin("reduceScatter", recvcount, datatype, op, stream)
        given = _memory(sendbuf, recvcount * self._mpi.Get_size(), datatype)
        self._mpi.Reduce_scatter_block(given, _memory(recvbuf, recvcount, datatype), _REDUCTIONS[op])

    def broadcast(
        self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int
    ) -> None:
        self._begin("broadcast", count, datatype, root, stream)
        given, result = _memory(sendbuff, count, datatype), _memory(recvbuff, count, datatype)
        if self.rank_id() == root:
            result[:] = given
        self._mpi.Bcast(result, root)

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
        self._begin("allGather", count, datatype, stream)
        result = _memory(recvbuf, count * self._mpi.Get_size(), datatype)
        self._mpi.Allgather(_memory(sendbuf, count, datatype), result)

    def send(self, sendbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        self._one("send", count, datatype, peer, stream)
        memory = _memory(sendbuf, count, datatype)
        _run(lambda: self._mpi.Isend(_bytes(memory), peer, datatype))

    def recv(self, recvbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        self._one("recv", count, datatype, peer, stream)
        memory = _memory(recvbuf, count, datatype)
        _run(lambda: self._mpi.Irecv(_bytes(memory), peer, datatype))

    def _begin(self, name: str, *arguments: int) -> None:
        self._one(name, *arguments)
        everyone = self._mpi.allgather((name, *arguments))
        assert everyone == [everyone[0]] * len(everyone), f"processes call different things: {everyone}"

    def _one(self, name: str, *arguments: int) -> None:
        global fails
        calls.append(name)
        assert all(type(argument) is int for argument in arguments), (name, arguments)
        assert arguments[-1] == cupy_like.stream.ptr, "it is to be queued on the stream of now"
        _expect_device()
        if fails:
            status, fails = fails, 0
            raise NcclError(status)


def _expect_device() -> None:
    assert cupy_like.Device.current, "NCCL's calls need the device of the communicator to be current"


def _memory(address: int, count: int, datatype: int) -> np.ndarray:
    """What NCCL sees at an address: so many elements of a type; it must be all of one array."""
    assert type(address) is int
    array, name = cupy_like.shown[address], _TYPES[datatype]
    assert array.flags.c_contiguous, "NCCL reads one element after the other"
    assert name == _HALVES.get(array.dtype.name, array.dtype.name) or (
        name == "uint8" and array.dtype.name in _SEEN_AS_BYTES
    ), (name, array.dtype)
    assert count * np.dtype(name).itemsize == array.nbytes, (count, name, array.nbytes)
    raw = (ctypes.c_char * array.nbytes).from_address(address)
    return np.frombuffer(raw, name)


def _bytes(memory: np.ndarray) -> np.ndarray:
    return memory.view(np.uint8)


def _run(start: Any) -> None:
    if _group is None:
        start().Wait()
    else:
        _group.append(start)
