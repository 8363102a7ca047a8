"""Sampling at the places of a grid."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np

import xpnn.functional as F
from cases.case import Case, bad, grid
from xpnn.backend import ArgumentError, ShapeError


def _images(rng, **options):
    return rng.standard_normal((2, 2, 3, 4)), rng.uniform(-1.6, 1.6, (2, 2, 3, 2))


def _volumes(rng, **options):
    return rng.standard_normal((1, 2, 2, 3, 4)), rng.uniform(-1.6, 1.6, (1, 2, 1, 2, 3))


def _of_one_shape(rng):
    return np.ones((1, 1, 2, 3)), np.ones((1, 1, 2, 3))


def _in_torch(name):
    def in_torch(torch, *inputs, **options):
        with warnings.catch_warnings(action="ignore"):  # that align_corners is not given
            return getattr(torch.nn.functional, name)(*inputs, **options)

    return in_torch


def _theta(axes, rng, **options):
    return (rng.standard_normal((2, axes, axes + 1)),)


CASES = [
    Case(
        "grid_sample",
        F.grid_sample,
        inputs=_images,
        options=[
            {"mode": "bilinear", "padding_mode": "zeros", "align_corners": False},
            {},
            *grid(mode="bilinear", padding_mode=["border", "reflection"], align_corners=[False, True]),
            {"mode": "nearest", "padding_mode": "zeros", "align_corners": True},
            *grid(mode="bicubic", padding_mode=["zeros", "border", "reflection"]),
        ],
        torch=_in_torch("grid_sample"),
        batched=(0, 1),
        extremes=(0,),
        axes=(4, 5),
        errors=[
            bad(ArgumentError, r"mode to be one of .*, got 'cubic'", mode="cubic"),
            bad(ArgumentError, r"padding_mode to be one of .*, got 'wrap'", padding_mode="wrap"),
            bad(ShapeError, r"a grid of shape \(1, ..., 2\)", _of_one_shape),
            bad(ArgumentError, r"images .* in mode 'bicubic'", _volumes, mode="bicubic"),
        ],
    ),
    Case(
        "grid_sample volumes",
        F.grid_sample,
        inputs=_volumes,
        options=[{"mode": "bilinear"}, {"mode": "nearest", "padding_mode": "reflection"}],
        torch=_in_torch("grid_sample"),
        batched=(0, 1),
    ),
    *(
        Case(
            "affine_grid" if axes == 2 else "affine_grid volumes",
            F.affine_grid,
            inputs=partial(_theta, axes),
            options=grid(size=(2, 1, 2, 3, 2)[: axes + 2], align_corners=[False, True]),
            torch=_in_torch("affine_grid"),
            batched=(),
            axes=(3, 3),
            errors=[
                bad(ShapeError, r"theta of shape", size=(1, 1, 2, 3)),
                bad(ArgumentError, r"size as four or five integers", size=3),
                bad(ArgumentError, r"size of at least 1", size=(2, 1, 0, 2)),
            ],
        )
        for axes in (2, 3)
    ),
]
