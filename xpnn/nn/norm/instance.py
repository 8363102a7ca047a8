"""Instance norm."""

from __future__ import annotations

from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import Tensor, recomputing
from xpnn.functional.arguments import check_rank
from xpnn.nn.norm.batch import _BatchNorm

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]


class _InstanceNorm(_BatchNorm):
    """What instance norm over sequences, images and volumes share; they differ in the rank they accept."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Any) -> Tensor:  # type: ignore[override]
        """(N, num_features, ...) or (num_features, ...) to the same."""
        check_rank(input, self.ranks, "instance_norm", self.layout)
        single = input.ndim == self.ranks[0]
        own = self.training or self.running_mean is None
        kept = self.running_mean is not None and (not self.training or not recomputing())
        y = F.instance_norm(
            input[None, ...] if single else input,
            self.running_mean if kept else None,
            self.running_var if kept else None,
            self.weight,
            self.bias,
            use_input_stats=own,
            momentum=0.0 if self.momentum is None else self.momentum,
            eps=self.eps,
        )
        return y[0, ...] if single else y


class InstanceNorm2d(_InstanceNorm):
    """Give each channel of each image mean 0 and variance 1; see `functional.instance_norm`.

    Args:
        num_features: channels.
        eps: keeps the root of the variance away from zero.
        momentum: the part of a batch in the running statistics.
        affine: whether there are a weight and a bias.
        track_running_stats: whether there are running statistics, which take the place of the image's own
            in evaluation.
        device, dtype: as in `Linear`.

    Attributes: as those of `BatchNorm2d`; None where the arguments leave them out, as they do by default.

    Shapes: (N, num_features, H, W) or (num_features, H, W) to the same.

    >>> from xpnn.autograd import xp
    >>> InstanceNorm2d(3)(xp.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ranks: ClassVar[tuple[int, ...]] = (3, 4)
    layout: ClassVar[str] = "N, C, H, W or C, H, W"


class InstanceNorm1d(_InstanceNorm):
    """`InstanceNorm2d` for sequences (N, C, L) or (C, L).

    >>> from xpnn.autograd import xp
    >>> InstanceNorm1d(3)(xp.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    ranks: ClassVar[tuple[int, ...]] = (2, 3)
    layout: ClassVar[str] = "N, C, L or C, L"


class InstanceNorm3d(_InstanceNorm):
    """`InstanceNorm2d` for volumes (N, C, D, H, W) or (C, D, H, W).

    >>> from xpnn.autograd import xp
    >>> InstanceNorm3d(3)(xp.ones((2, 3, 2, 2, 2))).shape
    (2, 3, 2, 2, 2)
    """

    ranks: ClassVar[tuple[int, ...]] = (4, 5)
    layout: ClassVar[str] = "N, C, D, H, W or C, D, H, W"
