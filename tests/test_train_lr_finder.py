"""The range test of learning rates: its curve, its suggestion, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import ArgumentError
from xpnn.data import DataLoader, TensorDataset
from xpnn.nn import functional as F
from xpnn.train import LRFinder, Trainer, TrainingModule, Tuner

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((40, 3)).astype(np.float32)
LABELS = (INPUTS.sum(axis=1) > 0).astype(np.int64)
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


def loader(**options):
    return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=8, **options)


class Net(TrainingModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)
        )

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = optim.Adam(self.parameters(), lr=self.hparams.lr)
        return [optimizer], [{"scheduler": optim.ExponentialLR(optimizer, 0.9), "interval": "step"}]


def make(seed=0):
    xpnn.manual_seed(seed)
    return Net()


def test_the_curve_is_that_of_a_plain_loop():
    module = make()
    found = Tuner(Trainer(**QUIET)).lr_find(module, loader(), min_lr=1e-4, max_lr=10, num_training=40)
    other = make()
    optimizer = optim.Adam(other.parameters(), lr=0.05)
    average, losses = 0.0, []
    for step in range(40):
        x, y = (INPUTS[step % 5 * 8 :][:8], LABELS[step % 5 * 8 :][:8])
        optimizer.param_groups[0]["lr"] = 1e-4 * 1e5 ** (step / 39)
        optimizer.zero_grad()
        loss = F.cross_entropy(other.net(xpnn.tensor(x)), xpnn.tensor(y))
        loss.backward()
        optimizer.step()
        average = 0.9 * average + 0.1 * loss.item()
        losses.append(average / (1 - 0.9 ** (step + 1)))
    count = len(found.results["loss"])
    np.testing.assert_allclose(found.results["loss"], losses[:count], rtol=1e-5)
    np.testing.assert_allclose(found.results["lr"], 1e-4 * 1e5 ** (np.arange(count) / 39), rtol=1e-9)
    assert module.hparams.lr == found.suggestion()
    assert count == 40 or found.results["loss"][-1] > 4 * min(found.results["loss"])


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("as_module", [True, False])
def test_it_leaves_no_trace(as_module, shuffle):
    outcomes = []
    for searches in (False, True):
        module, batches = make(), loader(shuffle=shuffle)
        if as_module:
            trainer = Trainer(max_epochs=2, **QUIET)
            if searches:
                Tuner(trainer).lr_find(module, batches, num_training=12, update_attr=False)
            history = trainer.fit(module, batches)
        else:
            optimizer = optim.Adam(module.parameters(), lr=0.05)
            schedule = optim.StepLR(optimizer, 1)
            trainer = Trainer(
                module.net, optimizer, scheduler=schedule, accumulate_grad_batches=2, progress=False
            )
            trainer.fit(batches)
            if searches:
                Tuner(trainer).lr_find(batches, num_training=12)
            history = trainer.fit(batches)
        outcomes.append(([np.array(p.array) for p in module.parameters()], history, trainer.global_step))
    for plain, after in zip(*(outcome[0] for outcome in outcomes), strict=True):
        np.testing.assert_array_equal(plain, after)
    assert outcomes[0][1:] == outcomes[1][1:]


def test_the_suggestion_is_where_the_loss_falls_most_steeply(tmp_path):
    found = LRFinder("exponential", 1e-4, 1.0, 9)
    found.results = {"lr": [10.0**i for i in range(9)], "loss": [9, 9, 8, 5, 1, 0.9, 0.9, np.nan, 30]}
    assert found.suggestion(skip_begin=0) == 1e3
    assert found.suggestion(skip_begin=5, skip_end=1) == 1e5
    assert found.suggestion(skip_begin=8) is None
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure = found.plot(suggest=True)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_xscale()) == ("learning rate", "log")
    pyplot.close(figure)


def test_bad_arguments():
    tuner = Tuner(Trainer(**QUIET))
    with pytest.raises(ArgumentError, match="mode='exponential' or 'linear'"):
        tuner.lr_find(make(), loader(), mode="log")
    with pytest.raises(ArgumentError, match="0 < min_lr < max_lr"):
        tuner.lr_find(make(), loader(), min_lr=1, max_lr=0.1)
    with pytest.raises(ArgumentError, match="finds no rate to set in Net"):
        tuner.lr_find(make(), loader(), num_training=30, attr_name="rate")
