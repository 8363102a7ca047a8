"""What a confusion matrix shows beyond precision and recall: overlap, and agreement beyond chance."""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError, Array, default_dtype, device_of, namespace, refusing
from xpnn.metrics.classification import confusion_matrix, counts_of, ratio

_WEIGHTS = (None, "linear", "quadratic")


@refusing
def fbeta(
    predictions: Array,
    targets: Array,
    beta: float,
    average: str | None = "macro",
    num_classes: int | None = None,
) -> Array:
    """The F measure in which recall counts `beta` times as much as precision.

    F = (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), and 0 for a class that is neither true nor predicted.

    Args:
        predictions, targets, average, num_classes: as for `precision`.
        beta: above 0; 1 gives `f1`.

    Raises: ArgumentError unless beta > 0.

    >>> import numpy as np
    >>> round(float(fbeta(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), beta=2.0)), 4)
    0.7323
    """
    return fbeta_of(confusion_matrix(predictions, targets, num_classes), beta, average)


@refusing
def iou(
    predictions: Array, targets: Array, average: str | None = "macro", num_classes: int | None = None
) -> Array:
    """Intersection over union of a class, TP / (TP + FP + FN); the macro average is the mean IoU.

    Args:
        predictions, targets, average, num_classes: as for `precision`. A class that is neither true nor
            predicted has 0.

    >>> import numpy as np
    >>> iou(np.array([0, 1, 1]), np.array([0, 0, 1]), average="none").tolist()
    [0.5, 0.5]
    """
    return iou_of(confusion_matrix(predictions, targets, num_classes), average)


@refusing
def dice(
    predictions: Array, targets: Array, average: str | None = "macro", num_classes: int | None = None
) -> Array:
    """The Dice coefficient of a class, 2 TP / (2 TP + FP + FN): `f1` by the name of segmentation.

    Args:
        predictions, targets, average, num_classes: as for `precision`.

    >>> import numpy as np
    >>> round(float(dice(np.array([0, 1, 1]), np.array([0, 0, 1]))), 4)
    0.6667
    """
    return fbeta_of(confusion_matrix(predictions, targets, num_classes), 1.0, average)


@refusing
def matthews_corrcoef(predictions: Array, targets: Array, num_classes: int | None = None) -> Array:
    """The correlation of predicted and true classes, from -1 to 1; 0 where one of them is all one class.

    Args:
        predictions, targets, num_classes: as for `confusion_matrix`.

    See: Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation coefficient".

    >>> import numpy as np
    >>> round(float(matthews_corrcoef(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))), 4)
    0.5774
    """
    return matthews_corrcoef_of(confusion_matrix(predictions, targets, num_classes))


@refusing
def cohen_kappa(
    predictions: Array, targets: Array, weights: str | None = None, num_classes: int | None = None
) -> Array:
    """How far predictions and targets agree beyond chance: 1 - observed / expected disagreement.

    Args:
        predictions, targets, num_classes: as for `confusion_matrix`.
        weights: of a disagreement of classes i and j: None counts each as 1, "linear" as |i - j|,
            "quadratic" as (i - j)^2.

    Returns: NaN where both are all of one class.

    Raises: ArgumentError for other weights.

    See: Cohen (1960), "A coefficient of agreement for nominal scales".

    >>> import numpy as np
    >>> round(float(cohen_kappa(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))), 4)
    0.5
    """
    return cohen_kappa_of(confusion_matrix(predictions, targets, num_classes), weights)


def fbeta_of(matrix: Array, beta: float, average: str | None = "macro") -> Array:
    """The F measure that a confusion matrix (C, C) shows."""
    if not beta > 0:
        raise ArgumentError(f"expects a positive beta, got {beta!r}", subject="fbeta")
    hits, predicted, true = counts_of(matrix)
    square = beta * beta
    return ratio((1 + square) * hits, square * true + predicted, average, true)


def iou_of(matrix: Array, average: str | None = "macro") -> Array:
    """The intersection over union that a confusion matrix (C, C) shows."""
    hits, predicted, true = counts_of(matrix)
    return ratio(hits, predicted + true - hits, average, true)


def matthews_corrcoef_of(matrix: Array) -> Array:
    """The correlation that a confusion matrix (C, C) shows."""
    hits, predicted, true = _shares(matrix)
    xp = namespace(hits)
    covariance = xp.sum(hits) - xp.sum(predicted * true)
    spread = (1 - xp.sum(predicted * predicted)) * (1 - xp.sum(true * true))
    product = xp.sqrt(xp.maximum(spread, xp.zeros_like(spread)))
    nothing = product == 0
    return xp.where(
        nothing, xp.zeros_like(product), covariance / xp.where(nothing, xp.ones_like(product), product)
    )


def cohen_kappa_of(matrix: Array, weights: str | None = None) -> Array:
    """The agreement beyond chance that a confusion matrix (C, C) shows."""
    if weights not in _WEIGHTS:
        raise ArgumentError(f"expects weights as one of {_WEIGHTS}, got {weights!r}", subject="cohen_kappa")
    _, predicted, true = _shares(matrix)
    xp = namespace(predicted)
    shares = _floats(matrix)
    shares = shares / xp.sum(shares)
    number = xp.arange(matrix.shape[0], dtype=shares.dtype, device=device_of(matrix))
    apart = xp.abs(number[:, None] - number)
    if weights is None:
        apart = xp.astype(apart > 0, shares.dtype)
    elif weights == "quadratic":
        apart = apart * apart
    expected = xp.sum(apart * true[:, None] * predicted)
    nowhere = xp.full_like(expected, float("nan"))
    return 1 - xp.sum(apart * shares) / xp.where(expected == 0, nowhere, expected)


def _shares(matrix: Array) -> tuple[Any, Any, Any]:
    """The parts of all samples, for each class: right, predicted and true."""
    hits, predicted, true = counts_of(matrix)
    total = namespace(hits).sum(true)
    return hits / total, predicted / total, true / total


def _floats(matrix: Array) -> Array:
    xp = namespace(matrix)
    return xp.astype(matrix, default_dtype(xp))
