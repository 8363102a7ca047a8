"""Text as numbers: words, a vocabulary, and the pairs of neighbours that word vectors are learned from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, RefusingConstructor, refusing, to_numpy
from xpnn.data.collate import default_convert

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*|[^\w\s]|_")  # or one sign that is neither letter nor space


@refusing
def words(text: str, lower: bool = True) -> list[str]:
    """The words, numbers and signs of a text; hyphens and apostrophes within a word belong to it.

    Args:
        lower: whether capitals become small letters.

    >>> words("A well-known text, isn't it?")
    ['a', 'well-known', 'text', ',', "isn't", 'it', '?']
    """
    return _WORD.findall(text.lower() if lower else text)


class Vocabulary(RefusingConstructor):
    """Tokens and their numbers: the special ones first, then from the most frequent on.

    Args:
        tokens: all tokens of a text, words or characters; of equally frequent ones the first comes first.
        min_count: rarer ones are left out.
        max_size: tokens at most, with the special ones; None for as many as there are.
        special: tokens that the text does not hold.
        unknown: the one of `special` that stands for tokens that are not in the vocabulary; with None these
            raise an ArgumentError.

    `tokens` holds the tokens in order, `counts` how often each was found: 0 for special ones, but for the
    unknown one what was left out.

    Raises: ArgumentError for an `unknown` that is not special, a token that is, or too small a max_size.

    >>> vocabulary = Vocabulary("the cat and the dog".split(), max_size=4)
    >>> vocabulary.tokens, vocabulary.counts
    (['<pad>', '<unk>', 'the', 'cat'], [0, 2, 2, 1])
    >>> vocabulary.encode(["the", "hen"]), vocabulary.decode([2, 3])
    ([2, 1], ['the', 'cat'])
    """

    def __init__(
        self,
        tokens: Iterable[str],
        min_count: int = 1,
        max_size: int | None = None,
        special: Sequence[str] = ("<pad>", "<unk>"),
        unknown: str | None = "<unk>",
    ) -> None:
        special = list(special)
        if unknown is not None and unknown not in special:
            raise ArgumentError(
                f"expects an unknown token that is one of {special}, got {unknown!r}",
                subject="Vocabulary",
                hint="None raises an error for tokens that are not in the vocabulary",
            )
        if max_size is not None and max_size < len(special):
            raise ArgumentError(
                f"expects max_size of at least {len(special)}, the special tokens, got {max_size}",
                subject="Vocabulary",
            )
        found = Counter(tokens)
        if taken := [token for token in special if token in found]:
            raise ArgumentError(
                f"expects special tokens that are not in the text, got {taken[0]!r}", subject="Vocabulary"
            )
        room = None if max_size is None else max_size - len(special)
        kept = [(token, count) for token, count in found.most_common(room) if count >= min_count]
        self.unknown = unknown
        self.tokens = [*special, *(token for token, _ in kept)]
        self.counts = [0] * len(special) + [count for _, count in kept]
        if unknown is not None:
            self.counts[special.index(unknown)] = found.total() - sum(self.counts)
        self._numbers = {token: number for number, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._numbers

    def __getitem__(self, token: str) -> int:
        """The number of a token, that of the unknown one for one that is not there."""
        number = self._numbers.get(token)
        if number is not None:
            return number
        if self.unknown is None:
            raise ArgumentError(
                f"expects one of the vocabulary's {len(self)} tokens, got {token!r}", subject="Vocabulary"
            )
        return self._numbers[self.unknown]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The numbers of tokens. Raises: ArgumentError for one that is not there, if none is the unknown."""
        return [self[token] for token in tokens]

    def decode(self, numbers: Any) -> list[str]:
        """The tokens of numbers, a list or an array of any shape. Raises: ArgumentError for other numbers."""
        flat = to_numpy(numbers).ravel().tolist() if hasattr(numbers, "shape") else list(numbers)
        for number in flat:
            if not 0 <= number < len(self):
                raise ArgumentError(
                    f"expects numbers from 0 to {len(self) - 1}, got {number}", subject="Vocabulary.decode"
                )
        return [self.tokens[number] for number in flat]


@refusing
def skip_grams(numbers: Any, window: int = 5, left_out: Iterable[int] = ()) -> tuple[Tensor, Tensor]:
    """All pairs of a token and one that stands near it.

    Args:
        numbers: (n,) tokens of a text in order.
        window: how far apart the two may stand, on either side.
        left_out: tokens that are in no pair, such as the unknown one; they keep their places.

    Returns: centres and contexts, int64 (pairs,) each.

    Raises: ArgumentError for a window of less than 1.

    >>> centres, contexts = skip_grams([7, 8, 9], window=1)
    >>> sorted(zip(centres.tolist(), contexts.tolist()))
    [(7, 8), (8, 7), (8, 9), (9, 8)]
    """
    if window < 1:
        raise ArgumentError(f"expects a window of at least 1, got {window}", subject="skip_grams")
    tokens = np.asarray(to_numpy(numbers) if hasattr(numbers, "shape") else numbers, dtype=np.int64)
    before = [
        np.stack([tokens[:-step], tokens[step:]]) for step in range(1, min(window, len(tokens) - 1) + 1)
    ]
    pairs = np.concatenate([np.zeros((2, 0), np.int64), *before], axis=1)
    pairs = pairs[:, ~np.isin(pairs, list(left_out)).any(axis=0)]
    return default_convert(np.concatenate([pairs[0], pairs[1]])), default_convert(
        np.concatenate([pairs[1], pairs[0]])
    )
