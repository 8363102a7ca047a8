"""The schedule into the averaging of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.optim.lr_scheduler.schedule import LRScheduler, half_cosine, where
from xpnn.optim.optimizer import Optimizer

__all__ = ["SWALR"]


class SWALR(LRScheduler):
    r"""The learning rate from where it is to a constant one, at which weights are averaged.

    Args:
        optimizer, last_epoch: see `LRScheduler`.
        swa_lr: the rate $\eta_s$ at the end, a float or one for each group.
        anneal_epochs: $T$, steps to the end; 0 starts there.
        anneal_strategy: `"cos"` or `"linear"`.

    $$\eta_t = \alpha_t \eta_s + (1 - \alpha_t)\, \eta_0, \quad
    \alpha_t = \tfrac12 (1 - \cos(\pi \min(t, T) / T)) \text{ or } \min(t, T) / T$$

    where $\eta_0$ is the rate that other schedules have left, which act until this one's first step.

    Raises: ArgumentError for arguments outside of their domain.

    See: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization".

    >>> from xpnn.autograd import tensor
    >>> from xpnn.optim import SGD
    >>> optimizer = SGD([tensor([1.0], requires_grad=True)], lr=1.0)
    >>> schedule = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> [(schedule.get_last_lr(), schedule.step())[0] for _ in range(4)]
    [[1.0], [0.75], [0.5], [0.5]]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | Sequence[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        groups = len(self._groups_of(optimizer))
        self.swa_lrs = list(swa_lr) if isinstance(swa_lr, Sequence) else [swa_lr] * groups
        if len(self.swa_lrs) != groups:
            raise self._error(f"expects swa_lr for each of {groups} groups, got {len(self.swa_lrs)} values")
        if anneal_strategy not in ("cos", "linear"):
            raise self._error(f"expects anneal_strategy='cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise self._error(f"expects anneal_epochs as an integer >= 0, got {anneal_epochs!r}")
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The way on from the rates that there are: what is left of it shrinks from step to step."""
        before, now = self._left(self.last_epoch - 1), self._left(self.last_epoch)
        share = now / where(before == 0, 1.0, before)
        return [
            self._end(index) + (group["lr"] - self._end(index)) * share
            for index, group in enumerate(self.optimizer.param_groups)
        ]

    def _end(self, group: int) -> float:
        return self.swa_lrs[min(group, len(self.swa_lrs) - 1)]

    def _left(self, step: Any) -> Any:
        """The part of the way that is left after a step, 1 at the start."""
        if self.anneal_epochs == 0:
            return where(step >= 0, 0.0, 1.0)
        done = where(step < self.anneal_epochs, where(step > 0, step, 0) / self.anneal_epochs, 1.0)
        return half_cosine(done) if self.anneal_strategy == "cos" else 1 - done
