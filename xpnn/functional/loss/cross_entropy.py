"""Losses of classification: cross entropy of scores, and the negative log likelihood that it ends in.

Both take class numbers or, cross entropy alone, probabilities. Here q is the target distribution over the
classes: one-hot for a class number.
"""

from __future__ import annotations

import math
from math import nan
from typing import Any

from xpnn.autograd import Tensor, ops, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    cheap_to_read,
    concrete,
    device_of,
    extremes,
    is_floating,
    namespace,
    seen_in_range,
    size_of,
)
from xpnn.functional.activation.softmax import log_softmax, softmax
from xpnn.functional.arguments import (
    as_indices,
    check_indices,
    check_probability,
    check_reduction,
    check_same_dtype,
    check_shape,
    once_per_signature,
    raw_array,
    shape_of,
    whole,
)
from xpnn.functional.linear import linear
from xpnn.functional.loss.labels import check_class_weight, check_labels, class_axis
from xpnn.functional.loss.reduction import loss, reduced, share

__all__ = ["cross_entropy", "linear_cross_entropy", "nll_loss"]


@loss
def cross_entropy(
    input: ArrayT,
    target: Array | Tensor,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> ArrayT:
    """How badly scores predict the class: l = -sum_c q_c ln p_c with p = softmax(input).

    Backward: gx_c = gl (p_c sum_k q_k - q_c), which for plain labels is softmax - target.

    Args:
        input: scores (logits) of shape (N, C), (N, C, d1, ...) or (C,), floating.
        target: class numbers in [0, C), shaped as the input without its class axis; or a distribution (soft
            labels or one-hot) shaped as the input, floating or 0 and 1 as integers.
        weight: (C,), the weight of each class, or None. It has no gradient.
        ignore_index: class numbers equal to it cost nothing and are not counted.
        reduction: "none" gives l, "sum" its sum; "mean" divides the sum by the weights of the classes that
            were counted, and for distributions by N d1 ...
        label_smoothing: the part s of q that is spread evenly: q becomes (1 - s) q + s / C.

    Raises: IndexOutOfRangeError for a class number out of range, with its position (where labels cannot be
    read without stalling, on a GPU or under `jax.jit`, its loss is NaN instead); ShapeError and DTypeError
    if input, target and weight do not fit together.

    See: Szegedy, Vanhoucke, Ioffe, Shlens & Wojna (2016), "Rethinking the Inception architecture for
    computer vision", section 7 (label smoothing).

    >>> import numpy as np
    >>> scores = np.asarray([[0.0, 0.0], [2.0, 0.0]])
    >>> cross_entropy(scores, np.asarray([0, 0]), reduction="none").round(4).tolist()
    [0.6931, 0.1269]
    """
    _check_scores(input, target, weight, reduction=reduction, label_smoothing=label_smoothing)
    axis = min(input.ndim - 1, 1)
    kept = None
    if target.ndim == input.ndim:
        _check_distribution(target, ignore_index)
    else:
        target = as_indices(target)
        kept = _kept(input, target, axis, ignore_index, "cross_entropy")
    options = {"axis": axis, "reduction": reduction, "label_smoothing": float(label_smoothing)}
    return _cross_entropy(input, target, weight, kept, **options)


@primitive
def _cross_entropy(x, target, weight, kept, *, axis, reduction, label_smoothing):
    xp = namespace(x)
    log_p = log_softmax(x, axis)
    if target.ndim == x.ndim:
        q = _distribution(x, target, weight, kept, axis, label_smoothing)
        losses = -xp.sum(q * log_p, axis=axis)
    else:
        losses = _losses_of_labels(log_p, target, weight, kept, axis)
        if label_smoothing:
            even = xp.mean(log_p if weight is None else log_p * _along(weight, x, axis), axis=axis)
            even = even if kept is None else kept * select(kept != 0, even)
            losses = (1 - label_smoothing) * losses - label_smoothing * even
    return reduced(losses, reduction, _count(x, target, weight, kept, axis)), (x, target, weight, kept)


@_cross_entropy.backward
def _cross_entropy_backward(gy, saved, needs, *, axis, reduction, label_smoothing):
    x, target, weight, kept = saved
    xp = namespace(gy, x, target)
    gl = share(gy, reduction, _count(x, target, weight, kept, axis))
    if reduction == "none":
        gl = xp.expand_dims(gl, axis=axis)
    gx = gtarget = None
    if needs[0]:
        q = _distribution(x, target, weight, kept, axis, label_smoothing)
        gx = gl * (softmax(x, axis) * xp.sum(q, axis=axis, keepdims=True) - q)
        if kept is not None:
            gx = select(xp.expand_dims(kept, axis=axis) != 0, gx)
    if needs[1]:
        gtarget = (label_smoothing - 1) * gl * log_softmax(x, axis)
        if weight is not None:
            gtarget = gtarget * _along(weight, x, axis)
    return gx, gtarget, None, None


@once_per_signature
def _check_scores(input: Any, target: Any, weight: Any, *, reduction: str, label_smoothing: float) -> None:
    check_probability(label_smoothing, "cross_entropy", "label_smoothing")
    check_reduction(reduction, "cross_entropy")
    axis = class_axis(input, "cross_entropy")
    check_class_weight(input, weight, axis, "cross_entropy")
    if shape_of(target, "cross_entropy", "target") != shape_of(input):
        check_labels(input, target, axis, "cross_entropy", or_probabilities=True)
    elif is_floating(target):
        check_same_dtype("cross_entropy", input, target=target)


def _check_distribution(target: Any, ignore_index: int) -> None:
    if whole(ignore_index, "ignore_index", "cross_entropy") >= 0:
        raise ArgumentError(
            f"expects class numbers as the target for ignore_index={ignore_index}, got a distribution",
            subject="cross_entropy",
        )
    raw = raw_array(target)
    if is_floating(raw) or not size_of(raw.shape) or not (concrete(raw) and cheap_to_read(raw)):
        return
    low, high = extremes(raw)
    if low < 0 or high > 1:
        raise ArgumentError(
            f"expects one-hot labels of 0 and 1, got {high if low >= 0 else low}", subject="cross_entropy"
        )


@half_in_float32
def linear_cross_entropy(
    input: ArrayT,
    linear_weight: Array | Tensor,
    target: Array | Tensor,
    *,
    linear_bias: Array | Tensor | None = None,
    weight: Array | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> ArrayT:
    """The cross entropy of scores that an affine layer makes: `cross_entropy(linear(input, w, b), target)`.

    Args:
        input: features (N, in_features) or (in_features,), floating.
        linear_weight: (C, in_features), or (C, d1, ..., in_features) for scores (N, C, d1, ...).
        target: class numbers or a distribution, as for `cross_entropy`.
        linear_bias: (C,) or (C, d1, ...), or None.
        weight, reduction, label_smoothing: as for `cross_entropy`.
        ignore_index: class numbers equal to it cost nothing; None is -100.

    Raises: as `linear` and `cross_entropy`.

    >>> import numpy as np
    >>> float(linear_cross_entropy(np.ones((1, 3)), np.zeros((2, 3)), np.asarray([0])).round(4))
    0.6931
    """
    if len(shape_of(linear_weight, "linear_cross_entropy", "linear_weight")) < 2:
        raise ShapeError(
            f"expects linear_weight of shape (C, in_features), got {shape_of(linear_weight)}",
            subject="linear_cross_entropy",
        )
    *classes, features = shape_of(linear_weight)
    check_shape(linear_bias, tuple(classes), "linear_cross_entropy", "linear_bias")
    w = ops.reshape(linear_weight, (math.prod(classes), features))
    b = None if linear_bias is None else ops.reshape(linear_bias, (math.prod(classes),))
    scores: Any = linear(input, w, b)
    return cross_entropy(
        ops.reshape(scores, (*scores.shape[:-1], *classes)),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


@loss
def nll_loss(
    input: ArrayT,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """The negative log likelihood of the right class: l = -weight[target] input[target].

    Backward: gx_c = -weight_c gl where c is the target, else 0.

    Args:
        input: log-probabilities of shape (N, C), (N, C, d1, ...) or (C,), floating.
        target: class numbers in [0, C), shaped as the input without its class axis.
        weight, ignore_index, reduction: as for `cross_entropy`.

    Raises: as `cross_entropy`.

    >>> import numpy as np
    >>> float(nll_loss(np.log(np.asarray([[0.5, 0.5], [0.25, 0.75]])), np.asarray([0, 0])).round(4))
    1.0397
    """
    check_reduction(reduction, "nll_loss")
    axis = class_axis(input, "nll_loss")
    check_labels(input, target, axis, "nll_loss")
    check_class_weight(input, weight, axis, "nll_loss")
    target = as_indices(target)
    kept = _kept(input, target, axis, ignore_index, "nll_loss")
    return _nll_loss(input, target, weight, kept, axis=axis, reduction=reduction)


@primitive(flat=True)
def _nll_loss(x, target, weight, kept, *, axis, reduction):
    losses = _losses_of_labels(x, target, weight, kept, axis)
    return reduced(losses, reduction, _count(x, target, weight, kept, axis)), (x, target, weight, kept)


@_nll_loss.backward
def _nll_loss_backward(gy, saved, needs, *, axis, reduction):
    x, target, weight, kept = saved
    gl = share(gy, reduction, _count(x, target, weight, kept, axis))
    if reduction == "none":
        gl = namespace(gl).expand_dims(gl, axis=axis)
    q = _distribution(x, target, weight, kept, axis, label_smoothing=0.0)
    # Beside the label it is 0, also where all labels have the weight 0 and the mean is NaN.
    counts = q if weight is None else _distribution(x, target, None, kept, axis, label_smoothing=0.0)
    return -q * select(counts != 0, gl + namespace(q).zeros_like(q)), None, None, None


def _losses_of_labels(log_p: Any, labels: Any, weight: Any, kept: Any, axis: int) -> Any:
    """-weight[label] log_p[label], and 0 where the label is ignored."""
    xp = namespace(log_p, labels)
    if not log_p.shape[axis]:  # where all labels are ignored
        return xp.sum(log_p, axis=axis)
    # An ignored label may be out of range, and what it would pick may be infinite.
    inside = xp.expand_dims(labels % log_p.shape[axis], axis=axis)
    picked = xp.squeeze(xp.take_along_axis(log_p, inside, axis=axis), axis=axis)
    if kept is not None:
        picked = select(kept != 0, picked)
    weights = _label_weights(labels, weight, kept)
    return -picked if weights is None else -weights * picked


def _distribution(x: Any, target: Any, weight: Any, kept: Any, axis: int, label_smoothing: float) -> Any:
    """q times the weights of the classes, shaped as x; 0 where the label is ignored."""
    xp = namespace(x, target, weight)
    classes = x.shape[axis]
    if target.ndim == x.ndim:
        q = target if is_floating(target) else xp.astype(target, x.dtype)
    else:
        numbers = xp.arange(classes, dtype=target.dtype, device=device_of(target))
        q = xp.astype(xp.expand_dims(target, axis=axis) == _along(numbers, x, axis), x.dtype)
    if label_smoothing:
        q = (1 - label_smoothing) * q + label_smoothing / classes
    if weight is not None:
        q = q * select(q != 0, xp.broadcast_to(_along(weight, x, axis), q.shape))  # which may be infinite
    if kept is not None:
        kept = xp.expand_dims(kept, axis=axis)
        q = kept * select(kept != 0, q)
    return q


def _label_weights(labels: Any, weight: Any, kept: Any) -> Any:
    """weight[label], and 0 where the label is ignored; None if all are 1."""
    if weight is None:
        return kept
    xp = namespace(labels, weight)
    flat = xp.reshape(labels % weight.shape[0], (size_of(labels.shape),))
    weights = xp.reshape(xp.take(weight, flat, axis=0), labels.shape)
    return weights if kept is None else kept * select(kept != 0, weights)  # a weight may be infinite


def _count(x: Any, target: Any, weight: Any, kept: Any, axis: int) -> Any:
    """What "mean" divides by: the weights of the labels that count, or the number of distributions."""
    weights = None if target.ndim == x.ndim else _label_weights(target, weight, kept)
    if weights is None:
        return size_of(x.shape[:axis]) * size_of(x.shape[axis + 1 :])
    return namespace(weights).sum(weights)


def _along(vector: Any, x: Any, axis: int) -> Any:
    """A vector of classes, shaped so that it lies along the class axis of x."""
    return namespace(vector).reshape(vector, (*(1,) * axis, -1, *(1,) * (x.ndim - axis - 1)))


def _kept(x: Any, labels: Array, axis: int, ignore_index: int, subject: str) -> Array | None:
    """1.0 where a label counts, 0.0 where it is ignored, NaN where it is wrong; None if all count."""
    classes = x.shape[axis]
    ignore_index = whole(ignore_index, "ignore_index", subject)
    if not 0 <= ignore_index < classes and seen_in_range(labels, classes):
        return None
    hint = f"The input of shape {shape_of(x)} has {classes} classes on axis {axis}"
    check_indices(labels, classes, subject, "labels", hint, ignored=ignore_index)
    return _kept_labels(raw_array(labels), raw_array(x), classes=classes, ignore_index=ignore_index)


@primitive(half=True)
def _kept_labels(labels, like, *, classes, ignore_index):
    xp = namespace(labels)
    counts = xp.asarray(labels != ignore_index)  # a 0-d comparison is a scalar in NumPy
    kept = xp.astype(counts, like.dtype)
    wrong = ((labels < 0) | (labels >= classes)) & (labels != ignore_index)
    return xp.where(wrong, xp.full_like(kept, nan), kept), ()
