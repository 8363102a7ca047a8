"""Joining a job of several processes, and what each knows of it."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from xpnn.backend import (
    ArgumentError,
    Group,
    launched_size,
    leave_processes,
    local_rank,
    processes,
    registered_backends,
    start_processes,
)
from xpnn.distributed.collectives import Members
from xpnn.distributed.membership import LeftOut
from xpnn.distributed.work import expect_member

__all__ = [
    "destroy_process_group",
    "get_backend",
    "get_node_local_rank",
    "init",
    "init_process_group",
    "is_available",
    "is_backend_available",
    "is_gloo_available",
    "is_initialized",
    "is_launched",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "is_ucc_available",
]

_KNOWN = {*("mpi", "gloo", "nccl"), *("cpu", "cuda")}


def init() -> Group:
    """Join the job that this process was started for (see `init_process_group`).

    Returns: the group of all its processes, with `rank` and `size`.

    Raises: MissingDependencyError without mpi4py (`pip install 'xpnn[mpi]'`); ProcessError for a launcher of
    another MPI.
    """
    return start_processes()


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """`init()` by PyTorch's name. Processes talk over MPI, whose launcher says how many they are.

    Arrays of CuPy go from GPU to GPU where NCCL is installed and each process has a GPU of its own: the one
    whose number is its rank on this machine. Others go through host memory.

    From here on an exception that nobody catches ends all processes, and those of one machine share its
    cores.

    Args:
        backend: "mpi" or "gloo" send arrays of GPUs through host memory too; "nccl" and None do not.
            PyTorch's words for both, such as "cpu:gloo,cuda:nccl", are known.
        world_size, rank: if given, must be what the launcher said.
        init_method, timeout, store, group_name, pg_options, device_id: are accepted; MPI needs none of them.

    Raises: as `init`; ArgumentError for another backend, number of processes or rank.
    """
    words = set() if backend is None else {*backend.lower().replace(":", ",").split(",")}
    if not words <= _KNOWN:
        raise ArgumentError(f"expects 'mpi' or 'nccl', got {backend!r}", subject="init_process_group")
    group = start_processes(through_gpus=backend is None or "nccl" in words)
    if world_size not in (-1, group.size) or rank not in (-1, group.rank):
        raise ArgumentError(
            f"was given rank {rank} of {world_size}, but MPI says {group.rank} of {group.size}",
            subject="init_process_group",
            hint="Start the script by mpiexec, srun or `xpnn launch`, and leave both out",
        )


def destroy_process_group(group: Members = None) -> None:
    """Leave the job: this process computes alone again.

    A group that `new_group` made is freed, which all its processes do; there is room for about two thousand.
    """
    if group is None or group is processes():
        leave_processes()
    elif not isinstance(group, LeftOut):
        group.free()


def is_available() -> bool:
    """Whether mpi4py is installed.

    >>> is_available() in (True, False)
    True
    """
    return importlib.util.find_spec("mpi4py") is not None


def is_initialized() -> bool:
    """Whether this process has joined a job.

    >>> is_initialized()
    False
    """
    return processes() is not None


def is_launched() -> bool:
    """Whether a launcher has started this process as one of several.

    >>> is_launched()
    False
    """
    return launched_size() > 1


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """Which of the processes on this machine this one is; `fallback_rank` without a launcher."""
    return fallback_rank if fallback_rank is not None and launched_size() == 1 else local_rank()


def get_backend(group: Members = None) -> str:
    """What the processes talk over: "mpi", or "nccl" where it has carried arrays of this group."""
    return "nccl" if expect_member(group).joined_gpus else "mpi"


def is_mpi_available() -> bool:
    """Whether mpi4py is installed."""
    return is_available()


def is_nccl_available() -> bool:
    """Whether a library with NCCL is installed; whether it works is seen when arrays are first sent."""
    return any(
        backend.nccl is not None and all(map(importlib.util.find_spec, backend.packages))
        for backend in registered_backends()
    )


def is_gloo_available() -> bool:
    """False: processes talk over MPI, which a program that asks for "gloo" gets as well."""
    return False


def is_ucc_available() -> bool:
    """False: processes talk over MPI."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether processes can talk over "mpi" or "nccl".

    >>> is_backend_available("mpi") == is_available(), is_backend_available("gloo")
    (True, False)
    """
    return {"mpi": is_mpi_available, "nccl": is_nccl_available}.get(backend.lower(), is_gloo_available)()


def is_torchelastic_launched() -> bool:
    """Whether `torchrun` has started this process.

    >>> is_torchelastic_launched()
    False
    """
    return "TORCHELASTIC_RUN_ID" in os.environ
