"""Samplers: in which order the samples of a dataset are visited."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from typing import Any

from xpnn.backend import ArgumentError, expect_state, is_count
from xpnn.data.seeding import fresh_seed, generator_at


class Sampler:
    """The base of samplers: an iterable of indices, the same ones each time until `set_epoch`.

    A sampler that overrides `set_epoch` gives a new order for each epoch, and one whose order depends on
    more than the epoch returns that from `state_dict`, so that an interrupted epoch can be resumed.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the DataLoader does so at each epoch's start."""

    def state_dict(self) -> dict[str, Any]:
        """What the order depends on beside the epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the orders of the sampler that `state_dict` was taken from."""

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError for a state that `load_state_dict` cannot take."""


class SequentialSampler(Sampler):
    """The samples in their own order.

    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __len__(self) -> int:
        return len(self.data_source)

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self)))


class RandomSampler(Sampler):
    """The samples in a random order that depends on (seed, epoch) alone.

    Args:
        data_source: the dataset; its length counts.
        replacement: draw each index independently, so that some come twice and some never.
        num_samples: how many indices to give, all by default. Without replacement, more than there are
            makes the sampler start over with a new order.
        seed: a non-negative integer; None takes what `manual_seed` determines.

    Raises: ArgumentError for an empty dataset or num_samples < 1.

    >>> sampler = RandomSampler(range(5), seed=0)
    >>> first = list(sampler)
    >>> sampler.set_epoch(1)
    >>> sorted(first), first == list(sampler)
    ([0, 1, 2, 3, 4], False)
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        *,
        seed: int | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        self.seed = fresh_seed() if seed is None else int(seed)
        self.epoch = 0
        if not len(data_source):
            raise ArgumentError("expects at least one sample, got an empty dataset", subject="RandomSampler")
        if self.num_samples < 1:
            raise ArgumentError(f"expects num_samples >= 1, got {num_samples}", subject="RandomSampler")

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        count, rng = len(self.data_source), generator_at(self.seed, self.epoch)
        if self.replacement:
            return iter(rng.integers(count, size=len(self)).tolist())
        rounds = -(-len(self) // count)
        orders = itertools.chain.from_iterable(rng.permutation(count).tolist() for _ in range(rounds))
        return itertools.islice(orders, len(self))

    def set_epoch(self, epoch: int) -> None:
        """Give the order of that epoch from now on."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the orders of that seed. Raises: CheckpointError if there is none."""
        self.check_state_dict(state)
        self.seed = state["seed"]

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        expect_state(state, "RandomSampler", seed=is_count)


class BatchSampler(Sampler):
    """Lists of `batch_size` indices, taken one after the other from a sampler.

    Args:
        sampler: any iterable of indices.
        batch_size: indices per batch.
        drop_last: leave out a last batch that would be smaller.

    Raises: ArgumentError for a batch size below 1.

    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not hasattr(batch_size, "__index__") or batch_size < 1:
            raise ArgumentError(f"expects a batch_size >= 1, got {batch_size!r}", subject="BatchSampler")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # a sampler without a length has no number of batches
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Passed on to the sampler, if that knows epochs."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The sampler's."""
        return self.sampler.state_dict() if hasattr(self.sampler, "state_dict") else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The sampler's."""
        if hasattr(self.sampler, "load_state_dict"):
            self.sampler.load_state_dict(state)

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """The sampler's."""
        if hasattr(self.sampler, "check_state_dict"):
            self.sampler.check_state_dict(state)
