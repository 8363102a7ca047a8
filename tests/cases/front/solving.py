"""Linear algebra under older names."""

from __future__ import annotations

import numpy as np

from cases.front import ROW, WHOLE, X, row

TRIANGLE = np.asarray([[2.0, 0.3, -0.4], [0.1, 1.5, 0.7], [0.5, 0.2, 1.1]])
RIGHT = X.T.copy()
PLAIN = {"half": False, "edges": False, "layouts": False, "rtol": 1e-7}

ROWS = [
    row("cholesky_solve", RIGHT, TRIANGLE, checks={**PLAIN, "gradient": 0}),
    row("cholesky_solve", RIGHT, TRIANGLE, upper=True, checks={**PLAIN, "gradient": 0}),
    row("cholesky_inverse", np.tril(TRIANGLE), checks={**PLAIN, "gradient": 0}),
    row("cholesky_inverse", np.triu(TRIANGLE), upper=True, checks={**PLAIN, "gradient": 0}),
    row("cholesky_inverse", X),
    row("triangular_solve", RIGHT, TRIANGLE, checks={**PLAIN, "gradient": 0}),
    row("triangular_solve", RIGHT, TRIANGLE, upper=False, transpose=True, checks={**PLAIN, "gradient": 0}),
    row("triangular_solve", RIGHT, TRIANGLE, unitriangular=True, checks={**PLAIN, "gradient": 0}),
    row("lu", TRIANGLE, checks={**PLAIN, "gradient": 0}),
    row("lu", TRIANGLE, get_infos=True, checks={**PLAIN, "gradient": 0}),
    row("lu_solve", RIGHT, TRIANGLE, np.asarray([3, 2, 3], np.int32), checks=PLAIN),
    row("lu_solve", X, TRIANGLE, np.asarray([3, 2, 3], np.int32)),
    row("vander", ROW, checks={"half": False}),
    row("vander", ROW, 2, increasing=True, checks={"half": False}),
    row("vander", WHOLE[0], N=4, checks={"edges": False}),
    row("vander", ROW, 0, checks={"half": False, "gradient": 0, "edges": False}),
    row("vander", X),
]
