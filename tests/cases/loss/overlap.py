"""Losses of detection and segmentation."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.loss.elementwise import REDUCTIONS, reduced
from xpnn.backend import ArgumentError, ShapeError


def naive_dice(x, t, eps=1e-6, reduction="mean"):
    losses = [1 - (2 * (a * b).sum() + eps) / (a.sum() + b.sum() + eps) for a, b in zip(x, t, strict=True)]
    return reduced(np.asarray(losses), reduction)


def naive_focal(x, t, alpha=0.25, gamma=2.0, reduction="none"):
    p = 1 / (1 + np.exp(-x))
    q = p * t + (1 - p) * (1 - t)
    losses = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * (1 - q) ** gamma
    return reduced(losses * (alpha * t + (1 - alpha) * (1 - t)) if alpha >= 0 else losses, reduction)


CASES = [
    Case(
        "dice_loss",
        F.dice_loss,
        inputs=lambda rng, **options: (rng.random((3, 2, 2)), rng.random((3, 2, 2))),
        options=[*grid(reduction=REDUCTIONS), {"reduction": "none", "eps": 1.0}],
        naive=naive_dice,
        batched=(),
        extremes=(),
        errors=[
            bad(
                ShapeError,
                r"expects target of shape \(3, 2\), got \(3, 1\)",
                inputs=lambda rng: (np.ones((3, 2)), np.ones((3, 1))),
            ),
            bad(ArgumentError, "expects eps of at least 0, got -1", eps=-1.0),
        ],
    ),
    Case(
        "sigmoid_focal_loss",
        F.sigmoid_focal_loss,
        inputs=lambda rng, **options: (rng.standard_normal((3, 2)), rng.random((3, 2))),
        options=[
            *grid(reduction=REDUCTIONS),
            {"reduction": "mean", "alpha": -1.0},
            {"reduction": "none", "alpha": 0.5, "gamma": 0.5},
        ],
        naive=naive_focal,
        batched=(),
        extremes=(),
    ),
]
