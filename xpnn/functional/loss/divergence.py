"""The Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import Array, ArrayT
from xpnn.functional.arguments import REDUCTIONS, check_flags
from xpnn.functional.loss.elementwise import ElementwiseLoss

__all__ = ["kl_div"]


def kl_div(
    input: ArrayT, target: Array | Tensor, *, reduction: str = "mean", log_target: bool = False
) -> ArrayT:
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
    check_flags("kl_div", log_target=log_target)
    return _kl_div(input, target, reduction=reduction, log_target=log_target)


def _divergence(xp: Any, x: Any, t: Any, *, log_target: bool) -> Any:
    return xp.exp(t) * (t - x) if log_target else t * (_log_or_zero(xp, t) - x)


def _divergence_by_target(xp: Any, gl: Any, x: Any, t: Any, *, log_target: bool) -> Any:
    return gl * xp.exp(t) * (t - x + 1) if log_target else gl * (_log_or_zero(xp, t) + 1 - x)


_kl_div = ElementwiseLoss(
    "kl_div",
    value=_divergence,
    gx=lambda xp, gl, x, t, *, log_target: -gl * (xp.exp(t) if log_target else t),
    gt=_divergence_by_target,
    reductions=(*REDUCTIONS, "batchmean"),
)


def _log_or_zero(xp: Any, t: Any) -> Any:
    """ln t, and 0 where t is 0."""
    return xp.log(t + xp.astype(t == 0, t.dtype))
