"""The optimizers and schedules of a run, in all the forms that `configure_optimizers` may return them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError
from xpnn.optim import LBFGS, LRScheduler, Optimizer

if TYPE_CHECKING:
    from xpnn.train.position import Position

_FORMS = "an optimizer, a list of them, (optimizers, schedules), or dicts with 'optimizer' and 'lr_scheduler'"


@dataclass
class Schedule:
    """A learning-rate schedule and when it steps.

    Attributes:
        scheduler: the schedule. interval: "epoch" or "step", after which it goes on.
        frequency: after how many of them. monitor: the measure that a plateau is looked for in.
        strict: whether a monitored measure has to be there. name: what a monitor calls it.
    """

    scheduler: LRScheduler
    interval: str = "epoch"
    frequency: int = 1
    monitor: str | None = None
    strict: bool = True
    name: str | None = None
    reduce_on_plateau: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.scheduler, LRScheduler):
            raise _error(f"expects a schedule, got {type(self.scheduler).__name__}")
        if self.interval not in ("epoch", "step"):
            raise _error(f"expects a schedule's interval as 'epoch' or 'step', got {self.interval!r:.60}")
        if not isinstance(self.frequency, int) or self.frequency < 1:
            raise _error(f"expects a schedule's frequency as an integer >= 1, got {self.frequency!r:.60}")


def taken_apart(configured: Any) -> tuple[list[Optimizer], list[Schedule]]:
    """The optimizers and schedules that `configure_optimizers` has returned. Raises: ArgumentError."""
    if configured is None:
        return [], []
    if isinstance(configured, Optimizer):
        return [configured], []
    if isinstance(configured, Mapping):
        configured = [configured]
    if not isinstance(configured, Sequence):
        raise _error(f"expects {_FORMS}, got {type(configured).__name__}")
    if len(configured) == 2 and all(isinstance(part, list | tuple) for part in configured):
        optimizers, schedules = configured
        return _checked(list(optimizers), [_schedule_of(part) for part in schedules])
    if configured and all(isinstance(part, Mapping) for part in configured):
        optimizers = [_optimizer_of(part) for part in configured]
        found = [part for part in configured if part.get("lr_scheduler") is not None]
        return _checked(optimizers, [_schedule_of(p["lr_scheduler"], p.get("monitor")) for p in found])
    return _checked(list(configured), [])


class ManagedOptimizer:
    """An optimizer whose steps the Trainer counts, and takes through the scaler of mixed precision.

    All else is the optimizer's.

    Attributes:
        optimizer: the optimizer itself.
    """

    def __init__(self, optimizer: Optimizer, trainer: Position) -> None:
        self.optimizer = optimizer
        self._trainer = trainer

    def step(self, closure: Callable[[], Any] | None = None, **kwargs: Any) -> Any:
        """Take a step; the closure, if there is one, computes the loss and its gradients first."""
        return self._trainer.step_optimizer(self.optimizer, closure, **kwargs)

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Let only the parameters of this optimizer require gradients inside of the block."""
        module = self._trainer.lightning_module
        module.toggle_optimizer(self)
        try:
            yield
        finally:
            module.untoggle_optimizer(self)

    def __getattr__(self, name: str) -> Any:
        if name == "optimizer":  # while it is being copied
            raise AttributeError(name)
        return getattr(self.optimizer, name)

    def __repr__(self) -> str:
        return repr(self.optimizer)


def evaluates_again(optimizer: Optimizer) -> bool:
    """Whether an optimizer computes the loss several times in a step."""
    return isinstance(optimizer, LBFGS)


def _optimizer_of(entry: Mapping[str, Any]) -> Any:
    unknown = set(entry) - {"optimizer", "lr_scheduler", "monitor", "frequency"}
    if unknown or "optimizer" not in entry:
        raise _error(
            f"expects a dict with 'optimizer' and 'lr_scheduler', got one with {', '.join(map(repr, entry))}"
        )
    return entry["optimizer"]


def _schedule_of(entry: Any, monitor: str | None = None) -> Schedule:
    if not isinstance(entry, Mapping):
        return Schedule(entry, monitor=monitor)
    try:
        return Schedule(**entry)
    except TypeError:
        known = ", ".join(name for name in Schedule.__dataclass_fields__)
        given = ", ".join(map(repr, entry))
        raise _error(f"expects a schedule as a dict with {known}, got one with {given}") from None


def _checked(optimizers: list[Any], schedules: list[Schedule]) -> tuple[list[Optimizer], list[Schedule]]:
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise _error(f"expects {_FORMS}, got a {type(optimizer).__name__} among them")
    for schedule in schedules:
        if all(schedule.scheduler.optimizer is not optimizer for optimizer in optimizers):
            raise _error("expects schedules on its own optimizers, got one on another")
    return optimizers, schedules


def _error(problem: str) -> ArgumentError:
    return ArgumentError(problem, subject="configure_optimizers")
