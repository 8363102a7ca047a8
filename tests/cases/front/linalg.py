"""Products of vectors and matrices, and PyTorch's older names of what `xpnn.linalg` has."""

from __future__ import annotations

import numpy as np

from cases.front import CUBE, ROW, SCALAR, WHOLE, X, Y, row, rows

PLAIN = {"half": False, "edges": False}
SQUARE = np.asarray([[2.0, 0.3, -0.4], [0.1, -1.5, 0.7], [0.5, 0.2, 1.1]])
DEFINITE = SQUARE @ SQUARE.T + np.eye(3)
BATCH = CUBE.transpose(0, 2, 1).copy()
MATRIX = {"half": False, "edges": False, "rtol": 1e-7}

ROWS = [
    row("matmul", X, Y.T.copy()),
    row("matmul", CUBE, BATCH[0], checks=PLAIN),
    row("matmul", X, ROW, checks=PLAIN),
    row("matmul", WHOLE, WHOLE.T.copy(), checks=PLAIN),
    row("matmul", X, Y),
    row("matmul", X, WHOLE.T.copy()),
    row("mm", X, Y.T.copy()),
    row("mm", CUBE, BATCH),
    row("bmm", CUBE, BATCH),
    row("bmm", CUBE, BATCH[:1]),
    row("mv", X, ROW),
    *rows("dot vdot inner", ROW, Y[0]),
    row("dot", X, X),
    row("inner", X, CUBE.transpose(0, 2, 1)[:, :, :].copy(), checks=PLAIN),
    row("inner", X, SCALAR, checks=PLAIN),
    *rows("outer ger", ROW, X[0, :2]),
    row("outer", X, ROW),
    row("addmm", ROW[:2], X, Y.T.copy(), beta=2, alpha=0.5),
    row("addmm", np.full(2, np.nan), X, Y.T.copy(), beta=0, checks={**PLAIN, "gradient": 0}),
    row("addmm", X, X, Y.T.copy()),
    row("addmv", ROW[:2], X, ROW, alpha=2, checks=PLAIN),
    row("addr", X, ROW[:2], ROW, beta=0.5, checks=PLAIN),
    row("baddbmm", np.ones((2, 3, 3)), CUBE, BATCH, checks=PLAIN),
    row("addbmm", np.ones((3, 3)), CUBE, BATCH, beta=2, checks=PLAIN),
    row("einsum", "ij,kj->ik", X, Y, checks=PLAIN),
    row("einsum", "bij,bjk", CUBE, BATCH, checks=PLAIN),
    row("einsum", "...ij,...kj->...ik", CUBE, CUBE[0], checks=PLAIN),
    row("einsum", "i...->...", CUBE, checks=PLAIN),
    row("einsum", "ii->i", SQUARE, checks=PLAIN),
    row("einsum", "ii", SQUARE, checks=PLAIN),
    row("einsum", "ba", X, checks=PLAIN),
    row("einsum", "i,j,ijk,k->", ROW[:2], ROW, CUBE, X[0, [0, 1, 2, 0]], checks=PLAIN),
    row("einsum", "ij, ij -> j", X, Y, checks=PLAIN),
    row("einsum", "ij,jk->ik", X, np.ones((1, 4)), checks=PLAIN),
    row("einsum", X, [0, 1], Y, [2, 1], [0, 2], checks=PLAIN),
    row("einsum", CUBE, [..., 1], [1, ...], checks=PLAIN),
    row("einsum", "ij,j->ij", X, X[0].astype("float32"), checks=PLAIN),
    row("einsum", "ij,j,ik->ijk", X, np.arange(X.shape[1]), X.astype("float32"), checks=PLAIN),
    row("einsum", "ij,j->i", X, X[0].astype("float32")),
    row("einsum", "ij,jk->ii", X, SQUARE),
    row("einsum", "ij,jk->il", X, SQUARE),
    row("einsum", "ij,jk->ik", X, X),
    row("einsum", "ijk->i", X),
    row("einsum", "i1->i", X),
    row("tensordot", CUBE, BATCH, 1, checks=PLAIN),
    row("tensordot", CUBE, BATCH, ([1, 2], [2, 1]), checks=PLAIN),
    row("tensordot", X, Y, dims=0, checks=PLAIN),
    row("tensordot", CUBE[..., :1], CUBE, 1, checks=PLAIN),
    row("tensordot", CUBE, CUBE[:, :1], ([1, 2], [1, 2]), checks=PLAIN),
    row("tensordot", np.ones((1, 3), np.uint8), np.ones((2, 4), np.uint8), 1, checks=PLAIN),
    row("tensordot", X, CUBE, dims=1),
    row("kron", X, ROW, checks=PLAIN),
    row("kron", X, CUBE, checks=PLAIN),
    row("cross", X, Y, checks={**PLAIN, "layouts": False}),
    row("cross", X.T.copy(), Y.T.copy(), 0, checks=PLAIN),
    row("cross", X, Y, dim=0),
    row("cross", X, Y[:, :1]),
    row("cross", X, Y[:1], dim=1, checks={**PLAIN, "layouts": False}),
    row("chain_matmul", X, SQUARE, Y.T.copy(), checks=PLAIN),
    row("trace", SQUARE, checks=PLAIN),
    row("trace", WHOLE, checks=PLAIN),
    row("trace", CUBE),
    *rows("det inverse pinverse", SQUARE, checks=MATRIX),
    *rows("slogdet logdet", DEFINITE, checks=MATRIX),
    row("logdet", -np.eye(3), checks={**MATRIX, "gradient": 0}),
    *[row("matrix_power", SQUARE, n, checks=MATRIX) for n in (0, 1, 3, -2)],
    row("matrix_exp", SQUARE, checks=MATRIX),
    row("matrix_exp", np.stack([SQUARE, 3 * SQUARE]), checks=MATRIX),
    row("cholesky", DEFINITE, checks={**MATRIX, "gradient": 1}),
    row("cholesky", DEFINITE, True, checks={**MATRIX, "gradient": 0}),
    *[
        row("cdist", X, np.concatenate([Y, X]), p, checks={**MATRIX, "gradient": 1})
        for p in (1.0, 2.0, 3.0, float("inf"), 0.0)
    ],
    row("cdist", np.stack([X, Y]), Y, checks={**MATRIX, "gradient": 1}),
    row("cdist", X, X[:2] + 0.5, 2.0, "use_mm_for_euclid_dist", checks=MATRIX),
]

CHECKED_ELSEWHERE = dict.fromkeys(["lu_unpack", "pca_lowrank", "qr", "svd", "svd_lowrank"], "test_linalg.py")
