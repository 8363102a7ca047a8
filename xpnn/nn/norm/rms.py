"""RMS norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["RMSNorm"]


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

    def forward(self, input: Any) -> Tensor:
        """(..., *normalized_shape) to the same."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
