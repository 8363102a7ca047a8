"""The learning-rate range test: rates that grow from step to step, and the loss that they bring."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnn.backend import ArgumentError, optional_import, random
from xpnn.train.limits import knows_its_position
from xpnn.train.loop import Group
from xpnn.train.module import TrainingModule
from xpnn.train.tasks import ByModule
from xpnn.train.trainer import Trainer, sorted_data
from xpnn.viz import plot_lr_finder

_SMOOTHING = 0.9  # of the running average, which hides the noise of batches and not the fall


class LRFinder:
    """What a range test has found.

    Attributes:
        results: the rates and losses, `{"lr": [...], "loss": [...]}`.
        mode, lr_min, lr_max, num_training: how it was made.
    """

    def __init__(self, mode: str, lr_min: float, lr_max: float, num_training: int) -> None:
        self.mode, self.lr_min, self.lr_max, self.num_training = mode, lr_min, lr_max, num_training
        self.results: dict[str, list[float]] = {"lr": [], "loss": []}

    def suggestion(self, skip_begin: int = 10, skip_end: int = 1) -> float | None:
        """The rate at which the loss falls most steeply, or None if there are too few points.

        Args:
            skip_begin, skip_end: points at both ends that are not looked at.
        """
        rates, losses = self.results["lr"], self.results["loss"]
        end = len(losses) - skip_end
        points = [i for i in range(skip_begin, end) if math.isfinite(losses[i])]
        if len(points) < 2:
            return None
        slopes = {i: _slope(losses, i, points[0], points[-1]) for i in points}
        return rates[min(points, key=lambda i: slopes[i])]

    def plot(self, suggest: bool = False, show: bool = False, ax: Any = None) -> Any:
        """The curve of the loss over the rates as a figure of matplotlib, with the suggestion marked."""
        pyplot = optional_import("matplotlib.pyplot", extra="train")
        figure = plot_lr_finder(
            *(self.results["lr"], self.results["loss"]),
            suggestion=self.suggestion() if suggest else None,
            log=self.mode == "exponential",
            axes=pyplot.subplots()[1] if ax is None else ax,
        )
        if show:
            pyplot.show()
        return figure


class Tuner:
    """What finds settings for a Trainer, by Lightning's names.

    Args:
        trainer: the Trainer.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def lr_find(
        self,
        model: Any = None,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        method: str = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1.0,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> LRFinder:
        """Train for some steps with rates from `min_lr` to `max_lr`, and put all back as it was.

        Weights, optimizer, schedule, random numbers and the order of the data are then those of before.

        Args:
            model: a TrainingModule; left out for a Trainer of a model with a loss.
            train_dataloaders, datamodule: as for `fit`.
            min_lr, max_lr: the first and the last rate.
            num_training: the number of steps.
            mode: "exponential" or "linear", how the rates grow.
            early_stop_threshold: end when the loss is so many times the least one; None does not.
            update_attr: set the module's `lr` or `learning_rate`, or that of its hyper-parameters, to the
                suggestion.
            attr_name: the name of another attribute to set.
            val_dataloaders, method: have no effect.

        Returns: the rates and losses, with a suggestion and a plot.

        Raises: ArgumentError for a mode or rates that cannot be.

        >>> from xpnn import nn, optim
        >>> model = nn.Linear(1, 1)
        >>> trainer = Trainer(model, optim.SGD(model.parameters(), lr=0.1), "mse", progress=False)
        >>> from xpnn.autograd import Tensor
        >>> found = Tuner(trainer).lr_find([(Tensor([[1.0]]), Tensor([[2.0]]))], num_training=20)
        >>> len(found.results["lr"])
        20
        """
        if mode not in ("exponential", "linear"):
            raise _error(f"expects mode='exponential' or 'linear', got {mode!r:.60}")
        if not 0 < min_lr < max_lr or num_training < 2:
            raise _error(
                "expects 0 < min_lr < max_lr and num_training >= 2, got "
                f"min_lr={min_lr}, max_lr={max_lr}, num_training={num_training}"
            )
        found = LRFinder(mode, min_lr, max_lr, num_training)
        trainer = self.trainer
        if not isinstance(model, TrainingModule):
            loader = model if train_dataloaders is None else train_dataloaders
            trainer._supervise()
            self._search(found, loader, early_stop_threshold)
            return found
        train_dataloaders, datamodule = sorted_data(train_dataloaders, datamodule)
        with trainer.attached(model, datamodule, "fit"):
            loader = trainer.training_loader(train_dataloaders)
            trainer._task = ByModule(trainer, model, configure=True)
            self._search(found, loader, early_stop_threshold)
        best = found.suggestion()
        if update_attr and best is not None:
            _set_rate(model, attr_name, best)
        return found

    def _search(self, found: LRFinder, loader: Iterable[Any], threshold: float | None) -> None:
        trainer = self.trainer
        optimizer = trainer.optimizers[0]
        with _put_back(trainer, loader):
            trainer._loader = None
            trainer._task.module.train()
            average, least = 0.0, math.inf
            for step, batch in enumerate(itertools.islice(_endless(loader), found.num_training)):
                rate = _rate(found, step)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss, _, _ = trainer._step(trainer._received(batch), step)
                trainer._training.taken()
                value = math.nan if loss is None else float(loss)
                average = _SMOOTHING * average + (1 - _SMOOTHING) * value
                smoothed = average / (1 - _SMOOTHING ** (step + 1))
                found.results["lr"].append(rate)
                found.results["loss"].append(smoothed)
                if not math.isfinite(smoothed):
                    return
                if threshold is not None and step > 1 and smoothed > threshold * least:
                    return
                least = min(least, smoothed)


@contextmanager
def _put_back(trainer: Trainer, loader: Any) -> Iterator[None]:
    """The state of all that a step changes, put back after the block."""
    objects: list[Any] = [trainer._task.module, *trainer.optimizers]
    objects += [schedule.scheduler for schedule in trainer.lr_scheduler_configs]
    objects += [loader] if knows_its_position(loader) else []
    scaler = trainer.precision.scaler
    objects += [] if scaler is None else [scaler]
    states = [copy.deepcopy(part.state_dict()) for part in objects]
    modes = [(part, part.training) for part in trainer._task.module.modules()]
    kept = {
        name: getattr(trainer, name)
        for name in ("callbacks", "loggers", "_loader", "_compiled", "_group", "accumulate_grad_batches")
    }
    numbers, trainer.callbacks, trainer.loggers = random.state_dict(), [], []
    trainer._compiled, trainer._group, trainer.accumulate_grad_batches = {}, Group(), 1
    trainer._stage = trainer._training
    paused, trainer.pauses_schedules = trainer.pauses_schedules, True
    try:
        yield
    finally:
        for part, state in zip(objects, states):
            part.load_state_dict(state)
        for part, mode in modes:
            part.training = mode
        for parameter in trainer._task.module.parameters():
            parameter.grad = None
        random.load_state_dict(numbers)
        trainer.pauses_schedules = paused
        trainer._has_stepped = False
        for name, value in kept.items():
            setattr(trainer, name, value)


def _endless(loader: Iterable[Any]) -> Iterator[Any]:
    while True:
        empty = True
        for batch in loader:
            yield batch
            empty = False
        if empty:
            raise _error("expects a loader with at least one batch, got an empty one")


def _rate(found: LRFinder, step: int) -> float:
    part = step / (found.num_training - 1)
    if found.mode == "linear":
        return found.lr_min + (found.lr_max - found.lr_min) * part
    return found.lr_min * (found.lr_max / found.lr_min) ** part


def _slope(losses: list[float], index: int, first: int, last: int) -> float:
    """The slope over the number of the point, by central differences, one-sided at the ends."""
    before, after = max(index - 1, first), min(index + 1, last)
    return (losses[after] - losses[before]) / (after - before)


def _set_rate(module: TrainingModule, name: str, rate: float) -> None:
    for key in [name] if name else ["lr", "learning_rate"]:
        if key in module.hparams:
            module.hparams[key] = rate
            return
        if hasattr(module, key):
            setattr(module, key, rate)
            return
    raise _error(
        f"finds no {name or 'lr or learning_rate'} to set in {type(module).__name__}",
        "Give update_attr=False",
    )


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="lr_find", hint=hint)
