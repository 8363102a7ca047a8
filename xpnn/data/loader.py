"""The DataLoader: batches in a seeded order, loaded ahead by threads, resumable at any batch."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from xpnn.backend import (
    ArgumentError,
    expect_state,
    get_backend,
    get_device,
    is_count,
    move,
)
from xpnn.data.collate import map_arrays
from xpnn.data.dataset import gather, is_batched
from xpnn.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from xpnn.data.seeding import fresh_seed, transforms_seeded


class DataLoader:
    """An iterable over the batches of a dataset; each pass over it is one epoch, with an order of its own.

    Args:
        dataset: anything with `__len__` and `__getitem__`. Datasets of arrays are gathered batch-wise.
        batch_size: samples per batch.
        shuffle: visit the samples in a random order, a new one for each epoch.
        sampler: an iterable of indices instead of `shuffle`.
        batch_sampler: an iterable of lists of indices instead of `batch_size`, `shuffle`, `sampler`
            and `drop_last`.
        num_workers: threads that load batches ahead of the loop, in order (NumPy and Pillow let them run
            side by side); 0 loads in the loop itself. None is 1, and 0 for datasets of arrays, whose
            batches cost less than their way from thread to thread.
        collate_fn: makes a batch from a list of samples, instead of `default_collate`.
        pin_memory: accepted as PyTorch writes it; without effect, batches arrive on the device anyway.
        drop_last: leave out a last batch that is smaller than the others.
        prefetch_factor: batches that each worker may be ahead.
        seed: order and augmentation depend on (seed, epoch, batch) alone, so neither on threads nor on
            interruptions; None takes what `manual_seed` determines.
        to_backend: give raw arrays of the backend and device that are current when the pass begins;
            False gives NumPy arrays.

    `state_dict` taken between two batches, loaded into a loader built alike, makes the next pass go on
    with the batches that remained.

    Raises: ArgumentError for arguments that contradict each other or leave no batch. What a dataset
    raises in a thread is raised in the loop, with its own traceback.

    >>> from xpnn.data import TensorDataset
    >>> loader = DataLoader(TensorDataset([[1.0], [2.0], [3.0]], [0, 1, 2]), batch_size=2)
    >>> [(x.shape, y.tolist()) for x, y in loader]
    [((2, 1), [0, 1]), ((1, 1), [2])]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        *,
        prefetch_factor: int = 2,
        seed: int | None = None,
        to_backend: bool = True,
    ) -> None:
        if sampler is not None and shuffle:
            raise _error("expects either shuffle or a sampler, which brings its own order, got both")
        if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
            raise _error("expects a batch_sampler alone, without batch_size, shuffle, sampler and drop_last")
        if not len(dataset):
            raise _error("expects a dataset with at least one sample, got an empty one")
        if num_workers is None:
            num_workers = 0 if is_batched(dataset) and collate_fn is None else 1
        if num_workers < 0 or prefetch_factor < 1:
            raise _error(
                "expects num_workers >= 0 and prefetch_factor >= 1, "
                f"got num_workers={num_workers} and prefetch_factor={prefetch_factor}"
            )
        self.seed = fresh_seed() if seed is None else int(seed)
        if batch_sampler is None:
            if sampler is None:
                sampler = RandomSampler(dataset, seed=self.seed) if shuffle else SequentialSampler(dataset)
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
            if drop_last and _length(batch_sampler) == 0:
                raise _error(
                    f"has no batch to give: drop_last=True and {len(sampler)} samples, fewer than "  # type: ignore[arg-type]
                    f"batch_size={batch_size}"
                )
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.prefetch_factor = prefetch_factor
        self.to_backend = to_backend
        self.epoch = 0  # of the pass that is running, or that comes next
        self.position = 0  # batches of that epoch which were given out
        self._running = False

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.batch_sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        if self._running:  # the last pass was left early; this one is a new epoch
            self.epoch, self.position = self.epoch + 1, 0
        self._running = True
        target = (get_backend(), get_device()) if self.to_backend else None
        return self._batches(self.epoch, self.position, target)

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: JSON-ready; a batch counts from the moment that it was given out."""
        state: dict[str, Any] = {"seed": self.seed, "epoch": self.epoch, "position": self.position}
        state["batches"] = _length(self.batch_sampler)
        if isinstance(self.batch_sampler, Sampler):
            state["sampler"] = self.batch_sampler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken, at the next pass.

        Raises: ArgumentError if this loader has another number of batches than that one, CheckpointError if
        it is no state of a loader; then nothing was changed.
        """
        self.check_state_dict(state)
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
        if isinstance(self.batch_sampler, Sampler):
            self.batch_sampler.load_state_dict(state["sampler"])
        self._running = False

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise what `load_state_dict` would."""
        batches = _length(self.batch_sampler)
        expect_state(
            state,
            "DataLoader",
            seed=is_count,
            epoch=is_count,
            position=lambda position: is_count(position) and (batches is None or position <= batches),
            batches=lambda count: count is None or is_count(count),
        )
        if state["batches"] != batches:
            raise _error(
                f"cannot resume: the state is of a loader with {state['batches']} batches an epoch, "
                f"this one has {batches}",
                "Use the same dataset, batch_size and drop_last",
            )
        if isinstance(self.batch_sampler, Sampler):
            expect_state(state, "DataLoader", sampler=lambda sampler: isinstance(sampler, dict))
            self.batch_sampler.check_state_dict(state["sampler"])

    def _batches(self, epoch: int, start: int, target: tuple[Any, Any] | None) -> Iterator[Any]:
        """The batches of one epoch from number `start` on."""
        if isinstance(self.batch_sampler, Sampler):
            self.batch_sampler.set_epoch(epoch)
        numbered = itertools.islice(enumerate(self.batch_sampler), start, None)
        for position, batch in _in_order(
            partial(self._load, epoch, target), numbered, self.num_workers, self.prefetch_factor
        ):
            if self.epoch == epoch:
                self.position = position + 1
            yield batch
        if self.epoch == epoch:
            self.epoch, self.position, self._running = epoch + 1, 0, False

    def _load(
        self, epoch: int, target: tuple[Any, Any] | None, numbered: tuple[int, list[int]]
    ) -> tuple[int, Any]:
        position, indices = numbered
        try:
            with transforms_seeded(self.seed, epoch, position):
                if self.collate_fn is None:
                    batch = gather(self.dataset, indices)
                else:
                    batch = self.collate_fn([self.dataset[index] for index in indices])
            if target is not None:
                backend, device = target
                batch = map_arrays(lambda array: move(array, backend, device), batch)
        except Exception as error:
            error.add_note(f"(while loading batch {position} of epoch {epoch}: samples {indices!s:.80})")
            raise
        return position, batch


def _in_order(
    function: Callable[[Any], Any], items: Iterator[Any], workers: int, ahead: int
) -> Iterator[Any]:
    """`map(function, items)`, computed by threads up to `workers * ahead` items in advance.

    Leaving the loop early, by whatever way, closes this generator and ends the threads.
    """
    if workers == 0:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="xpnn-loader")
    try:
        pending = deque(pool.submit(function, item) for item in itertools.islice(items, workers * ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _length(batch_sampler: Any) -> int | None:
    """The number of batches, if it is known: not of a sampler that goes on as it likes."""
    try:
        return len(batch_sampler)
    except TypeError:
        return None


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="DataLoader", hint=hint)
