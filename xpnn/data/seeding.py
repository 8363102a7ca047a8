"""Where the random numbers of the data come from.

Every order and every augmentation is a pure function of a seed and a place (epoch, batch). So it depends
neither on which thread loads a batch, nor on how far ahead, nor on whether the run was interrupted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, expect_state, is_count, random

_source: ContextVar[Callable[[], np.random.Generator] | None] = ContextVar("source", default=None)

_SEEDS = 2**53  # whole numbers that JSON keeps


class SeedSource:
    """The seed of orders and augmentation: given, drawn from a generator, or determined by `manual_seed`.

    Args:
        seed: the seed of all epochs; None takes what `manual_seed` determines, and starts anew when that is
            called again.
        generator: an `xpnn.Generator` or NumPy generator that each epoch draws its seed from, or a seed.

    >>> SeedSource(3).seed
    3
    """

    def __init__(self, seed: int | None = None, generator: Any = None) -> None:
        if seed is not None and generator is not None:
            raise ArgumentError("expects either seed or generator, got both", subject="the order of data")
        if isinstance(generator, int | np.integer):
            seed, generator = int(generator), None
        self.generator = generator
        self._given = seed is not None
        self._host = random.host_generator()
        # An epoch's seed is drawn when it begins: the generator may be set to a state before that.
        self.seed = int(seed) if seed is not None else 0 if generator is not None else fresh_seed()
        self._epoch: int | None = None  # that the seed was last asked for
        self._resumed: int | None = None  # an epoch whose beginning lies before a `load_state_dict`

    def begin(self, epoch: int) -> bool:
        """Determine the seed of an epoch. Returns: whether `manual_seed` made all orders start anew."""
        if epoch == self._resumed:
            return False
        self._resumed = None
        begun, self._epoch = self._epoch, epoch
        if self.generator is not None:
            if begun != epoch:
                self.seed = int(random.host_generator_of(self.generator).integers(_SEEDS))
        elif not self._given and self._host is not random.host_generator():
            self.seed, self._host, self._epoch = fresh_seed(), random.host_generator(), 0
            return True
        return False

    def order(self, epoch: int) -> np.random.Generator:
        """What the order of an epoch is drawn from; a seed of its own determines it alone."""
        return generator_at(self.seed, 0 if self.generator is not None else epoch)

    def state_dict(self) -> dict[str, Any]:
        """The seed, the epoch it was asked for, and the state of an `xpnn.Generator`."""
        stream = getattr(self.generator, "stream", None)
        return {
            "seed": self.seed,
            "begun": self._epoch,
            "generator": None if stream is None else stream.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError; then nothing was changed."""
        self.check_state_dict(state)
        self.seed, self._host = state["seed"], random.host_generator()
        self._epoch = self._resumed = state.get("begun")
        stream = getattr(self.generator, "stream", None)
        if stream is not None and state.get("generator") is not None:
            stream.load_state_dict(state["generator"])

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        expect_state(state, "The order of data", seed=is_count)
        optional = {"begun": state.get("begun"), "generator": state.get("generator")}
        expect_state(
            optional,
            "The order of data",
            begun=lambda epoch: epoch is None or is_count(epoch),
            generator=lambda stream: stream is None or isinstance(stream, dict),
        )
        if optional["generator"] is not None:
            random.RandomStream(0).load_state_dict(optional["generator"])


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
    return int(child.integers(_SEEDS))


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


def stream_at(seed: int, *place: int) -> random.RandomStream:
    """The stream that Tensors are drawn from at `place`, when another thread draws from the global one.

    >>> stream_at(0, 1).seed == stream_at(0, 1).seed != stream_at(0, 2).seed
    True
    """
    return random.RandomStream(int(generator_at(seed, *place).integers(_SEEDS)))
