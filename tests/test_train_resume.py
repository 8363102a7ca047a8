"""A run that is cut and resumed ends as if it had not been, bit for bit on NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import random
from xpnn.data import DataLoader, TensorDataset
from xpnn.io import read_checkpoint
from xpnn.metrics import Accuracy
from xpnn.train import Callback, EarlyStopping, Interrupted, ModelCheckpoint, Trainer

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((22, 3)).astype(np.float32)
LABELS = RNG.integers(0, 2, 22)
EPOCHS = 4


class Cut(Callback):
    """Raises an error at a certain event."""

    def __init__(self, event="", count=0, error=RuntimeError):
        self.event, self.count, self.error = event, count, error

    def _happen(self, event, count):
        if (event, count) == (self.event, self.count):
            raise self.error

    def on_epoch_start(self, trainer):
        self._happen("epoch start", trainer.epoch)

    def on_batch_end(self, trainer):
        self._happen("batch", trainer.batches)

    def on_epoch_end(self, trainer, logs):
        self._happen("epoch end", trainer.epoch)


def make(folder, cut=None, seed=0, metric=None, every_batches=None):
    xpnn.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2)
    )
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    data = TensorDataset(INPUTS, LABELS)
    trainer = Trainer(
        model,
        optimizer,
        scheduler=optim.OneCycleLR(optimizer, 0.05, total_steps=40),
        scheduler_interval="batch",
        metrics={"accuracy": metric or Accuracy()},
        callbacks=[
            cut or Cut(),
            EarlyStopping(patience=9, restore_best=False),
            ModelCheckpoint(every_batches=every_batches),
        ],
        out=folder,
        progress=False,
    )
    train = DataLoader(data, batch_size=4, shuffle=True)
    return trainer, train, DataLoader(data, batch_size=5)


def outcome(trainer):
    """All that a run leaves behind."""
    return {
        "model": {name: tensor.array for name, tensor in trainer.model.state_dict().items()},
        "optimizer": trainer.optimizer.state_dict(),
        "scheduler": trainer.scheduler.state_dict(),
        "history": dict(trainer.history),
        "stream": random.default_stream().state_dict(),
        "stopping": trainer.callbacks[1].state_dict(),
        "counts": (trainer.epoch, trainer.batch, trainer.batches, trainer.samples),
    }


def assert_identical(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_identical(found[name], expected[name])
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def whole(tmp_path):
    trainer, train, validation = make(tmp_path / "whole")
    trainer.fit(train, validation, epochs=EPOCHS)
    return outcome(trainer)


class BreaksInValidation(Accuracy):
    """Raises in the second batch of the second validation."""

    validations = 0

    def update(self, predictions, targets):
        super().update(predictions, targets)
        if predictions.shape[0] == 5 and self.count == 10:
            BreaksInValidation.validations += 1
            if BreaksInValidation.validations == 2:
                raise RuntimeError


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize(
    ("event", "count"),
    [("batch", 1), ("batch", 8), ("batch", 12), ("batch", 23), ("epoch start", 2), ("epoch end", 2)],
)
def test_cut_and_resumed(tmp_path, whole, event, count, error):
    trainer, train, validation = make(tmp_path / "cut", Cut(event, count, error))
    with pytest.raises(Interrupted if error is KeyboardInterrupt else error):
        trainer.fit(train, validation, epochs=EPOCHS)
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    trainer.fit(train, validation, epochs=EPOCHS, resume=True)
    assert_identical(outcome(trainer), whole)
    files = [(tmp_path / name / "history.jsonl").read_text() for name in ("cut", "whole")]
    assert files[0] == files[1]


def test_cut_in_validation(tmp_path, whole):
    BreaksInValidation.validations = 0
    trainer, train, validation = make(tmp_path / "cut", metric=BreaksInValidation())
    with pytest.raises(RuntimeError):
        trainer.fit(train, validation, epochs=EPOCHS)
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    trainer.fit(train, validation, epochs=EPOCHS, resume=True)
    assert_identical(outcome(trainer), whole)


def test_cut_many_times(tmp_path, whole):
    for count in (3, 4, 9, 11, 12, 18, 22):
        trainer, train, validation = make(
            tmp_path / "cut", Cut("batch", count), seed=0 if count == 3 else count
        )
        with pytest.raises(RuntimeError):
            trainer.fit(train, validation, epochs=EPOCHS, resume=count > 3)
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    trainer.fit(train, validation, epochs=EPOCHS, resume=True)
    assert_identical(outcome(trainer), whole)


def test_gone_on_in_the_same_process(tmp_path, whole):
    trainer, train, validation = make(tmp_path / "cut", Cut("batch", 9, KeyboardInterrupt))
    with pytest.raises(Interrupted):
        trainer.fit(train, validation, epochs=EPOCHS)
    trainer.fit(train, validation, epochs=EPOCHS - trainer.epoch)
    assert_identical(outcome(trainer) | {"stopping": {}}, whole | {"stopping": {}})  # callbacks start afresh


def test_killed_after_a_checkpoint(tmp_path, whole):
    """The process ends on the spot, in the middle of a later batch, without a chance to save."""
    program = f"""
        import os, sys
        sys.path.insert(0, {str(tmp_path.parent)!r})
        sys.path.insert(0, {sys.path[0]!r})
        import test_train_resume as t
        class Kill(t.Cut):
            def on_batch_end(self, trainer):
                if trainer.batches == 11:
                    os._exit(9)
        trainer, train, validation = t.make({str(tmp_path / "cut")!r}, Kill(), every_batches=4)
        trainer.fit(train, validation, epochs={EPOCHS})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=__file__.rpartition("/")[0],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 9
    assert read_checkpoint(tmp_path / "cut" / "last.safetensors").states["trainer"]["batches"] == 8
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    trainer.fit(train, validation, epochs=EPOCHS, resume=True)
    assert_identical(outcome(trainer), whole)


