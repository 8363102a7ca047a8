"""Who competes, what each is called and how its process is started.

A competitor is a name of LABELS, with more behind it where it is needed: `pytorch:cuda` is PyTorch on another
device, `numpy@FOLDER` is the xpnn that lies in a folder, such as a checkout of the commit before.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import kernels, layers, models
from benchmarks.frameworks import Step, UnavailableError, torch_step, xpnn_step
from benchmarks.others import STEPS
from benchmarks.plain_jax import plain_jax_step
from benchmarks.process import Worker
from benchmarks.sweep import SIZES
from benchmarks.workloads import BATCHES, WORKLOADS, Workload

COMPARED_LOSSES = 50  # of training; of inference, that of each batch
QUICK_LOSSES = 5
SWEEP_LOSSES = 3
REFERENCE = "pytorch"
DISTURBED = "pytorch-disturbed"  # no competitor: it shows how far rounding drives losses apart

LABELS = {
    "numpy": "xpnn, NumPy",
    "numba": "xpnn, NumPy + Numba",
    "torch": "xpnn, PyTorch",
    "jax": "xpnn, JAX, compiled",
    "cupy": "xpnn, CuPy",
    "pytorch": "PyTorch",
    "pytorch-channels-last": "PyTorch, channels_last",
    "pytorch-compiled": "PyTorch, compiled",
    "pytorch-fused": "PyTorch, fused",
    "plain-jax": "JAX, jitted",
    "scikit-learn": "scikit-learn",
    "thinc": "Thinc",
    "mygrad": "MyGrad",
    "dezero": "DeZero",
}
DEFAULT = tuple(name for name in LABELS if name not in ("cupy", "pytorch-fused"))
XPNN = ("numpy", "numba", "torch", "jax", "cupy")


class Competitor(NamedTuple):
    """The parts of a competitor's name."""

    name: str
    device: str
    checkout: str


def parse(competitor: str) -> Competitor:
    rest, _, checkout = competitor.partition("@")
    name, _, device = rest.partition(":")
    return Competitor(name, device, checkout)


def label(competitor: str) -> str:
    """The name for a table."""
    name, device, checkout = parse(competitor)
    return LABELS[name] + (f", {device}" if device else "") + (f" @ {checkout}" if checkout else "")


def start(competitor: str, kind: str, quick: bool = False, extra: dict[str, str] | None = None) -> Worker:
    """The process of a competitor.

    Args:
        kind: "workload", "kernel", "sweep", "model", "layer" or "earn".
        quick: compares fewer losses.
        extra: more environment variables.
    """
    script = Path(__file__).parent.parent / "bench.py"
    command = [sys.executable, str(script), "--work", kind, "--competitors", competitor]
    command += ["--quick"] if quick else []
    return Worker(competitor, command, {**environment(competitor), **(extra or {})})


def environment(competitor: str) -> dict[str, str]:
    """What switches xpnn's compiled kernels on or off, and says which checkout is imported."""
    name, _, checkout = parse(competitor)
    numba = "1" if name == "numba" else "0"
    found = {"XPNN_NUMBA": numba}
    if checkout:
        found["XPNN_COMPILED"] = numba  # what it was called before
        found["PYTHONPATH"] = str(Path(checkout).resolve())
    return found


def prepare(competitor: str, kind: str, quick: bool, task: str) -> tuple[dict[str, Any], Step]:
    """For `process.serve`: what is compared with PyTorch's, and the step to be timed."""
    name, _, checkout = parse(competitor)
    if checkout:
        need_checkout(checkout)
    if kind == "kernel":
        return kernels.prepare(name, task)
    if kind == "model":
        return models.prepare(name, task)
    if kind == "layer":
        return layers.prepare(name, task)
    step = make_step(competitor, task)
    compared = SWEEP_LOSSES if kind == "sweep" else QUICK_LOSSES if quick else COMPARED_LOSSES
    if find_workload(task).optimizer is None:
        compared = BATCHES
    return {"losses": [step(i) for i in range(compared)]}, step


def find_workload(task: str) -> Workload:
    """The workload or the size of a sweep with this name."""
    return WORKLOADS[task] if task in WORKLOADS else SIZES[task]


def make_step(competitor: str, task: str) -> Step:
    """The step of a competitor in a workload; raises UnavailableError where it cannot take part."""
    workload = find_workload(task)
    name, device, _ = parse(competitor)
    if name in XPNN:
        return xpnn_step(workload, name)
    if name == "plain-jax":
        return plain_jax_step(task, workload)
    if name in STEPS:
        return STEPS[name](task, workload)
    return torch_step(workload, name.partition("-")[2], device or "cpu")


def need_checkout(folder: str) -> None:
    """Raise UnavailableError if another xpnn than the one in a folder would be measured."""
    import xpnn

    found = Path(xpnn.__file__).parent.parent
    if found != Path(folder).resolve():
        raise UnavailableError(f"xpnn is imported from {found}")
