"""Cross entropy of many classes."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.divergence import log_probabilities
from cases.loss.elementwise import REDUCTIONS, reduced
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError


def naive_cross_entropy(
    x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, logits=True
):
    """Target by target, class by class."""
    axis = min(1, x.ndim - 1)
    x = np.moveaxis(x, axis, -1)
    classes = x.shape[-1]
    weight = np.ones(classes) if weight is None else weight
    soft = target.ndim == x.ndim
    q = np.moveaxis(target, axis, -1) if soft else None
    losses = np.zeros(x.shape[:-1])
    total = 0.0
    for place in np.ndindex(*losses.shape):
        scores = x[place]
        log_p = scores - np.log(np.exp(scores).sum()) if logits else scores
        if soft:
            distribution, share = q[place], 1.0
        elif target[place] == ignore_index:
            continue
        else:
            distribution, share = np.eye(classes)[target[place]], weight[target[place]]
        distribution = (1 - label_smoothing) * distribution + label_smoothing / classes
        losses[place] = -sum(weight[c] * distribution[c] * log_p[c] for c in range(classes))
        total += share
    if reduction == "mean":
        return losses.sum() / total if total else np.asarray(np.nan)
    return reduced(losses, reduction)


def torch_cross_entropy(torch, x, target, weight=None, **options):
    return torch.nn.functional.cross_entropy(x, target, weight, **options)


def naive_nll(x, target, weight=None, **options):
    return naive_cross_entropy(x, target, weight, logits=False, **options)


def torch_nll(torch, x, target, weight=None, **options):
    return torch.nn.functional.nll_loss(x, target, weight, **options)


def torch_one_hot_cross_entropy(torch, x, target, **options):
    return torch.nn.functional.cross_entropy(x, target.to(x.dtype), **options)


def torch_linear_cross_entropy(torch, x, w, b, target, **options):
    """PyTorch's own, whose bias does not broadcast, has no second derivative."""
    if b.shape != w.shape[:-1]:
        raise ValueError("linear_bias")
    scores = torch.einsum("ni,cdi->ncd", x, w) + b
    return torch.nn.functional.cross_entropy(scores, target, **options)


def labelled(*shape, weighted=False, log=False):
    """Scores, class numbers (one of them 2 = the tests' ignore_index), and weights of classes."""

    def make(rng, **options):
        axis = min(1, len(shape) - 1)
        x = log_probabilities(rng, *shape) if log else rng.standard_normal(shape)
        labels = np.asarray(rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :]))
        if labels.size > 1:
            labels.flat[0], labels.flat[1] = 2, 1
        return (x, labels, rng.uniform(0.5, 2.0, shape[axis])) if weighted else (x, labels)

    return make


def distributed(*shape, weighted=False):
    def make(rng, **options):
        axis = min(1, len(shape) - 1)
        q = rng.random(shape)
        q /= q.sum(axis=axis, keepdims=True)
        x = rng.standard_normal(shape)
        return (x, q, rng.uniform(0.5, 2.0, shape[axis])) if weighted else (x, q)

    return make


def class_case(name, make, options, **more):
    return Case(
        name,
        F.cross_entropy,
        inputs=make,
        options=options,
        torch=torch_cross_entropy,
        naive=naive_cross_entropy,
        **{"batched": (0, 1), "differentiable": (0,), **more},
    )


def nll_case(name, make, options, **more):
    return Case(
        name,
        F.nll_loss,
        inputs=make,
        options=options,
        torch=torch_nll,
        naive=naive_nll,
        **{"batched": (0, 1), "differentiable": (0,), **more},
    )


def label_errors(name):
    """What both losses refuse."""

    def of(labels, shape=(2, 3)):
        return lambda rng: (rng.standard_normal(shape), np.asarray(labels))

    return [
        bad(
            IndexOutOfRangeError,
            rf"{name} expects labels between 0 and 2, got 3 at position 1\. "
            r"The input of shape \(2, 3\) has 3 classes on axis 1",
            inputs=of([0, 3]),
            values=True,
        ),
        bad(IndexOutOfRangeError, r"got -1 at position 0", inputs=of([-1, 0]), values=True),
        bad(
            ShapeError,
            rf"{name} expects labels of shape \(2,\).* for an input of shape \(2, 3\), got \(2, 1\)\. "
            r"Did you mean target.reshape\(2,\)\?",
            inputs=of([[0], [1]]),
        ),
        bad(ShapeError, rf"{name} expects labels of shape \(2,\)", inputs=of([0, 1, 2])),
        bad(DTypeError, rf"{name} expects labels as integers, got float64", inputs=of([0.0, 1.0])),
        bad(
            ShapeError,
            rf"{name} expects weight of shape \(3,\), got \(2,\)",
            inputs=lambda rng: (np.ones((2, 3)), np.zeros(2, dtype=np.int64), np.ones(2)),
        ),
    ]


