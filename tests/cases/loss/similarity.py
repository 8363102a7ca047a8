"""Losses of vectors."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import Layer, layer
from cases.loss.elementwise import REDUCTIONS, reduced
from xpnn.backend import ArgumentError, ShapeError


def naive_cosine(x1, x2, t, margin=0.0, reduction="mean"):
    rows1, rows2 = np.atleast_2d(x1), np.atleast_2d(x2)
    losses = np.zeros(len(rows1))
    for n, (a, b, sign) in enumerate(zip(rows1, rows2, np.atleast_1d(t), strict=True)):
        cosine = a @ b / np.sqrt((a @ a + 1e-12) * (b @ b + 1e-12))
        losses[n] = 1 - cosine if sign == 1 else max(0, cosine - margin)
    return reduced(losses if x1.ndim == 2 else losses[0], reduction)


def naive_triplet(a, p, n, order=2.0, margin=1.0, eps=1e-6, swap=False, reduction="mean"):
    def distance(x, y):
        return np.linalg.norm(x - y + eps, ord=order, axis=-1)

    near, far = distance(a, p), distance(a, n)
    return reduced(
        np.maximum(0, margin + near - (np.minimum(far, distance(p, n)) if swap else far)), reduction
    )


def vectors(count):
    return lambda rng, **options: tuple(rng.standard_normal((4, 3)) for _ in range(count))


def pairs(rng, **options):
    return *vectors(2)(rng), np.asarray([1, -1, -1, 1])


def triplet(a, p, n, order=2.0, **options):
    return F.triplet_margin_loss(a, p, n, p=order, **options)


def torch_triplet(torch, a, p, n, order=2.0, **options):
    return torch.nn.functional.triplet_margin_loss(a, p, n, p=order, **options)


def squared_distance(x, y):
    return ((x - y) ** 2).sum(-1)


def with_distance(a, p, n, **options):
    return F.triplet_margin_with_distance_loss(a, p, n, distance_function=F.cosine_similarity, **options)


def torch_with_distance(torch, a, p, n, **options):
    function = torch.nn.functional.triplet_margin_with_distance_loss
    return function(a, p, n, distance_function=torch.cosine_similarity, **options)


CASES = [
    Case(
        "cosine_embedding_loss",
        F.cosine_embedding_loss,
        inputs=pairs,
        options=[*grid(reduction=REDUCTIONS), {"reduction": "none", "margin": 0.2}],
        torch=lambda torch, *arrays, **options: torch.nn.functional.cosine_embedding_loss(*arrays, **options),
        naive=naive_cosine,
        batched=(0, 1, 2),
        errors=[
            bad(
                ShapeError,
                r"expects inputs of shape \(N, D\) .* got \(2, 3\), \(2, 3\), \(2, 1\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1))),
            ),
            bad(
                ShapeError,
                r"expects a target of shape \(2,\) for 2 pairs, got \(3,\)",
                inputs=lambda rng: (np.ones((2, 3)), np.ones((2, 3)), np.ones(3)),
            ),
        ],
    ),
    Case(
        "cosine_embedding_loss of one pair",
        F.cosine_embedding_loss,
        inputs=lambda rng: (rng.standard_normal(3), rng.standard_normal(3), np.asarray(1)),
        torch=lambda torch, *arrays: torch.nn.functional.cosine_embedding_loss(*arrays),
        naive=naive_cosine,
        batched=(),
    ),
    Case(
        "triplet_margin_loss",
        triplet,
        inputs=vectors(3),
        options=[
            *grid(reduction=REDUCTIONS),
            {"reduction": "mean", "swap": True},
            {"reduction": "none", "order": 1.0, "margin": 2.0},
            {"reduction": "mean", "order": 3.0, "eps": 0.1},
        ],
        torch=torch_triplet,
        naive=naive_triplet,
        batched=(0, 1, 2),
        errors=[
            bad(ArgumentError, r"expects a positive margin, got 0", margin=0),
            bad(
                ShapeError,
                r"same number of axes, got \(3,\), \(2, 3\), \(3,\)",
                inputs=lambda rng: (np.ones(3), np.ones((2, 3)), np.ones(3)),
            ),
        ],
    ),
    Case(
        "triplet_margin_with_distance_loss",
        with_distance,
        inputs=vectors(3),
        options=grid(reduction=REDUCTIONS, swap=True, margin=0.5),
        torch=torch_with_distance,
        batched=(0, 1, 2),
    ),
]

LAYERS = [
    layer("CosineEmbeddingLoss", (4, 3), (4, 3), np.asarray([1, -1, -1, 1]), margin=0.2),
    layer("TripletMarginLoss", (4, 3), (4, 3), (4, 3)),
    layer("TripletMarginLoss", (4, 3), (4, 3), (4, 3), margin=2.0, p=1.0, swap=True, reduction="sum"),
    layer("TripletMarginWithDistanceLoss", (4, 3), (4, 3), (4, 3), swap=True),
    layer(
        "TripletMarginWithDistanceLoss",
        (4, 3),
        (4, 3),
        (4, 3),
        distance_function=Layer("CosineSimilarity", ()),
        margin=0.5,
    ),
]
