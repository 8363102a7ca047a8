"""The processes of a job that compute together, over MPI.

Whoever starts `mpiexec -n 4 python train.py` (or Slurm's `srun`, or `xpnn launch -n 4 train.py`) gets four
processes, each with a rank from 0 to 3. What they tell each other goes through host memory; arrays of other
libraries are copied there and back. Those of CuPy go from GPU to GPU, where NCCL can do it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from xpnn.backend.arrays import device_of, move, to_numpy
from xpnn.backend.dependencies import optional_import
from xpnn.backend.dtypes import dtype_name
from xpnn.backend.errors import ArgumentError, DTypeError, ProcessError, ShapeError
from xpnn.backend.halves import HALVES, packed, unpacked
from xpnn.backend.launchers import launched_here, launched_size, launching_advice
from xpnn.backend.loans import Loan, Loans
from xpnn.backend.namespace import backend_of, is_tensor, namespace
from xpnn.backend.nccl import Nccl, connect
from xpnn.backend.registry import Array
from xpnn.backend.threads import get_num_threads, set_num_threads

_OPERATIONS = {"sum": "SUM", "product": "PROD", "min": "MIN", "max": "MAX"}
_BITWISE = {"bitwise_and": "BAND", "bitwise_or": "BOR", "bitwise_xor": "BXOR"}  # of integers and booleans
_LAST_TAG = 32767  # the largest that every MPI has; that of objects
_OF_ALL = _LAST_TAG - 1  # of the messages that a function of all processes sends


class Pending(Protocol):
    """Arrays that are under way from process to process."""

    def advance(self) -> bool:
        """Let it go on, where it needs the processor to do so; whether it is done."""

    def result(self) -> Any:
        """Wait for it."""


class Group:
    """Processes that talk to each other.

    Every process calls the same methods in the same order, with arrays of the same shape, type and library.

    Attributes:
        rank: which of them this one is, from 0. size: how many there are.
        ranks: which processes of the whole job they are.
    """

    def __init__(self, communicator: Any, mpi: Any, loans: Loans | None = None) -> None:
        self._communicator = communicator
        self._mpi = mpi
        self.loans = Loans() if loans is None else loans
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()
        everyone = mpi.COMM_WORLD.Get_group()
        members = communicator.Get_group()
        self.ranks: list[int] = mpi.Group.Translate_ranks(members, list(range(self.size)), everyone)
        members.Free()
        everyone.Free()
        self._nccl: dict[str, Nccl | None] = {}  # by the name of the library

    def __repr__(self) -> str:
        return f"Group(rank={self.rank}, size={self.size})"

    def borrow(self) -> Loan:
        """A loan of a group of the same processes, whose messages do not mix with those of this one.

        All processes call it alike. Raises: ProcessError if too many are on loan.
        """
        return self.loans.borrow(
            lambda: Group(self._made(self._communicator.Dup), self._mpi),
            lambda flags: self.all_reduce(flags, "min"),
        )

    def of(self, ranks: list[int]) -> Group | None:
        """A group of some of the processes, which all processes make together; None for the others."""
        everyone = self._communicator.Get_group()
        members = everyone.Incl(ranks)
        communicator = self._made(lambda: self._communicator.Create(members))
        members.Free()
        everyone.Free()
        return None if communicator == self._mpi.COMM_NULL else Group(communicator, self._mpi)

    def free(self) -> None:
        """Give back to MPI what this group takes there; its processes all do so, and use it no more."""
        for loan in self.loans.closed():
            loan.item.free()
        if self._communicator != self._mpi.COMM_WORLD:
            self._communicator.Free()

    def _made(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except self._mpi.Exception as error:
            raise ProcessError(
                f"cannot make another group: {error}",
                subject="MPI",
                hint="Let go of networks in DistributedDataParallel that are not needed, "
                "and of groups by destroy_process_group(group)",
            ) from error

    def library_between(self, array: Any) -> str:
        """The library whose arrays may go from GPU to GPU, which then is the same in all processes; or ""."""
        if isinstance(array, np.ndarray) or not _through_gpus:
            return ""
        backend = backend_of(_raw(array))
        return "" if backend.nccl is None else backend.name

    def nccl(self, array: Any, joins: bool = True) -> Nccl | None:
        """What carries such arrays from GPU to GPU; None for those that go through host memory.

        The first call with arrays of a library joins the processes; what two of them do alone does not.
        """
        library = self.library_between(array)
        if not library or (library not in self._nccl and not joins):
            return None
        if library not in self._nccl:
            raw = _raw(array)
            self._nccl[library] = connect(backend_of(raw), raw, self.rank, self.all_gather_object)
        return self._nccl[library]

    @property
    def is_freed(self) -> bool:
        """Whether `free` was called."""
        return not self._communicator

    @property
    def joined_gpus(self) -> bool:
        """Whether arrays have gone from GPU to GPU."""
        return any(way is not None for way in self._nccl.values())

    def travelling(self, array: Array) -> Array:
        """A raw array in the form that `start_sum` takes: where it is for NCCL, else on the host."""
        if self.nccl(array) is None:
            return _in_full(to_numpy(array))
        return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array

    def all_reduce(self, array: Any, operation: str = "sum") -> Any:
        """The sum (product, min, max) of every process's array: the same bits in each of them."""
        found = self._operation(operation, _raw(array).dtype)
        nccl = self.nccl(array)
        if nccl is not None and operation in _BITWISE:
            return _combined(nccl.all_gather(_raw(array)), operation)
        if nccl is not None:
            return nccl.all_reduce(_raw(array), operation)
        half = dtype_name(_raw(array).dtype)
        host = _contiguous(to_numpy(array))
        if operation == "sum" and half in HALVES:
            return _like(self._sum_of_halves(host, half), array)
        result = np.empty_like(host)
        self._communicator.Allreduce(host, result, found)
        return _like(result, array)

    def _sum_of_halves(self, array: np.ndarray, half: str) -> np.ndarray:
        """Each process sums a part in float32; what travels has two bytes a number, there and back."""
        share = -(-array.size // self.size)
        sent = np.zeros(share * self.size, np.uint16)
        sent[: array.size] = packed(array.reshape(-1), half)
        came = np.empty_like(sent)
        self._communicator.Alltoall(sent, came)
        own = unpacked(came.reshape(self.size, share), half).sum(axis=0)
        self._communicator.Allgather(packed(own, half), sent)
        return unpacked(sent[: array.size], half).reshape(array.shape)

    def reduce_scatter(self, array: Any, operation: str = "sum") -> Any:
        """Of the sum (product, min, max) of every process's (size, ...) array, the part of this rank."""
        found = self._operation(operation, _raw(array).dtype)
        nccl = self.nccl(array)
        if nccl is not None and operation not in _BITWISE:
            return nccl.reduce_scatter(_raw(array), operation)
        if nccl is not None:
            return self.all_reduce(_raw(array), operation)[self.rank, ...]
        host = _contiguous(to_numpy(array))
        result = np.empty(host.shape[1:], host.dtype)
        self._communicator.Reduce_scatter_block(host, result, found)
        return _like(result, array)

    def start_sum(self, array: Array) -> Pending:
        """Begin to sum every process's array, which `travelling` returned and which must not change."""
        nccl = self.nccl(array)
        if nccl is not None:
            return _Queued(nccl.all_reduce(array, "sum"))
        return _Sending(self._communicator, self._mpi.SUM, _contiguous(array))

    def broadcast(self, array: Any, source: int = 0) -> Any:
        """The array of one process, in all of them."""
        root = self.member(source)
        nccl = self.nccl(array)
        if nccl is not None:
            return nccl.broadcast(_raw(array), root)
        host = _contiguous(to_numpy(array)).copy()
        self._communicator.Bcast(host, root)
        return _like(host, array)

    def all_gather(self, array: Any) -> Any:
        """Every process's array, stacked in the order of the ranks."""
        nccl = self.nccl(array)
        if nccl is not None:
            return nccl.all_gather(_raw(array))
        host = _contiguous(to_numpy(array))
        result = np.empty((self.size, *host.shape), host.dtype)
        self._communicator.Allgather(host, result)
        return _like(result, array)

    def start_exchange(
        self,
        sends: Sequence[tuple[Any, int]] = (),
        receives: Sequence[tuple[Any, int | None]] = (),
        tag: int = 0,
        joins: bool = False,
    ) -> _Messages | _Queued:
        """Begin to send arrays to processes and to receive others; each must be awaited there.

        Args:
            sends: arrays, and to which rank.
            receives: arrays of the shape and type that will come, and from which rank; None is any.
            tag: a number by which messages between the same two processes are told apart, on the host.
            joins: whether all processes call this, so that NCCL can be begun.

        Returns: what gives the list of what has come, in the order of `receives`.
        """
        if not (type(tag) is int and 0 <= tag <= _OF_ALL):
            raise ArgumentError(
                f"expects tag as a whole number below {_OF_ALL}, got {tag!r:.40}", subject="send and recv"
            )
        arrays = [array for array, _ in (*sends, *receives)]
        ways = [self.nccl(array, joins) for array in arrays]
        nccl = next((way for way in ways if way is not None), None)
        if nccl is None or None in ways:
            return _Messages(self._communicator, self._mpi, sends, receives, tag)
        known = [(_raw(like), source) for like, source in receives if source is not None]
        if len(known) < len(receives):
            raise ArgumentError("expects the rank that an array of a GPU comes from", subject="recv")
        return _Queued(nccl.exchange([(_raw(array), peer) for array, peer in sends], known))

    def exchange(
        self, sends: Sequence[tuple[Any, int]] = (), receives: Sequence[tuple[Any, int | None]] = ()
    ) -> list[Any]:
        """As `start_exchange`, and wait for it."""
        return self.start_exchange(sends, receives, _OF_ALL, joins=True).result()

    def send_object(self, value: Any, destination: int) -> None:
        """Send a value to one process; it is pickled on the way."""
        self._communicator.send(value, self.member(destination, "send"), _LAST_TAG)

    def receive_object(self, source: int | None = None) -> tuple[Any, int]:
        """A value that a process sends, None being any of them, and which one it was."""
        status = self._mpi.Status()
        peer = self._mpi.ANY_SOURCE if source is None else self.member(source, "recv")
        value = self._communicator.recv(source=peer, tag=_LAST_TAG, status=status)
        return value, status.Get_source()

    def scatter_object(self, values: Sequence[Any] | None, source: int = 0) -> Any:
        """Of one process's values, that of this rank; it is pickled on the way."""
        return self._communicator.scatter(values, self.member(source, "scatter"))

    def start_barrier(self) -> Any:
        """Say that this process is here; returns a request, with `Test()`: whether every one is."""
        return self._communicator.Ibarrier()

    def all_gather_object(self, value: Any) -> list[Any]:
        """Every process's value, which is pickled on the way."""
        return self._communicator.allgather(value)

    def gather_object(self, value: Any, destination: int = 0) -> list[Any] | None:
        """Every process's value in one of them, None in the others; it is pickled on the way."""
        return self._communicator.gather(value, self.member(destination, "gather"))

    def broadcast_object(self, value: Any, source: int = 0) -> Any:
        """The value of one process, in all of them; it is pickled on the way."""
        return self._communicator.bcast(value, self.member(source))

    def barrier(self) -> None:
        """Wait until every process is here."""
        self._communicator.Barrier()

    def member(self, rank: int, subject: str = "broadcast") -> int:
        """The rank of a process of this group. Raises: ArgumentError for another number."""
        if not 0 <= rank < self.size:
            raise ArgumentError(f"expects a rank in [0, {self.size}), got {rank}", subject=subject)
        return rank

    def _operation(self, name: str, dtype: Any) -> Any:
        words = _OPERATIONS | _BITWISE
        if name not in words:
            known = ", ".join(words)
            raise ArgumentError(f"expects one of {known}, got {name!r}", subject="all_reduce")
        word = dtype_name(dtype)
        allowed = {
            **dict.fromkeys(_BITWISE, ("bool", "int", "uint")),
            **dict.fromkeys(("min", "max"), ("int", "uint", "float", "bfloat")),
        }.get(name, ("int", "uint", "float", "bfloat", "complex"))
        if word.rstrip("0123456789") not in allowed:
            raise DTypeError(f"has no {name} of arrays of {word}", subject="all_reduce")
        return getattr(self._mpi, words[name])


class _Sending:
    """A sum over MPI, which reads the array until it is there."""

    def __init__(self, communicator: Any, operation: Any, array: np.ndarray) -> None:
        self._over = True  # until it has begun
        self._array = array
        self._result = np.empty_like(array)
        self._request = communicator.Iallreduce(array, self._result, operation)
        self._over = False

    def __del__(self) -> None:
        """MPI reads and writes the arrays of what nobody waits for, too."""
        if not self._over:
            _abandoned.append(([self._request], [self._array], [self._result]))

    def advance(self) -> bool:
        """MPI goes on with what it has begun when it is called."""
        self._over = self._over or self._request.Test()
        return self._over

    def result(self) -> np.ndarray:
        """Wait for it."""
        self._request.Wait()
        self._over = True
        return self._result


class _Messages:
    """Arrays that processes send each other over MPI, which reads and writes them until they are there."""

    def __init__(
        self,
        communicator: Any,
        mpi: Any,
        sends: Sequence[tuple[Any, int]],
        receives: Sequence[tuple[Any, int | None]],
        tag: int,
    ) -> None:
        self._over = True  # until something has begun
        _abandoned[:] = [part for part in _abandoned if not mpi.Request.Testall(part[0])]
        self._mpi = mpi
        self._likes = [like for like, _ in receives]
        self._found = [np.empty_like(_contiguous(to_numpy(like))) for like in self._likes]
        self._given = [_contiguous(to_numpy(array)).copy() for array, _ in sends]
        peers = [mpi.ANY_SOURCE if source is None else source for _, source in receives]
        self._requests = [
            *(communicator.Irecv(array, peer, tag) for array, peer in zip(self._found, peers)),
            *(communicator.Isend(array, peer, tag) for array, (_, peer) in zip(self._given, sends)),
        ]
        self._over = False
        self.sources: list[int] = []  # from whom arrays came
        self._bytes: list[int] = []  # how many

    def __del__(self) -> None:
        """MPI reads and writes the arrays of what nobody waits for, too."""
        if not self._over:
            _abandoned.append((self._requests, self._found, self._given))

    def advance(self) -> bool:
        """Whether all are there."""
        statuses = [self._mpi.Status() for _ in self._requests]
        done = self._mpi.Request.Testall(self._requests, statuses)
        if done:
            self._note(statuses)
        return done

    def result(self) -> list[Any]:
        """Wait for all; what was received."""
        statuses = [self._mpi.Status() for _ in self._requests]
        try:
            self._mpi.Request.Waitall(self._requests, statuses)
        except self._mpi.Exception as error:
            raise ProcessError(
                f"failed: {error}",
                subject="A message",
                hint="What is received must have the shape and type of what is sent",
            ) from error
        self._note(statuses)
        for came, array in zip(self._bytes, self._found):
            if came != array.nbytes:
                raise ShapeError(
                    f"expects what comes to have {array.nbytes} bytes, as the array for it has, got {came}",
                    subject="recv",
                )
        return [_like(found, like) for found, like in zip(self._found, self._likes)]

    def _note(self, statuses: list[Any]) -> None:
        if not self._over:
            self.sources = [status.Get_source() for status in statuses[: len(self._found)]]
            self._bytes = [status.Get_count(self._mpi.BYTE) for status in statuses[: len(self._found)]]
            self._over = True


class _Queued:
    """What a GPU has among its work, before all that will use it."""

    sources: tuple[int, ...] = ()

    def __init__(self, found: Any) -> None:
        self._found = found

    def advance(self) -> bool:
        """The GPU goes on by itself."""
        return True

    def result(self) -> Any:
        """The array, or several; the host does not wait."""
        return self._found


_abandoned: list[tuple[Any, ...]] = []  # messages under way that nobody waits for
_loans = Loans()  # of all processes, whoever joins and leaves
_world: Group | None = None
_through_gpus = True


def start_processes(through_gpus: bool | None = None) -> Group:
    """Join the job that this process was started for; the group of all its processes.

    From here on an exception that nobody catches ends the whole job with its traceback, and the processes of
    a machine share its cores. Without a launcher it is a job of one process.

    Args:
        through_gpus: False sends arrays of GPUs through host memory too, True by NCCL where it can;
            None leaves it as it is.

    Raises: MissingDependencyError without mpi4py; ProcessError where a launcher has started several
    processes and MPI sees one: a launcher of another MPI, or torchrun, which starts none.
    """
    global _world, _through_gpus
    if through_gpus is not None:
        _through_gpus = through_gpus
    if _world is None:
        mpi = optional_import("mpi4py.MPI", extra="mpi")
        world = Group(mpi.COMM_WORLD, mpi, _loans)
        if world.size == 1 and launched_size() > 1:
            raise ProcessError(
                f"was started as one of {launched_size()} processes, but mpi4py sees only itself",
                subject="This process",
                hint=launching_advice(),
            )
        if world.size > 1:
            _share_cores()
            _end_together(mpi.COMM_WORLD)
        _world = world
    return _world


def leave_processes() -> None:
    """Compute alone again."""
    global _world, _through_gpus
    _world, _through_gpus = None, True


def processes() -> Group | None:
    """The group that `start_processes` joined, or None."""
    return _world


def expect_processes(group: Group | None = None) -> Group:
    """The group, or that of all processes. Raises: ProcessError if there is none."""
    found = group if group is not None else _world
    if found is None:
        raise ProcessError(
            "has no processes to talk to",
            subject="xpnn.distributed",
            hint="Call xpnn.distributed.init() first",
        )
    if found.is_freed:
        raise ProcessError(
            "was destroyed", subject="The group", hint="Make another one by new_group, which all call"
        )
    return found


def _share_cores() -> None:
    """Give the processes of one machine a part of its cores each, unless they are bound to theirs."""
    here = launched_here()
    if here is not None and "OPENBLAS_NUM_THREADS" not in os.environ and "OMP_NUM_THREADS" not in os.environ:
        set_num_threads(max(get_num_threads() // here, 1))


def _end_together(world: Any) -> None:
    """Let an exception that nobody catches end all processes: the others would wait for this one for ever."""
    before: Callable[..., Any] = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        said = f"xpnn: rank {world.Get_rank()} of {world.Get_size()} failed:\n"
        if before is sys.__excepthook__:  # in one piece, as MPI drops what comes late
            sys.stderr.write(said + "".join(traceback.format_exception(kind, error, trace)))
        else:
            sys.stderr.write(said)
            before(kind, error, trace)
        sys.stderr.flush()
        world.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

    sys.excepthook = end


def _combined(gathered: Array, operation: str) -> Array:
    """The bits of every process's array, in the order of the ranks."""
    combine = getattr(namespace(gathered), operation)
    found = gathered[0, ...]
    for rank in range(1, gathered.shape[0]):
        found = combine(found, gathered[rank, ...])
    return found


def _raw(array: Any) -> Array:
    return array.array if is_tensor(array) else array


def _in_full(array: np.ndarray) -> np.ndarray:
    """Half precision is summed in float32."""
    half = array.dtype == np.float16 or array.dtype.name == "bfloat16"
    return array.astype(np.float32) if half else array


def _contiguous(array: np.ndarray) -> np.ndarray:
    """As MPI reads it: native, one element after the other."""
    array = _in_full(array)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _like(result: np.ndarray, array: Any) -> Any:
    """What MPI gave, as an array of the library, type and device of `array`."""
    if isinstance(array, np.ndarray):
        return result.astype(array.dtype, copy=False)
    raw = _raw(array)
    return move(result, backend_of(raw), device_of(raw), raw.dtype)
