"""The Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np

from cases.case import grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, elementwise, reduced


def naive_kl_div(x, t, reduction, log_target=False):
    p = np.exp(t) if log_target else t
    return reduced(p * (np.log(p) - x), reduction)


def log_probabilities(rng, *shape):
    x = rng.standard_normal(shape)
    return x - np.log(np.exp(x).sum(axis=min(1, x.ndim - 1), keepdims=True))


def kl_inputs(rng, reduction, log_target=False):
    t = log_probabilities(rng, 2, 3)
    return log_probabilities(rng, 2, 3), t if log_target else np.exp(t)


CASES = [
    elementwise(
        "kl_div",
        naive_kl_div,
        grid(reduction=[*REDUCTIONS, "batchmean"], log_target=[False, True]),
        kl_inputs,
    ),
]

LAYERS = [
    layer("KLDivLoss", (6, 3), lambda rng: rng.random((6, 3)), reduction="batchmean"),
    layer("KLDivLoss", (6, 3), (6, 3), reduction="sum", log_target=True),
]
