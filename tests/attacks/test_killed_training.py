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

from xpnn.io import atomic_write, read_checkpoint

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
    numbers = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]  # nohup's child ignores SIGHUP
    tally("SIGTERM, SIGHUP and SIGINT while training", *attack(tmp_path / "once", numbers * 5))
    tally("SIGTERM, SIGHUP or SIGINT twice in a row", *attack(tmp_path / "twice", numbers * 3, times=2))


# A TrainingModule with augmentation by worker, accumulated gradients, an average of the weights, and a
# checkpoint after each batch. The second argument says before or after which of its operations on files the
# process kills itself; 0 is never. The third is how worker processes start; "" are threads.
MODULE = """
import hashlib, os, signal, sys
from pathlib import Path
import numpy as np
import xpnn
from xpnn import nn, optim, train
from xpnn.data import DataLoader, TensorDataset, TransformDataset
from xpnn.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from xpnn.nn import functional as F

out, fatal = Path(sys.argv[1]), int(sys.argv[2])
operations = 0


def counted(function):
    def call(*args, **kwargs):
        global operations
        operations += 1
        if operations == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        operations += 1
        if operations == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


class Net(train.TrainingModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(288, 4)
        )

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self.net(x + 0.1 * xpnn.randn(*x.shape)), y)
        self.log("train_loss", loss, on_epoch=True, on_step=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = optim.Adam(self.parameters(), lr=0.01)
        schedule = optim.OneCycleLR(optimizer, 0.01, total_steps=60)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


class Announce(train.Callback):
    def on_train_start(self, trainer, module):
        for name in ("replace", "fsync", "link", "unlink", "open", "close"):
            setattr(os, name, counted(getattr(os, name)))
        print("training", flush=True)


rng = np.random.default_rng(0)
data = TensorDataset(rng.standard_normal((44, 1, 8, 8), dtype=np.float32), rng.integers(0, 4, 44))
augmented = TransformDataset(data, Compose([RandomCrop(8, padding=1), RandomHorizontalFlip()]))
xpnn.manual_seed(0)
module = Net()
average = train.EMAWeightAveraging(decay=0.9)
trainer = train.Trainer(
    max_epochs=6, default_root_dir=out, enable_progress_bar=False, accumulate_grad_batches=2,
    val_check_interval=3, logger=train.JSONLLogger(out, version=0),
    callbacks=[Announce(), average, train.ModelCheckpoint(every_batches=1)],
)
begun = any(out.glob("*.safetensors"))
loader = DataLoader(
    augmented, batch_size=8, shuffle=True, num_workers=2, multiprocessing_context=sys.argv[3] or None
)
trainer.fit(module, loader, DataLoader(data, batch_size=22), ckpt_path="last" if begun else None)
operations = fatal
arrays = [*(p.array for p in module.parameters()), *(b.array for b in module.buffers())]
arrays += [array for slots in trainer.optimizers[0].state.values() for array in slots.values()]
digest = hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
digest.update((out / "history.jsonl").read_bytes())
digest.update((out / "logs/version_0/metrics.jsonl").read_bytes())
print(digest.hexdigest(), flush=True)
"""


def run_module(
    folder: Path, fatal: int = 0, seconds: float | None = None, workers: str = ""
) -> tuple[int, str, str]:
    """Train the module, to be killed at an operation on files or after so long; exit code, digest, errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", MODULE, str(folder), str(fatal), workers],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    if seconds is not None:
        threading.Event().wait(seconds)
        process.kill()
    rest, errors = process.communicate()  # which also waits for workers, who hold the same pipes
    lines = (first + rest).split()
    return process.returncode, lines[-1] if lines and lines[-1] != "training" else "", errors


@pytest.mark.parametrize("count", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_again_and_again(count: int, tmp_path: Path, tally: Tally) -> None:
    """A run is killed wherever it is, in writes too, resumed, and killed again, until it comes to its end."""
    code, expected, errors = run_module(tmp_path / "whole")
    assert code == 0, errors
    rng = random.Random(1)
    met = runs = 0
    while met < count:
        folder, digest = tmp_path / f"run {runs}", ""
        runs += 1
        while not digest:
            in_a_write = rng.random() < 0.6
            fatal = rng.randrange(1, 300) if in_a_write else 0
            code, digest, errors = run_module(folder, fatal, None if fatal else rng.uniform(0, 0.5))
            met += code == -signal.SIGKILL and not digest
            assert code in (0, -signal.SIGKILL), errors
            if met >= count and not digest:
                code, digest, errors = run_module(folder)
                assert code == 0, errors
        assert digest == expected
        for left in list(folder.rglob("*.tmp")):  # where the last run had nothing to write
            with atomic_write(left.with_name("later")):
                pass
        assert not list(folder.rglob("*.tmp")), "a later write has removed what was left"
    tally("SIGKILL while training and writing, again and again", met, met)


@pytest.mark.parametrize("count", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_killed_with_worker_processes(count: int, tmp_path: Path, tally: Tally) -> None:
    """The workers of a killed run end, and the resumed one ends with the bits of a run with threads."""
    code, expected, errors = run_module(tmp_path / "threads")
    assert code == 0, errors
    rng = random.Random(2)
    for number in range(count):
        folder = tmp_path / f"run {number}"
        code, _, errors = run_module(folder, rng.randrange(20, 200), workers="spawn")
        assert code == -signal.SIGKILL, errors
        code, digest, errors = run_module(folder, workers="spawn")
        assert (code, digest) == (0, expected), errors
    tally("SIGKILL while training with worker processes", count, count)
