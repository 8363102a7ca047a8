"""Losses of classification."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import WeightedLoss

__all__ = ["CrossEntropyLoss", "NLLLoss"]


class CrossEntropyLoss(WeightedLoss):
    """-sum_c q_c ln softmax(x)_c for scores x and labels or distributions q; see `functional.cross_entropy`.

    Args:
        weight: (C,), a factor for each class.
        size_average, reduce, reduction: see `Loss`.
        ignore_index: labels of this value cost nothing.
        label_smoothing: the part of q that is spread evenly over all classes.

    >>> from xpnn.autograd import tensor
    >>> round(CrossEntropyLoss()(tensor([[0.0, 0.0]]), tensor([1])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores (N, C, ...) and labels (N, ...) or distributions (N, C, ...) to a number."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(WeightedLoss):
    """Minus the log probability of the label; see `functional.nll_loss`.

    Args:
        weight, size_average, ignore_index, reduce, reduction: as in `CrossEntropyLoss`.

    >>> from xpnn.autograd import tensor
    >>> NLLLoss()(tensor([[-1.0, -2.0]]), tensor([1])).item()
    2.0
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log probabilities (N, C, ...) and labels (N, ...) to a number."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )
