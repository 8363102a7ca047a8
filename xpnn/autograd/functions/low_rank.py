"""Singular values and vectors of large matrices that are nearly of low rank, by random projection.

See: N. Halko, P. Martinsson & J. Tropp (2011), "Finding structure with randomness", algorithms 4.4 and 5.1.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.linalg import SVD
from xpnn.autograd.functions.random import randn
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.manipulation import adjoint
from xpnn.backend import ArgumentError, DTypeError, ShapeError, dtype_name, is_complex, is_floating

__all__ = ["pca_lowrank", "svd_lowrank"]


@front
@half_in_float32
def svd_lowrank(A: Any, q: int | None = 6, niter: int | None = 2, M: Any = None) -> SVD:
    """The largest singular values of A - M, with their vectors: A - M = U diag(S) V^H, nearly.

    It is exact if A - M is of a rank up to q, and the nearer to that, the faster the singular values fall.
    Random numbers are drawn. The gradient is that of the matrix products, QR and SVD it is made of.

    Args:
        A: (..., m, n) of floating-point or complex numbers.
        q: how many singular values; more than are needed make those more precise. At most min(m, n).
        niter: rounds that sharpen the subspace, at least 0.
        M: broadcasts against A: what is subtracted from it.

    Returns: U (..., m, q), S (..., q), V (..., n, q).

    Raises: ShapeError, ArgumentError, DTypeError.

    >>> from xpnn.autograd import tensor
    >>> svd_lowrank(tensor([[3.0, 0.0], [0.0, 0.0]]), q=1).S
    tensor([3.])
    """
    check_matrices(A, "svd_lowrank")
    q = 6 if q is None else q
    _check_count("q", q, min(A.shape[-2:]), "svd_lowrank")
    _check_count("niter", 2 if niter is None else niter, None, "svd_lowrank")
    return _svd_lowrank(A if M is None else A - M, q, 2 if niter is None else niter)


@front
@half_in_float32
def pca_lowrank(A: Any, q: int | None = None, center: bool = True, niter: int = 2) -> SVD:
    """The main axes of the rows of A, as the columns of V: `svd_lowrank` of A less the mean of its rows.

    A V[:, :k] are the rows in their first k components, S^2 / (m - 1) the variances of these.

    Args:
        A: (..., m, n) of floating-point or complex numbers, m rows.
        q: how many axes; None is min(6, m, n).
        center: whether the mean is taken away.
        niter: see `svd_lowrank`.

    Raises: ShapeError, ArgumentError, DTypeError.

    >>> from xpnn.autograd import tensor
    >>> pca_lowrank(tensor([[1.0, 5.0], [3.0, 5.0]]), q=1).V.abs()
    tensor([[1.],
            [0.]])
    """
    check_matrices(A, "pca_lowrank")
    most = min(A.shape[-2:])
    q = min(6, most) if q is None else q
    _check_count("q", q, most, "pca_lowrank")
    _check_count("niter", niter, None, "pca_lowrank")
    return _svd_lowrank(A - ops.mean(A, axis=-2, keepdims=True) if center else A, q, niter)


def _svd_lowrank(a: Any, q: int, niter: int) -> SVD:
    """The SVD of `a` within the subspace that random vectors are brought to."""
    m, n = a.shape[-2:]
    if m < n:
        u, s, v = _svd_lowrank(adjoint(a), q, niter)
        return SVD(v, s, u)
    basis = _basis(ops.matmul(a, randn(n, q, dtype=a.dtype, device=a.device)))
    for _ in range(niter):
        basis = _basis(ops.matmul(a, _basis(ops.matmul(adjoint(a), basis))))
    u, s, vh = ops.svd(ops.matmul(adjoint(basis), a), full_matrices=False)
    return SVD(ops.matmul(basis, u), s, adjoint(vh))


def _basis(x: Any) -> Any:
    """Orthonormal columns that span the same."""
    return ops.qr(x, mode="reduced")[0]


def check_matrices(x: Any, subject: str) -> None:
    """Raise an error for what are no matrices of floating-point or complex numbers."""
    if x.ndim < 2:
        raise ShapeError(f"expects matrices, got the shape {tuple(x.shape)}", subject=subject)
    if not (is_floating(x.array) or is_complex(x.array)):
        raise DTypeError(
            f"expects floating-point or complex numbers, got {dtype_name(x.dtype)}", subject=subject
        )


def _check_count(name: str, value: Any, most: int | None, subject: str) -> None:
    if type(value) is not int or value < 0 or (most is not None and value > most):
        bound = "at least 0" if most is None else f"between 0 and {most}"
        raise ArgumentError(f"expects {name} as a whole number {bound}, got {value!r:.60}", subject=subject)
