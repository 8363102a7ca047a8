"""Validation, tests and predictions: passes over data that leave the training as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from xpnn.autograd import no_grad
from xpnn.backend import ArgumentError, is_array, namespace, random
from xpnn.data import DataLoader, Dataset
from xpnn.nn import Module
from xpnn.train.base import TrainerBase
from xpnn.train.limits import count_of, first_batches
from xpnn.train.tasks import inputs_of, raw, size_of, takes, target_of

EMPTY = "expects a loader with at least one batch, got an empty one"
_STEPS = {
    "validate": ("validation", "validation_step"),
    "sanity_check": ("validation", "validation_step"),
    "test": ("test", "test_step"),
    "predict": ("predict", "predict_step"),
}
_LIMITS = {
    "validate": "limit_val_batches",
    "sanity_check": "limit_val_batches",
    "test": "limit_test_batches",
    "predict": "limit_predict_batches",
}


class Evaluation(TrainerBase):
    """The part of a Trainer that evaluates."""

    def evaluate(self, loader: Iterable[Any]) -> dict[str, Any]:
        """The loss and metrics over all batches of a loader, in evaluation mode, as Python numbers.

        Random numbers drawn on the way are given back: validation does not change how training goes on.
        """
        expect_batches("evaluate", loader)
        self._supervise()
        return self._evaluate(loader, None)

    # -- a model and a loss

    def _evaluate(self, loader: Iterable[Any], count: int | None) -> dict[str, Any]:
        """The measures of a model and a loss over the first `count` batches."""
        loader = self._team.part_of(loader)
        meters, empty, before = self._meters.fresh(), True, self._stage
        stage = self._stage = self._new_stage("validate")
        evaluate = self._compiled.get("evaluate", self._forward)
        try:
            with evaluating(self._task.module):
                for batch in first_batches(loader, count):
                    batch = self._received(batch)
                    loss, outputs, logged = evaluate(batch)
                    size = size_of(batch)
                    meters.update(loss, outputs, target_of(batch), size)
                    stage.collect(logged, size)
                    self._check_interrupt()
                    empty = False
        finally:
            self._stage = before
        if not self._team.any(not empty):  # one process alone may have no part of a small batch
            raise _error(EMPTY)
        return meters.read(self._team) | stage.logged.epoch_measures(self._team)

    def _forward(self, batch: Any) -> tuple[Any, Any, dict[str, Any]]:
        """One batch of evaluation; may be compiled."""
        with self.precision.forward():
            loss, outputs = self._task.training(batch, 0)
        return loss.detach(), raw(outputs), self._stage.taken()

    def _predict(self, loader: Iterable[Any], count: int | None) -> Any:
        """The outputs of a model, joined along the first axis, as raw arrays."""
        with evaluating(self._task.module), self.precision.forward():
            module = self._task.module
            outputs = [
                raw(module(*inputs_of(self._received(batch)))) for batch in first_batches(loader, count)
            ]
        if not outputs:
            raise _error(EMPTY)
        if isinstance(outputs[0], tuple | list):
            return tuple(namespace(*parts).concat(list(parts)) for parts in zip(*outputs))
        return namespace(outputs[0]).concat(outputs)

    # -- a TrainingModule

    def _run_stage(
        self, name: str, loaders: Sequence[Any], count: int | None = None
    ) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Run one stage of a module over all loaders: their measures, and what the steps returned.

        Args:
            name: "validate", "sanity_check", "test" or "predict".
            count: how many batches; None goes by the Trainer's limit.
        """
        word, _ = _STEPS[name]
        before, stage = self._stage, self._new_stage(name)
        self._stage = stage
        outputs: list[list[Any]] = []
        try:
            with evaluating(self._task.module):
                self._both(f"on_{word}_start")
                self._both(f"on_{word}_epoch_start")
                for index, loader in enumerate(loaders):
                    if name != "predict":
                        loader = self._team.part_of(loader)
                    stage.suffix = f"/dataloader_idx_{index}" if len(loaders) > 1 else ""
                    limit = (
                        count_of(loader, getattr(self, _LIMITS[name]), _LIMITS[name])
                        if count is None
                        else count
                    )
                    outputs.append(self._run_loader(name, loader, limit, index))
                stage.suffix = ""
                self._both(f"on_{word}_epoch_end")
                stage.collect(stage.taken())
                measures = stage.logged.epoch_measures(self._team)
                if name != "sanity_check":
                    self.callback_metrics.update(measures)
                    self.progress_bar_metrics.update(stage.logged.shown(measures))
                    if name != "predict":
                        self._log(stage.logged.written(measures))
                self._both(f"on_{word}_end")
        finally:
            self._stage = before
        stage.logged.reset_metrics()
        return _by_loader(measures, len(loaders)), outputs

    def _run_loader(self, name: str, loader: Any, count: int | None, index: int) -> list[Any]:
        word, step_name = _STEPS[name]
        module, stage = self._task.module, self._stage
        step = getattr(module, step_name)
        extra = (index,) if takes_index(step) else ()
        found = []
        for number, batch in enumerate(first_batches(loader, count)):
            batch = self._received(batch, index)
            stage.batches = True
            self._both(f"on_{word}_batch_start", batch, number, index)
            with self.precision.forward():
                output = step(batch, number, *extra)
            self._both(f"on_{word}_batch_end", output, batch, number, index)
            stage.batches = False
            stage.collect(stage.taken(), size_of(batch))
            if name == "predict":
                found.append(output)
            self._check_interrupt()
        return found

    def _both(self, event: str, *args: Any) -> None:
        """An event of the callbacks and of the module."""
        self._call(event, self._callback_module, *args)
        self._task.hook(event, *args)

    # -- validation in the course of training

    def _has_validation(self) -> bool:
        limit = self.limit_val_batches
        return bool(self._val_loaders) and not (limit is not None and limit == 0)

    def _validate_within(self) -> dict[str, Any]:
        """The measures of a validation in the course of the training."""
        self._call("on_evaluation_start")
        try:
            if self.lightning_module is None:
                (loader,) = self._val_loaders
                found = self._evaluate(loader, count_of(loader, self.limit_val_batches, "limit_val_batches"))
                found = {f"val_{name}": value for name, value in found.items()}
                self.callback_metrics.update(found)
                self._log(found)
                return found
            by_loader, _ = self._run_stage("validate", self._val_loaders)
            return {name: value for measures in by_loader for name, value in measures.items()}
        finally:
            self._call("on_evaluation_end")

    def _check_sanity(self) -> None:
        """Validate on a few batches before the training, so that what is wrong there shows at once."""
        count = self.num_sanity_val_steps
        if not count or not self._has_validation() or self.lightning_module is None or self.batches:
            return
        limit = None if count < 0 else count
        limits = [
            count_of(loader, self.limit_val_batches, "limit_val_batches") for loader in self._val_loaders
        ]
        least = min([number for number in (*limits, limit) if number is not None], default=None)
        states = [
            loader.state_dict() if isinstance(loader, DataLoader) else None for loader in self._val_loaders
        ]
        self._call("on_sanity_check_start", self._callback_module)
        self._run_stage("sanity_check", self._val_loaders, least)
        self._call("on_sanity_check_end", self._callback_module)
        for loader, state in zip(self._val_loaders, states):
            if state is not None:
                loader.load_state_dict(state)


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluation mode, off the tape, with training modes and random numbers put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad(), random.fork_rng():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def takes_index(step: Any) -> bool:
    """Whether a step is written with `dataloader_idx`."""
    return takes(step, 3)


