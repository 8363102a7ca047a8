"""The Trainer: what it measures, callbacks, files, bad input."""

from __future__ import annotations

import copy
import io
import json
import pickle
import signal
import threading

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backend import AnomalyError, ArgumentError, CheckpointError, DTypeError, backend_of, random
from xpnn.data import DataLoader, Digits, TensorDataset
from xpnn.io import read_checkpoint
from xpnn.metrics import Accuracy, ConfusionMatrix, accuracy
from xpnn.train import (
    Callback,
    EarlyStopping,
    History,
    HistoryFile,
    Interrupted,
    ModelCheckpoint,
    ProgressBar,
    Terminated,
    Trainer,
)

RNG = np.random.default_rng(0)
INPUTS = RNG.standard_normal((20, 3)).astype(np.float32)
LABELS = (INPUTS.sum(axis=1) > 0).astype(np.int64)


def loader(batch_size=6, **options):
    return DataLoader(TensorDataset(INPUTS, LABELS), batch_size=batch_size, num_workers=0, **options)


def make(seed=0, lr=0.1, **options):
    xpnn.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    options = {"progress": False} | options
    return Trainer(model, optim.Adam(model.parameters(), lr=lr), **options)


def test_learns_and_measures(backend):
    trainer = make(metrics={"accuracy": Accuracy()})
    history = trainer.fit(loader(shuffle=True), loader(), epochs=8)
    assert history is trainer.history
    assert list(history) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr"]
    assert history["epoch"] == list(range(1, 9))
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert history["lr"] == [0.1] * 8
    assert (trainer.epoch, trainer.batches, trainer.samples) == (8, 32, 160)
    assert backend_of(trainer.model[0].weight.array).name == backend.backend


def test_evaluate_is_the_mean_over_samples_whatever_the_batches(backend):
    trainer = make(metrics=[Accuracy(), ConfusionMatrix(2), accuracy])
    results = [trainer.evaluate(loader(size)) for size in (20, 6, 1)]
    outputs = backend.numpy(trainer.model.eval()(xpnn.asarray(INPUTS)).array)
    expected = float((outputs.argmax(1) == LABELS).mean())
    log_probabilities = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
    loss = -log_probabilities[np.arange(20), LABELS].mean()
    for result in results:
        assert result["loss"] == pytest.approx(loss, rel=1e-5)
        assert result["accuracy"] == pytest.approx(expected)
        assert np.sum(result["confusion_matrix"]) == 20


def test_evaluation_leaves_training_as_it_was():
    trainer = make()
    trainer.model[2].eval()
    state = xpnn.backend.random.state_dict()
    xpnn.backend.random.default_stream().counter = 5
    trainer.evaluate(loader())
    trainer.predict(loader())
    assert [module.training for module in trainer.model.modules()] == [True, True, True, False, True]
    assert xpnn.backend.random.state_dict() == state | {"stream": state["stream"] | {"counter": 5}}
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_predict(backend):
    trainer = make()
    outputs = trainer.predict(loader())
    expected = backend.numpy(trainer.model.eval()(xpnn.asarray(INPUTS)).array)
    np.testing.assert_allclose(backend.numpy(outputs), expected, rtol=1e-5, atol=1e-6)
    alone = trainer.predict([xpnn.asarray(INPUTS[:5]), xpnn.asarray(INPUTS[5:])])
    np.testing.assert_allclose(backend.numpy(alone), expected, rtol=1e-5, atol=1e-6)


def test_the_loop_is_the_one_that_a_user_would_write():
    trainer = make(max_grad_norm=0.5)
    trainer.fit(loader(), epochs=3)
    other = make()
    for _ in range(3):
        for x, y in loader():
            other.optimizer.zero_grad()
            nn.CrossEntropyLoss()(other.model(x), y).backward()
            optim.clip_grad_norm_(other.model.parameters(), 0.5)
            other.optimizer.step()
    for mine, theirs in zip(trainer.model.parameters(), other.model.parameters()):
        assert np.array_equal(mine.array, theirs.array)


@pytest.mark.parametrize(("interval", "steps"), [("epoch", 3), ("batch", 12)])
def test_schedule(interval, steps):
    trainer = make()
    schedule = optim.ExponentialLR(trainer.optimizer, 0.5)
    trainer = Trainer(
        trainer.model, trainer.optimizer, scheduler=schedule, scheduler_interval=interval, progress=False
    )
    history = trainer.fit(loader(), epochs=3)
    assert schedule.last_epoch == steps
    assert history["lr"][1] == pytest.approx(0.05 if interval == "epoch" else 0.1 * 0.5**8)


