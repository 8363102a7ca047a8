"""Products of matrices and vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.broadcasting import axes_of, unbroadcast
from xpnn.autograd.ops.elementwise import conj, multiply
from xpnn.autograd.ops.manipulation import (
    expand_dims,
    matrix_transpose,
    permute_dims,
    reshape,
    roll,
    squeeze,
)
from xpnn.autograd.ops.reductions import sum
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, ShapeError, namespace


def matmul(x1: Array, x2: Array, /) -> Array:
    """The matrix product over the last two axes; the axes before them broadcast.

    Args:
        x1: (..., n, k), or a vector (k,), which counts as a row.
        x2: (..., k, m), or a vector (k,), which counts as a column.

    Returns: (..., n, m), without the axis that a vector does not have.

    Backward: gx1 = g x2^T, gx2 = x1^T g.

    >>> import numpy as np
    >>> matmul(np.asarray([[1.0, 2.0]]), np.asarray([3.0, 4.0])).tolist()
    [11.0]
    """
    if x1.ndim == 0 or x2.ndim == 0:
        raise ShapeError("expects arrays of at least one axis, got a number", subject="matmul", hint="Use *")
    row, column = x1.ndim == 1, x2.ndim == 1
    y = _matmul(expand_dims(x1, axis=0) if row else x1, expand_dims(x2, axis=1) if column else x2)
    if row:
        y = squeeze(y, -2)
    return squeeze(y, -1) if column else y


@primitive(half=True)  # libraries sum up in float32
def _matmul(x1: Array, x2: Array) -> tuple[Array, tuple]:
    return namespace(x1, x2).matmul(x1, x2), (x1, x2)


@_matmul.backward
def _matmul_backward(g: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array | None, Array | None]:
    x1, x2 = saved
    g1 = g2 = None
    if needs[0]:
        g1 = unbroadcast(_matmul(g, matrix_transpose(x2)), x1.shape, x1.dtype)
    if needs[1]:
        if x2.ndim == 2 and x1.ndim > 2:  # one long product instead of many that are summed up
            x1, g = _as_rows(x1), _as_rows(g)
        g2 = unbroadcast(_matmul(matrix_transpose(x1), g), x2.shape, x2.dtype)
    return g1, g2


def _as_rows(x: Array) -> Array:
    return reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@half_in_float32
def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The dot products of the vectors along `axis`, which counts from the end: sum(conj(x1) x2).

    >>> import numpy as np
    >>> float(vecdot(np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])))
    11.0
    """
    if axis >= 0:
        raise ShapeError(f"expects an axis that counts from the end, got {axis}", subject="vecdot")
    if x1.shape[axis] != x2.shape[axis]:
        raise ShapeError(
            f"expects vectors of one length, got {x1.shape[axis]} and {x2.shape[axis]}", subject="vecdot"
        )
    products = multiply(conj(x1), x2)
    return sum(products, axis=axis, dtype=products.dtype)


def tensordot(x1: Array, x2: Array, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Array:
    """The sum of products over pairs of axes.

    Args:
        axes: two lists of axes that belong together, or a number n: the last n of `x1` with the first n
            of `x2`.

    Returns: the other axes of `x1`, then those of `x2`.

    >>> import numpy as np
    >>> tensordot(np.ones((2, 3, 4)), np.ones((3, 4, 5))).shape
    (2, 5)
    """
    if isinstance(axes, int):
        axes = range(x1.ndim - axes, x1.ndim), range(axes)
    summed1, summed2 = axes_of(tuple(axes[0]), x1.ndim), axes_of(tuple(axes[1]), x2.ndim)
    sizes1, sizes2 = [x1.shape[i] for i in summed1], [x2.shape[i] for i in summed2]
    if sizes1 != sizes2:
        raise ShapeError(f"expects axes of equal sizes, got {sizes1} and {sizes2}", subject="tensordot")
    free1 = tuple(i for i in range(x1.ndim) if i not in summed1)
    free2 = tuple(i for i in range(x2.ndim) if i not in summed2)
    shape1, shape2 = [x1.shape[i] for i in free1], [x2.shape[i] for i in free2]
    rows = reshape(permute_dims(x1, free1 + summed1), (math.prod(shape1), math.prod(sizes1)))
    columns = reshape(permute_dims(x2, summed2 + free2), (math.prod(sizes2), math.prod(shape2)))
    return reshape(matmul(rows, columns), (*shape1, *shape2))


def outer(x1: Array, x2: Array, /) -> Array:
    """y_ij = x1_i x2_j of two vectors.

    >>> import numpy as np
    >>> outer(np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])).tolist()
    [[3.0, 4.0], [6.0, 8.0]]
    """
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(f"expects two vectors, got {tuple(x1.shape)} and {tuple(x2.shape)}", subject="outer")
    return multiply(expand_dims(x1, axis=1), expand_dims(x2, axis=0))


@half_in_float32
def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The cross products of the 3-vectors along `axis`.

    >>> import numpy as np
    >>> cross(np.asarray([1.0, 0.0, 0.0]), np.asarray([0.0, 1.0, 0.0])).tolist()
    [0.0, 0.0, 1.0]
    """
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ShapeError(
            f"expects vectors of length 3, got {x1.shape[axis]} and {x2.shape[axis]}", subject="cross"
        )

    def next_(x: Any) -> Any:  # component i becomes component i + 1
        return roll(x, -1, axis=axis)

    def last(x: Any) -> Any:
        return roll(x, 1, axis=axis)

    return multiply(next_(x1), last(x2)) - multiply(last(x1), next_(x2))
