"""Dropout where nothing is left to chance; its masks are tested in tests/test_functional.py."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError


def case(name, *shape, **more):
    return Case(
        name,
        getattr(F, name),
        inputs=lambda rng, **options: (rng.standard_normal(shape),),
        options=[{"p": 0.5, "training": False}, {"p": 0.0}, {"p": 1.0}],
        torch=lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options),
        naive=lambda x, p, training=True: np.zeros_like(x) if training and p == 1 else x,
        errors=[bad(ArgumentError, rf"{name} expects p between 0 and 1, got 1\.5", p=1.5)],
        **more,
    )


CASES = [
    case("dropout", 2, 3),
    case("dropout1d", 2, 3, 4, axes=(2, 3)),
    case("dropout2d", 2, 3, 2, 2, axes=(3, 4)),
    case("dropout3d", 2, 3, 2, 1, 2, axes=(4, 5)),
]

SHAPES = {"Dropout": (2, 3), "Dropout1d": (2, 3, 4), "Dropout2d": (2, 3, 2, 2), "Dropout3d": (2, 3, 2, 1, 2)}
LAYERS = [
    *[layer(name, shape).differing(training="another mask") for name, shape in SHAPES.items()],
    *[layer(name, shape, p=0.0) for name, shape in SHAPES.items()],
]
