"""Batch norm. Formulas and gradients stand with the functions in `functional.norm`."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor, recomputing
from xpnn.backend import asarray, namespace
from xpnn.functional.arguments import check_rank
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Buffer, Parameter, full

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _BatchNorm(Module):
    """What batch norm over sequences, images and volumes share; they differ in the rank they accept."""

    ranks: ClassVar[tuple[int, ...]]  # () is any that the function takes
    layout: ClassVar[str]
    weight: Any  # Parameters and Buffers, or None where the arguments leave them out
    bias: Any
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        shape = (num_features,)
        self.weight = Parameter(full(shape, 1.0, device, dtype)) if affine else None
        self.bias = Parameter(full(shape, 0.0, device, dtype)) if affine and bias else None
        self.running_mean = Buffer(full(shape, 0.0, device, dtype)) if track_running_stats else None
        self.running_var = Buffer(full(shape, 1.0, device, dtype)) if track_running_stats else None
        self.num_batches_tracked = Buffer(asarray(0, device=device)) if track_running_stats else None

    def reset_running_stats(self) -> None:
        """Forget the statistics: mean 0, variance 1, no batches."""
        if self.running_mean is not None:
            init.zeros_(self.running_mean)
            init.ones_(self.running_var)
            init.zeros_(self.num_batches_tracked)

    def reset_parameters(self) -> None:
        """Forget the statistics, and start from weight 1 and bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any, *, residual: Any = None, relu: bool = False) -> Tensor:
        """(N, num_features, ...) to the same; `residual` and `relu` are those of `functional.batch_norm`."""
        if self.ranks:
            check_rank(input, self.ranks, "batch_norm", self.layout)
        learns = self.training and self.running_mean is not None and not recomputing()
        by_batch = self.training or self.running_mean is None
        kept = learns or not by_batch
        return F.batch_norm(
            input,
            self.running_mean if kept else None,
            self.running_var if kept else None,
            self.weight,
            self.bias,
            training=by_batch,
            momentum=self._count_batch() if learns else 0.0,
            eps=self.eps,
            residual=residual,
            relu=relu,
        )

    def _count_batch(self) -> Any:
        """Count one more batch; returns the part that it has in the running statistics."""
        count = self.num_batches_tracked + 1
        self.num_batches_tracked.store(count.array)
        if self.momentum is not None:
            return self.momentum
        return 1.0 / namespace(count.array).astype(count.array, self.running_mean.array.dtype)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_BatchNorm):
    """Give each channel of a batch of images mean `bias` and standard deviation `weight`.

    While training with the statistics of the batch, in evaluation with the running ones; see
    `functional.batch_norm`.

    Args:
        num_features: channels.
        eps: keeps the root of the variance away from zero.
        momentum: the part of a batch in the running statistics; None gives all batches the same part.
        affine, bias: whether there are a weight and, with it, a bias.
        track_running_stats: whether there are running statistics; without them the batch's are used always.
        device, dtype: as in `Linear`.

    Attributes:
        weight, bias: (num_features,) Parameters, 1 and 0 at the start; None without `affine`.
        running_mean, running_var: (num_features,) Buffers, 0 and 1 at the start; the variance is unbiased.
        num_batches_tracked: a 0-d Buffer. None of the three is ever read on the host.

    Shapes: (N, num_features, H, W) to the same.

    Raises: ShapeError for another rank or number of channels, or for one element per channel in training.

    >>> from xpnn.autograd import xp
    >>> norm = BatchNorm2d(3)
    >>> norm(xp.ones((2, 3, 4, 4))).shape, norm.running_mean
    ((2, 3, 4, 4), tensor([0.1000, 0.1000, 0.1000]))
    """

    ranks = (4,)
    layout = "N, C, H, W"


class BatchNorm1d(_BatchNorm):
    """`BatchNorm2d` for vectors (N, C) and sequences (N, C, L).

    >>> from xpnn.autograd import tensor
    >>> BatchNorm1d(1)(tensor([[1.0], [3.0]])).shape
    (2, 1)
    """

    ranks = (2, 3)
    layout = "N, C or N, C, L"


class BatchNorm3d(_BatchNorm):
    """`BatchNorm2d` for volumes (N, C, D, H, W).

    >>> from xpnn.autograd import xp
    >>> BatchNorm3d(3)(xp.ones((1, 3, 2, 2, 2))).shape
    (1, 3, 2, 2, 2)
    """

    ranks = (5,)
    layout = "N, C, D, H, W"
