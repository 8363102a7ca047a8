"""The classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import optional_import
from xpnn.functional import softmax
from xpnn.nn import Module
from xpnn.optim import LRScheduler, Optimizer
from xpnn.sklearn.estimator import NeuralEstimator
from xpnn.train import EarlyStopping
from xpnn.train.callbacks.base import Callback

ClassifierMixin: Any = optional_import("sklearn.base", extra="sklearn").ClassifierMixin
class_weights = optional_import("sklearn.utils.class_weight", extra="sklearn")
multiclass = optional_import("sklearn.utils.multiclass", extra="sklearn")


class NeuralClassifier(ClassifierMixin, NeuralEstimator):
    """A network that tells classes apart, as an estimator of scikit-learn.

    Args:
        module: the network, from X to one score for each class. A sequence holds the sizes of hidden layers,
            with ReLUs behind them; it gives a network of the element type of X. A function or class makes a
            Module of nothing, or of the numbers of features and outputs. Of a Module a copy is trained, which
            starts from its weights. Modules are given X in the element type of their parameters.
        loss: the name of a loss of `xpnn.functional`, or a function of outputs, targets and `reduction=`.
        optimizer: the name of one, or a function or class that makes one of the parameters.
        lr, weight_decay: the optimizer's; None leaves its own default.
        schedule: a function that makes a learning-rate schedule of the optimizer; it steps after each epoch.
        batch_size: samples per batch.
        epochs: passes over the data in a `fit`.
        early_stopping: hold out a part of the samples, end when the loss on them has not improved for ten
            epochs, and take the weights of the best one. An `EarlyStopping` says so in detail.
        validation_fraction: the part that is held out.
        callbacks: see `Trainer`; each `fit` uses copies of them.
        trainer_params: further arguments of the `Trainer`: `{"max_grad_norm": 1.0}`.
        class_weight: weights of the classes by label, or "balanced", which makes all classes count the same.
        warm_start: whether `fit` goes on with the network of the last one.
        random_state: determines the initial weights, the order of the samples and dropout.
        verbose: above 0 shows progress.

    Attributes:
        classes_: the labels.
        module_, optimizer_, schedule_: what was trained.
        history_: what each epoch measured, a `History`.
        n_features_in_, feature_names_in_: as in scikit-learn.

    The loss is the mean over the samples, weighted by `sample_weight` and `class_weight`; a sample of weight
    0 is as if it were not there. Arrays of all libraries are accepted; predictions are NumPy arrays. The
    network lives on the backend that was current when it was made.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 5, ["low", "low", "high", "high"] * 5
    >>> classifier = NeuralClassifier([8], lr=0.05, random_state=0).fit(X, y)
    >>> classifier.predict([[0.5], [2.5]]).tolist()
    ['low', 'high']
    """

    classes_: np.ndarray

    def __init__(
        self,
        module: Sequence[int] | Module | Callable[..., Module] = (100,),
        *,
        loss: str | Callable[..., Tensor] = "cross_entropy",
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
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            module,
            loss=loss,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,
            batch_size=batch_size,
            epochs=epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            callbacks=callbacks,
            trainer_params=trainer_params,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralClassifier:
        """Train on samples X of shape (N, ...) and labels y (N,); the weights (N,) are >= 0."""
        X, y = self._checked(X, y, reset=True)
        classes = _classes_of(y)
        if self.warm_start and hasattr(self, "module_") and not np.array_equal(classes, self.classes_):
            raise self._error(
                f"expects the classes of the last fit, {self.classes_}, to go on, got {classes}"
            )
        self.classes_ = classes
        weight = self._weights(sample_weight, X) * class_weights.compute_sample_weight(self.class_weight, y)
        self._fit(X, self._encoded(y), weight)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NeuralClassifier:
        """Train for one epoch, without early stopping.

        Args:
            classes: all labels that will come; the first call needs them.
        """
        first = not hasattr(self, "module_")
        X, y = self._checked(X, y, reset=first)
        _classes_of(y)
        if first and classes is None:
            raise self._error("expects all classes at the first call of partial_fit")
        if classes is not None:
            classes = np.unique(classes)
            if not first and not np.array_equal(classes, self.classes_):
                raise self._error(f"expects the classes of the first call, {self.classes_}, got {classes}")
            self.classes_ = classes
        if self.class_weight == "balanced":
            raise self._error(
                "expects class_weight as a dict for partial_fit, got 'balanced': how many samples of each "
                "class will come is not known"
            )
        weight = self._weights(sample_weight, X) * class_weights.compute_sample_weight(self.class_weight, y)
        self._fit_further(X, self._encoded(y), weight)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities (N, K) of the classes, in the order of `classes_`."""
        return np.asarray(softmax(self._apply(X), 1))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable labels (N,)."""
        best = self._apply(X).argmax(1)
        return self.classes_[best]

    def _encoded(self, y: Any) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise self._error(f"expects labels among the classes {self.classes_}, got {unknown}")
        return np.searchsorted(self.classes_, y)

    def _outputs(self) -> int:
        return len(self.classes_)

    def _fitting(self, outputs: Tensor) -> Tensor:
        if outputs.ndim != 2 or outputs.shape[1] != self._outputs():
            raise self._shape_error(f"(N, {self._outputs()}), a score for each class,", outputs)
        return outputs

    def _measures(self, outputs: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        right = (outputs.argmax(1) == target).to(weight.dtype)
        return {"accuracy": (right * weight).mean()}


def _classes_of(y: np.ndarray) -> np.ndarray:
    """The labels in y, if these are such."""
    multiclass.check_classification_targets(y)
    return np.unique(y)
