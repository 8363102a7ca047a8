"""Divergences of distributions."""

from __future__ import annotations

import numpy as np

from cases.case import bad, grid
from cases.layer import layer
from cases.loss.elementwise import REDUCTIONS, elementwise, reduced
from xpnn.backend import ArgumentError


def naive_kl_div(x, t, reduction, log_target=False):
    p = np.exp(t) if log_target else t
    return reduced(p * (np.log(p) - x), reduction)


def log_probabilities(rng, *shape):
    x = rng.standard_normal(shape)
    return x - np.log(np.exp(x).sum(axis=min(1, x.ndim - 1), keepdims=True))


def kl_inputs(rng, reduction, log_target=False):
    t = log_probabilities(rng, 2, 3)
    return log_probabilities(rng, 2, 3), t if log_target else np.exp(t)


def naive_js_div(p, q, reduction):
    m = (p + q) / 2
    return reduced((p * np.log(p / m) + q * np.log(q / m)) / 2, reduction)


CASES = [
    elementwise(
        "js_div",
        naive_js_div,
        grid(reduction=["batchmean", "sum", "none"]),
        lambda rng, reduction: tuple(np.exp(log_probabilities(rng, 2, 3)) for _ in range(2)),
        torch=None,
        extremes=(),
        errors=[
            bad(
                ArgumentError,
                "js_div expects input as probabilities",
                values=True,
                inputs=lambda rng: (np.full(2, 1.5), np.ones(2)),
            )
        ],
    ),
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
