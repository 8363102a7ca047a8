"""Products of reflections."""

from __future__ import annotations

import numpy as np

from cases.front import CUBE, WHOLE, X, row

TALL = CUBE.transpose(0, 2, 1).copy()  # (2, 4, 3)
TAU = np.asarray([[1.2, 0.7, 1.9], [1.1, 0.4, 1.5]])
RIGHT = np.ones((2, 4, 2)) + np.arange(2)
PLAIN = {"half": False, "edges": False}
FORWARD = {**PLAIN, "gradient": 0}
COMPLEX = TALL + 1j * TALL[:, ::-1]

ROWS = [
    row("geqrf", X, checks=FORWARD),
    row("geqrf", TALL, checks=FORWARD),
    row("geqrf", COMPLEX, checks=FORWARD),
    row("geqrf", np.diag([-2.0, 3.0, 0.0]), checks=FORWARD),
    row("geqrf", X[0]),
    row("geqrf", WHOLE),
    row("orgqr", TALL, TAU, checks=PLAIN),
    row("orgqr", TALL, TAU[:, :2].copy(), checks=PLAIN),
    row("orgqr", X, TAU),
    row("ormqr", TALL, TAU, RIGHT, checks=PLAIN),
    row("ormqr", TALL, TAU, RIGHT, transpose=True, checks=PLAIN),
    row("ormqr", TALL, TAU, RIGHT.transpose(0, 2, 1).copy(), False, checks=PLAIN),
    row("ormqr", COMPLEX, TAU + 0.5j, COMPLEX, True, True, checks=FORWARD),
    row("ormqr", TALL, TAU, RIGHT[:, :3].copy()),
    row("ormqr", TALL, TAU, RIGHT[0]),
]
