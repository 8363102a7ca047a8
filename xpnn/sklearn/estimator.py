"""What the estimators have in common: their parameters, the network, and how it is trained and applied."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    ShapeError,
    asarray,
    backend_of,
    device_of,
    get_default_dtype,
    is_array,
    is_floating,
    optional_import,
    random,
    to_numpy,
    use_backend,
)
from xpnn.data import DataLoader, TensorDataset
from xpnn.nn import Module
from xpnn.nn.parameter import UninitializedParameter
from xpnn.optim import LRScheduler, Optimizer
from xpnn.train import EarlyStopping, History, Trainer
from xpnn.train.callbacks.base import Callback
from xpnn.train.evaluation import evaluating
from xpnn.train.names import loss_named, optimizer_class
from xpnn.train.tasks import takes

BaseEstimator: Any = optional_import("sklearn.base", extra="sklearn").BaseEstimator
model_selection = optional_import("sklearn.model_selection", extra="sklearn")
validation = optional_import("sklearn.utils.validation", extra="sklearn")

_SEEDS = 2**31 - 1


class NeuralEstimator(BaseEstimator):
    """The base of NeuralClassifier and NeuralRegressor; `NeuralClassifier` says what the parameters are.

    A subclass says how many outputs the network has, what a target is, and what the outputs mean.
    """

    module_: Module
    optimizer_: Optimizer
    schedule_: LRScheduler | None
    history_: History
    random_state_: Any

    def __init__(
        self,
        module: Sequence[int] | Module | Callable[..., Module] = (100,),
        *,
        loss: str | Callable[..., Tensor],
        optimizer: str | Callable[..., Optimizer] = "adam",
        lr: float | None = 1e-3,
        weight_decay: float | None = None,
        schedule: Callable[[Optimizer], LRScheduler] | None = None,
        batch_size: int = 64,
        epochs: int = 100,
        early_stopping: bool | EarlyStopping = False,
        validation_fraction: float = 0.1,
        callbacks: Sequence[Callback] = (),
        trainer_params: dict[str, Any] | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.trainer_params = trainer_params
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # -- what a subclass says

    def _encoded(self, y: Any) -> np.ndarray:
        """The targets that the loss is given."""
        raise NotImplementedError

    def _outputs(self) -> int:
        """How many outputs the network has."""
        raise NotImplementedError

    def _fitting(self, outputs: Tensor) -> Tensor:
        """The outputs of the network as the loss is given them, or a ShapeError."""
        raise NotImplementedError

    def _measures(self, outputs: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """What is measured beside the loss."""
        return {}

    # -- training

    def _fit(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> None:
        """Train a new network, or go on with the old one where that is wanted, for `epochs` epochs."""
        if not weight.any():
            raise self._error(
                "expects some weight above zero, got sample_weight or class_weight of zeros only"
            )
        if not (self.warm_start and hasattr(self, "module_")):
            self._begin(X)
        X, y, weight = _present(X, y, weight)
        held_out = None
        callbacks = [copy.deepcopy(callback) for callback in self.callbacks]
        if self.early_stopping:
            X, held_X, y, held_y, weight, held_weight = model_selection.train_test_split(
                *(X, y, weight),
                test_size=self.validation_fraction,
                random_state=self._seed(),
                stratify=y if y.dtype.kind == "i" else None,
            )
            held_out = (held_X, held_y, held_weight)
            stopping = self.early_stopping
            callbacks.append(EarlyStopping(patience=10) if stopping is True else copy.deepcopy(stopping))
        self._train((X, y, weight), held_out, callbacks, self.epochs)

    def _fit_further(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> None:
        """Train for one epoch."""
        if not hasattr(self, "module_"):
            self._begin(X)
        if weight.any():
            self._train(_present(X, y, weight), None, [], 1)

    def _begin(self, X: np.ndarray) -> None:
        """Make the network, its optimizer and its schedule."""
        self.random_state_ = validation.check_random_state(self.random_state)
        self.history_ = History()
        with random.fork_rng():
            random.manual_seed(self._seed())
            self.module_ = self._new_module(X)
            with evaluating(self.module_), self._where():
                self._fitting(self.module_(self._as_input(X[:1])))  # lazy layers find their sizes
        options = {"lr": self.lr, "weight_decay": self.weight_decay}
        make = optimizer_class(self.optimizer) if isinstance(self.optimizer, str) else self.optimizer
        self.optimizer_ = make(
            self.module_.parameters(),
            **{name: value for name, value in options.items() if value is not None},
        )
        self.schedule_ = None if self.schedule is None else self.schedule(self.optimizer_)

    def _new_module(self, X: np.ndarray) -> Module:
        """The network: made of its hidden sizes or by a factory, or a copy of the one that was given."""
        if isinstance(self.module, Module):
            return copy.deepcopy(self.module)
        if callable(self.module):
            made = self.module(X.shape[1], self._outputs()) if takes(self.module, 2) else self.module()
            if not isinstance(made, Module):
                raise self._error(f"expects module to make a Module, got {type(made).__name__}")
            return made
        sizes = [X.shape[1], *self.module, self._outputs()]
        layers: list[Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs, dtype=X.dtype.name), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    def _train(
        self, data: tuple[np.ndarray, ...], held_out: Any, callbacks: list[Callback], epochs: int
    ) -> None:
        loss = loss_named(self.loss) if isinstance(self.loss, str) else self.loss
        if "reduction" not in inspect.signature(loss).parameters:
            raise self._error(
                "expects loss as a function of outputs, targets and reduction=, as those of "
                "xpnn.functional are: samples have weights"
            )
        with random.fork_rng(), self._where():
            random.manual_seed(self._seed())
            trainer = Trainer(
                self.module_,
                self.optimizer_,
                step=functools.partial(self._step, loss),
                scheduler=self.schedule_,
                callbacks=callbacks,
                progress=bool(self.verbose),
                **(self.trainer_params or {}),
            )
            loader = self._loader(data, shuffle=True)
            trainer.fit(loader, None if held_out is None else self._loader(held_out), epochs=epochs)
        self.module_.eval()
        done = len(self.history_.get("epoch", ()))
        for row in trainer.history.rows():
            self.history_.add({**row, "epoch": done + row["epoch"]})

    def _loader(self, data: tuple[np.ndarray, ...], shuffle: bool = False) -> DataLoader:
        X, y, weight = data
        mean_one = weight / weight.mean()  # so that the mean of a batch is on average that of all
        return DataLoader(TensorDataset(X, y, mean_one), batch_size=self.batch_size, shuffle=shuffle)

    def _step(self, loss: Callable[..., Tensor], model: Module, batch: Sequence[Tensor]) -> dict[str, Any]:
        """The weighted loss of a batch, and what is measured beside it."""
        x, target, weight = map(self._cast, batch)
        outputs = self._fitting(model(x))
        each = loss(outputs, target, reduction="none").reshape(weight.shape[0], -1).mean(1)
        return {"loss": (each * weight).mean(), **self._measures(outputs, target, weight)}

    # -- application

    def _apply(self, X: Any) -> np.ndarray:
        """The outputs of the trained network."""
        validation.check_is_fitted(self)
        X = self._checked(X)
        with evaluating(self.module_), self._where():
            batches = [X[first : first + self.batch_size] for first in range(0, len(X), self.batch_size)]
            return np.concatenate(
                [to_numpy(self._fitting(self.module_(self._as_input(batch))).array) for batch in batches]
            )

    # -- inputs

    def _checked(self, X: Any, y: Any = None, reset: bool = False, **options: Any) -> Any:
        """X, or X and y, as NumPy arrays after scikit-learn's checks, X floating."""
        if y is not None:
            options["y"] = _on_the_host(y)
        elif reset:
            options["y"] = None  # refused with scikit-learn's words
        return validation.validate_data(
            self,
            _on_the_host(X),
            dtype=("float64", "float32"),
            allow_nd=True,
            reset=reset,
            **options,
        )

    def _weights(self, sample_weight: Any, X: np.ndarray) -> np.ndarray:
        """A weight for each sample, 1 if there are none."""
        weight = np.ones(len(X))
        if sample_weight is not None:
            given = validation.check_array(
                _on_the_host(sample_weight), dtype="float64", ensure_2d=False, input_name="sample_weight"
            )
            if given.shape not in ((), weight.shape):
                raise self._error(f"expects sample_weight of shape {weight.shape}, got {given.shape}")
            weight = weight * given
        if (weight < 0).any():
            raise self._error(
                "expects weights of at least 0. Negative values in data passed to `sample_weight`"
            )
        return weight

    def _as_input(self, X: np.ndarray) -> Tensor:
        return self._cast(Tensor(asarray(X)))

    def _cast(self, array: Tensor) -> Tensor:
        """A floating Tensor in the element type that the network computes in."""
        if not is_floating(array):
            return array
        first = self._like()
        return array.to(get_default_dtype() if first is None else first.dtype)

    def _where(self) -> Any:
        """Arrays are made where the network is."""
        first = self._like()
        if first is None:
            return nullcontext()
        return use_backend(backend_of(first.array).name, device_of(first.array))

    def _like(self) -> Tensor | None:
        """A parameter of the network; None if it has none yet."""
        known = (p for p in self.module_.parameters() if not isinstance(p, UninitializedParameter))
        return next(known, None)

    def _seed(self) -> int:
        return int(self.random_state_.randint(_SEEDS))

    def _error(self, problem: str) -> ArgumentError:
        return ArgumentError(problem, subject=type(self).__name__)

    def _shape_error(self, expected: str, outputs: Tensor) -> ShapeError:
        return ShapeError(
            f"expects a network with outputs of shape {expected} for {outputs.shape[0]} samples, "
            f"got {tuple(outputs.shape)}",
            subject=type(self).__name__,
        )


def _present(X: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, ...]:
    """The samples that have a weight: one of weight 0 is as if it were not there."""
    present = weight > 0
    return (X, y, weight) if present.all() else (X[present], y[present], weight[present])


def _on_the_host(array: Any) -> Any:
    """An array of another library as NumPy's; all else as it is."""
    return to_numpy(array) if is_array(array) else array
