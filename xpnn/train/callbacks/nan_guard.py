"""Stopping at the first number that is none, with the name of the layer that made it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.backend import AnomalyError, is_array, namespace
from xpnn.functional.arguments import check_flags
from xpnn.train.arguments import check_count
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class NaNGuard(Callback):
    """Raise an AnomalyError when a loss or gradient is NaN or infinite, before the step that would spread it.

    The error names the layer: the first whose output is not finite when the batch is run once more, or else
    the last whose gradient is not. The checkpoints stay those of before, and the model keeps the weights that
    it had, so that the run can be resumed with other settings.

    Args:
        every_n_steps: after how many optimizer steps it looks; each reads the device.
        check_gradients: look at the gradients, and not at the loss alone.
    """

    order = -1  # before what would write such a number down

    def __init__(self, every_n_steps: int = 1, check_gradients: bool = True) -> None:
        self.every_n_steps = check_count(every_n_steps, "every_n_steps", "NaNGuard")
        check_flags("NaNGuard", check_gradients=check_gradients)
        self.check_gradients = check_gradients
        self._batch: Any = None
        self._loss: Any = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Keep the batch, to run it once more."""
        self._batch = batch
        trainer.forbid_compiled("NaNGuard")

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Any) -> None:
        """Keep the loss."""
        self._loss = loss.detach()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Look at the loss and the gradients."""
        if (trainer.global_step + 1) % self.every_n_steps or trainer.precision.scaler is not None:
            return  # a scaler leaves such steps out itself
        loss = float(self._loss.item()) if self._loss is not None else 0.0
        bad = [
            name
            for name, parameter in pl_module.named_parameters()
            if self.check_gradients and parameter.grad is not None and not _is_finite(parameter.grad.array)
        ]
        if math.isfinite(loss) and not bad:
            return
        what = (
            f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient of '{bad[-1]}' is not finite"
        )
        place = self._layer(trainer, pl_module)
        if not place and bad:
            place = f"; the last layer with such a gradient is '{bad[-1].rpartition('.')[0] or bad[-1]}'"
        last = self._last(trainer)
        raise AnomalyError(
            f"{what} in epoch {trainer.epoch + 1}, batch {trainer.batch + 1}{place}",
            hint="Lower the learning rate or clip the gradients; the step was not taken"
            + (f", go on from {last} with fit(..., resume=True)" if last else ""),
        )

    def close(self, trainer: Trainer) -> None:
        """Let go of the batch."""
        self._batch = self._loss = None

    def _layer(self, trainer: Trainer, module: Any) -> str:
        """Where the first output that is not finite is made, in words; empty if all are."""
        found: list[str] = []
        handles = []

        def hook_for(path: str) -> Any:
            def hook(layer: Any, args: Any, output: Any) -> None:
                outputs = output if isinstance(output, tuple | list) else (output,)
                if not found and any(is_array(y) and not _is_finite(y) for y in outputs):
                    found.append(
                        f"; the first layer to return such a number is {type(layer).__name__} '{path}'"
                    )

            return hook

        for path, layer in module.named_modules():
            if path and not list(layer.children()):
                handles.append(layer.register_forward_hook(hook_for(path)))
        try:
            trainer.run_again(self._batch)
        finally:
            for handle in handles:
                handle.remove()
        return found[0] if found else ""

    def _last(self, trainer: Trainer) -> Path | None:
        last = None if trainer.out is None else trainer.out / "last.safetensors"
        return last if last is not None and last.exists() else None


def _is_finite(array: Any) -> bool:
    array = array.detach().array if hasattr(array, "detach") else array
    xp = namespace(array)
    return not xp.isdtype(array.dtype, "real floating") or bool(xp.all(xp.isfinite(array)))
