"""Affine layers."""

from __future__ import annotations

import math
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError
from xpnn.nn import init
from xpnn.nn.lazy import LazyModule
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["Bilinear", "Identity", "LazyLinear", "Linear"]


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


class Bilinear(Module):
    """Weighed products of all pairs of features of two inputs; see `functional.bilinear`.

    Args:
        in1_features, in2_features: the sizes of the last axes of the inputs.
        out_features: the size of the last axis of the output.
        bias: whether there is a b.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (out_features, in1_features, in2_features), at the start from U(-k, k) with
            k = in1_features^-1/2.
        bias: (out_features,), from the same distribution, or None.

    Shapes: (..., in1_features) and (..., in2_features) to (..., out_features).

    >>> from xpnn.autograd import xp
    >>> Bilinear(2, 3, 4)(xp.zeros((5, 2)), xp.zeros((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if in1_features < 1:
            raise ArgumentError(f"expects in1_features of at least 1, got {in1_features}", subject="Bilinear")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(full((out_features, in1_features, in2_features), 0.0, device, dtype))
        self.bias = Parameter(full((out_features,), 0.0, device, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Tensor:
        """(..., in1_features) and (..., in2_features) to (..., out_features)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


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
