"""What launchers of several processes (`mpiexec`, `srun`) tell each of them by environment variables."""

from __future__ import annotations

import os
import re

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_SIZES_HERE = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE")
_RANKS_HERE = (
    *("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"),
    *("SLURM_LOCALID", "LOCAL_RANK"),
)


def launched_size() -> int:
    """How many processes the launcher says it has started; 1 without one.

    `torchrun` counts, although its processes are none of MPI's: none of them shall train alone in silence.
    """
    of_torchrun = ("WORLD_SIZE",) if "RANK" in os.environ else ()
    return max(_numbers((*_SIZES, *of_torchrun)), default=1)


def launched_here() -> int | None:
    """How many of them share this machine's cores.

    None where the launcher does not tell, and where Slurm has given each its own.
    """
    told = _numbers(_SIZES_HERE)
    return told[0] if told else _by_slurm()


def launching_advice() -> str:
    """What to do where a launcher's processes do not find each other."""
    if "SLURM_STEP_NUM_TASKS" in os.environ:
        return "Say srun --mpi=pmi2, or --mpi=pmix for Open MPI; srun --mpi=list shows what there is"
    return "Use the mpiexec of the MPI that mpi4py was built for, or `xpnn launch`, not torchrun"


def local_rank() -> int:
    """Which of the processes on this machine this one is, from 0; 0 without a launcher."""
    return next(iter(_numbers(_RANKS_HERE)), 0)


def _by_slurm() -> int | None:
    """The processes of a step of Slurm's on this machine, of which it says "2(x3),1" for 2, 2, 2 and 1."""
    parts = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "").split(",")
    runs = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part) for part in parts]
    counts = [int(run[1]) for run in runs if run for _ in range(int(run[2] or 1))]
    node, cores = _numbers(("SLURM_NODEID",)), _numbers(("SLURM_CPUS_ON_NODE",))
    if not node or node[0] >= len(counts) or (cores and _own_cores() < cores[0]):
        return None
    return counts[node[0]]


def _own_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()]
