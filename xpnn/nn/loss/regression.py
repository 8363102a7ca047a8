"""Losses of numbers, element by element."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import Loss

__all__ = ["HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"]


class MSELoss(Loss):
    """(x - y)^2, averaged over all elements; see `functional.mse_loss`.

    Args:
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> MSELoss()(tensor([1.0, 3.0]), tensor([1.0, 1.0])).item()
    2.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(Loss):
    """|x - y|, averaged over all elements; see `functional.l1_loss`.

    Args:
        size_average, reduce, reduction: see `Loss`.

    >>> from xpnn.autograd import tensor
    >>> L1Loss()(tensor([1.0, 3.0]), tensor([1.0, 1.0])).item()
    1.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(Loss):
    """A squared error up to `delta`, and a straight line beyond; see `functional.huber_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        delta: where the one passes into the other.

    >>> from xpnn.autograd import tensor
    >>> HuberLoss()(tensor([3.0]), tensor([0.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(Loss):
    """An absolute error that is rounded below `beta`; see `functional.smooth_l1_loss`.

    Args:
        size_average, reduce, reduction: see `Loss`.
        beta: where the one passes into the other.

    >>> from xpnn.autograd import tensor
    >>> SmoothL1Loss()(tensor([3.0]), tensor([0.0])).item()
    2.5
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
