"""Losses with a margin."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import Loss, WeightedLoss

__all__ = [
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "SoftMarginLoss",
]


class SoftMarginLoss(Loss):
    """ln(1 + e^(-t x)) for targets t of 1 or -1; see `functional.soft_margin_loss`.

    Args:
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> round(SoftMarginLoss()(tensor([0.0]), tensor([1.0])).item(), 4)
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores and 1 or -1, of one shape, to a number."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class HingeEmbeddingLoss(Loss):
    """Distances of like pairs, and what unlike ones lack; see `functional.hinge_embedding_loss`.

    Args:
        margin: the distance from which on an unlike pair costs nothing.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> HingeEmbeddingLoss()(tensor([0.5, 0.5]), tensor([1.0, -1.0])).item()
    0.5
    """

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Tensor:
        """Distances and 1 or -1, of one shape, to a number."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(Loss):
    """By how much the wrong one of two scores is larger; see `functional.margin_ranking_loss`.

    Args:
        margin: by how much the right one should lead.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> MarginRankingLoss()(tensor([1.0]), tensor([3.0]), tensor([1.0])).item()
    2.0
    """

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Any, input2: Any, target: Any) -> Tensor:
        """Two scores, and which should be larger, to a number."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class MultiMarginLoss(WeightedLoss):
    """The loss of the support vector machine of many classes; see `functional.multi_margin_loss`.

    Args:
        p: 1 or 2, the power of what a class lacks.
        margin: by how much the right class should lead.
        weight: (C,), a factor for each class.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> MultiMarginLoss()(tensor([[0.0, 1.0]]), tensor([0])).item()
    1.0
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.p = p
        self.margin = margin

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores (N, C) and labels (N,) to a number."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(Loss):
    """Each class of a sample should lead each other by 1; see `functional.multilabel_margin_loss`.

    Args:
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> MultiLabelMarginLoss()(tensor([[0.0, 1.0]]), tensor([[0, -1]])).item()
    1.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores and class numbers, up to the first -1, of one shape to a number."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(WeightedLoss):
    """Binary cross entropy, averaged over classes; see `functional.multilabel_soft_margin_loss`.

    Args:
        weight: (C,), a factor for each class.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> round(MultiLabelSoftMarginLoss()(tensor([[0.0, 0.0]]), tensor([[1.0, 0.0]])).item(), 4)
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores (N, C) and 1 for each class of a sample, else 0, to a number."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)