def expect_batches(method: str, loader: Any, several: bool = False) -> None:
    """Refuse what gives samples where batches belong, and what gives its batches only once."""
    if isinstance(loader, Dataset) or is_array(loader):
        raise _error(
            f"{method} expects batches, got a {type(loader).__name__}, which has single samples",
            "Wrap it: DataLoader(dataset, batch_size=32, shuffle=True), and arrays in a TensorDataset",
        )
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise _error(f"{method} expects an iterable of batches, got {type(loader).__name__}")
    if several and isinstance(loader, Iterator):
        raise _error(
            f"{method} expects batches for several epochs, got an iterator, which gives them once",
            "Give it a DataLoader, or a list of batches",
        )


def several_loaders(loaders: Any) -> list[Any]:
    """A loader, or several in a list, as a list; a list of batches is one loader."""
    if loaders is None:
        return []
    if isinstance(loaders, list | tuple) and loaders and all(_is_loader(part) for part in loaders):
        return list(loaders)
    return [loaders]


def _is_loader(value: Any) -> bool:
    """Whether a value is a loader, and no batch."""
    return isinstance(value, DataLoader) or (
        hasattr(value, "__iter__")
        and not isinstance(value, tuple | list | dict | str)
        and not is_array(value)
    )


def _by_loader(measures: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The measures of each loader; those of all of them are with the first."""
    if count <= 1:
        return [measures]
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for name, value in measures.items():
        index = name.rpartition("/dataloader_idx_")[2]
        found[int(index) if "/dataloader_idx_" in name else 0][name] = value
    return found


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="Trainer", hint=hint)
