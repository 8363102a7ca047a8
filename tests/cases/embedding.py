"""Embedding."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError, DTypeError, IndexOutOfRangeError, ShapeError


def naive_embedding(indices, w, padding_idx=None):
    y = np.empty((*indices.shape, w.shape[1]))
    for place in np.ndindex(*indices.shape):
        y[place] = w[indices[place]]
    return y


def torch_embedding(torch, indices, w, padding_idx=None):
    return torch.nn.functional.embedding(indices, w, padding_idx)


def inputs(indices):
    return lambda rng, **options: (np.asarray(indices), rng.standard_normal((4, 3)))


def case(name, indices, **more):
    return Case(
        name, F.embedding, inputs=inputs(indices), torch=torch_embedding, naive=naive_embedding, **more
    )


CASES = [
    case(
        "embedding",
        [[0, 3, 1], [3, 3, 0]],
        errors=[
            bad(
                IndexOutOfRangeError,
                r"embedding expects indices between 0 and 3, got 4 at position \(1, 0\)\. The table has 4 r",
                inputs=inputs([[0, 1], [4, 0]]),
                values=True,
            ),
            bad(IndexOutOfRangeError, r"got -1 at position 1", inputs=inputs([0, -1]), values=True),
            bad(ArgumentError, r"expects padding_idx between -4 and 3, got 4", padding_idx=4),
            bad(DTypeError, r"expects input as integers, got float64", inputs=inputs([0.0])),
            bad(
                ShapeError,
                r"expects weight of 2 axes \(rows, features\), got 1",
                inputs=lambda rng: (np.zeros(2, dtype=np.int64), np.ones(4)),
            ),
        ],
    ),
    case("embedding of one index", 2, batched=()),
    case("embedding of a vector", [1, 1, 2]),
    # The row of the padding is looked up as any other; that it gets no gradient, finite differences cannot
    # see: tests/test_functional.py asks PyTorch.
    case("embedding with padding", [[0, 3], [3, 1]], options=[{"padding_idx": -1}], differentiable=()),
]

LAYERS = [
    layer("Embedding", np.asarray([[0, 4], [2, 0]]), num_embeddings=5, embedding_dim=3),
    layer("Embedding", np.asarray([[0, 4], [2, 0]]), num_embeddings=5, embedding_dim=3, padding_idx=-1),
]
