"""The one-cycle schedule of learning rate and momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn.optim.lr_scheduler.schedule import LRScheduler, half_cosine, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["OneCycleLR"]


class _Phase(NamedTuple):
    """A stretch of the cycle, which ends at step `end`; "initial", "max", "min" are learning rates."""

    end: float
    lr_from: str
    lr_to: str
    momentum_from: str
    momentum_to: str


class OneCycleLR(LRScheduler):
    """The learning rate from low to high and down to nearly nothing, with the momentum running against it.

    It is meant to be stepped after each batch.

    Args:
        optimizer: whose `"lr"` it sets, and `"momentum"` or the first of `"betas"`.
        max_lr: the peak, a float or one for each group.
        total_steps: the length of the cycle; or give both of epochs and steps_per_epoch.
        pct_start: the share of the cycle in which the learning rate rises.
        anneal_strategy: `"cos"` or `"linear"`.
        cycle_momentum: whether the momentum goes from `max_momentum` down to `base_momentum` and back.
        base_momentum, max_momentum: floats, or one for each group.
        div_factor: the cycle starts from max_lr / div_factor ...
        final_div_factor: ... and ends at that, divided by this again.
        three_phase: come down to the start as fast as it went up, and to the end only then.
        last_epoch: see `LRScheduler`.

    Raises: ArgumentError for arguments outside of their domain, an optimizer without a momentum to
    cycle, and a step beyond the cycle's end (which a compiled step cannot see: it stays at the end).

    See: Smith & Topin (2019), "Super-convergence: very fast training of neural networks using large
    learning rates".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], momentum=0.9)
    >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.4, div_factor=2)
    >>> [(round(schedule.get_last_lr()[0], 3), schedule.step())[0] for _ in range(4)]
    [0.5, 1.0, 0.75, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise self._error("expects total_steps, or both of epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise self._error(f"expects a cycle of at least one step, got {total_steps}")
        if not 0 <= pct_start <= 1:
            raise self._error(f"expects pct_start in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise self._error(f"expects anneal_strategy='cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.phases = _phases(total_steps, pct_start, three_phase)
        groups = optimizer.param_groups
        peaks = self._per_group("max_lr", max_lr, len(groups))
        lows = self._per_group("base_momentum", base_momentum, len(groups))
        highs = self._per_group("max_momentum", max_momentum, len(groups))
        self.levels = [
            {
                "initial": peak / div_factor,
                "max": peak,
                "min": peak / div_factor / final_div_factor,
                "low momentum": low,
                "high momentum": high,
            }
            for peak, low, high in zip(peaks, lows, highs)
        ]
        if cycle_momentum:
            if not all("momentum" in group or "betas" in group for group in groups):
                raise self._error(
                    f"finds no momentum to cycle in {type(optimizer).__name__}", "Give cycle_momentum=False"
                )
            self.scheduled = ("lr", "betas") if "betas" in groups[0] else ("lr", "momentum")
        if last_epoch == -1:
            for group, levels in zip(groups, self.levels):
                group["initial_lr"] = levels["initial"]
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of the phase that the step is in."""
        return self._along(step, group, lambda phase: (phase.lr_from, phase.lr_to))

    def momentum_at(self, step: Any, group: int) -> Any:
        """The momentum of the phase that the step is in."""
        return self._along(step, group, lambda phase: (phase.momentum_from, phase.momentum_to))

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step number `epoch`, and set learning rates and momenta."""
        after = self.last_epoch + 1 if epoch is None else epoch
        if isinstance(after, int) and after > self.total_steps:
            raise self._error(
                f"has a cycle of {self.total_steps} steps, and step {after} was asked for",
                "Give the total_steps that the loop takes: epochs * len(loader)",
            )
        super().step(epoch)
        if self.cycle_momentum:
            for index, group in enumerate(self.optimizer.param_groups):
                momentum = self.momentum_at(self.last_epoch, index)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def _along(self, step: Any, group: int, ends: Any) -> Any:
        levels, start, result = self.levels[group], 0.0, None
        for phase in self.phases:
            before, after = (levels[level] for level in ends(phase))
            part = (step - start) / ((phase.end - start) or 1.0)
            weight = half_cosine(part) if self.anneal_strategy == "cos" else 1 - part
            value = after + (before - after) * weight
            result = value if result is None else where(step <= start, result, value)
            start = phase.end
        return result

    def _per_group(self, name: str, value: float | Sequence[float], groups: int) -> list[float]:
        values = list(value) if isinstance(value, Sequence) else [value] * groups
        if len(values) != groups:
            raise self._error(f"expects {name} for each of {groups} groups, got {len(values)} values")
        return values


def _phases(total: int, pct_start: float, three_phase: bool) -> list[_Phase]:
    rise = _Phase(pct_start * total - 1, "initial", "max", "high momentum", "low momentum")
    if not three_phase:
        return [rise, _Phase(total - 1, "max", "min", "low momentum", "high momentum")]
    fall = _Phase(2 * pct_start * total - 2, "max", "initial", "low momentum", "high momentum")
    return [rise, fall, _Phase(total - 1, "initial", "min", "high momentum", "high momentum")]
