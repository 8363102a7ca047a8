"""Losses in NumPy: cross entropy of class numbers, and losses of single elements.

Cross entropy is softmax and loss in one pass over the scores. Nothing is made of the labels but an index: a
one-hot array, and products with it, are as large as the scores. What a loss is of each element is summed up
piece by piece, and no array is made of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.backend import kernel, saves_as_reference
from xpnn.backend.formulas import LossFormula, registered_losses
from xpnn.kernels.numpy.activation.softmax import EXPONENTIAL, below_largest
from xpnn.kernels.numpy.chunks import by_rows
from xpnn.kernels.numpy.constants import even_shares, ones, row_starts
from xpnn.kernels.numpy.programs import FEW, Programs

# Losses whose mean is a product with numbers that are kept, rather than a sum and a quotient.
_FEW_LOSSES = 4096

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


def _unweighted(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None,
    kept: np.ndarray | None,
    *,
    axis: int,
    reduction: str,
) -> bool:
    """(N, C) scores or (N, C, d1, ...), and class numbers of weight 1."""
    return weight is None and kept is None and axis == 1 and x.size > 0


@kernel("numpy", "nll_loss", when=_unweighted)
def nll_loss(
    x: np.ndarray, target: np.ndarray, weight: None, kept: None, *, axis: int, reduction: str
) -> Loss:
    """The reference's `_nll_loss`, by the numbers that the labels' scores have among all."""
    count, classes, *space = x.shape
    cells = math.prod(space)
    places = target.astype(np.intp).reshape(count, cells)
    places *= cells
    places += row_starts(count, classes * cells)[:, None]
    if cells > 1:
        places += np.arange(cells)
    flat = places.reshape(-1)
    losses = np.negative(np.ascontiguousarray(x).reshape(-1).take(flat))
    loss = losses.reshape(target.shape) if reduction == "none" else reduced(losses, reduction)
    return loss, (flat, x.shape)


@nll_loss.backward
def _nll_loss_backward(gy: Any, saved: tuple, needs: tuple[bool, ...], *, axis: int, reduction: str) -> tuple:
    places, shape = saved
    gx = np.zeros(shape, dtype=gy.dtype)
    gx.reshape(-1)[places] = -_share(gy, reduction, len(places)).reshape(-1)
    return gx, None, None, None


def reduced(losses: np.ndarray, reduction: str) -> Any:
    """The losses, their sum or their mean."""
    if reduction == "none":
        return losses
    count, kind = len(losses), losses.dtype
    if count <= _FEW_LOSSES:
        weights = ones(count, kind) if reduction == "sum" else even_shares(count, kind)
        result = np.empty((), dtype=kind)  # an array: the scalar that it returns would be made one
        losses.dot(weights, out=result)
        return result
    total = np.add.reduce(losses)
    return total if reduction == "sum" else total / kind.type(count)


def _share(gy: Any, reduction: str, count: int) -> Any:
    """The gradient of each loss."""
    return gy / gy.dtype.type(count) if reduction == "mean" else gy


def _register_elementwise(formula: LossFormula) -> None:
    """The kernel of a loss of single elements that is written from its value and its gradients."""
    absent = "-" * formula.others
    gradients = [gradient for gradient in (formula.gx, formula.gt) if gradient]
    by_number, by_array = (
        Programs((formula.value, f"aa{absent}"), *((gradient, f"{kind}aa{absent}") for gradient in gradients))
        for kind in "na"
    )

    def when(
        x: np.ndarray, t: np.ndarray, weight: Any, *others: Any, reduction: str, count: int, **options: Any
    ) -> bool:
        if (
            x.size <= FEW
            or x.dtype.char not in "fd"
            or weight is not None
            or others.count(None) < len(others)
        ):
            return False
        return (by_array if reduction == "none" else by_number).find(x.dtype, options) is not None

    @kernel("numpy", formula.name, when=when)
    def forward(
        x: np.ndarray, t: np.ndarray, weight: None, *others: None, reduction: str, count: int, **options: Any
    ) -> Loss:
        saved = (x, t, weight, *others)
        if reduction == "none":
            return by_array.find(x.dtype, options)[0](x, t), saved
        total = by_number.find(x.dtype, options)[0].sum(x, t)
        return total if reduction == "sum" else np.asarray(total / count, dtype=x.dtype), saved

    @forward.backward
    @saves_as_reference
    def backward(
        gy: Any, saved: tuple, needs: tuple[bool, ...], *, reduction: str, count: int, **options: Any
    ) -> tuple:
        x, t, *others = saved
        _, of_x, *of_t = (by_array if reduction == "none" else by_number).find(x.dtype, options)
        gl = np.asarray(gy / count, dtype=x.dtype) if reduction == "mean" else gy
        gx: Any = None
        gt: Any = None
        if needs[0] or not of_t:
            gx = of_x(gl, x, t)
        if needs[1]:
            gt = of_t[0](gl, x, t) if of_t else np.negative(gx)
        return gx if needs[0] else None, gt, *[None] * len(others)


for _formula in registered_losses():
    _register_elementwise(_formula)
