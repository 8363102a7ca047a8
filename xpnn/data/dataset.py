"""Datasets: indexed collections of samples on the host.

A dataset is anything with `__len__` and `__getitem__`. One that can give a whole batch at once, faster than
sample by sample, also has `gather(indices)` and says `batched = True`.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from xpnn.backend import ArgumentError, IndexOutOfRangeError, ShapeError, admit, is_array, random, to_numpy
from xpnn.data.collate import default_collate
from xpnn.data.seeding import fresh_seed
from xpnn.data.transforms import transform_batch

Transform = Callable[[Any], Any]


class Dataset:
    """The base of map-style datasets: subclasses define `__getitem__` and `__len__`.

    `batched` says whether the DataLoader may ask for `gather(indices)`, the collated batch. A subclass that
    redefines `__getitem__` alone is read sample by sample, whatever it inherits.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> gather(Squares(), [1, 3])
    (array([1, 3]), array([1, 9]))
    """

    batched: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__getitem__" in vars(cls) and "gather" not in vars(cls):
            cls.batched = False

    def __getitem__(self, index: int) -> Any:
        """The sample at `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class TensorDataset(Dataset):
    """Samples that are the rows of arrays of one length; a batch is one indexing per array.

    Args:
        *tensors: arrays (n, ...) of any library, or nested lists. They are kept on the host, in their own
            element type; `tensors` holds them as NumPy arrays.
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
        self.tensors = tuple(
            to_numpy(admit(tensor, "TensorDataset") if is_array(tensor) else tensor) for tensor in tensors
        )
        if not tensors or any(tensor.ndim == 0 for tensor in self.tensors):
            raise ShapeError("expects arrays with a first axis of samples", subject="TensorDataset")
        lengths = [len(tensor) for tensor in self.tensors]
        if len(set(lengths)) > 1:
            raise ShapeError(
                f"expects arrays of one length, got {' and '.join(map(str, lengths))} samples",
                subject=type(self).__name__,
            )
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        """The sample at an integer; the batch of samples at a slice or an array of integers."""
        try:
            values = tuple(tensor[index] for tensor in self.tensors)
        except IndexError as error:
            raise IndexOutOfRangeError(str(error), subject=type(self).__name__) from None
        return _transformed(values, self, one=isinstance(index, int | np.integer))

    def gather(self, indices: Sequence[int]) -> tuple[Any, ...]:
        """The batch of the samples at `indices`."""
        return self[np.asarray(indices, dtype=np.intp)]


class TransformDataset(Dataset):
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


class Subset(Dataset):
    """The samples of `dataset` at `indices`.

    Raises: IndexOutOfRangeError.

    >>> Subset(TensorDataset([10, 20, 30]), [2, 0])[0]
    (np.int64(30),)
    """

    def __init__(self, dataset: Any, indices: Iterable[int]) -> None:
        self.dataset = dataset
        self.batched = is_batched(dataset)
        self.indices = np.fromiter(indices, dtype=np.intp)
        count = len(dataset)
        outside = self.indices[(self.indices < -count) | (self.indices >= count)]
        if outside.size:
            raise IndexOutOfRangeError(
                f"expects indices into a dataset of {count} samples, got {outside[0]}", subject="Subset"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        """The sample at `indices[index]` of the whole dataset."""
        _require_index(index, len(self), "Subset")
        return self.dataset[int(self.indices[index])]

    def gather(self, indices: Sequence[int]) -> Any:
        """The batch of the samples at `indices` of the subset."""
        return self.dataset.gather(self.indices[np.asarray(indices, dtype=np.intp)])


class ConcatDataset(Dataset):
    """Datasets one after the other; `first + second` makes one, too.

    >>> len(TensorDataset([1, 2]) + TensorDataset([3]))
    3
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ArgumentError("expects at least one dataset, got none", subject="ConcatDataset")
        self.cumulative_sizes = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        """The sample at `index`, counted through all datasets."""
        _require_index(index, len(self), "ConcatDataset")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


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
    count = len(dataset)
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
    return [Subset(dataset, part) for part in np.split(order, np.cumsum(sizes)[:-1])]


def gather(dataset: Any, indices: Sequence[int]) -> Any:
    """The batch of the samples at `indices` of any object with `__getitem__`."""
    if is_batched(dataset):
        return dataset.gather(indices)
    return default_collate([dataset[index] for index in indices])


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


def _require_index(index: int, count: int, subject: str) -> None:
    if not -count <= index < count:
        raise IndexOutOfRangeError(f"has {count} samples, got index {index}", subject=subject)
