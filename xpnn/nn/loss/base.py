"""What the losses have in common: their reduction."""

from __future__ import annotations

from typing import Any

from xpnn.functional.arguments import REDUCTIONS, check_reduction
from xpnn.functional.loss.reduction import reduction_of
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer


class Loss(Module):
    """A loss with a reduction: "none" (one number per element or sample), "mean" or "sum".

    `size_average` and `reduce` are PyTorch's old words for it: it warns of them.
    """

    reductions: tuple[str, ...] = REDUCTIONS

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        name = type(self).__name__
        reduction = reduction_of(size_average, reduce, reduction, name)
        check_reduction(reduction, name, self.reductions)
        self.reduction = reduction


class WeightedLoss(Loss):
    """A loss with weights, which are a buffer."""

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.weight = None if weight is None else Buffer(weight)
