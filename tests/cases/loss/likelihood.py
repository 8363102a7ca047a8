"""Negative log likelihoods."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.loss.elementwise import elementwise, reduced
from xpnn.backend import ArgumentError, ShapeError


def naive_gaussian(x, t, var, full=False, eps=1e-6, reduction="mean"):
    var = np.maximum(var if var.ndim == x.ndim else var[..., None], eps)
    losses = (np.log(var) + (x - t) ** 2 / var) / 2
    return reduced(losses + np.log(2 * np.pi) / 2 if full else losses, reduction)


def naive_poisson(x, t, reduction, log_input=True, full=False, eps=1e-8):
    losses = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    if full:
        losses = losses + np.where(t > 1, t * np.log(t) - t + np.log(2 * np.pi * t) / 2, 0)
    return reduced(losses, reduction)


def samples(*shape):
    """Means, samples and variances of this shape."""

    def make(rng, **options):
        return rng.standard_normal((3, 2)), rng.standard_normal((3, 2)), rng.uniform(0.5, 2.0, shape)

    return make


def counts(rng, log_input=True, **options):
    t = rng.choice([0.5, 1.5, 3.0, 7.0], (3, 2))
    return rng.standard_normal((3, 2)) if log_input else rng.uniform(0.5, 3.0, (3, 2)), t


def gaussian(name, make, options, **more):
    return Case(
        name,
        F.gaussian_nll_loss,
        inputs=make,
        options=options,
        torch=lambda torch, *arrays, **options: torch.nn.functional.gaussian_nll_loss(*arrays, **options),
        naive=naive_gaussian,
        **{"batched": (0, 1, 2), **more},
    )


CASES = [
    gaussian(
        "gaussian_nll_loss",
        samples(3, 2),
        [*grid(reduction=["mean", "none"]), {"reduction": "sum", "full": True}],
        extremes=(),  # PyTorch refuses a negative variance, and so does xpnn
        errors=[
            bad(
                ShapeError,
                r"expects var of shape \(3, 2\), .* got \(2,\)",
                inputs=lambda rng: (np.ones((3, 2)), np.ones((3, 2)), np.ones(2)),
            ),
            bad(
                ArgumentError,
                "expects variances of at least 0, got -1",
                inputs=lambda rng: (np.ones(2), np.ones(2), np.asarray([1.0, -1.0])),
                values=True,
            ),
            bad(ArgumentError, "expects eps of at least 0, got -1", eps=-1.0),
        ],
    ),
    gaussian("gaussian_nll_loss of one variance a sample", samples(3), grid(reduction=["mean"]), extremes=()),
    gaussian(
        "gaussian_nll_loss of one axis of variances", samples(3, 1), grid(reduction=["none"]), extremes=()
    ),
    Case(
        "gaussian_nll_loss of least variances",
        lambda x, t, var: F.gaussian_nll_loss(x, t, var, eps=10.0),
        inputs=samples(3, 2),
        torch=lambda torch, x, t, var: torch.nn.functional.gaussian_nll_loss(x, t, var, eps=10.0),
        differentiable=(0, 1),  # of the variance it is PyTorch's, not the formula's
    ),
    elementwise(
        "poisson_nll_loss",
        naive_poisson,
        [
            *grid(reduction=["mean", "none"]),
            {"reduction": "sum", "full": True},
            {"reduction": "mean", "log_input": False, "full": True},
            {"reduction": "none", "log_input": False, "eps": 0.1},
        ],
        counts,
    ),
]

LAYERS = [
    layer("GaussianNLLLoss", (6, 3), (6, 3), lambda rng: rng.random((6, 3)), full=True),
    layer("GaussianNLLLoss", (6, 3), (6, 3), lambda rng: rng.random((6, 3)), eps=0.5, reduction="none"),
    layer("PoissonNLLLoss", (6, 3), lambda rng: 5 * rng.random((6, 3)), full=True),
    layer("PoissonNLLLoss", lambda rng: rng.random((6, 3)), lambda rng: rng.random((6, 3)), log_input=False),
]
