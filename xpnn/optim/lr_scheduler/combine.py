"""Schedules made of other schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.backend import ArgumentError, CheckpointError
from xpnn.optim.lr_scheduler.plateau import ReduceLROnPlateau
from xpnn.optim.lr_scheduler.schedule import LRScheduler, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["SequentialLR", "Warmup"]


class SequentialLR(LRScheduler):
    """One schedule after the other, each counting its steps from its own start.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        schedulers: schedules on the same optimizer, which set its learning rate alone.
        milestones: the steps at which the second, third ... takes over.

    Raises: ArgumentError for another number of milestones, or schedules of another optimizer.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD, ExponentialLR, LinearLR
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = SequentialLR(optimizer, parts, milestones=[2])
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[0.5], [0.75], [1.0], [0.5]]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise self._error(
                f"expects one milestone fewer than schedules, got {len(milestones)} and {len(schedulers)}"
            )
        for part in schedulers:
            _check_part(self, part, optimizer)
        self.schedulers = list(schedulers)
        self.milestones = list(milestones)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of the schedule whose turn it is."""
        lr = self.schedulers[0].lr_at(step, group)
        for milestone, part in zip(self.milestones, self.schedulers[1:]):
            lr = where(step < milestone, lr, part.lr_at(_since(step, milestone), group))
        return lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, and its parts."""
        return super().state_dict() | {"schedulers": [part.state_dict() for part in self.schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError if it is of other parts."""
        super().load_state_dict(state_dict)
        for part, state in zip(self.schedulers, state_dict["schedulers"]):
            part.load_state_dict(state)

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        super().check_state_dict(state_dict)
        if len(state_dict["schedulers"]) != len(self.schedulers):
            raise CheckpointError(
                f"cannot take a state of {len(state_dict['schedulers'])} schedules, it has "
                f"{len(self.schedulers)}",
                subject=type(self).__name__,
            )
        for part, state in zip(self.schedulers, state_dict["schedulers"]):
            part.check_state_dict(state)


class Warmup(LRScheduler):
    """A linear rise to where another schedule starts, and then that schedule.

    Args:
        schedule: what comes after the rise, counting its steps from the rise's end.
        steps: the length of the rise.
        start_factor: the share of the schedule's first learning rate that the rise begins with.
        last_epoch: see `LRScheduler`.

    Raises: ArgumentError for steps < 0, start_factor outside of [0, 1], or a schedule that cycles the
    momentum.

    See: Goyal et al. (2017), "Accurate, large minibatch SGD: training ImageNet in 1 hour".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD, ExponentialLR
    >>> after = ExponentialLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), 0.5)
    >>> schedule = Warmup(after, steps=2)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[0.0], [0.5], [1.0], [0.5]]
    """

    def __init__(
        self, schedule: LRScheduler, steps: int, start_factor: float = 0.0, last_epoch: int = -1
    ) -> None:
        if steps < 0 or not 0 <= start_factor <= 1:
            raise self._error(
                "expects steps >= 0 and start_factor in [0, 1], "
                f"got steps={steps} and start_factor={start_factor}"
            )
        _check_part(self, schedule, schedule.optimizer)
        self.schedule = schedule
        self.steps = steps
        self.start_factor = start_factor
        super().__init__(schedule.optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """A line up to the schedule's start, then the schedule."""
        done = where(step < self.steps, step / max(self.steps, 1), 1.0)
        factor = self.start_factor + (1 - self.start_factor) * done
        return factor * self.schedule.lr_at(_since(step, self.steps), group)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, and the one that it leads to."""
        return super().state_dict() | {"schedule": self.schedule.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError if it is of another schedule."""
        super().load_state_dict(state_dict)
        self.schedule.load_state_dict(state_dict["schedule"])

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        super().check_state_dict(state_dict)
        self.schedule.check_state_dict(state_dict["schedule"])


def _check_part(whole: LRScheduler, part: LRScheduler, optimizer: Optimizer) -> None:
    """Raise ArgumentError unless `part` is a closed-form schedule of the learning rate of `optimizer`."""
    subject, name = type(whole).__name__, type(part).__name__
    if part.optimizer is not optimizer:
        raise ArgumentError(f"expects schedules of its own optimizer, {name} is of another", subject=subject)
    if part.scheduled != ("lr",):
        raise ArgumentError(
            f"sets the learning rate alone, {name} also cycles the momentum",
            subject=subject,
            hint="Give it cycle_momentum=False",
        )
    if isinstance(part, ReduceLROnPlateau):
        raise ArgumentError(f"expects schedules that know their course, {name} does not", subject=subject)


def _since(step: Any, start: int) -> Any:
    """The steps since `start`, 0 before it."""
    return where(step > start, step - start, 0)
