"""Twenty training steps of the bench's networks, on the GPU beside the CPU.

In float64 both must have the same losses. In float32 rounding drives two right ones apart: the GPU may be as
far from the losses of float64 as some times what the CPU is.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.frameworks import training_step

import xpnn
from on_gpu.setting import Row, Setting, beyond, distance

STEPS = 20
LIMIT = 1e-6  # in float64
TIMES, FLOOR = 20.0, 1e-5  # in float32
BATCHES = {"mlp": 64, "lenet": 32, "resnet20": 8, "transformer": 4, "lstm": 16, "resnet18": 4}


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each network and type."""
    for name in setting.pick(list(BATCHES), ["mlp"]):
        exact = _losses(setting, name, "numpy", double=True)
        error = distance(_losses(setting, name, setting.backend, double=True), exact)
        yield {"name": f"{name} float64", "error": error, **beyond(error, LIMIT)}
        host = distance(_losses(setting, name, "numpy"), exact)
        losses = _losses(setting, name, setting.backend)
        error = distance(losses, exact)
        verdict = beyond(error, max(TIMES * host, FLOOR))
        yield {"name": f"{name} float32", "error": error, "cpu": host, "losses": losses, **verdict}


def _losses(setting: Setting, name: str, backend: str, double: bool = False) -> list[float]:
    workload = setting.workload(name, BATCHES[name])
    with xpnn.use_backend(backend):
        change = (lambda x: x.double()) if double else (lambda x: x)
        step = training_step(workload, xpnn, xpnn.functional, xpnn.tensor, change=change)
        return [step(i) for i in range(setting.pick(STEPS, 2))]
