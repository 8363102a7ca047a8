"""Elements in order, the largest ones, those that differ."""

from __future__ import annotations

import numpy as np

from cases.front import BITS, CUBE, ODD, WHOLE, X, row, rows

EXACT = {"half": False}
VALUES = {"gradient": 0, "edges": False, "half": False}
REPEATED = np.asarray([[2, 1, 2, 2], [2, 1, 2, 2], [0, 3, 3, 1]])
BOUNDS = np.asarray([-1.0, 0.0, 0.7, 2.0])

ROWS = [
    *rows("sort argsort", X),
    *rows("sort argsort", CUBE, dim=1, descending=True),
    *rows("sort argsort", REPEATED, stable=True),
    *rows("sort argsort", REPEATED, dim=0, descending=True, stable=True),
    *rows("sort", ODD, stable=True, checks=VALUES),
    *rows("sort argsort", BITS, stable=True),
    row("msort", CUBE),
    row("topk", X, 2),
    row("topk", CUBE, 3, dim=1, largest=False),
    row("topk", CUBE, 2, 1, True, True),
    row("topk", WHOLE, 0),
    row("topk", X, 4),
    row("kthvalue", X, 2, checks={"edges": False}),
    row("kthvalue", CUBE, 1, dim=0, keepdim=True, checks={"edges": False}),
    row("kthvalue", X, 0),
    row("kthvalue", X[0, 0], 2),
    row("unique", REPEATED),
    row("unique", REPEATED, return_inverse=True, return_counts=True),
    row("unique", REPEATED, dim=0, return_inverse=True, return_counts=True, checks={"edges": False}),
    row("unique", REPEATED, dim=1, return_counts=True, checks={"edges": False}),
    row("unique", X),
    row("unique", BITS, return_inverse=True),
    row("unique_consecutive", REPEATED, return_inverse=True, return_counts=True),
    row("unique_consecutive", REPEATED, dim=0, return_inverse=True, checks={"edges": False}),
    row("searchsorted", BOUNDS, X, checks=EXACT),
    row("searchsorted", BOUNDS, X, right=True, out_int32=True, checks=EXACT),
    row("searchsorted", BOUNDS, 0.7),
    row(
        "searchsorted",
        np.sort(CUBE, 1)[0],
        X[:1].repeat(3, 0),
        side="right",
        checks={"edges": False, "half": False},
    ),
    row(
        "searchsorted",
        BOUNDS[::-1].copy(),
        X,
        sorter=np.asarray([3, 2, 1, 0]),
        checks={"edges": False, "half": False},
    ),
    row("searchsorted", BOUNDS, X, side="up"),
    row("bucketize", X, BOUNDS, checks=EXACT),
    row("bucketize", X, BOUNDS, right=True, checks=EXACT),
    row("isin", WHOLE, np.asarray([3, 0, 9])),
    row("isin", WHOLE, np.asarray([3, 0, 9]), invert=True),
    row("isin", X, 0.7),
]
