"""A Trainer where the host must not wait: on the stand-in for CuPy, which counts how often it does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cupy_like
import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import Gpu, find_backend, register_backend
from xpnn.data import DataLoader, TensorDataset
from xpnn.metrics import Accuracy
from xpnn.train import Callback, ProgressBar, Trainer, TrainingModule

BATCHES, SIZE = 12, 4


@pytest.fixture(autouse=True)
def on_the_stand_in() -> Iterator[None]:
    with xpnn.use_backend("cupy_like"):
        yield


class Task(TrainingModule):
    """A network that logs its loss by step and by epoch, and a metric."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))
        self.accuracy = Accuracy()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        outputs = self.net(x)
        loss = nn.functional.cross_entropy(outputs, y)
        self.accuracy.update(outputs, y)
        self.log("loss_of_step", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("accuracy", self.accuracy, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = optim.Adam(self.parameters(), lr=0.01)
        return [optimizer], [optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)]


class Reads(Callback):
    """How often the host had read a value, after each batch."""

    def __init__(self) -> None:
        self.after: list[int] = []
        self.at_start = 0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        self.at_start = cupy_like.syncs

    def on_batch_end(self, trainer: Any) -> None:
        self.after.append(cupy_like.syncs)


def loader(**options: Any) -> DataLoader:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCHES * SIZE, 3)).astype(np.float32)
    return DataLoader(TensorDataset(x, np.arange(len(x)) % 2), SIZE, shuffle=True, **options)


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("every", [3, 50])
def test_values_are_read_every_so_many_steps(every: int, pinned: bool, tmp_path: Any) -> None:
    """Never in a step, at most once where the loggers are given a value, and at the end of the epoch."""
    reads = Reads()
    trainer = Trainer(
        max_epochs=2,
        log_every_n_steps=every,
        gradient_clip_val=1.0,
        logger=xpnn.train.CSVLogger(tmp_path),
        callbacks=[reads, ProgressBar(io.StringIO(), log_interval=1e9)],
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Task(), loader(pin_memory=pinned))
    epoch = [after - reads.at_start for after in reads.after[BATCHES:]]
    steps = np.diff([0, *epoch])
    logged = [(BATCHES + i + 1) % every == 0 for i in range(BATCHES)]
    assert steps.tolist() == [int(due) for due in logged]


def test_the_bar_says_what_the_memory_holds() -> None:
    """Where the library tells of a GPU, without waiting for it."""
    ours = find_backend("cupy_like")
    gpu = Gpu(
        count=lambda: 1,
        name=lambda index: "card",
        memory_allocated=lambda: 1_250_000_000,
        max_memory_allocated=lambda: 3_000_000_000,
    )
    register_backend(replace(ours, gpu=lambda: gpu))
    try:
        with xpnn.use_backend("cupy_like"):
            said = lines()
    finally:
        register_backend(ours)
    assert len(said) == BATCHES + 1
    assert all(line.endswith("  1.25 GB, at most 3.00 GB") for line in said)
    assert not any("GB" in line for line in lines())


def lines() -> list[str]:
    """Those of an epoch in a log file."""
    file = io.StringIO()
    bar = ProgressBar(file, log_interval=0.0)
    Trainer(max_epochs=1, callbacks=[bar], enable_model_summary=False, logger=False).fit(Task(), loader())
    return file.getvalue().splitlines()
