"""Measures of a classifier, as functions of predictions and targets on any array library.

Predictions are class scores (N, C), or (N, C, ...) with a class per pixel, of which the largest counts; or
integer labels (N, ...). Targets are integer labels (N, ...), or one-hot or soft like the scores. Tensors are
taken as the arrays that they hold: no measure has a gradient.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    ShapeError,
    default_dtype,
    device_of,
    idioms,
    is_floating,
    is_tensor,
    item,
    namespace,
    refusing,
)

_AVERAGES = ("micro", "macro", "weighted", "none")


@refusing
def accuracy(predictions: Array, targets: Array) -> Array:
    """The fraction of predictions that are right, a 0-d float32 array.

    Raises: ShapeError if predictions and targets do not belong together.

    >>> import numpy as np
    >>> float(accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1])))
    0.5
    """
    predicted, true = labels_of(predictions, targets)
    xp = namespace(predicted)
    return xp.mean(xp.astype(predicted == true, default_dtype(xp)))


@refusing
def error(predictions: Array, targets: Array) -> Array:
    """The fraction of predictions that are wrong, `1 - accuracy`.

    >>> import numpy as np
    >>> float(error(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])))
    0.25
    """
    return 1 - accuracy(predictions, targets)


@refusing
def top_k_accuracy(scores: Array, targets: Array, k: int = 5) -> Array:
    """The fraction of samples whose class is among the `k` with the largest scores.

    Of equal scores the lower class comes first, as for `argmax`; a score of NaN is never right.

    Args:
        scores: (N, C). targets: (N,) integer labels.

    Raises: ArgumentError if k is not in 1 ... C.

    >>> import numpy as np
    >>> scores = np.array([[0.5, 0.3, 0.2], [0.5, 0.2, 0.3]])
    >>> float(top_k_accuracy(scores, np.array([1, 1]), k=2))
    0.5
    """
    xp, correct = top_k_correct(scores, targets, k)
    return xp.mean(xp.astype(correct, default_dtype(xp)))


@refusing
def confusion_matrix(predictions: Array, targets: Array, num_classes: int | None = None) -> Array:
    """How often class i was taken for class j: entry (i, j), true classes in rows.

    Args:
        num_classes: C, needed for labels under a compiler; None is the number of scores, or the
            largest label + 1, which is read on the host.

    Returns: (C, C) of the default integer type. Labels outside of [0, C) are left out.

    >>> import numpy as np
    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1])).tolist()
    [[1, 1], [0, 1]]
    """
    predicted, true = labels_of(predictions, targets)
    xp = namespace(predicted)
    if num_classes is None:
        scores = predictions.ndim > predicted.ndim
        num_classes = predictions.shape[1] if scores else _count_classes(xp, predicted, true)
    # A product of one-hot matrices: float32 counts exactly up to 2**24, and is fast on every device.
    rows, columns = (
        idioms.one_hot(xp.reshape(labels, (-1,)), num_classes, xp.float32) for labels in (true, predicted)
    )
    return xp.astype(xp.matmul(rows.mT, columns), integer_dtype(xp))


@refusing
def precision(
    predictions: Array, targets: Array, average: str | None = "macro", num_classes: int | None = None
) -> Array:
    """Of the samples that were taken for a class, the fraction that belongs to it: TP / (TP + FP).

    Args:
        average: "macro" is the mean over the classes, "weighted" the mean weighted by how often each class
            is true, "micro" counts all classes together, "none" or None gives each class, (C,).
        num_classes: as for `confusion_matrix`.

    A class that was never predicted has precision 0.

    >>> import numpy as np
    >>> precision(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), average="none").tolist()
    [1.0, 0.6666666865348816]
    """
    return precision_of(confusion_matrix(predictions, targets, num_classes), average)


@refusing
def recall(
    predictions: Array, targets: Array, average: str | None = "macro", num_classes: int | None = None
) -> Array:
    """Of the samples of a class, the fraction that was found: TP / (TP + FN); arguments of `precision`.

    A class without samples has recall 0.

    >>> import numpy as np
    >>> recall(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), average="none").tolist()
    [0.5, 1.0]
    """
    return recall_of(confusion_matrix(predictions, targets, num_classes), average)


@refusing
def f1(
    predictions: Array, targets: Array, average: str | None = "macro", num_classes: int | None = None
) -> Array:
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); arguments of `precision`.

    The averages are those of the classes' own F1; a class that is neither true nor predicted has 0.

    >>> import numpy as np
    >>> f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), average="none").tolist()
    [0.6666666865348816, 0.800000011920929]
    """
    return f1_of(confusion_matrix(predictions, targets, num_classes), average)


