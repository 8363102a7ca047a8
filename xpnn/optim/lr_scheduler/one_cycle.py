"""The one-cycle schedule of learning rate and momentum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from xpnn.backend import is_array
from xpnn.optim.lr_scheduler.cycle import MomentumCycle
from xpnn.optim.lr_scheduler.schedule import half_cosine, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["OneCycleLR"]


class _Phase(NamedTuple):
    """A stretch of the cycle, which ends at step `end`; "initial", "max", "min" are learning rates."""

    end: float
    lr_from: str
    lr_to: str
    momentum_from: str
    momentum_to: str


class OneCycleLR(MomentumCycle):
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
        peaks = self._per_group("max_lr", max_lr, len(self._groups_of(optimizer)))
        self.first_lrs = [peak / div_factor for peak in peaks]
        self.levels = {"initial": 1.0, "max": div_factor, "min": 1 / final_div_factor}
        self._take_momenta(optimizer, cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, step: Any, group: int) -> Any:
        """The learning rate of the phase that the step is in."""
        return self.base_lrs[group] * self._along(
            step, [(self.levels[phase.lr_from], self.levels[phase.lr_to]) for phase in self.phases]
        )

    def momentum_at(self, step: Any, group: int) -> Any:
        """The momentum of the phase that the step is in."""
        levels = dict(zip(("low momentum", "high momentum"), self._momenta_of(group)))
        return self._along(
            step, [(levels[phase.momentum_from], levels[phase.momentum_to]) for phase in self.phases]
        )

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step number `epoch`, and set learning rates and momenta."""
        after = self.last_epoch + 1 if epoch is None else epoch
        if not is_array(after) and after > self.total_steps:
            raise self._error(
                f"has a cycle of {self.total_steps} steps, and step {after} was asked for",
                "Give the total_steps that the loop takes: epochs * len(loader)",
            )
        super().step(epoch)

    def _along(self, step: Any, ends: list[tuple[float, float]]) -> Any:
        """The value at a step, given those at the ends of each phase."""
        start, result = 0.0, None
        for phase, (before, after) in zip(self.phases, ends):
            part = (step - start) / ((phase.end - start) or 1.0)
            weight = half_cosine(part) if self.anneal_strategy == "cos" else 1 - part
            value = after + (before - after) * weight
            result = value if result is None else where(step <= start, result, value)
            start = phase.end
        return result

    def _misfits(self, state: Any) -> Iterator[str]:
        problems = list(super()._misfits(state))
        yield from problems
        if not problems and state["last_epoch"] > self.total_steps:
            yield f"the state of a longer cycle: step {state['last_epoch']} of {self.total_steps}"


def _phases(total: int, pct_start: float, three_phase: bool) -> list[_Phase]:
    rise = _Phase(pct_start * total - 1, "initial", "max", "high momentum", "low momentum")
    if not three_phase:
        return [rise, _Phase(total - 1, "max", "min", "low momentum", "high momentum")]
    fall = _Phase(2 * pct_start * total - 2, "max", "initial", "low momentum", "high momentum")
    return [rise, fall, _Phase(total - 1, "initial", "min", "high momentum", "high momentum")]
