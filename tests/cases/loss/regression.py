"""Distances of numbers from numbers."""

from __future__ import annotations

import numpy as np

from cases.case import bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, elementwise, reduced
from xpnn.backend import ArgumentError


def naive_huber(x, t, reduction, delta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < delta, d**2 / 2, delta * (d - delta / 2)), reduction)


def naive_smooth_l1(x, t, reduction, beta=1.0):
    d = np.abs(x - t)
    return reduced(np.where(d < beta, d**2 / (2 * beta) if beta else 0, d - beta / 2), reduction)


CASES = [
    elementwise(
        "mse_loss", lambda x, t, reduction: reduced((x - t) ** 2, reduction), grid(reduction=REDUCTIONS)
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
