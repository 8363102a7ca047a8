"""Ending a run when it no longer gets better."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from xpnn.backend import expect_state, is_array, is_count
from xpnn.functional.arguments import check_flags
from xpnn.train.arguments import check_count, check_number, optional
from xpnn.train.callbacks.base import Callback
from xpnn.train.callbacks.best import Best, is_best

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class EarlyStopping(Callback):
    """End the run when a measure has not improved for `patience` epochs.

    Args:
        monitor: the measure; by default the trainer's, which is "val_loss" where there is validation.
        patience: the run ends with the epoch that is the so many-th in a row without an improvement, as Keras
            and Lightning count; 0 ends it with the first one, as 1 does.
        min_delta, mode: see `Best`.
        restore_best: at the end of the run, give the model the weights of its best epoch.
        verbose: say why the run was ended.
        strict: whether an epoch without the measure is an error; else it does not count.
        check_finite: end the run when the measure is NaN or infinite; False counts it as no improvement.
        stopping_threshold: end the run when the measure is better than this.
        divergence_threshold: end the run when it is worse than this.
        check_on_train_epoch_end, log_rank_zero_only: have no effect: an epoch is looked at when it is whole.
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
        *,
        verbose: bool = False,
        strict: bool = True,
        check_finite: bool = False,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        subject = "EarlyStopping"
        check_flags(
            subject, restore_best=restore_best, verbose=verbose, strict=strict, check_finite=check_finite
        )
        self.best = Best(monitor, mode, abs(check_number(min_delta, "min_delta", subject)))
        self.patience = check_count(patience, "patience", subject, 0)
        self.restore_best = restore_best
        self.verbose = verbose
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = optional(check_number, stopping_threshold, "stopping_threshold", subject)
        self.divergence_threshold = optional(
            check_number, divergence_threshold, "divergence_threshold", subject
        )
        self.reset()

    def reset(self) -> None:
        """Forget the best, its weights and how long ago it was."""
        self.best.value = None
        self.waited = 0
        self.best_epoch = self.stopped_epoch = 0
        self.weights: dict[str, Any] | None = None

    @property
    def best_score(self) -> float | None:
        """The best value so far."""
        return self.best.value

    @property
    def wait_count(self) -> int:
        """Epochs since the best one."""
        return self.waited

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Compare, and stop the trainer if patience is over."""
        name = self.best.monitor or trainer.monitored(logs)
        if not self.strict and name not in logs:
            return
        if self.best.improves(trainer, logs):
            self.waited, self.best_epoch = 0, trainer.epoch
            if self.restore_best:
                self.weights = copy.deepcopy(trainer.lightning_module_or_model.state_dict())
        else:
            self.waited += 1
        reason = self._reason(name, logs[name])
        if reason:
            self.stopped_epoch = trainer.epoch
            trainer.stop()
            if self.verbose:
                trainer.print(f"stopped after epoch {trainer.epoch}: {reason}")

    def _reason(self, name: str, value: float) -> str:
        """Why the run is to end; empty if it goes on."""
        sign = 1.0 if self.best.is_small(name) else -1.0
        if self.check_finite and not math.isfinite(value):
            return f"{name} is {value}"
        if self.stopping_threshold is not None and sign * value < sign * self.stopping_threshold:
            return f"{name} {value:.4g} has reached {self.stopping_threshold:.4g}"
        if self.divergence_threshold is not None and sign * value > sign * self.divergence_threshold:
            return f"{name} {value:.4g} is beyond {self.divergence_threshold:.4g}"
        if self.waited >= max(self.patience, 1):
            return f"{name} was best in epoch {self.best_epoch}"
        return ""

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights."""
        if self.weights is not None:
            trainer.lightning_module_or_model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """The best so far, with its weights, and how long ago it was."""
        return {
            "best": self.best.value,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.best.value, self.best_epoch = state["best"], state["best_epoch"]
        self.waited, self.weights = state["waited"], state["weights"]

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
        expect_state(
            state,
            "EarlyStopping",
            best=is_best,
            best_epoch=is_count,
            waited=is_count,
            weights=lambda weights: (
                weights is None
                or (isinstance(weights, dict) and all(is_array(array) for array in weights.values()))
            ),
        )
