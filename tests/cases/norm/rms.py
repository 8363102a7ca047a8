"""RMS norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ShapeError


def naive_rms_norm(x, w, normalized_shape, eps):
    k = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = np.empty_like(x)
    for sample in np.ndindex(*x.shape[:-k]):
        y[sample] = x[sample] / np.sqrt((x[sample] ** 2).mean() + eps)
    return y if w is None else y * w


def rms_case(name, shape, options, affine=True, **more):
    def torch_rms(torch, x, w, normalized_shape, eps):
        size = [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
        return torch.nn.functional.rms_norm(x, size, w, eps)

    return Case(
        name,
        lambda x, w, normalized_shape, **options: F.rms_norm(x, normalized_shape, w, **options),
        inputs=lambda rng, normalized_shape, **options: (
            rng.standard_normal(shape),
            rng.uniform(0.5, 2.0, normalized_shape) if affine else None,
        ),
        options=options,
        torch=torch_rms,
        naive=naive_rms_norm,
        **more,
    )


CASES = [
    rms_case(
        "rms_norm",
        (3, 4),
        grid(normalized_shape=4, eps=[1e-5, 0.1]),
        errors=[
            bad(
                ShapeError,
                r"rms_norm expects an input that ends in the axes \(5,\), got one of shape \(3, 4\)",
                inputs=lambda rng: (np.ones((3, 4)), None),
                normalized_shape=5,
            ),
            bad(
                ShapeError,
                r"rms_norm expects weight of shape \(4,\), got \(3,\)",
                inputs=lambda rng: (np.ones((3, 4)), np.ones(3)),
            ),
        ],
    ),
    rms_case("rms_norm over two axes", (2, 3, 2), grid(normalized_shape=(3, 2), eps=1e-5)),
    rms_case("rms_norm without a weight", (2, 3, 4), grid(normalized_shape=4, eps=1e-5), affine=False),
]

LAYERS = [
    layer("RMSNorm", (2, 3, 4), normalized_shape=4),
    layer("RMSNorm", (2, 3, 4), normalized_shape=(3, 4), eps=1e-3, elementwise_affine=False),
]
