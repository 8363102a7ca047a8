"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any, Literal

from xpnn.autograd.ops.broadcasting import axes_of
from xpnn.autograd.ops.decompositions import svdvals
from xpnn.autograd.ops.elementwise import abs, sign, where
from xpnn.autograd.ops.manipulation import expand_dims, reshape
from xpnn.autograd.ops.reductions import Axis, max, min, sum
from xpnn.autograd.primitive import primitive
from xpnn.backend import ArgumentError, Array, namespace


def vector_norm(x: Array, /, *, axis: Axis = None, keepdims: bool = False, ord: float = 2) -> Array:
    """The norm along `axis`: (sum |x|^p)^(1/p) for `ord` p.

    Args:
        ord: any number; inf: the largest |x|, -inf: the smallest, 0: how many are not 0.

    Backward: gx = g sign(x) (|x| / y)^(p - 1), and 0 where x or y is 0; ties at inf share the gradient.

    >>> import numpy as np
    >>> float(vector_norm(np.asarray([3.0, 4.0])))
    5.0
    """
    if ord == math.inf:
        return max(abs(x), axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(abs(x), axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(where(x == 0, abs(x), 1.0), axis=axis, keepdims=keepdims)
    return _vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


@primitive
def _vector_norm(x: Array, *, axis: Axis, keepdims: bool, ord: float) -> tuple[Array, tuple]:
    y = namespace(x).linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)
    return y, (x, y)


@_vector_norm.backward
def _vector_norm_backward(
    g: Array, saved: tuple, needs: tuple, *, axis: Axis, keepdims: bool, ord: float
) -> tuple[Array]:
    x, y = saved
    axes = axes_of(axis, x.ndim)
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    g, y = reshape(where(y == 0, 0.0, g), kept), reshape(where(y == 0, 1.0, y), kept)
    if ord == 2:
        return (x * (g / y),)
    return (g * sign(x) * (where(x == 0, 1.0, abs(x)) / y) ** (ord - 1),)


def matrix_norm(
    x: Array, /, *, keepdims: bool = False, ord: float | Literal["fro", "nuc"] | None = "fro"
) -> Array:
    """The norms of matrices.

    Args:
        ord: "fro": the root of the sum of squares; "nuc": the sum of the singular values; 2, -2: the
            largest, smallest of them; 1, -1: the largest, smallest sum |x| of a column; inf, -inf: of a row.

    Raises: ArgumentError for any other `ord`.

    >>> import numpy as np
    >>> float(matrix_norm(np.asarray([[1.0, -2.0], [3.0, 4.0]]), ord=1))
    6.0
    """
    if ord == "fro" or ord is None:
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    y = _matrix_norm(x, ord)
    return expand_dims(expand_dims(y, axis=-1), axis=-1) if keepdims else y


def _matrix_norm(x: Array, ord: Any) -> Array:
    if ord == "nuc":
        return sum(svdvals(x), axis=-1)
    if ord not in (1, 2, math.inf, -1, -2, -math.inf):
        raise ArgumentError(
            f"expects ord 'fro', 'nuc', 1, 2, inf, -1, -2 or -inf, got {ord!r}", subject="matrix_norm"
        )
    extreme = max if ord > 0 else min
    if ord in (2, -2):
        return extreme(svdvals(x), axis=-1)
    return extreme(sum(abs(x), axis=-2 if ord in (1, -1) else -1), axis=-1)
