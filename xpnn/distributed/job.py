"""Joining a job of several processes, and what each knows of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

from xpnn.backend import (
    ArgumentError,
    Group,
    expect_processes,
    launched_size,
    leave_processes,
    processes,
    start_processes,
)

__all__ = [
    "destroy_process_group",
    "get_backend",
    "get_rank",
    "get_world_size",
    "init",
    "init_process_group",
    "is_available",
    "is_initialized",
    "is_launched",
    "new_group",
]


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

    From here on an exception that nobody catches ends all processes, and those of one machine share its
    cores.

    Args:
        backend: "mpi", or None; PyTorch's "gloo" and "nccl" are taken as MPI too.
        world_size, rank: if given, must be what the launcher said.
        init_method, timeout, store, group_name, pg_options, device_id: are accepted; MPI needs none of them.

    Raises: as `init`; ArgumentError for another backend, number of processes or rank.
    """
    if backend is not None and not {*backend.replace(":", ",").split(",")} <= {
        *("mpi", "gloo", "nccl", "cpu", "cuda")
    }:
        raise ArgumentError(f"expects 'mpi', got {backend!r}", subject="init_process_group")
    group = start_processes()
    if world_size not in (-1, group.size) or rank not in (-1, group.rank):
        raise ArgumentError(
            f"was given rank {rank} of {world_size}, but MPI says {group.rank} of {group.size}",
            subject="init_process_group",
            hint="Start the script by mpiexec, srun or `xpnn launch`, and leave both out",
        )


def destroy_process_group(group: Group | None = None) -> None:
    """Leave the job: this process computes alone again. A smaller group is just let go."""
    if group is None or group is processes():
        leave_processes()


def new_group(ranks: Sequence[int] | None = None) -> Group | None:
    """A group of some of the processes, which all processes must call alike; None in those left out."""
    world = expect_processes()
    return world.of(list(range(world.size)) if ranks is None else sorted(ranks))


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


def get_rank(group: Group | None = None) -> int:
    """Which of the processes this one is, from 0."""
    return expect_processes(group).rank


def get_world_size(group: Group | None = None) -> int:
    """How many processes there are."""
    return expect_processes(group).size


def get_backend(group: Group | None = None) -> str:
    """What the processes talk over: "mpi"."""
    expect_processes(group)
    return "mpi"
