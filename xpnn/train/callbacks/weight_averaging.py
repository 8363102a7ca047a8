"""Averages of the weights along the run: exponential ones, and those of stochastic weight averaging."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError, CheckpointError, expect_state
from xpnn.functional.arguments import check_flags
from xpnn.optim import SWALR
from xpnn.train.arguments import check_count, check_function, check_number, optional
from xpnn.train.averaging import AveragedModel, get_ema_multi_avg_fn, update_bn
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class WeightAveraging(Callback):
    """Keep an average of the weights; validate with it, and leave it in the model at the end of the run.

    Checkpoints hold the weights that are trained, and the average as this callback's state.

    Args:
        use_buffers: average floating-point buffers, too, instead of copying them.
        avg_fn, multi_avg_fn: see `AveragedModel`; without both, all weights count alike.

    Override `should_update` to choose the steps and epochs whose weights are taken in.

    Attributes:
        averaged: the AveragedModel, once there is one.
    """

    def __init__(
        self,
        use_buffers: bool = True,
        avg_fn: Callable[..., Any] | None = None,
        multi_avg_fn: Callable[..., Any] | None = None,
    ) -> None:
        subject = type(self).__name__
        check_flags(subject, use_buffers=use_buffers)
        check_function(avg_fn, "avg_fn", subject, or_none=True)
        check_function(multi_avg_fn, "multi_avg_fn", subject, or_none=True)
        if avg_fn is not None and multi_avg_fn is not None:
            raise ArgumentError("expects at most one of avg_fn and multi_avg_fn, got both", subject=subject)
        self.use_buffers = use_buffers
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.reset()

    def reset(self) -> None:
        """Forget the average."""
        self.averaged: AveragedModel | None = None
        self._loaded: dict[str, Any] | None = None
        self._kept: dict[str, Any] | None = (
            None  # the weights of the run, while the average takes their place
        )
        self._step = 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after this step, or after this epoch, are taken in."""
        return step_idx is not None

    def on_fit_start(self, trainer: Trainer) -> None:
        """Make the average, or take over that of a checkpoint."""
        self._step = trainer.global_step
        model = trainer.lightning_module_or_model
        if self.averaged is None:
            self.averaged = AveragedModel(
                model, avg_fn=self.avg_fn, multi_avg_fn=self.multi_avg_fn, use_buffers=self.use_buffers
            )
        if self._loaded is not None:
            self.averaged.load_state_dict(self._loaded)
            self._loaded = None

    def on_batch_end(self, trainer: Trainer) -> None:
        """Take in the weights of a step."""
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            if self.should_update(step_idx=trainer.global_step - 1):
                self._update(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Take in the weights of an epoch."""
        if self.should_update(epoch_idx=trainer.epoch):
            self._update(trainer)

    def on_evaluation_start(self, trainer: Trainer) -> None:
        """Put the average in the place of the weights."""
        if self._has_average():
            self._kept = copy.deepcopy(trainer.lightning_module_or_model.state_dict())
            trainer.lightning_module_or_model.load_state_dict(self._average())

    def on_evaluation_end(self, trainer: Trainer) -> None:
        """Put the weights back."""
        if self._kept is not None:
            trainer.lightning_module_or_model.load_state_dict(self._kept)
            self._kept = None

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the average in the model, if the run has come to its end."""
        if self._has_average() and not trainer.is_cut:
            trainer.lightning_module_or_model.load_state_dict(self._average())

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"averaged": dict(self.averaged.state_dict()) if self._has_average() else None}  # type: ignore[union-attr]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self._loaded = state["averaged"]
        self.averaged = None

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
        expect_state(
            state, type(self).__name__, averaged=lambda found: found is None or isinstance(found, dict)
        )

    def _has_average(self) -> bool:
        return self.averaged is not None and int(self.averaged.n_averaged.item()) > 0

    def _average(self) -> dict[str, Any]:
        assert self.averaged is not None
        return self.averaged.module.state_dict()

    def _update(self, trainer: Trainer) -> None:
        assert self.averaged is not None
        self.averaged.update_parameters(trainer.lightning_module_or_model)


