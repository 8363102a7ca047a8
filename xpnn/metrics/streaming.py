"""Measures gathered over many batches. Nothing is read on the host before somebody reads the result.

Each has `update(...)`, `compute()`, which returns an array on the device of the data, and `reset()`.
"""

from __future__ import annotations

from typing import Any

from xpnn.backend import ArgumentError, Array, is_array, is_half, namespace, size_of
from xpnn.metrics.classification import (
    accuracy_of,
    confusion_matrix,
    f1_of,
    integer_dtype,
    labels_of,
    precision_of,
    raw,
    recall_of,
    top_k_correct,
)


class Metric:
    """The base of streaming measures: a state that batches are added to."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.total: Any = 0  # becomes an array on the device of the first batch
        self.count: Any = 0

    def update(self, *batch: Any) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def compute(self) -> Any:
        """The measure over all batches so far. Raises: ArgumentError before the first."""
        self._require_batches()
        return self.total / self.count

    def _require_batches(self) -> None:
        if isinstance(self.count, int) and self.count == 0:
            raise ArgumentError("has seen no batch", subject=type(self).__name__, hint="Call update() first")


class Mean(Metric):
    """The mean of numbers, weighted; for a mean loss the weight is the size of its batch.

    >>> mean = Mean()
    >>> mean.update(2.0, weight=3)
    >>> mean.update(6.0)
    >>> mean.compute()
    3.0
    """

    def update(self, value: Any, weight: Any = 1) -> None:
        """Add a number or 0-d array; half precision is summed up in float32."""
        value = raw(value)
        if is_array(value) and is_half(value):
            value = namespace(value).astype(value, namespace(value).float32)
        self.total = self.total + value * weight
        self.count = self.count + weight


class Accuracy(Metric):
    """The accuracy over all batches; with `top_k` that of `top_k_accuracy`.

    >>> import numpy as np
    >>> metric = Accuracy()
    >>> metric.update(np.array([1, 2, 3]), np.array([1, 2, 0]))
    >>> metric.update(np.array([4]), np.array([4]))
    >>> float(metric.compute())
    0.75
    """

    def __init__(self, top_k: int = 1) -> None:
        super().__init__()
        self.top_k = top_k

    def update(self, predictions: Array, targets: Array) -> None:
        """Add a batch of scores or labels, and targets, as `accuracy` takes them."""
        if self.top_k == 1:
            predicted, true = labels_of(predictions, targets)
            xp, correct = namespace(predicted), predicted == true
        else:
            xp, correct = top_k_correct(predictions, targets, self.top_k)
        self.total = self.total + xp.sum(xp.astype(correct, integer_dtype(xp)))
        self.count += size_of(correct.shape)

    def compute(self) -> Array:
        """The accuracy over all batches so far, a 0-d float32 array."""
        self._require_batches()
        xp = namespace(self.total)
        return xp.astype(self.total, xp.float32) / self.count


class ConfusionMatrix(Metric):
    """The confusion matrix over all batches, true classes in rows.

    >>> import numpy as np
    >>> metric = ConfusionMatrix(num_classes=2)
    >>> metric.update(np.array([0, 1, 1]), np.array([0, 0, 1]))
    >>> metric.compute().tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def update(self, predictions: Array, targets: Array) -> None:
        """Add a batch of scores or labels, and targets, as `confusion_matrix` takes them."""
        self.total = self.total + confusion_matrix(predictions, targets, self.num_classes)
        self.count += 1

    def compute(self) -> Array:
        """The (num_classes, num_classes) counts so far."""
        self._require_batches()
        return self.total

    def accuracy(self) -> Array:
        """The accuracy that the counts show."""
        return accuracy_of(ConfusionMatrix.compute(self))

    def precision(self, average: str | None = "macro") -> Array:
        """The precision that the counts show, averaged as by `metrics.precision`."""
        return precision_of(ConfusionMatrix.compute(self), average)

    def recall(self, average: str | None = "macro") -> Array:
        """The recall that the counts show."""
        return recall_of(ConfusionMatrix.compute(self), average)

    def f1(self, average: str | None = "macro") -> Array:
        """The F1 that the counts show."""
        return f1_of(ConfusionMatrix.compute(self), average)


class _OfMatrix(ConfusionMatrix):
    """A measure that follows from the confusion matrix."""

    def __init__(self, num_classes: int, average: str | None = "macro") -> None:
        super().__init__(num_classes)
        self.average = average


class Precision(_OfMatrix):
    """The precision over all batches, averaged as by `metrics.precision`.

    >>> import numpy as np
    >>> metric = Precision(num_classes=2, average="none")
    >>> metric.update(np.array([0, 1]), np.array([0, 0]))
    >>> metric.compute().tolist()
    [1.0, 0.0]
    """

    def compute(self) -> Array:
        """The precision so far."""
        return self.precision(self.average)


class Recall(_OfMatrix):
    """The recall over all batches, averaged as by `metrics.precision`.

    >>> import numpy as np
    >>> metric = Recall(num_classes=2, average="none")
    >>> metric.update(np.array([0, 1]), np.array([0, 0]))
    >>> metric.compute().tolist()
    [0.5, 0.0]
    """

    def compute(self) -> Array:
        """The recall so far."""
        return self.recall(self.average)


class F1(_OfMatrix):
    """The F1 over all batches, averaged as by `metrics.precision`.

    >>> import numpy as np
    >>> metric = F1(num_classes=2)
    >>> metric.update(np.array([0, 1]), np.array([0, 1]))
    >>> float(metric.compute())
    1.0
    """

    def compute(self) -> Array:
        """The F1 so far."""
        return self.f1(self.average)
