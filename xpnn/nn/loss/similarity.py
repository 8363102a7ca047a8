"""Losses of vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import number
from xpnn.nn.distance import PairwiseDistance
from xpnn.nn.loss.base import Loss

__all__ = ["CosineEmbeddingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss"]


class CosineEmbeddingLoss(Loss):
    """Like vectors of one direction, unlike ones of others; see `functional.cosine_embedding_loss`.

    Args:
        margin: the cosine up to which an unlike pair costs nothing.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> loss = CosineEmbeddingLoss()
    >>> round(loss(tensor([[1.0, 0.0]]), tensor([[0.0, 2.0]]), tensor([1])).item(), 4)
    1.0
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
        """Pairs of vectors (N, D), and 1 or -1 for each, to a number."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(Loss):
    """An anchor nearer to its like than to its unlike; see `functional.triplet_margin_loss`.

    Args:
        margin: by how much nearer.
        p, eps: of the distance.
        swap: whether the positive's distance from the negative counts where it is smaller.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> a, p, n = tensor([[0.0]]), tensor([[1.0]]), tensor([[3.0]])
    >>> round(TripletMarginLoss(margin=4.0)(a, p, n).item(), 4)
    2.0
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """Triplets of vectors (N, D) to a number."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class TripletMarginWithDistanceLoss(Loss):
    """`TripletMarginLoss` with a distance of one's own; see `functional.triplet_margin_with_distance_loss`.

    Args:
        distance_function: of two arrays of vectors, a function or a module; None is `PairwiseDistance()`.
        margin: by how much nearer.
        swap: whether the positive's distance from the negative counts where it is smaller.
        reduction: "mean", "sum" or "none".

    >>> from xpnn.autograd import tensor
    >>> a, p, n = tensor([[0.0]]), tensor([[1.0]]), tensor([[3.0]])
    >>> round(TripletMarginWithDistanceLoss(margin=4.0)(a, p, n).item(), 4)
    2.0
    """

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        if not number(margin, "margin", type(self).__name__) > 0:
            raise ArgumentError(f"expects a positive margin, got {margin}", subject=type(self).__name__)
        self.distance_function = PairwiseDistance() if distance_function is None else distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Any, positive: Any, negative: Any) -> Tensor:
        """Triplets of vectors (N, D) to a number."""
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
