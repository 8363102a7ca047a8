"""The Kullback-Leibler divergence."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import REDUCTIONS
from xpnn.nn.loss.base import Loss

__all__ = ["KLDivLoss"]


class KLDivLoss(Loss):
    """The divergence KL(y || x) of log probabilities x from probabilities y; see `functional.kl_div`.

    Args:
        size_average, reduce: see `Loss`.
        reduction: "batchmean" is the divergence itself, averaged over samples; or as in other losses.
        log_target: whether y are log probabilities too.

    >>> from xpnn.autograd import tensor
    >>> KLDivLoss(reduction="sum")(tensor([0.0, 0.0]), tensor([1.0, 0.0])).item()
    0.0
    """

    reductions = (*REDUCTIONS, "batchmean")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log probabilities and probabilities of one shape to a number."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
