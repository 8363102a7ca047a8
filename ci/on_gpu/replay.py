"""The same again: a run repeated has the same bits, and its memory does not grow from step to step."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.frameworks import training_step

import xpnn
from on_gpu.setting import Row, Setting

NETWORKS = {"mlp": 128, "lenet": 128, "resnet20": 64, "transformer": 16, "lstm": 32}
STEPS, MANY = 10, 60
BLOCK = 512  # bytes, the least that CuPy's pool gives: an array that stays at each step is at least that


def rows(setting: Setting) -> Iterator[Row]:
    """A row for each network: whether two runs are one, and the bytes before and after more steps."""
    xpnn.set_backend(setting.backend)
    pool = setting.library.get_default_memory_pool()
    for name in setting.pick(list(NETWORKS), ["mlp"]):
        workload = setting.workload(name, NETWORKS[name])
        runs = []
        for _ in range(2):
            xpnn.manual_seed(0)
            step = training_step(workload, xpnn, xpnn.functional, xpnn.asarray)
            runs.append([step(i) for i in range(setting.pick(STEPS, 3))])
        before = pool.used_bytes()
        more = setting.pick(MANY, 3)
        for i in range(more):
            step(i)
        after = pool.used_bytes()
        problems = ["two runs differ"] * (runs[0] != runs[1]) + ["memory grows"] * (
            after - before >= more * BLOCK
        )
        wrong = {"wrong": ", ".join(problems)} if problems else {}
        yield {"name": name, "losses": runs, "bytes before": before, "bytes after": after, **wrong}
