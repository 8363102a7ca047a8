"""A schedule that watches a metric."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from xpnn.optim.lr_scheduler.schedule import LRScheduler
from xpnn.optim.optimizer import Optimizer
from xpnn.optim.state import as_python

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """The learning rate times `factor` whenever a metric has not improved for `patience` steps.

    Unlike the other schedules it goes by what it has seen, reads the metric on the host, and so belongs
    outside of a compiled step.

    Args:
        optimizer: see `LRScheduler`.
        mode: `"min"` if smaller is better, `"max"` if larger is.
        factor: below 1.
        patience: steps without an improvement that are let pass.
        threshold: the least change that counts as an improvement ...
        threshold_mode: ... `"rel"`, in proportion to the best value, or `"abs"`.
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: a bound, a float or one for each group.
        eps: a smaller reduction is left out.

    With other schedules on the same optimizer its reductions stay: they multiply up (see `LRScheduler`).

    Raises: ArgumentError for arguments outside of their domain.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> [(schedule.step(loss), schedule.get_last_lr())[1] for loss in (3.0, 2.0, 2.0, 2.0)]
    [[1.0], [1.0], [1.0], [0.5]]
    """

    counts = ("last_epoch", "best", "num_bad_epochs", "cooldown_counter")
    watches = True

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise self._error(
                "expects mode='min' or 'max' and threshold_mode='rel' or 'abs', "
                f"got mode={mode!r} and threshold_mode={threshold_mode!r}"
            )
        if factor >= 1:
            raise self._error(f"expects factor < 1, got {factor}")
        groups = len(self._groups_of(optimizer))
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise self._error(f"expects min_lr for each of {groups} groups, got {len(self.min_lrs)}")
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        """The learning rates that there are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Take note of the metric (a number or 0-d array), and lower the learning rates if it is time."""
        value = float(as_python(metrics))
        self._join()
        self.optimizer.schedules_stepped = True
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.optimizer.scheduled_lrs = self.get_lr()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def _initial_step(self) -> None:
        self.last_epoch = 0

    def _is_better(self, value: float) -> bool:
        relative = self.threshold_mode == "rel"
        if self.mode == "min":
            return value < (self.best * (1 - self.threshold) if relative else self.best - self.threshold)
        return value > (self.best * (1 + self.threshold) if relative else self.best + self.threshold)

    def _reduce(self) -> None:
        for index, group in enumerate(self.optimizer.param_groups):
            before = float(as_python(group["lr"]))
            after = max(before * self.factor, self.min_lrs[min(index, len(self.min_lrs) - 1)])
            if before - after > self.eps:
                group["lr"] = after

    def _misfits_of_count(self, key: str, value: Any) -> Iterator[str]:
        if key != "best":
            yield from super()._misfits_of_count(key, value)
        elif type(value) not in (int, float) or math.isnan(value):
            yield f"best={value!r:.60}, expected a number"
