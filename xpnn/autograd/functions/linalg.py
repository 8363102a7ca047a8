"""Products of vectors and matrices, and PyTorch's older names of what `xpnn.linalg` has."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.casting import listed
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.axes import axes_of, axis_of, integer
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.contraction import contract
from xpnn.autograd.functions.promotion import check_one_type
from xpnn.autograd.half import half_in_float32, in_float32
from xpnn.autograd.ops.broadcasting import broadcast_shapes
from xpnn.autograd.ops.manipulation import adjoint
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    ShapeError,
    is_complex,
    is_half,
    is_integer,
    item,
    namespace,
)

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "cdist",
    "chain_matmul",
    "cholesky",
    "cross",
    "det",
    "dot",
    "einsum",
    "ger",
    "inner",
    "inverse",
    "kron",
    "logdet",
    "matmul",
    "matrix_exp",
    "matrix_power",
    "mm",
    "mv",
    "outer",
    "pinverse",
    "qr",
    "slogdet",
    "svd",
    "tensordot",
    "trace",
    "vdot",
]

# The last power in the series of `matrix_exp`: right to float64's last digit for norms up to 1/2.
_TERMS = 16


class SVD(NamedTuple):
    """Left singular vectors as columns, singular values in descending order, right vectors as columns."""

    U: Any
    S: Any
    V: Any


class QR(NamedTuple):
    """A matrix with orthonormal columns, and an upper triangular one."""

    Q: Any
    R: Any


# -- products


@front
def matmul(input: ArrayT, other: Any) -> ArrayT:
    """The matrix product over the last two axes; the axes before them broadcast, vectors are rows or columns.

    >>> from xpnn.autograd import tensor
    >>> matmul(tensor([[1.0, 2.0]]), tensor([3.0, 4.0]))
    tensor([11.])
    """
    _check_types(input, other, "matmul")
    return ops.matmul(input, other)


@front
def mm(input: ArrayT, mat2: Any) -> ArrayT:
    """The product of two matrices."""
    return _product(input, mat2, (2, 2), "mm")


@front
def bmm(input: ArrayT, mat2: Any) -> ArrayT:
    """The products of two batches of matrices, (b, n, k) and (b, k, m)."""
    return _product(input, mat2, (3, 3), "bmm")


@front
@listed
def mv(input: ArrayT, vec: Any) -> ArrayT:
    """The product of a matrix and a vector."""
    return _product(input, vec, (2, 1), "mv")


@front
@listed
def dot(input: ArrayT, tensor: Any) -> ArrayT:
    """The sum of the products of two vectors.

    >>> from xpnn.autograd import tensor
    >>> dot(tensor([1.0, 2.0]), tensor([3.0, 4.0]))
    tensor(11.)
    """
    return _product(input, tensor, (1, 1), "dot")


@front
@listed
def vdot(input: ArrayT, other: Any) -> ArrayT:
    """`dot`, with complex numbers of the first vector conjugated."""
    conjugated = ops.conj(input) if is_complex(input) else input
    return _product(conjugated, other, (1, 1), "vdot")


@front
def inner(input: ArrayT, other: Any) -> ArrayT:
    """The sums of products over the last axes; of a number and any other the products."""
    _check_types(input, other, "inner")
    if not input.ndim or not other.ndim:
        return ops.multiply(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"expects last axes of one size, got {tuple(input.shape)} and {tuple(other.shape)}",
            subject="inner",
        )
    return ops.tensordot(input, other, axes=((input.ndim - 1,), (other.ndim - 1,)))


@front
def outer(input: ArrayT, vec2: Any) -> ArrayT:
    """y_ij = input_i vec2_j of two vectors.

    >>> from xpnn.autograd import tensor
    >>> outer(tensor([1, 2]), tensor([3, 4]))
    tensor([[3, 4],
            [6, 8]])
    """
    if input.ndim != 1 or vec2.ndim != 1:
        raise ShapeError(
            f"expects two vectors, got {tuple(input.shape)} and {tuple(vec2.shape)}", subject="outer"
        )
    return ops.expand_dims(input, axis=1) * vec2  # type: ignore[operator]


ger = outer


def _product(x: Any, y: Any, ranks: tuple[int, int], subject: str) -> Any:
    """The matrix product of arrays of so many axes, whose batches do not broadcast."""
    _check_types(x, y, subject)
    batches = ranks == (3, 3) and x.ndim == y.ndim == 3 and x.shape[0] != y.shape[0]
    inner_sizes = x.shape[-1:] != (y.shape[-2:-1] if ranks[1] > 1 else y.shape[-1:])
    if (x.ndim, y.ndim) != ranks or batches or inner_sizes:
        raise ShapeError(
            f"expects {ranks[0]} and {ranks[1]} axes that fit, got {tuple(x.shape)} and {tuple(y.shape)}",
            subject=subject,
        )
    return ops.matmul(x, y)


def _check_types(x: Any, y: Any, subject: str) -> None:
    if not isinstance(y, TensorBase):
        raise DTypeError(f"expects a Tensor, got {type(y).__name__}", subject=subject)
    check_one_type(x, y, subject)


# -- products added to something


@front
def addmm(input: ArrayT, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> ArrayT:
    """beta input + alpha mat1 mat2, where input broadcasts; with beta = 0 it counts for nothing.

    >>> from xpnn.autograd import tensor
    >>> addmm(tensor([1.0]), tensor([[2.0]]), tensor([[3.0]]), alpha=2)
    tensor([[13.]])
    """
    return _added(input, _product(mat1, mat2, (2, 2), "addmm"), beta, alpha, "addmm")


@front
@listed
def addmv(input: ArrayT, mat: Any, vec: Any, *, beta: float = 1, alpha: float = 1) -> ArrayT:
    """beta input + alpha mat vec."""
    return _added(input, _product(mat, vec, (2, 1), "addmv"), beta, alpha, "addmv")


@front
@listed
def addr(input: ArrayT, vec1: Any, vec2: Any, *, beta: float = 1, alpha: float = 1) -> ArrayT:
    """beta input + alpha times the outer product of two vectors."""
    return _added(input, outer(vec1, vec2), beta, alpha, "addr")


@front
def baddbmm(input: ArrayT, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> ArrayT:
    """beta input + alpha batch1 batch2 for batches of matrices."""
    return _added(input, _product(batch1, batch2, (3, 3), "baddbmm"), beta, alpha, "baddbmm")


@front
def addbmm(input: ArrayT, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> ArrayT:
    """beta input + alpha times the sum of batch1 batch2 over the batch."""
    product = _product(batch1, batch2, (3, 3), "addbmm")
    return _added(input, ops.sum(product, axis=0, dtype=product.dtype), beta, alpha, "addbmm")


@half_in_float32
def _added(x: Any, product: Any, beta: Any, alpha: Any, subject: str) -> Any:
    _check_types(x, product, subject)
    if is_integer(x) and not (float(alpha).is_integer() and float(beta).is_integer()):
        raise DTypeError("expects whole alpha and beta beside integers", subject=subject)
    scaled = product if alpha == 1 else product * alpha
    if beta == 0:
        return scaled
    y = (x if beta == 1 else x * beta) + scaled
    if tuple(y.shape) != tuple(product.shape):
        raise ShapeError(
            f"expects an input that broadcasts to {tuple(product.shape)}, got {tuple(x.shape)}",
            subject=subject,
        )
    return y


# -- sums of products over named axes


@front
def einsum(equation: Any, *operands: Any) -> Any:
    """Sums of products over axes that are named: "bij,bjk->bik" is the product of batches of matrices.

    Args:
        equation: a letter for each axis of each operand, `...` for axes that broadcast, and after `->` those
            of the result. Without `->` these are the ones of `...`, then the letters that occur once, in
            the order of the alphabet. A letter twice in one operand takes its diagonal.
        operands: the Tensors, or a list of them, of one element type where products are summed. PyTorch's
            other form is taken too: `einsum(x, [0, 1], y, [1, 2], [0, 2])`.

    >>> from xpnn.autograd import tensor
    >>> einsum("ij,j->i", tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    if isinstance(equation, TensorBase):
        operands, inputs, output = _from_lists((equation, *operands))
    else:
        inputs, output = _from_text(equation)
    if not operands or not all(isinstance(x, TensorBase) for x in operands):
        raise DTypeError("expects Tensors after the equation", subject="einsum")
    if is_half(operands[0]) and all(x.dtype == operands[0].dtype for x in operands):
        return in_float32(contract, operands[0].dtype, (list(operands), inputs, output), {})
    return contract(list(operands), inputs, output)


def _from_text(equation: Any) -> tuple[list[list[Any]], list[Any] | None]:
    """The labels of each operand and of the result, with `...` among them."""
    if not isinstance(equation, str):
        raise DTypeError(f"expects the equation as text, got {type(equation).__name__}", subject="einsum")
    left, arrow, right = equation.replace(" ", "").partition("->")

    def labels(text: str) -> list[Any]:
        before, dots, after = text.partition("...")
        letters = before + after
        if any(not letter.isascii() or not letter.isalpha() for letter in letters):
            raise ArgumentError(f"expects letters, ',', '->' and '...', got {equation!r}", subject="einsum")
        return [*before, ..., *after] if dots else [*before]

    return [labels(part) for part in left.split(",")], labels(right) if arrow else None


def _from_lists(parts: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[list[Any]], list[Any] | None]:
    output = list(parts[-1]) if len(parts) % 2 else None
    pairs = parts[: len(parts) - len(parts) % 2]
    if any(not isinstance(labels, tuple | list) for labels in pairs[1::2]):
        raise DTypeError("expects a list of numbers after each Tensor", subject="einsum")
    return pairs[::2], [list(labels) for labels in pairs[1::2]], output


@front
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """The sum of products over pairs of axes (see `xp.tensordot`).

    Args:
        dims: two lists of axes that belong together, or a number n: the last n of `a`, the first n of `b`.
    """
    _check_types(a, b, "tensordot")
    if isinstance(dims, TensorBase):
        dims = dims.tolist() if dims.ndim else dims.item()  # type: ignore[attr-defined]
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ArgumentError(
                f"expects dims between 0 and {min(a.ndim, b.ndim)}, got {dims}", subject="tensordot"
            )
        pairs = tuple(range(a.ndim - dims, a.ndim)), tuple(range(dims))
    else:
        pairs = axes_of(tuple(dims[0]), a.ndim, "tensordot"), axes_of(tuple(dims[1]), b.ndim, "tensordot")
    if len(pairs[0]) != len(pairs[1]):
        raise ArgumentError(f"expects as many axes of each, got {dims}", subject="tensordot")
    for i, j in zip(*pairs):  # a size of 1 belongs to each of the other's
        if a.shape[i] == 1 != b.shape[j]:
            b = ops.sum(b, axis=j, keepdims=True, dtype=b.dtype)
        elif b.shape[j] == 1 != a.shape[i]:
            a = ops.sum(a, axis=i, keepdims=True, dtype=a.dtype)
    return ops.tensordot(a, b, axes=pairs)


@front
def kron(input: ArrayT, other: Any) -> ArrayT:
    """The Kronecker product: each element of `input` times all of `other`, side by side.

    >>> from xpnn.autograd import tensor
    >>> kron(tensor([1, 10]), tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    ndim = max(input.ndim, other.ndim)
    sizes = [(*[1] * (ndim - x.ndim), *x.shape) for x in (input, other)]
    wide = ops.reshape(input, [size for n in sizes[0] for size in (n, 1)])
    tight = ops.reshape(other, [size for n in sizes[1] for size in (1, n)])
    return ops.reshape(wide * tight, tuple([n * m for n, m in zip(*sizes)]))


@front
def cross(input: ArrayT, other: Any, dim: int | None = None) -> ArrayT:
    """The cross products of the 3-vectors along `dim`: the first axis of size 3 where it is left out."""
    if dim is None:
        found = [axis for axis, size in enumerate(input.shape) if size == 3]
        if not found:
            raise ShapeError(
                f"expects an axis of size 3, got the shape {tuple(input.shape)}", subject="cross"
            )
        dim = found[0]
    _check_types(input, other, "cross")
    if input.ndim != other.ndim:
        raise ShapeError("expects as many axes of both", subject="cross")
    axis = axis_of(dim, input.ndim, "cross")
    if (input.shape[axis], other.shape[axis]) != (3, 3):
        raise ShapeError(
            f"expects 3 numbers along axis {axis} of both, got shapes {tuple(input.shape)} and "
            f"{tuple(other.shape)}",
            subject="cross",
        )
    one, two = ops.broadcast_arrays(input, other)
    return ops.cross(one, two, axis=axis)


@front
def chain_matmul(*matrices: Any) -> Any:
    """The product of several matrices (see `xpnn.linalg.multi_dot`)."""
    listed = matrices[0] if len(matrices) == 1 and isinstance(matrices[0], tuple | list) else matrices
    if not listed or any(x.ndim != 2 for x in listed):
        raise ShapeError("expects at least one matrix", subject="chain_matmul")
    return product_of(list(listed))


def product_of(matrices: list[Any]) -> Any:
    """The product of matrices, in the order that takes the fewest multiplications."""
    sizes = [matrices[0].shape[0], *[x.shape[1] for x in matrices]]
    n = len(matrices)
    costs: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(n)}
    for span in range(1, n):
        for i in range(n - span):
            j = i + span
            costs[i, j] = min(
                (costs[i, k][0] + costs[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def between(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        k = costs[i, j][1]
        return _product(between(i, k), between(k + 1, j), (2, 2), "a product of matrices")

    return between(0, n - 1)


# -- of one matrix


@front
@listed
def trace(input: ArrayT) -> ArrayT:
    """The sum of the diagonal of a matrix."""
    if input.ndim != 2:
        raise ShapeError(f"expects a matrix, got the shape {tuple(input.shape)}", subject="trace")
    return ops.trace(input)


@front
def det(input: ArrayT) -> ArrayT:
    """The determinants of square matrices. Its gradient, the cofactors, is right for singular ones too."""
    return ops.det(input)


@front
def slogdet(input: Any) -> Any:
    """The sign of the determinants, and log |det|."""
    return ops.slogdet(input)


@front
def logdet(input: ArrayT) -> ArrayT:
    """The logarithm of the determinants; NaN where they are negative."""
    sign, logarithm = ops.slogdet(input)
    if is_complex(input):
        return ops.log(sign) + logarithm
    return ops.where(sign < 0, math.nan, logarithm)


@front
def inverse(input: ArrayT) -> ArrayT:
    """The inverses of square matrices."""
    return ops.inv(input)


@front
def pinverse(input: ArrayT, rcond: float = 1e-15) -> ArrayT:
    """The pseudo-inverses; singular values below `rcond` times the largest count as 0."""
    return ops.pinv(input, rtol=rcond)


@front
def matrix_power(input: ArrayT, n: int) -> ArrayT:
    """The n-th power of square matrices; of their inverse if n is negative."""
    return ops.matrix_power(_square(input, "matrix_power"), integer(n, "n", "matrix_power"))


@front
@half_in_float32
def matrix_exp(input: ArrayT) -> ArrayT:
    """The exponential of square matrices: 1 + x + x^2 / 2 + ..., of x / 2^s, squared s times.

    >>> from xpnn.autograd import tensor
    >>> matrix_exp(tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    x = _square(input, "matrix_exp")
    raw = x.array  # type: ignore[attr-defined]
    xp = namespace(raw)
    largest = float(item(xp.max(xp.sum(xp.abs(raw), axis=-1)))) if math.prod(raw.shape) else 0.0
    squarings = max(0, math.ceil(math.log2(largest)) + 1) if math.isfinite(largest) and largest > 0 else 0
    scaled = x / 2.0**squarings  # type: ignore[operator]
    y = ops.broadcast_to(ops.matrix_power(scaled, 0), tuple(x.shape))
    for term in range(_TERMS, 0, -1):
        y = ops.matrix_power(scaled, 0) + ops.matmul(scaled, y) / term
    for _ in range(squarings):
        y = ops.matmul(y, y)
    return y


@front
def cholesky(input: ArrayT, upper: bool = False) -> ArrayT:
    """The lower triangular L with x = L L^H of Hermitian positive definite matrices; L^H if `upper`."""
    return ops.cholesky(_square(input, "cholesky"), upper=upper)


@front
def svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """x = U diag(S) V^H (see `xpnn.linalg.svd`).

    Args:
        some: whether U and V have as many columns as there are singular values.
        compute_uv: False leaves U and V zero.
    """
    u, s, vh = ops.svd(input, full_matrices=not some)
    v = adjoint(vh)
    return SVD(u, s, v) if compute_uv else SVD(u.detach() * 0, s, v.detach() * 0)


@front
def qr(input: Any, some: bool = True) -> Any:
    """x = Q R (see `xpnn.linalg.qr`); not `some`: Q is square."""
    return QR(*ops.qr(input, mode="reduced" if some else "complete"))


def _square(x: ArrayT, subject: str) -> ArrayT:
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"expects square matrices, got the shape {tuple(x.shape)}", subject=subject)
    return x


# -- distances


@front
@half_in_float32
def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """The p-norms of the differences of each row of `x1` and each row of `x2`.

    Args:
        x1: (..., n, k). x2: (..., m, k); the axes before broadcast.
        compute_mode: how Euclidean distances (p = 2) are had: "donot_use_mm_for_euclid_dist" by the
            differences, (..., n, m, k) numbers; "use_mm_for_euclid_dist" by a matrix product, in far less
            time and memory, which loses digits where rows lie close together and far from the others;
            "use_mm_for_euclid_dist_if_necessary", or None, by a product for more than 25 rows on either side.

    Returns: (..., n, m). The gradient is 0 where two rows are equal.

    >>> from xpnn.autograd import tensor
    >>> cdist(tensor([[0.0, 0.0]]), tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[5., 0.]])
    """
    _check_types(x1, x2, "cdist")
    if min(x1.ndim, x2.ndim) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"expects rows of one length, got {tuple(x1.shape)} and {tuple(x2.shape)}", subject="cdist"
        )
    if not p >= 0:
        raise ArgumentError(f"expects p of at least 0, got {p}", subject="cdist")
    if compute_mode not in _MODES_OF_CDIST:
        raise ArgumentError(
            f"expects a compute_mode of {', '.join(map(repr, _MODES_OF_CDIST))}, got {compute_mode!r}",
            subject="cdist",
        )
    several = max(x1.shape[-2], x2.shape[-2]) > 25 and compute_mode in _MODES_OF_CDIST[:2]
    if p == 2 and 0 not in (*x1.shape, *x2.shape) and (several or compute_mode == "use_mm_for_euclid_dist"):
        leading = broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
        return _euclidean_distances(*[ops.broadcast_to(x, (*leading, *x.shape[-2:])) for x in (x1, x2)])
    differences = ops.expand_dims(x1, axis=-2) - ops.expand_dims(x2, axis=-3)
    if x1.shape[-1] == 0:
        return ops.sum(differences, axis=-1)
    return ops.vector_norm(differences, axis=-1, ord=p)


