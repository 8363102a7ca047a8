"""Losses with a margin: what is right by more than that costs nothing.

Targets t are 1 or -1, or class numbers. In the formulas gl is the gradient into one loss, and [c] is 1 where
c holds, else 0. `reduction`, `size_average` and `reduce` are those of the regression losses.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.activation.sigmoid import logsigmoid, sigmoid
from xpnn.functional.arguments import (
    alike,
    as_indices,
    check_broadcasts,
    check_floating,
    check_indices,
    check_integer,
    check_reduction,
    check_same_dtype,
    number,
    shape_of,
    whole,
)
from xpnn.functional.loss.elementwise import ElementwiseLoss, as_floating
from xpnn.functional.loss.labels import check_class_weight, check_labels, unknown_as_nan
from xpnn.functional.loss.reduction import loss, reduced

__all__ = [
    "hinge_embedding_loss",
    "hinge_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


def hinge_loss(input: ArrayT, target: Array | Tensor, margin: float = 1.0, reduction: str = "mean") -> ArrayT:
    """The loss of the support vector machine of two classes: l = max(0, margin - t x).

    Backward: gx = -gl t [t x < margin], gt = -gl x [t x < margin].

    Args:
        input: scores, floating, any shape.
        target: 1 or -1, shaped as the input.
        margin: what a score must have to cost nothing.
        reduction: see the module.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> hinge_loss(np.asarray([0.5, 2.0]), np.asarray([1, 1]), reduction="none").tolist()
    [0.5, 0.0]
    """
    return _hinge(input, target, margin=number(margin, "margin", "hinge_loss"), reduction=reduction)


_hinge = ElementwiseLoss(
    "hinge_loss",
    value=lambda xp, x, t, *, margin: xp.maximum(margin - t * x, xp.zeros_like(x)),
    gx=lambda xp, gl, x, t, *, margin: select(t * x < margin, -gl * t),
    gt=lambda xp, gl, x, t, *, margin: select(t * x < margin, -gl * x),
)


@loss
def soft_margin_loss(
    input: ArrayT,
    target: Array | Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """The logistic loss of scores of two classes: l = ln(1 + e^(-t x)).

    Backward: gx = -gl t sigmoid(-t x), gt = -gl x sigmoid(-t x).

    Args:
        input: scores, floating, any shape.
        target: 1 or -1, shaped as the input.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> soft_margin_loss(np.asarray([0.0, -1e4]), np.asarray([1, 1]), reduction="none").round(4).tolist()
    [0.6931, 10000.0]
    """
    return _soft_margin(input, target, reduction=reduction)


_soft_margin = ElementwiseLoss(
    "soft_margin_loss",
    value=lambda xp, x, t: -logsigmoid(t * x),
    gx=lambda xp, gl, x, t: -gl * t * sigmoid(-t * x),
    gt=lambda xp, gl, x, t: -gl * x * sigmoid(-t * x),
)


@loss
def hinge_embedding_loss(
    input: ArrayT,
    target: Array | Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Small distances of like pairs, large ones of unlike.

    l = x where t = 1, max(0, margin - x) where t = -1.

    Backward: gx = gl where t = 1, -gl [x <= margin] where t = -1. For other targets both parts are added up.

    Args:
        input: distances, floating, any shape.
        target: 1 (alike) or -1 (unlike), shaped as the input.
        margin: the distance from which on an unlike pair costs nothing.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> hinge_embedding_loss(np.asarray([0.5, 0.25]), np.asarray([1, -1]), reduction="none").tolist()
    [0.5, 0.75]
    """
    margin = number(margin, "margin", "hinge_embedding_loss")
    return _hinge_embedding(input, target, margin=margin, reduction=reduction)


def _like_or_unlike(xp: Any, x: Any, t: Any, *, margin: float) -> Any:
    return select(t != -1, x) + select(t != 1, xp.maximum(margin - x, xp.zeros_like(x)))


_hinge_embedding = ElementwiseLoss(
    "hinge_embedding_loss",
    value=_like_or_unlike,
    gx=lambda xp, gl, x, t, *, margin: select(t != -1, gl) - select((t != 1) & (x <= margin), gl),
    gt=lambda xp, gl, x, t, *, margin: xp.zeros_like(t),
)


