"""Binary cross entropy, of probabilities and of logits."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ShapeError, cheap_to_read, concrete, namespace, size_of
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import (
    check_same_dtype,
    raw_array,
    shape_of,
)
from xpnn.functional.loss.arguments import check_losses
from xpnn.functional.loss.reduction import reduced, share

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]

_LOWEST_LOG = -100.0  # the loss cuts ln off here, so that a certain but wrong answer costs 100


def binary_cross_entropy_with_logits(
    input: Array | Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Any:
    """How badly a score predicts yes or no: with p = sigmoid(x),

        l = -(pos_weight t ln p + (1 - t) ln(1 - p))

    Backward, without pos_weight: gx = gl (p - t), gt = -gl x. With w = pos_weight:
    gx = gl (1 - t - (1 + (w - 1) t) (1 - p)), gt = -gl (x - (w - 1) ln(1 + e^-x)).

    Args:
        input: scores (logits), any shape, floating.
        target: the probability of yes, usually 0 or 1, shaped as the input.
        weight: multiplies the losses; broadcasts against the input.
        reduction: see the module.
        pos_weight: multiplies what a yes costs; broadcasts against the input. It has no gradient.

    Raises: ShapeError if the shapes differ.

    >>> import numpy as np
    >>> x, t = np.asarray([0.0, -1e4, 1e4]), np.asarray([1.0, 0.0, 0.0])
    >>> binary_cross_entropy_with_logits(x, t, reduction="none").round(4).tolist()
    [0.6931, 0.0, 10000.0]
    """
    subject = "binary_cross_entropy_with_logits"
    check_losses(subject, input, target, reduction)
    check_same_dtype(subject, input, weight=weight, pos_weight=pos_weight)
    _check_broadcast(subject, input, weight=weight, pos_weight=pos_weight)
    if weight is None:
        return _bce_with_logits(input, target, pos_weight, reduction=reduction)
    return _weighted(_bce_with_logits(input, target, pos_weight, reduction="none"), weight, reduction)


@primitive
def _bce_with_logits(x, t, pos_weight, *, reduction):
    softplus = _softplus_of_minus(x)
    losses = (1 - t) * x + (softplus if pos_weight is None else (1 + (pos_weight - 1) * t) * softplus)
    return reduced(losses, reduction, size_of(x.shape)), (x, t, pos_weight)


@_bce_with_logits.backward
def _bce_with_logits_backward(gy, saved, needs, *, reduction):
    x, t, pos_weight = saved
    gl = share(gy, reduction, size_of(x.shape))
    gx = gt = None
    if needs[0]:
        yes = 1 if pos_weight is None else 1 + (pos_weight - 1) * t
        gx = gl * (1 - t - yes * sigmoid(-x))
    if needs[1]:
        gt = -gl * (x if pos_weight is None else x - (pos_weight - 1) * _softplus_of_minus(x))
    return gx, gt, None


def _softplus_of_minus(x: Any) -> Any:
    """ln(1 + e^-x) = -ln sigmoid(x), without overflow."""
    xp = namespace(x)
    return xp.maximum(-x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def binary_cross_entropy(
    input: Array | Tensor,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    *,
    reduction: str = "mean",
) -> Any:
    """How badly a probability predicts yes or no: l = -(t ln x + (1 - t) ln(1 - x)).

    Logarithms below -100 count as -100. Backward: gx = gl (x - t) / (x (1 - x)),
    gt = gl (ln(1 - x) - ln x). `binary_cross_entropy_with_logits` is more exact where x comes from a sigmoid.

    Args:
        input: probabilities in [0, 1], any shape, floating.
        target: the probability of yes, shaped as the input.
        weight: multiplies the losses; broadcasts against the input.
        reduction: see the module.

    Raises: ShapeError if the shapes differ; ArgumentError if an input is outside of [0, 1] (which is not
    looked at on a GPU or under `jax.jit`).

    >>> import numpy as np
    >>> p, t = np.asarray([0.5, 0.0]), np.asarray([1.0, 1.0])
    >>> binary_cross_entropy(p, t, reduction="none").round(4).tolist()
    [0.6931, 100.0]
    """
    check_losses("binary_cross_entropy", input, target, reduction)
    check_same_dtype("binary_cross_entropy", input, weight=weight)
    _check_broadcast("binary_cross_entropy", input, weight=weight)
    _check_probabilities(input, "binary_cross_entropy")
    if weight is None:
        return _binary_cross_entropy(input, target, reduction=reduction)
    return _weighted(_binary_cross_entropy(input, target, reduction="none"), weight, reduction)


@primitive
def _binary_cross_entropy(x, t, *, reduction):
    losses = -(t * _cut_log(x) + (1 - t) * _cut_log(1 - x))
    return reduced(losses, reduction, size_of(x.shape)), (x, t)


@_binary_cross_entropy.backward
def _binary_cross_entropy_backward(gy, saved, needs, *, reduction):
    x, t = saved
    xp = namespace(gy, x, t)
    gl = share(gy, reduction, size_of(x.shape))
    gx = gt = None
    if needs[0]:
        product = x * (1 - x)
        gx = gl * (x - t) / xp.maximum(product, xp.full_like(product, 1e-12))
    if needs[1]:
        gt = gl * (_cut_log(1 - x) - _cut_log(x))
    return gx, gt


def _cut_log(x: Any) -> Any:
    """ln x, and no less than -100; ln 0 is never taken."""
    xp = namespace(x)
    zero = xp.astype(x == 0, x.dtype)
    return xp.maximum(xp.log(x + zero) + _LOWEST_LOG * zero, xp.full_like(x, _LOWEST_LOG))


def _weighted(losses: Any, weight: Any, reduction: str) -> Any:
    return reduced(namespace(losses, weight).multiply(losses, weight), reduction, size_of(losses.shape))


def _check_broadcast(subject: str, x: Any, **factors: Any) -> None:
    for name, factor in factors.items():
        if factor is None:
            continue
        pairs = zip(reversed(factor.shape), reversed(x.shape))
        if factor.ndim > x.ndim or any(size not in (1, wanted) for size, wanted in pairs):
            raise ShapeError(
                f"expects a {name} that broadcasts to {shape_of(x)}, got {shape_of(factor)}", subject=subject
            )


def _check_probabilities(x: Any, subject: str) -> None:
    raw = raw_array(x)
    if size_of(raw.shape) == 0 or not concrete(raw) or not cheap_to_read(raw):
        return
    xp = namespace(raw)
    low, high = float(xp.min(raw)), float(xp.max(raw))
    if low < 0 or high > 1:
        raise ArgumentError(
            f"expects probabilities between 0 and 1, got {low if low < 0 else high}",
            subject=subject,
            hint="For scores use binary_cross_entropy_with_logits",
        )
