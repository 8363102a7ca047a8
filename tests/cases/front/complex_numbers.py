"""Complex numbers and their parts; their gradients over complex numbers are in tests/test_complex.py."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, COUNTS, INF, NAN, ODD, POSITIVE, WHOLE, X, Y, row, rows

VALUES = {"gradient": 0, "edges": False, "half": False, "in_place": False}
COMPLEX = np.asarray([1 + 2j, -3 + 0.5j, 0j, complex(INF, -1), complex(2, NAN)])
PARTS = {"gradient": 0, "half": False, "in_place": False}

ROWS = [
    *rows("angle real conj conj_physical resolve_conj resolve_neg", X),
    *rows("angle", COUNTS),
    *rows("angle", BITS),
    *rows("real conj imag", WHOLE),
    *rows("angle", ODD, checks=VALUES),
    *rows("real imag conj conj_physical angle view_as_real resolve_conj", COMPLEX, checks=VALUES),
    row("view_as_complex", X[:, :2].copy(), checks={**VALUES, "layouts": False}),
    row("complex", X, Y, checks=PARTS),
    row("complex", X, Y[0], checks=PARTS),
    row("polar", POSITIVE, Y, checks=PARTS),
    *rows("complex polar", WHOLE, X, checks=VALUES),
    *rows("is_conj is_neg", X, checks=VALUES),
]

CHECKED_ELSEWHERE = dict.fromkeys(["stft", "istft"], "test_complex.py")
