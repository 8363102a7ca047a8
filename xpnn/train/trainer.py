"""The Trainer: the training loop, with validation, callbacks, and runs that can be cut and resumed."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from xpnn.autograd import Tensor, detect_anomaly
from xpnn.backend import AnomalyError, ArgumentError, backend_of, device_of, use_backend
from xpnn.functional import cross_entropy
from xpnn.nn import Module
from xpnn.optim import ChainedScheduler, LRScheduler, Optimizer
from xpnn.train.callbacks.base import Callback
from xpnn.train.callbacks.checkpoint import ModelCheckpoint
from xpnn.train.callbacks.early_stopping import EarlyStopping
from xpnn.train.callbacks.history_file import HistoryFile
from xpnn.train.callbacks.model_summary import ModelSummary
from xpnn.train.callbacks.progress import ProgressBar
from xpnn.train.compile import compile as compile_step
from xpnn.train.data_module import DataModule
from xpnn.train.evaluation import evaluating, expect_batches, several_loaders
from xpnn.train.history import History
from xpnn.train.interrupt import GentleInterrupt, Interrupted, Terminated
from xpnn.train.limits import check_limit, length_of, limited, repeated, seconds_of
from xpnn.train.logged import LogOptions
from xpnn.train.loggers.base import Logger
from xpnn.train.loggers.tables import CSVLogger
from xpnn.train.loop import Group
from xpnn.train.meters import Meters, Metrics
from xpnn.train.module import TrainingModule, defines
from xpnn.train.names import loss_named, optimizer_named
from xpnn.train.position import Position
from xpnn.train.precision import Precision
from xpnn.train.resuming import LAST, newest_first
from xpnn.train.tasks import ByModule, Supervised, by_step_function, inputs_of, target_of
from xpnn.train.team import Team


class Trainer(Position):
    """Trains, validates and applies a model, in one of two forms.

    `Trainer(model, optimizer, loss).fit(loader, validation_loader, epochs=3)` has all that a usual network
    needs. `Trainer(max_epochs=3).fit(module, loader, validation_loader)` runs a `TrainingModule`, which
    says itself what a step is and has hooks; its names and arguments are Lightning's.

    Args:
        model: the module. It is given all entries of a batch but the last, which is the target.
        optimizer: made for the model's parameters, or the name of one: `"adam"`.
        loss: `loss(outputs, targets)`, a function or module that gives the mean over the batch, or the name
            of one: `"cross_entropy"`.
        step: in place of the loss, `step(model, batch)`: it returns the loss, or a dict of measures with it
            as "loss".
        scheduler: a learning-rate schedule on the optimizer, several in a list, or None.
        scheduler_interval: whether it steps after each `"epoch"` or `"batch"`.
        metrics: streaming metrics (`xpnn.metrics`) or functions of outputs and targets, by name.
        callbacks: `Callback`s, called in this order.
        out: a folder for `last.safetensors`, `previous.safetensors`, `best.safetensors` and
            `history.jsonl`; None writes no file. Also called `default_root_dir`.
        max_grad_norm: clip the gradients to this norm; None leaves them.
        compile: run the steps through `xpnn.compile`.
        monitor: the measure that "best" goes by; None is "val_loss" where there is validation, else "loss".
        nan_loss: what to do about a loss that is not finite: `"raise"`, `"warn"` or `"ignore"`.
        progress: show progress (see `ProgressBar`). Also called `enable_progress_bar`.
        config: how to build the model again, JSON-ready; is kept in the checkpoints.
        logger: a `Logger`, several in a list, True for a CSVLogger in `out`, or False.
        max_epochs, min_epochs: how many; -1 is without end. None is 1000 for a module if there is no other
            limit, and one more epoch otherwise.
        max_steps, min_steps: the same in optimizer steps; it is not resumed from less than an epoch.
        max_time: a timedelta, a dict of its arguments, or "DD:HH:MM:SS", after which the run is saved and
            ends, between two batches.
        limit_train_batches, limit_val_batches, limit_test_batches, limit_predict_batches: use so many
            batches of an epoch (an int), or that part of them (a float).
        overfit_batches: train on so many batches, the same in each epoch, and validate on them: a network
            that is built right learns them by heart.
        fast_dev_run: run so many batches (True is 1) of everything, without files, to find mistakes.
        val_check_interval: validate after so many batches (an int), or that part of an epoch (a float).
        check_val_every_n_epoch: validate after so many epochs; None counts batches over epochs.
        num_sanity_val_steps: batches of validation before the training; -1 is all.
        log_every_n_steps: give loggers the values of steps after so many batches.
        accumulate_grad_batches: sum up the gradients of so many batches for one step, so that it is that of
            one large batch, also where a batch is smaller than the others, or the last ones of an epoch are
            fewer.
        gradient_clip_val, gradient_clip_algorithm: clip the gradients by "norm" or "value".
        precision: see `Precision`.
        detect_anomaly: see `xpnn.detect_anomaly`.
        enable_checkpointing: whether there are checkpoints in `out`.
        enable_model_summary: whether the layers of a module are shown at first.
        reload_dataloaders_every_n_epochs: ask the data module, or the module, for the loaders anew.
        accelerator, devices, num_nodes: "auto", "cpu", 1 ...: the module stays where it is.
        strategy, deterministic, benchmark, inference_mode, use_distributed_sampler, profiler, plugins,
            sync_batchnorm, barebones, model_registry: have no effect.

    Attributes:
        history: what each epoch measured, a `History`.
        epoch: epochs completed. batch: batches done of the running one.
        batches, samples: done in all. global_step: optimizer steps taken.
        epochs: how many there will be when the running `fit` ends.
        throughput: samples per second in the training part of the last epoch.
        callback_metrics: the last value of every measure.
        resumed_from: the checkpoint that the run went on from, or None.

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
        model: Module | None = None,
        optimizer: Optimizer | str | None = None,
        loss: Callable[[Any, Any], Tensor] | str = cross_entropy,
        *,
        step: Callable[[Any, Any], Any] | None = None,
        scheduler: LRScheduler | Sequence[LRScheduler] | None = None,
        scheduler_interval: str = "epoch",
        metrics: Metrics | None = None,
        callbacks: Sequence[Callback] | Callback | None = (),
        out: str | Path | None = None,
        max_grad_norm: float | None = None,
        compile: bool = False,
        monitor: str | None = None,
        nan_loss: str = "raise",
        progress: bool = True,
        config: dict[str, Any] | None = None,
        logger: Logger | Iterable[Logger] | bool | None = None,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = -1,
        min_steps: int | None = None,
        max_time: Any = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        fast_dev_run: int | bool = False,
        val_check_interval: int | float | None = None,
        check_val_every_n_epoch: int | None = 1,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
        precision: Any = None,
        detect_anomaly: bool = False,
        enable_progress_bar: bool | None = None,
        enable_checkpointing: bool | None = None,
        enable_model_summary: bool | None = None,
        default_root_dir: str | Path | None = None,
        reload_dataloaders_every_n_epochs: int = 0,
        accelerator: str = "auto",
        devices: Any = "auto",
        num_nodes: int = 1,
        strategy: Any = "auto",
        deterministic: Any = None,
        benchmark: bool | None = None,
        inference_mode: bool = True,
        use_distributed_sampler: bool = True,
        profiler: Any = None,
        plugins: Any = None,
        sync_batchnorm: bool = False,
        barebones: bool = False,
        model_registry: str | None = None,
    ) -> None:
        _expect("scheduler_interval", scheduler_interval, ("epoch", "batch"))
        _expect("nan_loss", nan_loss, ("raise", "warn", "ignore"))
        _expect_devices(devices, num_nodes)
        if gradient_clip_algorithm is not None:
            _expect("gradient_clip_algorithm", gradient_clip_algorithm, ("norm", "value"))
        if step is not None and not callable(step):
            raise _error(f"expects step as a function of the model and a batch, got {type(step).__name__}")
        counts = {
            "accumulate_grad_batches": (accumulate_grad_batches, 1),
            "max_epochs": (max_epochs, -1),
            "min_epochs": (min_epochs, 0),
            "max_steps": (max_steps, -1),
            "min_steps": (min_steps, 0),
            "check_val_every_n_epoch": (check_val_every_n_epoch, 1),
            "num_sanity_val_steps": (num_sanity_val_steps, -1),
            "log_every_n_steps": (log_every_n_steps, 1),
            "reload_dataloaders_every_n_epochs": (reload_dataloaders_every_n_epochs, 0),
        }
        for name, (count, least) in counts.items():
            if count is not None and (not _is_int(count) or count < least):
                raise _error(f"expects {name} as an integer >= {least}, got {count!r:.60}")
        limits = {
            "limit_train_batches": limit_train_batches,
            "limit_val_batches": limit_val_batches,
            "limit_test_batches": limit_test_batches,
            "limit_predict_batches": limit_predict_batches,
            "overfit_batches": overfit_batches,
            "val_check_interval": val_check_interval,
        }
        for name, limit in limits.items():
            check_limit(name, limit)
        if val_check_interval is not None and not val_check_interval:
            raise _error("expects val_check_interval above 0, got 0")
        if isinstance(model, TrainingModule):
            raise _error(
                "expects a TrainingModule as the first argument of fit, got it here",
                "Trainer(max_epochs=3).fit(module, loader)",
            )
        callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in callbacks:
            _expect_kind("callbacks", callback, Callback)
        if model is not None or optimizer is not None:
            optimizer, loss, scheduler = self._checked(model, optimizer, loss, scheduler, scheduler_interval)
        elif scheduler is not None or metrics is not None or step is not None:
            raise _error("expects a model with an optimizer, got neither", "Trainer(model, optimizer, loss)")

        self._team = Team()
        compile = compile and self._team.size == 1  # what is sent while a step runs cannot be traced
        number = int(fast_dev_run)
        self.fast_dev_run = fast_dev_run
        if number:  # everything is run, nothing is left behind
            max_epochs, max_steps, num_sanity_val_steps, logger, out, default_root_dir = (
                1,
                -1,
                0,
                False,
                None,
                None,
            )
            limit_train_batches = limit_val_batches = limit_test_batches = limit_predict_batches = number
            val_check_interval, check_val_every_n_epoch = None, 1
            callbacks = [c for c in callbacks if not isinstance(c, ModelCheckpoint | EarlyStopping)]
        self.model = model
        self.optimizer = optimizer  # type: ignore[assignment]
        self.loss = loss
        self.step = step
        self.scheduler = scheduler  # type: ignore[assignment]
        self.scheduler_interval = scheduler_interval
        place = default_root_dir if out is None else out
        self.out = None if place is None else Path(place)
        self.gradient_clip_val = max_grad_norm if gradient_clip_val is None else gradient_clip_val
        self.gradient_clip_algorithm = gradient_clip_algorithm
        self.monitor = monitor
        self.nan_loss = nan_loss
        self.config = config or {}
        self.max_epochs, self.min_epochs = max_epochs, min_epochs
        self.max_steps, self.min_steps = max_steps, min_steps
        self.max_seconds = seconds_of(max_time)
        self.limit_train_batches, self.limit_val_batches = limit_train_batches, limit_val_batches
        self.limit_test_batches, self.limit_predict_batches = limit_test_batches, limit_predict_batches
        self.overfit_batches = overfit_batches
        self.val_check_interval = val_check_interval
        self.check_val_every_n_epoch = check_val_every_n_epoch
        self.num_sanity_val_steps = 2 if num_sanity_val_steps is None else num_sanity_val_steps
        self.log_every_n_steps = 50 if log_every_n_steps is None else log_every_n_steps
        self.accumulate_grad_batches = accumulate_grad_batches
        self.precision = Precision(precision)
        self.detect_anomaly = detect_anomaly
        self.enable_model_summary = enable_model_summary is not False
        self.reload_dataloaders_every_n_epochs = reload_dataloaders_every_n_epochs
        self._speaks = (
            progress if enable_progress_bar is None else enable_progress_bar
        ) and not self._team.rank
        self._checkpoints = enable_checkpointing is not False
        self.loggers = self._loggers_of(logger)
        self._own_callbacks = callbacks
        self.callbacks = self._with_defaults(callbacks)
        self.history = History()
        self.epoch = self.batch = self.batches = self.samples = self.epochs = self.global_step = 0
        self.throughput = 0.0
        self.callback_metrics: dict[str, Any] = {}
        self.progress_bar_metrics: dict[str, Any] = {}
        self.logged_metrics: dict[str, Any] = {}
        self.datamodule: Any = None
        self._task = Supervised(self)
        self._meters = Meters(metrics)
        self._log_options: dict[str, dict[str, LogOptions]] = {}
        self._stage = self._training = self._new_stage("train")
        self._between: dict[str, Any] = {}
        self._group = Group()
        self._stopped = False
        self._trained = False  # whether the running epoch has its batches behind it, and validation before
        self._due = False  # whether a validation in the midst of the epoch comes next
        self._resumable = True  # whether the state is one between two batches
        self._loaded = False  # whether a run was loaded that the next `fit` goes on with
        self._halted = self._out_of_time = self._stops_at_once = self._has_stepped = False
        self._steps_by_hand = 0
        self.pauses_schedules = False  # while a callback sets the learning rates
        self._deadline: float | None = None
        self._total = 0  # samples of all processes in the running step
        self._ends_together = self._late = False  # what a team has agreed on
        self._loader: Any = None
        self._val_loaders: list[Any] = []
        self._val_every: int | None = None
        self._interrupt = GentleInterrupt()
        self._compiles = compile
        self._compiled: dict[str, Callable[..., Any]] = {}
        if compile and model is not None:
            self._compile()

    def __repr__(self) -> str:
        if self._task.module is None:
            return f"{type(self).__name__}(): {self.epoch} epochs done"
        module = self._task.module
        parameters = sum(math.prod(parameter.shape) for parameter in module.parameters())
        parts = [f"{type(module).__name__} of {parameters:,} parameters"]
        parts += [type(optimizer).__name__ for optimizer in self._task.optimizers]
        if self.lightning_module is None:
            loss = self.loss if self.step is None else self.step
            parts.append(getattr(loss, "__name__", type(loss).__name__))
        parts += [type(schedule.scheduler).__name__ for schedule in self._task.schedules]
        parts += self._meters.metrics
        return f"{type(self).__name__}({', '.join(parts)}): {self.epoch} epochs done"

    # -- what a user calls

    def fit(self, *args: Any, **kwargs: Any) -> History:
        """Train: `fit(train_loader, validation_loader=None, epochs=1, resume=False)` for a model with a loss,
        `fit(module, train_dataloaders, val_dataloaders, datamodule, ckpt_path)` for a TrainingModule.

        A model with a loss is trained for `epochs` epochs: further ones after an earlier call, or up to as
        many in a resumed run. So a second `fit(loader, epochs=1)` trains for one epoch more, and, after an
        interruption, `fit(loader, epochs=9, resume=True)` goes on until there are nine. A module is trained
        up to the Trainer's `max_epochs`, or for `epochs` further ones.

        An epoch that was left in the middle is finished as the first of them. Where there is nothing left to
        do, a warning says so. Callbacks start afresh, except in a resumed run.

        Args:
            train_loader, train_dataloaders: an iterable of batches; a `DataLoader` can be resumed within an
                epoch.
            validation_loader, val_dataloaders: is evaluated after each epoch; of a model with a loss as
                measures with "val_" in front. For a module there may be several in a list.
            epochs: how many; with `resume`, those that the run has done count.
            resume, ckpt_path: go on from the newest checkpoint in the folder `out` that is whole (True, or
                "last"), from the best (`"best"`), or from another.
            datamodule: a DataModule in place of the loaders; without both, the module's own.

        Returns: the history.

        Raises: Interrupted (a KeyboardInterrupt) after Ctrl-C, Terminated (a SystemExit) after SIGTERM and
        SIGHUP, when the run is saved; a second one does not wait for the step to end. AnomalyError if the
        loss is not finite (see `nan_loss`).
        CheckpointError if there is nothing to resume, or it does not fit. ArgumentError for datasets and
        arrays in place of loaders, and for iterators that would be used up after one of several epochs.
        """
        if self.model is not None and not (args and isinstance(args[0], TrainingModule)):
            return self._fit_model(*args, **kwargs)
        return self._fit_module(*args, **kwargs)

    def _fit_model(
        self,
        train_loader: Iterable[Any] | None = None,
        validation_loader: Iterable[Any] | None = None,
        epochs: int | None = None,
        resume: bool | str | Path = False,
        *,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
    ) -> History:
        loader = train_dataloaders if train_loader is None else train_loader
        validation = val_dataloaders if validation_loader is None else validation_loader
        resume = ckpt_path or resume or self._was_restarted()
        if epochs is None:
            epochs, absolute = (1, bool(resume)) if self.max_epochs is None else (self.max_epochs, True)
        else:
            absolute = bool(resume)
        if not _is_int(epochs) or (epochs < 0 and not (epochs == -1 == self.max_epochs)):
            raise _error(f"expects epochs as an integer >= 0, got {epochs!r:.60}")
        expect_batches("fit", loader, epochs != 1)
        if validation is not None:
            expect_batches("fit", validation, epochs != 1)
        self._task = Supervised(self)
        self._take_loaders(loader, [] if validation is None else [validation])
        self.precision.convert(self._task.module)
        self._run(epochs, absolute, resume)
        return self.history

    def _fit_module(
        self,
        model: TrainingModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: DataModule | None = None,
        ckpt_path: bool | str | Path | None = None,
        *,
        epochs: int | None = None,
        resume: bool | str | Path = False,
        weights_only: bool | None = None,
    ) -> History:
        train_dataloaders, datamodule = sorted_data(train_dataloaders, datamodule)
        resume = ckpt_path or resume or self._was_restarted()
        absolute = epochs is None or bool(resume)
        if epochs is None:
            epochs = self.max_epochs
        if epochs is None:
            epochs = 1000 if self.max_steps < 0 and self.max_seconds is None else -1
        if not _is_int(epochs) or epochs < -1:
            raise _error(f"expects epochs as an integer >= 0, got {epochs!r:.60}")
        with self.attached(model, datamodule, "fit"):
            train = self.training_loader(train_dataloaders)
            expect_batches("fit", train, epochs != 1)
            self._take_loaders(train, several_loaders(self._validation_of(val_dataloaders)))
            again = isinstance(self._task, ByModule) and self._task.module is model and self._task.optimizers
            if not again or not self.batches:
                self._task = ByModule(self, model, configure=True)
            self.callbacks = self._with_defaults([*self._own_callbacks], model)
            if self._compiles:
                self._compile()
            self._run(epochs, absolute, resume)
        return self.history

    def validate(
        self,
        model: Any = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: DataModule | None = None,
    ) -> list[dict[str, Any]]:
        """The measures of a module's `validation_step`, or of a model and its loss, for each loader.

        Args:
            model: the TrainingModule, by default that of `fit`; left out for a model with a loss.
            dataloaders: a loader, or several in a list; by default those of the data module or module.
            ckpt_path: a checkpoint whose weights are loaded first: a path, "best" or "last".
            verbose: print the measures.
            datamodule: the DataModule.
        """
        return self._measured("validate", model, dataloaders, ckpt_path, verbose, datamodule)

    def test(
        self,
        model: Any = None,
        dataloaders: Any = None,
        ckpt_path: str | Path | None = None,
        verbose: bool = True,
        datamodule: DataModule | None = None,
    ) -> list[dict[str, Any]]:
        """The measures of a module's `test_step`, or of a model and its loss; see `validate`."""
        return self._measured("test", model, dataloaders, ckpt_path, verbose, datamodule)

    def predict(
        self,
        model: Any = None,
        dataloaders: Any = None,
        datamodule: DataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: str | Path | None = None,
    ) -> Any:
        """The outputs for all batches of a loader.

        `predict(loader)` of a model with a loss gives them joined along the first axis, as raw arrays; a
        TrainingModule gives a list of what `predict_step` returned, one of them for each of several loaders.

        Args:
            model: the TrainingModule, by default that of `fit`; left out for a model with a loss.
            dataloaders: batches as in training, whose targets are left aside, or of inputs alone.
            datamodule, ckpt_path: see `validate`.
            return_predictions: False returns None.
        """
        module, dataloaders, datamodule = self._who("predict", model, dataloaders, datamodule)
        if module is None:
            expect_batches("predict", dataloaders)
            self._supervise()
            self._load_weights(ckpt_path)
            return self._predict(dataloaders, self._limit("predict", dataloaders))
        with self.attached(module, datamodule, "predict"), self._alone(module):
            loaders = several_loaders(self._required("predict", dataloaders))
            self._load_weights(ckpt_path)
            _, outputs = self._run_stage("predict", loaders)
        if return_predictions is False:
            return None
        return outputs[0] if len(outputs) == 1 else outputs

    def stop(self) -> None:
        """End `fit` after the running epoch."""
        self._stopped = True

    def running(self) -> dict[str, Any]:
        """The measures of the running epoch so far; waits for the device."""
        measures = self._meters.read() if self._meters.has_batches else {}
        if "loss" in measures:
            self._check_finite(measures["loss"])
        return {**measures, **self._training.logged.running_measures()}

    # -- what a subclass may override

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        """The loss of a batch, a 0-d Tensor, and the outputs that the metrics are given."""
        if self.step is not None:
            return by_step_function(self, self.step, batch)
        outputs = self.model(*inputs_of(batch))
        return self.loss(outputs, target_of(batch)), outputs

    # -- a run

    def _run(self, epochs: int, absolute: bool, resume: bool | str | Path) -> None:
        """Load what is to be resumed, and train up to `epochs`, or for so many more."""
        module = self._task.module
        self._ends_together = self._late = False
        self._stopped = self._stops_at_once = self._halted = self._out_of_time = False
        self.pauses_schedules = False
        if resume:
            self._resume(True if isinstance(resume, bool) else resume)
        elif not self._loaded:
            for callback in self.callbacks:
                callback.reset()
        resumed, self._loaded = bool(resume) or self._loaded, False
        self.epochs = epochs if absolute or epochs < 0 else self.epoch + epochs
        if self._stopped or self._is_done():
            reason = ", where it was stopped" if self._stopped else f" of {self.epochs} already"
            warnings.warn(
                f"Trainer.fit has nothing to do: the run is at epoch {self.epoch}{reason}",
                RuntimeWarning,
                stacklevel=4,
            )
        self._deadline = None if self.max_seconds is None else time.monotonic() + self.max_seconds
        module.train()
        status = "success"
        with ExitStack() as stack:
            if self.detect_anomaly:
                stack.enter_context(detect_anomaly())
            stack.enter_context(self._team.sharing(self._trained_modules()))
            stack.enter_context(self._interrupt)
            try:
                self._start(resumed)
                while not self._is_done() and not self._stopped and not self._halted:
                    self._reload()
                    self._run_epoch()
                    self._check_interrupt()
                    if self._ends_now():
                        self._halted = True
                self._end()
            except KeyboardInterrupt as error:
                status = "interrupted"
                self._tell_of(error)
                raise Interrupted(self._save_cut_run(self._ends_together), self.epoch, self.batch) from None
            except SystemExit as ending:
                status = "interrupted"
                self._tell_of(ending)
                saved = self._save_cut_run(self._ends_together)
                raise Terminated(ending.code, saved, self.epoch, self.batch) from None
            except AnomalyError as error:
                status = "failed"
                self._tell_of(error)
                raise
            except Exception as error:
                status = "failed"
                self._tell_of(error)
                self._save_cut_run(together=False)
                raise
            finally:
                self._rewind()
                self._call("close")
                for logger in self.loggers:
                    logger.finalize(status)

    def _trained_modules(self) -> list[Module]:
        """The model, and the loss where that is a module."""
        parts = [self._task.module, self.loss if self.lightning_module is None else None]
        return [part for part in parts if isinstance(part, Module)]

    def _supervise(self) -> None:
        self._task = Supervised(self)

    def _was_restarted(self) -> bool:
        """Whether `xpnn launch` began the job anew, and there is a checkpoint to go on from."""
        restarted = os.environ.get("XPNN_RESTARTS", "0") != "0" and not self.batches
        return restarted and any(newest_first(self._folders()))

    def _is_done(self) -> bool:
        return 0 <= self.epochs <= self.epoch or (0 <= self.max_steps <= self.global_step)

    def _start(self, resumed: bool) -> None:
        if resumed:
            positions = [*self._positions, *([None] * len(self.loggers))]
            for logger, position in zip(self.loggers, positions):
                logger.resume(self.global_step, position)
        if self.lightning_module is not None and self.loggers:
            for source in (self.lightning_module, self.datamodule):
                if source is not None and source.hparams and vars(source).get("_logs_hparams", True):
                    for logger in self.loggers:
                        logger.log_hyperparams(source.hparams)
            with evaluating(self.lightning_module):
                for logger in self.loggers:
                    logger.log_graph(self.lightning_module)
        self._call("on_fit_start")
        self._task.hook("on_fit_start")
        self._check_sanity()
        self._call("on_train_start", self._callback_module)
        self._task.hook("on_train_start")

    def _end(self) -> None:
        if self._halted and self._out_of_time:
            saved = self._save_cut_run()
            where = f"saved to {saved}; " if saved else ""
            if self._speaks:
                self.print(
                    f"the time is over after {self.epoch} epochs and {self.batch} batches; {where}"
                    "go on with fit(..., resume=True)"
                )
        elif self._halted and self.batch and self.out is not None:
            self._save_cut_run()
        self._call("on_train_end", self._callback_module)
        self._task.hook("on_train_end")
        self._call("on_fit_end")
        self._task.hook("on_fit_end")

    def _tell_of(self, error: BaseException) -> None:
        self._call("on_exception", self._callback_module, error)
        if self.datamodule is not None:
            self.datamodule.on_exception(error)

    def _rewind(self) -> None:
        """Let another `fit` go on in the middle of an epoch that this one left."""
        self._resumable = True
        if hasattr(self._loader, "state_dict") and hasattr(self._loader, "load_state_dict"):
            self._loader.load_state_dict(self._loader.state_dict())
        self._team.hand_back()

    def _compile(self) -> None:
        """Have the steps run through `xpnn.compile`."""
        if self.accumulate_grad_batches > 1:
            raise _error(
                "cannot accumulate gradients in a compiled step, which drops them at its end",
                "Leave out compile=True or accumulate_grad_batches",
            )
        schedules = [schedule for schedule in self._task.schedules if schedule.interval == "step"]
        if any(schedule.frequency > 1 for schedule in schedules):
            raise _error("expects schedules of frequency 1 in a compiled step", "Leave out compile=True")
        if not self._task.is_automatic or self.precision.scaler is not None:
            raise _error(
                "compiles steps of automatic optimization without a scaler only", "Leave out compile=True"
            )
        parts = [part for part in (self._task.module, self.loss) if isinstance(part, Module)]
        steps = [schedule.scheduler for schedule in schedules]
        self._compiled["train"] = compile_step(self._step, *parts, *self._task.optimizers, *steps)
        self._compiled["evaluate"] = compile_step(self._forward, *parts)

    # -- loaders

    def _take_loaders(self, train: Any, validation: list[Any]) -> None:
        if self.overfit_batches:
            loader = limited(train, self.overfit_batches, "overfit_batches")
            count = length_of(loader)
            train = repeated(loader, count if count is not None else int(self.overfit_batches))
            validation = [train] if validation else []
        train = self._team.part_of(train, trains=True)
        if self._team.size > 1 and self.accumulate_grad_batches > 1 and length_of(train) is None:
            raise _error(
                "expects a loader that knows its length, to accumulate gradients in several processes"
            )
        self._loader = limited(train, self.limit_train_batches, "limit_train_batches")
        self._val_loaders = validation
        self._val_every = self._check_interval(self._loader)

    def training_loader(self, given: Any) -> Any:
        """The loader to train on: the one that is given, the data module's, or the module's own."""
        train = self._loaders_of("train", given)
        if train is None:
            raise _error(
                "expects batches to train on, got none",
                "fit(module, loader), fit(module, datamodule=...), or define train_dataloader()",
            )
        return train

    def _reload(self) -> None:
        """Ask for the loaders anew, where that is wanted."""
        n = self.reload_dataloaders_every_n_epochs
        if not n or self.batch or not self.epoch or self.epoch % n or self.lightning_module is None:
            return
        train = self._loaders_of("train", None)
        if train is not None:
            self._take_loaders(train, several_loaders(self._validation_of(None)) or self._val_loaders)

    def _loaders_of(self, stage: str, given: Any) -> Any:
        """The loaders of a stage: those that were given, the data module's, or the module's; None if none."""
        if given is not None:
            return given
        name = f"{stage}_dataloader"
        if self.datamodule is not None and defines(self.datamodule, name, DataModule):
            return getattr(self.datamodule, name)()
        module = self._task.module
        if isinstance(module, TrainingModule) and defines(module, name, TrainingModule):
            return getattr(module, name)()
        return None

    def _validation_of(self, given: Any) -> Any:
        """The loaders to validate on, if the module has a validation_step."""
        if not defines(self._task.module, "validation_step", TrainingModule):
            if given is not None:
                warnings.warn(
                    f"{type(self._task.module).__name__} defines no validation_step(): nothing is validated",
                    RuntimeWarning,
                    stacklevel=5,
                )
            return None
        return self._loaders_of("val", given)

    def _required(self, stage: str, given: Any) -> Any:
        found = self._loaders_of({"validate": "val"}.get(stage, stage), given)
        if found is None:
            raise _error(f"expects batches to {stage} on, got none", f"{stage}(module, loader)")
        for loader in several_loaders(found):
            expect_batches(stage, loader)
        return found

    # -- stages of their own

    def _measured(
        self, stage: str, model: Any, dataloaders: Any, ckpt_path: Any, verbose: bool, datamodule: Any
    ) -> list[dict[str, Any]]:
        module, dataloaders, datamodule = self._who(stage, model, dataloaders, datamodule)
        if module is None:
            expect_batches(stage, dataloaders)
            self._supervise()
            self._load_weights(ckpt_path)
            prefix = "val" if stage == "validate" else stage
            found = self._evaluate(dataloaders, self._limit(prefix, dataloaders))
            measures = [{f"{prefix}_{name}": value for name, value in found.items()}]
        else:
            with self.attached(module, datamodule, stage), self._alone(module):
                loaders = several_loaders(self._required(stage, dataloaders))
                self._load_weights(ckpt_path)
                measures, _ = self._run_stage(stage, loaders)
        if verbose and self._speaks:
            for number, found in enumerate(measures):
                where = f" (loader {number})" if len(measures) > 1 else ""
                shown = "  ".join(f"{n} {v:.4f}" for n, v in found.items() if isinstance(v, float))
                self.print(f"{stage}{where}  {shown}")
        return measures

    def _who(self, stage: str, model: Any, dataloaders: Any, datamodule: Any) -> tuple[Any, Any, Any]:
        """The module, the loaders and the data module, however they were given; no module for a model."""
        if model is not None and not isinstance(model, Module):
            model, dataloaders = None, model if dataloaders is None else dataloaders
        dataloaders, datamodule = sorted_data(dataloaders, datamodule)
        module = model if isinstance(model, TrainingModule) else self.lightning_module
        if module is None and self.model is None:
            raise _error(f"has nothing to {stage}", f"{stage}(module, loader), or fit one first")
        return module, dataloaders, datamodule

    def _limit(self, stage: str, loader: Any) -> int | None:
        limit = getattr(self, f"limit_{stage}_batches")
        return None if limit is None else length_of(limited(loader, limit, f"limit_{stage}_batches"))

    def _load_weights(self, ckpt_path: str | Path | None) -> None:
        if ckpt_path is None:
            return
        if ckpt_path == "best":
            ckpt_path = self._best_path()
        elif ckpt_path == "last":
            ckpt_path = self._folders()[0] / LAST if self._folders() else LAST
        self._weights_from(ckpt_path)

    @contextmanager
    def attached(self, module: Any, datamodule: Any, stage: str) -> Iterator[None]:
        """The module and its data while one stage is run, with arrays made where the module is."""
        if not isinstance(module, TrainingModule):
            raise _error(
                f"expects a TrainingModule, got {type(module).__name__}",
                "Trainer(model, optimizer, loss).fit(loader) trains a model with a loss",
            )
        if self.lightning_module is not module:
            self._task = ByModule(self, module, configure=False)
        module.trainer = self
        if datamodule is not None:
            self.datamodule = datamodule
            datamodule.trainer = self
        sources = [source for source in (self.datamodule, module) if source is not None]
        like = next(iter(module.parameters()), None)
        with ExitStack() as stack:
            if like is not None:
                stack.enter_context(use_backend(backend_of(like.array).name, device_of(like.array)))
            for source in sources:
                source.prepare_data()
            for source in sources:
                source.setup(stage)
            self._call("setup", module, stage)
            self.precision.convert(module)
            try:
                yield
            finally:
                self._call("teardown", module, stage)
                for source in sources:
                    source.teardown(stage)

    @contextmanager
    def _alone(self, module: TrainingModule) -> Iterator[None]:
        """Callbacks around a stage that is no part of a `fit`."""
        self.callbacks = self._with_defaults([*self._own_callbacks], module)
        try:
            yield
        finally:
            self._call("close")
            for logger in self.loggers:
                logger.save()

    # -- what the constructor was given

    def _checked(
        self, model: Any, optimizer: Any, loss: Any, scheduler: Any, interval: str
    ) -> tuple[Optimizer, Any, LRScheduler | None]:
        """The optimizer, loss and schedule of a model, or an error that says what is wrong with them."""
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
        if interval == "batch" and scheduler is not None and scheduler.watches:
            raise _error("expects scheduler_interval='epoch' with ReduceLROnPlateau, got 'batch'")
        return optimizer, loss, scheduler

    def _loggers_of(self, logger: Any) -> list[Logger]:
        if logger is None or logger is False or self._team.rank:
            return []
        if logger is True:
            return [] if self.out is None else [CSVLogger(self.out)]
        found = [logger] if isinstance(logger, Logger) else logger
        if not isinstance(found, Iterable) or not all(isinstance(part, Logger) for part in found):
            raise _error(f"expects logger as a Logger, several in a list, or a bool, got {logger!r:.60}")
        return list(found)

    def _with_defaults(self, callbacks: Sequence[Callback], module: Any = None) -> list[Callback]:
        """The user's callbacks, with a progress bar and files, if they are wanted and not among them."""
        found = list(callbacks)
        if module is not None:
            extra = module.configure_callbacks()
            extra = list(extra) if isinstance(extra, Iterable) else [extra]
            found = [c for c in found if all(type(c) is not type(other) for other in extra)] + extra
        defaults: list[type[Callback]] = [ProgressBar] if self._speaks else []
        if module is not None and self.enable_model_summary and self._speaks:
            defaults.append(ModelSummary)
        if self.out is not None:
            defaults += [HistoryFile, *([ModelCheckpoint] if self._checkpoints else [])]
        made = getattr(self, "_made", {})
        for kind in defaults:
            if not any(isinstance(callback, kind) for callback in found):
                found.append(made.setdefault(kind, kind()))
        self._made: dict[type[Callback], Callback] = made
        if self._team.rank:
            found = [callback for callback in found if not callback.writes]
        return sorted(found, key=lambda callback: callback.order)


def sorted_data(dataloaders: Any, datamodule: Any) -> tuple[Any, Any]:
    """Loaders and data module, where the latter was given in the place of the former."""
    if isinstance(dataloaders, DataModule):
        return None, dataloaders
    if datamodule is not None:
        _expect_kind("datamodule", datamodule, DataModule)
        if dataloaders is not None:
            raise _error("expects loaders or a datamodule, got both")
    return dataloaders, datamodule


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _expect_devices(devices: Any, num_nodes: int) -> None:
    many = (_is_int(devices) and devices > 1) or (isinstance(devices, list | tuple) and len(devices) > 1)
    if many or num_nodes != 1:
        raise _error(
            f"runs on one device, got devices={devices!r:.60} and num_nodes={num_nodes!r:.20}",
            "Move the module to the one it is to run on, and leave both out",
        )


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


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
