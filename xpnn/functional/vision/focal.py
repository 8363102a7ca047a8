"""Focal loss: cross entropy of yes and no that counts little where the answer is right already."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import (
    alike,
    check_floating,
    check_reduction,
    check_same_dtype,
    check_shape,
    number,
    shape_of,
)
from xpnn.functional.loss.binary import binary_cross_entropy_with_logits
from xpnn.functional.loss.elementwise import as_floating
from xpnn.functional.loss.reduction import reduced

__all__ = ["sigmoid_focal_loss"]


@half_in_float32
def sigmoid_focal_loss(
    inputs: ArrayT,
    targets: Array | Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    reduction: str = "none",
) -> ArrayT:
    """Cross entropy of yes and no, times what is missing to certainty: with p = sigmoid(x),

        q = p t + (1 - p) (1 - t),    l = -(alpha t + (1 - alpha) (1 - t)) (1 - q)^gamma ln q

    for targets of 0 and 1; the cross entropy in place of -ln q for others. Backward: by the rule of products.

    Args:
        inputs: scores (logits), any shape, floating.
        targets: the probability of yes, usually 0 or 1, shaped as the inputs.
        alpha: the weight of a yes, in [0, 1]; that of a no is 1 - alpha. -1 weighs neither.
        gamma: the higher, the less a cell counts that is nearly right.
        reduction: "none", "mean" or "sum".

    Raises: ShapeError if the shapes differ; ArgumentError for another alpha.

    See: Lin et al. (2017), "Focal loss for dense object detection".

    >>> import numpy as np
    >>> sigmoid_focal_loss(np.asarray([0.0, 5.0]), np.asarray([1.0, 1.0])).round(4).tolist()
    [0.0433, 0.0]
    """
    subject = "sigmoid_focal_loss"
    check_floating(inputs, subject, "inputs")
    check_reduction(reduction, subject)
    check_shape(targets, shape_of(inputs), subject, "targets")
    targets = as_floating(targets, inputs)
    check_same_dtype(subject, inputs, targets=targets)
    alpha, gamma = number(alpha, "alpha", subject), number(gamma, "gamma", subject)
    if not 0 <= alpha <= 1 and alpha != -1:
        raise ArgumentError(f"expects alpha in [0, 1], or -1, got {alpha}", subject=subject)
    x, t = alike(inputs, targets)
    p: Any = sigmoid(x)
    missing = p + t - 2.0 * p * t  # 1 - q, without the difference of two numbers near 1
    losses = binary_cross_entropy_with_logits(x, t, reduction="none") * missing**gamma
    if alpha >= 0:
        losses = losses * ((2.0 * alpha - 1.0) * t + (1.0 - alpha))
    return reduced(losses, reduction)
