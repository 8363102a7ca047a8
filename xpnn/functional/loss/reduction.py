"""From the losses of single elements to one number, and back from its gradient."""

from __future__ import annotations

from math import nan
from typing import Any

from xpnn.backend import namespace


def reduced(losses: Any, reduction: str, count: Any) -> Any:
    """The losses themselves ("none"), their sum, or their sum over `count` ("mean").

    Args:
        losses: an array.
        count: what the mean divides by, a number or a 0-d array.

    >>> import numpy as np
    >>> float(reduced(np.asarray([1.0, 3.0]), "mean", 2))
    2.0
    """
    if reduction == "none":
        return losses
    total = namespace(losses).sum(losses)
    if reduction == "sum":
        return total
    return _average(total, count)


def share(gy: Any, reduction: str, count: Any) -> Any:
    """The gradient into each loss, when `gy` is the one into what `reduced` returned.

    Where nothing was counted it is not divided: no loss has a part in the mean, so that the gradients are 0
    (as in PyTorch) although the mean itself is NaN.
    """
    if reduction != "mean":
        return gy
    if isinstance(count, int):
        return gy / (count or 1)
    xp = namespace(count)
    return gy / xp.where(count == 0, xp.ones_like(count), count)


def _average(total: Any, count: Any) -> Any:
    """total / count; NaN, as in PyTorch, but without a warning, where nothing was counted."""
    if isinstance(count, int):
        return total / count if count else total * nan
    xp = namespace(count)
    return total / xp.where(count == 0, xp.full_like(count, nan), count)
