"""How batches are made from a dataset: the part of a DataLoader that its workers need."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from xpnn.backend import Backend, Copier, random, use_backend
from xpnn.data.collate import (
    default_collate,
    default_convert,
    host_array,
    map_arrays,
    stack_samples,
    tensor_maker,
)
from xpnn.data.dataset import fetch, is_batched
from xpnn.data.sampler import in_batches
from xpnn.data.seeding import stream_at, transforms_seeded
from xpnn.data.workers import WorkerInfo


class Target(NamedTuple):
    """Where batches are made.

    Attributes:
        backend, device: of the Tensors.
        copier: copies what comes from the host, if that is to be done beside other work.
    """

    backend: Backend
    device: Any
    copier: Copier | None = None


@dataclass
class Recipe:
    """What batches are made from, and how; sent to each worker process once.

    Attributes:
        dataset: with indices, or an IterableDataset.
        collate_fn: `default_collate` and `default_convert` make Tensors of the target.
        single: whether an item of the order is one index, not a list.
        batch_size, drop_last: of an IterableDataset.
        tensors: whether batches hold Tensors, or NumPy arrays.
        apart: whether workers load, who must not draw from the loop's streams.
    """

    dataset: Any
    collate_fn: Callable[[Any], Any]
    single: bool
    batch_size: int | None
    drop_last: bool
    tensors: bool
    apart: bool

    @property
    def collates(self) -> bool:
        """Whether batches are made by xpnn, not by a function of the user's, whose result is left alone."""
        return self.collate_fn is default_collate or self.collate_fn is default_convert

    def load(self, seed: int, epoch: int, target: Target, numbered: tuple[int, Any]) -> Any:
        """The batch of a number and its indices, which all random numbers of its transforms depend on."""
        position, indices = numbered
        try:
            with transforms_seeded(seed, epoch, position):
                if self.collate_fn is default_collate and is_batched(self.dataset):
                    return map_arrays(self.finish(target), self.dataset.gather(indices))
                with self._apart(target, seed, (epoch, position)):
                    samples = self.dataset[indices] if self.single else fetch(self.dataset, indices)
                    return self._collated(samples, target)
        except Exception as error:
            error.add_note(f"(while loading batch {position} of epoch {epoch}: samples {indices!s:.80})")
            raise

    def read(self, target: Target, worker: WorkerInfo | None) -> Iterator[Any]:
        """The batches of an IterableDataset, as one worker reads it."""
        items = iter(self.dataset if worker is None else worker.dataset)
        if self.batch_size is not None:
            items = in_batches(items, self.batch_size, self.drop_last)
        stream = None if worker is None else random.RandomStream(worker.seed)
        while True:
            with self._apart(target, stream=stream):
                try:
                    samples = next(items)
                except StopIteration:
                    return
                batch = self._collated(samples, target)
            yield batch

    def finish(self, target: Target) -> Callable[[Any], Any]:
        """What makes of an array what the batch holds."""
        return tensor_maker(*target) if self.tensors else host_array

    @contextlib.contextmanager
    def _apart(
        self,
        target: Target,
        seed: int = 0,
        place: tuple[int, ...] = (),
        stream: random.RandomStream | None = None,
    ) -> Iterator[None]:
        """Let a worker make arrays as the loop does, and draw random Tensors from a stream of its own.

        Two threads that draw from the global stream would get what the other one leaves.
        """
        if not self.apart:
            yield
            return
        with (
            use_backend(target.backend.name, target.device),
            random.use_stream(stream or stream_at(seed, *place)),
        ):
            yield

    def _collated(self, samples: Any, target: Target) -> Any:
        if self.collate_fn is default_collate:
            return stack_samples(samples, self.finish(target))
        if self.collate_fn is default_convert:
            return map_arrays(self.finish(target), samples)
        return self.collate_fn(samples)
