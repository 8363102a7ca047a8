"""Regression losses, which compare numbers element by element.

`reduction` is the same everywhere: "none" gives the loss of each element, "sum" their sum, "mean" their mean.
`size_average` and `reduce` are PyTorch's old words for it (see `reduction.loss`).
In the formulas gl is the gradient into one element's loss: gy, or gy / N for the mean of N elements.

Input and target of two shapes are broadcast, with a warning: (N,) and (N, 1) would make N x N losses.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, ops
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, is_complex, namespace
from xpnn.functional.arguments import number
from xpnn.functional.loss.elementwise import ElementwiseLoss
from xpnn.functional.loss.reduction import loss

__all__ = ["half_squared_error", "huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


@loss
def mse_loss(
    input: ArrayT,
    target: Array | Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | Tensor | None = None,
) -> ArrayT:
    """Squared error: l = (x - t)^2.

    Backward: gx = 2 gl (x - t), gt = -gx.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.
        weight: multiplies the losses; broadcasts against the input. The mean is their sum over
            that of the weights.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> float(mse_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    """
    if weight is not None and isinstance(reduction, str) and reduction == "mean":
        return _weighted_mean(input, target, weight, _mse_loss)
    return _mse_loss(input, target, weight, reduction=reduction)


_mse_loss = ElementwiseLoss(
    "mse_loss",
    value=lambda xp, x, t: xp.square(x - t),
    gx=lambda xp, gl, x, t: 2 * gl * (x - t),
)


def half_squared_error(input: ArrayT, target: Array | Tensor, reduction: str = "sum") -> ArrayT:
    """Half the squared error, summed: l = (x - t)^2 / 2, whose gradient is the difference itself.

    Backward: gx = gl (x - t), gt = -gx.

    Args:
        input, target: floating, of one shape.
        reduction: see the module; here the sum unless asked otherwise.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> float(half_squared_error(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    """
    return _half_squared_error(input, target, reduction=reduction)


_half_squared_error = ElementwiseLoss(
    "half_squared_error",
    value=lambda xp, x, t: xp.square(x - t) / 2,
    gx=lambda xp, gl, x, t: gl * (x - t),
)


@loss
def l1_loss(
    input: ArrayT,
    target: Array | Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | Tensor | None = None,
) -> ArrayT:
    """Absolute error: l = |x - t|.

    Backward: gx = gl sign(x - t), gt = -gx; 0 where x = t or one is NaN.

    Args:
        input, target: floating or complex, of one shape.
        reduction: see the module.
        weight: multiplies the losses; broadcasts against the input. The mean is their sum over
            that of the weights.

    Raises: ShapeError if the shapes do not broadcast.

    >>> import numpy as np
    >>> float(l1_loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    1.0
    """
    if is_complex(input) or is_complex(target):  # the loss of a complex error is that of its size
        input = ops.abs(input - target)  # type: ignore[assignment]
        target = namespace(input).zeros_like(input)
    if weight is not None and isinstance(reduction, str) and reduction == "mean":
        return _weighted_mean(input, target, weight, _l1_loss)
    return _l1_loss(input, target, weight, reduction=reduction)


_l1_loss = ElementwiseLoss(
    "l1_loss",
    value=lambda xp, x, t: xp.abs(x - t),
    gx=lambda xp, gl, x, t: gl * (xp.astype(x > t, x.dtype) - xp.astype(x < t, x.dtype)),
    flat=True,
)


def huber_loss(
    input: ArrayT,
    target: Array | Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Array | Tensor | None = None,
) -> ArrayT:
    """Squared error for small errors, absolute error for large ones.

    l = (x - t)^2 / 2 where |x - t| < delta, else delta (|x - t| - delta / 2).

    Backward: gx = gl (x - t) clipped to [-delta, delta] for the error, gt = -gx.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.
        delta: where one passes into the other.
        weight: multiplies the losses; broadcasts against the input. The mean is that of the products.

    Raises: ShapeError if the shapes do not broadcast; ArgumentError unless delta > 0.

    See: Huber (1964), "Robust estimation of a location parameter".

    >>> import numpy as np
    >>> huber_loss(np.asarray([1.0, 3.0]), np.zeros(2), reduction="none").tolist()
    [0.5, 2.5]
    """
    delta = number(delta, "delta", "huber_loss")
    if not delta > 0:
        raise ArgumentError(f"expects a positive delta, got {delta}", subject="huber_loss")
    return _huber_loss(input, target, weight, delta=delta, scale=1.0, reduction=reduction)


@loss
def smooth_l1_loss(
    input: ArrayT,
    target: Array | Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> ArrayT:
    """Absolute error, rounded off where it is below beta: `huber_loss` with delta = beta, over beta.

    l = (x - t)^2 / (2 beta) where |x - t| < beta, else |x - t| - beta / 2.

    Args:
        input, target: floating, of one shape.
        reduction: see the module.
        beta: where one passes into the other; 0 gives `l1_loss`.

    Raises: ShapeError if the shapes do not broadcast; ArgumentError if beta < 0.

    See: Girshick (2015), "Fast R-CNN".

    >>> import numpy as np
    >>> smooth_l1_loss(np.asarray([1.0, 3.0]), np.zeros(2), reduction="none", beta=2.0).tolist()
    [0.25, 2.0]
    """
    beta = number(beta, "beta", "smooth_l1_loss")
    if beta < 0:
        raise ArgumentError(f"expects a beta of at least 0, got {beta}", subject="smooth_l1_loss")
    if beta == 0:
        return _l1_loss(input, target, reduction=reduction)
    return _smooth_l1_loss(input, target, delta=beta, scale=1.0 / beta, reduction=reduction)


def _huber(xp: Any, x: Any, t: Any, *, delta: float, scale: float) -> Any:
    error, clipped = x - t, _clipped(xp, x - t, delta)
    # Within delta, clipped = error, and this is error^2 / 2; beyond, it is delta (|error| - delta / 2).
    return scale * clipped * (error - 0.5 * clipped)


def _huber_gradient(xp: Any, gl: Any, x: Any, t: Any, *, delta: float, scale: float) -> Any:
    return scale * gl * _clipped(xp, x - t, delta)


_huber_loss, _smooth_l1_loss = (
    ElementwiseLoss(name, _huber, _huber_gradient) for name in ("huber_loss", "smooth_l1_loss")
)


def _clipped(xp: Any, error: Any, delta: float) -> Any:
    bound = xp.full_like(error, delta)
    return xp.maximum(xp.minimum(error, bound), -bound)


@half_in_float32
def _weighted_mean(x: Any, t: Any, weight: Any, loss_of: ElementwiseLoss) -> Any:
    """The sum of the weighted losses over that of the weights."""
    total = loss_of(x, t, weight, reduction="sum")
    return total / namespace(weight).sum(ops.broadcast_to(weight, x.shape))
