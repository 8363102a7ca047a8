"""A training step against PyTorch's, eager and compiled, by events of the device; a process for each.

No loss is read on the way, as that would have the device wait for the host at each step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.competitors import LABELS
from benchmarks.frameworks import torch_step, training_step

from on_gpu.setting import Row, Setting, torch_milliseconds

COMPETITORS = ("pytorch", "cupy", "pytorch-compiled")  # the first is what the others are compared with
NETWORKS = {"mlp": 128, "lenet": 128, "resnet20": 128, "transformer": 16, "lstm": 32}
WARM_UP, REPEATS = 5, 20
DIFFERENCE = 1e-3  # of the first losses, relative
ONE = 60.0  # seconds that one competitor has at most


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each network and competitor, with its share of eager PyTorch's time."""
    end = time.monotonic() + setting.seconds
    for name in setting.pick(list(NETWORKS), ["mlp"]):
        eager: Row = {}
        for competitor in setting.pick(COMPETITORS, COMPETITORS[:2]):
            row = _in_a_process(
                setting, name, competitor, min(end - time.monotonic(), setting.pick(ONE, end))
            )
            if competitor == COMPETITORS[0]:
                eager = row
            elif "ms" in row and "ms" in eager:
                row["share"] = row["ms"] / eager["ms"]
                apart = max(abs(a - b) / abs(b) for a, b in zip(row["losses"], eager["losses"]))
                if not apart <= DIFFERENCE:
                    row["wrong"] = f"losses differ by {apart:.1e}"
            yield row


def _in_a_process(setting: Setting, workload: str, competitor: str, seconds: float) -> Row:
    name = f"{workload} {LABELS[competitor]}"
    if seconds < 1:
        return {"name": name, "left out": "no time was left"}
    command = [sys.executable, str(Path(__file__).parent.parent / "gpu.py"), "speed-of", workload, competitor]
    try:
        done = subprocess.run(
            command + ["--dry-run"] * setting.dry, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return {"name": name, "left out": f"not done after {seconds:.0f} s"}
    if done.returncode:
        return {"name": name, "wrong": (done.stderr.strip() or "failed").splitlines()[-1][:300]}
    return {"name": name, **json.loads(done.stdout.splitlines()[-1])}


def speed_of(setting: Setting, name: str, competitor: str) -> Row:
    """In the process of a competitor: the milliseconds of a step, the bytes it took, the first losses."""
    workload = setting.workload(name, NETWORKS[name])
    repeats = setting.pick(REPEATS, 2)
    keep: Any = {"read": lambda loss: loss}
    if competitor == "cupy":
        import xpnn

        xpnn.set_backend(setting.backend)
        step = training_step(workload, xpnn, xpnn.functional, xpnn.asarray, **keep)
        clock = setting.milliseconds
    else:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        step = torch_step(workload, competitor.partition("-")[2], device, **keep)
        clock = torch_milliseconds
    losses = [float(step(i).item()) for i in range(setting.pick(WARM_UP, 2))]
    ms = clock(partial(step, 0), repeats, samples=setting.pick(5, 2))
    if competitor == "cupy":
        taken = setting.library.get_default_memory_pool().total_bytes()
    else:
        taken = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    return {"ms": ms, "bytes": taken, "losses": losses}
