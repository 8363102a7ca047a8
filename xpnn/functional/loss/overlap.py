"""Losses of detection and segmentation, where most of an image is background."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.backend import Array, ArrayT
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import (
    alike,
    check_eps,
    check_floating,
    check_reduction,
    check_same_dtype,
    check_shape,
    number,
    shape_of,
)
from xpnn.functional.loss.binary import bce_with_logits
from xpnn.functional.loss.elementwise import as_floating
from xpnn.functional.loss.reduction import reduced

__all__ = ["dice_loss", "sigmoid_focal_loss"]


@half_in_float32
def dice_loss(input: ArrayT, target: Array | Tensor, eps: float = 1e-6, reduction: str = "mean") -> ArrayT:
    """How little two regions overlap: l = 1 - (2 sum x t + eps) / (sum x + sum t + eps), for each sample.

    Backward: with s = sum x + sum t + eps and d = 1 - l, gx = gl (d - 2 t) / s and gt = gl (d - 2 x) / s.

    Args:
        input: how much each cell belongs to the region, in [0, 1]: (N, ...), floating; of one class or, in
            (N, C, ...), of several together.
        target: the same of the true region, shaped as the input.
        eps: makes two empty regions equal.
        reduction: "none" gives (N,), the loss of each sample, "sum" their sum, "mean" their mean.

    Raises: ShapeError if the shapes differ.

    See: Milletari, Navab & Ahmadi (2016), "V-Net".

    >>> import numpy as np
    >>> mask = np.asarray([[1.0, 1.0, 0.0, 0.0]])
    >>> float(dice_loss(np.asarray([[1.0, 0.0, 0.0, 0.0]]), mask, eps=0.0).round(4))
    0.3333
    """
    subject = "dice_loss"
    eps = check_eps(eps, subject)
    check_reduction(reduction, subject)
    check_floating(input, subject)
    target = as_floating(target, input)
    check_same_dtype(subject, input, target=target)
    check_shape(target, shape_of(input), subject, "target")
    cells = tuple(range(1, input.ndim))

    def total(x: Any) -> Any:
        return ops.sum(x, axis=cells) if cells else x

    x, t = alike(input, target)
    overlap, size = total(x * t), total(x) + total(t)
    return reduced(1 - (2 * overlap + eps) / (size + eps), reduction)


@half_in_float32
def sigmoid_focal_loss(
    inputs: ArrayT,
    targets: Array | Tensor,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "none",
) -> ArrayT:
    """Binary cross entropy of scores in which what is right already counts little.

    l = a (1 - q)^gamma (-ln q), where q is the probability of what is true, p t + (1 - p) (1 - t) with
    p = sigmoid(x), and the cross entropy stands for -ln q. a = alpha t + (1 - alpha) (1 - t), or 1 for a
    negative alpha. Torchvision has it by this name.

    Backward: by the rules of its operations, for x and for t.

    Args:
        inputs: scores, floating, any shape.
        targets: 1 for yes, 0 for no, shaped as the inputs.
        alpha: the weight of a yes, against 1 - alpha of a no; -1 gives both 1.
        gamma: how fast the weight falls; 0 gives the cross entropy.
        reduction: "none", "mean" or "sum".

    Raises: ShapeError if the shapes differ.

    See: Lin, Goyal, Girshick, He & Dollar (2017), "Focal loss for dense object detection".

    >>> import numpy as np
    >>> sigmoid_focal_loss(np.asarray([0.0, 9.0]), np.asarray([1.0, 1.0])).round(4).tolist()
    [0.0433, 0.0]
    """
    subject = "sigmoid_focal_loss"
    alpha, gamma = number(alpha, "alpha", subject), number(gamma, "gamma", subject)
    check_reduction(reduction, subject)
    check_floating(inputs, subject)
    targets = as_floating(targets, inputs)
    entropy = bce_with_logits(inputs, targets, None, None, reduction="none")
    x, t = alike(inputs, targets)
    p = sigmoid(x)
    wrong = p + t - 2 * p * t  # 1 - q
    losses = entropy * wrong**gamma
    if alpha >= 0:
        losses = losses * (alpha * t + (1 - alpha) * (1 - t))
    return reduced(losses, reduction)