def test_plateau_watches_the_validation_loss():
    trainer = make(lr=0.0)
    trainer.scheduler = optim.ReduceLROnPlateau(trainer.optimizer, patience=0)
    trainer.fit(loader(), loader(), epochs=3)
    assert trainer.scheduler.num_bad_epochs == 0
    assert trainer.scheduler.best == trainer.history["val_loss"][0]


def test_forward_can_be_overridden():
    class Autoencoder(Trainer):
        def forward(self, batch):
            outputs = self.model(batch["x"])
            return ((outputs - batch["x"]) ** 2).mean(), outputs

    model = nn.Linear(3, 3)
    batches = [{"x": INPUTS[:10]}, {"x": INPUTS[10:]}]
    trainer = Autoencoder(model, optim.Adam(model.parameters(), lr=0.1), progress=False)
    losses = trainer.fit(batches, epochs=5)["loss"]
    assert losses[-1] < losses[0]


def test_fit_goes_on_from_where_the_last_one_ended():
    trainer = make()
    trainer.fit(loader(), epochs=2)
    trainer.fit(loader())
    trainer.fit(loader(), epochs=1)
    assert trainer.history == make().fit(loader(), epochs=4)


def test_fit_says_that_it_has_nothing_to_do(tmp_path):
    trainer = make(out=tmp_path)
    trainer.fit(loader(), epochs=2)
    with pytest.warns(RuntimeWarning, match="nothing to do: the run is at epoch 2 of 2 already"):
        trainer.fit(loader(), epochs=2, resume=True)
    trainer.fit(loader(), epochs=3, resume=True)
    assert trainer.epoch == 3


def test_compiled_trainer_equals_the_plain_one(backend):
    expected = make().fit(loader(10), loader(10), epochs=2)
    history = make(compile=True).fit(loader(10), loader(10), epochs=2)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-4)


# --- callbacks


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_fit_start(self, trainer):
        self.events.append("fit")

    def on_epoch_start(self, trainer):
        self.events.append(f"epoch {trainer.epoch}")

    def on_batch_end(self, trainer):
        self.events.append(f"batch {trainer.batch}")

    def on_epoch_end(self, trainer, logs):
        self.events.append(f"end {trainer.epoch}")

    def on_fit_end(self, trainer):
        self.events.append("done")

    def close(self, trainer):
        self.events.append("closed")


def test_order_of_events():
    recorder = Recorder()
    make(callbacks=[recorder]).fit(loader(10), epochs=2)
    epochs = ["epoch 0", "batch 1", "batch 2", "end 1", "epoch 1", "batch 1", "batch 2", "end 2"]
    assert recorder.events == ["fit", *epochs, "done", "closed"]


class Losses(Callback):
    """Gives the losses of the epochs, and writes the epoch into the weights."""

    def __init__(self, *losses):
        self.losses = losses

    def on_epoch_end(self, trainer, logs):
        logs["val_loss"] = self.losses[trainer.epoch - 1]
        trainer.model[0].bias.array = np.full(8, trainer.epoch, np.float32)


@pytest.mark.parametrize(("restore", "bias"), [(True, 2), (False, 4)])
def test_early_stopping(restore, bias):
    stopping = EarlyStopping(patience=2, restore_best=restore)
    trainer = make(callbacks=[Losses(3, 1, 2, np.nan, 1, 1), stopping])
    trainer.fit(loader(), loader(), epochs=6)
    assert (trainer.epoch, stopping.best_epoch) == (4, 2)
    assert trainer.model[0].bias.array[0] == bias


def test_callbacks_start_afresh(tmp_path):
    """The same objects in a second run, of another trainer, do what new ones do."""
    outcomes, used = [], [Losses(3, 1, 2, 2, 2), EarlyStopping(patience=1), ModelCheckpoint(), HistoryFile()]
    for number in range(2):
        for reused in (True, False):
            callbacks = used if reused else [type(used[0])(5, 4, 6, 6, 6), EarlyStopping(patience=1)]
            if reused and number == 1:
                used[0] = Losses(5, 4, 6, 6, 6)
            folder = tmp_path / f"{number}{reused}"
            trainer = make(callbacks=callbacks, out=folder)
            trainer.fit(loader(), loader(), epochs=5)
            stopping = callbacks[1]
            outcomes.append(
                (
                    trainer.epoch,
                    stopping.best_epoch,
                    stopping.best.value,
                    trainer.model[0].bias.tolist(),
                    sorted(path.name for path in folder.iterdir()),
                    read_checkpoint(folder / "best.safetensors").states["trainer"]["epoch"],
                )
            )
    assert outcomes[2] == outcomes[3]


