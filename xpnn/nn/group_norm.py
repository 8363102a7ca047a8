"""Normalisation without a batch. Formulas and gradients stand with the functions in `functional`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from xpnn import functional as F
from xpnn.autograd import recomputing
from xpnn.backend import ArgumentError
from xpnn.functional.arguments import check_rank
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.norm import _BatchNorm
from xpnn.nn.parameter import Parameter, full


class GroupNorm(Module):
    """Give each group of channels of each sample mean 0 and variance 1, then scale and shift each channel.

    See `functional.group_norm`.

    Args:
        num_groups: divides num_channels.
        num_channels: C.
        eps: keeps the root of the variance away from zero.
        affine: whether there are a weight and a bias.
        device, dtype: as in `Linear`.

    Attributes:
        weight, bias: (num_channels,) Parameters, 1 and 0 at the start; None without `affine`.

    Shapes: (N, num_channels, ...) to the same.

    Raises: ArgumentError if num_groups does not divide num_channels.

    >>> from xpnn.autograd import xp
    >>> GroupNorm(2, 4)(xp.ones((1, 4, 3, 3))).shape
    (1, 4, 3, 3)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(
                f"expects num_groups that divides num_channels={num_channels}, got {num_groups}",
                subject="GroupNorm",
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.weight = Parameter(full((num_channels,), 1.0, device, dtype)) if affine else None
        self.bias = Parameter(full((num_channels,), 0.0, device, dtype)) if affine else None

    def reset_parameters(self) -> None:
        """Start from weight 1 and bias 0."""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Any:
        """(N, num_channels, ...) to the same."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


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
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Any) -> Any:
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


class RMSNorm(Module):
    """Divide each sample by its root mean square over the last axes, then scale each feature.

    See `functional.rms_norm`.

    Args:
        normalized_shape: the sizes of the axes that are normalised; a number for the last one.
        eps: keeps the root away from zero; None is the distance from 1 to the next number of the dtype.
        elementwise_affine: whether there is a weight.
        device, dtype: as in `Linear`.

    Shapes: (..., *normalized_shape) to the same.

    >>> from xpnn.autograd import tensor
    >>> RMSNorm(2)(tensor([[1.0, 1.0]])).tolist()
    [[1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(full(shape, 1.0, device, dtype)) if elementwise_affine else None

    def reset_parameters(self) -> None:
        """Start from weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Any) -> Any:
        """(..., *normalized_shape) to the same."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
