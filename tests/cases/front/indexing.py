"""Reading and writing at places that other Tensors name."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, CUBE, ROW, SCALAR, WHOLE, X, Y, row, rows

PLAIN = {"half": False, "edges": False}
COLUMNS = np.asarray([[2, 0], [1, 2]])  # no place twice
TWICE = np.asarray([[0, 0, 2], [1, 1, 1]])
HALF_TWICE = {"half": False, "edges": False, "rtol": 1e-8}

REDUCTIONS = [
    row("scatter_reduce", X, 1, TWICE, Y, reduce, include_self=own, checks=PLAIN)
    for reduce in ("sum", "prod", "mean", "amax", "amin")
    for own in (True, False)
]

ROWS = [
    row("unravel_index", np.asarray([[5, 2], [0, 7]]), (2, 2, 3), checks={"edges": False}),
    row("unravel_index", np.asarray([5, 2]), 7, checks={"edges": False}),
    row("unravel_index", np.asarray([7, 250], np.uint8), (1000, 5), checks={"edges": False}),
    row("unravel_index", X, (2, 2)),
    row("gather", X, 1, np.asarray([[2, 0], [1, 1]])),
    row("gather", X, 1, np.asarray([[1]]), checks=PLAIN),
    row("gather", CUBE, 0, np.asarray([[[1, 0]], [[0, 0]], [[1, 1]]]), checks=PLAIN),
    row("gather", SCALAR, 0, np.asarray(0), checks=PLAIN),
    row("gather", X, 1, np.asarray([[3]])),
    row("gather", X, 1, np.asarray([[-1]])),
    row("gather", X, 1, np.asarray([0])),
    row("gather", X, 1, np.zeros((3, 1), int)),
    row("scatter", X, 1, COLUMNS, Y[:, :2], checks=PLAIN),
    row("scatter", X, 1, COLUMNS, Y, checks={**PLAIN, "gradient": 0}),
    row("scatter", X, 1, COLUMNS, 1.5, checks=PLAIN),
    row("scatter", X, 0, np.asarray([[1, 0, 1]]), value=2, checks=PLAIN),
    row("scatter", X, 1, COLUMNS, Y, reduce="add", checks={**PLAIN, "gradient": 0}),
    row("scatter", X, 1, COLUMNS, Y, reduce="multiply", checks={**PLAIN, "gradient": 0}),
    row("scatter", X, 1, COLUMNS, 2.0, reduce="multiply", checks={**PLAIN, "gradient": 0}),
    row("scatter", WHOLE, 1, COLUMNS, X),
    row("scatter_add", X, 1, TWICE, Y),
    row("scatter_add", X, 0, TWICE[:, :2] % 2, Y[:, :2], checks=PLAIN),
    row("scatter_add", X, 1, np.asarray([[3, 0]]), Y),
    *REDUCTIONS,
    row("scatter_reduce", WHOLE, 1, TWICE, WHOLE, "mean", checks=PLAIN),
    row("scatter_reduce", X, 1, np.asarray([[0, 0, 0]]), X[:1], "amax", checks=PLAIN),
    row("scatter_reduce", X, 1, TWICE, Y, "median"),
    row("take_along_dim", X, np.asarray([[2, -1], [0, 1]]), 1, checks=PLAIN),
    row("take_along_dim", X, np.asarray([[1]]), 1, checks=PLAIN),
    row("take_along_dim", X, np.asarray([5, 0]), checks=PLAIN),
    row("index_select", CUBE, 2, np.asarray([3, 0, 3])),
    row("index_select", X, 0, np.asarray(1), checks=PLAIN),
    row("index_select", SCALAR, 0, np.asarray([0]), checks=PLAIN),
    row("index_select", X, 1, np.asarray([3])),
    row("index_select", X, 1, np.asarray([-1])),
    row("index_add", X, 1, np.asarray([2, 2, 0]), Y, alpha=2, checks=PLAIN),
    row("index_add", CUBE, 0, np.asarray([1, 1]), CUBE, checks=PLAIN),
    row("index_add", X, 1, np.asarray([2]), Y),
    row("index_copy", X, 1, np.asarray([2, 0]), Y[:, :2], checks=PLAIN),
    row("index_fill", X, 1, np.asarray([2, 0]), 1.5, checks=PLAIN),
    row("index_fill", X, 0, np.asarray([1]), SCALAR, checks=PLAIN),
    *[
        row("index_reduce", X, 1, np.asarray([2, 2, 0]), Y, reduce, checks={**PLAIN, "gradient": 1})
        for reduce in ("prod", "mean", "amax", "amin")
    ],
    row("index_put", X, (np.asarray([0, 1]), np.asarray([2, 0])), ROW[:2], checks=PLAIN),
    row("index_put", X, (np.asarray([1, 1]),), ROW, accumulate=True, checks=PLAIN),
    row("index_put", X, (BITS,), SCALAR, checks=PLAIN),
    row("take", X, np.asarray([[5, 0], [-1, 2]])),
    row("take", X, np.asarray([6])),
    row("put", X, np.asarray([[5, 0]]), Y[:1, :2], checks=PLAIN),
    row("put", X, np.asarray([5, 5]), ROW[:2], accumulate=True, checks=PLAIN),
    row("masked_fill", X, BITS, 2.5),
    row("masked_fill", X, BITS[0], SCALAR, checks=PLAIN),
    row("masked_fill", WHOLE, BITS, 3, checks=PLAIN),
    row("masked_fill", X, WHOLE, 3),
    row("masked_select", X, BITS),
    row("masked_select", ROW, BITS, checks=PLAIN),
    row("masked_scatter", X, BITS, ROW, checks=PLAIN),
    row("masked_scatter", X, BITS[:1], np.concatenate([ROW, ROW]), checks=PLAIN),
    row("masked_scatter", X, BITS, ROW[:2]),
    *rows("nonzero argwhere", WHOLE),
    *rows("nonzero argwhere", SCALAR),
    row("nonzero", WHOLE, as_tuple=True),
    row("nonzero_static", WHOLE, size=7, checks={"gradient": 0, "edges": False}),
    row("nonzero_static", BITS, size=2, fill_value=5, checks={"gradient": 0, "edges": False}),
    row("nonzero_static", WHOLE, size=-1),
    row("select_scatter", X, ROW, 0, 1, checks=PLAIN),
    row("slice_scatter", X, Y[:, :2], 1, 0, 3, 2, checks=PLAIN),
    row("slice_scatter", X, Y[:, 1:], dim=1, start=1, checks=PLAIN),
    row("diagonal_scatter", X, ROW[:2], 1, checks=PLAIN),
    row("diagonal_scatter", CUBE, CUBE[:, :2, 0].T.copy(), -1, 0, 2, checks={**PLAIN, "gradient": 0}),
    row("fill_diagonal_", X, 2.5, checks=PLAIN),
    row("fill_diagonal_", np.ones((7, 3)), 2.5, True, checks=PLAIN),
    row("fill_diagonal_", CUBE, 2.5),
]
