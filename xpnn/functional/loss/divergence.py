"""The Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import Array, namespace, size_of
from xpnn.functional.arguments import (
    REDUCTIONS,
)
from xpnn.functional.loss.arguments import check_losses
from xpnn.functional.loss.reduction import reduced, share

__all__ = ["kl_div"]


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
    check_losses("kl_div", input, target, reduction, (*REDUCTIONS, "batchmean"))
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
