"""Callbacks and loggers: each against numbers that are found another way."""

from __future__ import annotations

import csv
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import AnomalyError, ArgumentError, CheckpointError
from xpnn.data import DataLoader, TensorDataset
from xpnn.io import read_checkpoint
from xpnn.nn import functional as F
from xpnn.train import (
    ActivationStatistics,
    Callback,
    CSVLogger,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    GradientStatistics,
    JSONLLogger,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    NaNGuard,
    ProgressBar,
    StochasticWeightAveraging,
    TensorBoardLogger,
    Trainer,
    TrainingModule,
    WeightAveraging,
)

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((22, 3)).astype(np.float32)
LABELS = (INPUTS.sum(axis=1) > 0).astype(np.int64)
QUIET = {"enable_progress_bar": False}


def loader(batch_size=4, **options):
    return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=batch_size, **options)


class Net(TrainingModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)


def make(kind=Net, seed=0, **arguments):
    xpnn.manual_seed(seed)
    return kind(**arguments)


def weights(module):
    return [np.array(parameter.array) for parameter in module.parameters()]


def by_hand(epochs, after_step=lambda module, step: None):
    """The plain loop, and its weights after each step."""
    module = make()
    optimizer, batches, states = module.configure_optimizers(), loader(shuffle=True), []
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
            states.append(weights(module))
    return states


# --- averages


def test_an_exponential_average_of_the_weights():
    seen = []

    class Watch(Net):
        def validation_step(self, batch, batch_idx):
            seen.append(weights(self))

    module = make(Watch)
    callback = EMAWeightAveraging(decay=0.75, update_starting_at_step=1)
    Trainer(max_epochs=2, callbacks=[callback], num_sanity_val_steps=0, **QUIET).fit(
        module, loader(shuffle=True), loader(22)
    )
    states = by_hand(2)
    average = states[1]
    for number, state in enumerate(states[2:], 3):
        average = [0.75 * a + 0.25 * s for a, s in zip(average, state)]
        if number == 6:
            for mine, theirs in zip(seen[0], average, strict=True):
                np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    for mine, theirs in zip(weights(module), average, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)


def test_after_an_error_the_rates_are_left_to_their_schedules() -> None:
    def fail(trainer: Trainer, logs: dict) -> None:
        raise KeyError("a callback")

    net = nn.Linear(3, 2)
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    callbacks = [StochasticWeightAveraging(0.05, 1), LambdaCallback(on_epoch_end=fail)]
    trainer = Trainer(net, optimizer, progress=False, callbacks=callbacks)
    with pytest.raises(KeyError):
        trainer.fit(loader())
    assert not trainer.pauses_schedules


