"""A network together with how it is trained: the steps, the optimizers, what is logged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, CheckpointError, device_of
from xpnn.io import read_checkpoint
from xpnn.nn import Module
from xpnn.optim import LRScheduler, Optimizer
from xpnn.train.data_module import GivesData
from xpnn.train.hyperparameters import KeepsHyperParameters
from xpnn.train.logged import LogOptions, checked_name, reduction_named, scalar

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class TrainingModule(KeepsHyperParameters, GivesData, Module):
    """A Module that says how it is trained, for `Trainer.fit(module, loader)`.

    Define `training_step` and `configure_optimizers`; all else has a default. Names and arguments are
    Lightning's.

    Attributes:
        automatic_optimization: set it to False to call `manual_backward` and the optimizers' `step` in
            `training_step` oneself, as two optimizers in turn need it.
        example_input_array: an input, for the summary and the graph; or None.
        trainer: the Trainer that runs it. logger, loggers: the Trainer's.
        current_epoch, global_step: epochs completed, and optimizer steps taken.
        hparams: see `save_hyperparameters`.

    >>> from xpnn import nn, optim, train
    >>> class Line(train.TrainingModule):
    ...     def __init__(self, lr=0.1):
    ...         super().__init__()
    ...         self.save_hyperparameters()
    ...         self.layer = nn.Linear(1, 1)
    ...     def training_step(self, batch, batch_idx):
    ...         x, y = batch
    ...         loss = nn.functional.mse_loss(self.layer(x), y)
    ...         self.log("train_loss", loss, on_epoch=True, on_step=False)
    ...         return loss
    ...     def configure_optimizers(self):
    ...         return optim.SGD(self.parameters(), lr=self.hparams.lr)
    >>> trainer = train.Trainer(max_epochs=3, enable_progress_bar=False, enable_model_summary=False)
    >>> history = trainer.fit(Line(), [(Tensor([[1.0]]), Tensor([[2.0]]))])
    >>> history["train_loss"][0] > history["train_loss"][-1]
    True
    """

    automatic_optimization: bool = True
    example_input_array: Any = None
    strict_loading: bool = True
    _trainer: Trainer | None = None

    # -- what a subclass defines

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """The loss of a batch, a 0-d Tensor; or a dict with it as "loss"; or None to skip the batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no training_step()")

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """What is measured on a batch of validation; with several loaders it is given dataloader_idx."""
        raise NotImplementedError(f"{type(self).__name__} defines no validation_step()")

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        """What is measured on a batch of the test."""
        raise NotImplementedError(f"{type(self).__name__} defines no test_step()")

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        """The predictions for a batch: by default `self(batch)`, of the first entry of a tuple or list."""
        return self(batch[0] if isinstance(batch, tuple | list) else batch)

    def configure_optimizers(self) -> Any:
        """The optimizers and schedules.

        Returns: an optimizer; several in a list; a pair of lists, (optimizers, schedules); or a dict, or a
        tuple of such, with the keys "optimizer" and "lr_scheduler". A schedule is an LRScheduler, or a dict
        with the keys "scheduler", "interval" ("epoch", or "step"), "frequency", "monitor", "strict" and
        "name". None for a module that trains without.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no configure_optimizers()")

    def configure_callbacks(self) -> Any:
        """Callbacks that join the Trainer's, and replace those of the same class."""
        return []

    # -- hooks

    def on_fit_start(self) -> None:
        """Before all of `fit`."""

    def on_fit_end(self) -> None:
        """After all of `fit`."""

    def on_train_start(self) -> None:
        """After the sanity check, before the first epoch."""

    def on_train_end(self) -> None:
        """After the last epoch."""

    def on_train_epoch_start(self) -> None:
        """Before the batches of an epoch."""

    def on_train_epoch_end(self) -> None:
        """After the batches of an epoch and its validation."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Before a batch; -1 skips the rest of the epoch."""
        return None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a batch; `outputs` is what `training_step` returned, off the tape."""

    def on_validation_start(self) -> None:
        """Before a validation."""

    def on_validation_end(self) -> None:
        """After a validation, when it has been logged."""

    def on_validation_epoch_start(self) -> None:
        """Before the batches of a validation."""

    def on_validation_epoch_end(self) -> None:
        """After the batches of a validation: the place to log measures of all of it."""

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a batch of a validation."""

    def on_validation_batch_end(
        self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """After a batch of a validation."""

    def on_test_start(self) -> None:
        """Before a test."""

    def on_test_end(self) -> None:
        """After a test."""

    def on_test_epoch_start(self) -> None:
        """Before the batches of a test."""

    def on_test_epoch_end(self) -> None:
        """After the batches of a test."""

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a batch of a test."""

    def on_test_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a batch of a test."""

    def on_predict_start(self) -> None:
        """Before a prediction."""

    def on_predict_end(self) -> None:
        """After a prediction."""

    def on_predict_epoch_start(self) -> None:
        """Before the batches of a prediction."""

    def on_predict_epoch_end(self) -> None:
        """After the batches of a prediction."""

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """After a batch of a prediction."""

    def on_before_zero_grad(self, optimizer: Any) -> None:
        """Before the gradients are dropped."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Before the gradients are computed."""

    def on_after_backward(self) -> None:
        """When the gradients are there."""

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """When all gradients of a step are there, unscaled, before they are clipped."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add values to the dict of a checkpoint: JSON-ready, and arrays."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the values that `on_save_checkpoint` has added."""

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """The batch where the model is: a DataLoader gives it there already."""
        return batch

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch before the steps are given it."""
        return batch

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Change a batch that is on the device: augmentation of whole batches."""
        return batch

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients before a step: by default as the Trainer was told."""
        self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """Take a step; the closure computes the loss and its gradients, and has to be called."""
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        """Drop the gradients."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Any) -> None:
        """Let a schedule go on; `metric` is what it monitors, or None."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    # -- what the steps call

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log a number: to the progress bar, the loggers, the history, and for what callbacks monitor.

        Args:
            name: of the measure; with both on_step and on_epoch there are name_step and name_epoch, too.
            value: a number, an array or Tensor of one element, or a Metric of `xpnn.metrics`, which is
                computed and begun anew at the end of the epoch. It is not read on the host here.
            prog_bar: show it on the progress bar.
            logger: give it to the loggers; True unless said otherwise.
            on_step: log the value of this batch; by default in training steps.
            on_epoch: log the mean of the epoch; by default everywhere else.
            reduce_fx: "mean", weighted by `batch_size`; "sum", "min" or "max".
            add_dataloader_idx: with several loaders, append "/dataloader_idx_N" to the name.
            batch_size: the number of samples that the value is the mean of; by default the batch's.
            enable_graph, sync_dist, sync_dist_group, metric_attribute, rank_zero_only: have no effect.

        Raises: ArgumentError for what is no number, and outside of a Trainer's steps and hooks.
        """
        checked_name(name, value)
        stage = self.trainer.logging_stage
        in_step = stage.by_step
        options = LogOptions(
            on_step=in_step if on_step is None else on_step,
            on_epoch=(not in_step) if on_epoch is None else on_epoch,
            prog_bar=prog_bar,
            logger=True if logger is None else logger,
            reduce_fx=reduction_named(reduce_fx),
            batch_size=batch_size,
            suffix=stage.suffix if add_dataloader_idx else "",
        )
        if on_step and not in_step and not stage.batches:
            raise ArgumentError(
                f"cannot log '{name}' by step here, at the end of an epoch",
                subject="log",
                hint="on_epoch=True",
            )
        stage.take(name, scalar(value), options)

    def log_dict(self, dictionary: Mapping[str, Any], prog_bar: bool = False, **options: Any) -> None:
        """Log several numbers, with the options of `log`."""
        for name, value in dictionary.items():
            self.log(name, value, prog_bar, **options)

    def print(self, *args: Any, **options: Any) -> None:
        """Print without breaking the progress bar."""
        self.trainer.print(*args, **options)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """`loss.backward()`, with the loss scaled where mixed precision asks for it."""
        self.trainer.backward(loss, *args, **kwargs)

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """The optimizer, or the list of them, for optimization by hand."""
        found = self.trainer.managed_optimizers if use_pl_optimizer else self.trainer.optimizers
        return found[0] if len(found) == 1 else found

    def lr_schedulers(self) -> Any:
        """The schedule, the list of them, or None. With optimization by hand one steps them oneself."""
        found = [schedule.scheduler for schedule in self.trainer.lr_scheduler_configs]
        return (found[0] if len(found) == 1 else found) if found else None

    def clip_gradients(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients of an optimizer's parameters, by "norm" or "value"; None does not clip."""
        self.trainer.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def toggle_optimizer(self, optimizer: Any) -> None:
        """Let only the parameters of one optimizer require gradients, until `untoggle_optimizer`."""
        mine = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        before: dict[int, tuple[Any, bool]] = {}
        for other in self.trainer.optimizers:
            for _, parameter in other.named_parameters():
                before.setdefault(id(parameter), (parameter, parameter.requires_grad))
        for key, (parameter, wanted) in before.items():
            parameter.requires_grad = wanted and key in mine
        object.__setattr__(self, "_toggled", before)

    def untoggle_optimizer(self, optimizer: Any = None) -> None:
        """Undo `toggle_optimizer`."""
        for parameter, wanted in vars(self).get("_toggled", {}).values():
            parameter.requires_grad = wanted
        object.__setattr__(self, "_toggled", {})

    def freeze(self) -> None:
        """Let no parameter require a gradient, in evaluation mode."""
        self.requires_grad_(False)
        self.eval()

    def unfreeze(self) -> None:
        """Let all parameters require gradients, in training mode."""
        self.requires_grad_(True)
        self.train()

    # -- where it is

    @property
    def trainer(self) -> Trainer:
        """The Trainer that runs the module. Raises: ArgumentError if there is none."""
        if self._trainer is None:
            raise ArgumentError(
                "is not attached to a Trainer",
                subject=type(self).__name__,
                hint="Call it from steps and hooks that Trainer.fit, validate, test or predict runs",
            )
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        object.__setattr__(self, "_trainer", trainer)

    @property
    def fabric(self) -> None:
        """None: there is no Fabric here."""

    @property
    def current_epoch(self) -> int:
        """Epochs completed; 0 without a Trainer."""
        return 0 if self._trainer is None else self._trainer.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps taken; 0 without a Trainer."""
        return 0 if self._trainer is None else self._trainer.global_step

    @property
    def global_rank(self) -> int:
        """Which of several processes this one is; 0 without a Trainer."""
        return 0 if self._trainer is None else self._trainer.global_rank

    @property
    def local_rank(self) -> int:
        """Which of those on this machine; 0 without a Trainer."""
        return 0 if self._trainer is None else self._trainer.local_rank

    @property
    def logger(self) -> Any:
        """The Trainer's first logger, or None."""
        return None if self._trainer is None else self._trainer.logger

    @property
    def loggers(self) -> list[Any]:
        """The Trainer's loggers."""
        return [] if self._trainer is None else self._trainer.loggers

    @property
    def device(self) -> Any:
        """The device of the first parameter."""
        return next((device_of(parameter.array) for parameter in self.parameters()), None)

    @property
    def dtype(self) -> Any:
        """The element type of the first parameter."""
        return next((parameter.dtype for parameter in self.parameters()), None)

    @property
    def on_gpu(self) -> bool:
        """Whether the parameters are on a GPU."""
        return "cuda" in str(self.device).lower()

    # -- checkpoints

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | os.PathLike[str],
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build a module with the hyper-parameters of a checkpoint, and load its weights.

        Args:
            checkpoint_path: a file that a Trainer has saved.
            map_location: a device to put the module on, or None.
            strict: whether the names of all weights have to fit.
            kwargs: arguments of the constructor, in place of those in the file.
            hparams_file, weights_only: have no effect: hyper-parameters are in the file, which holds no code.

        Raises: CheckpointError if the file does not fit, or lacks an argument of the constructor.
        """
        checkpoint = read_checkpoint(checkpoint_path)
        given = {**checkpoint.config.get("hparams", {}), **kwargs}
        names = constructor_names(cls)
        if names is not None:
            given = {name: value for name, value in given.items() if name in names or name in kwargs}
        try:
            module = cls(**given)
        except TypeError as error:
            left_out = checkpoint.config.get("hparams_left_out", [])
            raise CheckpointError(
                f"cannot build {cls.__name__} of what '{checkpoint_path}' has: {error}",
                subject="load_from_checkpoint",
                hint="Give the arguments that are missing as keywords"
                + (f"; the file could not hold {', '.join(map(repr, left_out))}" if left_out else ""),
            ) from error
        if strict is None:
            strict = module.strict_loading
        if "model" not in checkpoint.states:
            raise CheckpointError("has no state of 'model'", subject=f"'{checkpoint_path}'")
        module.on_load_checkpoint(dict(checkpoint.extra.get("module", {})))
        if strict:
            checkpoint.restore(random=False, model=module)
        else:
            module.load_state_dict(checkpoint.states["model"], strict=False)
        return module if map_location is None else module.to(device=map_location)

    def __getstate__(self) -> dict[str, Any]:
        """Copies belong to no Trainer."""
        return {name: value for name, value in vars(self).items() if name != "_trainer"}


def constructor_names(cls: type) -> set[str] | None:
    """The arguments that a class takes by name; None if it takes any."""
    code = getattr(vars(cls).get("__init__"), "__code__", None)
    if code is None or code.co_flags & 0x08:  # **kwargs
        return None
    return set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


def defines(module: Any, name: str, base: type) -> bool:
    """Whether a class overrides a method of a base class, or an object brings its own."""
    return getattr(type(module), name, None) is not getattr(base, name) or name in vars(module)


def is_optimizers(value: Any) -> bool:
    """Whether a value is an iterable of optimizers."""
    return isinstance(value, Iterable) and all(isinstance(part, Optimizer) for part in value)
