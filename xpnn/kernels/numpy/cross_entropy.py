"""Cross entropy of class numbers in NumPy: softmax and loss in one pass over the scores.

Nothing is made of the labels but an index: a one-hot array, and products with it, are as large as the scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.backend import kernel
from xpnn.kernels.numpy.chunks import row_chunks
from xpnn.kernels.numpy.parallel import parallel
from xpnn.kernels.numpy.softmax import EXPONENTIAL, below_largest

Loss = tuple[Any, tuple]


def _plain_labels(
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


# Of 128 samples of 10 classes: forward 12 us, backward 6; the reference 25 and 29. Of 256 samples of 10,000
# classes, on one thread: 1.5 ms and 0.2; the reference 1.6 and 3.8.
@kernel("numpy", "cross_entropy", when=_plain_labels)
def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: None, kept: None, *, reduction: str, **options: Any
) -> Loss:
    """The reference's `_cross_entropy`; it keeps the exponentials, not divided yet, and their sums."""
    count, classes = x.shape
    powers, losses = np.empty(x.shape, dtype=x.dtype), np.empty(count, dtype=x.dtype)
    sums = np.empty(count, dtype=x.dtype)
    ones = np.ones(classes, dtype=x.dtype)

    def evaluate(part: slice) -> None:
        for chunk in row_chunks(part, x):
            z = below_largest(x[chunk], powers[chunk])
            of_target = z[np.arange(len(z)), target[chunk]]
            np.exp(z, out=z)
            np.log(np.matmul(z, ones, out=sums[chunk]), out=losses[chunk])
            losses[chunk] -= of_target

    parallel(evaluate, count, (3 + EXPONENTIAL) * x.size)
    return _reduced(losses, reduction), (powers, sums, target)


@cross_entropy.backward
def _cross_entropy_backward(
    gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, **options: Any
) -> tuple:
    """gx = gl softmax(x), less gl at the target."""
    powers, sums, target = saved
    share = _share(gy, reduction, len(sums))
    factors = share / sums
    gx = np.empty_like(powers)

    def pull_back(part: slice) -> None:
        np.multiply(powers[part], factors[part, None], out=gx[part])

    parallel(pull_back, len(sums), 2 * powers.size)
    gx[np.arange(len(sums)), target] -= share
    return gx, None, None, None


@kernel("numpy", "nll_loss", when=_plain_labels)
def nll_loss(
    x: np.ndarray, target: np.ndarray, weight: None, kept: None, *, reduction: str, **options: Any
) -> Loss:
    """The reference's `_nll_loss`."""
    losses = -x[np.arange(len(x)), target]
    return _reduced(losses, reduction), (target, x.shape[1])


@nll_loss.backward
def _nll_loss_backward(
    gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, **options: Any
) -> tuple:
    target, classes = saved
    gx = np.zeros((len(target), classes), dtype=gy.dtype)
    gx[np.arange(len(target)), target] = -_share(gy, reduction, len(target))
    return gx, None, None, None


def _reduced(losses: np.ndarray, reduction: str) -> Any:
    if reduction == "none":
        return losses
    total = np.add.reduce(losses)
    return total if reduction == "sum" else total / losses.dtype.type(len(losses))


def _share(gy: Any, reduction: str, count: int) -> Any:
    """The gradient of each loss."""
    return gy / gy.dtype.type(count) if reduction == "mean" else gy
