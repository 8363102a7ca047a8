"""Schedules that cycle, with the momentum running against the learning rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnn.optim.lr_scheduler.schedule import LRScheduler, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["CyclicLR"]


class MomentumCycle(LRScheduler):
    """The base of schedules with rates of their own, which cycle the momentum (or the first beta) as well."""

    sets_the_start = True
    sets_the_rate = True
    first_lrs: Sequence[float] = ()  # of the groups that there are when the schedule is built

    def momentum_at(self, step: Any, group: int) -> Any:
        """The momentum of a group after `step` steps, a pure function."""
        raise NotImplementedError(f"{type(self).__name__} must define momentum_at")

    def _base_lr(self, index: int, group: dict[str, Any]) -> float:
        return self.first_lrs[index] if index < len(self.first_lrs) else super()._base_lr(index, group)

    def _take_momenta(self, optimizer: Optimizer, cycled: bool, low: Any, high: Any) -> None:
        """Check the bounds of the momentum; the last group's are those of groups that come later."""
        groups = self._groups_of(optimizer)
        self.cycle_momentum = cycled
        self.base_momentums = self._per_group("base_momentum", low, len(groups))
        self.max_momentums = self._per_group("max_momentum", high, len(groups))
        if cycled:
            if not all("momentum" in group or "betas" in group for group in groups):
                raise self._error(
                    f"finds no momentum to cycle in {type(optimizer).__name__}", "Give cycle_momentum=False"
                )
            self.scheduled = ("lr", "betas") if "betas" in groups[0] else ("lr", "momentum")

    def _momenta_of(self, group: int) -> tuple[float, float]:
        index = min(group, len(self.base_momentums) - 1)
        return self.base_momentums[index], self.max_momentums[index]

    def _set(self, rates: list[Any]) -> None:
        super()._set(rates)
        if self.cycle_momentum:
            for index, group in enumerate(self.optimizer.param_groups):
                momentum = self.momentum_at(self.last_epoch, index)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def _per_group(self, name: str, value: float | Sequence[float], groups: int) -> list[float]:
        values = list(value) if isinstance(value, Sequence) else [value] * groups
        if len(values) != groups:
            raise self._error(f"expects {name} for each of {groups} groups, got {len(values)} values")
        return values


class CyclicLR(MomentumCycle):
    """The learning rate up and down between two bounds, in straight lines.

    It is meant to be stepped after each batch.

    Args:
        optimizer: whose `"lr"` it sets, and `"momentum"` or the first of `"betas"`.
        base_lr, max_lr: the bounds, floats or one for each group.
        step_size_up: steps of the rise.
        step_size_down: steps of the fall, by default as many.
        mode: `"triangular"`; `"triangular2"`, which halves the height after each cycle; or `"exp_range"`,
            which has it shrink by `gamma` with each step.
        gamma: see `mode`.
        scale_fn: the height, instead of a mode, as a function of the cycle's number, from 1, or the step.
        scale_mode: `"cycle"` or `"iterations"`: which of them `scale_fn` is given.
        cycle_momentum: whether the momentum goes from `max_momentum` down to `base_momentum` and back.
        base_momentum, max_momentum: floats, or one for each group.
        last_epoch: see `LRScheduler`.

    Raises: ArgumentError for arguments outside of their domain, and an optimizer without a momentum to cycle.

    See: Smith (2017), "Cyclical learning rates for training neural networks".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], momentum=0.9)
    >>> schedule = CyclicLR(optimizer, base_lr=0.5, max_lr=1.0, step_size_up=2)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(5)]
    [[0.5], [0.75], [1.0], [0.75], [0.5]]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[Any], Any] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise self._error(f"expects mode='triangular', 'triangular2' or 'exp_range', got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise self._error(f"expects scale_mode='cycle' or 'iterations', got {scale_mode!r}")
        self.step_size_up = step_size_up
        self.step_size_down = step_size_up if step_size_down is None else step_size_down
        if not self.step_size_up > 0 or not self.step_size_down > 0:
            raise self._error(
                "expects step_size_up > 0 and step_size_down > 0, "
                f"got {self.step_size_up} and {self.step_size_down}"
            )
        groups = len(self._groups_of(optimizer))
        self.first_lrs = self._per_group("base_lr", base_lr, groups)
        self.max_lrs = self._per_group("max_lr", max_lr, groups)
        self.mode = mode
        self.gamma = gamma
        self.scale_fn = scale_fn
        by_step = scale_mode == "iterations" if scale_fn else mode == "exp_range"
        self.scale_mode = "iterations" if by_step else "cycle"
        self._take_momenta(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The lower bound and a share of the distance to the upper one."""
        base = self.base_lrs[group]
        return base + (self._max_lr_of(group) - base) * self._height(step)

    def momentum_at(self, step: Any, group: int) -> Any:
        """The upper bound less a share of the distance to the lower one."""
        low, high = self._momenta_of(group)
        return high - (high - low) * self._height(step)

    def _max_lr_of(self, group: int) -> float:
        if group < len(self.max_lrs):
            return self.max_lrs[group]
        first = self.base_lrs[0]
        return self.base_lrs[group] * (self.max_lrs[0] / first) if first else self.max_lrs[0]

    def _height(self, step: Any) -> Any:
        """The share of the way up at a step, times the scale of its cycle."""
        total = self.step_size_up + self.step_size_down
        done = step % total
        cycle = (step - done) / total + 1
        way = where(done <= self.step_size_up, done / self.step_size_up, (total - done) / self.step_size_down)
        return way * self._scale(cycle if self.scale_mode == "cycle" else step)

    def _scale(self, count: Any) -> Any:
        """The height of a cycle, or at a step."""
        if self.scale_fn is not None:
            return self.scale_fn(count)
        if self.mode == "triangular2":
            return 0.5 ** (count - 1)
        return self.gamma**count if self.mode == "exp_range" else 1.0
