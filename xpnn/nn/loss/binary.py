"""Cross entropy of two classes."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import WeightedLoss
from xpnn.nn.parameter import Buffer

__all__ = ["BCELoss", "BCEWithLogitsLoss"]


class BCELoss(WeightedLoss):
    """Binary cross entropy of probabilities x with y; see `functional.binary_cross_entropy`.

    Args:
        weight: a factor for each element, broadcast.
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> round(BCELoss()(tensor([0.5]), tensor([1.0])).item(), 4)
    0.6931
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Probabilities of one shape to a number."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(WeightedLoss):
    """Binary cross entropy of sigmoid(x) with y, without overflow.

    See `functional.binary_cross_entropy_with_logits`.

    Args:
        weight: a factor for each element, broadcast.
        size_average, reduce, reduction: see `Loss`.
        pos_weight: a factor for the positive part, broadcast.

    >>> from xpnn.autograd import tensor
    >>> round(BCEWithLogitsLoss()(tensor([0.0]), tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.pos_weight = None if pos_weight is None else Buffer(pos_weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores and probabilities of one shape to a number."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
