"""Samplers: in which order the samples of a dataset are visited."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from xpnn.backend import ArgumentError, RefusingConstructor, is_array, processes, to_numpy
from xpnn.data.seeding import SeedSource

__all__ = [
    *("BatchSampler", "DistributedSampler", "RandomSampler", "Sampler", "SequentialSampler"),
    *("StratifiedSampler", "SubsetRandomSampler", "WeightedRandomSampler"),
]

Index = TypeVar("Index", covariant=True)


class Sampler(RefusingConstructor, Generic[Index]):
    """The base of samplers: an iterable of indices.

    A sampler that overrides `set_epoch` gives a new order for each epoch, and one whose order depends on
    more than the epoch returns that from `state_dict`, so that an interrupted epoch can be resumed.

    Args:
        data_source: accepted as PyTorch writes it; not used.
    """

    def __init__(self, data_source: Sized | None = None) -> None:
        return None

    def __iter__(self) -> Iterator[Index]:
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

    def __repr__(self) -> str:
        count = _length(self)
        return f"{type(self).__name__}({'' if count is None else f'{count} indices'})"


class SequentialSampler(Sampler[int]):
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


class SeededSampler(Sampler[int]):
    """The base of samplers whose order is drawn: by (seed, epoch) alone, or from a generator at each epoch.

    Args:
        source: where the seeds come from.

    Each pass is a new epoch, until `set_epoch` is called: from then on that says which one comes next.
    """

    def __init__(self, source: SeedSource) -> None:
        self.source = source
        self.epoch = 0
        self._is_told_epochs = False

    @property
    def seed(self) -> int:
        """The seed of the epoch that was begun last."""
        return self.source.seed

    @property
    def generator(self) -> Any:
        """The generator that each epoch draws its seed from, or None."""
        return self.source.generator

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """The indices of one epoch."""
        raise NotImplementedError(f"{type(self).__name__} must define draw")

    def __iter__(self) -> Iterator[int]:
        if self.source.begin(self.epoch) and not self._is_told_epochs:
            self.epoch = 0
        epoch = self.epoch
        if not self._is_told_epochs:
            self.epoch += 1
        return self.draw(self.source.order(epoch))

    def set_epoch(self, epoch: int) -> None:
        """Give the order of that epoch from now on."""
        self.epoch, self._is_told_epochs = epoch, True

    def state_dict(self) -> dict[str, Any]:
        """The seed, and the generator's state."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give the orders of that seed. Raises: CheckpointError if there is none."""
        self.source.load_state_dict(state)

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise CheckpointError if `load_state_dict` would."""
        self.source.check_state_dict(state)


class RandomSampler(SeededSampler):
    """The samples in a random order, a new one for each epoch.

    Args:
        data_source: the dataset; its length counts.
        replacement: draw each index independently, so that some come twice and some never.
        num_samples: how many indices to give, all by default. Without replacement, more than there are
            makes the sampler start over with a new order.
        generator: an `xpnn.Generator` or NumPy generator that each epoch is drawn from, or a seed.
        seed: a non-negative integer that determines all epochs; None takes what `manual_seed` determines.

    Raises: ArgumentError for an empty dataset, num_samples < 1, or both of seed and generator.

    >>> sampler = RandomSampler(range(5), seed=0)
    >>> first, second = list(sampler), list(sampler)
    >>> sampler.set_epoch(0)
    >>> sorted(first), first == second, first == list(sampler)
    ([0, 1, 2, 3, 4], False, True)
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(SeedSource(seed, generator))
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        if not isinstance(replacement, bool):
            raise _error(self, f"expects replacement as True or False, got {replacement!r:.60}")
        if not len(data_source):
            raise _error(self, "expects at least one sample, got an empty dataset")
        _require_count(self, num_samples, self.num_samples)

    def __len__(self) -> int:
        return self.num_samples

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """The indices of one epoch."""
        count = len(self.data_source)
        if self.replacement:
            return iter(rng.integers(count, size=len(self)).tolist())
        rounds = -(-len(self) // count)
        orders = itertools.chain.from_iterable(rng.permutation(count).tolist() for _ in range(rounds))
        return itertools.islice(orders, len(self))


class SubsetRandomSampler(SeededSampler):
    """Given indices in a random order, a new one for each epoch.

    Args:
        indices: of samples.
        generator, seed: as in `RandomSampler`.

    >>> sorted(SubsetRandomSampler([3, 5, 8], seed=0))
    [3, 5, 8]
    """

    def __init__(self, indices: Sequence[int], generator: Any = None, *, seed: int | None = None) -> None:
        super().__init__(SeedSource(seed, generator))
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """The indices of one epoch."""
        indices = to_numpy(self.indices) if is_array(self.indices) else self.indices
        return (int(indices[i]) for i in rng.permutation(len(self)).tolist())


class WeightedRandomSampler(SeededSampler):
    """Indices drawn with given probabilities, for example the rare classes as often as the others.

    Args:
        weights: of each sample, numbers >= 0 that need not add up to 1.
        num_samples: how many indices to give.
        replacement: if False, no index comes twice; those that are drawn first are the likely ones.
        generator, seed: as in `RandomSampler`.

    Raises: ArgumentError for weights that are negative, not finite or all 0, and for more samples without
        replacement than have a weight above 0.

    >>> list(WeightedRandomSampler([0.0, 1.0, 0.0], num_samples=3))
    [1, 1, 1]
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
        *,
        seed: int | None = None,
    ) -> None:
        super().__init__(SeedSource(seed, generator))
        self.weights = to_numpy(weights).astype(np.float64)
        self.num_samples = num_samples
        self.replacement = replacement
        _require_count(self, num_samples, num_samples)
        if not isinstance(replacement, bool):
            raise _error(self, f"expects replacement as True or False, got {replacement!r:.60}")
        if self.weights.ndim != 1:
            raise _error(self, f"expects weights of one axis, got shape {self.weights.shape}")
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all() and self.weights.any()):
            raise _error(self, "expects finite weights >= 0, and one above 0")
        likely = np.count_nonzero(self.weights)
        if not replacement and num_samples > likely:
            raise _error(
                self, f"cannot draw {num_samples} samples of {likely} with a weight above 0",
                "Give replacement=True",
            )  # fmt: skip

    def __len__(self) -> int:
        return self.num_samples

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """The indices of one epoch."""
        probabilities = self.weights / self.weights.sum()
        chosen = rng.choice(len(self.weights), len(self), replace=self.replacement, p=probabilities)
        return iter(chosen.tolist())


class StratifiedSampler(SeededSampler):
    """The samples in a random order in which the classes are spread evenly.

    Of any stretch of the order, so of each batch, each class has its share of the whole, but for less than
    two samples.

    Args:
        labels: the class of each sample, whole numbers or texts (n,); an array, Tensor or list.
        generator, seed: as in `RandomSampler`.

    Raises: ArgumentError for labels that are no (n,), or none at all.

    >>> labels = [0] * 6 + [1] * 2
    >>> order = list(StratifiedSampler(labels, seed=0))
    >>> [sum(labels[i] for i in order[start : start + 4]) for start in (0, 4)]
    [1, 1]
    """

    def __init__(self, labels: Any, generator: Any = None, *, seed: int | None = None) -> None:
        super().__init__(SeedSource(seed, generator))
        self.labels = to_numpy(labels) if is_array(labels) else np.asarray(labels)
        if self.labels.ndim != 1 or not len(self.labels):
            raise _error(self, f"expects labels (n,) of at least one sample, got shape {self.labels.shape}")

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, rng: np.random.Generator) -> Iterator[int]:
        """The indices of one epoch."""
        classes, members = np.unique(self.labels, return_inverse=True)
        places = np.empty(len(self))
        for number in range(len(classes)):
            chosen = rng.permutation(np.flatnonzero(members == number))
            # Evenly over the epoch, each within a stretch of its own.
            places[chosen] = (np.arange(len(chosen)) + rng.random()) / len(chosen)
        return iter(np.argsort(places + 1e-9 * rng.random(len(self))).tolist())


class DistributedSampler(Sampler[int]):
    """The share of the samples that one of several processes visits.

    Args:
        dataset: its length counts.
        num_replicas: the number of processes; None is those of the job (`xpnn.distributed.init()`).
        rank: which one this is, from 0; None is its rank in the job.
        shuffle: visit them in a random order, which all processes draw alike from (seed, epoch); call
            `set_epoch` for a new one. A DataLoader does that.
        seed: the same in all processes.
        drop_last: leave samples out so that all processes visit equally many; otherwise some are visited
            twice.

    Raises: ArgumentError for a rank outside of [0, num_replicas), and if one is None without a job.

    >>> [list(DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in range(2)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            group = processes()
            if group is None:
                raise _error(self, "expects num_replicas and rank where there is no job to ask")
            num_replicas = group.size if num_replicas is None else num_replicas
            rank = group.rank if rank is None else rank
        for name, value in (("num_replicas", num_replicas), ("rank", rank)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise _error(self, f"expects {name} as an integer, got {value!r:.60}")
        if num_replicas < 1:
            raise _error(self, f"expects num_replicas of at least 1, got {num_replicas}")
        if not 0 <= rank < num_replicas:
            raise _error(self, f"expects a rank in [0, {num_replicas}), got {rank}")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        order = list(range(count))
        if self.shuffle:
            order = SeedSource(self.seed).order(self.epoch).permutation(count).tolist()
        visited = itertools.islice(itertools.cycle(order), self.total_size)
        return itertools.islice(visited, self.rank, None, self.num_replicas)

    def set_epoch(self, epoch: int) -> None:
        """Give the order of that epoch from now on."""
        self.epoch = epoch


class BatchSampler(Sampler[list[int]]):
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
        if not hasattr(batch_size, "__index__") or isinstance(batch_size, bool) or batch_size < 1:
            raise _error(self, f"expects a batch_size >= 1, got {batch_size!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]  # a sampler without a length has no number of batches
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return in_batches(self.sampler, self.batch_size, self.drop_last)

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

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.sampler!r}, batch_size={self.batch_size}, "
            f"drop_last={self.drop_last})"
        )


def in_batches(items: Iterable[Any], batch_size: int, drop_last: bool) -> Iterator[list[Any]]:
    """Lists of `batch_size` items; the last one may be smaller.

    >>> list(in_batches("abc", 2, drop_last=True))
    [['a', 'b']]
    """
    items = iter(items)
    while batch := list(itertools.islice(items, batch_size)):
        if len(batch) < batch_size and drop_last:
            return
        yield batch


def _length(sampler: Any) -> int | None:
    try:
        return len(sampler)
    except TypeError:
        return None


def _require_count(sampler: Sampler[int], given: Any, count: Any) -> None:
    if not hasattr(count, "__index__") or isinstance(count, bool) or count < 1:
        raise _error(sampler, f"expects num_samples >= 1, got {given!r:.60}")


def _error(sampler: Sampler[Any], problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject=type(sampler).__name__, hint=hint)
