"""Schedules made of other schedules."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any

from xpnn.backend import ArgumentError, is_array
from xpnn.optim.lr_scheduler.schedule import LRScheduler, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR", "Warmup"]


class ChainedScheduler(LRScheduler):
    """Several schedules that step together, one after the other; their rates multiply up.

    Args:
        schedulers: schedules on the same optimizer.
        optimizer: theirs.

    Raises: ArgumentError for no schedules, or schedules of several optimizers.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD, ConstantLR, ExponentialLR
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> schedule = ChainedScheduler(parts)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[0.5], [0.25], [0.25], [0.125]]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self.schedulers = list(schedulers)
        if not self.schedulers:
            raise self._error("expects at least one schedule, got none")
        for part in self.schedulers:
            if not isinstance(part, LRScheduler):
                raise self._error(f"expects schedules, got {type(part).__name__}")
        self.optimizer = optimizer or self.schedulers[0].optimizer
        for part in self.schedulers:
            _check_optimizer(self, part, self.optimizer)

    @property
    def watches(self) -> bool:  # type: ignore[override]
        """Whether one of them is to be given a metric."""
        return any(part.watches for part in self.schedulers)

    @property
    def last_epoch(self) -> Any:  # type: ignore[override]
        """The steps that the first one has taken."""
        return self.schedulers[0].last_epoch

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]
        """Those of the first one."""
        return self.schedulers[0].base_lrs

    def members(self) -> Iterator[LRScheduler]:
        """The schedules that it steps."""
        for part in self.schedulers:
            yield from part.members()

    def step(self, metrics: Any = None) -> None:  # type: ignore[override]
        """Step all; `metrics` is for those that watch one, such as `ReduceLROnPlateau`."""
        if self.watches and metrics is None:
            raise self._error("expects a metric: one of its schedules watches one", "Call step(loss)")
        for part in self.schedulers:
            if part.watches:
                part.step(metrics)
            else:
                part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of all."""
        states = [part.state_dict() for part in self.schedulers]
        return {"scheduler": type(self).__name__, "schedulers": states}

    def _take(self, state: dict[str, Any]) -> None:
        for part, of_part in zip(self.schedulers, _states_of_parts(state)):
            part._take(of_part)

    def _misfits(self, state: Any) -> Iterator[str]:
        if not isinstance(state, dict) or state.get("scheduler", type(self).__name__) != type(self).__name__:
            yield from super()._misfits(state)
        else:
            yield from _misfits_of_parts(self.schedulers, state)


class SequentialLR(LRScheduler):
    """One schedule after the other, each counting its steps from its own start.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        schedulers: schedules on the same optimizer, which set its learning rate alone. Their own first steps
            are undone.
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

    sets_the_start = True

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
        self.by_hand: dict[int, float] = {}  # the part of `others` that lasts until the next milestone only
        if last_epoch == -1:
            _undo_first_steps(self.schedulers)
        super().__init__(optimizer, last_epoch)

    @property
    def sets_the_rate(self) -> bool:  # type: ignore[override]
        """Whether the schedule that takes the next step does."""
        step = self.last_epoch + 1
        return not is_array(step) and self.schedulers[bisect_right(self.milestones, step)].sets_the_rate

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of the schedule whose turn it is."""
        lr = self.schedulers[0].lr_at(step, group)
        for milestone, part in zip(self.milestones, self.schedulers[1:]):
            lr = where(step < milestone, lr, part.lr_at(_since(step, milestone), group))
        return lr

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, and its parts."""
        state = super().state_dict() | {"schedulers": [part.state_dict() for part in self.schedulers]}
        return state | {"by_hand": [self.by_hand.get(index, 1.0) for index in range(len(self.others))]}

    def _look_back(self) -> None:
        super()._look_back()
        if not is_array(self.last_epoch) and self.last_epoch + 1 in self.milestones:
            for index, factor in self.by_hand.items():
                self.others[index] = self.others[index] / factor
            self.by_hand = {}

    def _take_note_of_others(self) -> None:
        for index, noted in enumerate(self.last_lrs):
            change = self._change_by_hand(index)
            is_new = change not in (0, 1, math.inf) and self.optimizer.param_groups[index]["lr"] != noted
            if is_new and not self.sets_the_rate:
                self.by_hand[index] = self.by_hand.get(index, 1.0) * change
        super()._take_note_of_others()

    def _join(self, factor: float | None = None) -> None:
        for part in self.schedulers:
            part._join()
        super()._join(factor)

    def _take(self, state: dict[str, Any]) -> None:
        for part, of_part in zip(self.schedulers, _states_of_parts(state)):
            part._take(of_part)
        super()._take(state)
        self.by_hand = dict(enumerate(state.get("by_hand", ())))

    def _misfits(self, state: Any) -> Iterator[str]:
        problems = list(super()._misfits(state))
        yield from problems or _misfits_of_parts(self.schedulers, state)


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

    sets_the_start = True

    def __init__(
        self, schedule: LRScheduler, steps: int, start_factor: float = 0.0, last_epoch: int = -1
    ) -> None:
        if steps < 0 or not 0 <= start_factor <= 1:
            raise self._error(
                "expects steps >= 0 and start_factor in [0, 1], "
                f"got steps={steps} and start_factor={start_factor}"
            )
        if not isinstance(schedule, LRScheduler):
            raise self._error(f"expects a schedule, got {type(schedule).__name__}")
        _check_part(self, schedule, schedule.optimizer)
        if last_epoch == -1:
            _undo_first_steps([schedule])
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
        return super().state_dict() | {"schedulers": [self.schedule.state_dict()]}

    def _join(self, factor: float | None = None) -> None:
        self.schedule._join()
        super()._join(factor)

    def _take(self, state: dict[str, Any]) -> None:
        self.schedule._take(state["schedulers"][0])
        super()._take(state)

    def _misfits(self, state: Any) -> Iterator[str]:
        problems = list(super()._misfits(state))
        yield from problems or _misfits_of_parts([self.schedule], state)