def test_a_second_fit_of_a_trainer_stops_by_its_own_best():
    stopping = EarlyStopping(patience=0, min_delta=1e9)
    trainer = make(callbacks=[stopping])
    trainer.fit(loader(), epochs=9)
    assert trainer.epoch == 2
    trainer.fit(loader(), epochs=9)
    assert trainer.epoch == 4
    assert stopping.best_epoch == 3


@pytest.mark.parametrize("name", ["adam", "SGD", "AdamW", "ADAM"])
@pytest.mark.parametrize("loss", ["cross_entropy", "CrossEntropyLoss", "cross-entropy", "Cross Entropy"])
def test_names(name, loss):
    xpnn.manual_seed(0)
    model = nn.Linear(3, 2)
    trainer = Trainer(model, name, loss, progress=False)
    assert type(trainer.optimizer).__name__.lower() == name.lower()
    losses = trainer.fit(loader())["loss"]
    xpnn.manual_seed(0)
    model = nn.Linear(3, 2)
    kind = type(trainer.optimizer)
    assert losses == Trainer(model, kind(model.parameters()), progress=False).fit(loader())["loss"]


@pytest.mark.parametrize("loss", ["mse", "mse_loss", "MSELoss", "BCEWithLogits", "huber", "smooth l1"])
def test_names_of_losses(loss):
    zeros = np.zeros((20, 2), np.float32)
    Trainer(nn.Linear(3, 2), "sgd", loss, progress=False).fit([(INPUTS, zeros)])


def test_several_schedules():
    trainer = make()
    schedules = [
        optim.ExponentialLR(trainer.optimizer, 0.5),
        optim.ReduceLROnPlateau(trainer.optimizer),
    ]
    trainer = Trainer(trainer.model, trainer.optimizer, scheduler=schedules, progress=False)
    history = trainer.fit(loader(), loader(), epochs=3)
    np.testing.assert_allclose(history["lr"], [0.1, 0.05, 0.025])
    assert schedules[1].last_epoch == 3


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_copies_are_apart(duplicate):
    trainer = make(metrics=[Accuracy()], callbacks=[EarlyStopping(patience=9)])
    trainer.fit(loader(), epochs=1)
    weights = trainer.model[0].weight.tolist()
    other = duplicate(trainer)
    assert other.optimizer.param_groups[0]["params"][0] is other.model[0].weight
    assert other.fit(loader(), epochs=2)["epoch"] == [1, 2, 3]
    assert trainer.history["epoch"] == [1]
    assert trainer.callbacks[0].best_epoch == 1
    assert trainer.model[0].weight.tolist() == weights


def test_a_shallow_copy_takes_its_own_steps():
    trainer = make()
    other = copy.copy(trainer)
    other.loss = lambda outputs, targets: (outputs * 0).sum()
    other.history = History()
    assert other.fit(loader())["loss"] == [0.0]


def test_trainers_in_threads():
    """Each with a metric and callbacks of its own class."""
    losses = []

    def run():
        data = loader()
        with random.use_stream(random.RandomStream(0)):
            model = nn.Linear(3, 2)
            with xpnn.no_grad():
                model.weight.zero_(), model.bias.zero_()
            trainer = Trainer(model, "sgd", metrics=[Accuracy()], callbacks=[EarlyStopping()], progress=False)
            losses.append(trainer.fit(data, epochs=3)["loss"])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(losses) == 4
    np.testing.assert_allclose(losses, [losses[0]] * 4)


def test_modes_and_random_numbers_come_back_when_evaluation_fails():
    trainer = make()
    trainer.model[2].eval()
    before = [module.training for module in trainer.model.modules()], random.state_dict()
    bad = [(INPUTS, LABELS), (INPUTS[:, :2], LABELS)]
    for method in (trainer.evaluate, trainer.predict):
        with pytest.raises(xpnn.XpnnError):
            method(bad)
        assert ([module.training for module in trainer.model.modules()], random.state_dict()) == before
        assert xpnn.is_grad_enabled()


