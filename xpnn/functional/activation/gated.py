"""Activations that make fewer numbers of several: the gated linear unit, and the largest of a group."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, ArrayT, ShapeError, namespace
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import axis_of, check_floating, shape_of, whole

__all__ = ["glu", "maxout"]


def glu(input: ArrayT, dim: int = -1) -> ArrayT:
    """The gated linear unit: y = a sigmoid(b), where a and b are the halves of the input along `dim`.

    Backward, with s = sigmoid(b): ga = gy s, gb = gy a s (1 - s).

    Raises: ShapeError for an odd size along `dim`, or an input without axes; IndexOutOfRangeError if there is
    no such axis.

    See: Dauphin, Fan, Auli & Grangier (2017), "Language modeling with gated convolutional networks".

    >>> import numpy as np
    >>> glu(np.asarray([2.0, 4.0, 0.0, 1e4])).tolist()
    [1.0, 4.0]
    """
    check_floating(input, "glu")
    if input.ndim == 0:
        raise ShapeError("expects an input with an axis to halve, got a number", subject="glu")
    axis = axis_of(dim, input.ndim, "glu")
    size = input.shape[axis]
    if size % 2:
        raise ShapeError(
            f"expects an even size along dim {dim}, got {size} in the shape {shape_of(input)}", subject="glu"
        )
    return _glu(input, axis, size // 2)


@half_in_float32
def _glu(x: Any, axis: int, size: int) -> Any:
    before = (slice(None),) * axis
    return x[(*before, slice(size), ...)] * sigmoid(x[(*before, slice(size, None), ...)])


def maxout(input: ArrayT, pieces: int, dim: int = 1) -> ArrayT:
    """The largest of each `pieces` neighbours along `dim`: y_c = max of x_(c k), ..., x_(c k + k - 1).

    Backward: the gradient goes to the largest; equal ones share it.

    Args:
        input: (N, C k, ...) for dim 1, floating.
        pieces: k.
        dim: the axis of the units.

    Returns: (N, C, ...).

    Raises: ShapeError if the size along `dim` is no multiple of `pieces`; ArgumentError for pieces below 1;
    IndexOutOfRangeError if there is no such axis.

    See: Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), "Maxout networks".

    >>> import numpy as np
    >>> maxout(np.asarray([[1.0, 5.0, 3.0, 2.0]]), 2).tolist()
    [[5.0, 3.0]]
    """
    check_floating(input, "maxout")
    pieces = whole(pieces, "pieces", "maxout")
    if pieces < 1:
        raise ArgumentError(f"expects pieces of at least 1, got {pieces}", subject="maxout")
    if input.ndim == 0:
        raise ShapeError("expects an input with an axis of units, got a number", subject="maxout")
    axis = axis_of(dim, input.ndim, "maxout")
    size = input.shape[axis]
    if size % pieces:
        raise ShapeError(
            f"expects a multiple of {pieces} along dim {dim}, got {size} in the shape {shape_of(input)}",
            subject="maxout",
        )
    xp = namespace(input)
    grouped = (*input.shape[:axis], size // pieces, pieces, *input.shape[axis + 1 :])
    return ops.max(xp.reshape(input, grouped), axis=axis + 1)
