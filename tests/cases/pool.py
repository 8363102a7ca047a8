"""Pooling."""

from __future__ import annotations

import xpnn.functional as F
from cases import oracles
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError


def _images(rng, **options):
    return (rng.standard_normal((2, 3, 6, 7)),)


def _distinct(rng, **options):
    """Values far enough apart that finite differences change no winner."""
    return (rng.permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7) / 10.0,)


def _in_torch(name):
    return lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options)


_WINDOW_REFUSALS = [
    bad(
        ShapeError,
        r"kernel of 8 x 8, larger than its input of 6 x 7",
        kernel_size=8,
        padding=0,
        ceil_mode=False,
    ),
    bad(ArgumentError, r"stride of at least 1, got 0", stride=0),
    bad(ArgumentError, r"kernel_size as an integer or 2 integers", kernel_size="2"),
    bad(ArgumentError, r"padding of at most half of the kernel", kernel_size=2, padding=2),
]

CASES = [
    Case(
        "max_pool2d",
        F.max_pool2d,
        inputs=_distinct,
        options=[
            *grid(kernel_size=2, stride=[None, 1], padding=0, ceil_mode=[False, True]),
            *grid(kernel_size=(3, 2), stride=[None, (1, 2)], padding=1, ceil_mode=True),
            {"kernel_size": 2, "dilation": (2, 3), "stride": 1},
            {"kernel_size": 1, "stride": 2},
        ],
        torch=_in_torch("max_pool2d"),
        naive=oracles.max_pool,
        axes=(3, 4),
        errors=_WINDOW_REFUSALS,
    ),
    Case(
        "max_pool2d indices",
        F.max_pool2d,
        inputs=_distinct,
        options=grid(kernel_size=(3, 2), padding=[0, 1], ceil_mode=True, return_indices=True),
        torch=_in_torch("max_pool2d"),
        naive=oracles.max_pool,
        axes=(3, 4),
    ),
    Case(
        "avg_pool2d",
        F.avg_pool2d,
        inputs=_images,
        options=[
            *grid(kernel_size=(3, 2), padding=1, ceil_mode=[False, True], count_include_pad=[True, False]),
            {"kernel_size": 2},
            {"kernel_size": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": (2, 1), "padding": 1},
            {"kernel_size": 3, "stride": 2, "padding": 1, "divisor_override": 4},
        ],
        torch=_in_torch("avg_pool2d"),
        naive=oracles.avg_pool,
        axes=(3, 4),
        errors=[
            *_WINDOW_REFUSALS,
            bad(ArgumentError, r"divisor_override of at least 1, got 0", divisor_override=0),
            bad(ArgumentError, r"divisor_override of at least 1, got -1", divisor_override=-1),
            bad(ArgumentError, r"divisor_override as an integer", divisor_override=1.5),
        ],
    ),
    Case(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        inputs=_images,
        options=grid(output_size=[1, 3, (4, 5), (None, 2), 8]),
        torch=_in_torch("adaptive_avg_pool2d"),
        naive=oracles.adaptive_avg_pool,
        axes=(3, 4),
        errors=[
            bad(ArgumentError, r"output_size of at least 1", output_size=0),
            bad(ArgumentError, r"output_size as an integer or 2 integers", output_size=(1, 2, 3)),
        ],
    ),
    Case(
        "adaptive_max_pool2d",
        F.adaptive_max_pool2d,
        inputs=_distinct,
        options=grid(output_size=[1, (4, 5), (None, 2)], return_indices=[False, True]),
        torch=_in_torch("adaptive_max_pool2d"),
        naive=oracles.adaptive_max_pool,
        axes=(3, 4),
        errors=[bad(ArgumentError, r"output_size of at least 1", output_size=(0, 1))],
    ),
]

PICTURES = (2, 3, 5, 6)
LAYERS = [
    layer("MaxPool2d", PICTURES[1:], kernel_size=2, return_indices=True),
    layer("MaxPool2d", (3, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    layer("AvgPool2d", PICTURES[1:], kernel_size=3, padding=1),
    layer("AvgPool2d", (3, 2, 2), kernel_size=3, stride=2, ceil_mode=True),
    layer("AdaptiveAvgPool2d", PICTURES[1:], output_size=(5, 2)),
    layer("AdaptiveMaxPool2d", PICTURES[1:], output_size=2, return_indices=True),
    layer("MaxPool2d", PICTURES, kernel_size=2),
    layer("MaxPool2d", PICTURES, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    layer("MaxPool2d", PICTURES, kernel_size=2, dilation=2, stride=1, return_indices=True),
    layer("AvgPool2d", PICTURES, kernel_size=(2, 3), stride=1),
    layer("AvgPool2d", PICTURES, kernel_size=3, padding=1, count_include_pad=False, ceil_mode=True),
    layer("AvgPool2d", PICTURES, kernel_size=3, divisor_override=2),
    layer("AdaptiveAvgPool2d", PICTURES, output_size=1),
    layer("AdaptiveAvgPool2d", PICTURES, output_size=(2, None)),
    layer("AdaptiveMaxPool2d", PICTURES, output_size=2),
    layer("AdaptiveMaxPool2d", PICTURES, output_size=(2, 3), return_indices=True),
]
