"""Schedules that go down, or up, by a fixed rule: in stairs, exponentially, linearly, as a power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.optim.lr_scheduler.schedule import LRScheduler, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["ConstantLR", "ExponentialLR", "LinearLR", "MultiStepLR", "PolynomialLR", "StepLR"]


class StepLR(LRScheduler):
    """The learning rate times `gamma` after every `step_size` steps.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = StepLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), step_size=2, gamma=0.5)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[1.0], [1.0], [0.5], [0.5]]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise self._error(f"expects step_size >= 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """`base_lr * gamma ** (step // step_size)`."""
        return self.base_lrs[group] * self.gamma ** (step // self.step_size)


class MultiStepLR(LRScheduler):
    """The learning rate times `gamma` at each of the milestones; one named twice counts twice.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = MultiStepLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), [1, 3], gamma=0.5)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[1.0], [0.5], [0.5], [0.25]]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """`base_lr * gamma ** (number of milestones passed)`."""
        passed = sum(where(step >= milestone, 1, 0) for milestone in self.milestones)
        return self.base_lrs[group] * self.gamma**passed


class ExponentialLR(LRScheduler):
    """The learning rate times `gamma` at every step.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = ExponentialLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), gamma=0.5)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """`base_lr * gamma ** step`."""
        return self.base_lrs[group] * self.gamma**step


class ConstantLR(LRScheduler):
    """The learning rate times `factor` in the first `total_iters` steps, and the initial one after them.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        factor: in [0, 1].
        total_iters: the number of steps.

    Raises: ArgumentError for another factor.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = ConstantLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), factor=0.5, total_iters=2)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[0.5], [0.5], [1.0], [1.0]]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise self._error(f"expects factor in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """`base_lr`, times `factor` at the start."""
        return self.base_lrs[group] * where(step < self.total_iters, self.factor, 1.0)


class LinearLR(LRScheduler):
    """The learning rate from `start_factor` to `end_factor` of its initial value, in `total_iters` steps.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        start_factor: in (0, 1]. end_factor: in [0, 1].
        total_iters: after which the factor stays at its end.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[0.5], [0.75], [1.0], [1.0]]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise self._error(
                "expects start_factor in (0, 1] and end_factor in [0, 1], "
                f"got start_factor={start_factor} and end_factor={end_factor}"
            )
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """`base_lr` times a factor that is linear in the step."""
        done = where(step < self.total_iters, step / max(self.total_iters, 1), 1.0)
        return self.base_lrs[group] * (self.start_factor + (self.end_factor - self.start_factor) * done)


class PolynomialLR(LRScheduler):
    r"""The learning rate down to 0 in `total_iters` steps $T$, along a power.

    $$\eta_t = \eta_0 \left(1 - \min(t, T) / T\right)^{power}$$

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        total_iters: at least 1.
        power: 1 is a straight line.

    Raises: ArgumentError for less.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = PolynomialLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), total_iters=2, power=2.0)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[1.0], [0.25], [0.0], [0.0]]
    """

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        if total_iters < 1:
            raise self._error(f"expects total_iters >= 1, got {total_iters}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The formula of the class."""
        left = where(step < self.total_iters, self.total_iters - step, 0) / self.total_iters
        return self.base_lrs[group] * left**self.power
