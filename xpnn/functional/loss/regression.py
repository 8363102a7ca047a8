"""Regression losses, which compare numbers element by element.

`reduction` is the same everywhere: "none" gives the loss of each element, "sum" their sum, "mean" their mean.
In the formulas gl is the gradient into one element's loss: gy, or gy / N for the mean of N elements.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, namespace, size_of
from xpnn.functional.loss.arguments import check_losses
from xpnn.functional.loss.reduction import reduced, share

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


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
    check_losses("mse_loss", input, target, reduction)
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
    check_losses("l1_loss", input, target, reduction)
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
    check_losses("huber_loss", input, target, reduction)
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
    check_losses("smooth_l1_loss", input, target, reduction)
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
