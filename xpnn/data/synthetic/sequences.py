"""Pairs of token sequences: copying, reversing, dates in many forms to one."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, to_numpy
from xpnn.data.collate import default_convert
from xpnn.data.dataset import TensorDataset
from xpnn.data.synthetic.making import generator_of, require_at_least
from xpnn.data.text import Vocabulary

PAD, START, END = range(3)
_SPECIAL = ("<pad>", "<start>", "<end>")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SequencePairs(TensorDataset):
    """Pairs of texts as token numbers, padded to one length.

    Args:
        pairs: (source, target) texts; a token is a character.
        alphabet: the characters of the vocabulary; None is all that occur, sorted.

    Samples are (source, target): int64 (longest source,) and int64 (longest target + 2,). Tokens are 0 for
    padding, 1 for the start and 2 for the end of a target, and from 3 on the characters. A source is followed
    by padding; a target begins with the start, so that `target[:-1]` is fed to a decoder and `target[1:]`
    expected of it. `vocabulary` holds the tokens' texts, `texts` the pairs, `source_lengths` and
    `target_lengths` int64 (n,) the lengths without padding.

    >>> pairs = SequencePairs([("ab", "b"), ("a", "ab")])
    >>> pairs.tensors[0].tolist(), pairs.tensors[1].tolist()
    ([[3, 4], [3, 0]], [[1, 4, 2, 0], [1, 3, 4, 2]])
    >>> pairs.decode(pairs[1][1])
    'ab'
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], alphabet: Sequence[str] | None = None) -> None:
        self.texts = list(pairs)
        if not self.texts:
            raise ArgumentError("expects at least one pair of texts, got none", subject="SequencePairs")
        found = sorted(set().union(*(set(text) for pair in self.texts for text in pair)))
        self._tokens = Vocabulary(found if alphabet is None else alphabet, special=_SPECIAL, unknown=None)
        self.vocabulary = self._tokens.tokens
        sources = [self.encode(source) for source, _ in self.texts]
        targets = [[START, *self.encode(target), END] for _, target in self.texts]
        self.source_lengths = np.array([len(tokens) for tokens in sources])
        self.target_lengths = np.array([len(tokens) for tokens in targets])
        super().__init__(default_convert(_padded(sources)), default_convert(_padded(targets)))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. Raises: ArgumentError for a character that is not in the vocabulary."""
        unknown = [character for character in text if character not in self._tokens]
        if unknown:
            raise ArgumentError(
                f"expects characters of {''.join(self.vocabulary[3:])!r}, got {unknown[0]!r}",
                subject="SequencePairs",
            )
        return self._tokens.encode(text)

    def decode(self, tokens: Any) -> str:
        """The text of tokens, up to an end; starts and padding are left out."""
        numbers = to_numpy(tokens).ravel().tolist()
        numbers = numbers[: numbers.index(END)] if END in numbers else numbers
        return "".join(self.vocabulary[number] for number in numbers if number > END)


def copy_task(
    count: int = 1000, length: int | tuple[int, int] = 10, symbols: int = 8, seed: Any = 0
) -> SequencePairs:
    """Random sequences, each to be given again.

    Args:
        count: pairs.
        length: tokens of a sequence, or (fewest, most).
        symbols: different ones, at most 52.
        seed: an integer, a generator, or None for what `manual_seed` determines.

    Samples are as in `SequencePairs`, with 3 + symbols tokens.

    >>> pairs = copy_task(2, length=(2, 5), symbols=3)
    >>> pairs.vocabulary[3:], all(source == target for source, target in pairs.texts)
    (['a', 'b', 'c'], True)
    """
    texts = _random_texts("copy_task", count, length, symbols, seed)
    return SequencePairs([(text, text) for text in texts], _LETTERS[:symbols])


def reverse_task(
    count: int = 1000, length: int | tuple[int, int] = 10, symbols: int = 8, seed: Any = 0
) -> SequencePairs:
    """Random sequences, each to be given backwards.

    Args:
        count, length, symbols, seed: as in `copy_task`.

    Samples are as in `SequencePairs`, with 3 + symbols tokens.

    >>> source, target = reverse_task(1).texts[0]
    >>> source[::-1] == target
    True
    """
    texts = _random_texts("reverse_task", count, length, symbols, seed)
    return SequencePairs([(text, text[::-1]) for text in texts], _LETTERS[:symbols])


def date_strings(count: int = 1000, years: tuple[int, int] = (1900, 2099), seed: Any = 0) -> SequencePairs:
    """Dates as people write them, and as ISO 8601 does.

    Args:
        years: the first and last year.
        count, seed: as in `copy_task`.

    Samples are as in `SequencePairs`; the vocabulary is the same for every seed. Sources are like
    "3 May 1979", "May 3, 1979", "Thursday, 3 May 1979", "3.5.1979", "05/03/1979" (month first) or "3-May-79"
    where the year's century is the first year's; targets are like "1979-05-03".

    >>> date_strings(2).texts[0]
    ('15 Feb 2070', '2070-02-15')
    """
    first, last = years
    require_at_least("date_strings", 1, count=count, years=first)
    if not first <= last <= 9999:
        raise ArgumentError(f"expects years (first, last) up to 9999, got {years}", subject="date_strings")
    rng = generator_of(seed)
    start = datetime.date(first, 1, 1).toordinal()
    days = rng.integers(start, datetime.date(last, 12, 31).toordinal() + 1, size=count)
    forms = rng.integers(len(_FORMS), size=count)
    alphabet = sorted(set("".join([*_MONTHS, *_DAYS, "0123456789 ,.-/"])))
    pairs = []
    for day, form in zip(days.tolist(), forms.tolist()):
        date = datetime.date.fromordinal(day)
        short = date.year // 100 == first // 100  # else two digits of the year would not tell which
        pairs.append((_written(date, _FORMS[form if short else form % _LONG_FORMS]), date.isoformat()))
    return SequencePairs(pairs, alphabet)


# Written out, as Python's own names follow the machine's language.
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# The last ones write the year with two digits.
_FORMS = (
    *("{d} {month} {y}", "{month} {d}, {y}", "{day}, {d} {month} {y}", "{d} {mon} {y}"),
    *("{d}.{m}.{y}", "{m:02}/{d:02}/{y}", "{d}-{mon}-{yy:02}"),
)
_LONG_FORMS = len(_FORMS) - 1


def _written(date: datetime.date, form: str) -> str:
    month = _MONTHS[date.month - 1]
    return form.format(
        d=date.day, m=date.month, y=f"{date.year:04}", yy=date.year % 100,
        month=month, mon=month[:3], day=_DAYS[date.weekday()],
    )  # fmt: skip


def _random_texts(
    subject: str, count: int, length: int | tuple[int, int], symbols: int, seed: Any
) -> list[str]:
    fewest, most = (length, length) if isinstance(length, int) else length
    require_at_least(subject, 1, count=count, symbols=symbols, length=fewest)
    if most < fewest or symbols > len(_LETTERS):
        raise ArgumentError(
            f"expects length as (fewest, most) and at most {len(_LETTERS)} symbols, got length={length} and "
            f"symbols={symbols}",
            subject=subject,
        )
    rng = generator_of(seed)
    letters = rng.integers(symbols, size=(count, most)).tolist()
    lengths = rng.integers(fewest, most + 1, size=count).tolist()
    return ["".join(_LETTERS[i] for i in row[:size]) for row, size in zip(letters, lengths)]


def _padded(rows: list[list[int]]) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    return padded
