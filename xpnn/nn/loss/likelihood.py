"""Negative log likelihoods."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.loss.base import Loss

__all__ = ["GaussianNLLLoss", "PoissonNLLLoss"]


class GaussianNLLLoss(Loss):
    """The negative log likelihood of Gaussian samples; see `functional.gaussian_nll_loss`.

    Args:
        full: whether ln(2 pi) / 2 is added.
        eps: the least variance.
        reduction: "mean", "sum" or "none".

    >>> from xpnn.autograd import tensor
    >>> GaussianNLLLoss()(tensor([1.0]), tensor([3.0]), tensor([1.0])).item()
    2.0
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Any, target: Any, var: Any) -> Tensor:
        """Means, samples and variances to a number."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(Loss):
    """The negative log likelihood of counts; see `functional.poisson_nll_loss`.

    Args:
        log_input: whether the input is the logarithm of the expected number.
        full: whether the part that depends on the target alone is added.
        size_average, reduce, reduction: see `Loss`.
        eps: keeps ln 0 away.

    >>> from xpnn.autograd import tensor
    >>> PoissonNLLLoss()(tensor([0.0]), tensor([2.0])).item()
    1.0
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Any, target: Any) -> Tensor:
        """Expected numbers, or their logarithms, and counts to a number."""
        return F.poisson_nll_loss(
            input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction
        )
