"""Layer norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.norm.parameters import parameters
from xpnn.backend import ShapeError


def naive_layer_norm(x, w, b, normalized_shape, eps=1e-5):
    """Sample by sample."""
    k = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = np.empty_like(x)
    for sample in np.ndindex(*x.shape[:-k]):
        h = (x[sample] - x[sample].mean()) / np.sqrt(x[sample].var() + eps)
        y[sample] = h * (1 if w is None else w) + (0 if b is None else b)
    return y


def layer_norm(x, w, b, normalized_shape, **options):
    return F.layer_norm(x, normalized_shape, w, b, **options)


def torch_layer_norm(torch, x, w, b, normalized_shape, **options):
    shape = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
    return torch.nn.functional.layer_norm(x, shape, w, b, **options)


def layer_inputs(*shape, affine=True):
    def make(rng, normalized_shape, **options):
        return 3 + 2 * rng.standard_normal(shape), *parameters(rng, normalized_shape, affine)

    return make


def layer_case(name, make, options, **more):
    return Case(
        name, layer_norm, inputs=make, options=options, torch=torch_layer_norm, naive=naive_layer_norm, **more
    )


CASES = [
    layer_case(
        "layer_norm",
        layer_inputs(3, 4),
        grid(normalized_shape=4, eps=[1e-5, 0.1]),
        errors=[
            bad(
                ShapeError,
                r"layer_norm expects an input that ends in the axes \(5,\), got one of shape \(3, 4\)",
                inputs=lambda rng: (np.ones((3, 4)), None, None),
                normalized_shape=5,
            ),
            bad(
                ShapeError,
                r"layer_norm expects weight of shape \(4,\), got \(3,\)",
                inputs=lambda rng: (np.ones((3, 4)), np.ones(3), None),
            ),
        ],
    ),
    layer_case("layer_norm of sequences", layer_inputs(2, 3, 4), grid(normalized_shape=4)),
    layer_case("layer_norm over two axes", layer_inputs(2, 3, 2), grid(normalized_shape=(3, 2))),
    layer_case("layer_norm of one sample", layer_inputs(4), grid(normalized_shape=4), batched=()),
    layer_case("layer_norm without parameters", layer_inputs(2, 4, affine=False), grid(normalized_shape=4)),
]

LAYERS = [
    layer("LayerNorm", (2, 3, 4), normalized_shape=4),
    layer("LayerNorm", (2, 3, 4), normalized_shape=(3, 4), bias=False),
    layer("LayerNorm", (2, 3, 4), normalized_shape=[4], elementwise_affine=False, eps=1e-3),
]
