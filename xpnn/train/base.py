"""What the parts of a Trainer share: where a run is, and how callbacks, modules and loggers are told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError, random
from xpnn.optim import LRScheduler
from xpnn.train.callbacks.base import Callback
from xpnn.train.history import History
from xpnn.train.interrupt import GentleInterrupt
from xpnn.train.logged import LogOptions
from xpnn.train.loggers.base import Logger
from xpnn.train.meters import Meters
from xpnn.train.precision import Precision
from xpnn.train.stages import Stage
from xpnn.train.tasks import Supervised, Task, takes
from xpnn.train.team import Team

_WITHOUT_MODULE = frozenset(("on_fit_start", "on_fit_end"))  # as xpnn's callbacks have them


class TrainerBase:
    """The state of a Trainer, and who is told what happens. See `Trainer`."""

    model: Any  # a Module, or None where `fit` is given a TrainingModule
    optimizer: Any  # an Optimizer, or None as above
    loss: Any
    scheduler: LRScheduler | None
    scheduler_interval: str
    monitor: str | None
    nan_loss: str
    out: Path | None
    config: dict[str, Any]
    callbacks: list[Callback]
    loggers: list[Logger]
    history: History
    precision: Precision
    datamodule: Any
    epoch: int
    batch: int
    batches: int
    samples: int
    epochs: int
    global_step: int
    throughput: float
    callback_metrics: dict[str, Any]
    progress_bar_metrics: dict[str, Any]
    logged_metrics: dict[str, Any]
    # as the constructor was told
    max_steps: int
    min_epochs: int | None
    min_steps: int | None
    accumulate_grad_batches: int
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    check_val_every_n_epoch: int | None
    max_epochs: int | None
    val_check_interval: int | float | None
    num_sanity_val_steps: int
    log_every_n_steps: int
    limit_val_batches: int | float | None
    limit_test_batches: int | float | None
    limit_predict_batches: int | float | None
    # of the running fit
    _task: Task
    _loader: Any
    _val_loaders: list[Any]
    _val_every: int | None
    _meters: Meters
    _training: Stage
    _stage: Stage
    _between: dict[str, Any]
    _log_options: dict[str, dict[str, LogOptions]]
    _group: Any
    _compiled: dict[str, Callable[..., Any]]
    _interrupt: GentleInterrupt
    _team: Team
    _total: int
    _ends_together: bool
    _late: bool
    _deadline: float | None
    _trained: bool
    _due: bool
    _resumable: bool
    _halted: bool
    _out_of_time: bool
    _stops_at_once: bool
    _has_stepped: bool
    pauses_schedules: bool
    _steps_by_hand: int

    def forward(self, batch: Any) -> tuple[Tensor, Any]:
        """The loss of a batch, and the outputs that the metrics are given; defined by the Trainer."""
        raise NotImplementedError

    def _supervise(self) -> None:
        """Go by the model and the loss; defined by the Trainer."""
        raise NotImplementedError

    def _new_stage(self, name: str) -> Stage:
        """A stage with nothing logged; what a compiled step logs was said when it was traced."""
        return Stage(name, self._log_options.setdefault(name, {}))

    def monitored(self, measures: dict[str, Any]) -> str:
        """The name of the measure that "best" goes by."""
        return self.monitor or ("val_loss" if "val_loss" in measures else "loss")

    # -- the module

    @property
    def lightning_module(self) -> Any:
        """The TrainingModule that is run, or None where it is a model with a loss."""
        return None if isinstance(self._task, Supervised) else self._task.module

    @property
    def lightning_module_or_model(self) -> Any:
        """The module that is trained, in either form."""
        return self._task.module

    @property
    def is_cut(self) -> bool:
        """Whether the run ends before its last epoch, and is to be gone on with."""
        return self._halted

    @property
    def logging_stage(self) -> Stage:
        """Where `TrainingModule.log` logs to."""
        return self._stage

    @property
    def _callback_module(self) -> Any:
        """What callbacks are given as the module."""
        return self._task.module

    # -- who is told

    def _call(self, event: str, *args: Any) -> Any:
        """Tell all callbacks; -1 if one of them said so."""
        result = None
        for callback in self.callbacks:
            method = getattr(callback, event)
            if event in _WITHOUT_MODULE and takes(method, 2):
                found = method(self, self._callback_module)
            else:
                found = method(self, *args)
            result = found if isinstance(found, int) and found == -1 else result
        return result

    def _log(self, measures: dict[str, Any]) -> None:
        """Give the loggers measures, at the present step."""
        numbers = {
            name: value
            for name, value in measures.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        if not numbers or set(numbers) == {"epoch"}:
            return
        self.logged_metrics.update(numbers)
        for logger in self.loggers:
            logger.log_metrics(numbers, self.global_step)

    def log_now(self, measures: dict[str, Any]) -> None:
        """Give the loggers numbers by name, at the present step."""
        self._log({**measures, "epoch": self.epoch})

    def forbid_compiled(self, who: str) -> None:
        """Refuse a compiled step, for one who looks into it."""
        if self._compiled:
            raise ArgumentError(
                "cannot look into a step that is compiled", subject=who, hint="Leave out compile=True"
            )

    def run_again(self, batch: Any) -> None:
        """The forward pass of a training step once more, off the tape, with random numbers put back."""
        stage = self._stage
        self._stage = self._new_stage("again")
        self._stage.by_step = self._stage.batches = True
        try:
            with no_grad(), random.fork_rng():
                self._task.training(batch, self.batch)
        finally:
            self._stage = stage

    def _check_interrupt(self) -> None:
        """End the run after a signal; in a team when all have been told of it, at the next batch."""
        if self._team.size == 1 or self._ends_together:
            self._interrupt.check()

    def _received(self, batch: Any, dataloader_idx: int = 0) -> Any:
        """A batch as it goes into the step: through the hooks of data module or module, in the run's type."""
        source = self._transfer_source()
        if source is not None:
            batch = source.on_before_batch_transfer(batch, dataloader_idx)
            batch = source.transfer_batch_to_device(batch, self.lightning_module.device, dataloader_idx)
            batch = source.on_after_batch_transfer(batch, dataloader_idx)
        return self.precision.converted(batch)

    def _transfer_source(self) -> Any:
        """Whose hooks change batches: the data module's, if there is one, or the module's."""
        module = self.lightning_module
        if module is None or self.datamodule is None:
            return module
        return self.datamodule

    def _named_callbacks(self) -> Iterator[tuple[str, Callback]]:
        """The callbacks by class, with a number from the second of a class on."""
        seen: dict[str, int] = {}
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = seen.get(name, 0) + 1
            yield name if seen[name] == 1 else f"{name} {seen[name]}", callback

    def print(self, *args: Any, **options: Any) -> None:
        """Print a line that does not break the progress bar."""
        options.setdefault("file", sys.stderr)
        for callback in self.callbacks:
            if callback.prints:
                callback.print(*args, **options)
                return
        print(*args, **options)
