"""Networks for sequences of tokens: one label for each, or one for each step.

See: Elman (1990), "Finding structure in time"; Jordan (1986), "Serial order".
"""

from __future__ import annotations

from typing import Any

from xpnn import nn
from xpnn.autograd import Tensor
from xpnn.autograd.functions.creation import as_tensor, full
from xpnn.backend import ArgumentError

_LAYERS = {"elman": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class _Reader(nn.Module):
    """Embedding, recurrent layers, and a linear layer."""

    def __init__(
        self,
        vocab_size: int,
        num_labels: int,
        features: int = 64,
        kind: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        padding: int | None = 0,
    ) -> None:
        subject = type(self).__name__
        if kind not in (*_LAYERS, "jordan"):
            raise ArgumentError(f"expects kind {', '.join(_LAYERS)} or jordan, got {kind!r}", subject=subject)
        self.padding = padding
        self.embedding = nn.Embedding(vocab_size, features, padding_idx=padding)
        if kind == "jordan":
            if num_layers != 1 or bidirectional:
                raise ArgumentError("expects one layer in one direction of kind 'jordan'", subject=subject)
            self.layers: nn.Module = nn.JordanRNN(features, features, features, batch_first=True)
        else:
            self.layers = _LAYERS[kind](
                features, features, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
            )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features * (1 + bidirectional), num_labels)

    def _read(self, tokens: Any) -> tuple[Tensor, Tensor]:
        """What was read at each step (N, T, E), and how many steps count (N,)."""
        tokens = as_tensor(tokens)
        if self.padding is None:
            output, _ = self.layers(self.embedding(tokens))
            return output, full(tokens.shape[:1], tokens.shape[1], device=output.device)
        lengths = (tokens != self.padding).sum(1)
        output, _ = self.layers(self.embedding(tokens), lengths=lengths)
        return output, lengths


class SequenceClassifier(_Reader):
    """One label for a sequence, from the mean of what was read: sentiment, topics.

    Args:
        vocab_size, num_labels: tokens that there are, and labels.
        features: of an embedding and of a state.
        kind: "elman", "jordan", "lstm" or "gru".
        num_layers, bidirectional, dropout: as of the recurrent layers; dropout is also before the last layer.
        padding: the token that fills up sequences at their ends; None if there is none.

    Shapes: tokens (N, T) to logits (N, num_labels).

    >>> from xpnn.autograd import xp
    >>> SequenceClassifier(5, 2, features=4)(xp.asarray([[1, 2, 0], [3, 4, 1]])).shape
    (2, 2)
    """

    def forward(self, tokens: Any) -> Tensor:
        """Tokens to the logits of the labels."""
        read, lengths = self._read(tokens)
        return self.head(self.dropout(read.sum(1) / lengths[:, None].to(read.dtype)))


class Tagger(_Reader):
    """A label for each step: slots, parts of speech. Arguments as of `SequenceClassifier`.

    Shapes: tokens (N, T) to logits (N, T, num_labels).
    """

    def forward(self, tokens: Any) -> Tensor:
        """Tokens to the logits of their labels."""
        read, _ = self._read(tokens)
        return self.head(self.dropout(read))