def _check_part(whole: LRScheduler, part: LRScheduler, optimizer: Optimizer) -> None:
    """Raise ArgumentError unless `part` is a formula for the learning rate of `optimizer`."""
    subject, name = type(whole).__name__, type(part).__name__
    if not isinstance(part, LRScheduler):
        raise ArgumentError(f"expects schedules, got {name}", subject=subject)
    _check_optimizer(whole, part, optimizer)
    if part.scheduled != ("lr",):
        raise ArgumentError(
            f"sets the learning rate alone, {name} also cycles the momentum",
            subject=subject,
            hint="Give it cycle_momentum=False",
        )
    if not part.knows_its_course():
        raise ArgumentError(f"expects schedules that know their course, {name} does not", subject=subject)


def _check_optimizer(whole: LRScheduler, part: LRScheduler, optimizer: Optimizer) -> None:
    if part.optimizer is not optimizer:
        raise ArgumentError(
            f"expects schedules of its own optimizer, {type(part).__name__} is of another",
            subject=type(whole).__name__,
        )


def _undo_first_steps(parts: Sequence[LRScheduler]) -> None:
    """Give the optimizer back the rates that it had before the parts were built, which each took a step."""
    optimizer = parts[0].optimizer
    for index, group in enumerate(optimizer.param_groups):
        left = list(parts)
        while undone := [part for part in left if part.last_lrs[index] == group["lr"]]:
            group["lr"] = undone[0].found_lrs[index]
            left.remove(undone[0])
        for part in left:  # built before a schedule that is none of the parts, or one that changed nothing
            before, after = part.found_lrs[index], part.last_lrs[index]
            group["lr"] = group["lr"] * (before / after) if after else before
    optimizer.scheduled_lrs = [group["lr"] for group in optimizer.param_groups]


def _states_of_parts(state: dict[str, Any]) -> Any:
    """The states of the parts; PyTorch has them under another name."""
    return state.get("schedulers", state.get("_schedulers"))


def _misfits_of_parts(parts: Sequence[LRScheduler], state: dict[str, Any]) -> Iterator[str]:
    states = _states_of_parts(state)
    if not isinstance(states, list):
        yield f"schedulers={states!r:.60}, expected a list of states"
    elif len(states) != len(parts):
        yield f"a state of {len(states)} schedules, it has {len(parts)}"
    else:
        for part, of_part in zip(parts, states):
            for problem in part._misfits(of_part):
                yield f"{problem} (of its {type(part).__name__})"


def _since(step: Any, start: int) -> Any:
    """The steps since `start`, 0 before it."""
    return where(step > start, step - start, 0)
