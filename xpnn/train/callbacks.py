"""What can be hung into a training run: the base of callbacks, early stopping, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError, expect_state, is_array, is_count

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class Callback:
    """The base of callbacks: override what you need.

    A callback that counts or remembers returns that from `state_dict`, so that a resumed run goes on with
    it: JSON-ready, and arrays. `reset` forgets it, so that one object serves several runs.

    Attributes:
        order: callbacks of a higher order are called later.
    """

    order = 0

    def reset(self) -> None:
        """Forget what earlier runs have left; called before each `fit` that does not resume one."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch of a `fit`, and after a resumed run was loaded."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch, or the first after a resumption."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After each batch."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """After each epoch and its validation; `logs` has what the history got."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch; not after an interruption or an error."""

    def close(self, trainer: Trainer) -> None:
        """At the end of a `fit`, however it ends."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""


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
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.value: float | None = None

    def improves(self, trainer: Trainer, logs: dict[str, Any]) -> bool:
        """Whether the measure of this epoch is the best so far, which is then remembered."""
        name = self.monitor or trainer.monitored(logs)
        if name not in logs:
            raise ArgumentError(
                f"watches '{name}', which this run does not measure",
                subject="A callback",
                hint=f"There are: {', '.join(logs)}",
            )
        value, small = logs[name], self.mode == "min" or (self.mode == "auto" and _small_is_better(name))
        if math.isnan(value):
            return False
        gain = math.inf if self.value is None else self.value - value if small else value - self.value
        if gain > self.min_delta:
            self.value = value
            return True
        return False


class EarlyStopping(Callback):
    """End the run when a measure has not improved for `patience` epochs.

    Args:
        monitor: the measure; by default the trainer's, which is "val_loss" where there is validation.
        patience: epochs without an improvement that are let pass.
        min_delta, mode: see `Best`.
        restore_best: at the end of the run, give the model the weights of its best epoch.
    """

    def __init__(
        self,
        monitor: str | None = None,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.best = Best(monitor, mode, min_delta)
        self.patience = patience
        self.restore_best = restore_best
        self.reset()

    def reset(self) -> None:
        """Forget the best, its weights and how long ago it was."""
        self.best.value = None
        self.waited = 0
        self.best_epoch = 0
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Compare, and stop the trainer if patience is over."""
        if self.best.improves(trainer, logs):
            self.waited, self.best_epoch = 0, trainer.epoch
            if self.restore_best:
                self.weights = trainer.model.state_dict()
            return
        self.waited += 1
        if self.waited > self.patience:
            trainer.stop()

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights."""
        if self.weights is not None:
            trainer.model.load_state_dict(self.weights)

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
            best=_is_best,
            best_epoch=is_count,
            waited=is_count,
            weights=lambda weights: (
                weights is None
                or (isinstance(weights, dict) and all(is_array(array) for array in weights.values()))
            ),
        )


class ModelCheckpoint(Callback):
    """Save the run: `last.safetensors` after each epoch, `best.safetensors` after each improvement.

    Args:
        folder: where to; None is the trainer's `out`.
        monitor, mode: what "best" goes by (see `Best`).
        every_batches: save the last also after so many batches; None leaves it at the epochs.
    """

    order = 1  # after all callbacks whose state it saves

    def __init__(
        self,
        folder: str | Path | None = None,
        monitor: str | None = None,
        mode: str = "auto",
        every_batches: int | None = None,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.best = Best(monitor, mode)
        self.every_batches = every_batches

    def reset(self) -> None:
        """Forget the best value."""
        self.best.value = None

    def on_fit_start(self, trainer: Trainer) -> None:
        """See that there is a folder."""
        if self.folder is None and trainer.out is None:
            raise ArgumentError(
                "needs a folder", subject="ModelCheckpoint", hint="Give Trainer(..., out=...)"
            )

    def on_batch_end(self, trainer: Trainer) -> None:
        """Save the last, if it is time."""
        if self.every_batches and trainer.batches % self.every_batches == 0:
            self._save(trainer, "last")

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Save the last, and the best if it is that."""
        if self.best.improves(trainer, logs):
            self._save(trainer, "best")
        self._save(trainer, "last")

    def state_dict(self) -> dict[str, Any]:
        """The best value."""
        return {"best": self.best.value}

    def _save(self, trainer: Trainer, name: str) -> None:
        folder = trainer.out if self.folder is None else self.folder
        trainer.save(folder / f"{name}.safetensors")  # type: ignore[operator]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.best.value = state["best"]

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
        expect_state(state, "ModelCheckpoint", best=_is_best)


class HistoryFile(Callback):
    """Write the history to a JSONL file after each epoch.

    Args:
        path: the file; None is `history.jsonl` in the trainer's `out`.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = path

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """Write it anew, so that it never has epochs that a resumed run takes again."""
        path = self.path or (trainer.out and trainer.out / "history.jsonl")
        if path is not None:
            trainer.history.write(path)


def _is_best(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _small_is_better(name: str) -> bool:
    return "loss" in name or "error" in name
