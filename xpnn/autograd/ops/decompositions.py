"""Matrices as products of simpler ones: Cholesky, eigenvalues, QR, singular values.

See: M. Giles (2008), "An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation"; J. Townsend (2016), "Differentiating the singular value decomposition".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from xpnn.autograd.ops.elementwise import conj, real
from xpnn.autograd.ops.indexing import getitem
from xpnn.autograd.ops.joining import concat
from xpnn.autograd.ops.lifting import unwrap
from xpnn.autograd.ops.linalg import diagonal, inv, solve
from xpnn.autograd.ops.manipulation import adjoint, expand_dims, tril
from xpnn.autograd.ops.products import matmul
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    GradientError,
    concrete,
    device_of,
    idioms,
    is_complex,
    namespace,
    size_of,
)

# Which part of the gradient of vectors may lie along their phases, and how much is rounding.
_PHASE, _PHASE_NOISE = 1e-2, 1e-5


class EighResult(NamedTuple):
    """Eigenvalues in ascending order, and the eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class EigResult(NamedTuple):
    """Eigenvalues, in no order, and the eigenvectors as columns of length 1; both complex."""

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
    """The lower triangular L with x = L L^H of Hermitian positive definite matrices; L^H if `upper`.

    Backward: gx = L^-H s(L^H g) L^-1, where s takes the lower triangle of a matrix, with half its
    diagonal, and makes it Hermitian. gx is Hermitian too.

    See: I. Murray (2016), "Differentiation of the Cholesky decomposition".

    >>> import numpy as np
    >>> cholesky(np.asarray([[4.0, 0.0], [0.0, 9.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    lower = _cholesky(x)
    return adjoint(lower) if upper else lower


@primitive
def _cholesky(x: Array) -> tuple[Array, tuple]:
    y = namespace(x).linalg.cholesky(x)
    return y, (y,)


@_cholesky.backward
def _cholesky_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    (y,) = saved
    inverse = inv(y)
    middle = _hermitian(matmul(adjoint(y), g)) / 2
    return (matmul(matmul(adjoint(inverse), middle), inverse),)


def eigh(x: Array, /) -> EighResult:
    """The eigenvalues w and eigenvectors V of Hermitian matrices: x = V diag(w) V^H.

    Backward: gx = V (diag(gw) + F * (V^H gV)) V^H with F_ij = 1 / (w_j - w_i), 0 on the diagonal. Where
    two eigenvalues are equal, their vectors have no derivative, and the gradient is not finite.

    The backward raises GradientError if the loss depends on the phases of complex vectors, which are free.

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
    terms = [] if g_values is None else [vectors * expand_dims(g_values, axis=-2)]
    if g_vectors is not None:
        turned = matmul(adjoint(vectors), g_vectors)
        _check_phases(turned, "eigh")
        terms.append(matmul(vectors, turned * _inverse_gaps(values)))
    return (matmul(_total(terms), adjoint(vectors)),)


def eigvalsh(x: Array, /) -> Array:
    """The eigenvalues of Hermitian matrices in ascending order (see `eigh`).

    >>> import numpy as np
    >>> eigvalsh(np.asarray([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [1.0, 2.0]
    """
    return eigh(x).eigenvalues


def eig(x: Array, /) -> EigResult:
    """The eigenvalues w and eigenvectors V of square matrices that can be diagonalised: x V = V diag(w).

    Backward, with M = V^H gV and F_ij = 1 / conj(w_j - w_i), 0 on the diagonal:
        gx = V^-H (diag(gw) + F * (M - V^H V Re(diag(M)))) V^H, of a real x its real part.
    It raises GradientError if the loss depends on the phases of the vectors, which are free.

    See: C. Boeddeker, P. Hanebrink, L. Drude, J. Heymann & R. Haeb-Umbach (2017), "On the computation of
    complex-valued gradients with application to statistically optimum beamforming".

    >>> import numpy as np
    >>> eig(np.asarray([[2.0]])).eigenvalues.tolist()
    [(2+0j)]
    """
    return EigResult(*_eig(x))


@primitive
def _eig(x: Array) -> tuple[tuple[Array, Array], tuple]:
    values, vectors = idioms.eig(x)
    return (values, vectors), (values, vectors)


@_eig.backward
def _eig_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    values, vectors = saved
    g_values, g_vectors = gs
    terms = [] if g_values is None else [_diagonal_matrix(g_values)]
    if g_vectors is not None:
        turned = matmul(adjoint(vectors), g_vectors)
        _check_phases(turned, "eig")
        lengths = vectors * expand_dims(real(diagonal(turned)), axis=-2)
        terms.append((turned - matmul(adjoint(vectors), lengths)) * _inverse_gaps(conj(values)))
    return (solve(adjoint(vectors), matmul(_total(terms), adjoint(vectors))),)


def eigvals(x: Array, /) -> Array:
    """The eigenvalues of square matrices, complex and in no order (see `eig`).

    >>> import numpy as np
    >>> eigvals(np.asarray([[0.0, 1.0], [-1.0, 0.0]])).tolist()
    [1j, -1j]
    """
    return eig(x).eigenvalues


