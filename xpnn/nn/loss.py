"""Losses as modules. Formulas and gradients stand with the functions in `functional`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import check_reduction
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]


class _Loss(Module):
    """A loss with a reduction: "none" (one number per element or sample), "mean" or "sum"."""

    def __init__(self, reduction: str = "mean") -> None:
        check_reduction(reduction, type(self).__name__)
        self.reduction = reduction


class MSELoss(_Loss):
    """(x - y)^2, averaged over all elements; see `functional.mse_loss`.

    Args:
        reduction: "mean", "sum" or "none".

    >>> from xpnn.autograd import tensor
    >>> MSELoss()(tensor([1.0, 3.0]), tensor([1.0, 1.0])).item()
    2.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|x - y|, averaged over all elements; see `functional.l1_loss`.

    Args:
        reduction: "mean", "sum" or "none".

    >>> from xpnn.autograd import tensor
    >>> L1Loss()(tensor([1.0, 3.0]), tensor([1.0, 1.0])).item()
    1.0
    """

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """A squared error up to `delta`, and a straight line beyond; see `functional.huber_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        delta: where the one passes into the other.

    >>> from xpnn.autograd import tensor
    >>> HuberLoss()(tensor([3.0]), tensor([0.0])).item()
    2.5
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """An absolute error that is rounded below `beta`; see `functional.smooth_l1_loss`.

    Args:
        reduction: "mean", "sum" or "none".
        beta: where the one passes into the other.

    >>> from xpnn.autograd import tensor
    >>> SmoothL1Loss()(tensor([3.0]), tensor([0.0])).item()
    2.5
    """

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Tensor:
        """Two arrays of one shape to a number."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class CrossEntropyLoss(_Loss):
    """-sum_c q_c ln softmax(x)_c for scores x and labels or distributions q; see `functional.cross_entropy`.

    Args:
        weight: (C,), a factor for each class.
        ignore_index: labels of this value cost nothing.
        reduction: "mean", "sum" or "none".
        label_smoothing: the part of q that is spread evenly over all classes.

    >>> from xpnn.autograd import tensor
    >>> round(CrossEntropyLoss()(tensor([[0.0, 0.0]]), tensor([1])).item(), 4)
    0.6931
    """

    def __init__(
        self,
        weight: Any = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else Buffer(weight)
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


class NLLLoss(_Loss):
    """Minus the log probability of the label; see `functional.nll_loss`.

    Args:
        weight, ignore_index, reduction: as in `CrossEntropyLoss`.

    >>> from xpnn.autograd import tensor
    >>> NLLLoss()(tensor([[-1.0, -2.0]]), tensor([1])).item()
    2.0
    """

    def __init__(self, weight: Any = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else Buffer(weight)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log probabilities (N, C, ...) and labels (N, ...) to a number."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class BCEWithLogitsLoss(_Loss):
    """Binary cross entropy of sigmoid(x) with y, without overflow.

    See `functional.binary_cross_entropy_with_logits`.

    Args:
        weight: a factor for each element, broadcast.
        reduction: "mean", "sum" or "none".
        pos_weight: a factor for the positive part, broadcast.

    >>> from xpnn.autograd import tensor
    >>> round(BCEWithLogitsLoss()(tensor([0.0]), tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else Buffer(weight)
        self.pos_weight = None if pos_weight is None else Buffer(pos_weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Scores and probabilities of one shape to a number."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class BCELoss(_Loss):
    """Binary cross entropy of probabilities x with y; see `functional.binary_cross_entropy`.

    Args:
        weight: a factor for each element, broadcast.
        reduction: "mean", "sum" or "none".

    >>> from xpnn.autograd import tensor
    >>> round(BCELoss()(tensor([0.5]), tensor([1.0])).item(), 4)
    0.6931
    """

    def __init__(self, weight: Any = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else Buffer(weight)

    def forward(self, input: Any, target: Any) -> Tensor:
        """Probabilities of one shape to a number."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class KLDivLoss(Module):
    """The divergence KL(y || x) of log probabilities x from probabilities y; see `functional.kl_div`.

    Args:
        reduction: "batchmean" is the divergence itself, averaged over samples; or as in other losses.
        log_target: whether y are log probabilities too.

    >>> from xpnn.autograd import tensor
    >>> KLDivLoss("sum")(tensor([0.0, 0.0]), tensor([1.0, 0.0])).item()
    0.0
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        check_reduction(reduction, type(self).__name__, ("none", "mean", "sum", "batchmean"))
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Any, target: Any) -> Tensor:
        """Log probabilities and probabilities of one shape to a number."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
