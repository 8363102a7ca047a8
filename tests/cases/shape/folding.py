"""Windows of images as columns, and back."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases import oracles
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def naive_unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Convolution with kernels of a single one."""
    x = x if x.ndim == 4 else x[None]
    kernel = oracles.sizes(kernel_size, 2)
    ones = np.eye(int(np.prod(kernel))).reshape(-1, 1, *kernel)
    parts = [oracles.conv(x[:, [c]], ones, None, stride, padding, dilation) for c in range(x.shape[1])]
    return np.concatenate(parts, axis=1).reshape(len(x), len(ones) * x.shape[1], -1)


def naive_fold(columns, output_size, kernel_size, **options):
    """The adjoint, cell by cell of the images."""
    size, kernel = oracles.sizes(output_size, 2), oracles.sizes(kernel_size, 2)
    channels = columns.shape[1] // int(np.prod(kernel))
    y = np.zeros((len(columns), channels, *size))
    for place in np.ndindex(*y.shape[1:]):
        image = np.zeros((1, *y.shape[1:]))
        image[(0, *place)] = 1.0
        y[(slice(None), *place)] = (columns * naive_unfold(image, kernel, **options)).sum(axis=(1, 2))
    return y


OPTIONS = [
    {"kernel_size": 2, "dilation": 1, "padding": 0, "stride": 1},
    {"kernel_size": (3, 1), "dilation": (1, 2), "padding": (1, 0), "stride": (2, 1)},
]


def images(rng, **options):
    return (rng.standard_normal((2, 3, 4, 3)),)


def columns(rng, output_size, kernel_size, **options):
    return (rng.standard_normal(naive_unfold(np.zeros((2, 2, *output_size)), kernel_size, **options).shape),)


CASES = [
    Case(
        "unfold",
        F.unfold,
        inputs=images,
        options=OPTIONS,
        torch=lambda torch, x, **options: torch.nn.functional.unfold(x, **options),
        naive=naive_unfold,
        axes=(3, 4),
        errors=[
            bad(ShapeError, r"kernel of 5 x 5, larger than its input of 4 x 3", kernel_size=5),
            bad(ArgumentError, r"stride of at least 1", stride=0),
        ],
    ),
    Case(
        "fold",
        F.fold,
        inputs=columns,
        options=[{"output_size": (4, 3), **options} for options in OPTIONS],
        torch=lambda torch, x, **options: torch.nn.functional.fold(x, **options),
        naive=naive_fold,
        axes=(2, 3),
        errors=[
            bad(ShapeError, r"one for each of the 12 windows over \(5, 4\), got shape", output_size=(5, 4)),
            bad(ShapeError, r"kernel of 5 x 5, larger than its input of 4 x 3", kernel_size=5),
        ],
    ),
]

LAYERS = [
    layer("Unfold", (2, 2, 3, 4), kernel_size=(2, 3), padding=1, stride=2),
    layer("Unfold", (2, 3, 4), kernel_size=2, dilation=2),
    layer("Fold", (2, 8, 6), output_size=(3, 4), kernel_size=2),
    layer("Fold", (8, 6), output_size=(3, 4), kernel_size=2),
]
