"""Layer norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["LayerNorm"]


class LayerNorm(Module):
    """Give each sample mean 0 and variance 1 over its last axes, then scale and shift each feature.

    See `functional.layer_norm`.

    Args:
        normalized_shape: the sizes of the axes that are normalised; a number for the last one.
        eps: keeps the root of the variance away from zero.
        elementwise_affine: whether there is a weight.
        bias: whether there is a bias beside it.
        device, dtype: as in `Linear`.

    Shapes: (..., *normalized_shape) to the same.

    >>> from xpnn.autograd import tensor
    >>> LayerNorm(2)(tensor([[1.0, 3.0]])).shape
    (1, 2)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(full(shape, 1.0, device, dtype)) if elementwise_affine else None
        self.bias = Parameter(full(shape, 0.0, device, dtype)) if elementwise_affine and bias else None

    def reset_parameters(self) -> None:
        """Start from weight 1 and bias 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Any) -> Tensor:
        """(..., *normalized_shape) to the same."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )
