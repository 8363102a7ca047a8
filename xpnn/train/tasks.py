"""What the loop does with a batch: by a model, an optimizer and a loss, or as a TrainingModule says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xpnn.backend import ArgumentError, is_array, is_tensor
from xpnn.nn import Module
from xpnn.optim import Optimizer
from xpnn.train.logged import LogOptions
from xpnn.train.module import TrainingModule
from xpnn.train.optimization import ManagedOptimizer, Schedule, taken_apart
from xpnn.train.structure import map_arrays

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class Supervised:
    """A model that is given the inputs of a batch, and a loss of its outputs and the target.

    Args:
        trainer: whose `model`, `optimizer`, `loss`, `scheduler` and `forward` it goes by.
    """

    is_automatic = True

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    @property
    def module(self) -> Module:
        """The model."""
        assert self.trainer.model is not None
        return self.trainer.model

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizer."""
        return [] if self.trainer.optimizer is None else [self.trainer.optimizer]

    @property
    def schedules(self) -> list[Schedule]:
        """The schedule, if there is one."""
        if self.trainer.scheduler is None:
            return []
        return [Schedule(self.trainer.scheduler, self.trainer.scheduler_interval.replace("batch", "step"))]

    def training(self, batch: Any, index: Any) -> tuple[Any, Any]:
        """The loss of a batch, and the outputs that are measured."""
        return self.trainer.forward(batch)

    def take_step(self, optimizer: Optimizer, closure: Callable[[], Any], index: Any) -> None:
        """An optimizer step with the gradients that the closure computes."""
        self.trainer.step_optimizer(optimizer, closure)

    def clip(self, optimizer: Optimizer) -> None:
        """Clip the gradients, if that is wanted."""
        self.trainer.clip_gradients(optimizer)

    def zero_grad(self, optimizer: Optimizer, index: Any) -> None:
        """Drop the gradients."""
        optimizer.zero_grad()

    def step_schedule(self, schedule: Schedule, metric: Any) -> None:
        """Let a schedule go on."""
        if metric is None:
            schedule.scheduler.step()
        else:
            schedule.scheduler.step(metric)

    def hook(self, name: str, *args: Any) -> Any:
        """A model of this kind has no hooks."""
        return None


class ByModule:
    """A TrainingModule, which says itself what its steps are.

    Args:
        trainer: that runs it.
        module: the module.
        configure: whether its optimizers are wanted.
    """

    def __init__(self, trainer: Trainer, module: TrainingModule, configure: bool) -> None:
        self.trainer = trainer
        self.module = module
        self.optimizers: list[Optimizer] = []
        self.schedules: list[Schedule] = []
        if configure:
            self.optimizers, self.schedules = taken_apart(module.configure_optimizers())
            if len(self.optimizers) > 1 and self.is_automatic:
                raise ArgumentError(
                    "expects one optimizer, got several: which loss is whose?",
                    subject=type(module).__name__,
                    hint="Set self.automatic_optimization = False in __init__, and in training_step call "
                    "self.optimizers(), self.manual_backward(loss), and step() and zero_grad() of each",
                )

    @property
    def is_automatic(self) -> bool:
        """Whether the Trainer takes the optimizer's steps."""
        return self.module.automatic_optimization

    def training(self, batch: Any, index: Any) -> tuple[Any, Any]:
        """The loss of a batch, or None, and what `training_step` returned, off the tape."""
        result = self.module.training_step(batch, index)
        loss = result.get("loss") if isinstance(result, dict) else result
        if isinstance(result, dict) and "loss" not in result and self.is_automatic:
            raise self._error("expects training_step to return a dict with 'loss', got one without", "")
        if loss is not None and not is_tensor(loss):
            raise self._error(
                f"expects training_step to return the loss as a Tensor, a dict with 'loss', or None, got "
                f"{type(loss).__name__}",
                "Is a return missing, or an item() too many?",
            )
        return loss, map_arrays(detached, result)

    def take_step(self, optimizer: Optimizer, closure: Callable[[], Any], index: Any) -> None:
        """An optimizer step as the module takes it."""
        self.module.optimizer_step(self.trainer.epoch, index, self._managed(optimizer), closure)

    def clip(self, optimizer: Optimizer) -> None:
        """Clip the gradients as the module does."""
        self.module.configure_gradient_clipping(
            self._managed(optimizer), self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        )

    def zero_grad(self, optimizer: Optimizer, index: Any) -> None:
        """Drop the gradients as the module does."""
        self.module.on_before_zero_grad(optimizer)
        self.module.optimizer_zero_grad(self.trainer.epoch, index, optimizer)

    def step_schedule(self, schedule: Schedule, metric: Any) -> None:
        """Let a schedule go on as the module does."""
        self.module.lr_scheduler_step(schedule.scheduler, metric)

    def hook(self, name: str, *args: Any) -> Any:
        """Call one of the module's hooks."""
        return getattr(self.module, name)(*args)

    def _managed(self, optimizer: Optimizer) -> ManagedOptimizer:
        return ManagedOptimizer(optimizer, self.trainer)

    def _error(self, problem: str, hint: str) -> ArgumentError:
        return ArgumentError(problem, subject=type(self.module).__name__, hint=hint)


Task = Supervised | ByModule


def by_step_function(trainer: Trainer, step: Callable[[Any, Any], Any], batch: Any) -> tuple[Any, Any]:
    """The loss that a step function gives; its further measures are logged.

    Args:
        step: `step(model, batch)`, which returns the loss, or a dict of measures with it as "loss".
    """
    result = step(trainer.model, batch)
    if not isinstance(result, dict):
        result = {"loss": result}
    if not is_tensor(result.get("loss")):
        raise ArgumentError(
            "expects a step function to return the loss as a Tensor, or a dict with it as 'loss', got "
            f"{type(result.get('loss')).__name__}",
            subject="Trainer",
        )
    stage = trainer.logging_stage
    for name, value in result.items():
        if name != "loss":
            stage.take(name, detached(value), LogOptions(on_step=False, on_epoch=True))
    return result["loss"], None


def inputs_of(batch: Any) -> tuple[Any, ...]:
    """What the model is given: all entries but the last; a batch of one entry is input alone."""
    if isinstance(batch, tuple | list):
        return tuple(batch[:-1]) if len(batch) > 1 else tuple(batch)
    return (batch,)


def target_of(batch: Any) -> Any:
    """The last entry; a batch of one entry is its own target."""
    return batch[-1] if isinstance(batch, tuple | list) else batch


def size_of(batch: Any) -> int:
    """The number of samples: the length of the first array; 1 if there is none."""
    while not is_array(batch):
        if isinstance(batch, dict) and batch:
            batch = next(iter(batch.values()))
        elif isinstance(batch, tuple | list) and batch:
            batch = batch[0]
        else:
            return 1
    return batch.shape[0] if batch.ndim else 1


def raw(outputs: Any) -> Any:
    """Outputs as raw arrays, off the tape."""
    return map_arrays(lambda array: array.array if is_tensor(array) else array, outputs)


def detached(value: Any) -> Any:
    """A Tensor off the tape; all else as it is."""
    return value.detach() if is_tensor(value) else value


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function takes so many arguments by position."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) >= count
