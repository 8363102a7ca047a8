"""The functions of `xpnn.linalg`: PyTorch's `torch.linalg`, with gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, carries_gradient
from xpnn.autograd.functions import linalg, shape
from xpnn.autograd.functions.axes import axes_of, axis_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.manipulation import adjoint
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    ShapeError,
    device_of,
    dtype_named,
    namespace,
)

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

matmul = linalg.matmul
matrix_exp = linalg.matrix_exp
matrix_power = linalg.matrix_power
tensordot = linalg.tensordot
outer = linalg.outer

_MOST_POWERS = 2**24  # of a Vandermonde matrix


class LeastSquares(NamedTuple):
    """What `lstsq` finds."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


# -- norms


@front
def vector_norm(
    x: ArrayT, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> ArrayT:
    """(sum |x|^ord)^(1/ord) over the axes `dim`, or all; inf and -inf: the extremes, 0: the count.

    >>> from xpnn.autograd import tensor
    >>> vector_norm(tensor([3.0, 4.0]))
    tensor(5.)
    """
    x = _floats(x, "vector_norm", dtype)
    axes = None if dim is None else axes_of(dim, x.ndim, "vector_norm", "dim")
    if not x.ndim:
        axes = None
    reduced = x.shape if axes is None else [x.shape[axis] for axis in axes]
    if 0 in reduced and (ord < 0 or ord == math.inf):
        raise ShapeError(
            f"expects elements for ord {ord}, got the shape {tuple(x.shape)}", subject="vector_norm"
        )
    return ops.vector_norm(x, axis=axes, keepdims=keepdim, ord=ord)


@front
@half_in_float32
def matrix_norm(
    A: ArrayT,
    ord: Any = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> ArrayT:
    """The norms of the matrices in two axes: "fro", "nuc", 1, 2, inf, -1, -2, -inf.

    >>> from xpnn.autograd import tensor
    >>> matrix_norm(tensor([[1.0, -2.0], [3.0, 4.0]]), 1)
    tensor(6.)
    """
    x = _floats(A, "matrix_norm", dtype)
    row, column = axes_of(tuple(dim), _rank(x, "matrix_norm"), "matrix_norm", "dim")
    y = ops.matrix_norm(ops.moveaxis(x, (row, column), (-2, -1)), ord=ord)
    if keepdim:
        for axis in sorted((row, column)):
            y = ops.expand_dims(y, axis=axis)
    return y


@front
def norm(A: ArrayT, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> ArrayT:
    """`vector_norm`, or `matrix_norm` where two axes and an `ord` are given, or an `ord` and a matrix.

    >>> from xpnn.autograd import tensor
    >>> norm(tensor([[3.0, 0.0], [0.0, 4.0]]))
    tensor(5.)
    """
    axes = None if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    if ord is not None and ((axes is None and A.ndim != 1) or (axes is not None and len(axes) == 2)):
        if axes is None and A.ndim != 2:
            raise ShapeError(
                f"expects a vector or a matrix for ord {ord!r}, got {A.ndim} axes", subject="norm"
            )
        return matrix_norm(A, ord, (-2, -1) if axes is None else axes, keepdim, dtype=dtype)
    if isinstance(ord, str):
        raise ArgumentError(f"expects a number as ord of vectors, got {ord!r}", subject="norm")
    return vector_norm(A, 2 if ord is None else ord, axes, keepdim, dtype=dtype)


@front
def cond(A: ArrayT, p: Any = None) -> ArrayT:
    """The condition numbers: the norm of each matrix times that of its inverse; None is norm 2.

    >>> from xpnn.autograd import tensor
    >>> cond(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(2.)
    """
    if p in (None, 2, -2):
        values = ops.svdvals(_floats(A, "cond"))
        largest, smallest = ops.getitem(values, (..., 0)), ops.getitem(values, (..., -1))
        return smallest / largest if p == -2 else largest / smallest
    return matrix_norm(A, p) * matrix_norm(inv(A), p)  # type: ignore[operator]


@front
def vecdot(x: ArrayT, y: Any, *, dim: int = -1) -> ArrayT:
    """The sums of products along an axis; the two broadcast.

    >>> from xpnn.autograd import tensor
    >>> vecdot(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    one, two = ops.broadcast_arrays(x, y)
    return ops.vecdot(one, two, axis=axis_of(dim, one.ndim, "vecdot") - one.ndim)


@front
def cross(input: ArrayT, other: Any, *, dim: int = -1) -> ArrayT:
    """The cross products of the 3-vectors along an axis."""
    return linalg.cross(input, other, dim)


@front
def diagonal(A: ArrayT, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> ArrayT:
    """The diagonals of the matrices in two axes, as views."""
    return shape.diagonal(A, offset, dim1, dim2)


@front
def multi_dot(tensors: Sequence[ArrayT]) -> ArrayT:
    """The product of several matrices, in the cheapest order; the first and the last may be vectors.

    >>> from xpnn.autograd import tensor
    >>> multi_dot([tensor([1.0, 2.0]), tensor([[1.0], [1.0]]), tensor([3.0])])
    tensor(9.)
    """
    parts = list(tensors)
    if len(parts) < 2:
        raise ArgumentError(f"expects at least two Tensors, got {len(parts)}", subject="multi_dot")
    row, column = parts[0].ndim == 1, parts[-1].ndim == 1
    if row:
        parts[0] = ops.expand_dims(parts[0], axis=0)
    if column:
        parts[-1] = ops.expand_dims(parts[-1], axis=1)
    y = linalg.product_of(parts)
    gone = tuple([axis for axis, flag in enumerate((row, column)) if flag])
    return ops.squeeze(y, gone) if gone else y


# -- equations


@front
def inv(A: ArrayT) -> ArrayT:
    """The inverses of square matrices.

    >>> from xpnn.autograd import tensor
    >>> inv(tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    """
    return ops.inv(_square(A, "inv"))


@front
def solve(A: ArrayT, B: Any, *, left: bool = True) -> ArrayT:
    """The X with A X = B, or X A = B where not `left`.

    Args:
        A: (..., n, n). B: (..., n, k), or vectors (n,) or (..., n) of A's batch.

    >>> from xpnn.autograd import tensor
    >>> solve(tensor([[2.0, 0.0], [0.0, 4.0]]), tensor([2.0, 2.0]))
    tensor([1.0000, 0.5000])
    """
    _square(A, "solve")
    if B.ndim == 1 or (B.ndim + 1 == A.ndim and tuple(B.shape) == tuple(A.shape[:-1])):
        if not left:
            A = ops.matrix_transpose(A)
        return ops.squeeze(_solved(A, ops.expand_dims(B, axis=-1)), (-1,))
    if not left:
        return ops.matrix_transpose(_solved(ops.matrix_transpose(A), ops.matrix_transpose(B)))
    return _solved(A, B)


def _solved(a: Any, b: Any) -> Any:
    batch = shape.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    return ops.solve(
        ops.broadcast_to(a, (*batch, *a.shape[-2:])), ops.broadcast_to(b, (*batch, *b.shape[-2:]))
    )


@front
def solve_triangular(
    A: ArrayT,
    B: Any,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> ArrayT:
    """`solve` with a triangular A, of which the other triangle counts as 0.

    >>> from xpnn.autograd import tensor
    >>> solve_triangular(tensor([[2.0, 7.0], [0.0, 4.0]]), tensor([[2.0], [0.0]]), upper=True)
    tensor([[1.],
            [0.]])
    """
    _square(A, "solve_triangular")
    matrix: Any = ops.triu(A, k=int(unitriangular)) if upper else ops.tril(A, k=-int(unitriangular))
    if unitriangular:
        matrix = matrix + namespace(matrix.array).eye(
            matrix.shape[-1], dtype=matrix.array.dtype, device=device_of(matrix.array)
        )
    return solve(matrix, B, left=left)


@front
def lstsq(A: Any, B: Any, rcond: float | None = None, *, driver: str | None = None) -> LeastSquares:
    """The X of least |A X - B|, by the pseudo-inverse of A.

    Args:
        A: (..., n, m). B: (..., n, k), or (..., n).
        rcond: singular values below `rcond` times the largest count as 0.
        driver: changes nothing: there is one way, right for matrices of any rank.

    Returns: the solution; the sums of squares that are left, where n > m and A is of full rank; the rank; the
        singular values.

    >>> from xpnn.autograd import tensor
    >>> lstsq(tensor([[1.0], [1.0]]), tensor([[1.0], [3.0]])).solution.shape
    (1, 1)
    """
    n, m = A.shape[-2:]
    vector = B.ndim == 1 or (B.ndim + 1 == A.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    columns = ops.expand_dims(B, axis=-1) if vector else B
    x = ops.matmul(ops.pinv(A, rtol=rcond), columns)
    rank = matrix_rank(A, rtol=rcond)
    full = n > m and bool(namespace(rank.array).all(rank.array == m))
    left = ops.sum(ops.abs(ops.matmul(A, x) - columns) ** 2, axis=-2) if full else A.new_zeros(0)
    return LeastSquares(ops.squeeze(x, (-1,)) if vector else x, left, rank, ops.svdvals(A.detach()))


# -- decompositions


@front
def det(A: ArrayT) -> ArrayT:
    """The determinants of square matrices; the gradient is right for singular ones too."""
    return ops.det(_square(A, "det"))


@front
def slogdet(A: Any) -> Any:
    """The sign of the determinants, and log |det|."""
    return ops.slogdet(_square(A, "slogdet"))


@front
def cholesky(A: ArrayT, *, upper: bool = False) -> ArrayT:
    """The lower triangular L with A = L L^H of Hermitian positive definite matrices; L^H if `upper`."""
    return ops.cholesky(_square(A, "cholesky"), upper=upper)


@front
def qr(A: Any, mode: str = "reduced") -> Any:
    """A = Q R with orthonormal columns in Q and an upper triangular R.

    Args:
        mode: "reduced"; "complete": Q is square; "r": R alone, without a gradient, and an empty Q.
    """
    if mode == "r":
        return ops.qr(A.detach())._replace(Q=A.new_zeros(0))
    return ops.qr(A, mode=mode)  # type: ignore[arg-type]


@front
def svd(A: Any, full_matrices: bool = True, *, driver: str | None = None) -> Any:
    """A = U diag(S) Vh, with singular values in descending order.

    Args:
        full_matrices: whether U and Vh are square; if they are not, and for square A, there is a gradient.
        driver: changes nothing: each library has its own way.
    """
    return ops.svd(A, full_matrices=full_matrices)


@front
def svdvals(A: ArrayT, *, driver: str | None = None) -> ArrayT:
    """The singular values in descending order; `driver` changes nothing."""
    return ops.svdvals(A)


@front
def eigh(A: Any, UPLO: str = "L") -> Any:
    """The eigenvalues, in ascending order, and eigenvectors, as columns, of Hermitian matrices.

    Args:
        UPLO: the triangle that is read, "L" or "U".
    """
    return ops.eigh(_triangle(A, UPLO, "eigh"))


@front
def eigvalsh(A: ArrayT, UPLO: str = "L") -> ArrayT:
    """The eigenvalues of Hermitian matrices in ascending order (see `eigh`)."""
    return ops.eigvalsh(_triangle(A, UPLO, "eigvalsh"))


@front
def eig(A: Any) -> Any:
    """The eigenvalues and eigenvectors of square matrices, both complex: A V = V diag(w).

    They are found on the host; the vectors are columns of length 1. The backward raises GradientError if the
    loss depends on their phases, which are free.

    >>> from xpnn.autograd import tensor
    >>> eig(tensor([[0.0, 1.0], [-1.0, 0.0]])).eigenvalues
    tensor([0.+1.j, 0.-1.j])
    """
    return ops.eig(_square(A, "eig"))


@front
def eigvals(A: Any) -> Any:
    """The eigenvalues of square matrices, complex, in no order (see `eig`)."""
    return ops.eigvals(_square(A, "eigvals"))


def _triangle(x: Any, which: str, subject: str) -> Any:
    """The matrix whose lower triangle is the one that is to be read."""
    if which not in ("L", "U", "l", "u"):
        raise ArgumentError(f"expects UPLO 'L' or 'U', got {which!r}", subject=subject)
    return adjoint(_square(x, subject)) if which in "Uu" else _square(x, subject)


@front
def pinv(A: ArrayT, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> ArrayT:
    """The pseudo-inverses; singular values below max(atol, rtol times the largest) count as 0.

    Args:
        hermitian: changes nothing: Hermitian matrices go the way of all.
    """
    if atol is None:
        return ops.pinv(A, rtol=rtol)
    largest = float(namespace(A.array).max(ops.svdvals(A.array)))  # type: ignore[attr-defined]
    return ops.pinv(A, rtol=max(rtol or 0.0, atol / largest if largest else 0.0))


@front
def matrix_rank(A: Any, *, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """How many singular values are above max(atol, rtol times the largest).

    Args:
        rtol: None is the element type's eps times the larger size, or 0 where `atol` is given.
        hermitian: changes nothing: Hermitian matrices go the way of all.
    """
    values = ops.svdvals(A.detach())
    xp = namespace(values.array)
    if rtol is None:
        rtol = float(xp.finfo(values.array.dtype).eps) * max(A.shape[-2:]) if atol is None else 0.0
    if not values.shape[-1]:
        return A.new_zeros(tuple(A.shape[:-2]), dtype="int64")
    bound = ops.getitem(values, (..., slice(0, 1))) * _for_each_matrix(rtol)
    if atol is not None:
        bound = ops.maximum(bound, _for_each_matrix(atol))
    return ops.count_nonzero(values > bound, axis=-1)


def _for_each_matrix(tolerance: Any) -> Any:
    """A tolerance, which may be one for each matrix, beside singular values on the last axis."""
    return ops.expand_dims(tolerance, axis=-1) if isinstance(tolerance, TensorBase) else float(tolerance)


def _square(x: ArrayT, subject: str) -> ArrayT:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"expects square matrices, got the shape {tuple(x.shape)}", subject=subject)
    return _floats(x, subject)


def _rank(x: Any, subject: str) -> int:
    if x.ndim < 2:
        raise ShapeError(f"expects matrices, got the shape {tuple(x.shape)}", subject=subject)
    return x.ndim


def _floats(x: ArrayT, subject: str, dtype: Any = None) -> ArrayT:
    if dtype is not None:
        x = ops.astype(x, dtype_named(dtype, namespace(x.array)))  # type: ignore[attr-defined]
    if not carries_gradient(x.array):  # type: ignore[attr-defined]
        raise DTypeError(
            f"expects floating-point or complex numbers, got {x.dtype}",
            subject=subject,
            hint="Use x.float()",
        )
    return x


@front
def vander(x: Any, *, N: int | None = None) -> Any:
    """The powers x^0 ... x^(N - 1) of each number, on a new last axis; N is by default the number of x.

    >>> from xpnn.autograd import tensor
    >>> vander(tensor([2.0, 3.0]), N=3)
    tensor([[1., 2., 4.],
            [1., 3., 9.]])
    """
    count = powers_of(x, N, "linalg.vander", least=2)
    if not carries_gradient(x.array):
        x = ops.astype(x, dtype_named("int64", namespace(x.array)))
    return ops.stack([x**k for k in range(count)], axis=-1)


def powers_of(x: Any, given: int | None, subject: str, least: int) -> int:
    """The number of powers in a Vandermonde matrix of x, checked."""
    if not x.ndim:
        raise ShapeError("expects one axis or more, got none", subject=subject)
    count = x.shape[-1] if given is None else given
    if count < (least if given is not None else 0):
        raise ArgumentError(f"expects N of at least {least}, got {count}", subject=subject)
    if count > _MOST_POWERS:  # one by one, until the memory is full
        raise ArgumentError(f"expects N that fits memory, got {count}", subject=subject)
    return count


@front
def tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of a linear map of arrays: `tensordot(tensorinv(A, ind), A, ind)` changes nothing.

    Args:
        A: its first `ind` axes are those of the map's results; both parts have as many elements.

    >>> from xpnn.autograd import tensor
    >>> tensorinv(tensor([[[2.0]]]), ind=1).tolist()
    [[[0.5]]]
    """
    if type(ind) is not int or ind < 1:
        raise ArgumentError(f"expects ind of at least 1, got {ind!r:.40}", subject="tensorinv")
    rows, columns = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    square = ops.reshape(A, (math.prod(rows), math.prod(columns)))
    return ops.reshape(inv(square), (*columns, *rows))


@front
def tensorsolve(A: Any, B: Any, dims: tuple[int, ...] | None = None) -> Any:
    """The X with `tensordot(A, X, X.ndim) = B`.

    Args:
        A: (*B.shape, *X.shape), with as many elements in both parts.
        dims: axes of A that are moved to its end first.

    >>> from xpnn.autograd import tensor
    >>> tensorsolve(tensor([[[2.0]]]), tensor([4.0])).tolist()
    [[2.0]]
    """
    if dims is not None:
        moved = [axis % A.ndim for axis in dims]
        A = ops.permute_dims(A, (*(i for i in range(A.ndim) if i not in moved), *moved))
    sizes = tuple(A.shape[B.ndim :])
    square = ops.reshape(A, (math.prod(B.shape), math.prod(sizes)))
    return ops.reshape(solve(square, ops.reshape(B, (-1,))), sizes)
