"""Schedules along a cosine."""

from __future__ import annotations

from typing import Any

from xpnn.optim.lr_scheduler.schedule import LRScheduler, half_cosine, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]

_LAST_START = 2**30  # restarts are looked for up to this step, which int32 holds


class CosineAnnealingLR(LRScheduler):
    r"""The learning rate along a cosine, down to `eta_min` in `T_max` steps and, beyond that, up again.

    $$\eta_t = \eta_{min} + \tfrac12 (\eta_0 - \eta_{min}) \left(1 + \cos(\pi t / T_{max})\right)$$

    See: Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = CosineAnnealingLR(SGD([tensor([1.0], requires_grad=True)], lr=1.0), T_max=2)
    >>> [(round(schedule.get_last_lr()[0], 6), schedule.step())[0] for _ in range(3)]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise self._error(f"expects T_max >= 1, got {T_max}")
        self.T_max = T_max
        self.eta_min = self.lowest = eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The formula of the class."""
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * half_cosine(step / self.T_max)

    def _starts_over(self) -> bool:
        return self.last_epoch != -1


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""The learning rate along a cosine down to `eta_min`, again and again.

    $$\eta_t = \eta_{min} + \tfrac12 (\eta_0 - \eta_{min}) \left(1 + \cos(\pi T_{cur} / T_i)\right)$$

    with $T_{cur}$ steps since the last restart, of $T_i$ to the next one. `step` takes parts of an epoch:
    `schedule.step(epoch + batch / batches)`.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        T_0: steps to the first restart, at least 1.
        T_mult: how many times longer each period is than the one before, a whole number from 1.
        eta_min: the rate before each restart.

    Raises: ArgumentError for less.

    See: Loshchilov & Hutter (2017), "SGDR: stochastic gradient descent with warm restarts".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> schedule = CosineAnnealingWarmRestarts(SGD([tensor([1.0], requires_grad=True)], lr=1.0), T_0=2)
    >>> [(round(schedule.get_last_lr()[0], 6), schedule.step())[0] for _ in range(5)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """

    sets_the_start = True
    sets_the_rate = True

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise self._error(f"expects {name} as an integer >= 1, got {value!r}")
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = self.lowest = eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The formula of the class."""
        if self.T_mult == 1:
            part = step % self.T_0 / self.T_0
        else:
            part, start, length = step / self.T_0, self.T_0, self.T_0 * self.T_mult
            while start < _LAST_START:
                part = where(step >= start, (step - start) / length, part)
                start, length = start + length, length * self.T_mult
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * half_cosine(part)
