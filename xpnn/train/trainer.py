"""The Trainer: the training loop, with validation, callbacks, and runs that can be cut and resumed."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import (
    AnomalyError,
    ArgumentError,
    expect_state,
    is_array,
    is_count,
    is_flag,
    is_tensor,
    namespace,
    random,
)
from xpnn.data import Dataset
from xpnn.functional import cross_entropy
from xpnn.io import Checkpoint, load_checkpoint, save_checkpoint
from xpnn.nn import Module
from xpnn.optim import ChainedScheduler, LRScheduler, Optimizer, clip_grad_norm_
from xpnn.optim.state import as_python
from xpnn.train.callbacks import Callback, HistoryFile, ModelCheckpoint
from xpnn.train.compile import compile as compile_step
from xpnn.train.history import History, is_history
from xpnn.train.interrupt import GentleInterrupt, Interrupted, Terminated
from xpnn.train.meters import Meters, Metrics
from xpnn.train.names import loss_named, optimizer_named
from xpnn.train.progress import ProgressBar

_EMPTY = "expects a loader with at least one batch, got an empty one"


class Trainer:
    """Trains, validates and applies a model.

    Args:
        model: the module. It is given all entries of a batch but the last, which is the target.
        optimizer: made for the model's parameters, or the name of one: `"adam"`.
        loss: `loss(outputs, targets)`, a function or module that gives the mean over the batch, or the name
            of one: `"cross_entropy"`.
        scheduler: a learning-rate schedule on the optimizer, several in a list, or None.
        scheduler_interval: whether it steps after each `"epoch"` or `"batch"`.
        metrics: streaming metrics (`xpnn.metrics`) or functions of outputs and targets, by name.
        callbacks: `Callback`s, called in this order.
        out: a folder for `last.safetensors`, `best.safetensors` and `history.jsonl`; None writes no file.
        max_grad_norm: clip the gradients to this norm; None leaves them.
        compile: run the steps through `xpnn.compile`.
        monitor: the measure that "best" goes by; None is "val_loss" where there is validation, else "loss".
        nan_loss: what to do about a loss that is not finite: `"raise"`, `"warn"` or `"ignore"`.
        progress: show progress on the terminal (see `ProgressBar`).
        config: how to build the model again, JSON-ready; is kept in the checkpoints.

    Attributes:
        history: what each epoch measured, a `History`.
        epoch: epochs completed. batch: batches done of the running one.
        batches, samples: done in all.
        epochs: how many there will be when the running `fit` ends.
        throughput: samples per second in the training part of the last epoch.

    Losses and metrics are summed up where the arrays are and read once per epoch (and by the progress
    bar, twice a second). For other kinds of batches or losses override `forward`.

    A run that is cut, by Ctrl-C, SIGTERM or a crash, and resumed with `fit(..., resume=True)` ends as if it
    had not been: parameters, optimizer, schedule, random numbers, order of the data and history.

    >>> from xpnn import nn, optim
    >>> from xpnn.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset([[0.0], [1.0]], [0, 1]), batch_size=2, seed=0)
    >>> model = nn.Linear(1, 2)
    >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.5), progress=False)
    >>> history = trainer.fit(loader, epochs=3)
    >>> history["epoch"], history["loss"][0] > history["loss"][-1]
    ([1, 2, 3], True)
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | str,
        loss: Callable[[Any, Any], Tensor] | str = cross_entropy,
        *,
        scheduler: LRScheduler | Sequence[LRScheduler] | None = None,
        scheduler_interval: str = "epoch",
        metrics: Metrics | None = None,
        callbacks: Sequence[Callback] = (),
        out: str | Path | None = None,
        max_grad_norm: float | None = None,
        compile: bool = False,
        monitor: str | None = None,
        nan_loss: str = "raise",
        progress: bool = True,
        config: dict[str, Any] | None = None,
    ) -> None:
        _expect("scheduler_interval", scheduler_interval, ("epoch", "batch"))
        _expect("nan_loss", nan_loss, ("raise", "warn", "ignore"))
        _expect_kind("model", model, Module)
        if isinstance(optimizer, str):
            optimizer = optimizer_named(optimizer, model)
        _expect_kind("optimizer", optimizer, Optimizer)
        if isinstance(loss, str):
            loss = loss_named(loss)
        if not callable(loss):
            raise _error(f"expects loss as a function of outputs and targets, got {type(loss).__name__}")
        _expect_to_train(optimizer, [part for part in (model, loss) if isinstance(part, Module)])
        if isinstance(scheduler, Sequence):
            scheduler = ChainedScheduler(scheduler, optimizer) if scheduler else None
        if scheduler is not None:
            _expect_kind("scheduler", scheduler, LRScheduler)
            if scheduler.optimizer is not optimizer:
                raise _error("expects a schedule on its own optimizer, got one on another")
        if scheduler_interval == "batch" and scheduler is not None and scheduler.watches:
            raise _error("expects scheduler_interval='epoch' with ReduceLROnPlateau, got 'batch'")
        for callback in callbacks:
            _expect_kind("callbacks", callback, Callback)
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.scheduler = scheduler
        self.scheduler_interval = scheduler_interval
        self.out = None if out is None else Path(out)
        self.max_grad_norm = max_grad_norm
        self.monitor = monitor
        self.nan_loss = nan_loss
        self.config = config or {}
        self.callbacks = self._with_defaults(callbacks, progress)
        self.history = History()
        self.epoch = self.batch = self.batches = self.samples = self.epochs = 0
        self.throughput = 0.0
        self._meters = Meters(metrics)
        self._stopped = False
        self._trained = False  # whether the running epoch has its batches behind it, and validation before
        self._resumable = True  # whether the state is one between two batches
        self._loaded = False  # whether a run was loaded that the next `fit` goes on with
        self._loader: Any = None
        self._interrupt = GentleInterrupt()
        self._compiled: dict[str, Callable[[Any], Any]] = {}
        if compile:
            modules = [part for part in (model, loss) if isinstance(part, Module)]
            schedules = [scheduler] if scheduler is not None and scheduler_interval == "batch" else []
            self._compiled["train"] = compile_step(self._step, *modules, optimizer, *schedules)
            self._compiled["evaluate"] = compile_step(self._forward, *modules)

    def __repr__(self) -> str:
        parameters = sum(math.prod(parameter.shape) for parameter in self.model.parameters())
        parts = [
            f"{type(self.model).__name__} of {parameters:,} parameters",
            type(self.optimizer).__name__,
            getattr(self.loss, "__name__", type(self.loss).__name__),
        ]
        if self.scheduler is not None:
            parts.append(type(self.scheduler).__name__)
        parts += self._meters.metrics
        return f"{type(self).__name__}({', '.join(parts)}): {self.epoch} epochs done"

    # -- what a user calls

    def fit(
        self,
        train_loader: Iterable[Any],
        validation_loader: Iterable[Any] | None = None,
        epochs: int = 1,
        resume: bool | str | Path = False,
    ) -> History:
        """Train for `epochs` epochs: further ones after an earlier call, or up to as many in a resumed run.

        So a second `fit(loader, epochs=1)` trains for one epoch more, and, after an interruption,
        `fit(loader, epochs=9, resume=True)` goes on until there are nine. An epoch that was left in the
        middle is finished as the first of them. Where there is nothing left to do, a warning says so.
        Callbacks start afresh, except in a resumed run.

        Args:
            train_loader: an iterable of batches; a `DataLoader` can be resumed within an epoch.
            validation_loader: is evaluated after each epoch, as measures with "val_" in front.
            epochs: how many; with `resume`, those that the run has done count.
            resume: go on from `last.safetensors` in the folder `out` (True), or from another checkpoint.

        Returns: the history.

        Raises: Interrupted (a KeyboardInterrupt) after Ctrl-C, Terminated (a SystemExit) after SIGTERM and
        SIGHUP, when the run is saved; a second one does not wait for the step to end. AnomalyError if the
        loss is not finite (see `nan_loss`).
        CheckpointError if there is nothing to resume, or it does not fit. ArgumentError for datasets and
        arrays in place of loaders, and for iterators that would be used up after one of several epochs.
        """
        if not isinstance(epochs, int) or epochs < 0:
            raise _error(f"expects epochs as an integer >= 0, got {epochs!r:.60}")
        _expect_batches("fit", train_loader, epochs > 1)
        if validation_loader is not None:
            _expect_batches("fit", validation_loader, epochs > 1)
        self._loader, self._stopped = train_loader, False
        if resume:
            self.load(self._last() if resume is True else resume)
        elif not self._loaded:
            for callback in self.callbacks:
                callback.reset()
        self._loaded = False
        self.epochs = epochs if resume else self.epoch + epochs
        if self._stopped or self.epoch >= self.epochs:
            reason = ", where it was stopped" if self._stopped else f" of {self.epochs} already"
            warnings.warn(
                f"Trainer.fit has nothing to do: the run is at epoch {self.epoch}{reason}",
                RuntimeWarning,
                stacklevel=2,
            )
        self.model.train()
        with self._interrupt:
            try:
                self._call("on_fit_start")
                while self.epoch < self.epochs and not self._stopped:
                    self._run_epoch(train_loader, validation_loader)
                    self._interrupt.check()
                self._call("on_fit_end")
            except KeyboardInterrupt:
                raise Interrupted(self._save_cut_run(), self.epoch, self.batch) from None
            except SystemExit as ending:
                raise Terminated(ending.code, self._save_cut_run(), self.epoch, self.batch) from None
            except AnomalyError:
                raise
            except Exception:
                self._save_cut_run()
                raise
            finally:
                self._rewind(train_loader)
                self._call("close")
        return self.history

    def evaluate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """The loss and metrics over all batches of a loader, in evaluation mode, as Python numbers.

        Random numbers drawn on the way are given back: validation does not change how training goes on.
        """
        _expect_batches("evaluate", loader)
        meters, empty = self._meters.fresh(), True
        evaluate = self._compiled.get("evaluate", self._forward)
        with self._evaluating():
            for batch in loader:
                loss, outputs = evaluate(batch)
                meters.update(loss, outputs, _target_of(batch), _size_of(batch))
                self._interrupt.check()
                empty = False
        if empty:
            raise _error(_EMPTY)
        return meters.read()

    def predict(self, loader: Iterable[Any]) -> Any:
        """The outputs for all batches of a loader, joined along the first axis, as raw arrays.

        Args:
            loader: batches as in training, whose targets are left aside, or of inputs alone.
        """
        _expect_batches("predict", loader)
        with self._evaluating():
            outputs = [_raw(self.model(*_inputs_of(batch))) for batch in loader]
        if not outputs:
            raise _error(_EMPTY)
        if isinstance(outputs[0], tuple):
            return tuple(namespace(*parts).concat(list(parts)) for parts in zip(*outputs))
        return namespace(outputs[0]).concat(outputs)

    def stop(self) -> None:
        """End `fit` after the running epoch."""
        self._stopped = True

    def running(self) -> dict[str, Any]:
        """The measures of the running epoch so far; waits for the device."""
        measures = self._meters.read()
        self._check_finite(measures["loss"])
        return measures

    def monitored(self, measures: dict[str, Any]) -> str:
        """The name of the measure that "best" goes by."""
        return self.monitor or ("val_loss" if "val_loss" in measures else "loss")

    @property
    def batches_per_epoch(self) -> int | None:
        """The length of the training loader, if it knows it."""
        try:
            return len(self._loader)
        except TypeError:
            return None

    # -- saving and resuming

    def save(self, path: str | Path) -> None:
        """Write all that the run consists of to one file (see `xpnn.io.save_checkpoint`)."""
        save_checkpoint(path, config=self.config, **self._parts())

    def load(self, path: str | Path, train_loader: Any = None) -> Checkpoint:
        """Take over a run that `save` wrote, on whatever backend the model is now.

        Args:
            path: the file.
            train_loader: the loader that is to go on from its position in the data; `fit` gives its own.

        Raises: CheckpointError if the file is missing, damaged, or does not fit; then nothing was changed.
        """
        self._loader = self._loader if train_loader is None else train_loader
        return load_checkpoint(path, random=True, **self._parts())

    def state_dict(self) -> dict[str, Any]:
        """The Trainer's own part: counts, sums of the running epoch, history, callbacks."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "batches": self.batches,
            "samples": self.samples,
            "trained": self._trained,
            "stopped": self._stopped,
            "sums": self._meters.state_dict(),
            "history": self.history.rows(),
            "callbacks": {name: callback.state_dict() for name, callback in self._named_callbacks()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError; then nothing was changed."""
        self.check_state_dict(state)
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.batches, self.samples = state["batches"], state["samples"]
        self._trained, self._stopped, self._loaded = state["trained"], state["stopped"], True
        self._meters.load_state_dict(state["sums"], next(iter(self.model.parameters())).array)
        self.history = History(state["history"])
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.load_state_dict(state["callbacks"][name])

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        counts = dict.fromkeys(("epoch", "batch", "batches", "samples"), is_count)
        flags = dict.fromkeys(("trained", "stopped"), is_flag)
        expect_state(
            state,
            "Trainer",
            **counts,
            **flags,
            sums=lambda sums: isinstance(sums, dict),
            history=is_history,
            callbacks=lambda callbacks: isinstance(callbacks, dict),
        )
        self._meters.check_state_dict(state["sums"])
        for name, callback in self._named_callbacks():
            if name in state["callbacks"]:
                callback.check_state_dict(state["callbacks"][name])

    # -- what a subclass may override

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        """The loss of a batch, a 0-d Tensor, and the outputs that the metrics are given."""
        outputs = self.model(*_inputs_of(batch))
        return self.loss(outputs, _target_of(batch)), outputs

    # -- the loop

    def _run_epoch(self, train_loader: Iterable[Any], validation_loader: Iterable[Any] | None) -> None:
        if not self._trained:
            samples, started = self.samples, time.perf_counter()
            self._train_epoch(train_loader)
            measures = self._meters.read()  # waits for the device, so that the clock can be read
            self.throughput = (self.samples - samples) / (time.perf_counter() - started)
        else:
            measures = self._meters.read()
        self._check_finite(measures["loss"])
        if validation_loader is not None:
            measures |= {f"val_{name}": value for name, value in self.evaluate(validation_loader).items()}
        measures["lr"] = self._learning_rate()

        self._resumable = False
        self._step_schedule(measures)
        self.epoch, self.batch, self._trained = self.epoch + 1, 0, False
        self.history.add({"epoch": self.epoch, **measures})
        self._call("on_epoch_end", measures)
        self._resumable = True

    def _train_epoch(self, loader: Iterable[Any]) -> None:
        if self.batch == 0:
            self._meters = self._meters.fresh()
        elif not _knows_its_position(loader):
            loader = itertools.islice(loader, self.batch, None)
        self._call("on_epoch_start")
        step = self._compiled.get("train", self._step)
        for batch in loader:
            self._resumable = False
            loss, outputs = step(batch)
            self._meters.update(loss, outputs, _target_of(batch), _size_of(batch))
            self.batch, self.batches = self.batch + 1, self.batches + 1
            self.samples += _size_of(batch)
            self._resumable = True
            self._call("on_batch_end")
            self._interrupt.check()
        if self.batch == 0:
            raise _error(_EMPTY)
        self._trained = True

    def _step(self, batch: Any) -> tuple[Tensor, Any]:
        """One batch of training; may be compiled."""
        self.optimizer.zero_grad()
        loss, outputs = self.forward(batch)
        loss.backward()
        if self.max_grad_norm is not None:
            clip_grad_norm_([param for _, param in self.optimizer.named_parameters()], self.max_grad_norm)
        self.optimizer.step()
        if self.scheduler is not None and self.scheduler_interval == "batch":
            self.scheduler.step()
        return loss.detach(), _raw(outputs)

    def _forward(self, batch: Any) -> tuple[Tensor, Any]:
        """One batch of evaluation; may be compiled."""
        loss, outputs = self.forward(batch)
        return loss.detach(), _raw(outputs)

    def _step_schedule(self, measures: dict[str, Any]) -> None:
        if self.scheduler is not None and self.scheduler.watches:
            self.scheduler.step(measures[self.monitored(measures)])
        elif self.scheduler is not None and self.scheduler_interval == "epoch":
            self.scheduler.step()

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode, off the tape, with training modes and random numbers put back afterwards."""
        modes = [(module, module.training) for module in self.model.modules()]
        state = random.state_dict()
        self.model.eval()
        try:
            with no_grad():
                yield
        finally:
            random.load_state_dict(state)
            for module, mode in modes:
                module.training = mode

    # -- helpers

    def _parts(self) -> dict[str, Any]:
        """What is saved, by the names that it goes by in the file."""
        parts = {"model": self.model, "optimizer": self.optimizer, "trainer": self}
        if self.scheduler is not None:
            parts["scheduler"] = self.scheduler
        if _knows_its_position(self._loader):
            parts["loader"] = self._loader
        return parts

    def _last(self) -> Path:
        if self.out is None:
            raise _error("cannot resume without a folder", "Give Trainer(..., out=...) or resume='file'")
        return self.out / "last.safetensors"

    def _save_cut_run(self) -> Path | None:
        """Save the run as it was between two batches; else it goes on from what was saved before."""
        self._interrupt.wait_for_all()
        if self.out is None:
            return None
        if self._resumable:
            self.save(self._last())
        return self._last() if self._last().exists() else None

    def _rewind(self, loader: Any) -> None:
        """Let another `fit` go on in the middle of an epoch that this one left."""
        self._resumable = True
        if _knows_its_position(loader):
            loader.load_state_dict(loader.state_dict())

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss) or self.nan_loss == "ignore":
            return
        problem = f"the training loss became {loss} in epoch {self.epoch + 1}, by batch {self.batch}"
        hint = (
            "Lower the learning rate, clip the gradients (max_grad_norm=1.0), or look for the origin with "
            "xpnn.detect_anomaly(); nan_loss='ignore' goes on"
        )
        if self.nan_loss == "raise":
            raise AnomalyError(problem, hint=hint)
        warnings.warn(f"{problem}. {hint}", RuntimeWarning, stacklevel=2)

    def _learning_rate(self) -> float:
        return float(as_python(self.optimizer.param_groups[0]["lr"]))

    def _with_defaults(self, callbacks: Sequence[Callback], progress: bool) -> list[Callback]:
        """The user's callbacks, with a progress bar and files, if they are wanted and not among them."""
        found = list(callbacks)
        if progress and not any(isinstance(callback, ProgressBar) for callback in found):
            found.append(ProgressBar())
        if self.out is not None:
            found += [
                kind()
                for kind in (HistoryFile, ModelCheckpoint)
                if not any(isinstance(callback, kind) for callback in found)
            ]
        return sorted(found, key=lambda callback: callback.order)

    def _named_callbacks(self) -> Iterator[tuple[str, Callback]]:
        """The callbacks by class, with a number from the second of a class on."""
        seen: dict[str, int] = {}
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name} {seen[name]}", callback

    def _call(self, event: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *args)


