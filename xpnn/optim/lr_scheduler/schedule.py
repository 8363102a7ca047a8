"""The base of learning-rate schedules, and the simple ones.

A schedule is a closed form: a pure function of the number of steps so far. So it can be resumed from that
number alone, jumped in, wrapped in another one, and compiled: the number may be a Python integer or a 0-d
array. The flip side is that two schedules on one optimizer do not multiply up; `SequentialLR` and
`Warmup` combine them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.backend import ArgumentError, CheckpointError, is_array, namespace
from xpnn.optim.optimizer import Optimizer, as_python

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "StepLR",
]


class LRScheduler:
    """What all schedules share: PyTorch's interface around the closed form `lr_at`.

    Args:
        optimizer: whose groups' `"lr"` is set, now and at each `step()`.
        last_epoch: the number of steps taken already; -1 starts anew.

    Attributes:
        last_epoch: the number of calls of `step()`, of epochs or batches as the loop has it.
        base_lrs: the learning rates that the groups had at the start, as Python floats.
        scheduled: the options of the groups that it sets.

    Raises: ArgumentError if `last_epoch` is given and the groups have no `"initial_lr"`.
    """

    scheduled: tuple[str, ...] = ("lr",)
    saved: tuple[str, ...] = ("last_epoch", "base_lrs")  # the attributes that make up the state

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise self._error(f"expects an Optimizer, got {type(optimizer).__name__}")
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", as_python(group["lr"]))
            elif "initial_lr" not in group:
                raise self._error(
                    f"cannot go on from last_epoch={last_epoch}: parameter group {index} has no 'initial_lr'",
                    "Load the optimizer's state first, or set it in the group",
                )
        self.optimizer = optimizer
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch: Any = last_epoch
        self.step()

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of a group after `step` steps, a pure function.

        Args:
            step: a Python integer, or a 0-d array of a compiled step.
            group: the position of the group.
        """
        raise NotImplementedError(f"{type(self).__name__} must define lr_at")

    def get_lr(self) -> list[Any]:
        """The learning rates of all groups at `last_epoch`; a schedule of one's own may override it."""
        return [self.lr_at(self.last_epoch, group) for group in range(len(self.base_lrs))]

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step number `epoch`, and set the learning rates."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for group, lr in zip(self.optimizer.param_groups, self.get_lr()):
            group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups as Python floats."""
        return [float(as_python(group["lr"])) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, JSON-ready; what it was built with is not part of it."""
        state = {name: as_python(getattr(self, name)) for name in self.saved}
        return {"scheduler": type(self).__name__, **state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. The optimizer's own state has the learning rate.

        Raises: CheckpointError if the state is of another schedule or of another number of groups.
        """
        self.check_state_dict(state_dict)
        for name in self.saved:
            setattr(self, name, state_dict[name])

    def check_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        subject, name = type(self).__name__, state_dict.get("scheduler")
        if name != subject:
            raise CheckpointError(f"cannot take the state of a {name}", subject=subject)
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            raise CheckpointError(
                f"cannot take a state of {len(state_dict['base_lrs'])} parameter groups, "
                f"its optimizer has {len(self.base_lrs)}",
                subject=subject,
            )

    def _error(self, problem: str, hint: str = "") -> ArgumentError:
        return ArgumentError(problem, subject=type(self).__name__, hint=hint)


class LambdaLR(LRScheduler):
    """The initial learning rate times a function of the number of steps.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        lr_lambda: `factor = lr_lambda(step)`, or one function for each group. In a compiled step it is
            called with a 0-d array.

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=0.5)
    >>> schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[Any], Any] | Sequence[Callable[[Any], Any]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise self._error(f"expects a function for each of {groups} groups, got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The initial learning rate times the function's value."""
        return self.base_lrs[group] * self.lr_lambdas[group](step)


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
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The formula of the class."""
        return self.eta_min + (self.base_lrs[group] - self.eta_min) * half_cosine(step / self.T_max)


def half_cosine(part: Any) -> Any:
    """From 1 at `part = 0` to 0 at `part = 1` along a cosine."""
    cos = namespace(part).cos if is_array(part) else math.cos
    return (1 + cos(math.pi * part)) / 2


def where(condition: Any, value: Any, otherwise: Any) -> Any:
    """`value if condition else otherwise`, for a condition that may be a 0-d array."""
    if is_array(condition):
        return namespace(condition).where(condition, value, otherwise)
    return value if condition else otherwise
