"""Functions of each element on its own."""

from __future__ import annotations

from cases.front import BITS, ODD, ROW, SCALAR, WHOLE, X, Y, row, rows

ROWS = [
    *rows("abs absolute exp", X),
    *rows("abs absolute exp", ODD, checks={"gradient": 0, "edges": False}),
    *rows("exp", BITS),
    *rows("abs absolute exp", WHOLE),
    *rows("add mul", X, Y),
    *rows("add mul", X, ROW),
    *rows("add mul", X, WHOLE),
    *rows("add mul", WHOLE, SCALAR),
    *rows("add mul", X, 2.5),
    *rows("add mul", WHOLE, 2),
    *rows("add mul", WHOLE, 0.5),
    *rows("add mul", BITS, 2.0),
    *rows("add mul", BITS, WHOLE),
    row("add", X, Y, alpha=2),
    row("add", X, 3, alpha=0.5),
    row("add", WHOLE, BITS, alpha=3),
]
