"""Where the milliseconds of a step on NumPy go: by primitive forward and backward, optimizer, and the rest.

The functions of all primitives and kernels are wrapped from outside, so that the library knows nothing of it.
What one of them calls counts as its own; "the rest" is the tape, the modules and Python between them.
"""

from __future__ import annotations

import functools
import gc
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import models
from benchmarks.competitors import find_workload
from benchmarks.frameworks import xpnn_step

SECONDS = 3.0  # of each of the two measurements


class Profile:
    """Seconds and calls by (name, direction, shapes), of the outermost wrapped calls only."""

    def __init__(self) -> None:
        self.seconds: defaultdict[tuple[str, str, str], float] = defaultdict(float)
        self.calls: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self.inside = False

    def wrap(self, function: Callable, name: str, direction: str) -> Callable:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            if self.inside:
                return function(*args, **options)
            self.inside = True
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                key = (name, direction, shapes(args))
                self.seconds[key] += time.perf_counter() - start
                self.calls[key] += 1
                self.inside = False

        return timed


def shapes(args: tuple[Any, ...]) -> str:
    """The shapes of the arrays that a forward takes, or of the upstream gradients of a backward."""
    first = args[0] if args and isinstance(args[0], tuple) else args
    found = [array.shape for array in first if hasattr(array, "shape") and array.shape]
    return ", ".join("x".join(map(str, shape)) for shape in found[:2])


def profile(name: str, backend: str) -> str:
    """Run a workload's steps as they are, then wrapped; returns tables of the mean step."""
    title, optimizer, step = prepared(name, backend)
    step(0)
    total = statistics.fmean(timings(step))
    record = Profile()
    instrument(record, optimizer)
    step(1)
    record.seconds.clear()
    record.calls.clear()
    wrapped = timings(step)
    title = f"{title}, xpnn on {backend}: {1e3 * total:.2f} ms a step"
    return "\n".join([title, "", *tables(record, len(wrapped), statistics.fmean(wrapped), total)])


def prepared(name: str, backend: str) -> tuple[str, tuple[str, Any] | None, Callable[[int], Any]]:
    """The title, the optimizer and the step of a workload, a size of a sweep, or a network."""
    if name in models.NETS:
        _, step = models.prepare("numpy", name)
        return models.NETS[name].title, ("SGD", models.OPTIMIZER), step
    workload = find_workload(name)
    return workload.title, workload.optimizer, xpnn_step(workload, backend)


def timings(step: Callable[[int], Any]) -> list[float]:
    times: list[float] = []
    while len(times) < 3 or (math.fsum(times) < SECONDS and len(times) < 2000):
        start = time.perf_counter()
        step(len(times))
        times.append(time.perf_counter() - start)
    return times


def instrument(record: Profile, optimizer: tuple[str, Any] | None) -> None:
    """Wrap the forward and backward of everything that a step may call, for good."""
    import xpnn
    from xpnn.autograd.primitive import Primitive
    from xpnn.backend.kernels import registered_kernels

    primitives = [found for found in gc.get_objects() if isinstance(found, Primitive)]
    for function in (*primitives, *registered_kernels()):
        function.forward = record.wrap(function.forward, function.name, "forward")
        if function.backward_function is not None:
            function.backward_function = record.wrap(function.backward_function, function.name, "backward")
    if optimizer is not None:
        kind = getattr(xpnn.optim, optimizer[0])
        for method in ("step", "zero_grad"):
            setattr(kind, method, record.wrap(getattr(kind, method), "optimizer", method))


def tables(record: Profile, steps: int, wrapped: float, total: float) -> Iterator[str]:
    """Markdown: by primitive and direction, then the most expensive shapes."""
    sums: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for (name, direction, _), seconds in record.seconds.items():
        sums[name, direction][0] += 1e3 * seconds / steps
    for (name, direction, _), calls in record.calls.items():
        sums[name, direction][1] += calls / steps
    yield "| what | | ms | share | calls |"
    yield "|---|---|---:|---:|---:|"
    for (name, direction), (ms, calls) in sorted(sums.items(), key=lambda item: -item[1][0]):
        yield f"| {name} | {direction} | {ms:.3f} | {ms / (1e3 * wrapped):.1%} | {calls:g} |"
    rest = 1e3 * wrapped - sum(ms for ms, _ in sums.values())
    yield f"| the rest | | {rest:.3f} | {rest / (1e3 * wrapped):.1%} | |"
    yield f"| sum, with {1e3 * (wrapped - total):.2f} ms for looking | | {1e3 * wrapped:.3f} | | |"
    yield ""
    yield "| what | | shapes | ms | calls |"
    yield "|---|---|---|---:|---:|"
    for key in sorted(record.seconds, key=lambda key: -record.seconds[key])[:25]:
        name, direction, sizes = key
        ms = 1e3 * record.seconds[key] / steps
        yield f"| {name} | {direction} | {sizes} | {ms:.3f} | {record.calls[key] / steps:g} |"
