"""Batch norm."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from cases.norm.parameters import parameters
from xpnn.backend import ArgumentError, ShapeError


def naive_batch_norm(x, mean, variance, w, b, training=False, momentum=0.1, eps=1e-5):
    """Channel by channel."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        m = values.mean() if training else mean[c]
        v = ((values - m) ** 2).mean() if training else variance[c]
        y[:, c] = (values - m) / np.sqrt(v + eps) * (1 if w is None else w[c]) + (0 if b is None else b[c])
    return y


def torch_batch_norm(torch, x, mean, variance, w, b, **options):
    return torch.nn.functional.batch_norm(x, mean, variance, w, b, **options)


def torch_inference(torch, x, mean, variance, w, b, eps):
    """By the formula: PyTorch's own has no gradient into the running statistics."""
    mean, variance, w, b = (v.reshape(1, -1, *[1] * (x.ndim - 2)) for v in (mean, variance, w, b))
    return (x - mean) / torch.sqrt(variance + eps) * w + b


def inference_inputs(*shape, affine=True):
    def make(rng, **options):
        c = shape[1]
        statistics = rng.standard_normal(c), rng.uniform(0.5, 2.0, c)
        return rng.standard_normal(shape), *statistics, *parameters(rng, c, affine)

    return make


def training_inputs(*shape, affine=True):
    def make(rng, **options):
        return 3 + 2 * rng.standard_normal(shape), None, None, *parameters(rng, shape[1], affine)

    return make


def torch_with_statistics(torch, x, w, b, eps):
    axes = [0, *range(2, x.ndim)]
    variance, mean = torch.var_mean(x, axes, correction=0)
    return torch.nn.functional.batch_norm(x, None, None, w, b, training=True, eps=eps), mean, variance


def naive_running_statistics(running_mean, running_var, mean, variance, count, momentum):
    unbiased = variance * count / (count - 1)
    return (
        running_mean + momentum * (mean - running_mean),
        running_var + momentum * (unbiased - running_var),
    )


def naive_with_statistics(x, w, b, eps):
    axes = (0, *range(2, x.ndim))
    return naive_batch_norm(x, None, None, w, b, True, eps=eps), x.mean(axis=axes), x.var(axis=axes)


def joined_inputs(make):
    """With a residual behind the others."""

    def more(rng, **options):
        x, *others = make(rng)
        return x, *others, rng.standard_normal(x.shape)

    return more


def joined(x, mean, variance, w, b, residual, **options):
    return F.batch_norm(x, mean, variance, w, b, residual=residual, **options)


def torch_joined(torch, x, mean, variance, w, b, residual, training, relu):
    y = torch.nn.functional.batch_norm(x, mean, variance, w, b, training=training) + residual
    return torch.relu(y) if relu else y


def naive_joined(x, mean, variance, w, b, residual, training, relu):
    y = naive_batch_norm(x, mean, variance, w, b, training) + residual
    return np.maximum(y, 0) if relu else y


def torch_rectified(torch, x, mean, variance, w, b, relu, **options):
    return torch.relu(torch.nn.functional.batch_norm(x, mean, variance, w, b, **options))


def naive_rectified(x, mean, variance, w, b, relu, **options):
    return np.maximum(naive_batch_norm(x, mean, variance, w, b, **options), 0)


def batch_case(name, make, options, torch=torch_batch_norm, **more):
    return Case(
        name,
        F.batch_norm,
        inputs=make,
        options=options,
        torch=torch,
        naive=naive_batch_norm,
        axes=(2, None),
        own_dtype=(1, 2),  # the statistics of half precision are float32
        **more,
    )


