"""Word vectors by skip-grams: a word's vector tells which words stand near it.

See: Mikolov, Sutskever, Chen, Corrado & Dean (2013), "Distributed representations of words and phrases and
their compositionality".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpnn import functional as F
from xpnn import nn
from xpnn.autograd import Tensor, no_grad
from xpnn.autograd.functions.creation import as_tensor
from xpnn.autograd.functions.random import multinomial
from xpnn.autograd.functions.sorting import topk
from xpnn.backend import ArgumentError
from xpnn.backend import asarray as backend_array


class SkipGram(nn.Module):
    """Two vectors for each word, one as a centre and one as a context, whose product scores the pair.

    Args:
        counts: how often each word of the vocabulary occurs; words of count 0 are never drawn as negatives.
        features: of a vector.
        power: negatives are drawn by counts to this power, which flattens them.

    Shapes: centres (N,) and contexts (N, ...), integers, to scores (N, ...).

    Raises: ArgumentError for counts that are negative or all 0.

    >>> SkipGram([3, 2, 1], features=4)(as_tensor([0, 1]), as_tensor([1, 2])).tolist()
    [0.0, 0.0]
    """

    def __init__(self, counts: Sequence[float], features: int = 100, power: float = 0.75) -> None:
        counts = [float(count) for count in counts]
        if not counts or min(counts) < 0 or max(counts) == 0:
            raise ArgumentError(
                "expects counts that are not negative, nor all 0",
                subject="SkipGram",
                hint="Vocabulary.counts",
            )
        self.centres = nn.Embedding(len(counts), features)
        self.contexts = nn.Embedding(len(counts), features)
        nn.init.uniform_(self.centres.weight, -0.5 / features, 0.5 / features)
        nn.init.zeros_(self.contexts.weight)
        weights = [count**power if count else 0.0 for count in counts]
        self.register_buffer("noise", backend_array([w / sum(weights) for w in weights]), persistent=False)

    def forward(self, centres: Any, contexts: Any) -> Tensor:
        """The products of the vectors of centres (N,) and contexts (N, ...)."""
        v, u = self.centres(centres), self.contexts(contexts)
        return (v.reshape(v.shape[0], *[1] * (u.ndim - 2), v.shape[1]) * u).sum(-1)

    def loss(self, centres: Any, contexts: Any, negatives: int = 5, generator: Any = None) -> Tensor:
        """Whether a pair was seen is told from scores: pairs of the text from such with words drawn by lot.

        -log sigmoid(v u) - sum of log sigmoid(-v u_k) over `negatives` words u_k, in the mean over pairs.

        Args:
            centres, contexts: (N,) each, pairs of the text.
            negatives: words drawn for each pair.
            generator: what they are drawn from.
        """
        count = centres.shape[0]
        drawn = multinomial(self.noise, count * negatives, replacement=True, generator=generator)
        seen = F.softplus(-self(centres, contexts))
        unseen = F.softplus(self(centres, drawn.reshape(count, negatives)))
        return seen.mean() + unseen.sum(1).mean()

    def nearest(self, word: int | Any, count: int = 10) -> tuple[Tensor, Tensor]:
        """The words whose vectors as centres point most nearly the same way.

        Args:
            word: its number, or a vector (features,), such as the sum and difference of some words' ones.
            count: how many; a word is not its own neighbour.

        Returns: their numbers (count,), and the cosines of the angles (count,).
        """
        with no_grad():
            vectors = F.normalize(self.centres.weight, dim=1)
            asked = vectors[word] if isinstance(word, int) else F.normalize(as_tensor(word), dim=0)
            cosines = vectors @ asked
            if isinstance(word, int):
                cosines[word] = -2.0
            values, numbers = topk(cosines, min(count, len(vectors) - isinstance(word, int)))
        return numbers, values
