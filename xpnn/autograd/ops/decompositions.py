"""Matrices as products of simpler ones: Cholesky, eigenvalues, QR, singular values.

See: M. Giles (2008), "An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation"; J. Townsend (2016), "Differentiating the singular value decomposition".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from xpnn.autograd.ops.indexing import getitem
from xpnn.autograd.ops.joining import concat
from xpnn.autograd.ops.linalg import inv, solve
from xpnn.autograd.ops.manipulation import expand_dims, matrix_transpose, tril
from xpnn.autograd.ops.products import matmul
from xpnn.autograd.primitive import primitive
from xpnn.backend import ArgumentError, Array, device_of, namespace


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """A matrix with orthonormal columns, and an upper triangular one."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """Left singular vectors as columns, singular values in descending order, right vectors as rows."""

    U: Array
    S: Array
    Vh: Array


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """The lower triangular L with x = L L^T of symmetric positive definite matrices; L^T if `upper`.

    Backward: gx = L^-T s(L^T g) L^-1, where s takes the lower triangle of a matrix, with half its
    diagonal, and makes it symmetric. gx is symmetric too.

    See: I. Murray (2016), "Differentiation of the Cholesky decomposition".

    >>> import numpy as np
    >>> cholesky(np.asarray([[4.0, 0.0], [0.0, 9.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    lower = _cholesky(x)
    return matrix_transpose(lower) if upper else lower


@primitive
def _cholesky(x: Array) -> tuple[Array, tuple]:
    y = namespace(x).linalg.cholesky(x)
    return y, (y,)


@_cholesky.backward
def _cholesky_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    (y,) = saved
    product = matmul(matrix_transpose(y), g)
    doubled = tril(product) + tril(product, k=-1)
    inverse = inv(y)
    symmetric = (doubled + matrix_transpose(doubled)) / 4
    return (matmul(matmul(matrix_transpose(inverse), symmetric), inverse),)


def eigh(x: Array, /) -> EighResult:
    """The eigenvalues w and eigenvectors V of symmetric matrices: x = V diag(w) V^T.

    Backward: gx = V (diag(gw) + F * (V^T gV)) V^T with F_ij = 1 / (w_j - w_i), 0 on the diagonal. Where
    two eigenvalues are equal, their vectors have no derivative, and the gradient is not finite.

    >>> import numpy as np
    >>> eigh(np.asarray([[2.0, 0.0], [0.0, 1.0]])).eigenvalues.tolist()
    [1.0, 2.0]
    """
    return EighResult(*_eigh(x))


@primitive
def _eigh(x: Array) -> tuple[tuple[Array, Array], tuple]:
    values, vectors = namespace(x).linalg.eigh(x)
    return (values, vectors), (values, vectors)


@_eigh.backward
def _eigh_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    values, vectors = saved
    g_values, g_vectors = gs
    inner = None if g_values is None else _diagonal_matrix(g_values)
    if g_vectors is not None:
        turned = matmul(matrix_transpose(vectors), g_vectors) * _inverse_gaps(values)
        inner = turned if inner is None else inner + turned
    return (matmul(matmul(vectors, inner), matrix_transpose(vectors)),)


def eigvalsh(x: Array, /) -> Array:
    """The eigenvalues of symmetric matrices in ascending order (see `eigh`).

    >>> import numpy as np
    >>> eigvalsh(np.asarray([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 2.0]
    """
    return eigh(x).eigenvalues


def qr(x: Array, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """x = Q R with orthonormal columns in Q and an upper triangular R.

    Args:
        x: (..., n, m); the first min(n, m) columns must be independent for a gradient.
        mode: "reduced": Q is (n, min(n, m)); "complete": Q is (n, n), without a gradient if n > m.

    Backward for n >= m: gx = (gQ + Q c(R gR^T - gQ^T Q)) R^-T, where c copies the lower triangle onto the
    upper one.

    >>> import numpy as np
    >>> Q, R = qr(np.asarray([[3.0, 1.0], [4.0, 2.0]]))
    >>> np.allclose(Q @ R, [[3.0, 1.0], [4.0, 2.0]])
    True
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"expects mode 'reduced' or 'complete', got {mode!r}", subject="qr")
    n, m = x.shape[-2:]
    if mode == "complete" and n > m:
        return QRResult(*_complete_qr(x))
    if n >= m:
        return QRResult(*_qr(x))
    q, r = _qr(getitem(x, (..., slice(None, n))))
    rest = matmul(matrix_transpose(q), getitem(x, (..., slice(n, None))))
    return QRResult(q, concat([r, rest], axis=-1))


@primitive
def _complete_qr(x: Array) -> tuple[tuple[Array, Array], tuple]:
    return tuple(namespace(x).linalg.qr(x, mode="complete")), ()


@primitive
def _qr(x: Array) -> tuple[tuple[Array, Array], tuple]:
    q, r = namespace(x).linalg.qr(x)
    return (q, r), (q, r)


@_qr.backward
def _qr_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    q, r = saved
    gq, gr = gs
    inner = None if gr is None else matmul(r, matrix_transpose(gr))
    if gq is not None:
        turned = matmul(matrix_transpose(gq), q)
        inner = -turned if inner is None else inner - turned
    result = matmul(q, tril(inner) + matrix_transpose(tril(inner, k=-1)))
    if gq is not None:
        result = gq + result
    return (matrix_transpose(solve(r, matrix_transpose(result))),)


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular values s and vectors: x = U diag(s) Vh.

    Args:
        x: (..., n, m), of full rank for a gradient of the vectors.
        full_matrices: U is (n, n) and Vh (m, m), without a gradient if n != m; else (n, k) and (k, m)
            for k = min(n, m).

    Backward, with V = Vh^T and F_ij = 1 / (s_j^2 - s_i^2), 0 on the diagonal:
        gx = U (diag(gs) + (F * (U^T gU - gU^T U)) diag(s) + diag(s) (F * (V^T gV - gV^T V))) V^T
            + (1 - U U^T) gU diag(1/s) V^T + U diag(1/s) gV^T (1 - V V^T).
    Where two singular values are equal, their vectors have no derivative, and the gradient is not finite.

    >>> import numpy as np
    >>> svd(np.asarray([[3.0, 0.0], [0.0, 4.0]])).S.tolist()
    [4.0, 3.0]
    """
    if full_matrices and x.shape[-2] != x.shape[-1]:
        return SVDResult(*_full_svd(x))
    return SVDResult(*_svd(x))


@primitive
def _full_svd(x: Array) -> tuple[tuple[Array, Array, Array], tuple]:
    return tuple(namespace(x).linalg.svd(x, full_matrices=True)), ()


@primitive
def _svd(x: Array) -> tuple[tuple[Array, Array, Array], tuple]:
    u, s, vh = namespace(x).linalg.svd(x, full_matrices=False)
    return (u, s, vh), (u, s, vh)


@_svd.backward
def _svd_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    u, s, vh = saved
    gu, g_s, gvh = gs
    row, column = expand_dims(s, axis=-2), expand_dims(s, axis=-1)
    terms = [] if g_s is None else [matmul(u, matmul(_diagonal_matrix(g_s), vh))]
    if gu is not None:
        turned = matmul(matrix_transpose(u), gu)
        skew = (turned - matrix_transpose(turned)) * _inverse_gaps(s * s)
        terms.append(matmul(matmul(u, skew * row) + (gu - matmul(u, turned)) / row, vh))
    if gvh is not None:
        turned = matmul(vh, matrix_transpose(gvh))
        skew = (turned - matrix_transpose(turned)) * _inverse_gaps(s * s)
        outside = (gvh - matmul(matrix_transpose(turned), vh)) / column
        terms.append(matmul(u, matmul(column * skew, vh) + outside))
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return (total,)


def svdvals(x: Array, /) -> Array:
    """The singular values in descending order (see `svd`).

    >>> import numpy as np
    >>> svdvals(np.asarray([[3.0, 0.0], [0.0, 4.0]])).tolist()
    [4.0, 3.0]
    """
    return svd(x, full_matrices=False).S


def pinv(x: Array, /, *, rtol: float | Array | None = None) -> Array:
    """The pseudo-inverses y of matrices (..., n, m), of shape (..., m, n).

    Args:
        rtol: singular values below `rtol` times the largest count as 0; None is the library's default.

    Backward, where the rank is constant:
        gx = -y^T g y^T + (1 - x y) g^T (y y^T) + (y^T y) g^T (1 - y x).

    See: G. Golub & V. Pereyra (1973), "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate".

    >>> import numpy as np
    >>> pinv(np.asarray([[2.0], [0.0]])).tolist()
    [[0.5, 0.0]]
    """
    return _pinv(x, rtol=rtol)


@primitive
def _pinv(x: Array, *, rtol: float | Array | None) -> tuple[Array, tuple]:
    y = namespace(x).linalg.pinv(x, **({} if rtol is None else {"rtol": rtol}))
    return y, (x, y)


@_pinv.backward
def _pinv_backward(g: Array, saved: tuple, needs: tuple, *, rtol: float | Array | None) -> tuple[Array]:
    x, y = saved
    yt, gt = matrix_transpose(y), matrix_transpose(g)
    left = matmul(matmul(gt, y), yt)
    right = matmul(matmul(yt, y), gt)
    outside = left - matmul(matmul(x, y), left) + right - matmul(matmul(right, y), x)
    return (outside - matmul(matmul(yt, g), yt),)


def _diagonal_matrix(x: Array) -> Array:
    return expand_dims(x, axis=-2) * _identity(x)


def _inverse_gaps(x: Array) -> Array:
    """F_ij = 1 / (x_j - x_i), 0 on the diagonal."""
    identity = _identity(x)
    gaps = expand_dims(x, axis=-2) - expand_dims(x, axis=-1)
    return (1 - identity) / (gaps + identity)


def _identity(x: Array) -> Array:
    return namespace(x).eye(x.shape[-1], dtype=x.dtype, device=device_of(x))
