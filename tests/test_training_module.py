"""TrainingModule and DataModule: each feature against a loop that is written out."""

from __future__ import annotations

import argparse
import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import ArgumentError, CheckpointError, DTypeError, random
from xpnn.data import DataLoader, TensorDataset
from xpnn.io import read_checkpoint
from xpnn.metrics import Accuracy
from xpnn.nn import functional as F
from xpnn.train import Callback, DataModule, ModelCheckpoint, Trainer, TrainingModule

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((22, 3)).astype(np.float32)
LABELS = (INPUTS.sum(axis=1) > 0).astype(np.int64)
QUIET = {"enable_progress_bar": False, "enable_model_summary": False}


def loader(batch_size=4, **options):
    return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=batch_size, **options)


def network():
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


class Net(TrainingModule):
    def __init__(self, lr=0.05, *, drop=0.3):
        super().__init__()
        self.save_hyperparameters()
        self.net = network()
        self.accuracy = Accuracy()

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        outputs = self(x)
        loss = F.cross_entropy(outputs, y)
        self.accuracy.update(outputs, y)
        self.log("train_loss", loss, on_epoch=True, prog_bar=True)
        self.log("train_acc", self.accuracy, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]))

    test_step = validation_step

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.hparams.lr)


def make(kind=Net, seed=0, **arguments):
    xpnn.manual_seed(seed)
    return kind(**arguments)


def weights(module):
    return [parameter.array for parameter in module.parameters()]


def assert_equal(found, expected):
    for mine, theirs in zip(weights(found), weights(expected), strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- the loop


def test_the_loop_is_the_one_that_a_user_would_write():
    class Scheduled(Net):
        def configure_optimizers(self):
            optimizer = optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            schedule = optim.OneCycleLR(optimizer, 0.1, total_steps=40)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = make(Scheduled)
    trainer = Trainer(max_epochs=3, gradient_clip_val=0.5, **QUIET)
    history = trainer.fit(module, loader(shuffle=True), loader(5))

    other, losses = make(Scheduled), []
    optimizer = optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, 0.1, total_steps=40)
    batches = loader(shuffle=True)
    for _ in range(3):
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(other(x), y)
            loss.backward()
            optim.clip_grad_norm_(other.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(y)
        losses.append(total / 22)
    assert_equal(module, other)
    np.testing.assert_allclose(history["train_loss"], losses, rtol=1e-6)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-6)
    assert history["lr"][-1] == schedule.get_last_lr()[0]
    assert (trainer.global_step, trainer.estimated_stepping_batches) == (18, 18)
    assert trainer.callback_metrics["train_loss_epoch"] == history["train_loss"][-1]
    outputs = other.eval()(xpnn.asarray(INPUTS))
    assert history["val_loss"][-1] == pytest.approx(F.cross_entropy(outputs, LABELS).item(), rel=1e-5)
    assert history["train_acc"][-1] == pytest.approx(np.round(history["train_acc"][-1] * 22) / 22)


def test_on_every_backend(backend):
    module = make()
    history = Trainer(max_epochs=4, **QUIET).fit(module, loader(shuffle=True), loader(5))
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert module.device == xpnn.backend.device_of(module.net[0].weight.array)


def test_a_module_elsewhere_than_the_current_backend():
    """The loader's batches come to where the module is."""
    module = make().to("array_api_strict")
    history = Trainer(max_epochs=2, **QUIET).fit(module, loader(), loader())
    assert math.isfinite(history["val_loss"][1])
    assert xpnn.get_backend().name == "numpy"


