"""Steps as CUDA graphs: the losses of the step as it is, and the time of a step both ways."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.frameworks import training_step

import xpnn
from on_gpu.setting import Row, Setting, beyond, distance

BATCHES = {"mlp": 128, "lenet": 128, "resnet20": 64, "transformer": 16}
STEPS = 20
LIMIT = 1e-3  # sums by atomic additions are in another order at each run


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each network: how far the losses are apart, and the milliseconds of a step."""
    xpnn.set_backend(setting.backend)
    for name in setting.pick(list(BATCHES), ["mlp"]):
        plain, losses = _run(setting, name, "default")
        graphs, replayed = _run(setting, name, "reduce-overhead")
        error = distance(replayed, losses)
        same = {"same bits": losses == replayed, "error": error}
        yield {"name": name, **same, "ms as it is": plain, "ms by graphs": graphs, **beyond(error, LIMIT)}


def _run(setting: Setting, name: str, mode: str) -> tuple[float, list[float]]:
    """The milliseconds of a step, and the losses of the first ones."""
    xpnn.manual_seed(0)
    step = training_step(
        setting.workload(name, BATCHES[name]),
        xpnn,
        xpnn.functional,
        xpnn.asarray,
        finish=partial(xpnn.compile, mode=mode, fullgraph=True),
        read=lambda loss: loss,
    )
    losses: Any = [step(i) for i in range(setting.pick(STEPS, 4))]
    taken = setting.milliseconds(lambda: step(0), setting.pick(20, 1), setting.pick(5, 1))
    return taken, [loss.item() for loss in losses]
