"""Losses of vectors: like ones should be near each other, unlike ones far apart.

`reduction`, `size_average` and `reduce` are those of the regression losses; [c] is 1 where c holds, else 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.casting import listed
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, namespace
from xpnn.functional.arguments import (
    alike,
    check_broadcasts,
    check_flags,
    check_floating,
    check_reduction,
    check_same_dtype,
    number,
    raw_array,
    shape_of,
)
from xpnn.functional.distance import pairwise_distance
from xpnn.functional.loss.reduction import loss, reduced

__all__ = ["cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"]

_SMALLEST_SQUARE = 1e-12  # is added to the squared lengths, so that a zero vector has a cosine


@loss
@listed
def cosine_embedding_loss(
    input1: ArrayT,
    input2: Array | Tensor,
    target: Array | Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Like vectors of one direction, unlike ones of others, by the cosine s of the angle between them.

    l = 1 - s where t = 1, max(0, s - margin) where t = -1; other targets cost nothing.

    Backward: gs = -gl where t = 1, gl [s >= margin] where t = -1; from there as `cosine_similarity`.

    Args:
        input1, input2: (N, D) or (D,), floating.
        target: 1 (alike) or -1 (unlike), (N,) or ().
        margin: the cosine up to which an unlike pair costs nothing, usually 0 to 0.5.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not fit.

    >>> import numpy as np
    >>> x1, x2 = np.asarray([[1.0, 0.0], [1.0, 0.0]]), np.asarray([[0.0, 1.0], [2.0, 0.0]])
    >>> cosine_embedding_loss(x1, x2, np.asarray([1, -1]), reduction="none").round(4).tolist()
    [1.0, 1.0]
    """
    subject = "cosine_embedding_loss"
    margin = number(margin, "margin", subject)
    check_reduction(reduction, subject)
    check_floating(input1, subject, "input1")
    check_same_dtype(subject, input1, input2=input2)
    if target.ndim not in (0, 1) or not input1.ndim == input2.ndim == target.ndim + 1:
        shapes = ", ".join(str(shape_of(x)) for x in (input1, input2, target))
        raise ShapeError(
            f"expects inputs of shape (N, D) and a target of shape (N,), or (D,) and (), got {shapes}",
            subject=subject,
        )
    pairs = check_broadcasts(subject, input1=input1, input2=input2)[:-1]
    if target.ndim and target.shape[0] != pairs[0] and 1 not in (target.shape[0], pairs[0]):
        raise ShapeError(
            f"expects a target of shape {pairs} for {pairs[0]} pairs, got {shape_of(target)}", subject=subject
        )
    t = raw_array(target)
    like, unlike = (
        namespace(t).asarray(t == value) for value in (1, -1)
    )  # of one number NumPy makes a scalar
    return _losses_of_pairs(input1, input2, like, unlike, margin, reduction)


@half_in_float32  # not the function above, whose target may have another element type
def _losses_of_pairs(
    input1: Any, input2: Any, like: Array, unlike: Array, margin: float, reduction: str
) -> Any:
    x1, x2 = alike(input1, input2)
    squares = [ops.sum(x * x, axis=-1) + _SMALLEST_SQUARE for x in (x1, x2)]
    cosine = ops.sum(x1 * x2, axis=-1) / ops.sqrt(squares[0] * squares[1])
    return reduced(select(like, 1 - cosine) + select(unlike, ops.clip(cosine - margin, 0.0)), reduction)


@loss
@half_in_float32
def triplet_margin_loss(
    anchor: ArrayT,
    positive: Array | Tensor,
    negative: Array | Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """The anchor nearer to its like than to its unlike: l = max(0, d(a, p) - d(a, n) + margin).

    Backward: gl [l >= 0] into d(a, p), minus that into d(a, n); from there as `pairwise_distance`.

    Args:
        anchor, positive, negative: (N, D) or (D,), floating; they broadcast.
        margin: by how much nearer, above 0.
        p, eps: of the distance, as for `pairwise_distance`.
        swap: whether d(p, n) takes the place of d(a, n) where it is smaller.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not fit; ArgumentError unless margin > 0.

    See: Balntas, Riba, Ponsa & Mikolajczyk (2016), "Learning local feature descriptors with triplets and
    shallow convolutional neural networks".

    >>> import numpy as np
    >>> a, p, n = (np.asarray([[x]]) for x in (0.0, 1.0, 3.0))
    >>> float(triplet_margin_loss(a, p, n, margin=4.0).round(4))
    2.0
    """
    subject = "triplet_margin_loss"
    p, eps = number(p, "p", subject), number(eps, "eps", subject)

    def distance(x1: Any, x2: Any) -> Any:
        return pairwise_distance(x1, x2, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction, subject)


@half_in_float32
def triplet_margin_with_distance_loss(
    anchor: ArrayT,
    positive: Array | Tensor,
    negative: Array | Tensor,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> ArrayT:
    """`triplet_margin_loss` with a distance of one's own: l = max(0, d(a, p) - d(a, n) + margin).

    Args:
        anchor, positive, negative: floating, of the same number of axes.
        distance_function: d, of two such arrays; None is `pairwise_distance`.
        margin: by how much nearer, above 0.
        swap: whether d(p, n) takes the place of d(a, n) where it is smaller.
        reduction: see the module.

    Raises: ShapeError if the shapes do not fit; ArgumentError unless margin > 0.

    >>> import numpy as np
    >>> a, p, n = (np.asarray([[x]]) for x in (0.0, 1.0, 3.0))
    >>> squared = lambda x, y: (x - y) ** 2
    >>> float(triplet_margin_with_distance_loss(a, p, n, distance_function=squared, margin=9.0).round(4))
    1.0
    """
    subject = "triplet_margin_with_distance_loss"
    distance = pairwise_distance if distance_function is None else distance_function
    if not callable(distance):
        raise ArgumentError(f"expects distance_function as a function, got {distance!r}", subject=subject)
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction, subject)


def _triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
    subject: str,
) -> Any:
    margin = number(margin, "margin", subject)
    if margin <= 0:
        raise ArgumentError(f"expects a positive margin, got {margin}", subject=subject)
    check_flags(subject, swap=swap)
    check_reduction(reduction, subject)
    check_floating(anchor, subject, "anchor", or_complex=True)
    check_same_dtype(subject, anchor, positive=positive, negative=negative)
    if not anchor.ndim == positive.ndim == negative.ndim:
        shapes = ", ".join(str(shape_of(x)) for x in (anchor, positive, negative))
        raise ShapeError(
            f"expects anchor, positive and negative with the same number of axes, got {shapes}",
            subject=subject,
        )
    check_broadcasts(subject, anchor=anchor, positive=positive, negative=negative)
    anchor, positive, negative = alike(anchor, positive, negative)
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return reduced(ops.clip(margin + near - far, 0.0), reduction)
