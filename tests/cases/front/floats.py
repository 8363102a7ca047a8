"""Mantissas, exponents, the next numbers."""

from __future__ import annotations

import numpy as np

from cases.front import ODD, WHOLE, X, Y, row

SMALL = np.asarray([6.0, -0.3, 0.1, 1e-30, -(2.0**-40), 3e38])

ROWS = [
    row("frexp", X),
    row("frexp", SMALL, checks={"half": False}),
    row("frexp", ODD, checks={"gradient": 0}),
    row("frexp", WHOLE),
    row("nextafter", X, Y, checks={"gradient": 0, "half": False}),
    row("nextafter", ODD, ODD[::-1].copy(), checks={"gradient": 0, "half": False, "edges": False}),
]
