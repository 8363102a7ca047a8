"""Where a Trainer is, and what it works with, by the names that Lightning's programs ask for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from xpnn.backend import local_rank
from xpnn.optim import Optimizer
from xpnn.train.callbacks.checkpoint import ModelCheckpoint
from xpnn.train.callbacks.early_stopping import EarlyStopping
from xpnn.train.callbacks.progress import ProgressBar
from xpnn.train.limits import length_of
from xpnn.train.loggers.base import Logger
from xpnn.train.optimization import ManagedOptimizer, Schedule
from xpnn.train.resuming import Resumable


class Position(Resumable):
    """What can be read of a Trainer before, while and after it runs. See `Trainer`."""

    @property
    def batches_per_epoch(self) -> int | None:
        """The length of the training loader, if it knows it."""
        return length_of(self._loader)

    @property
    def num_training_batches(self) -> float:
        """The same; infinite if it is not known."""
        length = self.batches_per_epoch
        return math.inf if length is None else length

    @property
    def num_val_batches(self) -> list[float]:
        """The lengths of the validation loaders; infinite where they are not known."""
        lengths = [length_of(loader) for loader in self._val_loaders]
        return [math.inf if length is None else length for length in lengths]

    @property
    def estimated_stepping_batches(self) -> float:
        """The optimizer steps that the run takes in all; infinite if that is not known."""
        epochs = self.max_epochs if self.max_epochs is not None else self.epochs or 1000
        found = math.inf
        if epochs >= 0:
            found = (
                epochs * math.ceil(self.num_training_batches / self.accumulate_grad_batches)
                if (math.isfinite(self.num_training_batches))
                else math.inf
            )
        return min(found, self.max_steps) if self.max_steps >= 0 else found

    @property
    def current_epoch(self) -> int:
        """Epochs completed."""
        return self.epoch

    @property
    def is_last_batch(self) -> bool:
        """Whether the batch is the last of its epoch."""
        return self.batch + 1 == self.batches_per_epoch

    @property
    def train_dataloader(self) -> Any:
        """The loader that is trained on."""
        return self._loader

    @property
    def val_dataloaders(self) -> Any:
        """The loader that is validated on, or several in a list."""
        return self._val_loaders[0] if len(self._val_loaders) == 1 else self._val_loaders or None

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers."""
        return self._task.optimizers

    @property
    def managed_optimizers(self) -> list[ManagedOptimizer]:
        """The optimizers, with steps that are counted and scaled."""
        return [ManagedOptimizer(optimizer, self) for optimizer in self._task.optimizers]

    @property
    def lr_scheduler_configs(self) -> list[Schedule]:
        """The schedules, and when they step."""
        return self._task.schedules

    @property
    def max_grad_norm(self) -> float | None:
        """The norm that gradients are clipped to."""
        return self.gradient_clip_val

    @property
    def default_root_dir(self) -> str:
        """The folder `out`, or the working directory."""
        return str(self.out or Path.cwd())

    @property
    def log_dir(self) -> str | None:
        """The folder of the first logger, or `out`."""
        if self.loggers:
            return str(self.loggers[0].log_dir)
        return None if self.out is None else str(self.out)

    @property
    def logger(self) -> Logger | None:
        """The first logger."""
        return self.loggers[0] if self.loggers else None

    @property
    def should_stop(self) -> bool:
        """Whether the run ends; set it to end it after the batch."""
        return self._stopped or self._stops_at_once

    @should_stop.setter
    def should_stop(self, stop: bool) -> None:
        self._stopped, self._stops_at_once = stop, stop

    @property
    def checkpoint_callback(self) -> ModelCheckpoint | None:
        """The first ModelCheckpoint."""
        return next((c for c in self.callbacks if isinstance(c, ModelCheckpoint)), None)

    @property
    def checkpoint_callbacks(self) -> list[ModelCheckpoint]:
        """All ModelCheckpoints."""
        return [c for c in self.callbacks if isinstance(c, ModelCheckpoint)]

    @property
    def early_stopping_callback(self) -> EarlyStopping | None:
        """The first EarlyStopping."""
        return next((c for c in self.callbacks if isinstance(c, EarlyStopping)), None)

    @property
    def progress_bar_callback(self) -> ProgressBar | None:
        """The ProgressBar."""
        return next((c for c in self.callbacks if isinstance(c, ProgressBar)), None)

    @property
    def training(self) -> bool:
        """Whether it trains, and does not evaluate."""
        return self._stage.name == "train"

    @property
    def validating(self) -> bool:
        """Whether it validates."""
        return self._stage.name == "validate"

    @property
    def sanity_checking(self) -> bool:
        """Whether it validates on a few batches before the training."""
        return self._stage.name == "sanity_check"

    @property
    def testing(self) -> bool:
        """Whether it tests."""
        return self._stage.name == "test"

    @property
    def predicting(self) -> bool:
        """Whether it predicts."""
        return self._stage.name == "predict"

    @property
    def is_global_zero(self) -> bool:
        """Whether it is the process that writes and speaks for all."""
        return self.global_rank == 0

    @property
    def world_size(self) -> int:
        """How many processes train together; see `xpnn.distributed`."""
        return self._team.size

    num_devices = world_size

    def any_process(self, flag: bool) -> bool:
        """Whether it is so in any of the processes, which all must call this alike."""
        return self._team.any(flag)

    @property
    def global_rank(self) -> int:
        """Which of them this one is."""
        return self._team.rank

    @property
    def local_rank(self) -> int:
        """Which of those on this machine."""
        return local_rank()
