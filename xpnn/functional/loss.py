"""Losses that compare numbers element by element: regression, binary classification, divergence.

`reduction` is the same everywhere: "none" gives the loss of each element, "sum" their sum, "mean" their mean.
In the formulas gl is the gradient into one element's loss: gy, or gy / N for the mean of N elements.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ShapeError, cheap_to_read, concrete, namespace, size_of
from xpnn.functional.activation import sigmoid
from xpnn.functional.arguments import (
    REDUCTIONS,
    check_floating,
    check_reduction,
    check_same_dtype,
    raw_array,
    shape_of,
)
from xpnn.functional.reduction import reduced, share

_LOWEST_LOG = -100.0  # binary_cross_entropy cuts ln off here, so that a certain but wrong answer costs 100


def mse_loss(input: Array | Tensor, target: Array | Tensor, *, reduction: str = "mean") -> Any:
    """Squared error: l = (x - t)^2.

    Backward: gx = 2 gl (x - t), gt = -gx.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.

    Raises: ShapeError if the shapes differ: (N,) against (N, 1) would broadcast to N x N.

    >>> import numpy as np
    >>> float(mse_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    """
    _check("mse_loss", input, target, reduction)
    return _mse_loss(input, target, reduction=reduction)


@primitive
def _mse_loss(x, t, *, reduction):
    error = x - t
    return reduced(error * error, reduction, size_of(x.shape)), (x, t)


@_mse_loss.backward
def _mse_loss_backward(gy, saved, needs, *, reduction):
    x, t = saved
    gx = 2 * share(gy, reduction, size_of(x.shape)) * (x - t)
    return gx, -gx if needs[1] else None


def l1_loss(input: Array | Tensor, target: Array | Tensor, *, reduction: str = "mean") -> Any:
    """Absolute error: l = |x - t|.

    Backward: gx = gl sign(x - t), gt = -gx; 0 where x = t.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.

    Raises: ShapeError if the shapes differ.

    >>> import numpy as np
    >>> float(l1_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    1.0
    """
    _check("l1_loss", input, target, reduction)
    return _l1_loss(input, target, reduction=reduction)


@primitive
def _l1_loss(x, t, *, reduction):
    return reduced(namespace(x, t).abs(x - t), reduction, size_of(x.shape)), (x, t)


@_l1_loss.backward
def _l1_loss_backward(gy, saved, needs, *, reduction):
    x, t = saved
    gx = share(gy, reduction, size_of(x.shape)) * namespace(x, t).sign(x - t)
    return gx, -gx if needs[1] else None


def huber_loss(
    input: Array | Tensor, target: Array | Tensor, *, reduction: str = "mean", delta: float = 1.0
) -> Any:
    """Squared error for small errors, absolute error for large ones.

    l = (x - t)^2 / 2 where |x - t| < delta, else delta (|x - t| - delta / 2).

    Backward: gx = gl (x - t) clipped to [-delta, delta] for the error, gt = -gx.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.
        delta: where one passes into the other.

    Raises: ShapeError if the shapes differ; ArgumentError unless delta > 0.

    See: Huber (1964), "Robust estimation of a location parameter".

    >>> import numpy as np
    >>> huber_loss(np.asarray([1.0, 3.0]), np.zeros(2), reduction="none").tolist()
    [0.5, 2.5]
    """
    _check("huber_loss", input, target, reduction)
    if not delta > 0:
        raise ArgumentError(f"expects a positive delta, got {delta}", subject="huber_loss")
    return _huber_loss(input, target, delta=float(delta), scale=1.0, reduction=reduction)


def smooth_l1_loss(
    input: Array | Tensor, target: Array | Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Any:
    """Absolute error, rounded off where it is below beta: `huber_loss` with delta = beta, over beta.

    l = (x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.
        beta: where one passes into the other; 0 gives `l1_loss`.

    Raises: ShapeError if the shapes differ; ArgumentError if beta < 0.

    See: Girshick (2015), "Fast R-CNN".

    >>> import numpy as np
    >>> smooth_l1_loss(np.asarray([1.0, 3.0]), np.zeros(2), reduction="none", beta=2.0).tolist()
    [0.25, 2.0]
    """
    _check("smooth_l1_loss", input, target, reduction)
    if beta < 0:
        raise ArgumentError(f"expects a beta of at least 0, got {beta}", subject="smooth_l1_loss")
    if beta == 0:
        return _l1_loss(input, target, reduction=reduction)
    return _huber_loss(input, target, delta=float(beta), scale=1.0 / beta, reduction=reduction)


@primitive
def _huber_loss(x, t, *, delta, scale, reduction):
    error = x - t
    clipped = _clipped(error, delta)
    # Within delta, clipped = error, and this is error^2 / 2; beyond, it is delta (|error| - delta / 2).
    losses = scale * clipped * (error - 0.5 * clipped)
    return reduced(losses, reduction, size_of(x.shape)), (x, t)


@_huber_loss.backward
def _huber_loss_backward(gy, saved, needs, *, delta, scale, reduction):
    x, t = saved
    gx = scale * share(gy, reduction, size_of(x.shape)) * _clipped(x - t, delta)
    return gx, -gx if needs[1] else None


def _clipped(error: Any, delta: float) -> Any:
    xp = namespace(error)
    bound = xp.full_like(error, delta)
    return xp.maximum(xp.minimum(error, bound), -bound)


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
    _check(subject, input, target, reduction)
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
    _check("binary_cross_entropy", input, target, reduction)
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


def kl_div(
    input: Array | Tensor, target: Array | Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Any:
    """The Kullback-Leibler divergence of a distribution from the target: l = t (ln t - x), with x = ln q.

    Summed over the elements it is KL(t || q) >= 0. Backward: gx = -gl t, gt = gl (ln t + 1 - x). With
    log_target the target s is ln t: l = e^s (s - x), gx = -gl e^s, gs = gl e^s (s - x + 1).

    Args:
        input: log-probabilities, any shape, floating.
        target: probabilities, or their logarithms if log_target, shaped as the input. 0 ln 0 is 0.
        reduction: "none", "sum", "mean" over all elements, or "batchmean", the sum over the first axis's
            length, which is the divergence as defined.
        log_target: whether the target is given as logarithms.

    Raises: ShapeError if the shapes differ.

    See: Kullback & Leibler (1951), "On information and sufficiency".

    >>> import numpy as np
    >>> float(kl_div(np.log(np.asarray([0.5, 0.5])), np.asarray([1.0, 0.0]), reduction="sum").round(4))
    0.6931
    """
    _check("kl_div", input, target, reduction, (*REDUCTIONS, "batchmean"))
    count = size_of(input.shape)
    if reduction == "batchmean":
        reduction, count = "mean", input.shape[0] if input.ndim else 1
    return _kl_div(input, target, reduction=reduction, log_target=bool(log_target), count=count)


@primitive
def _kl_div(x, t, *, reduction, log_target, count):
    xp = namespace(x, t)
    losses = xp.exp(t) * (t - x) if log_target else t * (_log_or_zero(t) - x)
    return reduced(losses, reduction, count), (x, t)


@_kl_div.backward
def _kl_div_backward(gy, saved, needs, *, reduction, log_target, count):
    x, t = saved
    gl = share(gy, reduction, count)
    if log_target:
        gl_p = gl * namespace(gl, t).exp(t)
        return -gl_p, gl_p * (t - x + 1) if needs[1] else None
    return -gl * t, gl * (_log_or_zero(t) + 1 - x) if needs[1] else None


def _log_or_zero(t: Any) -> Any:
    """ln t, and 0 where t is 0."""
    xp = namespace(t)
    return xp.log(t + xp.astype(t == 0, t.dtype))


def _weighted(losses: Any, weight: Any, reduction: str) -> Any:
    return reduced(namespace(losses, weight).multiply(losses, weight), reduction, size_of(losses.shape))


def _check(
    subject: str, x: Any, target: Any, reduction: str, reductions: tuple[str, ...] = REDUCTIONS
) -> None:
    check_reduction(reduction, subject, reductions)
    check_floating(x, subject)
    check_same_dtype(subject, x, target=target)
    if x.shape != target.shape:
        same_size = size_of(x.shape) == size_of(target.shape)
        raise ShapeError(
            f"expects input and target of one shape, got {shape_of(x)} and {shape_of(target)}",
            subject=subject,
            hint=f"Did you mean target.reshape{shape_of(x)}?" if same_size else "",
        )


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
