"""Small callbacks: gradients accumulated over other numbers of batches, functions in place of a class."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError
from xpnn.train.arguments import check_count, check_function
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class GradientAccumulationScheduler(Callback):
    """Accumulate the gradients of another number of batches from some epoch on.

    Args:
        scheduling: numbers of batches by the epoch that they begin with, from 0: `{0: 8, 4: 4}`.
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        subject = "GradientAccumulationScheduler"
        if not isinstance(scheduling, Mapping) or not scheduling:
            raise ArgumentError(
                f"expects numbers of batches >= 1 by epochs >= 0, got {scheduling!r:.60}", subject=subject
            )
        self.scheduling = {
            check_count(epoch, "an epoch", subject, 0): check_count(count, "a number of batches", subject)
            for epoch, count in scheduling.items()
        }

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Set the number of the epoch."""
        begun = [epoch for epoch in self.scheduling if epoch <= trainer.epoch]
        trainer.accumulate_grad_batches = self.scheduling[max(begun)] if begun else 1


class LambdaCallback(Callback):
    """Functions as a callback: `LambdaCallback(on_epoch_end=lambda trainer, logs: print(logs))`.

    Args:
        functions: by the names of events, with the arguments of `Callback`'s methods.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        events = {name for name, _ in inspect.getmembers(Callback, inspect.isfunction) if name[0] != "_"}
        for name, function in functions.items():
            if name not in events:
                raise ArgumentError(
                    f"knows no event '{name}'",
                    subject=type(self).__name__,
                    hint=f"There are: {', '.join(sorted(events))}",
                )
            check_function(function, name, type(self).__name__)
            setattr(self, name, function)
