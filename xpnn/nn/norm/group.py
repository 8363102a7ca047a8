"""Group norm. Formulas and gradients stand with the functions in `functional`."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["GroupNorm"]


class GroupNorm(Module):
    """Give each group of channels of each sample mean 0 and variance 1, then scale and shift each channel.

    See `functional.group_norm`.

    Args:
        num_groups: divides num_channels.
        num_channels: C.
        eps: keeps the root of the variance away from zero.
        affine, bias: whether there are a weight and, with it, a bias.
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
        *,
        bias: bool = True,
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
        self.bias = Parameter(full((num_channels,), 0.0, device, dtype)) if affine and bias else None

    def reset_parameters(self) -> None:
        """Start from weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Tensor:
        """(N, num_channels, ...) to the same."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
