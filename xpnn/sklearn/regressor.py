"""The regressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import optional_import
from xpnn.nn import Module
from xpnn.optim import LRScheduler, Optimizer
from xpnn.sklearn.estimator import NeuralEstimator
from xpnn.train import EarlyStopping
from xpnn.train.callbacks.base import Callback

RegressorMixin: Any = optional_import("sklearn.base", extra="sklearn").RegressorMixin


class NeuralRegressor(RegressorMixin, NeuralEstimator):
    """A network that predicts numbers, one or several for each sample, as an estimator of scikit-learn.

    Args, attributes: see `NeuralClassifier`; there are no classes. The network has an output for each number;
    for a single one the outputs may be of shape (N,) or (N, 1). Targets are not scaled: `StandardScaler`
    and `TransformedTargetRegressor` of scikit-learn do that.

    >>> X = [[0.0], [1.0], [2.0], [3.0]] * 5
    >>> regressor = NeuralRegressor([16], lr=0.02, random_state=0).fit(X, [2.0, 1.0, 0.0, -1.0] * 5)
    >>> bool(abs(regressor.predict([[1.5]])[0] - 0.5) < 0.2)
    True
    """

    _target_shape: tuple[int, ...]

    def __init__(
        self,
        module: Sequence[int] | Module | Callable[..., Module] = (100,),
        *,
        loss: str | Callable[..., Tensor] = "mse_loss",
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralRegressor:
        """Train on samples X of shape (N, ...) and targets y (N,) or (N, K); the weights (N,) are >= 0."""
        X, y = self._checked(X, y, reset=True, multi_output=True, y_numeric=True)
        if self.warm_start and hasattr(self, "module_") and y.shape[1:] != self._target_shape:
            raise self._error(f"expects targets as in the last fit to go on, got them of shape {y.shape}")
        self._target_shape = y.shape[1:]
        self._fit(X, self._encoded(y), self._weights(sample_weight, X))
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralRegressor:
        """Train for one epoch, without early stopping."""
        first = not hasattr(self, "module_")
        X, y = self._checked(X, y, reset=first, multi_output=True, y_numeric=True)
        if not first and y.shape[1:] != self._target_shape:
            raise self._error(f"expects targets as in the first call, got them of shape {y.shape}")
        self._target_shape = y.shape[1:]
        self._fit_further(X, self._encoded(y), self._weights(sample_weight, X))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predictions, of shape (N,) or (N, K) as the targets."""
        outputs = self._apply(X)
        return outputs.reshape(len(outputs), *self._target_shape)

    def _encoded(self, y: Any) -> np.ndarray:
        return y.reshape(len(y), -1).astype("float64", copy=False)

    def _outputs(self) -> int:
        return int(np.prod(self._target_shape))

    def _fitting(self, outputs: Tensor) -> Tensor:
        if outputs.ndim == 1 and self._outputs() == 1:
            outputs = outputs.reshape(-1, 1)
        if outputs.ndim != 2 or outputs.shape[1] != self._outputs():
            raise self._shape_error(f"(N, {self._outputs()})", outputs)
        return outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
