"""Products of reflections, and matrices as such a product and an upper triangle.

See: G. Golub & C. Van Loan (2013), "Matrix Computations", 4th ed., section 5.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.manipulation import adjoint
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    Array,
    DTypeError,
    ShapeError,
    device_of,
    dtype_name,
    is_complex,
    is_floating,
    namespace,
)

__all__ = ["geqrf", "householder_product", "orgqr", "ormqr"]


class Reflections(NamedTuple):
    """R, and below its diagonal the vectors of the reflections; and the factors of these."""

    a: Any
    tau: Any


@front
@half_in_float32
def geqrf(input: Any) -> Reflections:
    """A = Q R with Q as a product of reflections H_1 H_2 ..., H_i = 1 - tau_i v_i v_i^H; without a gradient.

    Args:
        input: (..., m, n) of floating-point or complex numbers.

    Returns: `a` of the input's shape, R with the vectors v_i below its diagonal (a 1 on it is left out), and
    `tau` (..., k), k = min(m, n), as `householder_product` and `ormqr` take them.

    Raises: ShapeError, DTypeError; GradientError for a gradient: `linalg.qr` has one.

    >>> from xpnn.autograd import tensor
    >>> geqrf(tensor([[3.0], [4.0]])).a.tolist()
    [[-5.0], [0.5]]
    """
    if input.ndim < 2:
        raise ShapeError(f"expects matrices, got the shape {tuple(input.shape)}", subject="geqrf")
    if not (is_floating(input.array) or is_complex(input.array)):
        raise DTypeError(
            f"expects floating-point or complex numbers, got {dtype_name(input.dtype)}", subject="geqrf"
        )
    return Reflections(*_geqrf(input))


@front
def householder_product(A: Any, tau: Any) -> Any:
    """The first columns of a product of reflections H_1 H_2 ..., with H_i = 1 - tau_i v_i v_i^H.

    Args:
        A: (..., m, n), n <= m. v_i is column i below the diagonal, with 1 on it and 0 above.
        tau: (..., k), k <= n.

    Returns: (..., m, n).

    >>> from xpnn.autograd import tensor
    >>> householder_product(tensor([[0.0], [1.0]]), tensor([1.0])).tolist()
    [[0.0], [-1.0]]
    """
    _check_factors(A, tau, "householder_product")
    return _reflected(A, tau, ops.broadcast_to(new_tensor(_identity(A.array)), tuple(A.shape)))


@front
def orgqr(input: Any, input2: Any) -> Any:
    """`householder_product(input, input2)`, under its older name."""
    return householder_product(input, input2)


@front
def ormqr(input: Any, tau: Any, other: Any, left: bool = True, transpose: bool = False) -> Any:
    """Q `other` for the product Q of reflections that `householder_product` has the first columns of.

    Args:
        input: (..., m, n), n <= m. tau: (..., k), k <= n. See `householder_product`.
        other: (..., m, p), or (..., p, m) where not `left`.
        left: if False, `other` Q is returned.
        transpose: whether Q^H stands for Q.

    Raises: ShapeError.

    >>> from xpnn.autograd import tensor
    >>> ormqr(tensor([[0.0], [1.0]]), tensor([1.0]), tensor([[1.0], [2.0]])).tolist()
    [[-2.0], [-1.0]]
    """
    _check_factors(input, tau, "ormqr")
    if other.ndim != input.ndim or tuple(other.shape[:-2]) != tuple(input.shape[:-2]):
        raise ShapeError(
            f"expects other with the leading axes {tuple(input.shape[:-2])}, got {tuple(other.shape)}",
            subject="ormqr",
        )
    if other.shape[-2 if left else -1] != input.shape[-2]:
        raise ShapeError(
            f"expects other with {input.shape[-2]} {'rows' if left else 'columns'}, got {tuple(other.shape)}",
            subject="ormqr",
        )
    if left:
        return _reflected(input, tau, other, transpose)
    return adjoint(_reflected(input, tau, adjoint(other), not transpose))


def _check_factors(A: Any, tau: Any, subject: str) -> None:
    fits = A.ndim >= 2 and tau.ndim == A.ndim - 1 and tuple(tau.shape[:-1]) == tuple(A.shape[:-2])
    if not fits or not A.shape[-2] >= A.shape[-1] >= tau.shape[-1]:
        raise ShapeError(
            f"expects matrices of shape (..., m, n) with n <= m and tau (..., k) with k <= n, got "
            f"{tuple(A.shape)} and {tuple(tau.shape)}",
            subject=subject,
        )


def _identity(raw: Array) -> Array:
    """Ones on the diagonal of a matrix of the shape of those in `raw`."""
    return namespace(raw).eye(*raw.shape[-2:], dtype=raw.dtype, device=device_of(raw))


def _reflected(A: Any, tau: Any, y: Any, adjoint_of_it: bool = False) -> Any:
    """H_1 H_2 ... y, or its adjoint ... H_2^H H_1^H y."""
    vectors = ops.tril(A, k=-1) + new_tensor(_identity(A.array))
    numbers = range(tau.shape[-1])
    for i in numbers if adjoint_of_it else reversed(numbers):
        v = ops.getitem(vectors, (..., slice(i, i + 1)))
        factor = ops.getitem(tau, (..., slice(i, i + 1), None))
        if adjoint_of_it and is_complex(factor.array):
            factor = ops.conj(factor)
        y = y - factor * ops.matmul(v, ops.matmul(adjoint(v), y))
    return y


@primitive
def _geqrf(x: Array) -> tuple[tuple[Array, Array], tuple]:
    """Column by column: the reflection that makes zeros below the diagonal, of all columns to its right."""
    xp, many = namespace(x), is_complex(x)
    rows, columns = x.shape[-2:]
    down = xp.arange(rows, device=device_of(x))[:, None]
    across = xp.arange(columns, device=device_of(x))
    factors = []
    for i in range(min(rows, columns)):
        column = x[..., i : i + 1]
        head = x[..., i : i + 1, i : i + 1]
        below = xp.where(down > i, column, xp.zeros_like(column))
        real = xp.real(head) if many else head
        rest = xp.sum(_square(xp, below, many), axis=-2, keepdims=True)
        still = (rest + xp.imag(head) ** 2 if many else rest) == 0  # nothing is to become zero
        length = xp.sqrt(rest + _square(xp, head, many))
        beta = xp.where(still, real, xp.where(real >= 0, -length, length))
        beta = xp.astype(beta, x.dtype)
        safe = xp.where(still, xp.ones_like(beta), beta)
        tau = xp.where(still, xp.zeros_like(head), (safe - head) / safe)
        divisor = xp.where(still, xp.ones_like(head), head - beta)
        v = xp.where(down == i, xp.ones_like(column), below / divisor)
        across_v = xp.matmul(xp.matrix_transpose(xp.conj(v) if many else v), x)
        changed = x - (xp.conj(tau) if many else tau) * (v * across_v)
        changed = xp.where(across > i, changed, x)
        own = xp.where(down < i, column, xp.where(down == i, beta, v))
        x = xp.where(across == i, own, changed)
        factors.append(tau[..., 0, 0])
    if factors:
        return (x, xp.stack(factors, axis=-1)), ()
    return (x, xp.zeros((*x.shape[:-2], 0), dtype=x.dtype, device=device_of(x))), ()


def _square(xp: Any, x: Array, many: bool) -> Array:
    """The squares of real numbers, or of the sizes of complex ones."""
    return xp.real(x) ** 2 + xp.imag(x) ** 2 if many else x * x
