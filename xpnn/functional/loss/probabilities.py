"""Entropies of probabilities themselves, where cross entropy of scores would be more exact.

Logarithms are cut off as those of `binary_cross_entropy`, so that a certain but wrong answer costs 100.
"""

from __future__ import annotations

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, idioms, namespace
from xpnn.functional.arguments import (
    alike,
    as_indices,
    check_indices,
    check_reduction,
    check_same_dtype,
    check_shape,
    raw_array,
    shape_of,
)
from xpnn.functional.loss.binary import binary_cross_entropy, check_probabilities, cut_log
from xpnn.functional.loss.cross_entropy import nll_loss
from xpnn.functional.loss.elementwise import as_floating
from xpnn.functional.loss.labels import check_labels, class_axis
from xpnn.functional.loss.reduction import reduced

__all__ = ["cross_entropy_of_probabilities", "cross_entropy_per_cell", "entropy"]


@half_in_float32
def entropy(input: ArrayT, reduction: str = "mean") -> ArrayT:
    """How undecided a distribution is: h = -sum_c p_c ln p_c, from 0 to ln C.

    Backward: gp_c = -gh (ln p_c + 1).

    Args:
        input: probabilities (N, C), (N, C, d1, ...) or (C,), floating. 0 ln 0 is 0.
        reduction: "none" gives each distribution's entropy, "sum" their sum, "mean" their mean.

    Raises: ShapeError for an input without a class axis; ArgumentError if a value is outside of [0, 1] or NaN
    (which is not looked at on a GPU or under `jax.jit`).

    See: Shannon (1948), "A mathematical theory of communication".

    >>> import numpy as np
    >>> entropy(np.asarray([[0.5, 0.5], [0.8, 0.2]]), reduction="none").round(4).tolist()
    [0.6931, 0.5004]
    """
    check_reduction(reduction, "entropy")
    axis = class_axis(input, "entropy")
    check_probabilities(input, "input", "entropy")
    return reduced(-ops.sum(input * cut_log(input), axis=axis), reduction)


@half_in_float32
def cross_entropy_of_probabilities(
    input: ArrayT,
    target: Array | Tensor,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> ArrayT:
    """How badly probabilities p predict the class: l = -sum_c q_c ln p_c.

    Backward: gp_c = -gl q_c / p_c, gq_c = -gl ln p_c. `cross_entropy` of scores is more exact.

    Args:
        input: probabilities (N, C), (N, C, d1, ...) or (C,), floating.
        target: class numbers, or a distribution q shaped as the input, as for `cross_entropy`.
        weight, ignore_index: as for `nll_loss`; of class numbers only.
        reduction: as for `cross_entropy`.

    Raises: as `cross_entropy`; ArgumentError if a probability is outside of [0, 1] or NaN (which is not
    looked at on a GPU or under `jax.jit`).

    >>> import numpy as np
    >>> float(cross_entropy_of_probabilities(np.asarray([[0.5, 0.5]]), np.asarray([1])).round(4))
    0.6931
    """
    subject = "cross_entropy_of_probabilities"
    check_reduction(reduction, subject)
    axis = class_axis(input, subject)
    if len(shape_of(target, subject, "target")) != input.ndim:
        check_labels(input, target, axis, subject, or_probabilities=True)
        check_probabilities(input, "input", subject)
        return nll_loss(cut_log(input), target, weight, ignore_index=ignore_index, reduction=reduction)
    if weight is not None or ignore_index >= 0:
        raise ArgumentError(
            "expects class numbers as the target for weight and ignore_index, got a distribution",
            subject=subject,
        )
    target = as_floating(target, input)
    check_same_dtype(subject, input, target=target)
    check_shape(target, shape_of(input), subject, "target")
    check_probabilities(input, "input", subject)
    q, log_p = alike(target, cut_log(input))
    return reduced(-ops.sum(q * log_p, axis=axis), reduction)


@half_in_float32
def cross_entropy_per_cell(input: ArrayT, target: Array | Tensor, reduction: str = "mean") -> ArrayT:
    """The binary cross entropy of each class at each cell, with the classes as one-hot targets q.

    l_c = -(q_c ln p_c + (1 - q_c) ln(1 - p_c)), and the mean is over all cells and classes.

    Args:
        input: probabilities (N, C), (N, C, d1, ...) or (C,), floating.
        target: class numbers, shaped as the input without its class axis; or q itself.
        reduction: "none" gives l shaped as the input, "sum" the sum, "mean" the mean of all elements.

    Raises: IndexOutOfRangeError for a class number out of range (where it cannot be read without stalling, on
    a GPU or under `jax.jit`, all classes of that cell count as wrong); otherwise as `binary_cross_entropy`.

    >>> import numpy as np
    >>> float(cross_entropy_per_cell(np.asarray([[0.5, 0.5]]), np.asarray([1])).round(4))
    0.6931
    """
    subject = "cross_entropy_per_cell"
    axis = class_axis(input, subject)
    if len(shape_of(target, subject, "target")) != input.ndim:
        check_labels(input, target, axis, subject, or_probabilities=True)
        classes, labels = input.shape[axis], as_indices(target)
        check_indices(labels, classes, subject, "labels")
        xp = namespace(labels)
        target = xp.moveaxis(idioms.one_hot(labels, classes, raw_array(input).dtype), -1, axis)
    return binary_cross_entropy(input, target, reduction=reduction)
