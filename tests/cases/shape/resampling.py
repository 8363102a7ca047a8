"""Resampling."""

from __future__ import annotations

import warnings
from functools import partial

import xpnn.functional as F
from cases.case import Case, bad, grid
from cases.layer import layer
from xpnn.backend import ArgumentError

_SHAPES = {1: (2, 3, 5), 2: (2, 2, 4, 3), 3: (1, 2, 3, 2, 4)}


def _arrays(axes, rng, **options):
    return (rng.standard_normal(_SHAPES[axes]),)


def _in_torch(name):
    def in_torch(torch, x, **options):
        with warnings.catch_warnings(action="ignore"):  # that it is an older name
            return getattr(torch.nn.functional, name)(x, **options)

    return in_torch


_OLDER = {"upsample": {"mode": "nearest"}, "upsample_nearest": {}, "upsample_bilinear": {}}

CASES = [
    Case(
        "interpolate",
        F.interpolate,
        inputs=partial(_arrays, 2),
        options=[
            {"size": (7, 2), "mode": "bilinear", "align_corners": False, "antialias": False},
            *grid(scale_factor=2, mode=["nearest", "nearest-exact", "bilinear", "area"]),
            *grid(size=(3, 5), mode=["nearest", "nearest-exact", "area"]),
            {"size": (7, 2), "mode": "bilinear", "align_corners": True},
            *grid(scale_factor=(1.6, 0.7), mode="bicubic", align_corners=[False, True]),
            {"scale_factor": 1.6, "mode": "bilinear", "recompute_scale_factor": True},
            *grid(size=(2, 5), mode=["bilinear", "bicubic"], antialias=True),
        ],
        torch=_in_torch("interpolate"),
        errors=[
            bad(ArgumentError, r"one of size and scale_factor", scale_factor=2.0),
            bad(ArgumentError, r"size of at least 1", size=0),
            bad(ArgumentError, r"mode to be 'nearest', .*, got 'cubic'", mode="cubic"),
            bad(ArgumentError, r"a mode for 2 axes of space, got 'linear'", mode="linear"),
            bad(ArgumentError, r"no align_corners in mode 'area'", mode="area"),
            bad(ArgumentError, r"that leaves a cell", size=None, scale_factor=0.1),
            bad(ArgumentError, r"scale_factor above 0", size=None, scale_factor=-1.0),
            bad(ArgumentError, r"no recompute_scale_factor with a size", recompute_scale_factor=True),
        ],
    ),
    *(
        Case(
            f"interpolate {axes}d",
            F.interpolate,
            inputs=partial(_arrays, axes),
            options=[
                {"size": 3, "mode": mode, "align_corners": True},
                {"scale_factor": 2.5, "mode": mode},
                {"scale_factor": 2, "mode": "nearest"},
                {"scale_factor": 0.5, "mode": "area"},
            ],
            torch=_in_torch("interpolate"),
        )
        for axes, mode in ((1, "linear"), (3, "trilinear"))
    ),
    *(
        Case(
            name,
            getattr(F, name),
            inputs=partial(_arrays, 2),
            options=[{"scale_factor": 2, **options}],
            torch=_in_torch(name),
        )
        for name, options in _OLDER.items()
    ),
]

LAYERS = [
    layer("BedOfNails", _SHAPES[2], scale_factor=(1, 2)),
    layer("Upsample", _SHAPES[2], scale_factor=(2, 1.5), mode="bicubic", align_corners=True),
    layer("Upsample", _SHAPES[1], size=4, mode="linear"),
    layer("UpsamplingNearest2d", _SHAPES[2], scale_factor=2),
    layer("UpsamplingBilinear2d", _SHAPES[2], size=(5, 3)),
]
