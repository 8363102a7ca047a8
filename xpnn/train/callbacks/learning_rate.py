"""The learning rates of a run, for the loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError
from xpnn.functional.arguments import check_flags
from xpnn.optim.state import as_python
from xpnn.train.arguments import check_text
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class LearningRateMonitor(Callback):
    """Log the learning rate of each optimizer and parameter group, as "lr-Adam", "lr-Adam/pg2", "lr-SGD-1".

    Args:
        logging_interval: "step", "epoch", or None for both ends of each epoch.
        log_momentum: log momenta, or first betas, too.
        log_weight_decay: log weight decays, too.

    Attributes:
        lrs: the rates that were logged, by name.
    """

    def __init__(
        self,
        logging_interval: str | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
    ) -> None:
        check_text(logging_interval, "logging_interval", type(self).__name__, or_none=True)
        check_flags(type(self).__name__, log_momentum=log_momentum, log_weight_decay=log_weight_decay)
        if logging_interval not in (None, "step", "epoch"):
            raise ArgumentError(
                f"expects logging_interval as 'step', 'epoch' or None, got {logging_interval!r:.60}",
                subject=type(self).__name__,
            )
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.reset()

    def reset(self) -> None:
        """Forget the rates."""
        self.lrs: dict[str, list[float]] = {}

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Log the rates that an epoch begins with."""
        if self.logging_interval != "step" and not trainer.batch:
            self._log(trainer)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Log the rates that a batch has left."""
        if self.logging_interval == "step" and trainer.batches % trainer.log_every_n_steps == 0:
            self._log(trainer)

    def _log(self, trainer: Trainer) -> None:
        names = _names(trainer)
        found: dict[str, float] = {}
        for name, group in zip(names, (g for o in trainer.optimizers for g in o.param_groups)):
            found[name] = float(as_python(group["lr"]))
            if self.log_momentum:
                momentum = group.get("momentum", group.get("betas", (0.0,))[0])
                found[f"{name}-momentum"] = float(as_python(momentum))
            if self.log_weight_decay:
                found[f"{name}-weight_decay"] = float(as_python(group.get("weight_decay", 0.0)))
        for name in names:
            self.lrs.setdefault(name, []).append(found[name])
        trainer.callback_metrics.update(found)
        trainer.log_now(found)


def _names(trainer: Any) -> list[str]:
    """A name for each group of each optimizer: its schedule's, or that of its class."""
    named = {id(s.scheduler.optimizer): s.name for s in trainer.lr_scheduler_configs if s.name}
    kinds = [type(optimizer).__name__ for optimizer in trainer.optimizers]
    found = []
    for index, optimizer in enumerate(trainer.optimizers):
        name = named.get(id(optimizer), f"lr-{kinds[index]}")
        if id(optimizer) not in named and kinds[:index].count(kinds[index]):
            name += f"-{kinds[:index].count(kinds[index])}"
        groups = len(optimizer.param_groups)
        found += [f"{name}/pg{number}" if groups > 1 else name for number in range(1, groups + 1)]
    return found
