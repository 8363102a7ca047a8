"""Training steps of xpnn on each of its backends and of PyTorch, side by side on this machine.

    python ci/bench.py [--workloads mlp,lenet,resnet20] [--backends numpy,jax,pytorch] [--quick] [--json FILE]

Every competitor is a process of its own, pinned to the same two cores with two threads. All of them start,
warm up, and wait; then, round after round, each in turn is told to run for a moment while the others sleep,
so that whatever the machine is doing meets all of them alike. A sample taken while other processes used the
cores is thrown away; the table says how many were kept. The first losses are compared, so that a fast wrong
step is not praised. Quote the ratios rather than the times.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BATCH = 128
BATCHES = 4  # different ones, taken in turn
COMPARED_LOSSES = 20
THREADS = 2
SAMPLE_SECONDS = 0.4
BUSY_SHARE = 0.15  # of the cores' time that other processes may use during a sample
REFERENCE = "pytorch"
COMPETITORS = ("numpy", "torch", "jax", "cupy", REFERENCE)  # and, where asked for, "pytorch:cuda"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


# The workloads, written once: `nn` and `F` are xpnn's or PyTorch's


def mlp(nn: Any, F: Any) -> Any:
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def lenet(nn: Any, F: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def resnet20(nn: Any, F: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, inside: int, outside: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outside)
            self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outside)
            self.shortcut = nn.Sequential()
            if stride != 1:
                projection = nn.Conv2d(inside, outside, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outside))

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.shortcut(x))

    shapes = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*stem, *(Block(*shape) for shape in shapes), *head)


@dataclass(frozen=True)
class Workload:
    """A network, the shape of one input, and the optimizer as (class, options)."""

    title: str
    model: Callable[[Any, Any], Any]
    shape: tuple[int, ...]
    optimizer: tuple[str, dict[str, float]]


WORKLOADS = {
    "mlp": Workload("MLP 784-512-512-10", mlp, (784,), ("Adam", {"lr": 1e-3})),
    "lenet": Workload("LeNet 28x28", lenet, (1, 28, 28), ("Adam", {"lr": 1e-3})),
    "resnet20": Workload(
        "ResNet-20 32x32", resnet20, (3, 32, 32), ("SGD", {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4})
    ),
}


# A competitor: one process


def xpnn_step(workload: Workload, backend: str) -> Callable[[int], float]:
    import xpnn

    xpnn.set_backend(backend)

    def compiled(step: Callable, model: Any, optimizer: Any) -> Callable:
        return xpnn.compile(step, model, optimizer)

    return training_step(workload, xpnn.nn, xpnn.functional, xpnn.optim, xpnn.asarray, compiled)


def torch_step(workload: Workload, device: str) -> Callable[[int], float]:
    import torch

    torch.set_num_threads(THREADS)
    torch.set_default_device(device)

    def eager(step: Callable, model: Any, optimizer: Any) -> Callable:
        return step

    return training_step(workload, torch.nn, torch.nn.functional, torch.optim, torch.tensor, eager)


def training_step(
    workload: Workload, nn: Any, F: Any, optim: Any, array: Callable, finish: Callable
) -> Callable[[int], float]:
    """What a user writes, in either library: a function that trains on batch i and returns the loss."""
    import numpy as np

    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((BATCHES, BATCH, *workload.shape), dtype=np.float32)
    labels = rng.integers(0, 10, (BATCHES, BATCH))
    batches = [(array(x), array(y)) for x, y in zip(inputs, labels, strict=True)]

    model = workload.model(nn, F)
    for name, parameter in model.named_parameters():
        parameter.data = array(initial_values(rng, name, tuple(parameter.shape)))
    kind, options = workload.optimizer
    optimizer = getattr(optim, kind)(model.parameters(), **options)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = finish(step, model, optimizer)
    return lambda i: float(run(*batches[i % BATCHES]).item())


def initial_values(rng: Any, name: str, shape: tuple[int, ...]) -> Any:
    """He's initialisation for weights; ones and zeros for normalisation layers and biases."""
    import numpy as np

    if len(shape) == 1:
        return np.full(shape, 0.0 if name.endswith("bias") else 1.0, dtype=np.float32)
    fan_in = int(np.prod(shape[1:]))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / fan_in) ** 0.5)


def work(competitor: str, workload: str) -> None:
    """The life of a competitor: build, warm up, say so; then a sample for every line that comes in."""
    pin()
    name, _, device = competitor.partition(":")
    try:
        make = torch_step if name == REFERENCE else xpnn_step
        step = make(WORKLOADS[workload], (device or "cpu") if name == REFERENCE else name)
        losses = [step(i) for i in range(COMPARED_LOSSES)]
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return
    start = time.perf_counter()
    for i in range(5):
        step(i)
    steps = max(3, round(5 * SAMPLE_SECONDS / (time.perf_counter() - start)))
    say({"losses": losses, "steps": steps})
    for line in sys.stdin:
        say({**sample(step, steps), "peak_mb": peak_mb()} if line.strip() == "run" else {})


