"""How many values lie where."""

from __future__ import annotations

import numpy as np

from cases.front import CUBE, ROW, WHOLE, X, row

EXACT = {"gradient": 0, "half": False, "edges": False}

ROWS = [
    row("histogram", CUBE, 4, checks=EXACT),
    row("histogram", X, 5, range=(-1.0, 1.5), checks=EXACT),
    row("histogram", CUBE, 3, density=True, checks=EXACT),
    row("histogram", X, 3, weight=X * X, checks=EXACT),
    row("histogram", CUBE, np.asarray([-1.0, 0.0, 0.5, 2.0]), checks={**EXACT, "layouts": False}),
    row("histogram", np.zeros(3), 2, checks=EXACT),
    row("histogram", WHOLE, 3),
    row("histogram", X, 0),
    row("histogram", X, 3, weight=ROW),
    row("histogram", X, 3, range=(2.0, 1.0)),
    row("histogramdd", CUBE, [2, 3, 1, 2], checks=EXACT),
    row("histogramdd", X.T.copy(), 3, range=[-1.0, 1.5, -0.5, 1.0], density=True, checks=EXACT),
    row("histogramdd", X.T.copy(), 2, weight=np.abs(X[0]), checks=EXACT),
    row("histogramdd", X.T.copy(), [ROW, ROW], checks={**EXACT, "layouts": False}),
    row("histogramdd", X, [2, 2]),
    row("histogramdd", X, [2, 2, 2], range=[0.0, 1.0]),
    row("histogramdd", X, 2, weight=ROW),
    row("histogramdd", ROW, 2),
    row("histogramdd", WHOLE, 2),
]
