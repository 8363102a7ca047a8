"""Datasets: indexed collections of samples on the host.

A dataset is anything with `__len__` and `__getitem__`. One that can give a whole batch at once, faster than
sample by sample, also has `gather(indices)` and says `batched = True`.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    IndexOutOfRangeError,
    RefusingConstructor,
    ShapeError,
    admit,
    dtype_name,
    is_array,
    is_tensor,
    random,
    refusing,
    to_numpy,
)
from xpnn.data.collate import default_convert, stack_samples
from xpnn.data.seeding import fresh_seed
from xpnn.data.transforms import transform_batch

__all__ = [
    *("ChainDataset", "ConcatDataset", "Dataset", "IterableDataset", "StackDataset", "Subset"),
    *("TensorDataset", "TransformDataset", "random_split"),
]

Transform = Callable[[Any], Any]
Sample = TypeVar("Sample", covariant=True)


class Dataset(RefusingConstructor, Generic[Sample]):
    """The base of map-style datasets: subclasses define `__getitem__` and `__len__`.

    `batched` says whether the DataLoader may ask for `gather(indices)`, the collated batch. A subclass that
    redefines `__getitem__` alone is read sample by sample, whatever it inherits.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> gather(Squares(), [1, 3])
    [array([1, 3]), array([1, 9])]
    """

    batched: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__getitem__" in vars(cls) and "gather" not in vars(cls):
            cls.batched = False

    def __getitem__(self, index: int) -> Sample:
        """The sample at `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._parts())})"

    def _parts(self) -> list[str]:
        """What `repr` tells: the number of samples, and what a subclass adds."""
        try:
            count = len(self)
        except (TypeError, NotImplementedError):
            return []
        return [f"{count} sample{'' if count == 1 else 's'}"]


class IterableDataset(Dataset[Sample]):
    """The base of datasets that can only be read from the beginning: subclasses define `__iter__`.

    A DataLoader reads one in the order that it comes in. Each of its workers reads the whole of it; what
    `get_worker_info()` says lets `__iter__` give this worker's share.

    >>> class Countdown(IterableDataset):
    ...     def __iter__(self):
    ...         return iter([3, 2, 1])
    >>> list(Countdown() + Countdown())
    [3, 2, 1, 3, 2, 1]
    """

    __getitem__: Any = None  # so that nothing takes it for a sequence

    def __iter__(self) -> Iterator[Sample]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} has no length")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])


class TensorDataset(Dataset[tuple[Any, ...]]):
    """Samples that are the rows of arrays of one length; a batch is one indexing per array.

    Args:
        *tensors: arrays (n, ...) of any library, Tensors, or nested lists. They are kept on the host, in
            their own element type; `tensors` holds Tensors as they came, and NumPy arrays of all others.
            What came as a Tensor gives Tensors of the current backend.
        transform: applied to the sample's first entry. The transforms of `xpnn.data` work on a batch
            at once, any other callable is called sample by sample.
        target_transform: the same for the second entry.

    Raises: ShapeError for arrays of different lengths; IndexOutOfRangeError; GradientError for a Tensor that
        requires a gradient, which a dataset does not carry on.

    >>> dataset = TensorDataset(np.eye(3), [0, 1, 2])
    >>> len(dataset), dataset[1]
    (3, (array([0., 1., 0.]), np.int64(1)))
    """

    batched = True

    def __init__(
        self, *tensors: Any, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.arrays = tuple(map(_on_host, tensors))
        self.tensors = tuple(
            tensor if is_tensor(tensor) else array for tensor, array in zip(tensors, self.arrays)
        )
        if not tensors or any(array.ndim == 0 for array in self.arrays):
            raise ShapeError("expects arrays with a first axis of samples", subject="TensorDataset")
        lengths = [len(array) for array in self.arrays]
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"expects arrays of one length, got {' and '.join(map(str, lengths))} samples",
                subject=type(self).__name__,
            )
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        """The sample at an integer; the batch of samples at a slice or an array of integers."""
        values = self._rows(index, one=isinstance(index, int | np.integer))
        return tuple(
            default_convert(value) if is_tensor(tensor) else value
            for tensor, value in zip(self.tensors, values)
        )

    def gather(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """The batch of the samples at `indices`, on the host."""
        return self._rows(np.asarray(indices, dtype=np.intp), one=False)

    def _rows(self, index: Any, one: bool) -> tuple[Any, ...]:
        index = to_numpy(index) if is_array(index) else index
        try:
            values = tuple(array[index] for array in self.arrays)
        except IndexError as error:
            raise IndexOutOfRangeError(str(error), subject=type(self).__name__) from None
        return _transformed(values, self, one)

    def _parts(self) -> list[str]:
        return super()._parts() + [f"{_element(array)} {tuple(array.shape[1:])}" for array in self.arrays]


class TransformDataset(Dataset[tuple[Any, ...]]):
    """A dataset seen through transforms, for example augmentation on the training part of a split.

    Args:
        dataset: gives tuples (input, target, ...).
        transform, target_transform: as in `TensorDataset`.

    >>> dataset = TransformDataset(TensorDataset(np.eye(2), [0, 1]), transform=lambda x: x * 3)
    >>> dataset[1]
    (array([0., 3.]), np.int64(1))
    """

    def __init__(
        self, dataset: Any, transform: Transform | None = None, target_transform: Transform | None = None
    ) -> None:
        self.dataset = dataset
        self.batched = is_batched(dataset)
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """The sample at `index`, transformed."""
        return _transformed(tuple(self.dataset[index]), self, one=True)

    def gather(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """The batch of the samples at `indices`, transformed at once."""
        return _transformed(tuple(self.dataset.gather(indices)), self, one=False)

    def _parts(self) -> list[str]:
        return [repr(self.dataset)]


class Subset(Dataset[Sample]):
    """The samples of `dataset` at `indices`.

    Raises: IndexOutOfRangeError; DTypeError for indices that are no integers.

    >>> Subset(TensorDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    """

    def __init__(self, dataset: Dataset[Sample], indices: Iterable[int]) -> None:
        self.dataset = dataset
        self.batched = is_batched(dataset)
        self.indices: Any = indices if isinstance(indices, list | np.ndarray) else list(indices)
        self._places = _integers(self.indices)
        count = len(dataset)
        outside = self._places[(self._places < -count) | (self._places >= count)]
        if outside.size:
            raise IndexOutOfRangeError(
                f"expects indices into a dataset of {count} samples, got {outside[0]}", subject="Subset"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        """The sample at `indices[index]` of the whole dataset; of a list of indices, the list of samples."""
        if isinstance(index, list):
            return [self[i] for i in index]
        _require_index(index, len(self), "Subset")
        return self.dataset[int(self._places[index])]

    def gather(self, indices: Sequence[int]) -> Any:
        """The batch of the samples at `indices` of the subset."""
        whole: Any = self.dataset
        return whole.gather(self._places[np.asarray(indices, dtype=np.intp)])

    def _parts(self) -> list[str]:
        return [*super()._parts(), f"of {self.dataset!r:.200}"]


class ConcatDataset(Dataset[Any]):
    """Datasets one after the other; `first + second` makes one, too.

    >>> len(TensorDataset([1, 2]) + TensorDataset([3]))
    3
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("expects at least one dataset, got none", subject="ConcatDataset")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise ArgumentError(
                "expects datasets with indices, got an IterableDataset",
                subject="ConcatDataset",
                hint="Use ChainDataset",
            )
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        """The sample at `index`, counted through all datasets."""
        _require_index(index, len(self), "ConcatDataset")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset[Any]):
    """Iterable datasets one after the other; `first + second` makes one, too.

    Raises: DTypeError for a dataset that is no IterableDataset, when its turn comes.
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise DTypeError(
                    f"expects IterableDatasets, got {type(dataset).__name__}",
                    subject="ChainDataset",
                    hint="Use ConcatDataset",
                )
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class StackDataset(Dataset[Any]):
    """Datasets side by side: a sample holds one of each.

    Args:
        *args: datasets of one length, whose samples make a tuple,
        **kwargs: or named ones, whose samples make a dict.

    Raises: ArgumentError for datasets of different lengths, none, or both kinds.

    >>> StackDataset(image=[1.5, 2.5], text=["a", "b"])[1]
    {'image': 2.5, 'text': 'b'}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ArgumentError(
                "expects datasets, either all with a name or all without", subject="StackDataset"
            )
        self.datasets: Any = kwargs or args
        lengths = [len(dataset) for dataset in (*args, *kwargs.values())]
        if len(set(lengths)) > 1:
            raise ArgumentError(
                f"expects datasets of one length, got {' and '.join(map(str, lengths))} samples",
                subject="StackDataset",
            )

    def __len__(self) -> int:
        return len(
            next(iter(self.datasets.values())) if isinstance(self.datasets, dict) else self.datasets[0]
        )

    def __getitem__(self, index: int) -> Any:
        """The samples at `index` of all datasets."""
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)


@refusing
def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Split a dataset at random into subsets that do not overlap.

    Args:
        lengths: how many samples each subset gets, which add up to `len(dataset)`; or fractions that add
            up to 1, of which what rounding down leaves over goes to the first subsets, one sample each.
        generator: an `xpnn.Generator`, a NumPy generator or a seed; None takes what `manual_seed` determines.

    Raises: ArgumentError if the lengths do not add up.

    >>> train, test = random_split(TensorDataset(np.arange(10)), [0.8, 0.2], generator=0)
    >>> len(train), len(test), sorted([*train.indices, *test.indices]) == list(range(10))
    (8, 2, True)
    """
    count, lengths = len(dataset), list(lengths)
    if all(0 <= length <= 1 for length in lengths) and math.isclose(sum(lengths), 1):
        sizes = [math.floor(count * fraction) for fraction in lengths]
        for extra in range(count - sum(sizes)):
            sizes[extra % len(sizes)] += 1
    else:
        sizes = [int(length) for length in lengths]
        if sum(sizes) != count or min(sizes) < 0 or sizes != list(lengths):
            raise ArgumentError(
                f"expects lengths that add up to {count}, or fractions that add up to 1, got {list(lengths)}",
                subject="random_split",
            )
    order = random.host_generator_of(fresh_seed() if generator is None else generator).permutation(count)
    return [Subset(dataset, part.tolist()) for part in np.split(order, np.cumsum(sizes)[:-1])]


def gather(dataset: Any, indices: Sequence[int]) -> Any:
    """The batch of the samples at `indices` of any object with `__getitem__`."""
    if is_batched(dataset):
        return dataset.gather(indices)
    return stack_samples(fetch(dataset, indices))


def fetch(dataset: Any, indices: Sequence[int]) -> list[Any]:
    """The samples at `indices`, at once if the dataset has a `__getitems__` for that, as PyTorch calls it."""
    together = getattr(dataset, "__getitems__", None)
    return [dataset[index] for index in indices] if together is None else together(indices)


def is_batched(dataset: Any) -> bool:
    """Whether a dataset gives whole batches by `gather(indices)`."""
    return getattr(dataset, "batched", False)


def _transformed(values: tuple[Any, ...], dataset: Any, one: bool) -> tuple[Any, ...]:
    """One sample or a batch, with the dataset's transforms applied to the first two entries."""
    transforms = (dataset.transform, dataset.target_transform)
    changed = [
        value if transform is None else transform(value) if one else transform_batch(transform, value)
        for value, transform in zip(values, transforms)
    ]
    return (*changed, *values[2:])


def _on_host(values: Any) -> Array:
    """An array on the host; one of bfloat16, which NumPy has not, where it is."""
    array = admit(values, "TensorDataset") if is_array(values) else values
    return array if is_array(array) and dtype_name(array.dtype) == "bfloat16" else to_numpy(array)


def _integers(indices: Any) -> np.ndarray:
    places = np.asarray([int(i) if is_tensor(i) else i for i in indices] if len(indices) else [], dtype=None)
    if places.size and places.dtype.kind not in "iu":
        raise DTypeError(f"expects integers as indices, got {places.dtype}", subject="Subset")
    return places.astype(np.intp)


def _element(array: Array) -> str:
    return dtype_name(array.dtype)


def _require_index(index: int, count: int, subject: str) -> None:
    if not -count <= index < count:
        raise IndexOutOfRangeError(f"has {count} samples, got index {index}", subject=subject)
