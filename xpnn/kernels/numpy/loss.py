"""Cross entropy of class numbers in NumPy: softmax and loss in one pass over the scores.

Nothing is made of the labels but an index: a one-hot array, and products with it, are as large as the scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.activation.softmax import EXPONENTIAL, below_largest
from xpnn.kernels.numpy.chunks import by_rows
from xpnn.kernels.numpy.constants import even_shares, ones, row_starts

# Losses whose mean is a product with numbers that are kept, rather than a sum and a quotient.
_FEW = 4096

Loss = tuple[Any, tuple]


def plain_labels(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    kept: np.ndarray | None,
    *,
    axis: int,
    reduction: str,
    label_smoothing: float = 0.0,
) -> bool:
    """(N, C) scores, and one class number of weight 1 for each."""
    plain = weight is None and kept is None and not label_smoothing
    return plain and x.ndim == 2 and target.ndim == 1 and x.size > 0


@kernel("numpy", "cross_entropy", when=plain_labels)
def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: None, kept: None, *, reduction: str, **options: Any
) -> Loss:
    """The reference's `_cross_entropy`; it keeps the exponentials, not divided yet, and their sums."""
    x = np.ascontiguousarray(x)
    count, classes = x.shape
    powers, losses = np.empty_like(x), np.empty(count, dtype=x.dtype)
    sums = np.empty(count, dtype=x.dtype)
    units = ones(classes, x.dtype)

    def evaluate(
        x: np.ndarray, target: np.ndarray, z: np.ndarray, sums: np.ndarray, losses: np.ndarray
    ) -> None:
        below_largest(x, z)
        of_target = z.take(row_starts(*z.shape) + target)
        np.exp(z, out=z)
        np.log(z.dot(units, sums), out=losses)
        losses -= of_target

    by_rows(evaluate, 3 + EXPONENTIAL, x, target, powers, sums, losses)
    return reduced(losses, reduction), (powers, sums, target)


@cross_entropy.backward
def _cross_entropy_backward(
    gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, **options: Any
) -> tuple:
    """gx = gl softmax(x), less gl at the target."""
    powers, sums, target = saved
    share = _share(gy, reduction, len(sums))
    gx = np.empty_like(powers)
    by_rows(_scale_rows, 2, powers, share / sums, gx)
    gx.reshape(-1)[row_starts(*gx.shape) + target] -= share
    return gx, None, None, None


def _scale_rows(rows: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    np.multiply(rows, factors[:, None], out=out)


@kernel("numpy", "nll_loss", when=plain_labels)
def nll_loss(
    x: np.ndarray, target: np.ndarray, weight: None, kept: None, *, reduction: str, **options: Any
) -> Loss:
    """The reference's `_nll_loss`."""
    losses = -x[np.arange(len(x)), target]
    return reduced(losses, reduction), (target, x.shape[1])


@nll_loss.backward
def _nll_loss_backward(
    gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, **options: Any
) -> tuple:
    target, classes = saved
    gx = np.zeros((len(target), classes), dtype=gy.dtype)
    gx[np.arange(len(target)), target] = -_share(gy, reduction, len(target))
    return gx, None, None, None


def reduced(losses: np.ndarray, reduction: str) -> Any:
    """The losses, their sum or their mean."""
    if reduction == "none":
        return losses
    count, kind = len(losses), losses.dtype
    if count <= _FEW:
        weights = ones(count, kind) if reduction == "sum" else even_shares(count, kind)
        result = np.empty((), dtype=kind)  # an array: the scalar that it returns would be made one
        losses.dot(weights, out=result)
        return result
    total = np.add.reduce(losses)
    return total if reduction == "sum" else total / kind.type(count)


def _share(gy: Any, reduction: str, count: int) -> Any:
    """The gradient of each loss."""
    return gy / gy.dtype.type(count) if reduction == "mean" else gy
