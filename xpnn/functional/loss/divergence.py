"""Divergences: how far two distributions are apart."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import Array, ArrayT
from xpnn.functional.arguments import REDUCTIONS, check_flags
from xpnn.functional.loss.binary import check_probabilities, cut_log
from xpnn.functional.loss.elementwise import ElementwiseLoss
from xpnn.functional.loss.reduction import loss

__all__ = ["js_div", "kl_div"]


@loss
def kl_div(
    input: ArrayT,
    target: Array | Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
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

    Raises: ShapeError if the shapes do not broadcast.

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


def js_div(input: ArrayT, target: Array | Tensor, reduction: str = "mean") -> ArrayT:
    """The Jensen-Shannon divergence of two distributions p and q, each measured from their mean m.

    l = (p ln(p / m) + q ln(q / m)) / 2 with m = (p + q) / 2. Summed over the elements it lies between 0 and
    ln 2, and does not change when p and q are exchanged.

    Backward: gp = gl ln(p / m) / 2, gq = gl ln(q / m) / 2.

    Args:
        input, target: probabilities, not their logarithms, of one shape, floating. 0 ln 0 is 0.
        reduction: as for `kl_div`.

    Raises: ShapeError if the shapes do not broadcast; ArgumentError if a value is outside of [0, 1] or NaN
    (which is not looked at on a GPU or under `jax.jit`).

    See: Lin (1991), "Divergence measures based on the Shannon entropy".

    >>> import numpy as np
    >>> float(js_div(np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0]), reduction="sum").round(4))
    0.6931
    """
    for name, x in (("input", input), ("target", target)):
        check_probabilities(x, name, "js_div")
    return _js_div(input, target, reduction=reduction)


def _from_mean(xp: Any, x: Any, t: Any) -> Any:
    mean = (x + t) / 2
    parts = [p * (_log_or_zero(xp, p) - _log_or_zero(xp, mean)) for p in (x, t)]
    return (parts[0] + parts[1]) / 2


_js_div = ElementwiseLoss(
    "js_div",
    value=_from_mean,
    gx=lambda xp, gl, x, t: gl * (cut_log(x) - cut_log((x + t) / 2)) / 2,
    gt=lambda xp, gl, x, t: gl * (cut_log(t) - cut_log((x + t) / 2)) / 2,
    reductions=(*REDUCTIONS, "batchmean"),
)