def test_stochastic_weight_averaging():
    module = make()
    monitor = LearningRateMonitor("step")
    callback = StochasticWeightAveraging(
        0.01, swa_epoch_start=3, annealing_epochs=2, annealing_strategy="linear"
    )
    trainer = Trainer(max_epochs=5, callbacks=[callback, monitor], log_every_n_steps=1, **QUIET)
    trainer.fit(module, loader(shuffle=True))
    np.testing.assert_allclose(monitor.lrs["lr-SGD"][::6], [0.05, 0.05, 0.05, 0.03, 0.01], rtol=1e-6)

    other = make()
    optimizer, batches, total = other.configure_optimizers(), loader(shuffle=True), 0.0
    for epoch, rate in enumerate([0.05, 0.05, 0.05, 0.03, 0.01]):
        optimizer.param_groups[0]["lr"] = rate
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(other(x), y).backward()
            optimizer.step()
        if epoch >= 2:
            total = [a + w for a, w in zip(total, weights(other))] if epoch > 2 else weights(other)
    for mine, theirs in zip(weights(module), total, strict=True):
        np.testing.assert_allclose(mine, theirs / 3, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "averaging",
    [lambda: WeightAveraging(), lambda: StochasticWeightAveraging(0.01, 2, annealing_epochs=2)],
    ids=["all", "swa"],
)
@pytest.mark.parametrize("steps", [3, 8, 12, 15])
def test_an_average_is_resumed(tmp_path, averaging, steps):
    whole = make()
    Trainer(max_epochs=3, callbacks=[averaging()], **QUIET).fit(whole, loader(shuffle=True), loader())
    cut = {"default_root_dir": tmp_path, "max_epochs": 3, **QUIET}
    Trainer(callbacks=[averaging()], max_steps=steps, **cut).fit(make(), loader(shuffle=True), loader())
    module = make(seed=5)
    Trainer(callbacks=[averaging()], **cut).fit(module, loader(shuffle=True), loader(), ckpt_path="last")
    for mine, theirs in zip(weights(module), weights(whole), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- statistics


def test_gradient_statistics(tmp_path):
    callback = GradientStatistics(every_n_steps=2)
    module = make()
    logger = JSONLLogger(tmp_path)
    Trainer(max_epochs=1, callbacks=[callback], gradient_clip_val=1e-3, logger=logger, **QUIET).fit(
        module, loader()
    )
    other = make()
    optimizer, rows = other.configure_optimizers(), []
    for x, y in loader():
        optimizer.zero_grad()
        F.cross_entropy(other(x), y).backward()
        norms = [np.linalg.norm(p.grad.array) for p in other.parameters()]
        before = weights(other)
        optim.clip_grad_norm_(other.parameters(), 1e-3)
        optimizer.step()
        change = np.linalg.norm(weights(other)[0] - before[0]) / np.linalg.norm(before[0])
        rows.append((np.linalg.norm(norms), norms[0], change))
    assert [row["step"] for row in callback.rows] == [2, 4, 6]
    names = ("grad_norm", "grad_norm/net.0.weight", "update_ratio/net.0.weight")
    found = [tuple(row[name] for name in names) for row in callback.rows]
    np.testing.assert_allclose(found, rows[1::2], rtol=1e-4)
    assert logger.rows[0]["grad_norm"] == callback.rows[0]["grad_norm"]


def test_activation_statistics():
    callback = ActivationStatistics(every_n_batches=3, kinds=(nn.ReLU,))
    module = make(lr=0.0)
    Trainer(max_epochs=1, callbacks=[callback], **QUIET).fit(module, loader())
    x, _ = list(loader())[2]
    expected = np.maximum(module.net[0](x).array, 0)
    row = callback.rows[0]
    assert list(row) == ["batch", *(f"activation/net.1/{name}" for name in ("mean", "std", "zeros"))]
    np.testing.assert_allclose(
        list(row.values()), [3, expected.mean(), expected.std(), (expected == 0).mean()], rtol=1e-5
    )
    assert not callback._handles


def test_learning_rates_by_group_and_optimizer():
    class Two(Net):
        automatic_optimization = False

        def training_step(self, batch, batch_idx):
            return None

        def configure_optimizers(self):
            first = optim.SGD(
                [{"params": self.net[0].parameters()}, {"params": [self.net[2].weight], "lr": 0.5}], lr=1
            )
            return [first, optim.Adam([self.net[2].bias]), optim.SGD([self.net[2].bias], lr=2.0)]

    monitor = LearningRateMonitor("epoch", log_momentum=True)
    trainer = Trainer(max_epochs=2, callbacks=[monitor], **QUIET)
    trainer.fit(make(Two), loader())
    assert monitor.lrs == {
        "lr-SGD/pg1": [1, 1], "lr-SGD/pg2": [0.5, 0.5], "lr-Adam": [0.001] * 2, "lr-SGD-1": [2.0, 2.0],
    }  # fmt: skip
    assert trainer.callback_metrics["lr-Adam-momentum"] == 0.9


# --- guards


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_the_nan_guard_names_the_layer_and_keeps_the_weights(tmp_path, what):
    class Root(nn.Module):
        def forward(self, x):
            return (x - x.detach()).sqrt() if what == "gradient" else (x * 1e30) ** 2

    class Bad(Net):
        def forward(self, x):
            return super().forward(x)

    module = make(Bad)
    kept = []

    class Break(Callback):
        def on_epoch_start(self, trainer):
            if trainer.epoch == 1:
                kept.extend(weights(module))
                module.net = nn.Sequential(module.net[0], Root(), module.net[2])

    callbacks = [NaNGuard(), Break()]
    trainer = Trainer(max_epochs=3, callbacks=callbacks, default_root_dir=tmp_path, **QUIET)
    last = tmp_path / "last.safetensors"
    words = "Root 'net.1'" if what == "loss" else "the last layer with such a gradient is 'net.0'"
    with pytest.raises(AnomalyError, match=rf"in epoch 2, batch 1; .*{words}.*go on from .*last"):
        trainer.fit(module, loader(), loader())
    for mine, theirs in zip(weights(module), kept, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert read_checkpoint(last).states["trainer"]["epoch"] == 1


def test_early_stopping_by_thresholds():
    def stopped(**options):
        losses = iter([0.5, 0.4, 0.2, 0.3, 0.3, 9.0, np.inf])

        class Fake(Callback):
            def on_epoch_end(self, trainer, logs):
                logs["fake_loss"] = next(losses)

        stopping = EarlyStopping("fake_loss", restore_best=False, **{"patience": 99} | options)
        trainer = Trainer(max_epochs=7, callbacks=[Fake(), stopping], **QUIET)
        trainer.fit(make(), loader())
        assert stopping.best_score == min([0.5, 0.4, 0.2][: trainer.epoch])
        return trainer.epoch

    assert stopped(stopping_threshold=0.25) == 3
    assert stopped(divergence_threshold=1.0) == 6
    assert stopped(check_finite=True) == 7
    assert stopped(patience=2) == 5


# --- checkpoints


def test_the_one_before_is_kept_and_the_newest_whole_one_found(tmp_path):
    options = {"max_epochs": 3, "default_root_dir": tmp_path, **QUIET}
    Trainer(**options).fit(make(), loader(), loader())
    last, previous = tmp_path / "last.safetensors", tmp_path / "previous.safetensors"
    assert [read_checkpoint(path).states["trainer"]["epoch"] for path in (last, previous)] == [3, 2]
    (tmp_path / "best.safetensors").unlink()
    data = bytearray(last.read_bytes())
    data[-5] ^= 1
    last.write_bytes(data)
    trainer, text = (
        Trainer(**options | {"max_epochs": 4, "callbacks": [ProgressBar(io.StringIO())]}),
        io.StringIO(),
    )
    trainer.print = lambda *args, **_: text.write(str(args))
    trainer._speaks = True
    with pytest.warns(RuntimeWarning, match=r"passes over .*last.safetensors .*goes on from .*previous"):
        trainer.fit(make(seed=3), loader(), loader(), ckpt_path="last")
    assert trainer.resumed_from == previous
    assert "resumed from" in text.getvalue()
    assert trainer.history["epoch"] == [1, 2, 3, 4]
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"finds no whole checkpoint: .*last"):
        Trainer(**options).fit(make(), loader(), ckpt_path="last")


@pytest.mark.parametrize(
    ("options", "saved"),
    [
        ({"every_batches": 4}, [4, 6, 8, 12, 12]),
        ({"every_n_train_steps": 2}, [4, 6, 8, 12, 12]),
        ({"train_time_interval": {"seconds": 0}}, [*range(1, 7), 6, *range(7, 13), 12]),
        ({"every_n_epochs": 2}, [12]),
        ({"save_last": False}, []),
    ],
)
def test_when_the_last_is_saved(tmp_path, options, saved):
    found = []

    class Spy(Trainer):
        def save_last(self, folder):
            found.append(self.batches)
            super().save_last(folder)

    callback = ModelCheckpoint(tmp_path, save_top_k=0, **options)
    Spy(max_epochs=2, callbacks=[callback], accumulate_grad_batches=2, **QUIET).fit(make(), loader())
    assert found == saved


def test_bad_arguments_of_callbacks():
    for message, build in (
        ("logging_interval as 'step'", lambda: LearningRateMonitor("batch")),
        ("save_top_k as an integer >= -1", lambda: ModelCheckpoint(save_top_k=-2)),
        ("every_n_epochs as an integer", lambda: ModelCheckpoint(every_n_epochs=0.5)),
        ("swa_epoch_start as an integer >= 1", lambda: StochasticWeightAveraging(0.1, 0)),
        ("a number of batches as an integer >= 1", lambda: GradientAccumulationScheduler({0: 0})),
        ("knows no event 'on_batch'", lambda: LambdaCallback(on_batch=print)),
    ):
        with pytest.raises(ArgumentError, match=message):
            build()


def test_small_callbacks():
    epochs, steps = [], []
    callbacks = [
        LambdaCallback(
            on_epoch_end=lambda trainer, logs: epochs.append((trainer.epoch, trainer.global_step))
        ),
        GradientAccumulationScheduler({1: 3, 2: 6}),
        LambdaCallback(
            on_before_optimizer_step=lambda trainer, module, optimizer: steps.append(trainer.batch)
        ),
    ]
    Trainer(max_epochs=3, callbacks=callbacks, **QUIET).fit(make(), loader())
    assert epochs == [(1, 6), (2, 8), (3, 9)]
    assert steps == [0, 1, 2, 3, 4, 5, 2, 5, 5]


# --- loggers


@pytest.mark.parametrize("kind", [CSVLogger, JSONLLogger])
def test_tables(tmp_path, kind):
    """Also of a run that is cut: it has no row twice."""

    def read(path):
        if kind is JSONLLogger:
            return [json.loads(line) for line in path.read_text().splitlines()]
        with path.open() as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    def run(name, seed=0, **options):
        resume = options.pop("resume", False)
        trainer = Trainer(
            default_root_dir=tmp_path / name, log_every_n_steps=2, max_epochs=2,
            logger=kind(tmp_path / name, version=0), callbacks=[ModelCheckpoint(every_batches=4)],
            **options, **QUIET,
        )  # fmt: skip
        trainer.fit(make(seed=seed), loader(shuffle=True), loader(), resume=resume)
        return trainer, trainer.logger.path

    trainer, path = run("whole")
    rows = read(path)
    assert path.parent == tmp_path / "whole" / "logs" / "version_0"
    assert [row["step"] for row in rows if "train_loss_step" in row] == [2, 4, 6, 8, 10, 12]
    epochs = [row["train_loss_epoch"] for row in rows if "train_loss_epoch" in row]
    np.testing.assert_allclose(epochs, trainer.history["train_loss"], rtol=1e-9)
    np.testing.assert_allclose(
        [row["val_loss"] for row in rows if "val_loss" in row], trainer.history["val_loss"], rtol=1e-9
    )
    assert json.loads((path.parent / "hparams.json").read_text()) == {"lr": 0.05}

    class StopError(Exception):
        pass

    def cut(trainer):
        if trainer.batches == 7:
            trainer._resumable = False  # as if it had been killed
            raise StopError

    breaking = Trainer(
        default_root_dir=tmp_path / "cut",
        log_every_n_steps=2,
        max_epochs=2,
        logger=kind(tmp_path / "cut", version=0),
        callbacks=[ModelCheckpoint(every_batches=4), LambdaCallback(on_batch_end=cut)],
        **QUIET,
    )
    with pytest.raises(StopError):
        breaking.fit(make(), loader(shuffle=True), loader())
    _, path = run("cut", seed=4, resume=True)
    assert read(path) == rows


def test_tensorboard(tmp_path):
    """As TensorBoard itself reads it."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("tensorboardX")

    class Drawn(Net):
        def __init__(self, lr=0.05, names=("a", "b")):
            super().__init__(lr)
            self.save_hyperparameters()
            self.example_input_array = xpnn.zeros(2, 3)

        def on_train_epoch_end(self):
            self.logger.log_image("picture", xpnn.ones(3, 4, 5), self.global_step)

    logger = TensorBoardLogger(tmp_path, "tb", log_graph=True)
    callbacks = [GradientStatistics(3, histograms=True)]
    trainer = Trainer(max_epochs=2, logger=logger, log_every_n_steps=3, callbacks=callbacks, **QUIET)
    trainer.fit(make(Drawn), loader(), loader())
    assert logger.log_dir == tmp_path / "tb" / "version_0"
    found = accumulator.EventAccumulator(str(logger.log_dir), size_guidance={"histograms": 0}).Reload()
    points = {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}
    assert [step for step, _ in points["train_loss_step"]] == [3, 6, 9, 12]
    np.testing.assert_allclose([v for _, v in points["val_loss"]], trainer.history["val_loss"], rtol=1e-6)
    assert [e.step for e in found.Images("picture")] == [6, 12]
    assert (found.Images("picture")[0].width, found.Images("picture")[0].height) == (5, 4)
    assert "gradients/net.0.weight" in found.Tags()["histograms"]
    assert found.Histograms("gradients/net.0.weight")[0].histogram_value.num == 24
    graph = {node.name: (node.op, list(node.input)) for node in found.Graph().node}
    assert graph["net/0"] == ("Linear", ["input"])
    assert graph["net/2"] == ("Linear", ["net/1"])
    assert any("hparams" in name for name in found.summary_metadata)
    assert TensorBoardLogger(tmp_path, "tb").version == 1


# --- what is shown


def test_the_summary():
    text = ModelSummary(max_depth=2).text(make().requires_grad_(False))
    assert text.splitlines()[2:4] == ["net    Sequential          50", "net.0  Linear              32"]
    assert text.endswith("Parameters: 50 (0 trainable, 50 frozen)")
    module = make()
    module.example_input_array = xpnn.zeros(2, 3)
    assert "(2, 8)" in ModelSummary().text(module)


def test_progress_in_a_log_file():
    file = io.StringIO()
    Trainer(max_epochs=1, callbacks=[ProgressBar(file, log_interval=0.0)], enable_model_summary=False).fit(
        make(), loader()
    )
    lines = file.getvalue().splitlines()
    assert len(lines) == 7
    assert lines[1].startswith("epoch 1/1  batch 2/6  loss 0.")
    assert "train_loss 0." in lines[-1]
    assert "_step" not in lines[-1]
    assert "\r" not in file.getvalue()


def test_progress_in_a_notebook(monkeypatch, capsys):
    shown = []

    class ZMQInteractiveShell:
        pass

    handle = types.SimpleNamespace(update=lambda item: shown.append(item._repr_html_()))
    display = types.ModuleType("IPython.display")
    display.display = lambda item, display_id: handle
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: ZMQInteractiveShell()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    Trainer(max_epochs=2, callbacks=[ProgressBar(interval=0.0)], enable_model_summary=False).fit(
        make(), loader()
    )
    assert '<progress value="3" max="6">' in shown[2]
    assert shown[-1].count("<tr>") == 3
    assert "<progress" not in shown[-1]
    assert "epoch" not in capsys.readouterr().err


def test_where_files_are(tmp_path):
    trainer = Trainer(max_epochs=1, default_root_dir=tmp_path, logger=True, **QUIET)
    trainer.fit(make(), loader())
    assert {str(path.relative_to(tmp_path)) for path in Path(tmp_path).rglob("*") if path.is_file()} == {
        "last.safetensors",
        "best.safetensors",
        "history.jsonl",
        "logs/version_0/metrics.csv",
        "logs/version_0/hparams.json",
    }
    Trainer(fast_dev_run=True, default_root_dir=tmp_path / "none", logger=True, **QUIET).fit(make(), loader())
    assert not (tmp_path / "none").exists()


def test_summary_writer_under_the_name_of_pytorch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from xpnn.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", xpnn.tensor(0.5, requires_grad=True).detach(), 3)
        writer.add_histogram("weights", xpnn.randn(10), 0)
        writer.add_scalars("both", {"a": xpnn.tensor(1.0), "b": 2.0}, 0)
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.5)]
    assert events.Tags()["histograms"] == ["weights"]
