"""Measures gathered over many batches. Nothing is read on the host before somebody reads the result.

Each has `update(...)`, `compute()`, which returns an array on the device of the data, and `reset()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn.backend import ArgumentError, Array, RefusingConstructor, is_array, is_half, namespace, size_of
from xpnn.metrics.agreement import cohen_kappa_of, fbeta_of, iou_of, matthews_corrcoef_of
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
from xpnn.metrics.detection import (
    COCO_THRESHOLDS,
    Detections,
    mean_average_precision,
    precision_table,
)
from xpnn.metrics.image import psnr_of, similarities
from xpnn.metrics.ranking import average_precision, roc_auc
from xpnn.metrics.regression import (
    Spread,
    absolute_errors,
    merged,
    r2_of,
    spread_of,
    squared_errors,
    surprise,
)


class Metric(RefusingConstructor):
    """The base of streaming measures: a state that batches are added to."""

    refusing = ("update", "compute")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.total: Any = 0  # becomes an array on the device of the first batch
        self.count: Any = 0

    def update(self, *batch: Any) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def merge(self, other: Any) -> None:
        """Add the batches that another metric of the same kind has seen, as another process's."""
        self.total = self.total + other.total
        self.count = self.count + other.count

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


class FBeta(_OfMatrix):
    """The F measure over all batches; see `metrics.fbeta`.

    >>> import numpy as np
    >>> metric = FBeta(num_classes=2, beta=2.0)
    >>> metric.update(np.array([0, 1]), np.array([0, 1]))
    >>> float(metric.compute())
    1.0
    """

    def __init__(self, num_classes: int, beta: float, average: str | None = "macro") -> None:
        super().__init__(num_classes, average)
        self.beta = beta

    def compute(self) -> Array:
        """The F measure so far."""
        return fbeta_of(super().compute(), self.beta, self.average)


class IoU(_OfMatrix):
    """The intersection over union over all batches; the macro average is the mean IoU; see `metrics.iou`.

    >>> import numpy as np
    >>> metric = IoU(num_classes=2, average="none")
    >>> metric.update(np.array([[0, 1]]), np.array([[0, 0]]))
    >>> metric.compute().tolist()
    [0.5, 0.0]
    """

    def compute(self) -> Array:
        """The intersection over union so far."""
        return iou_of(super().compute(), self.average)


class Dice(F1):
    """The Dice coefficient over all batches: `F1` by the name of segmentation.

    >>> import numpy as np
    >>> metric = Dice(num_classes=2)
    >>> metric.update(np.array([[0, 1]]), np.array([[0, 1]]))
    >>> float(metric.compute())
    1.0
    """


class MatthewsCorrCoef(ConfusionMatrix):
    """The correlation of classes over all batches; see `metrics.matthews_corrcoef`.

    >>> import numpy as np
    >>> metric = MatthewsCorrCoef(num_classes=2)
    >>> metric.update(np.array([0, 1]), np.array([0, 1]))
    >>> float(metric.compute())
    1.0
    """

    def compute(self) -> Array:
        """The correlation so far."""
        return matthews_corrcoef_of(super().compute())


class CohenKappa(ConfusionMatrix):
    """The agreement beyond chance over all batches; see `metrics.cohen_kappa`.

    >>> import numpy as np
    >>> metric = CohenKappa(num_classes=2)
    >>> metric.update(np.array([0, 1]), np.array([0, 1]))
    >>> float(metric.compute())
    1.0
    """

    def __init__(self, num_classes: int, weights: str | None = None) -> None:
        super().__init__(num_classes)
        self.weights = weights

    def compute(self) -> Array:
        """The agreement so far."""
        return cohen_kappa_of(super().compute(), self.weights)


class _OfErrors(Metric):
    """A measure that follows from a summed error; `_sums` gives that, and what it is divided by."""

    _sums = staticmethod(squared_errors)

    def update(self, predictions: Array, targets: Array, weights: Array | None = None) -> None:
        """Add a batch, with the weight of each sample or None."""
        total, count = self._sums(predictions, targets, weights)
        self.total = self.total + total
        self.count = self.count + count


class MeanSquaredError(_OfErrors):
    """The mean squared error over all batches; see `metrics.mean_squared_error`.

    >>> import numpy as np
    >>> metric = MeanSquaredError()
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> float(metric.compute())
    2.0
    """


class MeanAbsoluteError(_OfErrors):
    """The mean absolute error over all batches; see `metrics.mean_absolute_error`.

    >>> import numpy as np
    >>> metric = MeanAbsoluteError()
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> float(metric.compute())
    1.0
    """

    _sums = staticmethod(absolute_errors)


class PSNR(_OfErrors):
    """The peak signal-to-noise ratio over all batches, by their common squared error; see `metrics.psnr`.

    >>> import numpy as np
    >>> metric = PSNR()
    >>> metric.update(np.full((1, 4), 0.1), np.zeros((1, 4)))
    >>> float(metric.compute().round(4))
    20.0
    """

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def compute(self) -> Array:
        """The ratio in decibels so far."""
        return psnr_of(super().compute(), self.data_range)


class SSIM(Metric):
    """The structural similarity over all batches; see `metrics.ssim`.

    >>> import numpy as np
    >>> metric = SSIM()
    >>> metric.update(np.zeros((1, 1, 11, 11)), np.zeros((1, 1, 11, 11)))
    >>> float(metric.compute().round(4))
    1.0
    """

    def __init__(self, data_range: float = 1.0) -> None:
        super().__init__()
        self.data_range = data_range

    def update(self, predictions: Array, targets: Array) -> None:
        """Add a batch of images (N, C, H, W)."""
        total, count = similarities(predictions, targets, self.data_range)
        self.total = self.total + total
        self.count += count