CASES = [
    batch_case(
        "batch_norm",
        training_inputs(4, 2, 2, 2),
        grid(training=True, eps=[1e-5, 0.1]),
        batched=(),
        errors=[
            bad(
                ShapeError,
                r"batch_norm expects 3 channels on axis 1, the size of weight, got 2 from an input of shape "
                r"\(4, 2\)\. Did you mean num_features=2\?",
                inputs=lambda rng: (rng.standard_normal((4, 2)), None, None, np.ones(3), np.zeros(3)),
            ),
            bad(
                ShapeError,
                r"more than one value per channel in training, got an input of shape \(1, 2\)\. Use larger",
                inputs=lambda rng: (rng.standard_normal((1, 2)), None, None),
            ),
            bad(
                ArgumentError,
                r"expects running_mean and running_var unless training",
                inputs=lambda rng: (rng.standard_normal((4, 2)), None, None),
                training=False,
            ),
        ],
    ),
    batch_case("batch_norm of vectors", training_inputs(4, 3), grid(training=True), batched=()),
    batch_case(
        "batch_norm without parameters",
        training_inputs(3, 2, 2, affine=False),
        grid(training=True),
        batched=(),
    ),
    batch_case(
        "batch_norm at test time",
        inference_inputs(2, 3, 2, 2),
        grid(eps=[1e-5, 0.1]),
        differentiable=(0, 3, 4),
    ),
    batch_case(
        "batch_norm at test time with gradients into the statistics",
        inference_inputs(2, 2, 2, 1, 2),
        grid(eps=0.1),
        torch=torch_inference,
    ),
    batch_case(
        "batch_norm at test time without parameters",
        inference_inputs(2, 3, affine=False),
        [{}],
        differentiable=(0,),
    ),
    Case(
        "batch_norm and relu",
        F.batch_norm,
        inputs=training_inputs(4, 2, 2, 2),
        options=grid(training=True, relu=True),
        torch=torch_rectified,
        naive=naive_rectified,
        batched=(),
    ),
    Case(
        "batch_norm and a residual",
        joined,
        inputs=joined_inputs(training_inputs(3, 2, 2, 2)),
        options=grid(training=True, relu=[False, True]),
        torch=torch_joined,
        naive=naive_joined,
        batched=(),
        errors=[
            bad(
                ShapeError,
                r"batch_norm expects residual of shape \(4, 2\), got \(4, 1\)",
                inputs=lambda rng: (np.ones((4, 2)), None, None, None, None, np.ones((4, 1))),
                training=True,
            ),
        ],
    ),
    Case(
        "batch_norm at test time and a residual",
        joined,
        inputs=joined_inputs(inference_inputs(2, 3, 2)),
        options=grid(training=False, relu=[False, True]),
        torch=torch_joined,
        naive=naive_joined,
        differentiable=(0, 3, 4, 5),
        own_dtype=(1, 2),
    ),
    Case(
        "running_statistics",
        F.running_statistics,
        inputs=lambda rng, **options: tuple(rng.uniform(0.5, 2.0, (4, 3))),
        options=grid(count=[5, 2], momentum=0.3),
        naive=naive_running_statistics,
        differentiable=(),
        batched=(),
        checks=False,
    ),
    Case(
        "batch_norm_with_statistics",
        F.batch_norm_with_statistics,
        inputs=lambda rng, eps: (rng.standard_normal((4, 2, 3)), *parameters(rng, 2)),
        options=grid(eps=1e-3),
        torch=torch_with_statistics,
        naive=naive_with_statistics,
        axes=(2, None),
        batched=(),
        extremes=(),  # as of batch_norm
    ),
]

LAYERS = [
    layer("BatchNorm1d", (4, 3), num_features=3, bias=False),
    layer("BatchNorm1d", (4, 3), num_features=3),
    layer("BatchNorm1d", (4, 3, 5), num_features=3, affine=False),
    layer("BatchNorm2d", (2, 3, 4, 4), num_features=3, momentum=0.3, eps=1e-3),
    layer("BatchNorm2d", (2, 3, 4, 4), num_features=3, momentum=None),
    layer("BatchNorm2d", (2, 3, 4, 4), num_features=3, track_running_stats=False),
    layer("BatchNorm3d", (2, 2, 3, 2, 2), num_features=2),
    layer("SyncBatchNorm", (2, 3, 4), num_features=3),
    layer("SyncBatchNorm", (4, 3), num_features=3, momentum=None, affine=False),
]
