"""Affine layers."""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn import init
from xpnn.nn.lazy import LazyModule
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["Identity", "LazyLinear", "Linear"]


class Linear(Module):
    """Multiply by a trained matrix and shift: y = x W^T + b; see `functional.linear` for the gradient.

    Args:
        in_features, out_features: the sizes of the last axis before and after.
        bias: whether there is a b.
        device, dtype: of the parameters; default is the current backend's device, and float32.

    Attributes:
        weight: (out_features, in_features), at the start from U(-k, k) with k = in_features^-1/2.
        bias: (out_features,), from the same distribution, or None.

    Shapes: (..., in_features) to (..., out_features).

    >>> from xpnn.autograd import tensor
    >>> Linear(3, 2)(tensor([[1.0, 2.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(full((out_features, in_features), 0.0, device, dtype))
        self.bias = Parameter(full((out_features,), 0.0, device, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        init.fan_in_bias_(self.bias, self.weight)

    def forward(self, input: Any) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return F.linear(input, self.weight, self.bias)

    def multiplications(self, input: Any, output: Any) -> int:
        """The multiply-accumulate operations of one call."""
        return math.prod(output.shape) * self.in_features

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class LazyLinear(LazyModule, Linear):
    """A `Linear` whose in_features are found at the first call.

    >>> from xpnn.autograd import xp
    >>> layer = LazyLinear(2)
    >>> layer(xp.zeros((4, 3))).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    becomes = Linear
    channel_axis = -1


class Identity(Module):
    """Gives its input back; takes any arguments, and stands where a layer has been taken out.

    >>> Identity(54)(3)
    3
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Tensor:
        """The input."""
        return input
