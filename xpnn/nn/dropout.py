"""Dropout: modules that set a random part to zero while training, and nothing in evaluation."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor
from xpnn.functional.arguments import check_probability
from xpnn.nn.module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


class Dropout(Module):
    """In training, set each element to zero with probability p and scale the rest by 1 / (1 - p).

    The masks come from `xpnn.random.default_stream()`, the same on every backend; see `functional.dropout`.

    Args:
        p: the probability of a zero.
        inplace: is taken for PyTorch's sake and changes nothing.

    Raises: ArgumentError unless 0 <= p <= 1.

    >>> from xpnn.autograd import tensor
    >>> Dropout(0.5).eval()(tensor([1.0, 2.0]))
    tensor([1., 2.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        check_probability(p, type(self).__name__)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Tensor:
        """Any shape to the same."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    """`Dropout` of whole channels of sequences (N, C, L).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout1d()(xp.ones((1, 1, 9))).reshape(9).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, L) or (C, L) to the same."""
        return F.dropout1d(input, self.p, self.training)


class Dropout2d(Dropout):
    """`Dropout` of whole channels of images (N, C, H, W).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout2d()(xp.ones((1, 1, 3, 3))).reshape(9).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, H, W) or (C, H, W) to the same."""
        return F.dropout2d(input, self.p, self.training)


class Dropout3d(Dropout):
    """`Dropout` of whole channels of volumes (N, C, D, H, W).

    >>> from xpnn.autograd import xp
    >>> len(set(Dropout3d()(xp.ones((1, 1, 2, 2, 2))).reshape(8).tolist()))
    1
    """

    def forward(self, input: Any) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to the same."""
        return F.dropout3d(input, self.p, self.training)