@loss
@half_in_float32
def margin_ranking_loss(
    input1: ArrayT,
    input2: Array | Tensor,
    target: Array | Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Which of two scores should be larger: l = max(0, margin - t (x1 - x2)).

    Backward: gx1 = -gl t [l >= 0], gx2 = -gx1.

    Args:
        input1, input2: scores, floating; they broadcast.
        target: 1 if the first should be larger, -1 if the second.
        margin: by how much.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not broadcast or differ in their number of axes.

    >>> import numpy as np
    >>> x1, x2 = np.asarray([1.0, 1.0]), np.asarray([3.0, 0.0])
    >>> margin_ranking_loss(x1, x2, np.asarray([1, 1]), reduction="none").tolist()
    [2.0, 0.0]
    """
    subject = "margin_ranking_loss"
    margin = number(margin, "margin", subject)
    check_reduction(reduction, subject)
    check_floating(input1, subject, "input1")
    target = as_floating(target, input1)
    check_same_dtype(subject, input1, input2=input2, target=target)
    if not input1.ndim == input2.ndim == target.ndim:
        shapes = ", ".join(str(shape_of(x)) for x in (input1, input2, target))
        raise ShapeError(
            f"expects input1, input2 and target with the same number of axes, got {shapes}", subject=subject
        )
    check_broadcasts(subject, input1=input1, input2=input2, target=target)
    x1, x2, t = alike(input1, input2, target)
    return reduced(ops.clip(margin - t * (x1 - x2), 0.0), reduction)


@loss
@half_in_float32
def multi_margin_loss(
    input: ArrayT,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """The loss of the support vector machine of many classes.

    l = w_y / C sum_{c != y} z_c^p with z_c = max(0, margin - x_y + x_c) and y the target.

    Backward: gx_c = gl w_y p z_c^(p - 1) [z_c > 0] / C for c != y, and gx_y is minus their sum.

    Args:
        input: scores (N, C) or (C,), floating.
        target: class numbers in [0, C), (N,), or () or (1,) of one sample.
        p: 1 or 2.
        margin: by how much the right class should lead.
        weight: (C,), the weight of each class, or None. It has no gradient.
        size_average, reduce, reduction: see the module.

    Raises: IndexOutOfRangeError for a class number out of range (where it cannot be read without stalling, on
    a GPU or under `jax.jit`, its loss is NaN instead); ShapeError if the shapes do not fit; ArgumentError
    for another p.

    See: Crammer & Singer (2001), "On the algorithmic implementation of multiclass kernel-based vector
    machines".

    >>> import numpy as np
    >>> scores = np.asarray([[0.0, 0.5, -2.0]])
    >>> float(multi_margin_loss(scores, np.asarray([0])))
    0.5
    """
    subject = "multi_margin_loss"
    margin = number(margin, "margin", subject)
    if whole(p, "p", subject) not in (1, 2):
        raise ArgumentError(f"expects p as 1 or 2, got {p}", subject=subject)
    check_reduction(reduction, subject)
    check_floating(input, subject)
    input = _with_classes(input)
    rank = len(shape_of(target, subject, "target"))
    if input.ndim == 1 and rank == 1:
        input = ops.reshape(input, (1, input.shape[0]))
    elif input.ndim == 2 and input.shape[0] == 1 and rank == 0:
        target = ops.reshape(target, (1,))
    axis = _class_axis(input, subject)
    check_class_weight(input, weight, axis, subject)
    check_labels(input, target, axis, subject)
    labels, classes = as_indices(target), input.shape[axis]
    xp = namespace(labels)
    numbers = xp.arange(classes, dtype=labels.dtype, device=device_of(labels))
    column = xp.expand_dims(labels % classes, axis=axis)
    own = ops.take_along_axis(input, column, axis=axis)
    behind = _positive(margin - own + input)
    others = select(numbers != column, behind)
    losses = others if p == 1 else ops.square(others)
    if weight is not None:  # an infinite one is not asked for what costs nothing
        of_own = ops.reshape(ops.take(weight, xp.reshape(column, (-1,)), axis=0), column.shape)
        losses = losses * select(others > 0, of_own)
    losses = ops.sum(losses, axis=axis) / classes
    return reduced(unknown_as_nan(losses, labels, classes, subject), reduction)


@loss
@half_in_float32
def multilabel_margin_loss(
    input: ArrayT,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Samples of several classes: each of theirs should lead each other class by 1.

    l = 1 / C sum_{y of the sample} sum_{c not of the sample} max(0, 1 - x_y + x_c)

    Backward: gx_c and -gx_y are gl / C for each pair whose term is positive.

    Args:
        input: scores (N, C) or (C,), floating.
        target: shaped as the input: the sample's class numbers, up to the first -1.
        size_average, reduce, reduction: see the module.

    Raises: IndexOutOfRangeError for a class number out of range (where it cannot be read, on a GPU or under
    `jax.jit`, it counts as the class it is modulo C); ShapeError if the shapes do not fit.

    >>> import numpy as np
    >>> scores, classes = np.asarray([0.0, 2.0, 0.5]), np.asarray([1, 0, -1])
    >>> float(multilabel_margin_loss(scores, classes))
    0.5
    """
    subject = "multilabel_margin_loss"
    check_reduction(reduction, subject)
    check_floating(input, subject)
    shape_of(target, subject, "target")
    input, target = _with_classes(input), _with_classes(target)
    axis = _class_axis(input, subject)
    if shape_of(target) != shape_of(input):
        raise ShapeError(
            f"expects class numbers shaped as the input, {shape_of(input)}, got {shape_of(target)}",
            subject=subject,
        )
    check_integer(target, subject, "target")
    numbers = as_indices(target)
    check_indices(numbers, input.shape[axis], subject, "classes", "-1 ends them", ignored=-1)
    xp, classes = namespace(numbers), input.shape[axis]
    listed = xp.cumulative_prod(xp.astype(numbers >= 0, numbers.dtype), axis=axis) > 0
    inside = numbers % max(classes, 1)
    is_class = inside[..., None] == xp.arange(classes, dtype=numbers.dtype, device=device_of(numbers))
    of_sample = xp.any(is_class & listed[..., None], axis=-2)
    own = ops.take_along_axis(input, inside, axis=axis)
    behind = _positive(1 - ops.expand_dims(own, axis=-1) + ops.expand_dims(input, axis=-2))
    counts = listed[..., None] & ~of_sample[..., None, :]
    return reduced(ops.sum(select(counts, behind), axis=(-2, -1)) / max(classes, 1), reduction)


@loss
@half_in_float32
def multilabel_soft_margin_loss(
    input: ArrayT,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """Samples of several classes: the binary cross entropy of each class, averaged over the C classes.

    l = -1 / C sum_c w_c (t_c ln p_c + (1 - t_c) ln(1 - p_c)) with p = sigmoid(x)

    Backward: gx_c = gl w_c (p_c - t_c) / C, gt_c = -gl w_c x_c / C.

    Args:
        input: scores (N, C), (N, ..., C) or (C,), floating.
        target: 1 for the classes of the sample, else 0, shaped as the input.
        weight: of each class; broadcasts against the input.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes differ.

    >>> import numpy as np
    >>> float(multilabel_soft_margin_loss(np.asarray([[0.0, 0.0]]), np.asarray([[1.0, 0.0]])).round(4))
    0.6931
    """
    subject = "multilabel_soft_margin_loss"
    check_reduction(reduction, subject)
    check_floating(input, subject)
    if input.ndim == 0:
        raise ShapeError("expects an input of shape (N, ..., C) or (C,), got ()", subject=subject)
    losses = _multilabel_soft_margin(input, target, weight, reduction="none")
    return reduced(ops.mean(losses, axis=-1), reduction)


_multilabel_soft_margin = ElementwiseLoss(  # a sum of logarithms, as a score may be infinite
    "multilabel_soft_margin_loss",
    value=lambda xp, x, t: -(t * logsigmoid(x) + (1 - t) * logsigmoid(-x)),
    gx=lambda xp, gl, x, t: gl * (sigmoid(x) - t),
    gt=lambda xp, gl, x, t: -gl * x,
    broadcasts=False,
)


def _with_classes(x: Any) -> Any:
    """A number as the one class of a sample; arrays as they are."""
    return x if x.ndim else ops.reshape(x, (1,))


def _class_axis(x: Any, subject: str) -> int:
    """The axis of the classes of an input (N, C) or (C,)."""
    if x.ndim not in (1, 2) or x.shape[-1] == 0:
        raise ShapeError(f"expects an input of shape (N, C) or (C,), got {shape_of(x)}", subject=subject)
    return x.ndim - 1


def _positive(x: Any) -> Any:
    """x where it is positive, else 0; the gradient at 0 is 0."""
    return select(x > 0, x)