CASES = [
    class_case(
        "cross_entropy",
        labelled(4, 3),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1], ignore_index=[-100, 2]),
        errors=[
            *label_errors("cross_entropy"),
            bad(ArgumentError, r"label_smoothing between 0 and 1, got 1.5", label_smoothing=1.5),
        ],
    ),
    class_case(
        "cross_entropy with weights",
        labelled(4, 3, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1], ignore_index=2),
    ),
    class_case(
        "cross_entropy of images",
        labelled(2, 3, 2, 2, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=0.1),
    ),
    class_case("cross_entropy of one sample", labelled(3), grid(reduction=["mean", "none"]), batched=()),
    class_case(
        "cross_entropy with all labels ignored",
        lambda rng, **options: (rng.standard_normal((2, 3)), np.asarray([-100, -100])),
        grid(reduction=["sum", "none"]),
    ),
    class_case(
        "cross_entropy of soft labels",
        distributed(4, 3),
        grid(reduction=REDUCTIONS, label_smoothing=[0.0, 0.1]),
        differentiable=(0, 1),
    ),
    class_case(
        "cross_entropy of soft labels with weights",
        distributed(2, 3, 2, weighted=True),
        grid(reduction=REDUCTIONS, label_smoothing=0.1),
        differentiable=(0, 1),
    ),
    Case(
        "cross_entropy of one-hot integers",
        F.cross_entropy,
        inputs=lambda rng: (rng.standard_normal((2, 3)), np.asarray([[0, 1, 0], [1, 0, 0]])),
        torch=torch_one_hot_cross_entropy,
        naive=naive_cross_entropy,
        batched=(0, 1),
    ),
    Case(
        "linear_cross_entropy",
        lambda x, w, b, target, **options: F.linear_cross_entropy(x, w, target, linear_bias=b, **options),
        inputs=lambda rng, **options: (
            rng.standard_normal((4, 3)),
            rng.standard_normal((3, 2, 3)),
            rng.standard_normal((3, 2)),
            np.asarray([[0, 2], [1, 1], [2, 0], [0, 1]]),
        ),
        options=[{"reduction": "mean"}, {"reduction": "none", "ignore_index": 1, "label_smoothing": 0.1}],
        torch=torch_linear_cross_entropy,
        batched=(0, 3),
        errors=[
            bad(
                ShapeError,
                r"expects linear_weight of shape \(C, in_features\), got \(3,\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones(3), None, np.asarray([0, 0])),
            )
        ],
    ),
    nll_case(
        "nll_loss",
        labelled(4, 3, log=True),
        grid(reduction=REDUCTIONS, ignore_index=[-100, 2]),
        errors=label_errors("nll_loss"),
    ),
    nll_case("nll_loss with weights", labelled(4, 3, weighted=True, log=True), grid(reduction=REDUCTIONS)),
    nll_case("nll_loss of images", labelled(2, 3, 2, log=True), grid(reduction=["mean", "none"])),
]

LABELS = np.asarray([0, 2, 1, 1, 0, 2])
CLASS_WEIGHTS = np.asarray([1.0, 2.0, 0.5])
LAYERS = [
    layer("CrossEntropyLoss", (6, 3), LABELS),
    layer("CrossEntropyLoss", (6, 3), LABELS, weight=CLASS_WEIGHTS, label_smoothing=0.1),
    layer("CrossEntropyLoss", (6, 3), LABELS, ignore_index=1, reduction="sum"),
    layer("CrossEntropyLoss", (6, 3), lambda rng: rng.dirichlet(np.ones(3), 6), reduction="none"),
    layer("NLLLoss", (6, 3), LABELS),
    layer("NLLLoss", (6, 3), LABELS, weight=CLASS_WEIGHTS, ignore_index=1, reduction="sum"),
]
