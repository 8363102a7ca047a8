"""Where the random numbers of the data come from.

Every order and every augmentation is a pure function of a seed and a place (epoch, batch). So it depends
neither on which thread loads a batch, nor on how far ahead, nor on whether the run was interrupted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from xpnn.backend import ArgumentError, random

_source: ContextVar[Callable[[], np.random.Generator] | None] = ContextVar("source", default=None)


def fresh_seed() -> int:
    """A new seed that `manual_seed` determines, drawn without a change to the initial weights to come.

    >>> from xpnn.backend import manual_seed
    >>> manual_seed(0)
    >>> first, second = fresh_seed(), fresh_seed()
    >>> manual_seed(0)
    >>> fresh_seed() == first != second
    True
    """
    (child,) = random.host_generator().spawn(1)
    return int(child.integers(2**53))


def generator_at(seed: int, *place: int) -> np.random.Generator:
    """The generator that belongs to `seed` at `place`, for example (epoch, batch).

    Places of different lengths, too, give independent numbers. Raises: ArgumentError for a negative seed.

    >>> bool(generator_at(0, 1).random() == generator_at(0, 1, 0).random())
    False
    """
    if seed < 0:
        raise ArgumentError(f"expects a seed >= 0, got {seed}", subject="the order of data")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


def transform_generator() -> np.random.Generator:
    """What a random transform draws from: the generator of the batch being loaded, else the host's."""
    source = _source.get()
    return random.host_generator() if source is None else source()


@contextmanager
def transforms_seeded(seed: int, *place: int) -> Iterator[None]:
    """Let random transforms draw from `generator_at(seed, *place)` inside of the block.

    >>> with transforms_seeded(0, 1):
    ...     bool(transform_generator().random() == generator_at(0, 1).random())
    True
    """
    # Made at the first draw: most batches need none, and making one costs more than gathering the batch.
    token = _source.set(functools.cache(functools.partial(generator_at, seed, *place)))
    try:
        yield
    finally:
        _source.reset(token)
