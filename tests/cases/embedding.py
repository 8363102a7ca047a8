"""Embedding."""

from __future__ import annotations

from itertools import pairwise

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


def naive_bags(
    indices, w, offsets=None, weights=None, mode="mean", include_last_offset=False, padding_idx=None
):
    if offsets is None:
        ranges = [(i * indices.shape[1], (i + 1) * indices.shape[1]) for i in range(len(indices))]
    else:
        starts = offsets[:-1] if include_last_offset else offsets
        ranges = list(pairwise([*starts, indices.size]))
    y = np.zeros((len(ranges), w.shape[1]))
    places, padding = indices.reshape(-1), None if padding_idx is None else padding_idx % len(w)
    scales = np.ones(indices.size) if weights is None else weights.reshape(-1)
    for bag, (start, end) in enumerate(ranges):
        rows = [w[places[i]] * scales[i] for i in range(start, end) if places[i] != padding]
        if rows:
            y[bag] = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, axis=0)
    return y


def torch_bags(torch, indices, w, offsets=None, weights=None, **options):
    return torch.nn.functional.embedding_bag(indices, w, offsets, per_sample_weights=weights, **options)


def our_bags(indices, w, offsets=None, weights=None, **options):
    return F.embedding_bag(indices, w, offsets, per_sample_weights=weights, **options)


def bags(name, inputs, options, errors=()):
    return Case(
        f"embedding_bag {name}".strip(),
        our_bags,
        inputs=inputs,
        options=options,
        torch=torch_bags,
        naive=naive_bags,
        errors=errors,
        batched=(),
        extremes=(),
    )


def in_matrix(rng, **options):
    return np.asarray([[0, 3, 1], [3, 3, 2]]), rng.standard_normal((4, 3))


def in_vector(rng, **options):
    return np.asarray([0, 3, 1, 3, 2]), rng.standard_normal((4, 3)), np.asarray([0, 2, 2, 4])


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
    bags(
        "",
        in_matrix,
        [{"mode": "mean"}, {"mode": "sum", "padding_idx": 3}, {"mode": "max", "padding_idx": 0}],
        errors=[
            bad(ArgumentError, r"expects mode to be 'sum', 'mean' or 'max', got 'min'", mode="min"),
            bad(ShapeError, r"expects no offsets", lambda rng: (*in_matrix(rng), np.asarray([0]))),
            bad(ArgumentError, r"expects padding_idx between -4 and 3, got 4", padding_idx=4),
            bad(
                ArgumentError,
                r"takes per_sample_weights for mode='sum' only",
                lambda rng: (*in_matrix(rng), None, np.ones((2, 3))),
            ),
            bad(
                IndexOutOfRangeError,
                r"expects indices between 0 and 3, got 4 at position 1",
                lambda rng: (np.asarray([[0, 4]]), np.ones((4, 3))),
                values=True,
            ),
        ],
    ),
    bags(
        "by offsets",
        in_vector,
        [
            {"mode": "mean", "padding_idx": -1},
            {"mode": "sum", "include_last_offset": True},
            {"mode": "max"},
        ],
        errors=[
            bad(ShapeError, r"expects offsets for an input \(n,\)", lambda rng: in_vector(rng)[:2]),
            bad(
                ArgumentError,
                r"expects offsets that start with 0, got 1",
                lambda rng: (*in_vector(rng)[:2], np.asarray([1, 2])),
                values=True,
            ),
            bad(
                ArgumentError,
                r"expects offsets that ascend from 0 to at most 5",
                lambda rng: (*in_vector(rng)[:2], np.asarray([0, 6])),
                values=True,
            ),
        ],
    ),
    bags(
        "with weights",
        lambda rng, **options: (*in_vector(rng), rng.standard_normal(5)),
        [{"mode": "sum"}, {"mode": "sum", "padding_idx": 3}],
        errors=[
            bad(
                ShapeError,
                r"expects per_sample_weights of shape \(5,\), got \(4,\)",
                lambda rng: (*in_vector(rng), np.ones(4)),
            )
        ],
    ),
    Case(
        "one_hot",
        F.one_hot,
        inputs=lambda rng, **options: (np.asarray([[0, 2], [1, 1]]),),
        options=[{"num_classes": 4}, {"num_classes": -1}],
        torch=lambda torch, x, num_classes: torch.nn.functional.one_hot(x, num_classes),
        naive=lambda x, num_classes: np.eye(num_classes if num_classes > 0 else x.max() + 1)[x],
        errors=[
            bad(
                IndexOutOfRangeError,
                r"one_hot expects input between 0 and 1, got 2 at position \(0, 1\)",
                num_classes=2,
                values=True,
            ),
            bad(ArgumentError, r"expects num_classes of at least 1, or -1, got 0", num_classes=0),
            bad(ArgumentError, r"classes of no elements", lambda rng: (np.zeros(0, int),), num_classes=-1),
            bad(DTypeError, r"expects input as integers, got float64", lambda rng: (np.ones(2),)),
        ],
    ),
]

LAYERS = [
    layer("Embedding", np.asarray([[0, 4], [2, 0]]), num_embeddings=5, embedding_dim=3),
    layer("Embedding", np.asarray([[0, 4], [2, 0]]), num_embeddings=5, embedding_dim=3, padding_idx=-1),
    layer("Embedding", np.asarray([0, 4]), num_embeddings=5, embedding_dim=3, scale_grad_by_freq=True),
    layer("EmbeddingBag", np.asarray([[0, 4], [2, 0]]), num_embeddings=5, embedding_dim=3),
    layer(
        "EmbeddingBag",
        *(np.asarray([0, 4, 2, 0]), np.asarray([0, 3])),
        num_embeddings=5,
        embedding_dim=3,
        mode="max",
        padding_idx=0,
    ),
    layer("EmbeddingBag", np.asarray([[0, 4]]), num_embeddings=5, embedding_dim=3, max_norm=1.0, norm_type=1),
]