def sample(step: Callable[[int], float], steps: int) -> dict[str, Any]:
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


# The coordinator


class Competitor:
    """A worker process, and what it has told."""

    def __init__(self, name: str, workload: str) -> None:
        self.name = name
        self.samples: list[dict[str, Any]] = []
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(THREADS))}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--work", name, "--workloads", workload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.ready = self.listen()

    def listen(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return {"error": f"the process ended with status {self.process.wait()}"}

    def run(self) -> None:
        """Take one sample, while all the others wait."""
        assert self.process.stdin is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = self.listen()
        if "error" in answer:
            raise RuntimeError(f"{self.name}: {answer['error']}")
        self.samples.append(answer)

    def kept(self) -> list[dict[str, Any]]:
        return [s for s in self.samples if s["others"] is None or s["others"] <= BUSY_SHARE]

    def __enter__(self) -> Competitor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()


def measure(workload: str, names: list[str], rounds: int, limit: float) -> list[dict[str, Any]]:
    """Rounds over all competitors until each has `rounds` samples worth keeping, or the time is up."""
    with ExitStack() as stack:
        field = []
        for name in names:
            competitor = stack.enter_context(Competitor(name, workload))
            if "error" in competitor.ready:
                report(f"  {label(name)}: left out, {competitor.ready['error']}")
            else:
                field.append(competitor)
        end = time.monotonic() + limit
        turn = 0
        while field and time.monotonic() < end and min(len(c.kept()) for c in field) < rounds:
            for i in range(len(field)):
                field[(turn + i) % len(field)].run()
            turn += 1
        return list(results(workload, field))


def results(workload: str, field: list[Competitor]) -> Iterator[dict[str, Any]]:
    times = {c.name: summarise(c) for c in field}
    reference = next((c for c in field if c.name == REFERENCE), None)
    for c in field:
        row = {"workload": workload, "competitor": c.name, **times[c.name], "losses": c.ready["losses"]}
        if reference is not None:
            row["ratio"] = times[c.name]["median_ms"] / times[REFERENCE]["median_ms"]
            pairs = zip(c.ready["losses"], reference.ready["losses"], strict=True)
            row["loss_difference"] = max(abs(a - b) / abs(b) for a, b in pairs)
        yield row


def summarise(competitor: Competitor) -> dict[str, Any]:
    """The median of the samples' medians and the fastest step; of all samples if none was undisturbed."""
    samples = competitor.kept() or competitor.samples
    return {
        "median_ms": 1e3 * statistics.median(statistics.median(s["seconds"]) for s in samples),
        "min_ms": 1e3 * min(min(s["seconds"]) for s in samples),
        "peak_mb": max(s["peak_mb"] for s in competitor.samples),
        "samples": len(competitor.samples),
        "kept": len(competitor.kept()),
    }


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    try:
        names = [
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        pass
    versions = {}
    for package in ("xpnn", "numpy", "torch", "jax", "cupy-cuda12x", "cupy-cuda13x"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": THREADS,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def table(about: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        f"{about['processor']}, {about['threads']} of {about['cores']} cores, {about['system']}, "
        f"Python {about['python']}, {versions}. Medians of one training step, batch {BATCH}, float32.",
        "",
        "| workload | library | ms per step | fastest | PyTorch = 1 | peak MB | losses differ by | samples |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
        difference = f"{row['loss_difference']:.0e}" if row.get("loss_difference") else ""
        lines.append(
            f"| {WORKLOADS[row['workload']].title} | {label(row['competitor'])} | {row['median_ms']:.2f} "
            f"| {row['min_ms']:.2f} | {ratio} | {row['peak_mb']:.0f} | {difference} "
            f"| {row['kept']} of {row['samples']} |"
        )
    return "\n".join(lines)


def label(competitor: str) -> str:
    name, _, device = competitor.partition(":")
    if name == REFERENCE:
        return f"PyTorch on {device}" if device else "PyTorch"
    return f"xpnn, {name}" + (", compiled" if name == "jax" else "")


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="of: %(default)s")
    parser.add_argument("--backends", default=",".join(COMPETITORS), help="of: %(default)s, pytorch:cuda")
    parser.add_argument("--quick", action="store_true", help="few samples: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured here")
    parser.add_argument("--seconds", type=float, default=120, help="at most, for a workload: %(default)s")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    workloads = options.workloads.split(",")
    unknown = set(workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    if options.work:
        work(options.work, workloads[0])
        return

    rounds, limit = (3, min(30.0, options.seconds)) if options.quick else (15, options.seconds)
    rows: list[dict[str, Any]] = []
    about = machine()
    for workload in workloads:
        report(f"{WORKLOADS[workload].title} ...")
        rows += measure(workload, options.backends.split(","), rounds, limit)
        if options.json:  # after each workload, so that a run that is cut leaves what it has
            options.json.write_text(json.dumps({"machine": about, "results": rows}, indent=1) + "\n")
    print(table(about, rows))


if __name__ == "__main__":
    main()
