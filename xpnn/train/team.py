"""The processes that train one run together (see `xpnn.distributed`): what a Trainer shares between them.

A batch of the loader is a batch of all of them: process r of n takes its samples r, r + n, r + 2n ... So the
order of the data, and up to rounding the losses, do not depend on how many processes there are.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from xpnn.backend import (
    ArgumentError,
    is_array,
    launched_size,
    namespace,
    processes,
    random,
    start_processes,
)
from xpnn.data import DataLoader
from xpnn.metrics import Metric
from xpnn.nn import Module, ModuleList
from xpnn.nn.parallel.sharing import GradientSharing

MetricT = TypeVar("MetricT", Metric, None)

_CHECK_EVERY = 100  # steps


class Team:
    """The processes of a job, of which this one does its part; alone, it does everything.

    Attributes:
        rank: which of them this one is. size: how many they are.
    """

    def __init__(self) -> None:
        group = start_processes() if launched_size() > 1 else processes()
        self._group = group if group is not None and group.size > 1 else None
        self.rank = 0 if self._group is None else self._group.rank
        self.size = 1 if self._group is None else self._group.size
        self._sharing: GradientSharing | None = None
        self._parts: list[tuple[DataLoader, DataLoader]] = []  # loaders to train on, whole and in part

    def part_of(self, loader: Any, trains: bool = False) -> Any:
        """This process's part of the batches of a loader."""
        if self._group is None or loader is None or isinstance(loader, _Parts):
            return loader
        if isinstance(loader, DataLoader) and loader.batch_sampler is not None:
            part = loader.sharded(self.rank, self.size, every_rank=trains)
            if trains:
                self._parts.append((loader, part))
            return part
        return _Parts(loader, self.rank, self.size, every_rank=trains)

    def hand_back(self) -> None:
        """Let the loaders that were trained on go on where their parts are, as if they had been used."""
        for whole, part in self._parts:
            whole.load_state_dict(part.state_dict())
        self._parts = []

    @contextmanager
    def sharing(self, modules: Iterable[Module]) -> Iterator[None]:
        """In the block every `backward` through the modules gives the gradients of all processes."""
        if self._group is None:
            yield
            return
        self._sharing = GradientSharing(ModuleList(modules), self._group, for_good=False)
        try:
            yield
        finally:
            self._sharing.remove()
            self._sharing = None

    def begin_step(self, size: int, wishes: tuple[int, ...], shares: bool) -> tuple[int, list[int]]:
        """Agree on a step: how many samples all processes have in it, and the largest of each of the wishes.

        Args:
            size: this process's samples. wishes: numbers such as that of a signal that has come.
            shares: whether the backward of this step gives the gradients of all.
        """
        if self._group is None or self._sharing is None:
            return size, list(wishes)
        if self._sharing.steps and self._sharing.steps % _CHECK_EVERY == 0 and shares:
            self._sharing.check()
        self._sharing.active = shares
        everyone = self._group.all_gather_object((size, wishes))
        return sum(part for part, _ in everyone), [
            max(wish) for wish in zip(*(wishes for _, wishes in everyone))
        ]

    @contextmanager
    def own_noise(self, batch: int) -> Iterator[None]:
        """In the block masks are drawn from a stream of this process's own; the first has the run's."""
        if not self.rank:
            yield
            return
        seed = (random.initial_seed() * 1_000_003 + self.rank * 8_191 + batch) % 2**63
        with random.use_stream(random.RandomStream(seed)):
            yield

    def share_buffers(self) -> None:
        """Take over the first process's running statistics."""
        if self._sharing is not None:
            self._sharing.share_buffers()

    def merged(self, metric: MetricT) -> MetricT:
        """A metric of what all processes' have seen; None in a process that has none."""
        if self._group is None:
            return metric
        if metric is None:
            self._group.all_gather_object({})
            return metric
        fresh = copy.copy(metric)
        fresh.reset()
        seen = {name: value for name, value in vars(metric).items() if vars(fresh)[name] is not value}
        whole: Metric | None = None
        for state in [state for state in self._group.all_gather_object(seen) if state] or [{}]:
            other = copy.copy(fresh)
            vars(other).update(state)
            if whole is None:
                whole = other
            else:
                whole.merge(other)
        assert whole is not None
        return whole

    def completed(self, measures: dict[str, Any]) -> dict[str, Any]:
        """Measures, with those that other processes alone have."""
        found = dict(measures)
        for part in self.gathered(measures):
            found = part | found
        return found

    def means(self, arrays: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
        """The means of every process's arrays, by name; one that a process has not counts as zeros.

        Args:
            like: arrays of their shapes and types, of all names that there may be.
        """
        if self._group is None:
            return arrays
        found = {}
        for name in sorted(set().union(*self._group.all_gather_object(set(arrays)))):
            own = arrays[name] if name in arrays else namespace(like[name]).zeros_like(like[name])
            found[name] = self._group.all_reduce(own / self.size)
        return found

    def any(self, flag: bool) -> bool:
        """Whether it is so in any of the processes."""
        return any(self.gathered(flag))

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value; alone, this one's."""
        return [value] if self._group is None else self._group.all_gather_object(value)

    def wait(self) -> None:
        """Until every process is here."""
        if self._group is not None:
            self._group.barrier()


class _Parts:
    """A loader of any kind, of whose batches this process gets its part of the samples.

    Args:
        every_rank: whether each batch must have a sample for each process; else some get none.
    """

    def __init__(self, loader: Any, rank: int, size: int, every_rank: bool) -> None:
        self.loader = loader
        self.rank = rank
        self.size = size
        self.every_rank = every_rank

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            part = self._part(batch)
            if not _is_empty(part):
                yield part

    def _part(self, batch: Any) -> Any:
        if isinstance(batch, dict):
            return {key: self._part(value) for key, value in batch.items()}
        if isinstance(batch, list | tuple):
            return type(batch)(map(self._part, batch))
        least = self.size if self.every_rank else 1
        if not is_array(batch) or not batch.shape or batch.shape[0] < least:
            raise ArgumentError(
                f"cannot give {self.size} processes their parts of a batch that has {type(batch).__name__} "
                f"{getattr(batch, 'shape', '')}",
                subject="Trainer",
                hint="Use a DataLoader, or batches of arrays with at least as many samples as processes",
            )
        rows = namespace(batch).arange(self.rank, batch.shape[0], self.size)
        return batch[rows, ...]


def _is_empty(batch: Any) -> bool:
    """Whether an array of a batch has no sample."""
    if isinstance(batch, dict):
        return any(map(_is_empty, batch.values()))
    if isinstance(batch, list | tuple):
        return any(map(_is_empty, batch))
    return batch.shape[0] == 0
