"""The base of callbacks: what can be hung into a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class Callback:
    """The base of callbacks: override what you need.

    A callback that counts or remembers returns that from `state_dict`, so that a resumed run goes on with
    it: JSON-ready, and arrays. `reset` forgets it, so that one object serves several runs.

    The events below `close` have Lightning's names and arguments; `pl_module` is the TrainingModule, or the
    model. (`on_fit_start` and `on_fit_end` may be written with `pl_module`, too.)

    Attributes:
        order: callbacks of a higher order are called later.
        prints: whether its `print` writes around a progress bar.
        writes: whether it only writes or shows something, which of several processes the first one does.
    """

    order = 0
    prints = False
    writes = False

    def reset(self) -> None:
        """Forget what earlier runs have left; called before each `fit` that does not resume one."""

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first epoch of a `fit`, and after a resumed run was loaded."""

    def on_epoch_start(self, trainer: Trainer) -> None:
        """Before the first batch of an epoch, or the first after a resumption."""

    def on_batch_end(self, trainer: Trainer) -> None:
        """After each batch."""

    def on_evaluation_start(self, trainer: Trainer) -> None:
        """Before a validation in the course of the training."""

    def on_evaluation_end(self, trainer: Trainer) -> None:
        """After a validation in the course of the training, also one that failed."""

    def on_epoch_end(self, trainer: Trainer, logs: dict[str, Any]) -> None:
        """After each epoch and its validation; `logs` has what the history got."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last epoch; not after an interruption or an error."""

    def close(self, trainer: Trainer) -> None:
        """At the end of a `fit`, however it ends."""

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Before a stage: "fit", "validate", "test" or "predict"."""

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """After a stage, however it ends."""

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """After an error or an interruption."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the sanity check."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the sanity check."""

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the first epoch."""

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the last epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the batches of an epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the batches of an epoch and its validation."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> int | None:
        """Before a batch; -1 skips the rest of the epoch."""
        return None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a batch."""

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before a validation."""

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After a validation."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the batches of a validation."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the batches of a validation."""

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a batch of a validation."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a batch of a validation."""

    def on_test_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before a test."""

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After a test."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the batches of a test."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the batches of a test."""

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a batch of a test."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a batch of a test."""

    def on_predict_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before a prediction."""

    def on_predict_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After a prediction."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before the batches of a prediction."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """After the batches of a prediction."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """After a batch of a prediction."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Before the gradients are dropped."""

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Any) -> None:
        """Before the gradients are computed."""

    def on_after_backward(self, trainer: Trainer, pl_module: Any) -> None:
        """When the gradients of a batch are there."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """When all gradients of a step are there, before they are clipped."""

    def print(self, *args: Any, **options: Any) -> None:
        """Print a line; a progress bar does it around itself."""
        print(*args, **options)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""
