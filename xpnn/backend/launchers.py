"""What launchers of several processes (`mpiexec`, `srun`) tell each of them by environment variables."""

from __future__ import annotations

import os

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
    """How many of them are on this machine; None where the launcher does not tell."""
    return next(iter(_numbers(_SIZES_HERE)), None)


def local_rank() -> int:
    """Which of the processes on this machine this one is, from 0; 0 without a launcher."""
    return next(iter(_numbers(_RANKS_HERE)), 0)


def _numbers(names: tuple[str, ...]) -> list[int]:
    return [int(os.environ[name]) for name in names if os.environ.get(name, "").isdigit()]
