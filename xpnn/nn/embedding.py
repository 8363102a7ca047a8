"""Embedding: a trained vector for each of a number of things."""

from __future__ import annotations

from typing import Any

from xpnn import functional as F
from xpnn.autograd import Tensor, no_grad
from xpnn.backend import ArgumentError
from xpnn.nn import init
from xpnn.nn.module import Module
from xpnn.nn.parameter import Parameter, full

__all__ = ["Embedding"]


class Embedding(Module):
    """Look up rows of a trained table; see `functional.embedding` for the gradient.

    Args:
        num_embeddings: the rows of the table.
        embedding_dim: the length of a row.
        padding_idx: the row that starts as zeros and is never trained; a negative one counts from the end.
        device, dtype: as in `Linear`.

    Attributes:
        weight: (num_embeddings, embedding_dim), at the start from N(0, 1).

    Shapes: integers (...) to (..., embedding_dim).

    Raises: ArgumentError for a padding_idx outside of the table.

    >>> from xpnn.autograd import tensor
    >>> Embedding(10, 3)(tensor([[2, 5]])).shape
    (1, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ArgumentError(
                    f"expects padding_idx among {num_embeddings} rows, got {padding_idx}", subject="Embedding"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.weight = Parameter(full((num_embeddings, embedding_dim), 0.0, device, dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, input: Any) -> Tensor:
        """Integers (...) to (..., embedding_dim)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The arguments."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"
