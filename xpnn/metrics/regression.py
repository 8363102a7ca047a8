"""Measures of predicted numbers, and of a language model's probabilities.

Predictions and targets have one shape; (N, D) is D outputs of N samples. Sums are taken in float32 at least.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, DTypeError, ShapeError, is_floating, is_half, namespace, refusing
from xpnn.metrics.classification import raw


@refusing
def mean_squared_error(predictions: Array, targets: Array, weights: Array | None = None) -> Array:
    """The mean of (prediction - target)^2 over all elements.

    Args:
        weights: (N,), the weight of each sample, or None.

    >>> import numpy as np
    >>> float(mean_squared_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    2.0
    """
    total, count = squared_errors(predictions, targets, weights)
    return total / count


@refusing
def mean_absolute_error(predictions: Array, targets: Array, weights: Array | None = None) -> Array:
    """The mean of |prediction - target| over all elements; `weights` as for `mean_squared_error`.

    >>> import numpy as np
    >>> float(mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0])))
    1.0
    """
    total, count = absolute_errors(predictions, targets, weights)
    return total / count


@refusing
def r2(predictions: Array, targets: Array, weights: Array | None = None) -> Array:
    """The part of the targets' variance that is predicted: 1 - sum (p - t)^2 / sum (t - mean t)^2.

    Of several outputs (N, D) the mean. Targets that are all equal give 1 if they are met, else 0.

    Args:
        weights: (N,), the weight of each sample, or None.

    Returns: NaN for fewer than two samples.

    >>> import numpy as np
    >>> float(r2(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0])))
    0.5
    """
    return r2_of(spread_of(predictions, targets, weights))


@refusing
def perplexity(scores: Array, targets: Array, ignore_index: int = -100) -> Array:
    """How many classes a model is undecided between: e to the mean cross entropy of its scores.

    Args:
        scores: (N, C) or (N, C, d1, ...), unnormalised or log-probabilities.
        targets: class numbers, shaped as the scores without C.
        ignore_index: targets that do not count.

    >>> import numpy as np
    >>> float(perplexity(np.zeros((2, 4)), np.array([0, 3])).round(4))
    4.0
    """
    total, count = surprise(scores, targets, ignore_index)
    return namespace(total).exp(total / count)


def squared_errors(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """The weighted sum of squared errors, and the sum of the weights of all elements."""
    error, weight = _errors(predictions, targets, weights)
    xp = namespace(error)
    return xp.sum(weight * error * error), xp.sum(weight)


def absolute_errors(predictions: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """The weighted sum of absolute errors, and the sum of the weights of all elements."""
    error, weight = _errors(predictions, targets, weights)
    xp = namespace(error)
    return xp.sum(weight * xp.abs(error)), xp.sum(weight)


Spread = tuple[Any, Any, Any, Any, int]  # weight, mean, squared distance from it, squared error; samples


def spread_of(predictions: Array, targets: Array, weights: Array | None = None) -> Spread:
    """What `r2` needs of a batch, for each output; see `merged`."""
    error, weight = _errors(predictions, targets, weights)
    xp = namespace(error)
    true = xp.astype(raw(targets), error.dtype)
    total = xp.sum(weight, axis=0)
    mean = xp.sum(weight * true, axis=0) / xp.where(total == 0, xp.ones_like(total), total)
    distance = true - mean
    return (
        total,
        mean,
        xp.sum(weight * distance * distance, axis=0),
        xp.sum(weight * error * error, axis=0),
        error.shape[0],
    )


def merged(one: Spread, other: Spread) -> Spread:
    """What two batches together have: means and squares are joined without cancelling out."""
    xp = namespace(one[0])
    total = one[0] + other[0]
    part = other[0] / xp.where(total == 0, xp.ones_like(total), total)
    apart = other[1] - one[1]
    squares = one[2] + other[2] + apart * apart * one[0] * part
    return total, one[1] + apart * part, squares, one[3] + other[3], one[4] + other[4]


def r2_of(spread: Spread) -> Array:
    """The R2 of what was gathered."""
    _, _, squares, errors, samples = spread
    xp = namespace(squares)
    if samples < 2:
        return xp.mean(xp.full_like(squares, float("nan")))
    one, zero = xp.ones_like(squares), xp.zeros_like(squares)
    constant = xp.where(errors == 0, one, zero)
    return xp.mean(xp.where(squares == 0, constant, 1 - errors / xp.where(squares == 0, one, squares)))


def surprise(scores: Array, targets: Array, ignore_index: int) -> tuple[Array, Array]:
    """The summed cross entropy of scores, and the number of targets that count."""
    scores, targets = raw(scores), raw(targets)
    xp = namespace(scores, targets)
    if scores.ndim < 2 or tuple(targets.shape) != (scores.shape[0], *scores.shape[2:]):
        raise ShapeError(
            "expects scores (N, C, ...) and labels (N, ...), "
            f"got shapes {tuple(scores.shape)} and {tuple(targets.shape)}",
            subject="perplexity",
        )
    scores = as_floats(scores, "perplexity")
    shifted = scores - xp.max(scores, axis=1, keepdims=True)
    log_p = shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
    kept = targets != ignore_index
    inside = xp.where(kept, targets, xp.zeros_like(targets))
    own = xp.take_along_axis(log_p, xp.expand_dims(inside, axis=1), axis=1)[:, 0, ...]
    wrong = (inside < 0) | (inside >= scores.shape[1])
    own = xp.where(kept, xp.where(wrong, xp.full_like(own, float("nan")), own), xp.zeros_like(own))
    return -xp.sum(own), xp.sum(xp.astype(kept, scores.dtype))


def as_floats(x: Array, subject: str) -> Array:
    """Numbers to sum up: integers and half precision as float32, others as they are."""
    xp = namespace(x)
    if xp.isdtype(x.dtype, "complex floating"):
        raise DTypeError(f"expects real numbers, got {x.dtype}", subject=subject)
    return x if is_floating(x) and not is_half(x) else xp.astype(x, xp.float32)


def _errors(predictions: Array, targets: Array, weights: Array | None) -> tuple[Any, Any]:
    """The difference of each element, and its weight."""
    predictions, targets = raw(predictions), raw(targets)
    xp = namespace(predictions, targets)
    if tuple(predictions.shape) != tuple(targets.shape) or not predictions.ndim:
        raise ShapeError(
            "expects predictions and targets (N, ...) of one shape, "
            f"got {tuple(predictions.shape)} and {tuple(targets.shape)}",
            subject="the metric",
        )
    predictions = as_floats(predictions, "the metric")
    error = predictions - xp.astype(targets, predictions.dtype)
    if weights is None:
        return error, xp.ones_like(error)
    weights = raw(weights)
    if tuple(weights.shape) != tuple(error.shape[:1]):
        raise ShapeError(
            f"expects weights of shape {tuple(error.shape[:1])}, got {tuple(weights.shape)}",
            subject="the metric",
        )
    column = xp.reshape(xp.astype(weights, error.dtype), (-1, *(1,) * (error.ndim - 1)))
    return error, xp.broadcast_to(column, error.shape)
