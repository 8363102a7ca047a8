"""Schedules whose factor is a user's function of the number of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.backend import is_array
from xpnn.optim.lr_scheduler.schedule import LRScheduler
from xpnn.optim.optimizer import Optimizer

__all__ = ["LambdaLR", "MultiplicativeLR"]

Factor = Callable[[Any], Any]


class LambdaLR(LRScheduler):
    """The initial learning rate times a function of the number of steps.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        lr_lambda: `factor = lr_lambda(step)`, or one function for each group. In a compiled step it is
            called with a 0-d array.

    Raises: ArgumentError for another number of functions than of groups.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    sets_the_start = True
    sets_the_rate = True

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        self._take_functions(optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The initial learning rate times the function's value."""
        return self.base_lrs[group] * self._function_of(group)(step)

    def _take_functions(self, optimizer: Optimizer, functions: Factor | Sequence[Factor]) -> None:
        groups = len(self._groups_of(optimizer))
        self.one_function = functions if callable(functions) else None  # also for groups that come later
        self.lr_lambdas = [functions] * groups if callable(functions) else list(functions)
        if len(self.lr_lambdas) != groups:
            raise self._error(f"expects a function for each of {groups} groups, got {len(self.lr_lambdas)}")

    def _function_of(self, group: int) -> Factor:
        if group < len(self.lr_lambdas):
            return self.lr_lambdas[group]
        if self.one_function is None:
            raise self._error(
                f"has no function for parameter group {group}, which was added later",
                "Append one to its lr_lambdas",
            )
        return self.one_function


class MultiplicativeLR(LambdaLR):
    """The learning rate times a function of the number of steps at every step.

    Args:
        optimizer, lr_lambda, last_epoch: see `LambdaLR`.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = MultiplicativeLR(optimizer, lambda step: 0.5)
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(3)]
    [[1.0], [0.5], [0.25]]
    """

    sets_the_start = False
    sets_the_rate = False

    def get_lr(self) -> list[Any]:
        """The learning rates that there are, times the factors of this step."""
        rates = [group["lr"] for group in self.optimizer.param_groups]
        if not is_array(self.last_epoch) and self.last_epoch == 0:
            return rates
        return [lr * self._function_of(index)(self.last_epoch) for index, lr in enumerate(rates)]

    def lr_at(self, step: Any, group: int) -> Any:
        """The initial learning rate times all factors so far; it has to count, so `step` is an integer."""
        if is_array(step):
            raise self._error("cannot be a part of another schedule in a compiled step", "Give a LambdaLR")
        function = self._function_of(group)
        return self.base_lrs[group] * math.prod(function(past) for past in range(1, step + 1))
