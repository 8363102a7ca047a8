"""Derivatives from points."""

from __future__ import annotations

import numpy as np

from cases.front import CUBE, ROW, WHOLE, X, row

POINTS = np.asarray([0.0, 1.0, 1.5])
PLAIN = {"half": False}

ROWS = [
    row("gradient", X, checks=PLAIN),
    row("gradient", CUBE, dim=(1, 2), edge_order=2, checks=PLAIN),
    row("gradient", CUBE, spacing=2.0, dim=-1, checks=PLAIN),
    row("gradient", X, spacing=(0.5, 3.0), checks=PLAIN),
    row(
        "gradient",
        X,
        spacing=(POINTS,),
        dim=1,
        edge_order=2,
        checks={**PLAIN, "edges": False, "layouts": False},
    ),
    row("gradient", ROW[:2], checks=PLAIN),
    row("gradient", ROW[:1]),
    row("gradient", X, edge_order=3),
    row("gradient", X, spacing=None, checks=PLAIN),
    row("gradient", X, dim=(1, -1)),
    row("gradient", X, spacing=(1.0,)),
    row("gradient", WHOLE, dim=1, checks={**PLAIN, "edges": False}),
]
