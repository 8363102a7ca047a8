"""Distances and similarities of vectors, and vectors of length 1."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, device_of, namespace
from xpnn.functional.activation.pointwise import at_least
from xpnn.functional.arguments import (
    alike,
    axis_of,
    check_broadcasts,
    check_flags,
    check_floating,
    check_rank,
    check_same_dtype,
    number,
    raw_array,
)

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "pdist"]


@half_in_float32
def pairwise_distance(
    x1: ArrayT, x2: Array | Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> ArrayT:
    """The distance of each vector from its partner: d = (sum_i |x1_i - x2_i + eps|^p)^(1/p).

    Backward: gx1_i = gd sign(e_i) (|e_i| / d)^(p - 1) with e = x1 - x2 + eps, and gx2 = -gx1; 0 where d is 0.

    Args:
        x1, x2: (N, D) or (D,), floating; they broadcast.
        p: the order of the norm, any number or inf.
        eps: is added to each difference, so that equal vectors have a gradient.
        keepdim: whether the axis D stays, with size 1.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> pairwise_distance(np.asarray([[3.0, 4.0]]), np.zeros((1, 2)), eps=0.0).tolist()
    [5.0]
    """
    subject = "pairwise_distance"
    check_floating(x1, subject, "x1", or_complex=True)
    check_same_dtype(subject, x1, x2=x2)
    check_flags(subject, keepdim=keepdim)
    p, eps = number(p, "p", subject), number(eps, "eps", subject)
    if not check_broadcasts(subject, x1=x1, x2=x2):
        x1 = ops.reshape(x1, (1,))  # numbers are vectors of one
    first, second = alike(x1, x2)
    return ops.vector_norm(first - second + eps, axis=-1, keepdims=keepdim, ord=p)


@half_in_float32
def cosine_similarity(x1: ArrayT, x2: Array | Tensor, dim: int = 1, eps: float = 1e-8) -> ArrayT:
    """The cosine of the angle between vectors: s = x1 x2 / (max(|x1|, eps) max(|x2|, eps)).

    Backward: gx1 = gs (x2 / |x2| - s x1 / |x1|) / |x1|, and the same of x2 with the two exchanged.

    Args:
        x1, x2: floating; they broadcast.
        dim: the axis of the broadcast shape along which a vector lies.
        eps: the least length that is divided by.

    Raises: ShapeError if the shapes do not broadcast; IndexOutOfRangeError if there is no axis `dim`.

    >>> import numpy as np
    >>> cosine_similarity(np.asarray([[1.0, 0.0]]), np.asarray([[1.0, 1.0]])).round(4).tolist()
    [0.7071]
    """
    subject = "cosine_similarity"
    check_floating(x1, subject, "x1")
    check_same_dtype(subject, x1, x2=x2)
    eps = number(eps, "eps", subject)
    shape = check_broadcasts(subject, x1=x1, x2=x2)
    dim = axis_of(dim, max(len(shape), 1), subject)  # a number has an axis 0, as in PyTorch
    axis = dim if shape else None
    first, second = (ops.broadcast_to(x, shape) for x in alike(x1, x2))

    def unit(x: Any) -> Any:
        return x / at_least(ops.vector_norm(x, axis=axis, keepdims=True), eps)

    return ops.sum(unit(first) * unit(second), axis=axis)


@half_in_float32
def normalize(
    input: ArrayT, p: float = 2.0, dim: int | tuple[int, ...] | None = 1, eps: float = 1e-12
) -> ArrayT:
    """Vectors divided by their length: y = x / max(|x|_p, eps).

    Backward, for p = 2 and |x| > eps: gx = (gy - y (y gy)) / |x|.

    Args:
        input: floating.
        p: the order of the norm, any number or inf.
        dim: the axis along which a vector lies, or several; None is all.
        eps: the least length that is divided by.

    Raises: IndexOutOfRangeError if there is no such axis.

    >>> import numpy as np
    >>> normalize(np.asarray([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    check_floating(input, "normalize", or_complex=True)
    p, eps = number(p, "p", "normalize"), number(eps, "eps", "normalize")
    axis: int | tuple[int, ...] | None = None
    axes = max(input.ndim, 1)  # a number has an axis 0, as in PyTorch
    if isinstance(dim, tuple | list):
        axis = tuple(axis_of(d, axes, "normalize") for d in dim) or None
    elif dim is not None:
        axis = axis_of(dim, axes, "normalize")
    length = ops.vector_norm(input, axis=axis if input.ndim else None, keepdims=True, ord=p)
    return input / ops.clip(length, eps)


@half_in_float32
def pdist(input: ArrayT, p: float = 2.0) -> ArrayT:
    """The distances of all pairs of rows, (N, D) to (N (N - 1) / 2,): of 0 and 1, 0 and 2, ..., 1 and 2, ...

    Backward: each distance as `pairwise_distance` with eps = 0.

    Args:
        input: N vectors (N, D), floating.
        p: the order of the norm, at least 0, or inf.

    Raises: ShapeError unless there are two axes; ArgumentError if p < 0.

    >>> import numpy as np
    >>> pdist(np.asarray([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 3.0, 2.0]
    """
    check_floating(input, "pdist")
    check_rank(input, 2, "pdist", "N, D")
    p = number(p, "p", "pdist")
    if p < 0:
        raise ArgumentError(f"expects p of at least 0, got {p}", subject="pdist")
    first, second = _pairs(raw_array(input))
    return ops.vector_norm(ops.take(input, first, axis=0) - ops.take(input, second, axis=0), axis=-1, ord=p)


def _pairs(x: Array) -> tuple[Array, Array]:
    """The numbers of the first and of the second row of each pair."""
    xp, count = namespace(x), x.shape[0]
    row = xp.arange(max(count - 1, 1), device=device_of(x))
    begins = row * count - (row * (row + 1)) // 2  # the number of the first pair of each row
    pair = xp.arange(count * (count - 1) // 2, device=device_of(x))
    first = xp.searchsorted(begins, pair, side="right") - 1
    return first, pair - xp.take(begins, first, axis=0) + first + 1