class R2(Metric):
    """The R2 over all batches; see `metrics.r2`.

    >>> import numpy as np
    >>> metric = R2()
    >>> metric.update(np.array([1.0, 2.0]), np.array([1.0, 2.0]))
    >>> metric.update(np.array([4.0]), np.array([3.0]))
    >>> float(metric.compute())
    0.5
    """

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.spread: Spread | None = None

    def update(self, predictions: Array, targets: Array, weights: Array | None = None) -> None:
        """Add a batch, with the weight of each sample or None."""
        batch = spread_of(predictions, targets, weights)
        self.spread = batch if self.spread is None else merged(self.spread, batch)
        self.count += 1

    def merge(self, other: R2) -> None:
        """Add the batches that another R2 has seen."""
        super().merge(other)
        spreads = [spread for spread in (self.spread, other.spread) if spread is not None]
        self.spread = merged(*spreads) if len(spreads) == 2 else next(iter(spreads), None)

    def compute(self) -> Array:
        """The R2 so far."""
        self._require_batches()
        assert self.spread is not None
        return r2_of(self.spread)


class Perplexity(Metric):
    """The perplexity over all batches; see `metrics.perplexity`.

    >>> import numpy as np
    >>> metric = Perplexity()
    >>> metric.update(np.zeros((2, 4)), np.array([0, 3]))
    >>> float(metric.compute().round(4))
    4.0
    """

    def __init__(self, ignore_index: int = -100) -> None:
        super().__init__()
        self.ignore_index = ignore_index

    def update(self, scores: Array, targets: Array) -> None:
        """Add a batch of scores (N, C, ...) and class numbers (N, ...)."""
        total, count = surprise(scores, targets, self.ignore_index)
        self.total = self.total + total
        self.count = self.count + count

    def compute(self) -> Array:
        """The perplexity so far."""
        mean = super().compute()
        return namespace(mean).exp(mean)


class _OfRanks(Metric):
    """A measure that needs all scores at once: batches are kept on their device, and joined at the end."""

    def __init__(self, average: str | None = "macro") -> None:
        super().__init__()
        self.average = average

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.batches: list[tuple[Array, Array]] = []

    def update(self, scores: Array, targets: Array) -> None:
        """Add a batch of scores (N,) or (N, C), and targets (N,)."""
        self.batches.append((raw(scores), raw(targets)))
        self.count += 1

    def merge(self, other: _OfRanks) -> None:
        """Add the batches that another metric of the same kind has seen."""
        super().merge(other)
        self.batches = self.batches + other.batches

    def _joined(self) -> tuple[Array, Array]:
        self._require_batches()
        xp = namespace(self.batches[0][0])
        scores, targets = zip(*self.batches)
        return xp.concat(scores), xp.concat(targets)


class ROCAUC(_OfRanks):
    """The area under the ROC curve of all batches; see `metrics.roc_auc`.

    >>> import numpy as np
    >>> metric = ROCAUC()
    >>> metric.update(np.array([0.1, 0.4]), np.array([0, 0]))
    >>> metric.update(np.array([0.35, 0.8]), np.array([1, 1]))
    >>> float(metric.compute())
    0.75
    """

    def compute(self) -> Array:
        """The area so far."""
        return roc_auc(*self._joined(), average=self.average)


class AveragePrecision(_OfRanks):
    """The average precision of all batches; see `metrics.average_precision`.

    >>> import numpy as np
    >>> metric = AveragePrecision()
    >>> metric.update(np.array([0.1, 0.4]), np.array([0, 0]))
    >>> metric.update(np.array([0.35, 0.8]), np.array([1, 1]))
    >>> float(metric.compute().round(4))
    0.8333
    """

    def compute(self) -> Array:
        """The average precision so far."""
        return average_precision(*self._joined(), average=self.average)


class MeanAveragePrecision(Metric):
    """The mean average precision over all batches of images; see `metrics.mean_average_precision`.

    Detections are matched when the result is asked for.

    >>> import numpy as np
    >>> metric = MeanAveragePrecision(0.5)
    >>> box, label = np.asarray([[0.0, 0.0, 4.0, 4.0]]), np.asarray([1])
    >>> true = {"boxes": box, "labels": label}
    >>> metric.update([{**true, "scores": np.ones(1)}], [true])
    >>> float(metric.compute()), metric.by_class()
    (1.0, {1: 1.0})
    """

    def __init__(
        self,
        iou_thresholds: float | Sequence[float] = COCO_THRESHOLDS,
        way: str = "coco",
        max_detections: int = 100,
        region: str = "boxes",
    ) -> None:
        super().__init__()
        self.settings = iou_thresholds, way, max_detections, region

    def reset(self) -> None:
        """Forget all batches."""
        super().reset()
        self.predictions: list[Detections] = []
        self.targets: list[Detections] = []

    def update(self, predictions: Sequence[Detections], targets: Sequence[Detections]) -> None:
        """Add a batch: a mapping for each image, as `mean_average_precision` takes them."""
        self.predictions += predictions
        self.targets += targets
        self.count += len(targets)

    def compute(self) -> Array:
        """The mean over classes and thresholds so far, a 0-d float32 array."""
        self._require_batches()
        return mean_average_precision(self.predictions, self.targets, *self.settings)

    def by_class(self) -> dict[int, float]:
        """The average precision of each class so far, the mean over the thresholds."""
        self._require_batches()
        table, classes = precision_table(self.predictions, self.targets, *self.settings)
        return {label: sum(column) / len(column) for label, column in zip(classes, zip(*table))}
