"""Sequence to sequence: an encoder, a decoder that looks back at it by attention, and beam search.

See: Bahdanau, Cho & Bengio (2015), "Neural machine translation by jointly learning to align and translate";
Luong, Pham & Manning (2015), "Effective approaches to attention-based neural machine translation".
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad, xp
from xpnn.autograd.functions.creation import arange, as_tensor
from xpnn.autograd.functions.creation import full as filled
from xpnn.autograd.functions.sorting import topk
from xpnn.backend import ArgumentError


class AdditiveAttention(nn.Module):
    """Bahdanau's scores: v . tanh(W query + U key)."""

    def __init__(self, features: int) -> None:
        self.query = nn.Linear(features, features, bias=False)
        self.key = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)

    def forward(self, query: Any, keys: Any) -> Tensor:
        """(N, E) and (N, S, E) to scores (N, S)."""
        return self.score((self.query(query)[:, None] + self.key(keys)).tanh())[..., 0]


class DotAttention(nn.Module):
    """Luong's general scores: query . W key."""

    def __init__(self, features: int) -> None:
        self.key = nn.Linear(features, features, bias=False)

    def forward(self, query: Any, keys: Any) -> Tensor:
        """(N, E) and (N, S, E) to scores (N, S)."""
        return (self.key(keys) @ query[:, :, None])[..., 0]


_ATTENTIONS = {"additive": AdditiveAttention, "dot": DotAttention}


class Translation(NamedTuple):
    """Tokens (N, L) without the start, the log probability of each sequence (N,), and weights (N, L, S)."""

    tokens: Tensor
    log_probability: Tensor
    attention: Tensor


class Seq2Seq(nn.Module):
    """A bidirectional GRU reads, a GRU cell with attention writes.

    Args:
        vocab_size: tokens of both sides.
        features: of an embedding, and of the decoder's state; even.
        attention: "additive" or "dot".
        padding, start, end: the tokens of that meaning.

    Shapes: sources (N, S) and targets (N, T) to the logits of the token behind each of a target's,
    (N, T, vocab_size).

    Raises: ArgumentError for another attention, or features that are odd.
    """

    def __init__(
        self,
        vocab_size: int,
        features: int = 64,
        attention: str = "additive",
        padding: int = 0,
        start: int = 1,
        end: int = 2,
    ) -> None:
        if attention not in _ATTENTIONS:
            raise ArgumentError(
                f"expects attention 'additive' or 'dot', got {attention!r}", subject="Seq2Seq"
            )
        if features % 2:
            raise ArgumentError(f"expects an even number of features, got {features}", subject="Seq2Seq")
        self.padding, self.start, self.end = padding, start, end
        self.embedding = nn.Embedding(vocab_size, features, padding_idx=padding)
        self.encoder = nn.GRU(features, features // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(features, features)
        self.cell = nn.GRUCell(2 * features, features)
        self.attention = _ATTENTIONS[attention](features)
        self.head = nn.Linear(2 * features, vocab_size)

    def encode(self, sources: Any) -> tuple[Tensor, Tensor, Tensor]:
        """What was read at each step (N, S, E), which steps count (N, S), and the decoder's first state."""
        sources = as_tensor(sources)
        seen = sources != self.padding
        memory, last = self.encoder(self.embedding(sources), lengths=seen.sum(1))
        both = xp.concat([last[0], last[1]], axis=1)
        return memory, seen, self.bridge(both).tanh()

    def step(self, tokens: Any, state: Any, memory: Any, seen: Any) -> tuple[Tensor, Tensor, Tensor]:
        """One step of the decoder: the logits (N, V), the next state (N, E), the weights (N, S)."""
        scores = self.attention(state, memory).masked_fill(~seen, -math.inf)
        weights = F.softmax(scores, -1)
        context = (weights[:, None] @ memory)[:, 0]
        state = self.cell(xp.concat([self.embedding(tokens), context], axis=1), state)
        return self.head(xp.concat([state, context], axis=1)), state, weights

    def forward(self, sources: Any, targets: Any) -> Tensor:
        """The logits behind each token of the targets, which are fed as they are ("teacher forcing")."""
        memory, seen, state = self.encode(sources)
        targets = as_tensor(targets)
        logits = []
        for t in range(targets.shape[1]):
            scores, state, _ = self.step(targets[:, t], state, memory, seen)
            logits.append(scores)
        return xp.stack(logits, axis=1)

    def loss(self, sources: Any, targets: Any) -> Tensor:
        """The cross entropy of each target's tokens behind the first; padding does not count."""
        targets = as_tensor(targets)
        logits = self(sources, targets[:, :-1])
        return F.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets[:, 1:].reshape(-1), ignore_index=self.padding
        )

    def translate(self, sources: Any, max_length: int, beams: int = 1) -> Translation:
        """The likeliest targets that a beam search finds.

        Args:
            sources: (N, S).
            max_length: steps at most, with the end.
            beams: how many beginnings of each are followed; 1 takes the best token each time.

        Behind its end a sequence is padding. Of the beginnings that are kept, those that have ended stay as
        they are.

        Raises: ArgumentError unless there is a beam.
        """
        if beams < 1:
            raise ArgumentError(f"expects at least one beam, got {beams}", subject="Seq2Seq.translate")
        with no_grad():
            memory, seen, state = (part.repeat_interleave(beams, dim=0) for part in self.encode(sources))
            count, size = sources.shape[0], self.embedding.weight.shape[0]
            place = {"dtype": xp.int64, "device": memory.device}
            rows = arange(count, device=memory.device)[:, None] * beams
            tokens = filled((count * beams, 1), self.start, **place)
            # all beams of a sequence are alike at first: only one counts
            total = filled((count, beams), -math.inf, dtype=memory.dtype, device=memory.device)
            total[:, 0] = 0.0
            ended = tokens[:, 0] == self.end
            attention: list[Any] = []
            only_padding = filled((size,), -math.inf, dtype=memory.dtype, device=memory.device)
            only_padding[self.padding] = 0.0
            for _ in range(max_length):
                logits, state, weights = self.step(tokens[:, -1], state, memory, seen)
                steps = xp.where(ended[:, None], only_padding, F.log_softmax(logits, -1))
                scores = (total[:, :, None] + steps.reshape(count, beams, size)).reshape(count, -1)
                total, best = topk(scores, beams)
                origin = (rows + best // size).reshape(-1)
                tokens = xp.concat([tokens[origin], (best % size).reshape(-1, 1)], axis=1)
                state, ended = state[origin], ended[origin] | (tokens[:, -1] == self.end)
                attention = [past[origin] for past in [*attention, weights]]
                if bool(ended.all()):
                    break
            first = rows[:, 0]  # beams are sorted
            return Translation(tokens[first][:, 1:], total[:, 0], xp.stack(attention, axis=1)[first])
