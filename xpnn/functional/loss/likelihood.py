"""Negative log likelihoods: the loss that belongs to what an output is thought to be the mean of.

| output                 | likelihood | loss                                                         |
|------------------------|------------|--------------------------------------------------------------|
| any number             | Gaussian   | `mse_loss` for one variance, `gaussian_nll_loss` for several |
| a rate, or its ln      | Poisson    | `poisson_nll_loss`                                           |
| the probability of yes | Bernoulli  | `binary_cross_entropy`, of scores `..._with_logits`          |
| class probabilities    | categorical| `cross_entropy` of scores, `nll_loss` of logarithms          |
| any number             | Laplace    | `l1_loss`                                                    |

`reduction`, `size_average` and `reduce` are those of the regression losses.
"""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    cheap_to_read,
    concrete,
    extremes,
    is_array,
    is_tensor,
    namespace,
    size_of,
)
from xpnn.functional.activation.pointwise import at_least
from xpnn.functional.arguments import (
    alike,
    check_eps,
    check_flags,
    check_floating,
    check_reduction,
    check_same_dtype,
    number,
    raw_array,
    shape_of,
)
from xpnn.functional.loss.elementwise import ElementwiseLoss, as_floating, of_one_shape
from xpnn.functional.loss.reduction import loss, reduced

__all__ = ["gaussian_nll_loss", "poisson_nll_loss"]


@half_in_float32
def gaussian_nll_loss(
    input: ArrayT,
    target: Array | Tensor,
    var: Array | Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> ArrayT:
    """The negative log likelihood of Gaussian samples.

    l = (ln v + (x - t)^2 / v) / 2 with v = max(var, eps).

    Backward: gx = gl (x - t) / v, gt = -gx, gvar = gl (1 - (x - t)^2 / v) / (2 v),
    as if nothing were cut off.

    Args:
        input: the means, floating, any shape.
        target: the samples, shaped as the input.
        var: the variances: a number, or an array shaped as the input, or with one axis of size 1, or without
            the last axis.
        full: whether ln(2 pi) / 2 is added.
        eps: the least variance.
        reduction: see the module.

    Raises: ShapeError if the shapes do not fit; ArgumentError for a negative variance (which is not looked at
    on a GPU or under `jax.jit`).

    See: Nix & Weigend (1994), "Estimating the mean and variance of the target probability distribution".

    >>> import numpy as np
    >>> x, t = np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])
    >>> gaussian_nll_loss(x, t, np.asarray([1.0, 2.0]), reduction="none").round(4).tolist()
    [0.0, 1.3466]
    """
    subject = "gaussian_nll_loss"
    check_flags(subject, full=full)
    eps = check_eps(eps, subject)
    check_reduction(reduction, subject)
    check_floating(input, subject)
    target = as_floating(target, input)
    if is_array(var) or is_tensor(var):
        check_same_dtype(subject, input, target=target, var=var)
        var = _along_input(var, input, subject)
    else:
        check_same_dtype(subject, input, target=target)
        var = namespace(input).full_like(input, number(var, "var", subject))
    _check_not_negative(var, subject)
    if input.shape != target.shape:
        input, target = of_one_shape(subject, input, target)
    x, t, variance = alike(input, target, at_least(var, eps))
    losses = (ops.log(variance) + ops.square(x - t) / variance) / 2
    return reduced(losses + math.log(2 * math.pi) / 2 if full else losses, reduction)


def _along_input(var: Any, x: Any, subject: str) -> Any:
    """Variances as they broadcast against the input."""
    shape, wanted = shape_of(var), shape_of(x)
    if shape == wanted[:-1] and shape != wanted:
        return ops.expand_dims(var, axis=-1)
    apart = [size for size, other in zip(shape, wanted) if size != other]
    if len(shape) != len(wanted) or apart not in ([], [1]):
        raise ShapeError(
            f"expects var of shape {wanted}, or with one axis of size 1, or without the last, got {shape}",
            subject=subject,
        )
    return var


def _check_not_negative(var: Any, subject: str) -> None:
    raw = raw_array(var)
    if size_of(raw.shape) and concrete(raw) and cheap_to_read(raw):
        low, _ = extremes(raw)
        if low < 0:
            raise ArgumentError(f"expects variances of at least 0, got {low}", subject=subject)


@loss
def poisson_nll_loss(
    input: ArrayT,
    target: Array | Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> ArrayT:
    """The negative log likelihood of counts, of which the input is the expected number or its logarithm.

    l = e^x - t x of a logarithm x, x - t ln(x + eps) of a number. `full` adds what ln t! is about, by
    Stirling's formula, where t > 1: t ln t - t + ln(2 pi t) / 2.

    Backward: gx = gl (e^x - t), gt = -gl x; or gx = gl (1 - t / (x + eps)), gt = -gl ln(x + eps). `full` adds
    gl (ln t + 1 / (2 t)) to gt where t > 1.

    Args:
        input: floating, any shape.
        target: counts, shaped as the input.
        log_input: whether the input is the logarithm of the expected number.
        full: whether the part that depends on the target alone is added.
        eps: keeps ln 0 away.
        size_average, reduce, reduction: see the module.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> poisson_nll_loss(np.asarray([0.0, 1.0]), np.asarray([1, 2]), reduction="none").round(4).tolist()
    [1.0, 0.7183]
    """
    check_flags("poisson_nll_loss", log_input=log_input, full=full)
    eps = number(eps, "eps", "poisson_nll_loss")
    return _poisson(input, target, log_input=log_input, full=full, eps=eps, reduction=reduction)


def _of_counts(xp: Any, x: Any, t: Any, *, log_input: bool, full: bool, eps: float) -> Any:
    losses = xp.exp(x) - t * x if log_input else x - t * xp.log(x + eps)
    if full:
        above = _above_one(xp, t)
        losses = losses + select(t > 1, above * xp.log(above) - above + xp.log(2 * math.pi * above) / 2)
    return losses


def _of_counts_by_input(xp: Any, gl: Any, x: Any, t: Any, *, log_input: bool, full: bool, eps: float) -> Any:
    return gl * (xp.exp(x) - t if log_input else 1 - t / (x + eps))


def _of_counts_by_target(xp: Any, gl: Any, x: Any, t: Any, *, log_input: bool, full: bool, eps: float) -> Any:
    gt = -gl * (x if log_input else xp.log(x + eps))
    above = _above_one(xp, t)
    return gt + gl * select(t > 1, xp.log(above) + 0.5 / above) if full else gt


_poisson = ElementwiseLoss(
    "poisson_nll_loss", value=_of_counts, gx=_of_counts_by_input, gt=_of_counts_by_target
)


def _above_one(xp: Any, t: Any) -> Any:
    """t where it is above 1, else 1."""
    return xp.maximum(t, xp.ones_like(t))
