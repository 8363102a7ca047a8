"""Decompositions that say of each matrix whether they succeeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.lu import eliminated
from xpnn.autograd.functions.matrices import cholesky, inv, solve
from xpnn.backend import (
    Array,
    LinAlgError,
    ShapeError,
    concrete,
    device_of,
    is_array,
    is_complex,
    namespace,
    no_array,
    size_of,
)

__all__ = ["cholesky_ex", "inv_ex", "solve_ex"]


class CholeskyAndInfo(NamedTuple):
    """The factor, and the order of the first leading minor that is not positive, or 0."""

    L: Any
    info: Any


class InverseAndInfo(NamedTuple):
    """The inverse, and the number of the first zero on the diagonal of U in P L U, or 0."""

    inverse: Any
    info: Any


class SolutionAndInfo(NamedTuple):
    """The solution, and the number of the first zero on the diagonal of U in P L U, or 0."""

    result: Any
    info: Any


@front
def cholesky_ex(A: Any, *, upper: bool = False, check_errors: bool = False) -> CholeskyAndInfo:
    """`cholesky`, and whether it succeeded: for a matrix that is not positive definite L is NaN.

    Args:
        check_errors: whether such a matrix raises.

    Raises: LinAlgError.

    >>> from xpnn.autograd import tensor
    >>> cholesky_ex(tensor([[1.0, 2.0], [2.0, 1.0]])).info
    tensor(2, dtype=xpnn.int32)
    """
    factor, info = _attempted(lambda x: cholesky(x, upper=upper), A, _first_negative, "cholesky_ex", cholesky)
    return CholeskyAndInfo(factor, _checked(info, check_errors, "cholesky_ex", "positive definite"))


@front
def inv_ex(A: Any, *, check_errors: bool = False) -> InverseAndInfo:
    """`inv`, and whether it succeeded: the inverse of a singular matrix is NaN.

    Args:
        check_errors: whether such a matrix raises.

    Raises: LinAlgError.

    >>> from xpnn.autograd import tensor
    >>> inv_ex(tensor([[1.0, 2.0], [2.0, 4.0]])).info
    tensor(2, dtype=xpnn.int32)
    """
    inverse, info = _attempted(inv, A, _first_zero, "inv_ex", inv)
    return InverseAndInfo(inverse, _checked(info, check_errors, "inv_ex", "invertible"))


@front
def solve_ex(A: Any, B: Any, *, left: bool = True, check_errors: bool = False) -> SolutionAndInfo:
    """`solve`, and whether it succeeded: for a singular matrix the solution is NaN.

    Args:
        check_errors: whether such a matrix raises.

    Raises: LinAlgError.

    >>> from xpnn.autograd import tensor
    >>> solve_ex(tensor([[2.0]]), tensor([[4.0]])).result.tolist()
    [[2.0]]
    """
    if not is_array(B):
        raise no_array(B, "solve_ex", "B")
    vectors = B.ndim == 1 or (B.ndim + 1 == A.ndim and tuple(B.shape) == tuple(A.shape[:-1]))
    result, info = _attempted(
        lambda x: solve(x, B, left=left), A, _first_zero, "solve_ex", inv, axes=1 if vectors else 2
    )
    return SolutionAndInfo(result, _checked(info, check_errors, "solve_ex", "invertible"))


def _attempted(
    function: Callable[[Any], Any],
    x: Any,
    failure: Callable[[Array], Array],
    subject: str,
    alone: Callable[[Any], Any],
    axes: int = 2,
) -> tuple[Any, Any]:
    """function(x), NaN for matrices where `failure` is not 0, and what it is.

    `failure` is asked only where the library has refused a matrix, or did not find finite numbers; and always
    under jit, where nothing can be known. Which matrices a library refuses it is asked of each, by `alone`:
    it knows a pivot that is zero but for rounding, of which our elimination finds another number.
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"expects square matrices, got the shape {tuple(x.shape)}", subject=subject)
    raw = x.detach().array
    xp = namespace(raw)
    refused = None
    none = xp.zeros(tuple(raw.shape[:-2]), dtype=xp.int32, device=device_of(raw))
    if concrete(raw):
        try:
            y = function(x)
        except LinAlgError:
            refused = _refused(alone, raw)
        else:
            if not size_of(y.shape) or bool(xp.all(xp.isfinite(y.detach().array))):
                return y, new_tensor(none)
    info = xp.astype(failure(raw), xp.int32)
    if refused is not None:
        last = xp.full_like(info, raw.shape[-1])
        info = xp.where(refused, xp.where(info == 0, last, info), xp.zeros_like(info))
    failed = (info != 0)[..., None, None]
    identity = xp.eye(raw.shape[-1], dtype=raw.dtype, device=device_of(raw))
    y = function(ops.where(failed, identity, x))
    return ops.where(failed[..., 0] if axes == 1 else failed, float("nan"), y), new_tensor(info)


def _refused(function: Callable[[Any], Any], x: Array) -> Array:
    """Which of the matrices the library refuses."""
    xp, n = namespace(x), x.shape[-1]
    flat = xp.reshape(x, (-1, n, n))
    found = []
    for i in range(flat.shape[0]):
        try:
            function(new_tensor(flat[i, ...]))
        except LinAlgError:
            found.append(True)
        else:
            found.append(False)
    return xp.reshape(xp.asarray(found, dtype=xp.bool, device=device_of(x)), tuple(x.shape[:-2]))


def _checked(info: Any, check: bool, subject: str, wanted: str) -> Any:
    if check and bool(namespace(info.array).any(info.array != 0)):
        raise LinAlgError(
            f"expects {wanted} matrices, got info {info.tolist()}",
            subject=subject,
            hint="Add a small multiple of the identity matrix",
        )
    return info


def _first_zero(x: Array) -> Array:
    """From 1 on, the first zero on the diagonal of U; 0 where there is none."""
    xp = namespace(x)
    return _first(xp.linalg.diagonal(eliminated(x)[0]) == 0)


def _first_negative(x: Array) -> Array:
    """From 1 on, the first pivot of the elimination without exchanges that is not positive."""
    xp = namespace(x)
    pivots = xp.linalg.diagonal(eliminated(x, pivot=False)[0])
    return _first(~((xp.real(pivots) if is_complex(pivots) else pivots) > 0))


def _first(failed: Array) -> Array:
    xp = namespace(failed)
    numbers = xp.arange(1, failed.shape[-1] + 1, dtype=xp.int32, device=device_of(failed))
    last = xp.full_like(numbers, failed.shape[-1] + 1)
    first = xp.min(xp.where(failed, numbers, last), axis=-1)
    return xp.where(first > failed.shape[-1], xp.zeros_like(first), first)
