"""The best value of a measure so far, by which runs are stopped and checkpoints chosen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError
from xpnn.train.arguments import check_number, check_text

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class Best:
    """The best value of a measure so far.

    Args:
        monitor: the measure's name, or None for the trainer's own.
        mode: `"min"`, `"max"`, or `"auto"`: small is better for names with "loss" or "error" in them.
        min_delta: the least change that counts as an improvement.
    """

    def __init__(self, monitor: str | None, mode: str = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("min", "max", "auto"):
            raise ArgumentError(f"expects mode='min', 'max' or 'auto', got {mode!r}", subject="A callback")
        check_text(monitor, "monitor", "A callback", or_none=True)
        self.monitor = monitor
        self.mode = mode
        self.min_delta = check_number(min_delta, "min_delta", "A callback")
        self.value: float | None = None

    def is_small(self, name: str) -> bool:
        """Whether small values of a measure are the better ones."""
        return self.mode == "min" or (self.mode == "auto" and ("loss" in name or "error" in name))

    def improves(self, trainer: Trainer, logs: dict[str, Any]) -> bool:
        """Whether the measure of this epoch is the best so far, which is then remembered."""
        name = self.monitor or trainer.monitored(logs)
        if name not in logs:
            raise ArgumentError(
                f"watches '{name}', which this run does not measure",
                subject="A callback",
                hint=f"There are: {', '.join(logs)}",
            )
        value = logs[name]
        if not isinstance(value, int | float):
            raise ArgumentError(f"watches '{name}', which is no number: {value!r:.60}", subject="A callback")
        if math.isnan(value):
            return False
        small = self.is_small(name)
        gain = math.inf if self.value is None else self.value - value if small else value - self.value
        if gain > self.min_delta:
            self.value = value
            return True
        return False


def is_best(value: Any) -> bool:
    """Whether a value can be a best one: a number, or None."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
