"""Incomplete gamma functions, Bessel's."""

from __future__ import annotations

import numpy as np

from cases.front import POSITIVE, WHOLE, X, row

A = np.asarray([0.3, 2.0, 30.0, 150.0, 0.0, 1.0, -1.0, np.inf])
B = np.asarray([0.7, 3.0, 25.0, 160.0, 1.0, 0.0, 1.0, 2.0])
VALUES = {"gradient": 0, "half": False, "edges": False, "layouts": False}

ROWS = [
    row("igamma", A, B, checks={**VALUES, "rtol": 1e-7}),
    row("igammac", A, B, checks={**VALUES, "rtol": 1e-7}),
    row("igamma", X, POSITIVE, checks={"gradient": 0, "half": False, "edges": False}),
    row("i0", X, checks={"half": False}),
    row("mvlgamma", POSITIVE + 2, 2, checks={"half": False}),
    row("mvlgamma", WHOLE[0, :1] + 2, p=1, checks={"half": False, "edges": False, "in_place": False}),
]
