"""Linear algebra under PyTorch's older names: systems whose matrix is factored already, and powers."""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.lu import LUFactorsAndInfo, lu_factor_ex
from xpnn.autograd.functions.lu import lu_solve as solve_factored
from xpnn.autograd.functions.matrices import powers_of, solve_triangular
from xpnn.autograd.ops.manipulation import adjoint
from xpnn.backend import ShapeError, device_of, namespace

__all__ = ["cholesky_inverse", "cholesky_solve", "lu", "lu_solve", "triangular_solve", "vander"]


class TriangularSolution(NamedTuple):
    """What `triangular_solve` returns."""

    solution: Any
    cloned_coefficient: Any


@front
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """The X with A X = B, of the factor of `cholesky`: A = L L^H, or L^H L if `upper`.

    Args:
        B: (..., n, k). L: (..., n, n), of which one triangle counts.

    >>> from xpnn.autograd import tensor
    >>> cholesky_solve(tensor([[8.0]]), tensor([[2.0]]))
    tensor([[2.]])
    """
    across = adjoint(L)
    first, second = (across, L) if upper else (L, across)
    return solve_triangular(second, solve_triangular(first, B, upper=False), upper=True)


@front
def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """The inverse of A, of its factor; see `cholesky_solve`.

    >>> from xpnn.autograd import tensor
    >>> cholesky_inverse(tensor([[2.0]]))
    tensor([[0.2500]])
    """
    raw = L.array
    unit = namespace(raw).eye(raw.shape[-1], dtype=raw.dtype, device=device_of(raw))
    return cholesky_solve(ops.broadcast_to(unit, tuple(L.shape)), L, upper)


@front
def lu(A: Any, pivot: bool = True, get_infos: bool = False) -> Any:
    """`linalg.lu_factor(A)`; with `get_infos` also where it met a zero, as `linalg.lu_factor_ex`.

    >>> from xpnn.autograd import tensor
    >>> lu(tensor([[0.0, 2.0], [4.0, 0.0]]))[1].tolist()
    [2, 2]
    """
    factored = lu_factor_ex(A, pivot=pivot)
    return LUFactorsAndInfo(*factored) if get_infos else tuple(factored[:2])


@front
def lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Any:
    """The X with A X = b, of the result of `linalg.lu_factor(A)`, in the order of PyTorch's older function.

    >>> from xpnn.autograd import tensor
    >>> lu_solve(tensor([[2.0], [4.0]]), *lu(tensor([[0.0, 2.0], [4.0, 0.0]]))).tolist()
    [[1.0], [1.0]]
    """
    return solve_factored(LU_data, LU_pivots, b)


@front
def triangular_solve(
    b: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolution:
    """The X with A X = b, or A^T X = b if `transpose`, of a triangular A, and A.

    >>> from xpnn.autograd import tensor
    >>> triangular_solve(tensor([[8.0]]), tensor([[2.0]])).solution
    tensor([[4.]])
    """
    matrix = ops.matrix_transpose(A) if transpose else A
    found = solve_triangular(matrix, b, upper=upper != transpose, unitriangular=unitriangular)
    shown = ops.broadcast_to(A, (*found.shape[:-2], *A.shape[-2:]))
    return TriangularSolution(found, ops.astype(shown, A.dtype, copy=True))


@front
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers x^(N - 1) ... x^0 of each number of a vector, as a row; x^0 first if `increasing`.

    >>> from xpnn.autograd import tensor
    >>> vander(tensor([2.0, 3.0]), 3)
    tensor([[4., 2., 1.],
            [9., 3., 1.]])
    """
    if x.ndim != 1:
        raise ShapeError(f"expects a vector, got shape {tuple(x.shape)}", subject="vander")
    powers = range(powers_of(x, N, "vander", least=0))
    if not powers:
        return ops.reshape(x[:0], (x.shape[0], 0)) if not x.shape[0] else ops.stack([x], axis=1)[:, :0]
    return ops.stack([x**k for k in (powers if increasing else reversed(powers))], axis=-1)
