"""Cross entropy of two classes."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, elementwise, reduced
from xpnn.backend import ArgumentError, ShapeError


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_bce_with_logits(x, t, weight=None, pos_weight=None, reduction="mean"):
    p = sigmoid(x)
    losses = -((1 if pos_weight is None else pos_weight) * t * np.log(p) + (1 - t) * np.log(1 - p))
    return reduced(losses if weight is None else weight * losses, reduction)


def naive_bce(x, t, weight=None, reduction="mean"):
    losses = -(t * np.log(x) + (1 - t) * np.log(1 - x))
    return reduced(losses if weight is None else weight * losses, reduction)


def logits_and_targets(rng, **options):
    return 2 * rng.standard_normal((3, 2)), rng.random((3, 2))


def probabilities_and_targets(rng, **options):
    return rng.uniform(0.1, 0.9, (3, 2)), rng.random((3, 2))


def bce_with_pos_weight(x, t, weight, pos_weight, **options):
    return F.binary_cross_entropy_with_logits(x, t, weight, pos_weight=pos_weight, **options)


def torch_bce_with_pos_weight(torch, x, t, weight, pos_weight, **options):
    function = torch.nn.functional.binary_cross_entropy_with_logits
    return function(x, t, weight, pos_weight=pos_weight, **options)


CLASS_WEIGHTS = np.asarray([1.0, 2.0, 0.5])


def probabilities(rng):
    return rng.uniform(0.1, 0.9, (6, 3))


CASES = [
    elementwise(
        "binary_cross_entropy_with_logits",
        naive_bce_with_logits,
        grid(reduction=REDUCTIONS),
        logits_and_targets,
    ),
    Case(
        "binary_cross_entropy_with_logits with weights",
        bce_with_pos_weight,
        inputs=lambda rng, reduction: (
            *logits_and_targets(rng),
            rng.uniform(0.5, 2.0, (3, 1)),
            rng.uniform(0.5, 2.0, 2),
        ),
        options=grid(reduction=REDUCTIONS),
        torch=torch_bce_with_pos_weight,
        naive=naive_bce_with_logits,
        differentiable=(0, 1),
        batched=(0, 1, 2),
        errors=[
            bad(
                ShapeError,
                r"expects a pos_weight that broadcasts to \(3, 2\), got \(3,\)",
                inputs=lambda rng: (np.ones((3, 2)), np.ones((3, 2)), None, np.ones(3)),
            )
        ],
    ),
    elementwise(
        "binary_cross_entropy",
        naive_bce,
        grid(reduction=REDUCTIONS),
        probabilities_and_targets,
        errors=[
            bad(
                ArgumentError,
                r"expects input as probabilities between 0 and 1, got 1.5\. For scores use",
                inputs=lambda rng: (np.asarray([0.5, 1.5]), np.ones(2)),
                values=True,
            )
        ],
    ),
    Case(
        "binary_cross_entropy with weights",
        F.binary_cross_entropy,
        inputs=lambda rng: (*probabilities_and_targets(rng), rng.uniform(0.5, 2.0, 2)),
        torch=lambda torch, *arrays: torch.nn.functional.binary_cross_entropy(*arrays),
        naive=naive_bce,
        batched=(0, 1),
        differentiable=(0, 1),
    ),
]

LAYERS = [
    layer("BCEWithLogitsLoss", (6, 3), probabilities),
    layer("BCEWithLogitsLoss", (6, 3), probabilities, weight=CLASS_WEIGHTS, pos_weight=CLASS_WEIGHTS),
    layer("BCELoss", probabilities, probabilities),
    layer("BCELoss", probabilities, probabilities, weight=CLASS_WEIGHTS, reduction="none"),
]
