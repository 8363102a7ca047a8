"""Metrics against scikit-learn's, where that is installed: random, degenerate and weighted inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

from xpnn import metrics
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, DTypeError, ShapeError, device_of, is_tensor, to_numpy

RNG = np.random.default_rng(0)
AVERAGES = ["macro", "micro", "weighted", None]

# True and predicted classes of 5: random; some class never predicted, never true, neither; one class only.
CLASSES = {
    "random": (RNG.integers(0, 5, 40), RNG.integers(0, 5, 40)),
    "gaps": (np.asarray([1, 1, 2, 3, 3, 1]), np.asarray([0, 1, 2, 2, 1, 1])),
    "one class": (np.asarray([1, 1, 1]), np.asarray([1, 1, 1])),
    "all wrong": (np.asarray([1, 1, 1]), np.asarray([0, 2, 2])),
}

# Scores, targets, and weights of samples: random; with ties; one class only; all equal.
RANKED = {
    "random": (RNG.standard_normal(30), RNG.integers(0, 2, 30), RNG.random(30)),
    "ties": (RNG.integers(0, 4, 30) / 4, RNG.integers(0, 2, 30), RNG.random(30)),
    "weights of 0": (RNG.integers(0, 4, 12) / 4, RNG.integers(0, 2, 12), (RNG.random(12) > 0.4) * 1.0),
    "no negative": (RNG.standard_normal(5), np.ones(5, int), RNG.random(5)),
    "no positive": (RNG.standard_normal(5), np.zeros(5, int), RNG.random(5)),
    "all equal": (np.ones(6), np.asarray([0, 1, 1, 0, 1, 0]), RNG.random(6)),
    "one sample": (np.ones(1), np.ones(1, int), np.ones(1)),
}


def sklearn(name: str, *args: Any, **options: Any) -> Any:
    """What scikit-learn answers, without its warnings."""
    oracle = pytest.importorskip("sklearn.metrics")
    with warnings.catch_warnings(action="ignore"):
        return getattr(oracle, name)(*args, **options)


def close(array: Any, expected: Any, rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(to_numpy(array), expected, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("kind", CLASSES)
def test_measures_of_classes(kind: str, backend: Target) -> None:
    true, predicted = CLASSES[kind]
    arrays = backend.array(predicted), backend.array(true)
    labels = range(5)
    for average in AVERAGES:
        options = {"average": average, "labels": labels, "zero_division": 0}
        fbeta = metrics.fbeta(*arrays, beta=2.0, average=average, num_classes=5)
        close(fbeta, sklearn("fbeta_score", true, predicted, beta=2.0, **options), 1e-6)
        iou = metrics.iou(*arrays, average, num_classes=5)
        close(iou, sklearn("jaccard_score", true, predicted, **options), 1e-6)
        dice = metrics.dice(*arrays, average, num_classes=5)
        close(dice, sklearn("f1_score", true, predicted, **options), 1e-6)
        assert device_of(iou) == device_of(arrays[0])
    close(metrics.matthews_corrcoef(*arrays, 5), sklearn("matthews_corrcoef", true, predicted), 1e-5)
    for weights in (None, "linear", "quadratic"):
        kappa = metrics.cohen_kappa(*arrays, weights, 5)
        expected = sklearn("cohen_kappa_score", true, predicted, weights=weights, labels=labels)
        close(kappa, expected, 1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", RANKED)
def test_measures_of_ranks(kind: str, weighted: bool, backend: Target) -> None:
    scores, true, weights = RANKED[kind]
    option = {"sample_weight": weights} if weighted else {}
    arrays = [backend.array(x) for x in ((scores, true, weights) if weighted else (scores, true))]
    close(metrics.roc_auc(*arrays), sklearn("roc_auc_score", true, scores, **option))
    close(metrics.average_precision(*arrays), sklearn("average_precision_score", true, scores, **option))
    if weighted and kind == "weights of 0":
        return  # scikit-learn leaves these samples out of its curves
    curves = {
        "roc_curve": sklearn("roc_curve", true, scores, drop_intermediate=False, **option),
        "precision_recall_curve": sklearn("precision_recall_curve", true, scores, **option),
    }
    for name, expected in curves.items():
        for mine, theirs in zip(getattr(metrics, name)(*arrays), expected, strict=True):
            close(mine, theirs)
    false, hits, _ = metrics.roc_curve(*arrays)
    close(metrics.auc(false, hits), to_numpy(metrics.roc_auc(*arrays)))


def test_ranks_of_several_classes(backend: Target) -> None:
    scores = RNG.dirichlet(np.ones(4), 50)
    labels = RNG.integers(0, 4, 50)
    arrays = backend.array(scores), backend.array(labels)
    for average in ("macro", "weighted", None):
        expected = sklearn("roc_auc_score", labels, scores, multi_class="ovr", average=average)
        close(metrics.roc_auc(*arrays, average=average), expected)
        expected = sklearn("average_precision_score", np.eye(4)[labels], scores, average=average)
        close(metrics.average_precision(*arrays, average=average), expected)


@pytest.mark.parametrize("shape", [(20,), (20, 3), (1,), (2, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_measures_of_numbers(shape: tuple[int, ...], weighted: bool, backend: Target) -> None:
    true = 100 + RNG.standard_normal(shape)
    predicted, weights = true + 0.1 * RNG.standard_normal(shape), RNG.uniform(0.5, 2.0, shape[0])
    option = {"sample_weight": weights} if weighted else {}
    arrays = [backend.array(x) for x in ((predicted, true, weights) if weighted else (predicted, true))]
    for name, oracle in (("mean_squared_error",) * 2, ("mean_absolute_error",) * 2, ("r2", "r2_score")):
        close(getattr(metrics, name)(*arrays), sklearn(oracle, true, predicted, **option), 1e-7)


@pytest.mark.parametrize("met", [False, True])
def test_r2_of_equal_targets(met: bool, backend: Target) -> None:
    true = np.full(4, 3.0)
    predicted = true if met else np.arange(4.0)
    close(metrics.r2(backend.array(predicted), backend.array(true)), sklearn("r2_score", true, predicted))


def test_perplexity(backend: Target) -> None:
    scores, labels = RNG.standard_normal((4, 5, 3)), RNG.integers(0, 5, (4, 3))
    labels[0, 0] = -100
    log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    picked = [log_p[i, labels[i, j], j] for i in range(4) for j in range(3) if labels[i, j] != -100]
    close(metrics.perplexity(backend.array(scores), backend.array(labels)), np.exp(-np.mean(picked)))
    close(metrics.perplexity(backend.array(1e4 * scores[:1] * 0), backend.array(labels[:1])), 5.0)


def naive_ssim(x: np.ndarray, y: np.ndarray, data_range: float) -> float:
    """Window by window."""
    distance = np.arange(-5, 6)
    weights = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            likeness = (2 * mean_a * mean_b + c1) * (2 * both + c2)
            values.append(likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


def test_measures_of_images(backend: Target) -> None:
    x = 255 * RNG.random((2, 3, 13, 12))
    y = x + 20 * RNG.standard_normal(x.shape)
    arrays = backend.array(x), backend.array(y)
    expected = np.mean([naive_ssim(a, b, 255) for i in range(2) for a, b in zip(x[i], y[i], strict=True)])
    close(metrics.ssim(*arrays, data_range=255), expected, 1e-9)
    close(metrics.psnr(*arrays, data_range=255), 10 * np.log10(255**2 / np.mean((x - y) ** 2)))
    assert to_numpy(metrics.psnr(arrays[0], arrays[0])) == np.inf
    assert to_numpy(metrics.ssim(arrays[0], arrays[0])) == pytest.approx(1)


def test_squares_in_float32() -> None:
    """Nothing cancels out where targets are near 1000, and half precision adds up in float32."""
    true = (1000 + 0.1 * RNG.standard_normal(2000)).astype(np.float32)
    predicted = true + np.float32(0.03) * RNG.standard_normal(2000).astype(np.float32)
    stream = metrics.R2()
    for start in range(0, 2000, 50):
        stream.update(predicted[start : start + 50], true[start : start + 50])
    exact = metrics.r2(predicted.astype(float), true.astype(float))
    close(stream.compute(), exact, 2e-3)
    halves = np.full(40_000, 2.0, np.float16)
    assert metrics.mean_squared_error(halves, 0 * halves) == 4


NUMBERS = RNG.standard_normal((60, 2)), RNG.standard_normal((60, 2))
SCORES, LABELS = RNG.standard_normal((60, 4)), RNG.integers(0, 4, 60)
IMAGES = RNG.random((60, 1, 11, 11)), RNG.random((60, 1, 11, 11))
STREAMS: list[tuple[Callable[[], Any], Callable[..., Any], tuple[np.ndarray, ...]]] = [
    (lambda: metrics.FBeta(4, 0.5), lambda *a: metrics.fbeta(*a, 0.5), (SCORES, LABELS)),
    (lambda: metrics.IoU(4, None), lambda *a: metrics.iou(*a, None), (SCORES, LABELS)),
    (lambda: metrics.Dice(4), metrics.dice, (SCORES, LABELS)),
    (lambda: metrics.MatthewsCorrCoef(4), metrics.matthews_corrcoef, (SCORES, LABELS)),
    (lambda: metrics.CohenKappa(4, "linear"), lambda *a: metrics.cohen_kappa(*a, "linear"), (SCORES, LABELS)),
    (metrics.MeanSquaredError, metrics.mean_squared_error, NUMBERS),
    (metrics.MeanAbsoluteError, metrics.mean_absolute_error, NUMBERS),
    (metrics.R2, metrics.r2, (*NUMBERS, RNG.random(60))),
    (metrics.Perplexity, metrics.perplexity, (SCORES, LABELS)),
    (metrics.PSNR, metrics.psnr, NUMBERS),
    (lambda: metrics.SSIM(2.0), lambda *a: metrics.ssim(*a, 2.0), IMAGES),
    (metrics.ROCAUC, metrics.roc_auc, (SCORES, LABELS)),
    (
        lambda: metrics.AveragePrecision(None),
        lambda *a: metrics.average_precision(*a, average=None),
        (SCORES, LABELS),
    ),
]


@pytest.mark.parametrize("place", range(len(STREAMS)))
def test_streams_equal_all_at_once(place: int, backend: Target) -> None:
    make, function, arrays = STREAMS[place]
    metric, expected = make(), function(*map(backend.array, arrays))
    assert not is_tensor(expected)
    for size in (7, 60):
        for start in range(0, 60, size):
            metric.update(*(Tensor(backend.array(x[start : start + size])) for x in arrays))
        assert device_of(metric.compute()) == device_of(expected)
        close(metric.compute(), to_numpy(expected), 1e-6)
        metric.reset()
    with pytest.raises(ArgumentError, match="has seen no batch"):
        metric.compute()


def test_areas_are_compiled() -> None:
    """No value is read on the host."""
    jax = pytest.importorskip("jax")
    compiled = jax.jit(
        lambda *a: (metrics.roc_auc(*a), metrics.average_precision(*a), metrics.perplexity(*a))
    )
    expected = metrics.roc_auc(SCORES, LABELS), metrics.average_precision(SCORES, LABELS)
    for mine, theirs in zip(
        compiled(SCORES, LABELS), (*expected, metrics.perplexity(SCORES, LABELS)), strict=True
    ):
        close(mine, theirs, 1e-5)


def test_refusals() -> None:
    x, y = np.ones(3), np.ones(2)
    with pytest.raises(ShapeError, match=r"of one shape, got \(3,\) and \(2,\)"):
        metrics.mean_squared_error(x, y)
    with pytest.raises(ShapeError, match=r"expects weights of shape \(3,\), got \(2,\)"):
        metrics.r2(x, x, y)
    with pytest.raises(ShapeError, match=r"expects weights of shape \(3,\), got \(2,\)"):
        metrics.roc_auc(x, x, y)
    with pytest.raises(ShapeError, match=r"roc_curve expects scores and targets of shape \(N,\)"):
        metrics.roc_curve(x, y)
    with pytest.raises(ShapeError, match=r"auc expects x and y"):
        metrics.auc(x[:1], x[:1])
    with pytest.raises(ArgumentError, match="average, got 'micro'"):
        metrics.roc_auc(x, x, average="micro")
    with pytest.raises(ArgumentError, match="expects weights as one of"):
        metrics.cohen_kappa(LABELS, LABELS, "cubic")
    with pytest.raises(ArgumentError, match="expects a positive beta, got 0"):
        metrics.fbeta(LABELS, LABELS, 0)
    with pytest.raises(ArgumentError, match="expects a positive data_range, got -1"):
        metrics.psnr(x, x, -1)
    with pytest.raises(ShapeError, match="of at least 11 x 11 pixels"):
        metrics.ssim(np.ones((1, 1, 10, 11)), np.ones((1, 1, 10, 11)))
    with pytest.raises(ShapeError, match=r"perplexity expects scores"):
        metrics.perplexity(SCORES, LABELS[:3])
    with pytest.raises(DTypeError, match="expects real numbers"):
        metrics.mean_squared_error(x * 1j, x)
