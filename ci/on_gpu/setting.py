"""What all parts share: where they run, how device time is taken, and the workloads in small."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.workloads import WORKLOADS, Workload

Row = dict[str, Any]  # what a part found; "wrong" says why it must not be so
Part = Callable[["Setting"], Iterator[Row]]

DRY_SHAPES = {"resnet20": (3, 8, 8), "transformer": (4, 128), "lstm": (3, 128)}


@dataclass(frozen=True)
class Setting:
    """Where and how a part runs.

    Attributes:
        dry: on the stand-in for CuPy, everything as small as it can be: to see that the code runs.
        seconds: what the part has; one that can do with less of its work looks at it.
    """

    dry: bool
    seconds: float

    @property
    def backend(self) -> str:
        return "cupy_like" if self.dry else "cupy"

    @property
    def library(self) -> Any:
        """CuPy, or its stand-in."""
        return importlib.import_module(self.backend)

    def pick(self, usual: Any, dry: Any) -> Any:
        """What is taken on a card, or in the dry run."""
        return dry if self.dry else usual

    def workload(self, name: str, batch: int) -> Workload:
        """A workload of the bench with another batch size."""
        workload = WORKLOADS[name]
        if self.dry:
            return replace(workload, shape=DRY_SHAPES.get(name, workload.shape), batch=2)
        return replace(workload, batch=batch)

    def milliseconds(self, work: Callable[[], Any], repeats: int, samples: int = 5) -> float:
        """The device's time of one call, between two events: the median of some samples of many calls."""
        cuda = self.library.cuda
        work()
        taken = []
        for _ in range(samples):
            start, end = cuda.Event(), cuda.Event()
            start.record()
            for _ in range(repeats):
                work()
            end.record()
            end.synchronize()
            taken.append(cuda.get_elapsed_time(start, end) / repeats)
        return statistics.median(taken)


def torch_milliseconds(work: Callable[[], Any], repeats: int, samples: int = 5) -> float:
    """As `Setting.milliseconds`, by PyTorch's events; on a CPU by the clock."""
    torch = importlib.import_module("torch")
    on_card = torch.cuda.is_available()
    work()
    taken = []
    for _ in range(samples):
        if on_card:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
        began = time.perf_counter()
        for _ in range(repeats):
            work()
        if on_card:
            end.record()
            end.synchronize()
        spent = start.elapsed_time(end) if on_card else (time.perf_counter() - began) * 1e3
        taken.append(spent / repeats)
    return statistics.median(taken)


def distance(found: Any, expected: Any) -> float:
    """The norm of the difference over that of what was expected; NaN where either is."""
    np = importlib.import_module("numpy")
    found, expected = (np.asarray(values, dtype=np.float64).ravel() for values in (found, expected))
    return float(np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-300))


def beyond(found: float, limit: float) -> dict[str, str]:
    """What makes a row wrong, if it is more than the limit, or NaN."""
    return {} if found <= limit else {"wrong": f"more than {limit:g}"}