class EMAWeightAveraging(WeightAveraging):
    """An exponential moving average of the weights.

    Args:
        use_buffers: see `WeightAveraging`.
        decay: of the average, in [0, 1].
        update_every_n_steps: after how many steps weights are taken in.
        update_starting_at_step, update_starting_at_epoch: the first step or epoch with which it begins.
    """

    def __init__(
        self,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
    ) -> None:
        super().__init__(use_buffers, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.decay = decay
        subject = "EMAWeightAveraging"
        self.update_every_n_steps = check_count(update_every_n_steps, "update_every_n_steps", subject)
        self.update_starting_at_step = optional(
            check_count, update_starting_at_step, "update_starting_at_step", subject, 0
        )
        self.update_starting_at_epoch = optional(
            check_count, update_starting_at_epoch, "update_starting_at_epoch", subject, 0
        )
        self._epoch = 0

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Note the epoch."""
        self._epoch = trainer.epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after this step are taken in."""
        if step_idx is None or step_idx % self.update_every_n_steps:
            return False
        begun = self.update_starting_at_step is not None and step_idx >= self.update_starting_at_step
        epoch = self.update_starting_at_epoch is not None and self._epoch >= self.update_starting_at_epoch
        free = self.update_starting_at_step is None and self.update_starting_at_epoch is None
        return begun or epoch or free


class StochasticWeightAveraging(WeightAveraging):
    """From some epoch on, anneal to a constant learning rate, and average the weights of each epoch.

    Args:
        swa_lrs: the learning rate $\\eta_s$, one or one for each group.
        swa_epoch_start: the epoch with which it begins, from 1; or that part of all epochs.
        annealing_epochs, annealing_strategy: of `optim.SWALR`.
        use_buffers, avg_fn: see `WeightAveraging`.

    At the end of the run the running statistics of batch norms are found anew, in one pass over the data.

    See: Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization".
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
        avg_fn: Callable[..., Any] | None = None,
        use_buffers: bool = False,
    ) -> None:
        if not (isinstance(swa_epoch_start, int) and swa_epoch_start >= 1) and not (
            isinstance(swa_epoch_start, float) and 0 <= swa_epoch_start <= 1
        ):
            raise ArgumentError(
                "expects swa_epoch_start as an integer >= 1 or a float in [0, 1], got "
                f"{swa_epoch_start!r:.60}",
                subject=type(self).__name__,
            )
        super().__init__(use_buffers, avg_fn)
        subject = "StochasticWeightAveraging"
        for rate in swa_lrs if isinstance(swa_lrs, list | tuple) else [swa_lrs]:
            check_number(rate, "swa_lrs", subject, 0.0)
        if annealing_strategy not in ("cos", "linear"):
            raise ArgumentError(
                f"expects annealing_strategy as 'cos' or 'linear', got {annealing_strategy!r:.60}",
                subject=subject,
            )
        self.swa_lrs = swa_lrs
        self.swa_epoch_start = swa_epoch_start
        self.annealing_epochs = check_count(annealing_epochs, "annealing_epochs", subject, 0)
        self.annealing_strategy = annealing_strategy

    def reset(self) -> None:
        """Forget the average and the schedule."""
        super().reset()
        self._schedule: Any = None
        self._schedule_state: dict[str, Any] | None = None
        self._start = 0

    def on_fit_start(self, trainer: Trainer) -> None:
        """Find the epoch to begin with."""
        super().on_fit_start(trainer)
        start = self.swa_epoch_start
        self._start = start - 1 if isinstance(start, int) else int(max(trainer.epochs, 0) * start)
        if self._schedule_state is not None:
            self._begin(trainer)
            self._schedule.load_state_dict(self._schedule_state)
            self._schedule_state = None

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Begin to anneal."""
        if self._schedule is None and trainer.epoch >= self._start:
            self._begin(trainer)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether the weights after this epoch are taken in."""
        return epoch_idx is not None and epoch_idx >= self._start

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Let the schedule go on, which takes the place of the run's own."""
        if self._schedule is not None:
            self._schedule.step()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the average in the model, with statistics of its own."""
        super().on_fit_end(trainer)
        if self._has_average() and not trainer.is_cut:
            update_bn(trainer.train_dataloader, trainer.lightning_module_or_model)

    def close(self, trainer: Trainer) -> None:
        """Leave the rates to the run's own schedules again, also after an error."""
        trainer.pauses_schedules = False

    def state_dict(self) -> dict[str, Any]:
        """The average and the schedule."""
        schedule = None if self._schedule is None else self._schedule.state_dict()
        return {**super().state_dict(), "schedule": schedule}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        super().load_state_dict(state)
        self._schedule, self._schedule_state = None, state["schedule"]

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
        super().check_state_dict(state)
        if state.get("schedule") is not None and not isinstance(state["schedule"], dict):
            raise CheckpointError("cannot take the state of its schedule", subject=type(self).__name__)

    def _begin(self, trainer: Trainer) -> None:
        trainer.pauses_schedules = True
        self._schedule = SWALR(
            trainer.optimizers[0], self.swa_lrs, self.annealing_epochs, self.annealing_strategy
        )