def test_order_of_hooks():
    events = []

    class Hooked(Net):
        pass

    names = [
        name
        for name in vars(TrainingModule)
        if name.startswith("on_") and "transfer" not in name and name != "on_gpu"
    ]
    for name in names:
        setattr(Hooked, name, lambda self, *args, name=name: events.append(name))

    class Recorder(Callback):
        pass

    for name in names:
        if hasattr(Callback, name) and name not in ("on_fit_start", "on_fit_end"):
            setattr(
                Recorder, name, lambda self, trainer, module, *args, name=name: events.append(f"c.{name}")
            )
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        callbacks=[Recorder()],
        num_sanity_val_steps=0,
        **QUIET,
    )
    trainer.fit(make(Hooked), loader(), loader())

    def both(*names):
        return [event for name in names for event in (f"c.{name}", name)]

    step = both("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
    validation = both("on_validation_start", "on_validation_epoch_start")
    assert events == [
        "on_fit_start",
        *both("on_train_start", "on_train_epoch_start"),
        *both("on_train_batch_start"),
        *step,
        *both("on_train_batch_end"),
        *validation,
        *both("on_validation_batch_start", "on_validation_batch_end"),
        *both("on_validation_epoch_end", "on_validation_end"),
        *both("on_train_epoch_end", "on_train_end"),
        "on_fit_end",
    ]


def test_a_callback_in_lightnings_form():
    seen = {}

    class Mine(Callback):
        def setup(self, trainer, pl_module, stage):
            seen["stage"] = stage

        def on_fit_start(self, trainer, pl_module):
            seen["module"] = pl_module

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen["outputs"] = outputs, batch_idx

        def on_train_epoch_end(self, trainer, pl_module):
            seen["metric"] = float(trainer.callback_metrics["val_loss"])

    module = make()
    Trainer(max_epochs=1, callbacks=Mine(), **QUIET).fit(module, loader(), loader())
    assert seen["stage"] == "fit"
    assert seen["module"] is module
    assert seen["outputs"][0].shape == ()
    assert seen["outputs"][1] == 5
    assert seen["metric"] > 0


def test_what_log_reduces():
    class Logs(Net):
        def training_step(self, batch, batch_idx):
            size = len(batch[1])
            self.log("mean", float(batch_idx), on_step=False, on_epoch=True)
            self.log("weighted", float(batch_idx), on_step=False, on_epoch=True, batch_size=batch_idx + 1)
            for how in ("sum", "min", "max"):
                self.log(how, xpnn.tensor(float(batch_idx)), on_step=False, on_epoch=True, reduce_fx=how)
            self.log_dict({"size": size, "one": xpnn.tensor([1.0])})
            return super().training_step(batch, batch_idx)

        def on_train_epoch_end(self):
            self.log("at_the_end", 7)

    history = Trainer(max_epochs=2, **QUIET).fit(make(Logs), loader())
    index, sizes = np.arange(6), np.array([4, 4, 4, 4, 4, 2])
    assert history["mean"][1] == pytest.approx((index * sizes).sum() / 22)
    assert history["weighted"][1] == pytest.approx((index * (index + 1)).sum() / 21)
    assert [history[how][1] for how in ("sum", "min", "max")] == [15, 0, 5]
    assert (history["size"][0], history["one"][0], history["at_the_end"]) == (2, 1.0, [7, 7])


def test_several_loaders():
    class Both(Net):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("count", len(batch[1]), reduce_fx="sum")
            self.log("all", 1.0, add_dataloader_idx=False, reduce_fx="sum")

    trainer = Trainer(**QUIET)
    found = trainer.validate(make(Both), [loader(), loader(11)])
    assert found == [
        {"count/dataloader_idx_0": 22, "all": 8.0},
        {"count/dataloader_idx_1": 22},
    ]
    assert trainer.test(make(), loader(), verbose=False)[0]["val_loss"] > 0


def test_predict():
    module = make()
    outputs = Trainer(limit_predict_batches=3, **QUIET).predict(module, loader())
    with xpnn.no_grad():
        expected = module.eval()(xpnn.asarray(INPUTS))
    np.testing.assert_allclose(np.concatenate([y.array for y in outputs]), expected.array[:12], rtol=1e-6)
    assert len(Trainer(**QUIET).predict(module, [loader(), loader(11)])[1]) == 2
    assert all(layer.training is False for layer in module.modules())


# --- optimizers


class Gan(TrainingModule):
    """Two networks in turn, stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.critic = nn.Linear(3, 3), nn.Linear(3, 1)

    def losses(self, x):
        fake = self.generator(x)
        return -self.critic(fake).mean(), (self.critic(fake.detach()) ** 2 - self.critic(x)).mean()

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        self.toggle_optimizer(first)
        assert not self.critic.weight.requires_grad
        loss, _ = self.losses(batch[0])
        self.manual_backward(loss)
        assert self.critic.weight.grad is None
        self.clip_gradients(first, gradient_clip_val=0.1, gradient_clip_algorithm="norm")
        first.step()
        first.zero_grad()
        self.untoggle_optimizer(first)
        with second.toggle_model():
            _, loss = self.losses(batch[0])
            self.log("critic", loss, on_step=False, on_epoch=True)
            self.manual_backward(loss)
            second.step()
            second.zero_grad()

    def on_train_epoch_end(self):
        for schedule in self.lr_schedulers():
            schedule.step()

    def configure_optimizers(self):
        first = optim.Adam(self.generator.parameters(), lr=0.01)
        second = optim.RMSprop(self.critic.parameters(), lr=0.01)
        return [first, second], [optim.StepLR(first, 1, 0.5), {"scheduler": optim.StepLR(second, 1)}]


def test_two_optimizers_by_hand(tmp_path):
    module, trainer = make(Gan), Trainer(max_epochs=3, default_root_dir=tmp_path, **QUIET)
    history = trainer.fit(module, loader(shuffle=True))
    assert trainer.global_step == 36
    assert list(history) == ["epoch", "critic", "lr"]

    other = make(Gan)
    (first, second), _ = other.configure_optimizers()
    schedules = [optim.StepLR(first, 1, 0.5), optim.StepLR(second, 1)]
    batches = loader(shuffle=True)
    for _ in range(3):
        for x, _ in batches:
            other.critic.requires_grad_(False)
            first.zero_grad()
            other.losses(x)[0].backward()
            optim.clip_grad_norm_(other.generator.parameters(), 0.1)
            first.step()
            other.critic.requires_grad_(True)
            second.zero_grad()
            other.losses(x)[1].backward()
            second.step()
        for schedule in schedules:
            schedule.step()
    assert_equal(module, other)

    whole = read_checkpoint(tmp_path / "last.safetensors").states
    assert {"optimizer", "optimizer 2", "scheduler", "scheduler 2"} <= set(whole)
    cut = tmp_path / "cut"
    halted = Trainer(max_epochs=3, max_steps=16, default_root_dir=cut, **QUIET)
    halted.fit(make(Gan), loader(shuffle=True))
    assert (halted.epoch, halted.batch) == (1, 2)
    module = make(Gan, seed=5)
    Trainer(max_epochs=3, default_root_dir=cut, **QUIET).fit(module, loader(shuffle=True), ckpt_path="last")
    assert_equal(module, other)


@pytest.mark.parametrize("sizes", [[4, 4, 4, 4], [4, 4, 4, 4, 4], [4, 2, 3, 5, 1]])
@pytest.mark.parametrize("knows_its_length", [True, False])
def test_accumulated_gradients_are_those_of_the_large_batch(sizes, knows_its_length):
    """Also of batches of other sizes, and of a group at the end that is short."""
    ends = np.cumsum(sizes)
    batches = [(INPUTS[e - n : e], LABELS[e - n : e]) for e, n in zip(ends, sizes)]
    large = [
        tuple(np.concatenate(parts) for parts in zip(*batches[i : i + 2])) for i in range(0, len(batches), 2)
    ]

    class Without(Net):
        def __init__(self):
            super().__init__(lr=0.1)
            self.net = nn.Linear(3, 2)

        def configure_optimizers(self):
            return optim.SGD(self.parameters(), lr=0.1)

    class Unsized:
        def __iter__(self):
            return iter(batches)

    found, expected = make(Without), make(Without)
    trainer = Trainer(max_epochs=2, accumulate_grad_batches=2, **QUIET)
    trainer.fit(found, batches if knows_its_length else Unsized())
    plain = Trainer(max_epochs=2, **QUIET)
    plain.fit(expected, large)
    assert trainer.global_step == plain.global_step == 2 * len(large)
    for mine, theirs in zip(weights(found), weights(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-7)


def test_lbfgs_is_given_a_closure():
    class Quadratic(Net):
        def training_step(self, batch, batch_idx):
            return (self.net[0].weight ** 2).sum() + (self.net[0].bias - 1).pow(2).sum()

        def configure_optimizers(self):
            return optim.LBFGS(self.net[0].parameters(), lr=0.5)

    module = make(Quadratic)
    Trainer(max_steps=8, **QUIET).fit(module, loader())
    assert abs(module.net[0].weight.array).max() < 1e-3


def test_batches_without_a_loss_are_skipped():
    class Skips(Net):
        def training_step(self, batch, batch_idx):
            return None if batch_idx % 2 else super().training_step(batch, batch_idx)

    trainer = Trainer(max_epochs=1, **QUIET)
    trainer.fit(make(Skips), loader())
    assert (trainer.batches, trainer.global_step) == (6, 3)


def test_a_step_of_ones_own():
    """optimizer_step may scale the learning rate around the closure, as warm-ups are written."""

    class Warm(Net):
        def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure):
            for group in optimizer.param_groups:
                group["lr"] = 0.01 * (self.trainer.global_step + 1)
            optimizer.step(closure=optimizer_closure)

        def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
            optimizer.zero_grad(set_to_none=False)

        def configure_gradient_clipping(self, optimizer, gradient_clip_val, gradient_clip_algorithm):
            self.clip_gradients(optimizer, 0.01, "value")

    module = make(Warm)
    Trainer(max_epochs=1, **QUIET).fit(module, loader())
    other = make(Warm)
    optimizer = other.configure_optimizers()
    for step, (x, y) in enumerate(loader()):
        optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
        optimizer.zero_grad()
        F.cross_entropy(other(x), y).backward()
        optim.clip_grad_value_(other.parameters(), 0.01)
        optimizer.step()
    assert_equal(module, other)


FORMS = {
    "one": lambda adam, step: adam,
    "list": lambda adam, step: [adam],
    "lists": lambda adam, step: ([adam], [step]),
    "lists of dicts": lambda adam, step: ([adam], [{"scheduler": step, "interval": "epoch"}]),
    "dict": lambda adam, step: {"optimizer": adam, "lr_scheduler": step},
    "dict in dict": lambda adam, step: {
        "optimizer": adam,
        "lr_scheduler": {"scheduler": step, "frequency": 2},
    },
    "tuple of dicts": lambda adam, step: ({"optimizer": adam, "lr_scheduler": step},),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_configure_optimizers(form):
    class Configured(Net):
        def configure_optimizers(self):
            adam = optim.Adam(self.parameters(), lr=1.0)
            return FORMS[form](adam, optim.ExponentialLR(adam, 0.5) if form not in ("one", "list") else None)

    history = Trainer(max_epochs=4, **QUIET).fit(make(Configured), loader(11))
    expected = {"one": [1, 1, 1, 1], "list": [1, 1, 1, 1], "dict in dict": [1, 1, 0.5, 0.5]}
    assert history["lr"] == expected.get(form, [1, 0.5, 0.25, 0.125])


def test_a_plateau_is_looked_for_in_what_it_monitors():
    class Plateau(Net):
        def configure_optimizers(self):
            adam = optim.Adam(self.parameters(), lr=0.0)
            schedule = optim.ReduceLROnPlateau(adam, patience=0)
            return {"optimizer": adam, "lr_scheduler": schedule, "monitor": "train_loss"}

    module, trainer = make(Plateau), Trainer(max_epochs=3, **QUIET)
    history = trainer.fit(module, loader())
    assert trainer.lr_scheduler_configs[0].scheduler.best == min(history["train_loss"])
    module.configure_optimizers = lambda: {**Plateau.configure_optimizers(module), "monitor": "f1"}
    with pytest.raises(ArgumentError, match=r"monitors 'f1', .* There are: .*train_loss"):
        Trainer(max_epochs=1, **QUIET).fit(module, loader())


# --- hyper-parameters


def test_hyperparameters():
    class Base(Net):
        def __init__(self, width=4, **options):
            super().__init__(**options)
            self.save_hyperparameters(ignore=["lr"])

    class Derived(Base):
        def __init__(self, depth, *, name="x", model=None, **options):
            super().__init__(width=9, **options)
            self.save_hyperparameters("depth")

    module = Derived(3, lr=0.5)
    assert module.hparams.depth == 3
    assert module.hparams["width"] == 9
    assert module.hparams.lr == 0.5  # of the innermost
    module.hparams.lr = 0.25
    assert module.hparams_initial.lr == 0.5
    with pytest.raises(AttributeError, match=r"no hyper-parameter 'with'; there are: .*lr"):
        _ = getattr(module.hparams, "with")

    class Given(TrainingModule):
        def __init__(self, config):
            self.save_hyperparameters(config)

    for config in ({"a": 1}, argparse.Namespace(a=1)):
        assert Given(config).hparams == {"a": 1}
    for duplicate in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))):
        other = duplicate(make(lr=0.125))
        assert other.hparams.lr == 0.125


def test_load_from_checkpoint(tmp_path):
    class Width(Net):
        def __init__(self, width, loss=F.cross_entropy):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Linear(3, width)

        def on_save_checkpoint(self, checkpoint):
            checkpoint["note"] = [1, xpnn.tensor([2.0])]

        def on_load_checkpoint(self, checkpoint):
            self.note = checkpoint["note"]

    module = make(Width, width=2)
    trainer = Trainer(max_epochs=1, default_root_dir=tmp_path, **QUIET)
    trainer.fit(module, loader())
    trainer.save_checkpoint(tmp_path / "light.safetensors", weights_only=True)
    for name in ("last", "light"):
        loaded = Width.load_from_checkpoint(tmp_path / f"{name}.safetensors")
        assert loaded.hparams.width == 2
        assert_equal(loaded, module)
    assert (loaded.note[0], loaded.note[1].tolist()) == (1, [2.0])
    with pytest.raises(CheckpointError, match="does not fit the model"):
        Width.load_from_checkpoint(tmp_path / "last.safetensors", width=3)
    with pytest.raises(CheckpointError, match=r"missing .*'other'.* could not hold 'loss'"):
        type("Other", (Width,), {"__init__": lambda self, other: None}).load_from_checkpoint(
            tmp_path / "last.safetensors"
        )


# --- data modules


class Data(DataModule):
    def __init__(self, batch_size=4):
        self.save_hyperparameters()
        self.events: list[str] = []

    def prepare_data(self):
        self.events.append("prepare")

    def setup(self, stage):
        self.events.append(stage)
        self.data = TensorDataset(INPUTS, LABELS)

    def teardown(self, stage):
        self.events.append(f"end of {stage}")

    def train_dataloader(self):
        return DataLoader(self.data, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.data, batch_size=5)

    test_dataloader = predict_dataloader = val_dataloader

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return batch[0] * 2, batch[1]


def test_a_data_module():
    data, module = Data(), make()
    trainer = Trainer(max_epochs=2, **QUIET)
    history = trainer.fit(module, datamodule=data)
    assert data.events == ["prepare", "fit", "end of fit"]
    trainer.test(module, data)
    trainer.predict(datamodule=data)
    assert data.events[3:] == ["prepare", "test", "end of test", "prepare", "predict", "end of predict"]
    other = make()
    expected = Trainer(max_epochs=2, **QUIET).fit(
        other, DataLoader(TensorDataset(INPUTS * 2, LABELS), 4, True)
    )
    assert_equal(module, other)
    assert history["loss"] == expected["loss"]
    twice = [(x * 2, y) for x, y in loader(22)]
    assert trainer.validate(module, twice)[0]["val_loss"] > 0
    made = DataModule.from_datasets(TensorDataset(INPUTS, LABELS), batch_size=4, val_dataset=Data)
    assert len(made.train_dataloader()) == 6


# --- how much, how long


@pytest.mark.parametrize(
    ("options", "epochs", "batches", "validated"),
    [
        ({"max_epochs": 2, "limit_train_batches": 3}, 2, 6, 10),
        ({"max_epochs": 2, "limit_train_batches": 0.5, "limit_val_batches": 0}, 2, 6, 0),
        ({"fast_dev_run": True}, 1, 1, 1),
        ({"fast_dev_run": 2}, 1, 2, 2),
        ({"max_steps": 8}, 1, 8, 5),
        ({"max_steps": 12}, 2, 12, 10),
        ({"max_epochs": 4, "check_val_every_n_epoch": 2}, 4, 24, 10),
        ({"max_epochs": 1, "val_check_interval": 2}, 1, 6, 15),
        ({"max_epochs": 2, "val_check_interval": 0.5}, 2, 12, 20),
        ({"max_epochs": 2, "val_check_interval": 5, "check_val_every_n_epoch": None}, 2, 12, 10),
        ({"max_epochs": -1, "max_steps": 3}, 0, 3, 0),
        ({"max_time": {"hours": 0}}, 0, 1, 0),
        ({"max_time": "00:00:00:00", "min_epochs": 2}, 2, 12, 10),
    ],
)  # fmt: skip
def test_limits(options, epochs, batches, validated):
    seen = []

    class Counts(Net):
        def validation_step(self, batch, batch_idx):
            seen.append(self.trainer.batches)

    options = {"limit_val_batches": 5} | options
    trainer = Trainer(num_sanity_val_steps=0, **options, **QUIET)
    trainer.fit(make(Counts), loader(), loader())
    assert (trainer.epoch, trainer.batches, len(seen)) == (epochs, batches, validated or 0)


def test_overfit_batches():
    class Simple(Net):
        def __init__(self):
            super().__init__(lr=0.05)
            self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))

    seen = []

    class Keep(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            seen.append(batch[1].tolist())

    trainer = Trainer(max_epochs=60, overfit_batches=1, callbacks=[Keep()], **QUIET)
    history = trainer.fit(make(Simple), loader(shuffle=True), loader())
    assert len(seen) == 60
    assert all(labels == seen[0] for labels in seen)
    assert history["loss"][-1] < 0.01
    assert history["val_loss"][-1] < 0.01


def test_a_limited_epoch_is_followed_by_another():
    """Not by the batches that were left: the order is one of a new epoch, also after a resumption."""

    def order(tmp=None, **options):
        seen = []

        class Keep(Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                seen.append(batch[0].array[:, 0].tolist())

        trainer = Trainer(limit_train_batches=3, callbacks=[Keep()], default_root_dir=tmp, **options, **QUIET)
        return trainer, seen

    def run(trainer, **options):
        trainer.fit(make(), loader(shuffle=True), **options)

    trainer, whole = order(max_epochs=3)
    run(trainer)
    expected = loader(shuffle=True)
    make()
    by_hand = [batch[0].array[:, 0].tolist() for _ in range(3) for batch in itertools.islice(expected, 3)]
    assert whole == by_hand


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_limited_epoch_resumed(tmp_path, steps):
    whole = make()
    Trainer(max_epochs=3, limit_train_batches=3, **QUIET).fit(whole, loader(shuffle=True), loader(5))
    Trainer(max_epochs=3, limit_train_batches=3, max_steps=steps, default_root_dir=tmp_path, **QUIET).fit(
        make(), loader(shuffle=True), loader(5)
    )
    module = make(seed=3)
    trainer = Trainer(max_epochs=3, limit_train_batches=3, default_root_dir=tmp_path, **QUIET)
    trainer.fit(module, loader(shuffle=True), loader(5), ckpt_path="last")
    assert_equal(module, whole)


def test_the_sanity_check_comes_first_and_changes_nothing():
    stages = []

    class Watch(Net):
        def validation_step(self, batch, batch_idx):
            stages.append((self.trainer.sanity_checking, self.trainer.batches))
            self.log("val_loss", F.dropout(self(batch[0]), 0.5).sum())

    runs = []
    for steps in (0, 2, -1):
        stages.clear()
        module = make(Watch)
        history = Trainer(max_epochs=1, num_sanity_val_steps=steps, **QUIET).fit(
            module, loader(shuffle=True), loader(5)
        )
        runs.append((module, history))
        assert stages[: 5 if steps < 0 else steps] == [(True, 0)] * (5 if steps < 0 else steps)
        assert len(stages) == {0: 5, 2: 7, -1: 10}[steps]
    for module, history in runs[1:]:
        assert_equal(module, runs[0][0])
        assert history == runs[0][1]


def test_more_epochs_for_a_finished_run(tmp_path):
    whole = make()
    Trainer(max_epochs=4, **QUIET).fit(whole, loader(shuffle=True))
    module, trainer = make(), Trainer(max_epochs=2, default_root_dir=tmp_path, **QUIET)
    train = loader(shuffle=True)
    trainer.fit(module, train)
    trainer.fit(module, train, epochs=2)
    assert_equal(module, whole)
    short = {"default_root_dir": tmp_path / "short", **QUIET}
    Trainer(max_epochs=2, **short).fit(make(), loader(shuffle=True))
    again = make(seed=4)
    Trainer(max_epochs=4, **short).fit(again, loader(shuffle=True), ckpt_path="last")
    assert_equal(again, whole)


# --- resuming


class Moments(Callback):
    """Cuts the run at a batch or an event."""

    def __init__(self, event="", count=0):
        self.event, self.count = event, count

    def on_batch_end(self, trainer):
        if (self.event, self.count) == ("batch", trainer.batches):
            raise RuntimeError

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        if (self.event, self.count) == ("validation", trainer.batches) and batch_idx == 1:
            raise RuntimeError


class Augmented(Net):
    """Draws random numbers in every step, and monitors in the course of the epoch."""

    def on_after_batch_transfer(self, batch, dataloader_idx):
        x, y = batch
        return x + 0.1 * xpnn.randn(*x.shape), y


@pytest.mark.parametrize("event", ["batch", "validation"])
@pytest.mark.parametrize("count", [4, 5, 6, 8, 11, 12])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_cut_and_resumed(tmp_path, event, count, accumulate):
    def run(folder, seed, cut, **options):
        module = make(Augmented, seed=seed)
        trainer = Trainer(
            max_epochs=3, accumulate_grad_batches=accumulate, val_check_interval=4, callbacks=[cut],
            default_root_dir=folder, **QUIET
        )  # fmt: skip
        trainer.fit(module, loader(shuffle=True), loader(5, shuffle=True), **options)
        return module, trainer

    expected, whole = run(tmp_path / "whole", 0, Moments())
    cut = tmp_path / "cut"
    if event == "validation" and count not in (4, 6 + 4):
        count = 4
    with pytest.raises(RuntimeError):
        run(cut, 0, Moments(event, count))
    module, trainer = run(cut, 9, Moments(), resume=True)
    assert trainer.resumed_from == cut / "last.safetensors"
    assert_equal(module, expected)
    assert trainer.history == whole.history
    assert trainer.global_step == whole.global_step
    assert random.default_stream().state_dict()["counter"] > 0


# --- other ways to say it


def test_a_step_function():
    """The loss of a model's parts, with further measures, in place of a loss of outputs and targets."""

    def step(model, batch):
        x, y = batch
        outputs = model(x)
        return {"loss": F.cross_entropy(outputs, y), "norm": (outputs**2).mean()}

    xpnn.manual_seed(0)
    model = network()
    trainer = Trainer(model, "adam", step=step, progress=False)
    history = trainer.fit(loader(), loader(5), epochs=2)
    assert list(history) == ["epoch", "loss", "norm", "val_loss", "val_norm", "lr"]
    xpnn.manual_seed(0)
    plain = network()
    Trainer(plain, "adam", progress=False).fit(loader(), epochs=2)
    for mine, theirs in zip(model.parameters(), plain.parameters()):
        np.testing.assert_array_equal(mine.array, theirs.array)
    with pytest.raises(ArgumentError, match=r"the loss as a Tensor, or a dict .* got NoneType"):
        Trainer(model, "adam", step=lambda model, batch: None, progress=False).fit(loader())


def test_compiled_steps(backend):
    expected = Trainer(max_epochs=2, **QUIET).fit(make(Compiled), loader(11), loader(11))
    history = Trainer(max_epochs=2, compile=True, **QUIET).fit(make(Compiled), loader(11), loader(11))
    assert list(history) == list(expected)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-4)


