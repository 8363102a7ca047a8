"""Metrics against loops over the samples, on every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from halves import half_types, in_float64, in_half
from targets import Target

import xpnn
from xpnn import metrics
from xpnn.backend import (
    ArgumentError,
    BackendMismatchError,
    DTypeError,
    ShapeError,
    device_of,
    is_tensor,
    to_numpy,
)

AVERAGES = ["macro", "micro", "weighted", "none", None]
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(60, 4)).astype(np.float32)
LABELS = RNG.integers(0, 4, 60)
PREDICTED = SCORES.argmax(axis=1)


def count(predicted: Any, true: Any, classes: int) -> np.ndarray:
    matrix = np.zeros((classes, classes), dtype=int)
    for p, t in zip(predicted, true):
        matrix[t, p] += 1
    return matrix


def naive(name: str, predicted: Any, true: Any, classes: int, average: str | None) -> Any:
    """Precision, recall or F1 counted class by class."""

    def measure(hits: int, taken: int, there: int) -> float:
        precision = hits / taken if taken else 0.0
        recall = hits / there if there else 0.0
        if name == "f1":
            return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        return {"precision": precision, "recall": recall}[name]

    pairs = list(zip(predicted, true))
    counts = [
        (
            sum(p == t == c for p, t in pairs),
            sum(p == c for p, _ in pairs),
            sum(t == c for _, t in pairs),
        )
        for c in range(classes)
    ]
    if average == "micro":
        return measure(*(sum(column) for column in zip(*counts)))
    values = [measure(*c) for c in counts]
    if average == "macro":
        return sum(values) / classes
    if average == "weighted":
        return sum(v * there for v, (_, _, there) in zip(values, counts)) / len(pairs)
    return values


def close(array: Any, expected: Any) -> None:
    np.testing.assert_allclose(to_numpy(array), expected, rtol=1e-6)


def test_accuracy_of_scores_and_of_labels(backend: Target) -> None:
    expected = sum(p == t for p, t in zip(PREDICTED, LABELS)) / 60
    labels = backend.array(LABELS)
    for predictions in (SCORES, PREDICTED):
        result = metrics.accuracy(backend.array(predictions), labels)
        assert result.shape == ()
        assert str(result.dtype).endswith("float32")
        assert device_of(result) == device_of(labels)
        close(result, expected)
        close(metrics.error(backend.array(predictions), labels), 1 - expected)


def test_accuracy_of_one_hot_targets_and_of_pixels(backend: Target) -> None:
    one_hot = np.eye(4, dtype=np.float32)[LABELS]
    close(metrics.accuracy(backend.array(SCORES), backend.array(one_hot)), np.mean(PREDICTED == LABELS))
    pixels = SCORES.reshape(5, 3, 4, 4).transpose(0, 3, 1, 2)  # (N, C, H, W)
    labels = LABELS.reshape(5, 3, 4)
    close(metrics.accuracy(backend.array(pixels), backend.array(labels)), np.mean(PREDICTED == LABELS))
    matrix = metrics.confusion_matrix(backend.array(pixels), backend.array(labels))
    np.testing.assert_array_equal(to_numpy(matrix), count(PREDICTED, LABELS, 4))


def test_tensors_count_as_their_arrays(backend: Target) -> None:
    scores = xpnn.tensor(SCORES, requires_grad=True)
    result = metrics.accuracy(scores, xpnn.tensor(LABELS))
    assert not is_tensor(result)
    close(result, np.mean(PREDICTED == LABELS))


def test_confusion_matrix(backend: Target) -> None:
    expected = count(PREDICTED, LABELS, 4)
    predictions, labels = backend.array(PREDICTED), backend.array(LABELS)
    for matrix in (
        metrics.confusion_matrix(backend.array(SCORES), labels),
        metrics.confusion_matrix(predictions, labels),
        metrics.confusion_matrix(predictions, labels, num_classes=4),
    ):
        assert "int" in str(matrix.dtype)
        np.testing.assert_array_equal(to_numpy(matrix), expected)
    wider = to_numpy(metrics.confusion_matrix(predictions, labels, num_classes=6))
    np.testing.assert_array_equal(wider[:4, :4], expected)
    assert wider.sum() == 60
    ignored = np.where(np.arange(60) < 10, -1, LABELS)
    np.testing.assert_array_equal(
        to_numpy(metrics.confusion_matrix(predictions, backend.array(ignored), num_classes=4)),
        count(PREDICTED[10:], LABELS[10:], 4),
    )


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("name", ["precision", "recall", "f1"])
def test_precision_recall_f1(backend: Target, name: str, average: str | None) -> None:
    function = getattr(metrics, name)
    result = function(backend.array(SCORES), backend.array(LABELS), average=average)
    close(result, naive(name, PREDICTED, LABELS, 4, average))
    # Class 3 is never predicted and class 0 never true: 0, not NaN.
    predicted, true = [0, 1, 2, 2, 1], [1, 1, 2, 3, 3]
    result = function(backend.array(predicted), backend.array(true), average=average, num_classes=5)
    close(result, naive(name, predicted, true, 5, average))


def test_values_worked_out_by_hand() -> None:
    """Eight true positives of ten predicted, of sixteen true ones."""
    predicted = np.array([1] * 10 + [0] * 10)
    true = np.array([1] * 8 + [0] * 2 + [1] * 8 + [0] * 2)
    assert metrics.precision(predicted, true, "none")[1] == pytest.approx(0.8)
    assert metrics.recall(predicted, true, "none")[1] == pytest.approx(0.5)
    assert metrics.f1(predicted, true, "none")[1] == pytest.approx(2 * 0.8 * 0.5 / 1.3)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_top_k(backend: Target, k: int) -> None:
    expected = np.mean([label in np.argsort(-row)[:k] for row, label in zip(SCORES, LABELS)])
    close(metrics.top_k_accuracy(backend.array(SCORES), backend.array(LABELS), k), expected)
    ties = np.zeros((4, 4), dtype=np.float32)  # the first k classes win
    close(metrics.top_k_accuracy(backend.array(ties), backend.array(np.arange(4)), k), k / 4)
    infinite = np.where(SCORES > 1, np.inf, np.where(SCORES < -1, -np.inf, SCORES))
    scores, labels = backend.array(infinite), backend.array(LABELS)
    close(metrics.top_k_accuracy(scores, labels, 1), to_numpy(metrics.accuracy(scores, labels)))


def test_nan_is_never_right() -> None:
    scores = np.array([[np.nan, 1.0, 0.0]])
    assert metrics.top_k_accuracy(scores, np.array([0]), 3) == 0


@pytest.mark.parametrize("size", [7, 60])
def test_streaming_equals_all_at_once(backend: Target, size: int) -> None:
    streams = {
        metrics.Accuracy(): metrics.accuracy,
        metrics.Accuracy(top_k=2): lambda scores, labels: metrics.top_k_accuracy(scores, labels, 2),
        metrics.ConfusionMatrix(4): metrics.confusion_matrix,
        metrics.Precision(4): metrics.precision,
        metrics.Recall(4, average="weighted"): lambda *batch: metrics.recall(*batch, average="weighted"),
        metrics.F1(4, average=None): lambda *batch: metrics.f1(*batch, average=None),
    }
    for metric, function in streams.items():
        for _ in range(2):
            for start in range(0, 60, size):
                part = slice(start, start + size)
                metric.update(backend.array(SCORES[part]), backend.array(LABELS[part]))
            close(metric.compute(), to_numpy(function(backend.array(SCORES), backend.array(LABELS))))
            metric.reset()
        with pytest.raises(ArgumentError, match="has seen no batch"):
            metric.compute()


def test_mean_of_half(backend: Target) -> None:
    """Many losses add up to more than float16 holds, and bfloat16 would stop to count at 256."""
    for dtype in half_types(backend):
        mean, (value,) = metrics.Mean(), in_half(backend, dtype, [np.asarray(3.0)])
        for _ in range(600):
            mean.update(value, weight=64)
        assert in_float64(mean.compute()) == 3


def test_mean(backend: Target) -> None:
    values, weights = [2.0, 4.0, 9.0], [3, 1, 2]
    mean = metrics.Mean()
    for value, weight in zip(values, weights):
        mean.update(backend.array(np.float32(value)), weight=weight)
    close(mean.compute(), sum(v * w for v, w in zip(values, weights)) / 6)
    mean.reset()
    mean.update(5.0)
    mean.update(xpnn.tensor(7.0))
    close(mean.compute(), 6.0)


def test_confusion_matrix_gives_the_other_measures() -> None:
    matrix = metrics.ConfusionMatrix(4)
    matrix.update(SCORES, LABELS)
    assert float(matrix.accuracy()) == pytest.approx(float(metrics.accuracy(SCORES, LABELS)))
    for average in AVERAGES:
        close(matrix.precision(average), metrics.precision(SCORES, LABELS, average))
        close(matrix.recall(average), metrics.recall(SCORES, LABELS, average))
        close(matrix.f1(average), metrics.f1(SCORES, LABELS, average))


def test_streaming_reads_nothing_on_the_host() -> None:
    """Under jax.jit an array has no values: whatever reads one fails."""
    jax = pytest.importorskip("jax")

    def epoch(scores: Any, labels: Any) -> tuple:
        streams = (metrics.Accuracy(), metrics.Accuracy(2), metrics.F1(4), metrics.ConfusionMatrix(4))
        for metric in streams:
            for _ in range(2):
                metric.update(scores, labels)
        loss = metrics.Mean()
        loss.update(scores.mean(), weight=60)
        return *(metric.compute() for metric in streams), loss.compute()

    compiled = jax.jit(epoch)(SCORES, LABELS)
    close(compiled[0], np.mean(PREDICTED == LABELS))
    close(compiled[2], naive("f1", PREDICTED, LABELS, 4, "macro"))
    np.testing.assert_array_equal(compiled[3], 2 * count(PREDICTED, LABELS, 4))


def test_counts_stay_exact_beyond_float32() -> None:
    metric = metrics.Accuracy()
    metric.update(np.array([1]), np.array([1]))
    metric.total = metric.total + 2**24
    metric.count += 2**24
    metric.update(np.array([1, 1]), np.array([0, 0]))
    assert int(metric.total) == 2**24 + 1
    assert float(metric.compute()) == pytest.approx(1 - 2 / 2**24)


def test_metric_errors() -> None:
    scores, labels = np.zeros((4, 3)), np.zeros(4, dtype=int)
    with pytest.raises(ShapeError, match=r"got shapes \(4, 3\) and \(5,\)"):
        metrics.accuracy(scores, np.zeros(5, dtype=int))
    with pytest.raises(DTypeError, match=r"integer labels, got predictions of float64 and shape \(4,\).*> 0"):
        metrics.accuracy(np.zeros(4), labels)
    with pytest.raises(DTypeError, match="got targets of float64"):
        metrics.accuracy(scores, np.zeros(4))
    with pytest.raises(ArgumentError, match=r"k in 1 \.\.\. 3, got 4"):
        metrics.top_k_accuracy(scores, labels, 4)
    with pytest.raises(ShapeError, match="top_k_accuracy expects scores"):
        metrics.top_k_accuracy(labels, labels, 1)
    with pytest.raises(ArgumentError, match=r"'macro'.*got 'mean'"):
        metrics.precision(scores, labels, "mean")
    with pytest.raises(ArgumentError, match="num_classes"):
        metrics.confusion_matrix(labels[:0], labels[:0])
    with pytest.raises(NotImplementedError, match="must define update"):
        metrics.Metric().update(1)


def test_mixed_backends_are_refused() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(BackendMismatchError):
        metrics.accuracy(torch.zeros((4, 3)), np.zeros(4, dtype=int))


def test_an_empty_batch_has_no_accuracy() -> None:
    metric = metrics.Accuracy()
    metric.update(SCORES, LABELS)
    metric.update(SCORES[:0], LABELS[:0])
    assert not math.isnan(float(metric.compute()))
