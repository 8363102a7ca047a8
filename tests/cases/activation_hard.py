"""Activations of straight lines."""

from __future__ import annotations

import dataclasses

import numpy as np

from cases.activation import elementwise
from cases.case import bad, grid
from xpnn.backend import ArgumentError


def wide(rng, **options):
    """Numbers on both sides of every bend, none on one."""
    return (np.asarray([[-7.1, -3.2, -2.9, -0.6], [-0.4, 0.3, 0.8, 1.2], [2.8, 3.3, 5.9, 6.2]]),)


CASES = [
    dataclasses.replace(case, inputs=wide)
    for case in (
        elementwise(
            "hardtanh",
            lambda x, min_val=-1.0, max_val=1.0: np.clip(x, min_val, max_val),
            grid(min_val=[-1.0, 0.5], max_val=2.0),
            errors=[bad(ArgumentError, r"hardtanh expects min_val of at most max_val, got 3", min_val=3.0)],
        ),
        elementwise("relu6", lambda x: np.clip(x, 0, 6)),
        elementwise(
            "hardsigmoid",
            lambda x: np.clip(x / 6 + 0.5, 0, 1),
            torch=lambda torch, x: torch.clamp(x / 6 + 0.5, 0, 1),  # its own slope is a float32 number
        ),
        elementwise("hardswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
    )
]
