"""Dropout where nothing is left to chance; its masks are tested in tests/test_dropout.py."""

from __future__ import annotations

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad
from cases.layer import layer
from xpnn.backend import ArgumentError, ShapeError

ENDS = [{"p": 0.5, "training": False}, {"p": 0.0, "training": True}, {"p": 1.0, "training": True}]


def case(name, *shape, p="p", oracle=True, errors=(), **more):
    return Case(
        name,
        getattr(F, name),
        inputs=lambda rng, **options: (rng.standard_normal(shape),),
        options=[{p: options["p"], "training": options["training"], **more} for options in ENDS],
        torch=(lambda torch, x, **options: getattr(torch.nn.functional, name)(x, **options))
        if oracle
        else None,
        naive=lambda x, training, **options: np.zeros_like(x) if training and options[p] == 1 else x,
        errors=[
            bad(ArgumentError, rf"{name} expects {p} between 0 and 1, got 1\.5", **{p: 1.5}),
            *errors,
        ],
        axes=(2, 3) if name == "dropout1d" else None,
    )


def too_few(name, axes):
    return [bad(ShapeError, rf"{name} expects an input", lambda rng: (np.ones((2,) * axes),))]


CASES = [
    case("dropout", 2, 3),
    case("dropout1d", 2, 3, 4),
    case("dropout2d", 2, 3, 2, 2, errors=too_few("dropout2d", 1)),
    case("dropout3d", 2, 3, 2, 1, 2, errors=too_few("dropout3d", 0)),
    case("alpha_dropout", 2, 3),
    case("feature_alpha_dropout", 2, 3, 2, errors=too_few("feature_alpha_dropout", 1)),
    case("drop_path", 2, 3, p="drop_prob", oracle=False, errors=too_few("drop_path", 0)),
    case(
        "stochastic_depth",
        *(2, 3),
        oracle=False,
        mode="row",
        errors=[
            *too_few("stochastic_depth", 0),
            bad(ArgumentError, r"stochastic_depth expects mode='batch' or 'row', got 'all'", mode="all"),
        ],
    ),
]

SHAPES = {
    "Dropout": (2, 3),
    "Dropout1d": (2, 3, 4),
    "Dropout2d": (2, 3, 2, 2),
    "Dropout3d": (2, 3, 2, 1, 2),
    "AlphaDropout": (2, 3),
    "FeatureAlphaDropout": (2, 3, 2),
}
LAYERS = [
    layer("DropPath", (4, 3), drop_prob=0.5),
    layer("StochasticDepth", (4, 3), p=0.5, mode="row"),
    *[layer(name, shape).differing(training="another mask") for name, shape in SHAPES.items()],
    *[layer(name, shape, p=0.0) for name, shape in SHAPES.items()],
]
