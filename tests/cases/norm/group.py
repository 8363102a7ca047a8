"""Group norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.norm.parameters import parameters
from xpnn.backend import ArgumentError, ShapeError


def naive_group_norm(x, w, b, num_groups, eps=1e-5):
    """Sample by sample, group by group."""
    y = np.empty_like(x)
    size = x.shape[1] // num_groups
    for n in range(x.shape[0]):
        for group in range(num_groups):
            channels = slice(group * size, (group + 1) * size)
            values = x[n, channels]
            y[n, channels] = (values - values.mean()) / np.sqrt(values.var() + eps)
    shape = (1, -1, *[1] * (x.ndim - 2))
    return y * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def group_inputs(*shape, affine=True):
    return lambda rng, **options: (
        3 + 2 * rng.standard_normal(shape),
        *parameters(rng, shape[1], affine),
    )


def group_case(name, make, options, **more):
    return Case(
        name,
        lambda x, w, b, num_groups, **options: F.group_norm(x, num_groups, w, b, **options),
        inputs=make,
        options=options,
        torch=lambda torch, x, w, b, num_groups, **options: torch.nn.functional.group_norm(
            x, num_groups, w, b, **options
        ),
        naive=naive_group_norm,
        axes=(2, None),
        **more,
    )


CASES = [
    group_case(
        "group_norm",
        group_inputs(2, 4, 3),
        grid(num_groups=[2, 1, 4], eps=[1e-5, 0.1]),
        errors=[
            bad(ArgumentError, r"expects num_groups that divides the 4 channels, got 3", num_groups=3),
            bad(
                ShapeError,
                r"more than one value per group, got an input of shape \(1, 4\) in 4 groups",
                inputs=lambda rng: (np.ones((1, 4)), None, None),
                num_groups=4,
            ),
            bad(
                ShapeError,
                r"group_norm expects weight of shape \(4,\), got \(3,\)\. The input has 4 channels",
                inputs=lambda rng: (np.ones((2, 4, 3)), np.ones(3), None),
            ),
        ],
    ),
    group_case("group_norm of images", group_inputs(2, 4, 2, 2), grid(num_groups=2)),
    group_case("group_norm of vectors", group_inputs(3, 6), grid(num_groups=2)),
    group_case("group_norm without parameters", group_inputs(2, 4, 3, affine=False), grid(num_groups=2)),
]

LAYERS = [
    layer("GroupNorm", (2, 4, 3), num_groups=2, num_channels=4, bias=False),
    layer("GroupNorm", (3, 4, 2, 3), num_groups=2, num_channels=4),
    layer("GroupNorm", (3, 4), num_groups=1, num_channels=4, affine=False, eps=1e-3),
]
