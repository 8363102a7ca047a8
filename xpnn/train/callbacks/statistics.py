"""Gradients and activations of a run in numbers and histograms: do they vanish, or explode?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnn.backend import DTypeError, is_array, namespace, to_numpy
from xpnn.functional.arguments import check_flags
from xpnn.nn import Module
from xpnn.train.arguments import check_count
from xpnn.train.callbacks.base import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class GradientStatistics(Callback):
    """Log the norm of each parameter's gradient, that of all, and the size of a step against the weights.

    Args:
        every_n_steps: after how many optimizer steps; each reads the device.
        histograms: give loggers that take them the histograms, too.

    The measures are "grad_norm", "grad_norm/layer.weight" and "update_ratio/layer.weight", the norm of what
    the last step changed over that of the parameter.

    Attributes:
        rows: what was logged, with the step in each.
    """

    def __init__(self, every_n_steps: int = 50, histograms: bool = False) -> None:
        self.every_n_steps = check_count(every_n_steps, "every_n_steps", "GradientStatistics")
        check_flags("GradientStatistics", histograms=histograms)
        self.histograms = histograms
        self.reset()

    def reset(self) -> None:
        """Forget what was logged."""
        self.rows: list[dict[str, Any]] = []
        self._before: dict[str, Any] = {}
        self._norms: dict[str, Any] = {}

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        """Take the norms, if it is time; they are read after the step."""
        if (trainer.global_step + 1) % self.every_n_steps:
            return
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is None:
                continue
            self._norms[name] = _norm(parameter.grad.array)
            xp = namespace(parameter.array)
            self._before[name] = xp.asarray(parameter.array, copy=True)
            if self.histograms:
                _log_histogram(trainer, f"gradients/{name}", parameter.grad.array)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Log what was taken before the step."""
        if not self._norms:
            return
        parameters = dict(trainer.lightning_module_or_model.named_parameters())
        row: dict[str, Any] = {"grad_norm": sum(float(norm) ** 2 for norm in self._norms.values()) ** 0.5}
        for name, norm in self._norms.items():
            row[f"grad_norm/{name}"] = float(norm)
            before = self._before[name]
            size = float(_norm(before))
            row[f"update_ratio/{name}"] = (
                float(_norm(parameters[name].array - before)) / size if size else 0.0
            )
        self._norms, self._before = {}, {}
        self.rows.append({"step": trainer.global_step, **row})
        trainer.log_now(row)


class ActivationStatistics(Callback):
    """Log mean, standard deviation and share of zeros of what each layer without parts returns in training.

    Args:
        every_n_batches: after how many batches; each reads the device.
        histograms: give loggers that take them the histograms, too.
        kinds: classes of the layers that are looked at; all by default.

    The measures are "activation/layer/mean", "/std" and "/zeros".

    Attributes:
        rows: what was logged, with the batch in each.
    """

    def __init__(
        self, every_n_batches: int = 50, histograms: bool = False, kinds: tuple[type[Module], ...] = (Module,)
    ) -> None:
        subject = "ActivationStatistics"
        kinds = (kinds,) if isinstance(kinds, type) else kinds
        if not isinstance(kinds, tuple | list) or not all(isinstance(kind, type) for kind in kinds):
            raise DTypeError(f"expects kinds as classes of layers, got {kinds!r:.60}", subject=subject)
        check_flags(subject, histograms=histograms)
        self.every_n_batches = check_count(every_n_batches, "every_n_batches", subject)
        self.histograms = histograms
        self.kinds = tuple(kinds)
        self._handles: list[Any] = []
        self._looks = False
        self.reset()

    def reset(self) -> None:
        """Forget what was logged."""
        self.rows: list[dict[str, Any]] = []
        self._found: dict[str, Any] = {}

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Look at this batch, if it is time."""
        if (trainer.batches + 1) % self.every_n_batches:
            return
        for path, module in pl_module.named_modules():
            if path and not list(module.children()) and isinstance(module, self.kinds):
                self._handles.append(module.register_forward_hook(self._hook(path)))

    def on_batch_end(self, trainer: Trainer) -> None:
        """Log what was seen."""
        self._remove()
        if not self._found:
            return
        row: dict[str, Any] = {}
        for path, output in self._found.items():
            xp = namespace(output)
            array = xp.astype(output, xp.float32)
            row[f"activation/{path}/mean"] = float(xp.mean(array))
            row[f"activation/{path}/std"] = float(xp.std(array))
            row[f"activation/{path}/zeros"] = float(xp.mean(xp.astype(array == 0, xp.float32)))
            if self.histograms:
                _log_histogram(trainer, f"activations/{path}", array)
        self._found = {}
        self.rows.append({"batch": trainer.batches, **row})
        trainer.log_now(row)

    def close(self, trainer: Trainer) -> None:
        """Look at no layer any more."""
        self._remove()

    def _hook(self, path: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            if is_array(first):
                self._found[path] = first.detach().array if hasattr(first, "detach") else first

        return hook

    def _remove(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def _norm(array: Any) -> Any:
    """The Euclidean norm, in float32 at least, not read on the host yet."""
    xp = namespace(array)
    wide = xp.astype(array, xp.float64 if array.dtype == xp.float64 else xp.float32)
    return xp.sqrt(xp.sum(wide * wide))


def _log_histogram(trainer: Trainer, name: str, array: Any) -> None:
    for logger in trainer.loggers:
        if hasattr(logger, "log_histogram"):
            logger.log_histogram(name, to_numpy(array), trainer.global_step)
