"""Distances of numbers from numbers."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, differing, elementwise, reduced
from xpnn.backend import ArgumentError


def naive_huber(x, t, reduction, delta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < delta, d**2 / 2, delta * (d - delta / 2)), reduction)


def naive_smooth_l1(x, t, reduction, beta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < beta, d**2 / (2 * beta) if beta else 0, d - beta / 2), reduction)


def naive_squares(x, t, weight=None, reduction="mean"):
    losses = (x - t) ** 2 * weight
    return losses.sum() / weight.sum() if reduction == "mean" else reduced(losses, reduction)


def weighted(rng, **options):
    return *differing(3, 2)(rng), rng.uniform(0.5, 2.0, (3, 2))


CASES = [
    elementwise(
        "mse_loss", lambda x, t, reduction: reduced((x - t) ** 2, reduction), grid(reduction=REDUCTIONS)
    ),
    Case(
        "mse_loss with weights",
        lambda x, t, w, **options: F.mse_loss(x, t, weight=w, **options),
        inputs=weighted,
        options=grid(reduction=REDUCTIONS),
        torch=lambda torch, x, t, w, **options: torch.nn.functional.mse_loss(x, t, weight=w, **options),
        naive=naive_squares,
        batched=(0, 1, 2),
    ),
    Case(
        "l1_loss with weights",
        lambda x, t, w, **options: F.l1_loss(x, t, weight=w, **options),
        inputs=weighted,
        options=grid(reduction=["mean"]),
        torch=lambda torch, x, t, w, **options: torch.nn.functional.l1_loss(x, t, weight=w, **options),
        batched=(0, 1, 2),
    ),
    Case(
        "huber_loss with weights",
        lambda x, t, w, **options: F.huber_loss(x, t, weight=w, **options),
        inputs=weighted,
        options=grid(reduction=["mean"]),
        torch=lambda torch, x, t, w, **options: torch.nn.functional.huber_loss(x, t, weight=w, **options),
        batched=(0, 1, 2),
    ),
    elementwise(
        "half_squared_error",
        lambda x, t, reduction: reduced((x - t) ** 2 / 2, reduction),
        grid(reduction=REDUCTIONS),
        torch=lambda torch, x, t, reduction: torch.nn.functional.mse_loss(x, t, reduction=reduction) / 2,
    ),
    elementwise(
        "l1_loss", lambda x, t, reduction: reduced(np.abs(x - t), reduction), grid(reduction=REDUCTIONS)
    ),
    elementwise(
        "huber_loss",
        naive_huber,
        [*grid(reduction=REDUCTIONS), {"reduction": "mean", "delta": 2.0}],
        errors=[bad(ArgumentError, r"huber_loss expects a positive delta, got 0", delta=0)],
    ),
    elementwise(
        "smooth_l1_loss",
        naive_smooth_l1,
        [*grid(reduction=REDUCTIONS), *grid(reduction="sum", beta=[2.0, 0.0])],
        errors=[bad(ArgumentError, r"smooth_l1_loss expects a beta of at least 0, got -1", beta=-1)],
    ),
]

LAYERS = [
    *[layer("MSELoss", (6, 3), (6, 3), reduction=reduction) for reduction in REDUCTIONS],
    *[layer("L1Loss", (6, 3), (6, 3), reduction=reduction) for reduction in REDUCTIONS],
    layer("HuberLoss", (6, 3), (6, 3), delta=0.5),
    layer("SmoothL1Loss", (6, 3), (6, 3), beta=0.5, reduction="sum"),
]