def qr(x: Array, /, *, mode: Literal["reduced", "complete"] = "reduced") -> QRResult:
    """x = Q R with orthonormal columns in Q and an upper triangular R.

    Args:
        x: (..., n, m); the first min(n, m) columns must be independent for a gradient.
        mode: "reduced": Q is (n, min(n, m)); "complete": Q is (n, n), without a gradient if n > m.

    Backward for n >= m: gx = (gQ + Q c(R gR^H - gQ^H Q)) R^-H, where c makes a matrix Hermitian by its
    lower triangle. Of complex matrices the diagonal of R is real.

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
    rest = matmul(adjoint(q), getitem(x, (..., slice(n, None))))
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
    inner = None if gr is None else matmul(r, adjoint(gr))
    if gq is not None:
        turned = matmul(adjoint(gq), q)
        inner = -turned if inner is None else inner - turned
    result = matmul(q, _hermitian(inner))
    if gq is not None:
        result = gq + result
    return (adjoint(solve(r, adjoint(result))),)


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular values s and vectors: x = U diag(s) Vh.

    Args:
        x: (..., n, m), of full rank for a gradient of the vectors.
        full_matrices: U is (n, n) and Vh (m, m), without a gradient if n != m; else (n, k) and (k, m)
            for k = min(n, m).

    Backward, with V = Vh^H, F_ij = 1 / (s_j^2 - s_i^2), 0 on the diagonal, and P = U^H gU - gU^H U:
        gx = U (diag(gs) + (F * P) diag(s) + diag(s) (F * (V^H gV - gV^H V)) + diag(P) / (2 s)) V^H
            + (1 - U U^H) gU diag(1/s) V^H + U diag(1/s) gV^H (1 - V V^H).
    Where two singular values are equal, their vectors have no derivative, and the gradient is not finite. It
    raises GradientError if the loss depends on the phases of complex vectors, which are free.

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
    terms = [] if g_s is None else [matmul(u * expand_dims(g_s, axis=-2), vh)]
    skews = []
    if gu is not None:
        turned = matmul(adjoint(u), gu)
        skews.append(turned - adjoint(turned))
        inside = skews[0] * _inverse_gaps(s * s) * row
        if is_complex(unwrap(u)):
            inside = inside + _diagonal_matrix(diagonal(skews[0])) / (2 * row)
        terms.append(matmul(matmul(u, inside) + (gu - matmul(u, turned)) / row, vh))
    if gvh is not None:
        turned = matmul(vh, adjoint(gvh))
        skews.append(turned - adjoint(turned))
        outside = (gvh - matmul(adjoint(turned), vh)) / column
        terms.append(matmul(u, matmul(column * (skews[-1] * _inverse_gaps(s * s)), vh) + outside))
    if skews:
        _check_phases(_total(skews), "svd")
    return (_total(terms),)


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
        gx = -y^H g y^H + (1 - x y) g^H (y y^H) + (y^H y) g^H (1 - y x).

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
    yh, gh = adjoint(y), adjoint(g)
    left = matmul(matmul(gh, y), yh)
    right = matmul(matmul(yh, y), gh)
    outside = left - matmul(matmul(x, y), left) + right - matmul(matmul(right, y), x)
    return (outside - matmul(matmul(yh, g), yh),)


def _total(terms: list[Array]) -> Array:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _hermitian(x: Array) -> Array:
    """The Hermitian matrix that has the lower triangle of `x`, and the real part of its diagonal."""
    doubled = tril(x) + tril(x, k=-1)
    return (doubled + adjoint(doubled)) / 2


def _check_phases(x: Array, subject: str) -> None:
    """Raise if the diagonal tells of a gradient along the phases of complex vectors, which nothing fixes.

    It is read on every device, as PyTorch does: a decomposition takes longer than to wait for one.
    """
    raw = unwrap(x)
    if not is_complex(raw) or not size_of(raw.shape) or not concrete(raw):
        return
    xp = namespace(raw)
    along = xp.max(xp.abs(xp.imag(diagonal(raw))))
    if float(along) > _PHASE * float(xp.max(xp.abs(raw))) + _PHASE_NOISE:
        raise GradientError(
            "makes complex vectors up to factors of absolute value 1, on which this loss depends, so that it "
            "has no gradient",
            subject=subject,
            hint="Use what is the same for all of them, such as |v|^2 or v v^H",
        )


def _diagonal_matrix(x: Array) -> Array:
    return expand_dims(x, axis=-2) * _identity(x)


def _inverse_gaps(x: Array) -> Array:
    """F_ij = 1 / (x_j - x_i), 0 on the diagonal."""
    identity = _identity(x)
    gaps = expand_dims(x, axis=-2) - expand_dims(x, axis=-1)
    return (1 - identity) / (gaps + identity)


def _identity(x: Array) -> Array:
    return namespace(x).eye(x.shape[-1], dtype=x.dtype, device=device_of(x))
