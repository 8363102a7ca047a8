"""Training is killed and terminated at random moments: the resumed run ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from xpnn.io import read_checkpoint

Tally = Callable[[str, int, int], None]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# Prints "training" once signals are taken care of, and at the end a digest of all that it leaves behind.
PROGRAM = """
import hashlib, sys
from pathlib import Path
import numpy as np
import xpnn
from xpnn import nn, optim
from xpnn.data import DataLoader, TensorDataset
from xpnn.metrics import Accuracy
from xpnn.train import Callback, Interrupted, ModelCheckpoint, Trainer


class Announce(Callback):
    def on_epoch_start(self, trainer):
        print("training", flush=True)


rng = np.random.default_rng(0)
data = TensorDataset(rng.standard_normal((96, 40), dtype=np.float32), rng.integers(0, 4, 96))
out = Path(sys.argv[1])
xpnn.manual_seed(0)
model = nn.Sequential(
    nn.Linear(40, 200, bias=False), nn.BatchNorm1d(200), nn.ReLU(), nn.Dropout(0.3), nn.Linear(200, 4)
)
optimizer = optim.Adam(model.parameters(), lr=0.01)
trainer = Trainer(
    model, optimizer, out=out, progress=False, metrics={"accuracy": Accuracy()},
    scheduler=optim.OneCycleLR(optimizer, 0.01, total_steps=120), scheduler_interval="batch",
    callbacks=[Announce(), ModelCheckpoint(every_batches=2)],
)
loader, validation = DataLoader(data, batch_size=8, shuffle=True), DataLoader(data, batch_size=48)
try:
    trainer.fit(loader, validation, epochs=10, resume=(out / "last.safetensors").exists())
except Interrupted as ending:
    sys.exit(ending.code)
arrays = [*(p.array for p in model.parameters()), *(b.array for b in model.buffers())]
arrays += [array for slots in optimizer.state.values() for array in slots.values()]
digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
digest.update((out / "history.jsonl").read_bytes())
print(digest.hexdigest(), flush=True)
"""


def run(folder: Path, number: int = 0, seconds: float = 0.0, times: int = 1) -> tuple[int, str]:
    """Train, with signals so long after the beginning; the exit code and the digest, empty if unfinished."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        first = process.stdout.readline()  # "training", or the digest of a run that has nothing left to do
        if number:
            threading.Event().wait(seconds)
            for _ in range(times):
                process.send_signal(number)
                threading.Event().wait(0.001)
        lines = (first + process.stdout.read()).split()
    return process.wait(), lines[-1] if lines and lines[-1] != "training" else ""


def attack(folder: Path, numbers: list[signal.Signals], times: int = 1) -> tuple[int, int]:
    """How many signals met a run, and how many of these did no harm."""
    _, expected = run(folder / "whole")
    rng = random.Random(0)
    met, runs = 0, 0
    while met < len(numbers):
        cut = folder / f"cut {runs}"
        number = numbers[met]
        code, digest = run(cut, number, rng.uniform(0, 0.15), times)
        if digest:  # it came too late
            assert digest == expected
            runs += 1
            continue
        met += 1
        assert code in ((-number,) if number == signal.SIGKILL else (128 + number, -number))
        last = cut / "last.safetensors"
        if last.exists():
            read_checkpoint(last)  # is whole
        assert last.exists() or number == signal.SIGKILL or times > 1
    _, digest = run(folder / f"cut {runs}")
    assert digest == expected
    return met, met


@pytest.mark.parametrize("count", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_while_training(count: int, tmp_path: Path, tally: Tally) -> None:
    tally("SIGKILL while training", *attack(tmp_path, [signal.SIGKILL] * count))


@pytest.mark.slow
def test_terminated_while_training(tmp_path: Path, tally: Tally) -> None:
    numbers = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
    tally("SIGTERM, SIGHUP and SIGINT while training", *attack(tmp_path / "once", numbers * 5))
    tally("SIGTERM, SIGHUP or SIGINT twice in a row", *attack(tmp_path / "twice", numbers * 3, times=2))