def test_early_stopping_on_a_measure_to_maximize():
    trainer = make(metrics=[Accuracy()], callbacks=[EarlyStopping("accuracy", patience=0, min_delta=2.0)])
    trainer.fit(loader(), epochs=9)
    assert trainer.epoch == 2


def test_files(tmp_path):
    config = {"model": "mlp", "arguments": {"hidden": 8}}
    trainer = make(callbacks=[Losses(3, 1, 2)], out=tmp_path / "run", config=config)
    trainer.fit(loader(), loader(), epochs=3)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "last.safetensors",
        "previous.safetensors",
        "best.safetensors",
        "history.jsonl",
    }
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[2])["epoch"] == 3
    assert History.read(tmp_path / "run" / "history.jsonl") == trainer.history
    best = read_checkpoint(tmp_path / "run" / "best.safetensors")
    assert best.config == config
    assert best.states["trainer"]["epoch"] == 2
    assert best.states["model"]["0.bias"][0] == 2
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").states["trainer"]["epoch"] == 3


def test_progress_without_a_terminal():
    text = io.StringIO()
    make(metrics=[Accuracy()], callbacks=[ProgressBar(text)]).fit(loader(), loader(), epochs=2)
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  loss 0.")
    assert "  val_accuracy 0." in lines[1]
    assert lines[1].endswith(" samples/s")


def test_progress_on_a_terminal():
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    text = Terminal()
    make(callbacks=[ProgressBar(text, interval=0.0)]).fit(loader(), epochs=1)
    assert "4/4" in text.getvalue()
    assert "samples/s" in text.getvalue()


def test_a_sampler_without_a_length(tmp_path):
    """It runs, is resumed, and its bar has no total."""
    pytest.importorskip("tqdm")

    class Endless:
        def __iter__(self):
            return iter(range(20))

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    file = Terminal()
    trainer = make(out=tmp_path, callbacks=[ProgressBar(file)])
    trainer.fit(loader(sampler=Endless()), epochs=1)
    assert trainer.batches_per_epoch is None
    assert "epoch 1/1" in file.getvalue()
    resumed = make(out=tmp_path)
    resumed.fit(loader(sampler=Endless(), drop_last=True), epochs=2, resume=True)
    assert (resumed.epoch, resumed.batches) == (2, 4 + 3)


def test_progress_is_shown_by_default(capsys):
    make(progress=True).fit(loader(), epochs=1)
    assert "epoch 1/1  loss" in capsys.readouterr().err


# --- what goes wrong


def test_loss_that_is_not_finite(tmp_path):
    inputs = np.full((4, 3), np.nan, np.float32)
    batches = [(inputs, LABELS[:4])]
    with pytest.raises(AnomalyError, match=r"loss became nan in epoch 1, by batch 1(.|\n)*max_grad_norm"):
        make(out=tmp_path).fit(batches)
    assert not (tmp_path / "last.safetensors").exists()
    with pytest.warns(RuntimeWarning, match="loss became nan"):
        make(nan_loss="warn").fit(batches)
    assert np.isnan(make(nan_loss="ignore").fit(batches)["loss"][0])


def test_ctrl_c_waits_for_the_step_to_end(tmp_path):
    class PressCtrlC(Callback):
        def on_batch_end(self, trainer):
            if trainer.batches == 6:
                signal.raise_signal(signal.SIGINT)

    trainer = make(out=tmp_path, callbacks=[PressCtrlC()])
    with pytest.raises(
        Interrupted, match=r"after 1 epochs and 2 batches; saved to .*last\.safetensors"
    ) as caught:
        trainer.fit(loader(), epochs=3)
    assert caught.value.checkpoint == tmp_path / "last.safetensors"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert read_checkpoint(caught.value.checkpoint).states["trainer"]["batch"] == 2
    with pytest.raises(Interrupted, match="there is no checkpoint") as caught:
        make(callbacks=[PressCtrlC()]).fit(loader(), epochs=3)
    assert caught.value.checkpoint is None


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_termination_waits_for_the_step_to_end(tmp_path, name):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip("not on this system")

    class Terminate(Callback):
        def on_batch_end(self, trainer):
            if trainer.batches == 6:
                signal.raise_signal(number)

    before = signal.getsignal(number)
    trainer = make(out=tmp_path, callbacks=[Terminate()])
    with pytest.raises(Terminated, match=r"after 1 epochs and 2 batches; saved to .*last") as caught:
        trainer.fit(loader(), epochs=3)
    assert caught.value.code == 128 + number
    assert caught.value.checkpoint == tmp_path / "last.safetensors"
    assert read_checkpoint(caught.value.checkpoint).states["trainer"]["batch"] == 2
    assert signal.getsignal(number) is before


