"""Instance norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.norm.group import group_inputs, naive_group_norm
from cases.norm.parameters import parameters
from xpnn.backend import ArgumentError, ShapeError


def naive_instance_norm(x, mean, variance, w, b, use_input_stats=True, eps=1e-5):
    if use_input_stats:
        return naive_group_norm(x, w, b, x.shape[1], eps or 1e-300)  # equal values are 0, not NaN
    shape = (1, -1, *[1] * (x.ndim - 2))
    h = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)
    return h * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def instance_case(name, make, options, **more):
    return Case(
        name,
        F.instance_norm,
        inputs=make,
        options=options,
        torch=lambda torch, *inputs, **options: torch.nn.functional.instance_norm(*inputs, **options),
        naive=naive_instance_norm,
        axes=(2, None),
        own_dtype=(1, 2),  # the statistics of half precision are float32
        batched=(),
        **more,
    )


def without_statistics(make):
    def arranged(rng, **options):
        x, w, b = make(rng)
        return x, None, None, w, b

    return arranged


def with_statistics(rng, **options):
    x, w, b = group_inputs(2, 3, 4)(rng)
    return x, rng.standard_normal(3), rng.uniform(0.5, 2.0, 3), w, b


CASES = [
    instance_case(
        "instance_norm",
        without_statistics(group_inputs(2, 3, 4)),
        grid(eps=[1e-5, 0.1]),
        errors=[
            bad(
                ShapeError,
                r"instance_norm expects more than one value per channel and sample, got an input of shape "
                r"\(2, 3, 1\)",
                inputs=lambda rng: (np.ones((2, 3, 1)), None, None),
            ),
            bad(
                ArgumentError,
                r"expects running_mean and running_var unless use_input_stats",
                use_input_stats=False,
            ),
        ],
    ),
    instance_case(
        "instance_norm of images without parameters",
        without_statistics(group_inputs(2, 3, 2, 2, affine=False)),
        [{}],
    ),
    instance_case(
        "instance_norm by running statistics",
        with_statistics,
        grid(use_input_stats=False),
        differentiable=(0, 3, 4),
    ),
    instance_case(
        "instance_norm of equal values without eps",
        lambda rng, **options: (
            np.concatenate([rng.standard_normal((2, 1, 3)), np.full((2, 1, 3), 4.0)], axis=1),
            None,
            None,
            *parameters(rng, 2),
        ),
        grid(eps=0.0),
        differentiable=(3, 4),  # there is no derivative where values are equal
        extremes=(),
    ),
]

LAYERS = [
    layer("InstanceNorm1d", (2, 3, 5), num_features=3, affine=True, bias=False),
    layer("InstanceNorm1d", (2, 3, 4), num_features=3),
    layer("InstanceNorm2d", (2, 3, 4, 2), num_features=3, affine=True, track_running_stats=True),
    layer("InstanceNorm2d", (3, 4, 2), num_features=3, momentum=0.3, track_running_stats=True),
    layer("InstanceNorm3d", (2, 2, 3, 2, 2), num_features=2, eps=1e-3),
]
