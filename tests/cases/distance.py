"""Distances and similarities of vectors."""

from __future__ import annotations

import math

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError


def naive_pairwise(x1, x2, order=2.0, eps=1e-6, keepdim=False):
    return np.linalg.norm(x1 - x2 + eps, ord=order, axis=-1, keepdims=keepdim)


def naive_cosine(x1, x2, dim=1, eps=1e-8):
    lengths = [np.maximum(np.sqrt((x * x).sum(axis=dim)), eps) for x in (x1, x2)]
    return (x1 * x2).sum(axis=dim) / (lengths[0] * lengths[1])


def naive_normalize(x, order=2.0, dim=1, eps=1e-12):
    length = (np.abs(x) ** order).sum(axis=dim, keepdims=True) ** (1 / order)
    return x / np.maximum(length, eps)


def naive_pdist(x, order=2.0):
    pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]
    return np.asarray([np.linalg.norm(x[i] - x[j], ord=order) for i, j in pairs])


def normal(*shapes):
    return lambda rng, **options: tuple(rng.standard_normal(shape) for shape in shapes)


def pairwise(x1, x2, order=2.0, **options):
    return F.pairwise_distance(x1, x2, order, **options)


def torch_pairwise(torch, x1, x2, order=2.0, **options):
    return torch.pairwise_distance(x1, x2, order, **options)


def torch_cosine(torch, x1, x2, **options):
    return torch.cosine_similarity(x1, x2, **options)


CASES = [
    Case(
        "pairwise_distance",
        pairwise,
        inputs=normal((4, 3), (4, 3)),
        options=[{}, {"order": 1.0, "keepdim": True}, {"order": 3.0, "eps": 0.1}, {"order": math.inf}],
        torch=torch_pairwise,
        naive=naive_pairwise,
        batched=(0, 1),
        errors=[
            bad(
                ShapeError,
                r"expects x1, x2 of shapes that broadcast, got \(4, 3\), \(4, 2\)",
                inputs=lambda rng: (np.ones((4, 3)), np.ones((4, 2))),
            )
        ],
    ),
    Case(
        "pairwise_distance from one vector",
        pairwise,
        inputs=normal((4, 3), (3,)),
        torch=torch_pairwise,
        naive=naive_pairwise,
    ),
    Case(
        "cosine_similarity",
        F.cosine_similarity,
        inputs=normal((4, 3), (4, 3)),
        options=[{}, {"dim": 0}],
        torch=torch_cosine,
        naive=naive_cosine,
        batched=(),
        errors=[bad(IndexOutOfRangeError, "expects dim between -2 and 1", dim=2)],
    ),
    Case(
        "cosine_similarity of all pairs",
        F.cosine_similarity,
        inputs=normal((3, 1, 2), (4, 2)),
        options=[{"dim": -1}],
        torch=torch_cosine,
        naive=naive_cosine,
    ),
    Case(
        "normalize",
        lambda x, order=2.0, **options: F.normalize(x, order, **options),
        inputs=normal((3, 2, 2)),
        options=[{}, {"order": 1.0, "dim": -1}, {"order": 3.0, "dim": (0, 2)}],
        torch=lambda torch, x, order=2.0, **options: torch.nn.functional.normalize(x, order, **options),
        naive=naive_normalize,
        errors=[bad(IndexOutOfRangeError, "expects dim between -3 and 2", dim=3)],
    ),
    Case(
        "pdist",
        lambda x, order=2.0: F.pdist(x, order),
        inputs=normal((4, 3)),
        options=[{}, {"order": 1.0}, {"order": 3.0}],
        torch=lambda torch, x, order=2.0: torch.nn.functional.pdist(x, order),
        naive=naive_pdist,
        batched=(),  # PyTorch's backward ends the process
        axes=(2, 2),
        errors=[bad(ArgumentError, "expects p of at least 0, got -1", order=-1.0)],
    ),
]

LAYERS = [
    layer("PairwiseDistance", (4, 3), (4, 3)),
    layer("PairwiseDistance", (4, 3), (4, 3), p=1.0, keepdim=True),
    layer("CosineSimilarity", (4, 3), (4, 3)),
    layer("CosineSimilarity", (2, 4, 3), (2, 4, 3), dim=2),
]
