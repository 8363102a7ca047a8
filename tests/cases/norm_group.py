"""Group norm, instance norm and RMS norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.norm import parameters
from xpnn.backend import ArgumentError, DTypeError, ShapeError


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


def naive_instance_norm(x, mean, variance, w, b, use_input_stats=True, eps=1e-5):
    if use_input_stats:
        return naive_group_norm(x, w, b, x.shape[1], eps)
    shape = (1, -1, *[1] * (x.ndim - 2))
    h = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + eps)
    return h * (1 if w is None else w.reshape(shape)) + (0 if b is None else b.reshape(shape))


def naive_rms_norm(x, w, normalized_shape, eps):
    k = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    y = np.empty_like(x)
    for sample in np.ndindex(*x.shape[:-k]):
        y[sample] = x[sample] / np.sqrt((x[sample] ** 2).mean() + eps)
    return y if w is None else y * w


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
        **more,
    )


def instance_case(name, make, options, **more):
    return Case(
        name,
        F.instance_norm,
        inputs=make,
        options=options,
        torch=lambda torch, *inputs, **options: torch.nn.functional.instance_norm(*inputs, **options),
        naive=naive_instance_norm,
        batched=(),
        **more,
    )


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


def without_statistics(make):
    def arranged(rng, **options):
        x, w, b = make(rng)
        return x, None, None, w, b

    return arranged


def with_statistics(rng, **options):
    x, w, b = group_inputs(2, 3, 4)(rng)
    return x, rng.standard_normal(3), rng.uniform(0.5, 2.0, 3), w, b


CASES = [
    group_case(
        "group_norm",
        group_inputs(2, 4, 3),
        grid(num_groups=[2, 1, 4], eps=[1e-5, 0.1]),
        errors=[
            bad(ArgumentError, r"expects num_groups that divides the 4 channels, got 3", num_groups=3),
            bad(
                ShapeError,
                r"group_norm expects weight of shape \(4,\), got \(3,\)\. The input has 4 channels",
                inputs=lambda rng: (np.ones((2, 4, 3)), np.ones(3), None),
            ),
            bad(
                ShapeError,
                r"group_norm expects an input of at least 2 axes \(N, C, ...\), got 1",
                inputs=lambda rng: (np.ones(4), None, None),
            ),
            bad(
                DTypeError,
                r"group_norm expects a floating-point input, got int64",
                inputs=lambda rng: (np.ones((2, 4), dtype=np.int64), None, None),
            ),
        ],
    ),
    group_case("group_norm of images", group_inputs(2, 4, 2, 2), grid(num_groups=2)),
    group_case("group_norm of vectors", group_inputs(3, 6), grid(num_groups=2)),
    group_case("group_norm without parameters", group_inputs(2, 4, 3, affine=False), grid(num_groups=2)),
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
            bad(ArgumentError, r"expects running_mean and running_var unless use_input_stats",
                use_input_stats=False),
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
]  # fmt: skip
