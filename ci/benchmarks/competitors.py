"""Who competes, what each is called and how its process is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.frameworks import Step, torch_step, xpnn_step
from benchmarks.others import STEPS
from benchmarks.plain_jax import plain_jax_step
from benchmarks.process import Worker
from benchmarks.workloads import BATCHES, WORKLOADS

COMPARED_LOSSES = 50  # of training; of inference, that of each batch
QUICK_LOSSES = 5
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


def label(competitor: str) -> str:
    """The name for a table; `pytorch:cuda` is PyTorch on another device."""
    name, _, device = competitor.partition(":")
    return LABELS[name] + (f", {device}" if device else "")


def start(competitor: str, kind: str, quick: bool = False) -> Worker:
    """The process of a competitor; `kind` is "workload" or "kernel"; `quick` compares fewer losses."""
    script = Path(__file__).parent.parent / "bench.py"
    command = [sys.executable, str(script), "--work", kind, "--competitors", competitor]
    command += ["--quick"] if quick else []
    return Worker(competitor, command, compiled_or_not(competitor))


def compiled_or_not(competitor: str) -> dict[str, str]:
    """The environment that switches xpnn's compiled kernels on or off."""
    return {"XPNN_COMPILED": "1" if competitor == "numba" else "0"}


def prepare(competitor: str, quick: bool, task: str) -> tuple[dict[str, Any], Step]:
    """For `process.serve`: the first losses of a workload, and its step."""
    step = make_step(competitor, task)
    compared = QUICK_LOSSES if quick else COMPARED_LOSSES
    if WORKLOADS[task].optimizer is None:
        compared = BATCHES
    return {"losses": [step(i) for i in range(compared)]}, step


def make_step(competitor: str, task: str) -> Step:
    """The step of a competitor in a workload; raises UnavailableError where it cannot take part."""
    workload = WORKLOADS[task]
    name, _, device = competitor.partition(":")
    if name in XPNN:
        return xpnn_step(workload, name)
    if name == "plain-jax":
        return plain_jax_step(task, workload)
    if name in STEPS:
        return STEPS[name](task, workload)
    return torch_step(workload, name.partition("-")[2], device or "cpu")
