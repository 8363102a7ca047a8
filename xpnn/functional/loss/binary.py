"""Binary cross entropy, of probabilities and of logits."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    cheap_to_read,
    concrete,
    extremes,
    is_floating,
    size_of,
)
from xpnn.functional.activation.pointwise import Pointwise
from xpnn.functional.activation.sigmoid import sigmoid
from xpnn.functional.arguments import raw_array
from xpnn.functional.loss.elementwise import ElementwiseLoss
from xpnn.functional.loss.reduction import loss

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits"]

_LOWEST_LOG = -100.0  # the loss cuts ln off here, so that a certain but wrong answer costs 100
_LEAST_DIVISOR = 1e-12

_OF_SCORES = {
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
    "cross_entropy_of_probabilities": "cross_entropy",
}


@loss
def binary_cross_entropy_with_logits(
    input: ArrayT,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> ArrayT:
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
    return bce_with_logits(input, target, weight, pos_weight, reduction=reduction)


def _of_logits(xp: Any, x: Any, t: Any, pos_weight: Any) -> Any:
    return (1 - t) * x + _weight_of_yes(t, pos_weight) * _softplus_of_minus(xp, x)


def _of_logits_by_target(xp: Any, gl: Any, x: Any, t: Any, pos_weight: Any) -> Any:
    return -gl * (x if pos_weight is None else x - (pos_weight - 1) * _softplus_of_minus(xp, x))


bce_with_logits = ElementwiseLoss(
    "binary_cross_entropy_with_logits",
    value=_of_logits,
    gx=lambda xp, gl, x, t, w: gl * (1 - t - _weight_of_yes(t, w) * sigmoid(-x)),
    gt=_of_logits_by_target,
    others=("pos_weight",),
    broadcasts=False,
)


def _weight_of_yes(t: Any, pos_weight: Any) -> Any:
    return 1 if pos_weight is None else 1 + (pos_weight - 1) * t


def _softplus_of_minus(xp: Any, x: Any) -> Any:
    """ln(1 + e^-x) = -ln sigmoid(x), without overflow."""
    return xp.maximum(-x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


@loss
def binary_cross_entropy(
    input: ArrayT,
    target: Array | Tensor,
    weight: Array | Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """How badly a probability predicts yes or no: l = -(t ln x + (1 - t) ln(1 - x)).

    Logarithms below -100 count as -100. Backward: gx = gl (x - t) / (x (1 - x)),
    gt = gl (ln(1 - x) - ln x). `binary_cross_entropy_with_logits` is more exact where x comes from a sigmoid.

    Args:
        input: probabilities in [0, 1], any shape, floating.
        target: the probability of yes, shaped as the input.
        weight: multiplies the losses; broadcasts against the input.
        reduction: see the module.

    Raises: ShapeError if the shapes differ; ArgumentError if an input or a target is outside of [0, 1] or NaN
    (which is not looked at on a GPU or under `jax.jit`).

    >>> import numpy as np
    >>> p, t = np.asarray([0.5, 0.0]), np.asarray([1.0, 1.0])
    >>> binary_cross_entropy(p, t, reduction="none").round(4).tolist()
    [0.6931, 100.0]
    """
    for name, x in (("input", input), ("target", target)):
        check_probabilities(x, name, "binary_cross_entropy")
    return _binary_cross_entropy(input, target, weight, reduction=reduction)


def _of_probabilities_by_input(xp: Any, gl: Any, x: Any, t: Any) -> Any:
    product = x * (1 - x)
    return gl * (x - t) / _off_zero(xp, product)


_binary_cross_entropy = ElementwiseLoss(
    "binary_cross_entropy",
    value=lambda xp, x, t: -(t * _cut_log(xp, x) + (1 - t) * _cut_log(xp, 1 - x)),
    gx=_of_probabilities_by_input,
    gt=lambda xp, gl, x, t: gl * (_cut_log(xp, 1 - x) - _cut_log(xp, x)),
    broadcasts=False,
)


def _cut_log(xp: Any, x: Any) -> Any:
    """ln x, and no less than -100; ln 0 is never taken."""
    zero = xp.astype(x == 0, x.dtype)
    return xp.maximum(xp.log(x + zero) + _LOWEST_LOG * zero, xp.full_like(x, _LOWEST_LOG))


def _off_zero(xp: Any, x: Any) -> Any:
    return xp.maximum(x, xp.full_like(x, _LEAST_DIVISOR))


cut_log = Pointwise("cut_log", value=_cut_log, gradient=lambda xp, gy, x: gy / _off_zero(xp, x))


def check_probabilities(x: Any, name: str, subject: str) -> None:
    """Raise an ArgumentError if a value that can be read without stalling is not in [0, 1]."""
    raw = raw_array(x)
    if not is_floating(raw) or size_of(raw.shape) == 0 or not concrete(raw) or not cheap_to_read(raw):
        return
    low, high = extremes(raw)
    if not (low >= 0 and high <= 1):
        raise ArgumentError(
            f"expects {name} as probabilities between 0 and 1, got {high if low >= 0 else low}",
            subject=subject,
            hint=f"For scores use {_OF_SCORES[subject]}" if name == "input" and subject in _OF_SCORES else "",
        )
