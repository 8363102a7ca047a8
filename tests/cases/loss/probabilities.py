"""Entropies of probabilities."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.loss.cross_entropy import naive_nll
from cases.loss.elementwise import REDUCTIONS, reduced
from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError


def probabilities(*shape):
    def make(rng):
        x = rng.uniform(0.1, 1.0, shape)
        return x / x.sum(axis=min(1, x.ndim - 1), keepdims=True)

    return make


def naive_entropy(p, reduction):
    return reduced(-(p * np.log(p)).sum(axis=min(1, p.ndim - 1)), reduction)


def naive_cross_entropy(p, target, weight=None, **options):
    return naive_nll(np.log(p), target, weight, **options)


def one_hot(p, target):
    return np.moveaxis(np.eye(p.shape[1])[target], -1, 1) if target.ndim < p.ndim else target


def naive_per_cell(p, target, reduction):
    q = one_hot(p, target)
    return reduced(-(q * np.log(p) + (1 - q) * np.log(1 - p)), reduction)


def torch_per_cell(torch, p, target, reduction):
    if target.ndim < p.ndim:
        target = torch.nn.functional.one_hot(target, p.shape[1]).movedim(-1, 1).to(p.dtype)
    return torch.nn.functional.binary_cross_entropy(p, target, reduction=reduction)


def refused(name):
    return bad(
        ArgumentError,
        rf"{name} expects input as probabilities between 0 and 1, got 1\.5",
        inputs=lambda rng: (np.asarray([[0.5, 1.5]]), np.asarray([0])),
        values=True,
    )


LABELS = np.asarray([[0, 2], [1, 1]])

CASES = [
    Case(
        "entropy",
        F.entropy,
        inputs=lambda rng, reduction: (probabilities(2, 3, 2)(rng),),
        options=grid(reduction=REDUCTIONS),
        naive=naive_entropy,
        extremes=(),
        errors=[bad(ShapeError, r"got \(\)", inputs=lambda rng: (np.asarray(1.0),))],
    ),
    Case(
        "cross_entropy_of_probabilities",
        F.cross_entropy_of_probabilities,
        inputs=lambda rng, **options: (probabilities(2, 3, 2)(rng), LABELS),
        options=grid(reduction=REDUCTIONS, ignore_index=1),
        naive=naive_cross_entropy,
        batched=(0, 1),
        extremes=(),
        errors=[
            refused("cross_entropy_of_probabilities"),
            bad(
                IndexOutOfRangeError,
                r"got 3 at position \(0, 0\)",
                inputs=lambda rng: (np.full((1, 3, 1), 1 / 3), np.asarray([[3]])),
                values=True,
            ),
        ],
    ),
    Case(
        "cross_entropy_of_probabilities with weights",
        F.cross_entropy_of_probabilities,
        inputs=lambda rng: (probabilities(2, 3, 2)(rng), LABELS, rng.uniform(0.5, 2.0, 3)),
        naive=naive_cross_entropy,
        differentiable=(0,),
        batched=(0, 1),
        extremes=(),
    ),
    Case(
        "cross_entropy_of_probabilities and distributions",
        F.cross_entropy_of_probabilities,
        inputs=lambda rng, reduction: (probabilities(4, 3)(rng), probabilities(4, 3)(rng)),
        options=grid(reduction=REDUCTIONS),
        naive=naive_cross_entropy,
        batched=(0, 1),
        extremes=(),
    ),
    Case(
        "cross_entropy_per_cell",
        F.cross_entropy_per_cell,
        inputs=lambda rng, reduction: (probabilities(2, 3, 2)(rng), LABELS),
        options=grid(reduction=REDUCTIONS),
        torch=torch_per_cell,
        naive=naive_per_cell,
        batched=(0, 1),
        extremes=(),
        errors=[
            bad(
                ShapeError,
                r"expects labels of shape \(2,\)",
                inputs=lambda rng: (np.ones((2, 3)), LABELS[0, :1]),
            ),
        ],
    ),
    Case(
        "cross_entropy_per_cell of one-hot targets",
        F.cross_entropy_per_cell,
        inputs=lambda rng, reduction: (
            probabilities(2, 3)(rng),
            np.asarray([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        ),
        options=grid(reduction=["mean"]),
        torch=torch_per_cell,
        naive=naive_per_cell,
        batched=(0, 1),
        differentiable=(0,),
        extremes=(),
    ),
]
