"""What each kernel file gains: tasks are timed with all of them, and with one left out.

A task is a row of the kernel table, a workload or a size of a sweep. In each, only the files that it enters
are switched off, each in a process of its own, which takes turns with one that has them all.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import kernels
from benchmarks.competitors import make_step, parse, start
from benchmarks.frameworks import Step
from benchmarks.process import Worker, take_turns
from benchmarks.report import summarise
from benchmarks.sweep import SWEEPS

AT_ONCE = 4  # so many files take turns; each is a process that holds a task's memory
WITHOUT = "XPNN_WITHOUT_KERNELS"
Row = dict[str, Any]


# The worker


def prepare(competitor: str, task: str) -> tuple[dict[str, Any], Step]:
    """For `process.serve`: the kernel files that a step enters, all that there are, and the step."""
    if task in kernels.KERNELS:
        _, step = kernels.prepare(parse(competitor).name, task)
    else:
        step = make_step(competitor, task)
        step(0)
    from xpnn.backend import kernel_files

    return {"entered": files_entered(step, kernel_files()), "files": kernel_files()}, step


def files_entered(step: Step, files: list[str]) -> list[str]:
    """Which of the files a step enters; they are named as in `XPNN_WITHOUT_KERNELS`."""
    from xpnn import kernels as package

    folder = Path(package.__file__).parent
    names = {str(folder / f"{file.replace('.', '/')}.py"): file for file in files}
    entered = set()

    def look(frame: FrameType, event: str, argument: Any) -> None:
        entered.add(frame.f_code.co_filename)

    sys.setprofile(look)
    try:
        step(1)
    finally:
        sys.setprofile(None)
    return sorted(names[file] for file in entered if file in names)


# The coordinator's side


def sizes() -> list[str]:
    """The middle size of each sweep."""
    return [f"{name}/{list(swept.sizes)[len(swept.sizes) // 2]}" for name, swept in SWEEPS.items()]


def chosen(files: Sequence[str], words: Sequence[str], competitor: str) -> list[str]:
    """The files of a competitor that words such as numpy, numpy.conv or numpy.conv.rows mean."""
    folder = parse(competitor).name
    words = words or [folder]
    return [
        file
        for file in files
        if file.startswith(f"{folder}.")
        and any(file == word or file.startswith(f"{word}.") for word in words)
    ]


def measure(
    base: Worker, task: str, words: Sequence[str], earned: Collection[str], rounds: int, seconds: float
) -> list[Row]:
    """A row for each file that a task enters: the time without it, as a multiple of the time with it.

    Args:
        base: the process that has all files.
        words: what is asked about, see `chosen`.
        earned: files that are left alone.
    """
    if base.prepare(task) is not None:
        return []
    rows: list[Row] = []
    files = [file for file in chosen(base.ready["entered"], words, base.name) if file not in earned]
    for some in (files[i : i + AT_ONCE] for i in range(0, len(files), AT_ONCE)):
        base.samples = []
        with ExitStack() as stack:
            field = {}
            for file in some:
                worker = stack.enter_context(start(base.name, "earn", extra={WITHOUT: file}))
                if worker.prepare(task) is None:
                    field[file] = worker
                else:
                    rows.append({"task": task, "file": file, "gain": None, "reason": worker.ready["error"]})
            take_turns([base, *field.values()], rounds, seconds)
        with_all = summarise(base)["median_ms"]
        for file, worker in field.items():
            without = summarise(worker)["median_ms"]
            rows.append({"task": task, "file": file, "gain": without / with_all, "ms": with_all})
    return rows
