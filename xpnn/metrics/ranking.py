"""Measures of scores that rank samples: curves over all thresholds, and the areas under them.

A score is a number for each sample, the larger the more likely it is positive; targets are 1 and 0, or True
and False. Equal scores are one threshold. Where areas of several classes are asked for, scores are (N, C),
targets class numbers (N,), and each class is ranked against all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.backend import ArgumentError, Array, ShapeError, device_of, namespace, refusing, to_numpy
from xpnn.metrics.classification import raw
from xpnn.metrics.regression import as_floats

_AVERAGES = ("macro", "weighted", "none", None)


@refusing
def roc_curve(scores: Array, targets: Array, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """The rates of false and of true positives at each threshold.

    Args:
        scores: (N,). targets: (N,), 1 or 0. weights: (N,), the weight of each sample, or None.

    Returns: false-positive rate, true-positive rate, and the thresholds, falling, of which the first is
        infinite: nothing is positive. A rate of no samples is NaN. How many there are is read on the host.

    >>> import numpy as np
    >>> rates = roc_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    >>> rates[0].tolist(), rates[1].tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    false, true, thresholds = _counts_by_threshold(*_checked(scores, targets, weights, "roc_curve"))
    xp = namespace(false)
    rates = [_over(xp.concat([xp.zeros_like(count[:1]), count]), count[-1:]) for count in (false, true)]
    return rates[0], rates[1], xp.concat([xp.full_like(thresholds[:1], float("inf")), thresholds])


@refusing
def precision_recall_curve(
    scores: Array, targets: Array, weights: Array | None = None
) -> tuple[Array, Array, Array]:
    """Precision and recall at each threshold.

    Args:
        scores, targets, weights: as for `roc_curve`.

    Returns: precision, recall, and the rising thresholds, one fewer: the last point, precision 1 and recall
        0, has none. Without a positive sample the recall is 1. How many there are is read on the host.

    >>> import numpy as np
    >>> curve = precision_recall_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    >>> curve[0].round(4).tolist(), curve[1].tolist()
    ([0.5, 0.6667, 0.5, 1.0, 1.0], [1.0, 1.0, 0.5, 0.5, 0.0])
    """
    checked = _checked(scores, targets, weights, "precision_recall_curve")
    false, true, thresholds = _counts_by_threshold(*checked)
    xp = namespace(false)
    taken = false + true
    precision = xp.where(
        taken == 0, xp.zeros_like(true), true / xp.where(taken == 0, xp.ones_like(taken), taken)
    )
    positive = true[-1:]
    recall = xp.where(positive == 0, xp.ones_like(true), _over(true, positive))
    end = xp.ones_like(true[:1])
    return (
        xp.concat([xp.flip(precision), end]),
        xp.concat([xp.flip(recall), xp.zeros_like(end)]),
        xp.flip(thresholds),
    )


@refusing
def auc(x: Array, y: Array) -> Array:
    """The area under a curve, by the trapezoidal rule.

    Args:
        x, y: (N,), the points of the curve; x rises or falls.

    Raises: ShapeError unless they have one shape and at least two points.

    >>> import numpy as np
    >>> float(auc(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])))
    1.5
    """
    x, y = raw(x), raw(y)
    xp = namespace(x, y)
    if x.ndim != 1 or tuple(x.shape) != tuple(y.shape) or x.shape[0] < 2:
        raise ShapeError(
            f"expects x and y of shape (N,) with N of at least 2, got {tuple(x.shape)} and {tuple(y.shape)}",
            subject="auc",
        )
    x, y = as_floats(x, "auc"), as_floats(y, "auc")
    area = xp.sum((x[1:] - x[:-1]) * (y[1:] + y[:-1]) / 2)
    return xp.where(x[-1] < x[0], -area, area)


@refusing
def roc_auc(
    scores: Array, targets: Array, weights: Array | None = None, average: str | None = "macro"
) -> Array:
    """The area under the ROC curve: how likely a positive sample scores above a negative one, ties as a half.

    Args:
        scores: (N,), or (N, C) of several classes. targets: (N,), 1 or 0, or class numbers.
        weights: (N,), the weight of each sample, or None.
        average: of several classes: "macro" their mean, "weighted" by how often each is true, "none" or None
            gives (C,).

    Returns: NaN where there is no positive or no negative sample.

    See: Fawcett (2006), "An introduction to ROC analysis".

    >>> import numpy as np
    >>> float(roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])))
    0.75
    """
    return _of_classes(_roc_area, scores, targets, weights, average, "roc_auc")


@refusing
def average_precision(
    scores: Array, targets: Array, weights: Array | None = None, average: str | None = "macro"
) -> Array:
    """The mean of the precision over the recall: sum (R_n - R_(n-1)) P_n over the thresholds.

    Args:
        scores, targets, weights, average: as for `roc_auc`.

    Returns: 0 where there is no positive sample.

    >>> import numpy as np
    >>> float(average_precision(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])).round(4))
    0.8333
    """
    return _of_classes(_precision_area, scores, targets, weights, average, "average_precision")


