"""Linear algebra of matrices in the last two axes: inverses, determinants, powers, diagonals."""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.broadcasting import unbroadcast
from xpnn.autograd.ops.elementwise import abs, complex_of, conj, imag, positive
from xpnn.autograd.ops.indexing import getitem
from xpnn.autograd.ops.manipulation import (
    adjoint,
    broadcast_to,
    expand_dims,
    flat_matrices,
    matrix_transpose,
    reshape,
    squeeze,
)
from xpnn.autograd.ops.products import matmul
from xpnn.autograd.ops.reductions import sum
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, device_of, is_complex, namespace


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Array
    logabsdet: Array


def inv(x: Array, /) -> Array:
    """The inverses y of square matrices. Backward: gx = -y^T g y^T.

    >>> import numpy as np
    >>> inv(np.asarray([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    return _inv(x)


@primitive
def _inv(x: Array) -> tuple[Array, tuple]:
    y = namespace(x).linalg.inv(x)
    return y, (y,)


@_inv.backward
def _inv_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    (y,) = saved
    yt = matrix_transpose(y)
    return (-matmul(matmul(yt, g), yt),)


def solve(x1: Array, x2: Array, /) -> Array:
    """The solutions y of `x1 y = x2`. Backward: gx2 = x1^-T g, gx1 = -gx2 y^T.

    Args:
        x1: (..., n, n). x2: (..., n, k), or one vector (n,).

    >>> import numpy as np
    >>> solve(np.asarray([[2.0, 0.0], [0.0, 4.0]]), np.asarray([2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    if x2.ndim == 1:
        return squeeze(_solve(x1, expand_dims(x2, axis=1)), -1)
    return _solve(x1, x2)


@primitive
def _solve(x1: Array, x2: Array) -> tuple[Array, tuple]:
    y = namespace(x1, x2).linalg.solve(x1, x2)
    return y, (x1, y, (x2.shape, x2.dtype))


@_solve.backward
def _solve_backward(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array | None, Array | None]:
    x1, y, kind2 = saved
    g2 = _solve(matrix_transpose(x1), g)
    g1 = unbroadcast(-matmul(g2, matrix_transpose(y)), x1.shape, x1.dtype) if needs[0] else None
    return g1, unbroadcast(g2, *kind2) if needs[1] else None


def det(x: Array, /) -> Array:
    """The determinants of square matrices. Backward: gx = g times the cofactors, of singular ones too.

    >>> import numpy as np
    >>> float(det(np.asarray([[2.0, 0.0], [0.0, 0.5]])))
    1.0
    """
    return _det(x)


@primitive
def _det(x: Array) -> tuple[Array, tuple]:
    return namespace(x).linalg.det(x), (x,)


@_det.backward
def _det_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    (x,) = saved
    return (_as_matrix(g) * _cofactors(x),)


@primitive
def _cofactors(x: Array) -> tuple[Array, tuple]:
    """det(x) x^-T, by the singular values x = U diag(s) Vh: det(U) det(Vh) conj(U diag(prod of others) Vh).

    Backward, in the bases of U and Vh, with H = U^H g V and P_ij the product of all s but s_i and s_j, which
    is 0 on the diagonal: diag(P diag(H)) - P * H^T.
    """
    u, s, vh = namespace(x).linalg.svd(x, full_matrices=False)
    left = _conj(u) * expand_dims(_products_without(s), axis=-2)
    return _as_matrix(_turn(u, vh)) * matmul(left, _conj(vh)), (x,)


@_cofactors.backward
def _cofactors_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    (x,) = saved
    xp = namespace(x)
    u, s, vh = xp.linalg.svd(x, full_matrices=False)
    without = xp.astype(_products_without_two(s), u.dtype)
    inner = matmul(matmul(adjoint(u), g), adjoint(vh))
    sums = matmul(without, expand_dims(diagonal(inner), axis=-1))
    identity = xp.eye(x.shape[-1], dtype=x.dtype, device=device_of(x))
    middle = sums * identity - without * matrix_transpose(inner)
    return (_as_matrix(_turn(u, vh)) * matmul(matmul(_conj(u), middle), _conj(vh)),)


def _turn(u: Array, vh: Array) -> Array:
    """The determinant of U Vh, of absolute value 1."""
    xp = namespace(u)
    return xp.linalg.det(u) * xp.linalg.det(vh)


def _products_without(s: Array) -> Array:
    """For each i the product of all s but s_i along the last axis."""
    xp = namespace(s)
    alone = xp.eye(s.shape[-1], dtype=xp.bool, device=device_of(s))
    return xp.prod(xp.where(alone, 1.0, expand_dims(s, axis=-2)), axis=-1)


def _products_without_two(s: Array) -> Array:
    """For each i and j the product of all s but s_i and s_j along the last axis; 0 where i = j."""
    xp = namespace(s)
    alone = xp.eye(s.shape[-1], dtype=xp.bool, device=device_of(s))
    either = xp.logical_or(expand_dims(alone, axis=0), expand_dims(alone, axis=1))
    rows = expand_dims(expand_dims(s, axis=-2), axis=-2)
    return xp.where(alone, 0.0, xp.prod(xp.where(either, 1.0, rows), axis=-1))


def slogdet(x: Array, /) -> SlogdetResult:
    """The sign of the determinants, and log |det|, which does not overflow. Backward: gx = g x^-T.

    >>> import numpy as np
    >>> float(slogdet(-np.eye(3)).sign)
    -1.0
    """
    return SlogdetResult(*_slogdet(x))


@primitive
def _slogdet(x: Array) -> tuple[tuple[Array, Array], tuple]:
    sign, logarithm = namespace(x).linalg.slogdet(x)
    return (sign, logarithm), (x, sign)


@_slogdet.backward
def _slogdet_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    x, _ = saved
    _, g = gs  # the sign is constant between its jumps
    if g is None:
        return (namespace(x).zeros_like(x),)
    return (_as_matrix(g) * matrix_transpose(inv(x)),)


@_slogdet.backward_over_complex
def _slogdet_over_complex(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array]:
    """The sign turns with the matrix: (g - i Im(conj(g_sign) sign)) x^-H."""
    x, sign = saved
    g_sign, g = gs
    nothing = namespace(x).zeros_like(abs(sign))
    turn = nothing if g_sign is None else imag(g_sign * conj(sign))
    return (_as_matrix(complex_of(nothing if g is None else g, turn)) * adjoint(inv(x)),)


@half_in_float32
def matrix_power(x: Array, n: int, /) -> Array:
    """The n-th power of square matrices by repeated squaring; a power of the inverse if n is negative.

    >>> import numpy as np
    >>> matrix_power(np.asarray([[1.0, 1.0], [0.0, 1.0]]), 5).tolist()
    [[1.0, 5.0], [0.0, 1.0]]
    """
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        identity = namespace(x).eye(x.shape[-1], dtype=x.dtype, device=device_of(x))
        return broadcast_to(identity, x.shape)
    if n == 1:
        return positive(x)
    half = matrix_power(x, n // 2)
    squared = matmul(half, half)
    return matmul(squared, x) if n % 2 else squared


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """The diagonals of matrices (..., n, m); `offset` > 0 is above the main one, < 0 below.

    >>> import numpy as np
    >>> diagonal(np.asarray([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 4.0]
    """
    n, m = x.shape[-2:]
    row, column = (0, offset) if offset >= 0 else (-offset, 0)
    length = max(min(n - row, m - column), 0)
    start = row * m + column
    places = slice(start, start + (length - 1) * (m + 1) + 1, m + 1) if length else slice(0, 0)
    return getitem(flat_matrices(x), (..., places))


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sums of the diagonals (see `diagonal`).

    >>> import numpy as np
    >>> float(trace(np.asarray([[1.0, 2.0], [3.0, 4.0]])))
    5.0
    """
    return sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def _conj(x: Array) -> Array:
    return namespace(x).conj(x) if is_complex(x) else x


def _as_matrix(x: Array) -> Array:
    """One number for each matrix, so that it broadcasts against them."""
    return reshape(x, (*x.shape, 1, 1))
