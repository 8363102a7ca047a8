"""Square or rectangular matrices as P L U, by elimination with exchanges of rows, and what is solved by it.

See: G. Golub & C. Van Loan (2013), "Matrix Computations", 4th ed., section 3.4; the derivative is that of
F. de Hoog, R. Anderssen & M. Lukas (2011), "Differentiation of matrix functionals using triangular
factorization".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.matrices import solve_triangular
from xpnn.autograd.ops.broadcasting import broadcast_shapes
from xpnn.autograd.ops.manipulation import adjoint as adjoint_of
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    ShapeError,
    device_of,
    dtype_name,
    is_complex,
    is_floating,
    is_integer,
    namespace,
)

__all__ = ["lu", "lu_factor", "lu_factor_ex", "lu_solve", "lu_unpack"]


class LUResult(NamedTuple):
    """A permutation, a lower triangular matrix with ones on its diagonal, and an upper triangular one."""

    P: Any
    L: Any
    U: Any


class LUFactors(NamedTuple):
    """U, and below its diagonal L; and the row, from 1 on, that each row was exchanged with."""

    LU: Any
    pivots: Any


class LUFactorsAndInfo(NamedTuple):
    """`LUFactors`, and the number of the first zero on the diagonal of U, or 0."""

    LU: Any
    pivots: Any
    info: Any


@front
def lu(A: Any, *, pivot: bool = True) -> LUResult:
    """A = P L U.

    Args:
        A: (..., n, m) of floating-point or complex numbers.
        pivot: whether rows are exchanged, so that the largest number in reach is divided by; else P is empty.

    Returns: P (..., n, n), L (..., n, k) and U (..., k, m) with k = min(n, m).

    Backward for square A: gA = P L^-H (the part of L^H gL below the diagonal + the rest of gU U^H) U^-H.

    >>> from xpnn.autograd import tensor
    >>> lu(tensor([[0.0, 2.0], [4.0, 0.0]])).U
    tensor([[4., 0.],
            [0., 2.]])
    """
    _, _, order, lower, upper = _factored(A, pivot, "lu")
    return LUResult(_permutation(order, A.array) if pivot else A.new_zeros(0), lower, upper)


@front
def lu_factor(A: Any, *, pivot: bool = True) -> LUFactors:
    """The factors of `lu` in one matrix, and the exchanges of rows, as `lu_solve` takes them.

    >>> from xpnn.autograd import tensor
    >>> lu_factor(tensor([[0.0, 2.0], [4.0, 0.0]])).pivots.tolist()
    [2, 2]
    """
    packed, pivots, *_ = _factored(A, pivot, "lu_factor")
    return LUFactors(packed, new_tensor(pivots))


@front
def lu_factor_ex(A: Any, *, pivot: bool = True, check_errors: bool = False) -> LUFactorsAndInfo:
    """`lu_factor`, and where it met a zero.

    Args:
        check_errors: whether a zero raises an ArgumentError.
    """
    packed, pivots = lu_factor(A, pivot=pivot)
    xp = namespace(packed.array)
    zero = xp.astype(ops.diagonal(packed.detach()).array == 0, xp.int32)
    first = xp.argmax(zero, axis=-1) + 1 if zero.shape[-1] else xp.sum(zero, axis=-1)
    info = xp.astype(xp.where(xp.sum(zero, axis=-1) > 0, first, xp.zeros_like(first)), xp.int32)
    if check_errors and bool(xp.any(info != 0)):
        raise ArgumentError("expects invertible matrices, got a singular one", subject="lu_factor_ex")
    return LUFactorsAndInfo(packed, pivots, new_tensor(info))


@front
def lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """The X with A X = B, of the result of `lu_factor(A)`.

    Args:
        LU: (..., n, n). pivots: (..., n) of integers. B: (..., n, k), or (..., k, n) where not `left`.
        left: if False, X A = B is solved.
        adjoint: whether A^H stands for A.

    >>> from xpnn.autograd import tensor
    >>> lu_solve(*lu_factor(tensor([[0.0, 2.0], [4.0, 0.0]])), tensor([[2.0], [4.0]])).tolist()
    [[1.0], [1.0]]
    """
    if LU.ndim < 2 or LU.shape[-1] != LU.shape[-2]:
        raise ShapeError(f"expects square factors, got the shape {tuple(LU.shape)}", subject="lu_solve")
    if B.ndim < 2 or B.shape[-2 if left else -1] != LU.shape[-1]:
        raise ShapeError(
            f"expects B to fit factors of shape {tuple(LU.shape)}, got {tuple(B.shape)}", subject="lu_solve"
        )
    if not left:
        return adjoint_of(lu_solve(LU, pivots, adjoint_of(B), adjoint=not adjoint))
    order = _order(_checked(pivots, LU, "lu_solve"), LU.shape[-2])
    if not adjoint:
        y = solve_triangular(LU, _rows(B, order), upper=False, unitriangular=True)
        return solve_triangular(LU, y, upper=True)
    across = adjoint_of(LU)
    y = solve_triangular(across, solve_triangular(across, B, upper=False), upper=True, unitriangular=True)
    return _rows(y, namespace(order).argsort(order, axis=-1))


@front
def lu_unpack(LU_data: Any, LU_pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> LUResult:
    """P, L and U out of the result of `lu_factor`; what is not asked for is empty.

    >>> from xpnn.autograd import tensor
    >>> lu_unpack(*lu_factor(tensor([[0.0, 2.0], [4.0, 0.0]]))).P
    tensor([[0., 1.],
            [1., 0.]])
    """
    n, m = LU_data.shape[-2:]
    p = lower = upper = LU_data.new_zeros(0)
    if unpack_pivots:
        p = _permutation(_order(_checked(LU_pivots, LU_data, "lu_unpack"), n), LU_data.array)
    if unpack_data:
        k = min(n, m)
        unit = namespace(LU_data.array).eye(n, k, dtype=LU_data.array.dtype, device=device_of(LU_data.array))
        lower = ops.tril(ops.getitem(LU_data, (..., slice(0, k))), k=-1) + new_tensor(unit)
        upper = ops.triu(ops.getitem(LU_data, (..., slice(0, k), slice(None))))
    return LUResult(p, lower, upper)


def _factored(x: Any, pivot: bool, subject: str) -> tuple[Any, Array, Array, Any, Any]:
    """U with L below its diagonal; the exchanges and the order of rows that they lead to; L and U."""
    if x.ndim < 2:
        raise ShapeError(f"expects matrices, got the shape {tuple(x.shape)}", subject=subject)
    if not (is_floating(x.array) or is_complex(x.array)):
        raise ArgumentError(
            f"expects floating-point or complex numbers, got {dtype_name(x.dtype)}",
            subject=subject,
            hint="Use x.float()",
        )
    n, m = x.shape[-2:]
    k = min(n, m)
    packed_rows, pivots = eliminated(x.array, pivot)
    order = _order(pivots, n)
    x = _rows(x, order)
    inside = (..., slice(0, k), slice(0, k))
    lower, upper = _square_lu(ops.getitem(x, inside), packed_rows[inside])
    packed = ops.tril(lower, k=-1) + upper
    if n > m:
        below = adjoint_of(
            ops.solve(adjoint_of(upper), adjoint_of(ops.getitem(x, (..., slice(k, None), slice(None)))))
        )
        lower, packed = (ops.concat([part, below], axis=-2) for part in (lower, packed))
    elif m > n:
        beside = ops.solve(lower, ops.getitem(x, (..., slice(k, None))))
        upper, packed = (ops.concat([part, beside], axis=-1) for part in (upper, packed))
    return packed, pivots, order, lower, upper


@primitive
def _square_lu(x: Array, eliminated: Array) -> tuple[tuple[Array, Array], tuple]:
    """L and U of square matrices whose rows are in order, unpacked from the result of the elimination."""
    xp = namespace(eliminated)
    unit = xp.eye(eliminated.shape[-1], dtype=eliminated.dtype, device=device_of(eliminated))
    lower, upper = xp.tril(eliminated, k=-1) + unit, xp.triu(eliminated)
    return (lower, upper), (lower, upper)


@_square_lu.backward
def _square_lu_backward(gs: tuple, saved: tuple, needs: tuple) -> tuple[Array, None]:
    lower, upper = saved
    g_lower, g_upper = gs
    inside: Any = 0.0
    if g_lower is not None:
        inside = inside + ops.tril(ops.matmul(adjoint_of(lower), g_lower), k=-1)
    if g_upper is not None:
        inside = inside + ops.triu(ops.matmul(g_upper, adjoint_of(upper)))
    left = ops.solve(adjoint_of(lower), inside)
    return adjoint_of(ops.solve(upper, adjoint_of(left))), None


def eliminated(x: Array, pivot: bool = True) -> tuple[Array, Array]:
    """U with the factors of the elimination below its diagonal, and the exchanges of rows, from 1 on."""
    xp = namespace(x)
    n, m = x.shape[-2:]
    rows = xp.arange(n, dtype=xp.int64, device=device_of(x))
    columns = xp.arange(m, dtype=xp.int64, device=device_of(x))
    exchanged = []
    for i in range(min(n, m)):
        place = xp.full((*x.shape[:-2], 1), i, dtype=xp.int64, device=device_of(x))
        if pivot:
            reach = xp.where(rows >= i, _size(x[..., :, i]), -1.0)
            place = xp.argmax(reach, axis=-1, keepdims=True)
            order = xp.where(rows == i, place, xp.where(rows == place, i, rows))
            x = xp.take_along_axis(x, xp.broadcast_to(order[..., None], x.shape), axis=-2)
        exchanged.append(place + 1)
        divisor = x[..., i : i + 1, i]
        factors = x[..., :, i] / xp.where(divisor == 0, 1.0, divisor)
        factors = xp.where(rows > i, factors, 0.0)[..., None]
        row = xp.where(columns > i, x[..., i, :], 0.0)[..., None, :]
        x = xp.where((rows[:, None] > i) & (columns == i), factors, x - factors * row)
    if not exchanged:
        return x, xp.zeros((*x.shape[:-2], 0), dtype=xp.int32, device=device_of(x))
    return x, xp.astype(xp.concat(exchanged, axis=-1), xp.int32)


def _size(x: Array) -> Array:
    """What decides which number is divided by: |x|; of complex ones |Re x| + |Im x|, as LAPACK has it."""
    xp = namespace(x)
    return xp.abs(xp.real(x)) + xp.abs(xp.imag(x)) if is_complex(x) else xp.abs(x)


def _order(pivots: Array, n: int) -> Array:
    """(..., n): the rows in the order that the exchanges leave them in."""
    xp = namespace(pivots)
    rows = xp.arange(n, dtype=xp.int64, device=device_of(pivots))
    order = xp.broadcast_to(rows, (*pivots.shape[:-1], n))
    for i in range(pivots.shape[-1]):
        place = xp.astype(pivots[..., i : i + 1], xp.int64) - 1
        exchange = xp.where(rows == i, place, xp.where(rows == place, i, rows))
        order = xp.take_along_axis(order, exchange, axis=-1)
    return order


def _rows(x: Any, order: Array) -> Any:
    """The rows of matrices in another order."""
    batch = broadcast_shapes(tuple(x.shape[:-2]), tuple(order.shape[:-1]))
    shape = (*batch, *x.shape[-2:])
    at = namespace(order).broadcast_to(order[..., None], shape)
    return ops.take_along_axis(ops.broadcast_to(x, shape), at, axis=-2)


def _permutation(order: Array, like: Array) -> Any:
    """The matrices P that take rows in this order back: A = P (A in this order)."""
    xp = namespace(order)
    rows = xp.arange(order.shape[-1], dtype=xp.int64, device=device_of(order))
    return new_tensor(xp.astype(rows[:, None] == order[..., None, :], like.dtype))


def _checked(pivots: Any, factors: Any, subject: str) -> Array:
    """The raw array of pivots, which point at rows of the factors."""
    raw, k = pivots.array, min(factors.shape[-2:])
    if not is_integer(raw) or tuple(raw.shape) != (*factors.shape[:-2], k):
        raise ShapeError(
            f"expects pivots of integers of shape {(*factors.shape[:-2], k)}, got {dtype_name(raw.dtype)} "
            f"of shape {tuple(raw.shape)}",
            subject=subject,
        )
    xp = namespace(raw)
    if 0 not in raw.shape and (int(xp.min(raw)) < 1 or int(xp.max(raw)) > factors.shape[-2]):
        raise ArgumentError(f"expects pivots from 1 to {factors.shape[-2]}", subject=subject)
    return raw