def _roc_area(xp: Any, scores: Array, positive: Array, weights: Array) -> Array:
    scores, positive, weights = _ranked(xp, scores, positive, weights)
    below, upto, negative = _sums_by_score(xp, scores, (1 - positive) * weights)
    pairs = xp.sum(positive * weights * (below + upto)) / 2
    return pairs / _nan_for_zero(xp, xp.sum(positive * weights) * negative)


def _precision_area(xp: Any, scores: Array, positive: Array, weights: Array) -> Array:
    scores, positive, weights = _ranked(xp, scores, positive, weights)
    missed, _, hits = _sums_by_score(xp, scores, positive * weights)
    left, _, total = _sums_by_score(xp, scores, weights)
    taken = total - left
    precision = (hits - missed) / xp.where(taken == 0, xp.ones_like(taken), taken)
    return xp.sum(positive * weights * precision) / xp.where(hits == 0, xp.ones_like(hits), hits)


def _ranked(xp: Any, scores: Array, *others: Array, descending: bool = False) -> list[Array]:
    """Scores in order, and the others with them."""
    order = xp.argsort(scores, descending=descending, stable=True)
    return [xp.take(x, order, axis=0) for x in (scores, *others)]


def _sums_by_score(xp: Any, scores: Array, values: Array) -> tuple[Array, Array, Array]:
    """For each of the rising scores the sum of values of lower, and of no higher ones; and that of all."""
    sums = xp.cumulative_sum(values, include_initial=True)
    lower, higher = (xp.searchsorted(scores, scores, side=side) for side in ("left", "right"))
    return xp.take(sums, lower, axis=0), xp.take(sums, higher, axis=0), sums[-1]


def _of_classes(
    area: Callable[..., Array],
    scores: Array,
    targets: Array,
    weights: Array | None,
    average: str | None,
    subject: str,
) -> Array:
    scores = raw(scores)
    if average not in _AVERAGES:
        raise ArgumentError(f"expects one of {_AVERAGES} as average, got {average!r}", subject=subject)
    if scores.ndim != 2:
        scores, positive, weights = _checked(scores, targets, weights, subject)
        return area(namespace(scores), scores, positive, weights)
    labels = raw(targets)
    columns = [
        _checked(scores[:, c], labels == c, weights, subject) for c in range(scores.shape[1])
    ]  # a class at a time: each has an order of its own
    xp = namespace(scores)
    areas = xp.stack([area(xp, *column) for column in columns])
    if average == "macro":
        return xp.mean(areas)
    if average == "weighted":
        share = xp.stack([xp.sum(positive * weight) for _, positive, weight in columns])
        return xp.sum(areas * share) / xp.sum(share)
    return areas


def _checked(
    scores: Array, targets: Array, weights: Array | None, subject: str
) -> tuple[Array, Array, Array]:
    """Scores, 1.0 for positive samples, and weights, (N,) of one element type."""
    scores, targets = raw(scores), raw(targets)
    xp = namespace(scores, targets)
    if scores.ndim != 1 or tuple(targets.shape) != tuple(scores.shape) or not scores.shape[0]:
        raise ShapeError(
            "expects scores and targets of shape (N,), or (N, C) and (N,), "
            f"got {tuple(scores.shape)} and {tuple(targets.shape)}",
            subject=subject,
        )
    scores = as_floats(scores, subject)
    positive = xp.astype(targets if xp.isdtype(targets.dtype, "bool") else targets == 1, scores.dtype)
    if weights is None:
        return scores, positive, xp.ones_like(scores)
    weights = raw(weights)
    if tuple(weights.shape) != tuple(scores.shape):
        raise ShapeError(
            f"expects weights of shape {tuple(scores.shape)}, got {tuple(weights.shape)}", subject=subject
        )
    return scores, positive, xp.astype(weights, scores.dtype)


def _counts_by_threshold(scores: Array, positive: Array, weights: Array) -> tuple[Array, Array, Array]:
    """False and true positives at each distinct score, from the highest down, and these scores."""
    xp = namespace(scores)
    ranked, positive, weights = _ranked(xp, scores, positive, weights, descending=True)
    last = xp.concat([ranked[1:] != ranked[:-1], xp.ones_like(ranked[:1]) == 1])
    places = xp.asarray(to_numpy(last).nonzero()[0], device=device_of(scores))
    sums = (xp.cumulative_sum(x) for x in ((1 - positive) * weights, positive * weights))
    false, true = (xp.take(x, places, axis=0) for x in sums)
    return false, true, xp.take(ranked, places, axis=0)


def _over(count: Array, total: Array) -> Array:
    return count / _nan_for_zero(namespace(count), total)


def _nan_for_zero(xp: Any, x: Array) -> Array:
    return xp.where(x == 0, xp.full_like(x, float("nan")), x)
