"""The DataLoader: batches in a seeded order, loaded ahead by threads or processes, resumable at any batch."""

from __future__ import annotations

import contextlib
import copy
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, Literal, TypeVar, overload

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, RefusingConstructor, expect_state, get_backend, get_device, is_count
from xpnn.data.arriving import arriving
from xpnn.data.collate import default_collate, default_convert
from xpnn.data.dataset import IterableDataset, TensorDataset, TransformDataset, is_batched
from xpnn.data.pace import Pace
from xpnn.data.processes import GRACE, Processes, settled
from xpnn.data.recipe import Recipe, Target
from xpnn.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from xpnn.data.seeding import SeedSource, stream_at
from xpnn.data.workers import WorkerInfo, get_worker_info, in_order, in_turns

Batch = TypeVar("Batch", covariant=True)


class DataLoader(RefusingConstructor, Generic[Batch]):
    """An iterable over the batches of a dataset; each pass over it is one epoch, with an order of its own.

    Batches hold Tensors of the backend and device that are current when the pass begins.

    Args:
        dataset: anything with `__len__` and `__getitem__`, or an `IterableDataset`, which comes in its own
            order. Datasets of arrays are gathered batch-wise.
        batch_size: samples per batch; None gives single samples.
        shuffle: visit the samples in a random order, a new one for each epoch.
        sampler: an iterable of indices instead of `shuffle`.
        batch_sampler: an iterable of lists of indices instead of `batch_size`, `shuffle`, `sampler`
            and `drop_last`.
        num_workers: workers that load batches ahead of the loop, in order; 0 loads in the loop itself. None
            is 1, and 0 for datasets of arrays, whose batches cost less than their way from thread to thread,
            and for an IterableDataset.
        collate_fn: makes a batch from a list of samples, instead of `default_collate`; what it returns is
            given as it is. With `batch_size=None` it is given one sample, instead of `default_convert`.
        drop_last: leave out a last batch that is smaller than the others.
        timeout: seconds to wait for a batch of a worker; 0 waits as long as it takes.
        worker_init_fn: is called with its number in each worker at first.
        generator: an `xpnn.Generator` or NumPy generator that each epoch draws its seed from.
        prefetch_factor: batches that each worker may be ahead, 2 if None.
        multiprocessing_context: None makes threads of the workers, and nothing is copied. As many of them
            load at a time as make the batches come fastest, which is measured: files and Pillow let them run
            side by side, Python lets one run. "spawn", "forkserver", "fork" or a context of `multiprocessing`
            makes processes, for datasets that compute in Python. They hold a copy of the dataset, compute on
            the host with one thread each, and seed Python's and NumPy's own generators for each batch.
        persistent_workers: keep processes from pass to pass, as their start costs about a second.
        pin_memory: on CuPy, copy batches to the device beside its other work, at least one ahead of the
            loop: by pinned buffers, on a stream of its own. Without effect elsewhere.
        pin_memory_device, in_order: accepted as PyTorch writes them; without effect, as batches come in
            order and arrive on the device that is current.
        seed: order and augmentation depend on (seed, epoch, batch) alone, so neither on threads nor on
            interruptions; None takes what `manual_seed` determines, and starts anew when that is called.
        tensors: False gives NumPy arrays instead of Tensors.

    `state_dict` taken between two batches, loaded into a loader built alike, makes the next pass go on
    with the batches that remained.

    Raises: ArgumentError for arguments that contradict each other or leave no batch; DataError after
        `timeout`, and for a worker process that died or cannot be sent the dataset. What a dataset raises in
        a worker is raised in the loop, with its own traceback.

    >>> from xpnn.data import TensorDataset
    >>> loader = DataLoader(TensorDataset([[1.0], [2.0], [3.0]], [0, 1, 2]), batch_size=2)
    >>> for x, y in loader:
    ...     print(x.shape, y)
    (2, 1) tensor([0, 1])
    (1, 1) tensor([2])
    """

    @overload
    def __init__(
        self: DataLoader[list[Tensor]],
        dataset: TensorDataset | TransformDataset,
        batch_size: int = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int | None = None,
        collate_fn: None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
        tensors: Literal[True] = True,
    ) -> None: ...

    @overload
    def __init__(self: DataLoader[Any], dataset: Any, *args: Any, **options: Any) -> None: ...

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
        tensors: bool = True,
    ) -> None:
        self._iterates = isinstance(dataset, IterableDataset)
        _expect_order(self._iterates, batch_size, shuffle, sampler, batch_sampler, drop_last)
        if not self._iterates and not len(dataset):
            raise _error("expects a dataset with at least one sample, got an empty one")
        if num_workers is None:
            num_workers = 0 if self._iterates or (is_batched(dataset) and collate_fn is None) else 1
        ahead = 2 if prefetch_factor is None else prefetch_factor
        if num_workers < 0 or ahead < 1 or timeout < 0:
            raise _error(
                "expects num_workers >= 0, prefetch_factor >= 1 and timeout >= 0, got "
                f"num_workers={num_workers}, prefetch_factor={prefetch_factor} and timeout={timeout}"
            )
        self.source = SeedSource(seed, generator)
        if self._iterates:
            if batch_size is not None:
                BatchSampler((), batch_size, drop_last)  # which checks them
        elif batch_sampler is None:
            if sampler is None and shuffle:
                sampler = RandomSampler(dataset, seed=self.source.seed)
                sampler.source = self.source
            elif sampler is None:
                sampler = SequentialSampler(dataset)
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
            if drop_last and _length(batch_sampler) == 0:
                raise _error(
                    f"has no batch to give: drop_last=True and {_length(sampler)} samples, fewer than "
                    f"batch_size={batch_size}"
                )
        self.dataset = dataset
        self.batch_size = batch_size if self._iterates or sampler is not None else None
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        single = default_convert if self.batch_size is None and batch_sampler is None else default_collate
        self.collate_fn: Callable[[Any], Any] = single if collate_fn is None else collate_fn
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = ahead
        self.persistent_workers = persistent_workers
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self.tensors = tensors
        self.epoch = 0  # of the pass that is running, or that comes next
        self.position = 0  # batches of that epoch which were given out
        self._running = False
        self._processes: Processes | None = None
        self._pace: Pace | None = None
        # Rank and number of the processes that share each batch, and whether each must have a sample.
        self._shard: tuple[int, int, bool] | None = None

    def sharded(self, rank: int, size: int, every_rank: bool = False) -> DataLoader[Batch]:
        """A loader of the same batches that gives of each the samples rank, rank + size, rank + 2 size ...

        Its state is that of a loader for any number of processes.

        Args:
            rank, size: which of how many processes this one is.
            every_rank: whether each batch must have a sample for each process.

        Raises: ArgumentError for a last batch with too few samples, and where samples do not come in batches.
        """
        if self.batch_sampler is None:
            raise _error("cannot share what comes without batches between processes")
        count, left = _length(self.sampler), 0
        if self.batch_size and count is not None:
            left = (
                min(count % self.batch_size if not self.drop_last else 0, self.batch_size) or self.batch_size
            )
        if every_rank and 0 < left < size:
            raise _too_few(left, size)
        shard = copy.copy(self)
        shard._shard, shard._processes = (rank, size, every_rank), None
        return shard

    def _part_of(self, indices: list[Any]) -> list[Any]:
        """This process's part of a batch that several share."""
        assert self._shard is not None
        rank, size, every_rank = self._shard
        if every_rank and len(indices) < size:  # which all processes see alike
            raise _too_few(len(indices), size)
        return indices[rank::size]

    @property
    def seed(self) -> int:
        """The seed of the epoch that was begun last."""
        return self.source.seed

    @property
    def generator(self) -> Any:
        """The generator that each epoch draws its seed from, or None."""
        return self.source.generator

    def __len__(self) -> int:
        """The number of batches in an epoch; of single samples, with `batch_size=None`."""
        if not self._iterates:
            return len(self._order)  # type: ignore[arg-type]
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self._running:  # the last pass was left early; this one is a new epoch
            self.epoch, self.position = self.epoch + 1, 0
        self._running = True
        if self.position == 0 and self.source.begin(self.epoch):
            self.epoch = 0
        return self._batches(self.epoch, self.position, self._target())

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_processes": None, "_pace": None}  # which belong to this loader alone

    def __repr__(self) -> str:
        how = [f"batch_size={self.batch_size}"]
        if self.batch_size is None and self.batch_sampler is not None:
            how = [f"batch_sampler={self.batch_sampler!r:.80}"]
        elif isinstance(self.sampler, RandomSampler):
            how.append("shuffle=True")
        elif self.sampler is not None and type(self.sampler) is not SequentialSampler:
            how.append(f"sampler={self.sampler!r:.80}")
        how += ["drop_last=True"] * self.drop_last + [f"num_workers={self.num_workers}"]
        count = _length(self)
        batches = "" if count is None else f": {count} batch{'' if count == 1 else 'es'}"
        return f"{type(self).__name__}({self.dataset!r:.200}, {', '.join(how)}){batches}"

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: JSON-ready; a batch counts from the moment that it was given out."""
        state = self.source.state_dict() | {"epoch": self.epoch, "position": self.position}
        state["batches"] = _length(self)
        if isinstance(self._order, Sampler):
            state["sampler"] = self._order.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken, at the next pass.

        Raises: ArgumentError if this loader has another number of batches than that one, CheckpointError if
        it is no state of a loader; then nothing was changed.
        """
        self.check_state_dict(state)
        self.source.load_state_dict(state)
        self.epoch, self.position = state["epoch"], state["position"]
        if isinstance(self._order, Sampler):
            self._order.load_state_dict(state["sampler"])
        self._running = False

    def check_state_dict(self, state: dict[str, Any]) -> None:
        """Raise what `load_state_dict` would."""
        batches = _length(self)
        self.source.check_state_dict(state)
        expect_state(
            state,
            "DataLoader",
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
        if isinstance(self._order, Sampler):
            expect_state(state, "DataLoader", sampler=lambda sampler: isinstance(sampler, dict))
            self._order.check_state_dict(state["sampler"])

    @property
    def _order(self) -> Any:
        """What one item of the order is loaded from: a list of indices, or one index."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _target(self) -> Target:
        """Where the batches of a pass that begins now are made."""
        backend, device = get_backend(), get_device()
        copies = self.pin_memory and self.tensors and backend.copier is not None
        return Target(backend, device, backend.copier(device) if copies else None)  # type: ignore[misc]

    def _batches(self, epoch: int, start: int, target: Target) -> Iterator[Any]:
        """The batches of one epoch from number `start` on."""
        loaded = (
            self._read_through(epoch, start, target)
            if self._iterates
            else self._look_up(epoch, start, target)
        )
        if target.copier is not None:
            loaded = arriving(loaded, target.copier, one_ahead=not self.num_workers)
        for position, batch in enumerate(loaded, start):
            if self.epoch == epoch:
                self.position = position + 1
            yield batch
        if self.epoch == epoch:
            self.epoch, self.position, self._running = epoch + 1, 0, False

    def _look_up(self, epoch: int, start: int, target: Target) -> Iterator[Any]:
        """The batches of a dataset with indices."""
        if isinstance(self._order, Sampler):
            self._order.set_epoch(epoch)
        numbered: Iterator[tuple[int, Any]] = itertools.islice(enumerate(self._order), start, None)
        if self._shard is not None:
            parts = ((number, self._part_of(list(indices))) for number, indices in numbered)
            numbered = ((number, indices) for number, indices in parts if indices)
        recipe, seed, workers = self._recipe(target), self.seed, self._workers(epoch)
        if not workers or self.multiprocessing_context is None:
            load = partial(recipe.load, seed, epoch, target)
            yield from in_order(load, numbered, workers, *self._waiting, self.worker_init_fn, self._paced())
            return
        with self._processes_of(recipe, workers) as processes:

            def ask(item: tuple[int, Any]) -> Any:
                batch = processes.load(get_worker_info().id, seed, epoch, item)  # type: ignore[union-attr]
                return settled(batch, recipe, recipe.finish(target))

            ending = processes.interrupt, GRACE * self.persistent_workers
            pace = Pace(self.num_workers, measured=False)
            yield from in_order(ask, numbered, workers, *self._waiting, None, pace, *ending)

    def _read_through(self, epoch: int, start: int, target: Target) -> Iterator[Any]:
        """The batches of an IterableDataset; those before `start` are read, too."""
        recipe, workers = self._recipe(target), self._workers(epoch)
        if not workers:
            yield from itertools.islice(recipe.read(target, None), start, None)
            return
        if self.multiprocessing_context is None:
            read = partial(recipe.read, target)
            batches = in_turns(read, workers, *self._waiting, self.worker_init_fn)
            yield from itertools.islice(batches, start, None)
            return
        with self._processes_of(recipe, workers) as processes:

            def ask(worker: WorkerInfo) -> Iterator[Any]:
                for batch in processes.read(worker.id):
                    yield settled(batch, recipe, recipe.finish(target))

            ending = processes.interrupt, GRACE * self.persistent_workers
            batches = in_turns(ask, workers, *self._waiting, None, *ending)
            yield from itertools.islice(batches, start, None)

    @contextlib.contextmanager
    def _processes_of(self, recipe: Recipe, workers: list[WorkerInfo]) -> Iterator[Processes]:
        """Worker processes, which go on after the pass if they are persistent."""
        processes = self._processes
        if processes is None or not processes.alive:
            if processes is not None:
                processes.close()
            self._processes = None
            processes = Processes(recipe, workers, self.multiprocessing_context, self.worker_init_fn)
            if self.persistent_workers:
                self._processes = processes
                weakref.finalize(self, processes.close)
        try:
            yield processes
        finally:
            if self._processes is not processes:
                processes.close()

    def _paced(self) -> Pace:
        """What the threads of all passes have measured."""
        if self._pace is None:
            self._pace = Pace(self.num_workers)
        return self._pace

    @property
    def _waiting(self) -> tuple[int, float]:
        """How far workers may be ahead, and how long one waits for them."""
        return self.prefetch_factor, self.timeout

    def _recipe(self, target: Target) -> Recipe:
        return Recipe(
            self.dataset,
            self.collate_fn,
            single=self.batch_sampler is None,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            tensors=self.tensors,
            apart=self.num_workers > 0 or target.copier is not None,
        )

    def _workers(self, epoch: int) -> list[WorkerInfo]:
        seeds = [stream_at(self.seed, epoch, 0, number).seed for number in range(self.num_workers)]
        return [
            WorkerInfo(
                number, self.num_workers, seed, copy.copy(self.dataset) if self._iterates else self.dataset
            )
            for number, seed in enumerate(seeds)
        ]


def _expect_order(
    iterates: bool,
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Any,
    batch_sampler: Any,
    drop_last: bool,
) -> None:
    """Refuse arguments on the order that contradict each other, and flags that are none: "False" is true."""
    for name, flag in (("shuffle", shuffle), ("drop_last", drop_last)):
        if not (flag is None or isinstance(flag, int)):
            raise _error(f"expects {name} as True or False, got {flag!r:.60}")
    if iterates and (shuffle or sampler is not None or batch_sampler is not None):
        raise _error(
            "cannot change the order of an IterableDataset: leave shuffle, sampler, batch_sampler out"
        )
    if sampler is not None and shuffle:
        raise _error("expects either shuffle or a sampler, which brings its own order, got both")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise _error("expects a batch_sampler alone, without batch_size, shuffle, sampler and drop_last")
    if batch_sampler is None and batch_size is None and drop_last:
        raise _error("expects a batch_size with drop_last=True, got None")


def _length(sized: Any) -> int | None:
    """The length, if it is known: not of a sampler that goes on as it likes."""
    try:
        return len(sized)
    except TypeError:
        return None


def _too_few(samples: int, size: int) -> ArgumentError:
    return _error(
        f"has a batch of {samples} samples, too few for {size} processes",
        "Give it drop_last=True, or another batch_size, which is that of all processes together",
    )


def _error(problem: str, hint: str = "") -> ArgumentError:
    return ArgumentError(problem, subject="DataLoader", hint=hint)