def test_longer_than_planned(tmp_path, whole):
    trainer, train, validation = make(tmp_path / "cut")
    trainer.fit(train, validation, epochs=2)
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    trainer.fit(train, validation, epochs=EPOCHS, resume=tmp_path / "cut" / "last.safetensors")
    assert_identical(outcome(trainer), whole)


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    trainer, train, validation = make(tmp_path)
    trainer.callbacks[1].patience, trainer.callbacks[1].best.min_delta = 0, 10.0
    trainer.fit(train, validation, epochs=EPOCHS)
    epochs = trainer.epoch
    assert epochs < EPOCHS
    trainer, train, validation = make(tmp_path, seed=7)
    with pytest.warns(RuntimeWarning, match=f"nothing to do: .* at epoch {epochs}, where it was stopped"):
        trainer.fit(train, validation, epochs=EPOCHS, resume=True)
    assert trainer.epoch == epochs


def test_batches_that_do_not_know_their_position(tmp_path):
    batches = [(INPUTS[i : i + 5], LABELS[i : i + 5]) for i in range(0, 20, 5)]
    trainer, *_ = make(tmp_path / "whole")
    trainer.fit(batches, epochs=3)
    expected = outcome(trainer)
    trainer, *_ = make(tmp_path / "cut", Cut("batch", 6))
    with pytest.raises(RuntimeError):
        trainer.fit(batches, epochs=3)
    trainer, *_ = make(tmp_path / "cut", seed=7)
    trainer.fit(batches, epochs=3, resume=True)
    assert_identical(outcome(trainer), expected)


def test_resumed_on_another_backend(tmp_path, backend):
    with xpnn.use_backend("numpy"):
        trainer, train, validation = make(tmp_path / "whole")
        expected = trainer.fit(train, validation, epochs=3)
        trainer, train, validation = make(tmp_path / "cut", Cut("batch", 8))
        with pytest.raises(RuntimeError):
            trainer.fit(train, validation, epochs=3)
    trainer, train, validation = make(tmp_path / "cut", seed=7)
    history = trainer.fit(train, validation, epochs=3, resume=True)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-3, atol=1e-6)
