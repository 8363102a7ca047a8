"""Shapes: many axes into one, and one into many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import ShapeError, namespace
from xpnn.functional.arguments import axis_of
from xpnn.nn.module import Module

__all__ = ["Flatten", "Unflatten"]


class Flatten(Module):
    """Make the axes `start_dim` to `end_dim`, both included, one axis.

    >>> from xpnn.autograd import xp
    >>> Flatten()(xp.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Tensor:
        """(N, ...) to (N, features) with the defaults."""
        shape = tuple(input.shape)
        start = axis_of(self.start_dim, len(shape), "Flatten", "start_dim")
        end = axis_of(self.end_dim, len(shape), "Flatten", "end_dim")
        if start > end:
            raise ShapeError(
                f"expects start_dim not behind end_dim, got {self.start_dim} and {self.end_dim} "
                f"for an input of shape {shape}",
                subject="Flatten",
            )
        flat = math.prod(shape[start : end + 1])
        return namespace(input).reshape(input, (*shape[:start], flat, *shape[end + 1 :]))

    def extra_repr(self) -> str:
        """The arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make the axis `dim` several, of the sizes `unflattened_size`, one of which may be -1.

    >>> from xpnn.autograd import xp
    >>> Unflatten(1, (3, -1))(xp.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Any) -> Tensor:
        """(..., D, ...) to (..., *unflattened_size, ...)."""
        shape = tuple(input.shape)
        axis = axis_of(self.dim, len(shape), "Unflatten")
        sizes = self.unflattened_size
        known = -math.prod(sizes) if -1 in sizes else math.prod(sizes)
        if -1 in sizes and known > 0 and shape[axis] % known == 0:
            sizes = tuple(shape[axis] // known if size == -1 else size for size in sizes)
        if math.prod(sizes) != shape[axis]:
            raise ShapeError(
                f"expects an axis {self.dim} that divides into {self.unflattened_size}, "
                f"got an input of shape {shape}",
                subject="Unflatten",
            )
        return namespace(input).reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
