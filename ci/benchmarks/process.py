"""Competitors as processes: one of them works, all others are stopped by the operating system.

A worker is told what to prepare, warms up, and then takes a sample whenever it is asked to. In between it is
stopped (SIGSTOP), since threads of a BLAS or of OpenMP that wait for work spin for a while and would take the
cores from whoever is measured. A sample counts only if other processes left the cores alone meanwhile.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.frameworks import THREADS

SAMPLE_SECONDS = 0.4
PREPARE_SECONDS = 240.0  # who takes longer to start and train for the compared losses is left out
BUSY_SHARE = 0.15  # of the cores' time that other processes may use during a sample
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip
# Settings of a machine or shell that keep NumPy's BLAS from what the processor can do, such as AVX-512, while
# PyTorch goes by the processor. Nobody is measured with them.
BLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE")
PR_SET_PDEATHSIG = 1


# The worker


def serve(
    prepare: Callable[[str], tuple[dict[str, Any], Callable[[int], Any]]], seconds: float = SAMPLE_SECONDS
) -> None:
    """The life of a worker: "prepare TASK" and "run" come in, one line of JSON goes out for each.

    Args:
        prepare: `prepare(task)` returns what is to be told about it, and the step to be timed.
        seconds: of a sample, about.
    """
    pin()
    die_with_parent()
    step: Any = None
    steps = 1
    for line in sys.stdin:
        word, _, task = line.strip().partition(" ")
        try:
            if word == "run":
                say({**sample(step, steps), "peak_mb": peak_mb()})
                continue
            step = None  # gives the memory of the task before back
            told, step = prepare(task)
            steps = warm_up(step, seconds)
            say(told)
        except Exception as error:
            say({"error": str(error) if error.args else type(error).__name__})


def warm_up(step: Callable[[int], Any], seconds: float) -> int:
    """Run the step a few times; returns how many of them make a sample."""
    start = time.perf_counter()
    count = 0
    while count < 3 or time.perf_counter() - start < seconds / 2:
        step(count)
        count += 1
        if count == 2 and time.perf_counter() - start > 2:
            break
    return max(2, round(count * seconds / (time.perf_counter() - start)))


def sample(step: Callable[[int], Any], steps: int) -> dict[str, Any]:
    """The times of some steps, and the share of the cores' time that went to other processes meanwhile."""
    busy, own, start = busy_seconds(), time.process_time(), time.perf_counter()
    seconds = []
    for i in range(steps):
        before = time.perf_counter()
        step(i)
        seconds.append(time.perf_counter() - before)
    wall = time.perf_counter() - start
    others = None
    if busy is not None:
        spent = busy_seconds() - busy - (time.process_time() - own)
        others = max(0.0, spent / (wall * len(cores())))
    return {"seconds": seconds, "others": others}


def pin() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:THREADS]))


def die_with_parent() -> None:
    """A stopped process does not notice that nobody reads it any more: on Linux, let the kernel end it."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


def cores() -> list[int]:
    """The cores that this process is pinned to."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(THREADS))


def busy_seconds() -> float | None:
    """What these cores have worked since the machine was started, for anybody; None where it isn't said."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    wanted = {f"cpu{core}" for core in cores()}
    fields = [line.split() for line in lines if line.split()[0] in wanted]
    if len(fields) < len(wanted):
        return None
    idle = (4, 5)  # idle, and waiting for a disk
    ticks = sum(int(field) for row in fields for i, field in enumerate(row[:9]) if i and i not in idle)
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float:
    """The largest resident size of this process so far, by the operating system."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024**2 if sys.platform == "darwin" else 1024)


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def environment_of_a_competitor() -> dict[str, str]:
    """This process's environment, with the benchmark's number of threads and nothing that hobbles a BLAS."""
    kept = {name: value for name, value in os.environ.items() if name not in BLAS_OVERRIDES}
    return {**kept, **dict.fromkeys(THREAD_VARIABLES, str(THREADS))}


# The coordinator's side


class Worker:
    """A competitor's process and what it has told; works only inside of `ask`."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self.samples: list[dict[str, Any]] = []
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**environment_of_a_competitor(), **(environment or {})},
        )

    def prepare(self, task: str) -> str | None:
        """Have the worker prepare a task and warm up; returns why it cannot."""
        self.samples = []
        timer = threading.Timer(PREPARE_SECONDS, self.process.kill)
        timer.start()
        self.ready = self.ask(f"prepare {task}")
        if not timer.is_alive() and "error" in self.ready:
            self.ready["error"] = f"not ready after {PREPARE_SECONDS:g} s"
        timer.cancel()
        return self.ready.get("error")

    def run(self) -> None:
        """Take one sample, while all the others are stopped."""
        answer = self.ask("run")
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        self.samples.append(answer)

    def ask(self, line: str) -> dict[str, Any]:
        """Let the process go on, tell it a line, wait for the answer and stop the process."""
        assert self.process.stdin is not None
        self.signal("SIGCONT")
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return self.ending()
        return self.listen()

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                self.signal("SIGSTOP")
                return json.loads(line)
        return self.ending()

    def ending(self) -> dict[str, Any]:
        self.errors.seek(0)
        last = self.errors.read().strip().rpartition("\n")[2]
        return {"error": f"its process ended with status {self.process.wait()}: {last}"}

    def signal(self, name: str) -> None:
        if hasattr(signal, name) and self.process.poll() is None:
            self.process.send_signal(getattr(signal, name))

    def kept(self) -> list[dict[str, Any]]:
        """The samples that nobody disturbed."""
        return [s for s in self.samples if s["others"] is None or s["others"] <= BUSY_SHARE]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process: at the end of its input, or by force if that takes it long."""
        with suppress(BrokenPipeError):
            self.signal("SIGCONT")
            assert self.process.stdin is not None
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()


def take_turns(field: list[Worker], rounds: int, limit: float) -> None:
    """Rounds over all workers until each has `rounds` undisturbed samples, or `limit` seconds are over."""
    end = time.monotonic() + limit
    turn = 0
    while field and time.monotonic() < end and min(len(worker.kept()) for worker in field) < rounds:
        for i in range(len(field)):
            field[(turn + i) % len(field)].run()
        turn += 1