def test_an_exit_in_a_callback_saves_the_run(tmp_path):
    class Leave(Callback):
        def on_batch_end(self, trainer):
            if trainer.batches == 6:
                raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        make(out=tmp_path, callbacks=[Leave()]).fit(loader(), epochs=3)
    assert caught.value.code == 3
    assert read_checkpoint(tmp_path / "last.safetensors").states["trainer"]["batch"] == 2


def test_the_second_ctrl_c_does_not_wait_and_none_stops_the_saving(tmp_path, monkeypatch):
    done = []

    class PressTwice(Callback):
        def on_batch_end(self, trainer):
            if trainer.batches == 2:
                signal.raise_signal(signal.SIGINT)
                done.append("first")
                signal.raise_signal(signal.SIGINT)
                done.append("second")

    with pytest.raises(Interrupted):
        make(out=tmp_path, callbacks=[PressTwice()]).fit(loader(), epochs=3)
    assert done == ["first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    class PressOnce(Callback):
        def on_batch_end(self, trainer):
            signal.raise_signal(signal.SIGINT)

    def save(trainer, path):
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        done.append("saved")

    monkeypatch.setattr(Trainer, "save", save)
    with pytest.raises(Interrupted):
        make(out=tmp_path, callbacks=[PressOnce()]).fit(loader(), epochs=3)
    assert done == ["first", "saved"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_after_the_last_step_is_not_lost(tmp_path):
    class PressLate(Callback):
        def close(self, trainer):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make(callbacks=[PressLate()]).fit(loader(), epochs=1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_the_program_and_other_threads_are_left_alone():
    seen, during = [], []

    class Terminate(Callback):
        def on_batch_end(self, trainer):
            during.append(signal.getsignal(signal.SIGTERM))
            if trainer.batches == 1 and threading.current_thread() is threading.main_thread():
                signal.raise_signal(signal.SIGTERM)

    def handle(number, frame):
        seen.append(number)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        assert len(make(callbacks=[Terminate()]).fit(loader(), epochs=1)["loss"]) == 1
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    other = threading.Thread(target=lambda: make(callbacks=[Terminate()]).fit(loader(), epochs=1))
    other.start()
    other.join()
    assert set(during) == {handle, before}


def test_nothing_is_saved_in_the_middle_of_a_step(tmp_path):
    trainer = make(out=tmp_path)
    trainer.fit(loader(), epochs=1)
    saved = (tmp_path / "last.safetensors").read_bytes()
    trainer.loss = lambda outputs, targets: 1 / 0
    with pytest.raises(ZeroDivisionError):
        trainer.fit(loader(), epochs=2)
    assert (tmp_path / "last.safetensors").read_bytes() == saved


def with_loss(loss):
    return Trainer(nn.Linear(3, 2), "sgd", loss)


@pytest.mark.parametrize(
    ("error", "message", "run"),
    [
        (
            ArgumentError,
            "scheduler_interval to be one of 'epoch', 'batch'",
            lambda t: make(scheduler_interval="step"),
        ),
        (ArgumentError, "nan_loss to be one of", lambda t: make(nan_loss="stop")),
        (
            ArgumentError,
            "no optimizer 'adm'; .* mean 'Adam'",
            lambda t: Trainer(t.model, "adm"),
        ),
        (
            ArgumentError,
            "no loss 'crossentrpy'; .* 'cross_entropy'",
            lambda t: with_loss("crossentrpy"),
        ),
        (ArgumentError, "loss as a function of outputs and targets, got int", lambda t: with_loss(3)),
        (ArgumentError, "model to be Module, got the class Linear", lambda t: Trainer(nn.Linear, "adam")),
        (
            ArgumentError,
            "to be Optimizer, got the class SGD",
            lambda t: Trainer(t.model, optim.SGD),
        ),
        (ArgumentError, "scheduler to be LRScheduler, got float", lambda t: make(scheduler=0.1)),
        (
            ArgumentError,
            "a schedule on its own optimizer",
            lambda t: make(scheduler=optim.StepLR(t.optimizer, 1)),
        ),
        (
            ArgumentError,
            "callbacks to be Callback, got the class EarlyStopping",
            lambda t: make(callbacks=[EarlyStopping]),
        ),
        (
            ArgumentError,
            "none of them. Build it with model.parameters",
            lambda t: Trainer(nn.Linear(3, 2), t.optimizer),
        ),
        (ArgumentError, "fit expects batches, got a TensorDataset", lambda t: t.fit(loader().dataset)),
        (ArgumentError, "fit expects batches, got a ndarray", lambda t: t.fit(INPUTS)),
        (ArgumentError, "fit expects batches, got a Digits", lambda t: t.fit(loader(), Digits())),
        (ArgumentError, "evaluate expects batches, got", lambda t: t.evaluate(loader().dataset)),
        (ArgumentError, "predict expects batches, got", lambda t: t.predict(xpnn.asarray(INPUTS))),
        (ArgumentError, "an iterable of batches, got int", lambda t: t.fit(3)),
        (ArgumentError, "gives them once", lambda t: t.fit(iter(loader()), epochs=2)),
        (ArgumentError, "gives them once", lambda t: t.fit(loader(), iter(loader()), epochs=2)),
        (ArgumentError, "epochs as an integer >= 0, got 1.5", lambda t: t.fit(loader(), epochs=1.5)),
        (ArgumentError, "epochs as an integer >= 0, got -1", lambda t: t.fit(loader(), epochs=-1)),
        (ArgumentError, "at least one batch", lambda t: t.evaluate([])),
        (ArgumentError, "at least one batch", lambda t: t.fit([])),
        (ArgumentError, "at least one batch", lambda t: t.predict([])),
        (ArgumentError, "cannot resume without a folder", lambda t: t.fit(loader(), resume=True)),
        (
            ArgumentError,
            "ModelCheckpoint needs a folder",
            lambda t: make(callbacks=[ModelCheckpoint()]).fit(loader()),
        ),
        (
            ArgumentError,
            "watches 'f1', .* There are: loss",
            lambda t: make(callbacks=[EarlyStopping("f1")]).fit(loader()),
        ),
        (ArgumentError, "mode='min', 'max' or 'auto'", lambda t: EarlyStopping(mode="low")),
        (ArgumentError, "called 'loss', which is there", lambda t: make(metrics={"loss": Accuracy()})),
        (DTypeError, "The metric 'a' expects a Metric", lambda t: make(metrics={"a": "accuracy"})),
        (
            DTypeError,
            r"the class Accuracy. Make one of it: Accuracy\(\)",
            lambda t: make(metrics={"a": Accuracy}),
        ),
        (DTypeError, "'accuracy' expects a Metric, got the class", lambda t: make(metrics=[Accuracy])),
        (CheckpointError, "does not exist", lambda t: t.fit(loader(), resume="missing.safetensors")),
    ],
)
def test_bad_arguments(error, message, run):
    with pytest.raises(error, match=message):
        run(make())


def test_plateau_by_batch():
    trainer = make()
    schedule = optim.ReduceLROnPlateau(trainer.optimizer)
    with pytest.raises(ArgumentError, match="scheduler_interval='epoch' with ReduceLROnPlateau"):
        Trainer(trainer.model, trainer.optimizer, scheduler=schedule, scheduler_interval="batch")


def test_a_checkpoint_of_another_model(tmp_path):
    make(out=tmp_path).fit(loader(), epochs=1)
    model = nn.Linear(3, 2)
    other = Trainer(model, optim.Adam(model.parameters()), out=tmp_path, progress=False)
    before = model.weight.tolist()
    with pytest.raises(CheckpointError, match="does not fit the model"):
        other.fit(loader(), resume=True)
    assert model.weight.tolist() == before
    assert other.epoch == 0


def test_what_a_trainer_and_a_history_say() -> None:
    model = nn.Linear(2, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, optimizer, metrics={"accuracy": Accuracy()}, progress=False)
    assert repr(trainer) == "Trainer(Linear of 9 parameters, SGD, cross_entropy, accuracy): 0 epochs done"
    assert repr(trainer.history) == "History()"
    history = History([{"epoch": 9, "loss": 0.123456}, {"epoch": 10, "matrix": [[1, 2], [3, 4]]}])
    assert repr(history).splitlines() == [
        "epoch    loss            matrix",
        "    9  0.1235                 -",
        "   10       -  [[1, 2], [3, 4]]",
    ]