_MODES_OF_CDIST = (
    None,
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@primitive
def _euclidean_distances(x1: Array, x2: Array) -> tuple[Array, tuple]:
    """By |a - b|^2 = |a|^2 + |b|^2 - 2 a b, from the middle of all, where the squares are smallest."""
    xp = namespace(x1)
    a, b = _from_the_middle(x1, x2)
    squares = xp.sum(a * a, axis=-1)[..., None] + xp.sum(b * b, axis=-1)[..., None, :]
    squares = squares - 2 * xp.matmul(a, xp.matrix_transpose(b))
    y = xp.sqrt(xp.maximum(squares, xp.zeros_like(squares)))
    return y, (x1, x2, y)


@_euclidean_distances.backward
def _euclidean_distances_backward(g: Any, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    """With q = g / y, and 0 where y is: ga = a sum_j q_j - q b."""
    x1, x2, y = saved
    xp = namespace(g, y)
    q = ops.where(y == 0, 0.0, g / ops.where(y == 0, 1.0, y))
    a, b = _from_the_middle(x1, x2)
    ga = a * xp.sum(q, axis=-1)[..., None] - xp.matmul(q, b) if needs[0] else None
    gb = None
    if needs[1]:
        gb = b * xp.sum(q, axis=-2)[..., None] - xp.matmul(xp.matrix_transpose(q), a)
    return ga, gb


def _from_the_middle(x1: Any, x2: Any) -> tuple[Any, Any]:
    """Both minus the mean of the second, where that is a number."""
    xp = namespace(x1, x2)
    middle = xp.mean(x2, axis=-2, keepdims=True)
    middle = ops.where(xp.isfinite(middle), middle, 0.0)
    return x1 - middle, x2 - middle