def accuracy_of(matrix: Array) -> Array:
    """The accuracy that a confusion matrix (C, C) shows."""
    hits, predicted, _ = counts_of(matrix)
    return ratio(hits, predicted, "micro", None)


def precision_of(matrix: Array, average: str | None = "macro") -> Array:
    """The precision that a confusion matrix (C, C) shows."""
    hits, predicted, true = counts_of(matrix)
    return ratio(hits, predicted, average, true)


def recall_of(matrix: Array, average: str | None = "macro") -> Array:
    """The recall that a confusion matrix (C, C) shows."""
    hits, _, true = counts_of(matrix)
    return ratio(hits, true, average, true)


def f1_of(matrix: Array, average: str | None = "macro") -> Array:
    """The F1 that a confusion matrix (C, C) shows."""
    hits, predicted, true = counts_of(matrix)
    return ratio(2 * hits, predicted + true, average, true)


def labels_of(predictions: Array, targets: Array) -> tuple[Array, Array]:
    """Predictions and targets as integer labels of one shape, raw arrays."""
    predictions, targets = raw(predictions), raw(targets)
    xp = namespace(predictions, targets)
    shapes = f"{tuple(predictions.shape)} and {tuple(targets.shape)}"
    if predictions.ndim > 1 and is_floating(predictions):
        if targets.shape == predictions.shape:
            targets = xp.argmax(targets, axis=1)
        predictions = xp.argmax(predictions, axis=1)
    if predictions.shape != targets.shape:
        raise ShapeError(
            "expects predictions as scores (N, C, ...) or labels (N, ...), and targets as labels (N, ...), "
            f"got shapes {shapes}",
            subject="the metric",
        )
    for name, array in (("predictions", predictions), ("targets", targets)):
        if is_floating(array):
            raise DTypeError(
                f"expects integer labels, got {name} of {array.dtype} and shape {tuple(array.shape)}",
                subject="the metric",
                hint="Scores of two classes in one number? Pass labels: xp.astype(scores > 0, xp.int64)",
            )
    return predictions, targets


def top_k_correct(scores: Array, targets: Array, k: int) -> tuple[Any, Array]:
    """The namespace, and for each sample whether its class is among the best `k`, (N,) booleans."""
    scores, targets = raw(scores), raw(targets)
    xp = namespace(scores, targets)
    if scores.ndim != 2 or targets.shape != scores.shape[:1]:
        raise ShapeError(
            "expects scores (N, C) and labels (N,), "
            f"got shapes {tuple(scores.shape)} and {tuple(targets.shape)}",
            subject="top_k_accuracy",
        )
    if not 1 <= k <= scores.shape[1]:
        raise ArgumentError(f"expects k in 1 ... {scores.shape[1]}, got {k}", subject="top_k_accuracy")
    column = targets[:, None]
    own = xp.take_along_axis(scores, column, axis=1)
    lower = xp.arange(scores.shape[1], dtype=targets.dtype, device=device_of(scores)) < column
    ahead = (scores > own) | ((scores == own) & lower)
    rank = xp.sum(xp.astype(ahead, integer_dtype(xp)), axis=1)
    return xp, (rank < k) & (own == own)[:, 0]


def raw(array: Array) -> Array:
    """The array that a Tensor holds; a raw array as it is."""
    return array.array if is_tensor(array) else array


def integer_dtype(xp: Any) -> Any:
    """The library's default integer type: int64, or int32 where JAX knows no 64 bits."""
    return xp.__array_namespace_info__().default_dtypes()["integral"]


def _count_classes(xp: Any, predicted: Array, true: Array) -> int:
    if not true.shape[0]:
        raise ArgumentError("expects num_classes where there are no labels", subject="confusion_matrix")
    return int(max(item(xp.max(predicted)), item(xp.max(true)))) + 1


def counts_of(matrix: Array) -> tuple[Array, Array, Array]:
    """For each class the hits, and how often it was predicted and true, in float32."""
    xp = namespace(matrix)
    matrix = xp.astype(matrix, default_dtype(xp))
    return xp.linalg.diagonal(matrix), xp.sum(matrix, axis=0), xp.sum(matrix, axis=1)


def ratio(hits: Array, of: Array, average: str | None, true: Array) -> Array:
    """`hits / of` per class (0 / 0 is 0), averaged."""
    xp = namespace(hits)
    if average == "micro":
        hits, of = xp.sum(hits), xp.sum(of)
    per_class = hits / xp.clip(of, 1)  # counts: below 1 is 0, and then there is no hit either
    if average in ("micro", "none", None):
        return per_class
    if average == "macro":
        return xp.mean(per_class)
    if average == "weighted":
        return xp.sum(per_class * true) / xp.clip(xp.sum(true), 1)
    raise ArgumentError(f"expects one of {_AVERAGES} as average, got {average!r}", subject="the metric")
