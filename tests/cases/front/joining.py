"""Tensors put together, and taken apart."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, CUBE, ROW, SCALAR, WHOLE, X, Y, row, rows

PLAIN = {"half": False, "edges": False}

ROWS = [
    *rows("cat concat concatenate", [X, Y]),
    *rows("cat concat concatenate", [X, WHOLE, Y], 1),
    row("cat", [X, np.zeros(0)], -1, checks=PLAIN),
    row("cat", [np.zeros(0), np.zeros(0)], checks=PLAIN),
    row("cat", [BITS, WHOLE], checks=PLAIN),
    row("cat", [X, ROW]),
    row("cat", [SCALAR, SCALAR]),
    row("stack", [X, Y]),
    row("stack", [X, WHOLE], -1),
    row("stack", [SCALAR, SCALAR], checks=PLAIN),
    row("stack", [X, ROW]),
    *rows("hstack vstack dstack column_stack row_stack", [X, Y]),
    *rows("hstack vstack dstack column_stack row_stack", [ROW, ROW], checks=PLAIN),
    *rows("hstack vstack dstack column_stack row_stack", [SCALAR, SCALAR], checks=PLAIN),
    *rows("hstack vstack dstack column_stack row_stack", [CUBE, CUBE], checks=PLAIN),
    row("column_stack", [ROW[:2], X], checks=PLAIN),
    row("block_diag", X, ROW, SCALAR, checks={"edges": False}),
    row("block_diag", X, WHOLE, checks=PLAIN),
    row("meshgrid", ROW, ROW[:2], indexing="ij"),
    row("meshgrid", [ROW, ROW[:2], SCALAR], indexing="xy", checks=PLAIN),
    row("cartesian_prod", ROW, ROW[:2]),
    row("cartesian_prod", ROW, checks=PLAIN),
    row("combinations", ROW),
    row("combinations", ROW, 3, checks=PLAIN),
    row("combinations", ROW, r=2, with_replacement=True, checks=PLAIN),
    row("combinations", X),
    row("split", CUBE, 3, -1),
    row("split", CUBE, [1, 3], 2, checks=PLAIN),
    row("split", CUBE, [1, 2], 2),
    row("split", X, 0),
    row("split_with_sizes", CUBE, [2, 1], 1, checks=PLAIN),
    row("chunk", CUBE, 3, 2),
    row("chunk", X, 5, dim=1, checks=PLAIN),
    row("chunk", X, 0),
    row("tensor_split", CUBE, 3, 2),
    row("tensor_split", CUBE, (1, 3), dim=-1, checks=PLAIN),
    row("tensor_split", CUBE, np.asarray([2, 9]), 1, checks=PLAIN),
    *rows("hsplit vsplit dsplit", CUBE[:, :2], 2),
    *rows("hsplit vsplit dsplit", CUBE, [1], checks=PLAIN),
    *rows("hsplit vsplit dsplit", ROW, 3, checks=PLAIN),
    *rows("hsplit vsplit dsplit", CUBE, 7),
    row("unbind", CUBE),
    row("unbind", X, -1, checks=PLAIN),
    row("unbind", SCALAR),
]