def _inputs_of(batch: Any) -> tuple[Any, ...]:
    """What the model is given: all entries but the last; a batch of one entry is input alone."""
    if isinstance(batch, tuple | list):
        return tuple(batch[:-1]) if len(batch) > 1 else tuple(batch)
    return (batch,)


def _target_of(batch: Any) -> Any:
    """The last entry; a batch of one entry is its own target."""
    return batch[-1] if isinstance(batch, tuple | list) else batch


def _size_of(batch: Any) -> int:
    """The number of samples: the length of the first array."""
    while not is_array(batch):
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    return batch.shape[0]


def _raw(outputs: Any) -> Any:
    """Outputs as raw arrays, off the tape."""
    if isinstance(outputs, tuple | list):
        return tuple(_raw(output) for output in outputs)
    return outputs.array if is_tensor(outputs) else outputs


def _knows_its_position(loader: Any) -> bool:
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def _expect(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise _error(f"expects {name} to be one of {', '.join(map(repr, choices))}, got {value!r}")


def _expect_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        given = f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__}"
        raise _error(f"expects {name} to be {kind.__name__}, got {given}")


def _expect_to_train(optimizer: Optimizer, modules: list[Module]) -> None:
    """Refuse an optimizer that has nothing to do with the model: the run would change nothing."""
    mine = {id(parameter) for module in modules for parameter in module.parameters()}
    if mine and not any(id(parameter) in mine for _, parameter in optimizer.named_parameters()):
        raise _error(
            "expects an optimizer for the parameters of the model, got one that has none of them",
            "Build it with model.parameters() of this model",
        )


def _expect_batches(method: str, loader: Any, several: bool = False) -> None:
    """Refuse what gives samples where batches belong, and what gives its batches only once."""
    if isinstance(loader, Dataset) or is_array(loader):
        raise _error(
            f"{method} expects batches, got a {type(loader).__name__}, which has single samples",
            "Wrap it: DataLoader(dataset, batch_size=32, shuffle=True), and arrays in a TensorDataset",
        )
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise _error(f"{method} expects an iterable of batches, got {type(loader).__name__}")
    if several and isinstance(loader, Iterator):
        raise _error(
            f"{method} expects batches for several epochs, got an iterator, which gives them once",
            "Give it a DataLoader, or a list of batches",
        )


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
