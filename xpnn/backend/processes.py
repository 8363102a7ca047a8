"""The processes of a job that compute together, over MPI.

Whoever starts `mpiexec -n 4 python train.py` (or Slurm's `srun`, or `xpnn launch -n 4 train.py`) gets four
processes, each with a rank from 0 to 3. What they tell each other goes through host memory; arrays of other
libraries are copied there and back.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from xpnn.backend.arrays import device_of, move, to_numpy
from xpnn.backend.dependencies import optional_import
from xpnn.backend.errors import ArgumentError, DTypeError, XpnnError
from xpnn.backend.namespace import backend_of, is_tensor
from xpnn.backend.threads import get_num_threads, set_num_threads

# What launchers tell each process: the number of them, and of those on the same machine.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_ON_THIS_MACHINE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")

_OPERATIONS = {"sum": "SUM", "product": "PROD", "min": "MIN", "max": "MAX"}


class ProcessError(XpnnError, RuntimeError):
    """Processes that do not fit together: not started, or of different minds."""


class Group:
    """Processes that talk to each other.

    Every process calls the same methods in the same order, with arrays of the same shape and type.

    Attributes:
        rank: which of them this one is, from 0. size: how many there are.
    """

    def __init__(self, communicator: Any, mpi: Any) -> None:
        self._communicator = communicator
        self._mpi = mpi
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()

    def __repr__(self) -> str:
        return f"Group(rank={self.rank}, size={self.size})"

    def copy(self) -> Group:
        """The same processes, with messages that do not mix with those of this group."""
        return Group(self._communicator.Dup(), self._mpi)

    def of(self, ranks: list[int]) -> Group | None:
        """A group of some of the processes, which all processes make together; None for the others."""
        members = self._communicator.Get_group().Incl(ranks)
        communicator = self._communicator.Create(members)
        return None if communicator == self._mpi.COMM_NULL else Group(communicator, self._mpi)

    def all_reduce(self, array: Any, operation: str = "sum") -> Any:
        """The sum (product, min, max) of every process's array: the same bits in each of them."""
        host = _contiguous(to_numpy(array))
        result = np.empty_like(host)
        self._communicator.Allreduce(host, result, self._operation(operation, host.dtype))
        return _like(result, array)

    def start_sum(self, array: np.ndarray, result: np.ndarray) -> Any:
        """Begin to sum every process's array into `result`; returns a request, with `Test()` and `Wait()`."""
        return self._communicator.Iallreduce(array, result, self._mpi.SUM)

    def broadcast(self, array: Any, source: int = 0) -> Any:
        """The array of one process, in all of them."""
        host = _contiguous(to_numpy(array)).copy()
        self._communicator.Bcast(host, self._root(source))
        return _like(host, array)

    def all_gather(self, array: Any) -> Any:
        """Every process's array, stacked in the order of the ranks."""
        host = _contiguous(to_numpy(array))
        result = np.empty((self.size, *host.shape), host.dtype)
        self._communicator.Allgather(host, result)
        return _like(result, array)

    def all_gather_object(self, value: Any) -> list[Any]:
        """Every process's value, which is pickled on the way."""
        return self._communicator.allgather(value)

    def gather_object(self, value: Any, destination: int = 0) -> list[Any] | None:
        """Every process's value in one of them, None in the others; it is pickled on the way."""
        return self._communicator.gather(value, self._root(destination, "gather"))

    def broadcast_object(self, value: Any, source: int = 0) -> Any:
        """The value of one process, in all of them; it is pickled on the way."""
        return self._communicator.bcast(value, self._root(source))

    def barrier(self) -> None:
        """Wait until every process is here."""
        self._communicator.Barrier()

    def _operation(self, name: str, dtype: Any) -> Any:
        if name not in _OPERATIONS:
            known = ", ".join(_OPERATIONS)
            raise ArgumentError(f"expects one of {known}, got {name!r}", subject="all_reduce")
        if dtype.kind == "b" or (dtype.kind == "c" and name in ("min", "max")):
            raise DTypeError(f"has no {name} of arrays of {dtype}", subject="all_reduce")
        return getattr(self._mpi, _OPERATIONS[name])

    def _root(self, rank: int, subject: str = "broadcast") -> int:
        if not 0 <= rank < self.size:
            raise ArgumentError(f"expects a rank in [0, {self.size}), got {rank}", subject=subject)
        return rank


_world: Group | None = None


def start_processes() -> Group:
    """Join the job that this process was started for; the group of all its processes.

    From here on an exception that nobody catches ends the whole job with its traceback, and the processes of
    a machine share its cores. Without a launcher it is a job of one process.

    Raises: MissingDependencyError without mpi4py; ProcessError where a launcher has started several
    processes and MPI sees one, as a launcher of another MPI does.
    """
    global _world
    if _world is None:
        mpi = optional_import("mpi4py.MPI", extra="mpi")
        world = Group(mpi.COMM_WORLD, mpi)
        expected = launched_size()
        if world.size == 1 and expected > 1:
            raise ProcessError(
                f"was started as one of {expected} processes, but mpi4py sees only itself",
                subject="This process",
                hint="Use the mpiexec of the MPI that mpi4py was built for, or `xpnn launch`",
            )
        if world.size > 1:
            _share_cores()
            _end_together(mpi.COMM_WORLD)
        _world = world
    return _world


def leave_processes() -> None:
    """Compute alone again."""
    global _world
    _world = None


def processes() -> Group | None:
    """The group that `start_processes` joined, or None."""
    return _world


def launched_size() -> int:
    """How many processes the launcher says it has started; 1 without one."""
    return max([int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()], default=1)


def expect_processes(group: Group | None = None) -> Group:
    """The group, or that of all processes. Raises: ProcessError if there is none."""
    found = group if group is not None else _world
    if found is None:
        raise ProcessError(
            "has no processes to talk to",
            subject="xpnn.distributed",
            hint="Call xpnn.distributed.init() first",
        )
    return found


def _share_cores() -> None:
    """Give the processes of one machine a part of its cores each, unless they are bound to theirs."""
    here = [int(os.environ[name]) for name in _ON_THIS_MACHINE if os.environ.get(name, "").isdigit()]
    if here and "OPENBLAS_NUM_THREADS" not in os.environ and "OMP_NUM_THREADS" not in os.environ:
        set_num_threads(max(get_num_threads() // here[0], 1))


def _end_together(world: Any) -> None:
    """Let an exception that nobody catches end all processes: the others would wait for this one for ever."""
    before: Callable[..., Any] = sys.excepthook

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(f"xpnn: rank {world.Get_rank()} of {world.Get_size()} failed:", file=sys.stderr)
        if before is sys.__excepthook__:
            traceback.print_exception(kind, error, trace)
        else:
            before(kind, error, trace)
        sys.stderr.flush()
        world.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)

    sys.excepthook = end


def _contiguous(array: np.ndarray) -> np.ndarray:
    """As MPI reads it: native, one element after the other; half precision is summed in float32."""
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def _like(result: np.ndarray, array: Any) -> Any:
    """What MPI gave, as an array of the library, type and device of `array`."""
    if isinstance(array, np.ndarray):
        return result.astype(array.dtype, copy=False)
    raw = array.array if is_tensor(array) else array
    return move(result, backend_of(raw), device_of(raw), raw.dtype)
