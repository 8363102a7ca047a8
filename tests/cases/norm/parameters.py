"""What norms share: weights and biases."""

from __future__ import annotations


def parameters(rng, shape, affine=True):
    if not affine:
        return None, None
    return rng.uniform(0.5, 2.0, shape), rng.standard_normal(shape)
