"""One trial of a search, as the function that is searched over sees it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from xpnn.backend import ArgumentError, is_number
from xpnn.train import Callback, Trainer


class Pruned(Exception):  # noqa: N818 - it tells of no error
    """Raised in a trial that is not worth going on with; the search takes note and begins another."""


class Trial:
    """One choice of values.

    Attributes:
        number: counts from 0. params: the values, by name.
        folder: for the trial's files. A trial that was cut is tried again with the same folder.
    """

    def __init__(self, handle: Any, number: int, params: dict[str, Any], folder: Path) -> None:
        self._handle = handle
        self._reported: set[int] = set()
        self.number = number
        self.params = params
        self.folder = folder

    def __repr__(self) -> str:
        return f"Trial {self.number}: {self.params}"

    def report(self, value: float, step: int, last: bool = False) -> None:
        """Tell the search how good the trial is after `step` epochs, 1 or more; each step counts once.

        Raises: Pruned if others are so much better that this one need not go on, unless it was the last step.
        """
        if not isinstance(step, int) or step < 1 or not is_number(float(value)):
            if math.isnan(float(value)):
                raise Pruned
            raise ArgumentError(
                f"expects a number and a step >= 1, got {value!r} and {step!r}", subject="report"
            )
        if step in self._reported:
            return
        self._reported.add(step)
        self._handle.report(float(value), step)
        if not last and self._handle.should_prune():
            raise Pruned


class ReportToTrial(Callback):
    """Reports a measure of each epoch to a trial, which may end it: for the callbacks of a Trainer.

    Args:
        trial: the trial. monitor: the measure; None is the trainer's own, "val_loss" or "loss".

    A run that goes on from a checkpoint reports the epochs before it too.
    """

    order = 2  # once the epoch is saved

    def __init__(self, trial: Trial, monitor: str | None = None) -> None:
        self.trial = trial
        self.monitor = monitor

    def on_fit_start(self, trainer: Trainer) -> None:
        """Report what was measured before."""
        for row in trainer.history.rows():
            self._report(trainer, row)

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Report the epoch."""
        self._report(trainer, {"epoch": trainer.epoch, **logs})

    def _report(self, trainer: Trainer, row: dict[str, Any]) -> None:
        name = self.monitor or trainer.monitored(row)
        if name not in row:
            raise ArgumentError(
                f"watches '{name}', which this run does not measure",
                subject="ReportToTrial",
                hint=f"There are: {', '.join(row)}",
            )
        self.trial.report(row[name], row["epoch"], last=row["epoch"] >= trainer.epochs)
