"""Losses with a margin."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, elementwise, reduced
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError


def signs(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


def scores_and_signs(rng, **options):
    return rng.standard_normal((3, 2)), signs(rng, 3, 2)


def naive_hinge(x, t, margin=1.0, reduction="mean"):
    return reduced(np.maximum(0, margin - t * x), reduction)


def naive_soft_margin(x, t, reduction):
    return reduced(np.log(1 + np.exp(-t * x)), reduction)


def naive_hinge_embedding(x, t, reduction, margin=1.0):
    return reduced(np.where(t == 1, x, np.maximum(0, margin - x)), reduction)


def naive_ranking(x1, x2, t, margin=0.0, reduction="mean"):
    return reduced(np.maximum(0, margin - t * (x1 - x2)), reduction)


def naive_multi_margin(x, y, weight=None, p=1, margin=1.0, reduction="mean"):
    rows, labels = np.atleast_2d(x), np.atleast_1d(y)
    weight = np.ones(rows.shape[1]) if weight is None else weight
    losses = np.zeros(len(rows))
    for n, (row, label) in enumerate(zip(rows, labels, strict=True)):
        for c, score in enumerate(row):
            if c != label:
                losses[n] += weight[label] * max(0, margin - row[label] + score) ** p / len(row)
    return reduced(losses if x.ndim == 2 else losses[0], reduction)


def naive_multilabel_margin(x, y, reduction):
    losses = np.zeros(len(x))
    for n, (row, numbers) in enumerate(zip(x, y.tolist(), strict=True)):
        own = numbers[: numbers.index(-1)] if -1 in numbers else numbers
        for label in own:
            for c, score in enumerate(row):
                if c not in own:
                    losses[n] += max(0, 1 - row[label] + score) / len(row)
    return reduced(losses, reduction)


def naive_multilabel_soft_margin(x, t, weight=None, reduction="mean"):
    p = 1 / (1 + np.exp(-x))
    losses = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    return reduced((losses if weight is None else weight * losses).mean(axis=-1), reduction)


def with_weight(name):
    return lambda x, t, weight, **options: getattr(F, name)(x, t, weight=weight, **options)


def torch_with_weight(name):
    def oracle(torch, x, t, weight=None, **options):
        return getattr(torch.nn.functional, name)(x, t, weight=weight, **options)

    return oracle


def torch_hinge(torch, x, t, margin=1.0, reduction="mean"):
    losses = torch.nn.functional.relu(margin - t * x)
    return losses if reduction == "none" else getattr(losses, reduction)()


def labelled(rng, **options):
    return rng.standard_normal((3, 4)), np.asarray([3, 0, 1])


CLASSES = np.asarray([[1, 3, -1, 0], [-1, 0, 1, 2], [2, 1, 0, 3]])


CASES = [
    elementwise(
        "hinge_loss",
        naive_hinge,
        [*grid(reduction=REDUCTIONS), {"reduction": "mean", "margin": 0.5}],
        scores_and_signs,
        torch=torch_hinge,
        extremes=(),
    ),
    elementwise(
        "soft_margin_loss",
        naive_soft_margin,
        grid(reduction=REDUCTIONS),
        scores_and_signs,
        differentiable=(0,),
        extremes=(),  # PyTorch's overflows: tests/test_extreme_values.py has it among the singular points
    ),
    elementwise(
        "hinge_embedding_loss",
        naive_hinge_embedding,
        [*grid(reduction=REDUCTIONS), {"reduction": "sum", "margin": 0.5}],
        scores_and_signs,
        differentiable=(0,),
    ),
    Case(
        "margin_ranking_loss",
        F.margin_ranking_loss,
        inputs=lambda rng, **options: (
            rng.standard_normal((3, 2)),
            rng.standard_normal((3, 1)),
            signs(rng, 3, 2),
        ),
        options=[*grid(reduction=["mean", "none"]), {"reduction": "sum", "margin": 0.5}],
        torch=lambda torch, *arrays, **options: torch.nn.functional.margin_ranking_loss(*arrays, **options),
        naive=naive_ranking,
        batched=(0, 1, 2),
        errors=[
            bad(
                ShapeError,
                r"same number of axes, got \(3,\), \(3, 1\), \(3,\)",
                inputs=lambda rng: (np.ones(3), np.ones((3, 1)), np.ones(3)),
            ),
            bad(
                ShapeError,
                r"expects input1, input2, target of shapes that broadcast, got \(3,\), \(2,\), \(3,\)",
                inputs=lambda rng: (np.ones(3), np.ones(2), np.ones(3)),
            ),
        ],
    ),
    Case(
        "multi_margin_loss",
        F.multi_margin_loss,
        inputs=labelled,
        options=[*grid(reduction=REDUCTIONS), {"reduction": "mean", "p": 2, "margin": 0.5}],
        torch=lambda torch, *arrays, **options: torch.nn.functional.multi_margin_loss(*arrays, **options),
        naive=naive_multi_margin,
        batched=(),  # PyTorch's mean of nothing is what its memory holds
        errors=[
            bad(ArgumentError, r"expects p as 1 or 2, got 3", p=3),
            bad(
                IndexOutOfRangeError,
                r"expects labels between 0 and 3, got 4 at position 1",
                inputs=lambda rng: (np.ones((2, 4)), np.asarray([0, 4])),
                values=True,
            ),
            bad(ShapeError, r"expects labels of shape \(3,\)", inputs=lambda rng: (np.ones((3, 4)), CLASSES)),
            bad(
                ShapeError,
                r"expects an input of shape \(N, C\) or \(C,\), got \(1, 2, 3\)",
                inputs=lambda rng: (np.ones((1, 2, 3)), CLASSES),
            ),
        ],
    ),
    Case(
        "multi_margin_loss with weights",
        with_weight("multi_margin_loss"),
        inputs=lambda rng, **options: (*labelled(rng), rng.uniform(0.5, 2.0, 4)),
        options=[{"reduction": "none", "p": 2}, {"reduction": "mean"}],
        torch=torch_with_weight("multi_margin_loss"),
        naive=naive_multi_margin,
        differentiable=(0,),
        batched=(),
    ),
    Case(
        "multi_margin_loss of one sample",
        F.multi_margin_loss,
        inputs=lambda rng: (rng.standard_normal(3), np.asarray(2)),
        torch=lambda torch, *arrays: torch.nn.functional.multi_margin_loss(*arrays),
        naive=naive_multi_margin,
        batched=(),
    ),
    Case(
        "multilabel_margin_loss",
        F.multilabel_margin_loss,
        inputs=lambda rng, reduction: (rng.standard_normal((3, 4)), CLASSES),
        options=grid(reduction=REDUCTIONS),
        torch=lambda torch, *arrays, **options: torch.nn.functional.multilabel_margin_loss(
            *arrays, **options
        ),
        naive=naive_multilabel_margin,
        batched=(),
        errors=[
            bad(
                IndexOutOfRangeError,
                r"expects classes between 0 and 1, got 2 at position \(0, 1\)",
                inputs=lambda rng: (np.ones((1, 2)), np.asarray([[0, 2]])),
                values=True,
            ),
            bad(
                ShapeError,
                r"shaped as the input, \(3, 4\), got \(3,\)",
                inputs=lambda rng: (np.ones((3, 4)), np.asarray([0, 1, 2])),
            ),
            bad(
                DTypeError,
                "expects target as integers, got float64",
                inputs=lambda rng: (np.ones((3, 4)), np.ones((3, 4))),
            ),
        ],
    ),
    Case(
        "multilabel_soft_margin_loss",
        with_weight("multilabel_soft_margin_loss"),
        inputs=lambda rng, reduction: (
            rng.standard_normal((3, 2)),
            rng.random((3, 2)),
            rng.uniform(0.5, 2.0, 2) if reduction != "mean" else None,
        ),
        options=grid(reduction=REDUCTIONS),
        torch=torch_with_weight("multilabel_soft_margin_loss"),
        naive=naive_multilabel_soft_margin,
        batched=(0, 1),
        errors=[
            bad(
                ShapeError,
                r"got \(\)",
                inputs=lambda rng: (np.asarray(1.0), np.asarray(1.0), None),
            ),
        ],
    ),
]

LABELS = np.asarray([0, 2, 1, 1, 0, 2])
NUMBERS = np.asarray([[0, -1, 1], [2, 1, -1], [0, 1, 2], [-1, 0, 0], [1, -1, -1], [2, 0, -1]])
CLASS_WEIGHTS = np.asarray([1.0, 2.0, 0.5])


def six_signs(rng):  # whole numbers: PyTorch has no gradient of them
    return rng.choice([-1, 1], 6)


LAYERS = [
    layer("SoftMarginLoss", (6,), six_signs),
    layer("HingeEmbeddingLoss", (6,), six_signs, margin=0.5, reduction="none"),
    layer("MarginRankingLoss", (6,), (6,), six_signs, margin=0.5),
    layer("MultiMarginLoss", (6, 3), LABELS),
    layer("MultiMarginLoss", (6, 3), LABELS, p=2, margin=0.5, weight=CLASS_WEIGHTS, reduction="none"),
    layer("MultiLabelMarginLoss", (6, 3), NUMBERS, reduction="sum"),
    layer("MultiLabelSoftMarginLoss", (6, 3), lambda rng: rng.random((6, 3)), weight=CLASS_WEIGHTS),
]
