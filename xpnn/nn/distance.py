"""Distances and similarities of vectors as modules."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.nn.module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


class PairwiseDistance(Module):
    """The distance of each vector from its partner; see `functional.pairwise_distance`.

    Args:
        p: the order of the norm.
        eps: is added to each difference.
        keepdim: whether the last axis stays, with size 1.

    >>> from xpnn.autograd import tensor
    >>> round(PairwiseDistance()(tensor([[3.0, 4.0]]), tensor([[0.0, 0.0]])).item(), 4)
    5.0
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """Two arrays (N, D) to (N,)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """The cosine of the angle between vectors; see `functional.cosine_similarity`.

    Args:
        dim: the axis along which a vector lies.
        eps: the least length that is divided by.

    >>> from xpnn.autograd import tensor
    >>> round(CosineSimilarity()(tensor([[1.0, 0.0]]), tensor([[1.0, 1.0]])).item(), 4)
    0.7071
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Any, x2: Any) -> Tensor:
        """Two arrays of one shape to one without the axis `dim`."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)
