"""The error function, the gamma function's logarithm, and their relatives."""

from __future__ import annotations

import numpy as np

from cases.front import COUNTS, ODD, POSITIVE, UNIT, X, row, rows

VALUES = {"gradient": 0, "edges": False, "half": False, "in_place": False}
FAR = np.asarray([-6.0, 1e-9, 0.79, 0.81, 3.5, 12.0, 26.5])
NEGATIVE = np.asarray([-0.5, -1.3, -3.7, 0.2, 40.0, 1e6])

ROWS = [
    *rows("erf erfc", X),
    *rows("erf erfc", FAR, checks={"half": False}),
    *rows("erf erfc lgamma digamma", COUNTS),
    *rows("erf erfc erfinv lgamma digamma", ODD, checks=VALUES),
    row("erfinv", UNIT),
    row("erfinv", np.asarray([-0.999999, 1e-12, 0.5, 1 - 1e-14, 1.0, 1.5]), checks={**VALUES, "rtol": 1e-9}),
    *rows("lgamma digamma", POSITIVE, checks={"half": False}),
    *rows("lgamma digamma", NEGATIVE, checks={"half": False, "gradient": 1}),
    row("polygamma", 1, POSITIVE, checks={"half": False, "gradient": 2}),
    row("polygamma", 2, POSITIVE, checks={"half": False}),
    row("polygamma", 2, NEGATIVE[:-1], checks={"half": False, "gradient": 1, "edges": False}),
    row("polygamma", 3, np.asarray([-2.0, -1.0, 0.5]), checks=VALUES),
    row("polygamma", 0, POSITIVE, checks={"half": False, "gradient": 1}),
    row("polygamma", -1, POSITIVE),
]