class Compiled(Net):
    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("twice", loss * 2, on_epoch=True)
        return loss


@pytest.mark.parametrize(
    ("precision", "dtype"), [("64-true", "float64"), (64, "float64"), ("16-true", "float16")]
)
def test_true_precision(precision, dtype):
    module = make()
    history = Trainer(max_epochs=2, precision=precision, **QUIET).fit(module, loader(11), loader())
    assert {parameter.dtype.name for parameter in module.parameters()} == {dtype}
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.parametrize(
    ("library", "precision", "half"),
    [("numpy", "16-mixed", "float16"), ("torch", "bf16-mixed", "bfloat16"), ("torch", 16, "float16")],
)
def test_mixed_precision(library, precision, half):
    pytest.importorskip(library)
    seen = []

    class Watched(Net):
        def training_step(self, batch, batch_idx):
            scores = self(batch[0])
            seen.append(str(scores.dtype).rpartition(".")[2])
            loss = F.cross_entropy(scores, batch[1])
            self.log("loss", loss)
            return loss

    with xpnn.use_backend(library):
        found = []
        for kind in (precision, None):
            xpnn.manual_seed(0)
            module = Watched()
            found.append(Trainer(max_epochs=3, precision=kind, **QUIET).fit(module, loader(11))["loss"])
            assert {str(p.dtype).rpartition(".")[2] for p in module.parameters()} == {"float32"}
    assert seen == [half] * (len(seen) // 2) + ["float32"] * (len(seen) // 2)
    np.testing.assert_allclose(*found, rtol=0.05)


def test_a_precision_that_the_library_lacks_is_refused():
    for precision in ("bf16-mixed", "bf16-true"):
        with pytest.raises(DTypeError, match="asks for bfloat16, which numpy does not have"):
            Trainer(max_epochs=1, precision=precision, **QUIET).fit(make(), loader())


def test_checkpoints_are_made_and_found(tmp_path):
    checkpoint = ModelCheckpoint(
        dirpath=tmp_path, filename="{epoch}-{val_loss:.2f}", monitor="val_loss", mode="min", save_top_k=2
    )
    trainer = Trainer(max_epochs=5, callbacks=[checkpoint], **QUIET)
    module = make(lr=0.2)
    history = trainer.fit(module, loader(), loader())
    order = np.argsort(history["val_loss"])
    names = {f"epoch={i + 1}-val_loss={history['val_loss'][i]:.2f}.safetensors" for i in order[:2]}
    assert {path.name for path in tmp_path.glob("epoch*")} == names
    assert checkpoint.best_model_score == min(history["val_loss"])
    found = trainer.validate(module, loader(), ckpt_path="best")
    assert found[0]["val_loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)


@pytest.mark.parametrize(
    ("message", "run"),
    [
        ("expects a TrainingModule, got Linear", lambda m: Trainer(**QUIET).fit(nn.Linear(1, 1), loader())),
        ("TrainingModule as the first argument of fit", lambda m: Trainer(m, "adam")),
        ("batches to train on, got none", lambda m: Trainer(**QUIET).fit(m)),
        ("batches to test on, got none", lambda m: Trainer(**QUIET).test(m)),
        ("fit expects batches, got a TensorDataset", lambda m: Trainer(**QUIET).fit(m, loader().dataset)),
        ("loaders or a datamodule, got both", lambda m: Trainer(**QUIET).fit(m, loader(), datamodule=Data())),
        ("max_epochs as an integer >= -1, got 1.5", lambda m: Trainer(max_epochs=1.5)),
        ("accumulate_grad_batches as an integer >= 1, got 0", lambda m: Trainer(accumulate_grad_batches=0)),
        ("limit_val_batches as an integer >= 0 or a float", lambda m: Trainer(limit_val_batches=1.5)),
        ("expects precision to be one of", lambda m: Trainer(precision="8")),
        ("a timedelta, a dict .* got 'noon'", lambda m: Trainer(max_time="noon")),
        ("runs on one device", lambda m: Trainer(devices=2)),
        ("gradient_clip_algorithm to be one of", lambda m: Trainer(gradient_clip_algorithm="l2")),
        ("logger as a Logger", lambda m: Trainer(logger="csv")),
        ("not attached to a Trainer", lambda m: m.log("x", 1)),
        ("has nothing to validate", lambda m: Trainer().validate(dataloaders=loader())),
        (
            "cannot accumulate gradients in a compiled",
            lambda m: Trainer(compile=True, accumulate_grad_batches=2, **QUIET).fit(m, loader()),
        ),
    ],
)  # fmt: skip
def test_bad_arguments(message, run):
    with pytest.raises(ArgumentError, match=message):
        run(make())


@pytest.mark.parametrize(
    ("message", "name", "method"),
    [
        ("return the loss as a Tensor, .* got float", "training_step", lambda self, batch, i: 1.0),
        ("a dict with 'loss', got one without", "training_step", lambda self, batch, i: {}),
        ("one number as 'a', got shape", "training_step", lambda self, batch, i: self.log("a", batch[0])),
        ("Use log_dict", "training_step", lambda self, batch, i: self.log("a", {})),
        ("reduce_fx as one of", "training_step", lambda self, batch, i: self.log("a", 1, reduce_fx="std")),
        ("cannot log 'a' by step here", "on_train_epoch_end", lambda self: self.log("a", 1, on_step=True)),
        ("got several: which loss", "configure_optimizers", lambda self: [optim.Adam(self.parameters())] * 2),
        ("expects an optimizer, a list", "configure_optimizers", lambda self: 3),
        ("with 'optimizer' and 'lr_sch", "configure_optimizers", lambda self: {"adam": 1}),
        (
            "interval as 'epoch' or 'step'",
            "configure_optimizers",
            lambda self: (
                [a := optim.Adam(self.parameters())],
                [{"scheduler": optim.StepLR(a, 1), "interval": "batch"}],
            ),
        ),
        (
            "schedules on its own optimizers",
            "configure_optimizers",
            lambda self: ([optim.Adam(self.parameters())], [optim.StepLR(optim.Adam(self.parameters()), 1)]),
        ),
    ],
)  # fmt: skip
def test_bad_modules(message: str, name: str, method: Any) -> None:
    kind = type("Bad", (Net,), {name: method})
    with pytest.raises(ArgumentError, match=message):
        Trainer(max_epochs=1, **QUIET).fit(make(kind), loader())


LIGHTNING = """
import os
import lightning as L
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset, random_split
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

class LitAutoEncoder(L.LightningModule):
    def __init__(self, width: int = 8, lr: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 3))
        self.decoder = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 16))

    def forward(self, x):
        return self.encoder(x)

    def _shared_step(self, batch):
        x, _ = batch
        x = x.view(x.size(0), -1)
        return nn.functional.mse_loss(self.decoder(self.encoder(x)), x)

    def training_step(self, batch, batch_idx):
        loss = self._shared_step(batch)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._shared_step(batch), prog_bar=True)

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self._shared_step(batch))

    def configure_optimizers(self):
        optimizer = optim.Adam(self.parameters(), lr=self.hparams.lr)
        scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}

class DigitsData(L.LightningDataModule):
    def __init__(self, batch_size: int = 16):
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str):
        generator = torch.Generator().manual_seed(42)
        x = torch.rand(80, 1, 4, 4, generator=generator)
        full = TensorDataset(x, torch.zeros(80))
        self.train, self.val = random_split(full, [60, 20], generator=generator)

    def train_dataloader(self):
        return DataLoader(self.train, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)

    def test_dataloader(self):
        return DataLoader(self.val, batch_size=self.batch_size)

L.seed_everything(42, workers=True)
checkpoint = ModelCheckpoint(dirpath=folder, monitor="val_loss", mode="min", save_top_k=2,
                             filename="ae-{epoch:02d}-{val_loss:.2f}")
trainer = L.Trainer(
    max_epochs=6, accelerator="auto", devices=1, callbacks=[
        checkpoint, EarlyStopping(monitor="val_loss", patience=3, mode="min"), LearningRateMonitor("epoch"),
    ],
    logger=CSVLogger(folder, name="csv"), log_every_n_steps=1, gradient_clip_val=1.0, deterministic=True,
    enable_progress_bar=False, enable_model_summary=False,
)
data = DigitsData()
model = LitAutoEncoder(width=8)
trainer.fit(model, datamodule=data)
results = trainer.test(model, datamodule=data, ckpt_path="best", verbose=False)
best = LitAutoEncoder.load_from_checkpoint(checkpoint.best_model_path)
best.eval()
with torch.no_grad():
    codes = best(torch.rand(5, 16))
"""


def test_a_program_for_lightning_with_its_imports_changed(tmp_path):
    program = LIGHTNING
    for before, after in (
        ("import lightning as L", "import xpnn.train.lightning as L"),
        ("import torch\n", "import xpnn as torch\n"),
        ("lightning.pytorch", "xpnn.train"),
        ("torch.utils", "xpnn.utils"),
        ("from torch import", "from xpnn import"),
    ):
        program = program.replace(before, after)
    scope: dict[str, Any] = {"folder": str(tmp_path)}
    exec(program, scope)
    assert scope["codes"].shape == (5, 3)
    assert scope["results"][0]["test_loss"] == pytest.approx(scope["checkpoint"].best_model_score, rel=1e-5)
    assert scope["trainer"].history["val_loss"][-1] < scope["trainer"].history["val_loss"][0]
    assert len(list(tmp_path.glob("ae-epoch=*"))) == 2
