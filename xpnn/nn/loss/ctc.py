"""Connectionist temporal classification."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import Loss

__all__ = ["CTCLoss"]


class CTCLoss(Loss):
    """How unlikely a sequence of labels is, however it lies in time; see `functional.ctc_loss`.

    Args:
        blank: the class that stands for no label.
        reduction: "mean", "sum" or "none".
        zero_infinity: whether infinite losses are 0.

    >>> from xpnn.autograd import tensor
    >>> log_probs = tensor([[[0.5, 0.5]], [[0.5, 0.5]]]).log()
    >>> round(CTCLoss()(log_probs, tensor([[1]]), (2,), (1,)).item(), 4)
    0.2877
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any) -> Tensor:
        """Log-probabilities (T, N, C), labels (N, S) and the lengths of both to a number."""
        return F.ctc_loss(
            log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity
        )
