"""Datasets, samplers, collation and the DataLoader."""

from __future__ import annotations

import copy
import json
import threading
import traceback
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import (
    ArgumentError,
    DataError,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    backend_of,
    device_of,
    get_backend,
    to_numpy,
)
from xpnn.data import (
    BatchSampler,
    ChainDataset,
    Compose,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomCrop,
    RandomHorizontalFlip,
    RandomSampler,
    Sampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    TransformDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)
from xpnn.data.pace import Pace

AUGMENT = Compose([RandomCrop(4, padding=1), RandomHorizontalFlip()])


class PerItem(Dataset):
    """The samples of a dataset, one by one: the slow road that the fast one must agree with."""

    def __init__(self, dataset: Any, fail_at: int = -1) -> None:
        self.dataset = dataset
        self.fail_at = fail_at

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        if index == self.fail_at:
            raise KeyError(f"sample {index} is broken")
        return self.dataset[index]


def images(count: int = 23, **options: Any) -> TensorDataset:
    x = np.arange(count * 2 * 16, dtype=np.float32).reshape(count, 2, 4, 4)
    return TensorDataset(x, np.arange(count), **options)


def batches(loader: DataLoader) -> list[tuple[list, list]]:
    return [(to_numpy(x).tolist(), to_numpy(y).tolist()) for x, y in loader]


def order(loader: DataLoader) -> list[int]:
    return [int(label) for _, labels in loader for label in to_numpy(labels)]


# --- datasets ---


def test_tensor_dataset_keeps_types_and_gathers() -> None:
    dataset = TensorDataset(np.arange(12, dtype=np.uint8).reshape(4, 3), [0.5, 1.5, 2.5, 3.5])
    assert [tensor.dtype for tensor in dataset.tensors] == [np.uint8, np.float32]
    x, y = dataset[2]
    assert x.tolist() == [6, 7, 8]
    assert y == 2.5
    assert dataset[-1][1] == 3.5
    assert dataset.gather([3, 0])[0].tolist() == [[9, 10, 11], [0, 1, 2]]
    assert [float(y) for _, y in dataset] == [0.5, 1.5, 2.5, 3.5]  # iteration ends by IndexError


def test_tensor_dataset_takes_arrays_of_any_library(backend: Target) -> None:
    labels = xpnn.tensor([1, 2])
    dataset = TensorDataset(backend.array([[1.0], [2.0]]), labels)
    assert type(dataset.tensors[0]) is np.ndarray
    assert dataset.tensors[1] is labels
    image, label = dataset[1]
    assert type(image) is np.ndarray
    assert image.tolist() == [2.0]
    assert isinstance(label, xpnn.Tensor)
    assert label.item() == 2
    assert dataset[0:2][1].tolist() == [1, 2]
    assert dataset[xpnn.tensor([1])][1].tolist() == [2]


def test_own_transforms_see_samples_also_on_the_fast_road() -> None:
    dataset = images(5, transform=lambda image: image.reshape(-1), target_transform=lambda label: label + 100)
    x, y = next(iter(DataLoader(dataset, batch_size=3)))
    assert x.shape == (3, 32)
    assert y.tolist() == [100, 101, 102]
    np.testing.assert_array_equal(x[1], dataset[1][0])


def test_a_subclass_with_its_own_getitem_is_read_by_it() -> None:
    class Doubled(TensorDataset):
        def __getitem__(self, index: int) -> Any:
            assert isinstance(index, int)
            return tuple(2 * value for value in super().__getitem__(index))

    assert next(iter(DataLoader(Doubled([1, 2, 3]), batch_size=3)))[0].tolist() == [2, 4, 6]
    assert next(iter(DataLoader(Subset(Doubled([1, 2, 3]), [2]))))[0].tolist() == [6]


def test_subset_concat_and_transform_dataset_agree_with_lists() -> None:
    whole = images(6)
    subset = Subset(whole, [4, -1, 0])
    assert [int(y) for _, y in subset] == [4, 5, 0]
    assert subset.gather([2, 0])[1].tolist() == [0, 4]
    joined = subset + whole
    assert isinstance(joined, ConcatDataset)
    assert [int(joined[i][1]) for i in range(len(joined))] == [4, 5, 0, 0, 1, 2, 3, 4, 5]
    assert int(joined[-7][1]) == 0
    negated = TransformDataset(subset, transform=np.negative)
    np.testing.assert_array_equal(negated.gather([1])[0][0], -whole[5][0])
    np.testing.assert_array_equal(negated[1][0], -whole[5][0])


def test_lists_are_datasets() -> None:
    loader = DataLoader([(1.0, "a"), (2.0, "b"), (3.0, "c")], batch_size=2)
    (x, names), _ = loader
    assert x.tolist() == [1.0, 2.0]
    assert x.dtype == xpnn.float64
    assert names == ("a", "b")


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([7, 3], [7, 3]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([0.25] * 4, [3, 3, 2, 2])]
)
def test_random_split_is_a_partition(lengths: list, sizes: list) -> None:
    parts = random_split(range(10), lengths, generator=3)
    assert [len(part) for part in parts] == sizes
    assert sorted(int(i) for part in parts for i in part.indices) == list(range(10))
    again = random_split(range(10), lengths, generator=np.random.default_rng(3))
    assert [part.indices for part in parts] == [part.indices for part in again]


def test_random_split_follows_manual_seed() -> None:
    def split(seed: int) -> list:
        xpnn.manual_seed(seed)
        return random_split(range(50), [25, 25])[0].indices

    assert split(1) == split(1) != split(2)


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.4], [11, -1], [2.5, 7.5]])
def test_random_split_refuses_what_does_not_add_up(lengths: list) -> None:
    with pytest.raises(ArgumentError, match="add up to"):
        random_split(range(10), lengths)


def test_dataset_errors() -> None:
    with pytest.raises(ShapeError, match="TensorDataset expects arrays of one length, got 3 and 2 samples"):
        TensorDataset(np.zeros((3, 1)), np.zeros(2))
    with pytest.raises(ShapeError, match="first axis"):
        TensorDataset()
    with pytest.raises(IndexOutOfRangeError):
        images(3)[3]
    with pytest.raises(IndexError, match="Subset has 1 samples, got index 1"):
        Subset(images(3), [0])[1]
    with pytest.raises(IndexOutOfRangeError, match="3 samples, got 7"):
        Subset(images(3), [0, 7])
    with pytest.raises(IndexError, match="got index -7"):
        (images(3) + images(3))[-7]
    with pytest.raises(ArgumentError, match="at least one dataset"):
        ConcatDataset([])
    with pytest.raises(NotImplementedError, match="must define __len__"):
        len(Dataset())


def test_stacked_datasets() -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    for arguments in (([1, 2], ["a", "b"]), ()):
        named = {} if arguments else {"x": [1, 2], "name": ["a", "b"]}
        mine, theirs = StackDataset(*arguments, **named), torch_data.StackDataset(*arguments, **named)
        assert [mine[i] for i in range(len(mine))] == [theirs[i] for i in range(len(theirs))]
    with pytest.raises(ArgumentError, match="one length, got 1 and 2 samples"):
        StackDataset([1], [1, 2])
    with pytest.raises(ArgumentError, match="all with a name"):
        StackDataset()


class Numbers(IterableDataset[int]):
    """Numbers below a bound, shared out among the workers if there are any."""

    def __init__(self, stop: int) -> None:
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        worker = get_worker_info()
        if worker is None:
            return iter(range(self.stop))
        return iter(range(worker.id, self.stop, worker.num_workers))


def test_iterable_datasets() -> None:
    loader = DataLoader(Numbers(7), batch_size=3)
    assert [batch.tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [len(batch) for batch in DataLoader(Numbers(7), batch_size=3, drop_last=True)] == [3, 3]
    assert list(DataLoader(Numbers(2), batch_size=None)) == [0, 1]
    shared = DataLoader(Numbers(9), batch_size=2, num_workers=2)
    assert [batch.tolist() for batch in shared] == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    assert not loader_threads()
    chain = Numbers(2) + Numbers(3)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [0, 1, 0, 1, 2]
    with pytest.raises(TypeError, match="no length"):
        len(loader)
    with pytest.raises(ArgumentError, match="order of an IterableDataset"):
        DataLoader(Numbers(2), shuffle=True)
    with pytest.raises(DTypeError, match="ConcatDataset"):
        list(ChainDataset([[1, 2]]))
    with pytest.raises(ArgumentError, match="ChainDataset"):
        ConcatDataset([Numbers(2)])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iterable_dataset_resumes(workers: int) -> None:
    def loader() -> DataLoader:
        return DataLoader(Numbers(11), batch_size=2, num_workers=workers)

    expected = [batch.tolist() for batch in loader()]
    cut, resumed = loader(), loader()
    running = iter(cut)
    seen = [next(running).tolist() for _ in range(2)]
    resumed.load_state_dict(json.loads(json.dumps(cut.state_dict())))
    assert seen + [batch.tolist() for batch in resumed] == expected


# --- samplers ---


def test_samplers() -> None:
    assert list(SequentialSampler(range(3))) == [0, 1, 2]
    sampler = RandomSampler(range(10), seed=5)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first == list(RandomSampler(range(10), seed=5)) != second
    sampler.set_epoch(1)
    assert second == list(sampler) == list(sampler)
    assert first != list(RandomSampler(range(10), seed=6))


def test_samplers_follow_a_generator_and_manual_seed() -> None:
    generator = xpnn.Generator().manual_seed(3)
    for sampler in (
        RandomSampler(range(30), generator=generator),
        SubsetRandomSampler(range(30), generator=generator),
        WeightedRandomSampler([1.0] * 30, 30, generator=generator),
    ):
        generator.manual_seed(3)
        first, second = list(sampler), list(sampler)
        generator.manual_seed(3)
        assert first == list(sampler) != second
        assert sampler.generator is generator
    for sampler in (RandomSampler(range(30)), SubsetRandomSampler(range(30))):
        xpnn.manual_seed(1)
        first, second = list(sampler), list(sampler)
        xpnn.manual_seed(1)
        assert [first, second] == [list(sampler), list(sampler)]
        assert first != second
    with pytest.raises(ArgumentError, match="either seed or generator"):
        RandomSampler(range(3), generator=generator, seed=1)


def test_subset_and_weighted_samplers() -> None:
    sampler = SubsetRandomSampler(xpnn.tensor([4, 7, 9]), seed=0)
    assert sorted(sampler) == [4, 7, 9]
    assert len(sampler) == 3
    drawn = list(WeightedRandomSampler(xpnn.tensor([0.0, 1.0, 3.0]), 4000, seed=0))
    counts = np.bincount(drawn, minlength=3)
    assert counts[0] == 0
    assert 2880 < counts[2] < 3120  # 3000 +- 4 standard deviations
    assert sorted(WeightedRandomSampler([0.1, 0.0, 5.0], 2, replacement=False)) == [0, 2]
    for weights, count, message in (
        ([1.0, -1.0], 1, "finite weights >= 0"),
        ([0.0], 1, "one above 0"),
        ([[1.0]], 1, r"shape \(1, 1\)"),
        ([1.0], 0, "num_samples >= 1, got 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            WeightedRandomSampler(weights, count)
    with pytest.raises(ArgumentError, match="cannot draw 2 samples of 1"):
        WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_distributed_sampler(drop_last: bool, shuffle: bool) -> None:
    shares = [DistributedSampler(range(11), 4, rank, shuffle, drop_last=drop_last) for rank in range(4)]
    assert {len(list(share)) for share in shares} == {len(shares[0])} == {2 if drop_last else 3}
    visited = {index for share in shares for index in share}
    assert len(visited) == (8 if drop_last else 11)
    first = list(shares[0])
    assert first == list(shares[0])
    shares[0].set_epoch(1)
    assert (first != list(shares[0])) == shuffle
    if not shuffle:  # PyTorch's shares exactly
        torch_data = pytest.importorskip("torch.utils.data")
        for rank, share in enumerate(shares):
            theirs = torch_data.DistributedSampler(range(11), 4, rank, False, drop_last=drop_last)
            assert list(share) == list(theirs)
    with pytest.raises(ArgumentError, match="rank in"):
        DistributedSampler(range(3), 2, 2)
    with pytest.raises(ArgumentError, match="num_replicas and rank where there is no job"):
        DistributedSampler(range(3))
    for wrong in ((2, True), ("2", 0), (0, 0), (2, -1)):
        with pytest.raises(ArgumentError):
            DistributedSampler(range(3), *wrong)


def test_random_sampler_counts() -> None:
    with_replacement = list(RandomSampler(range(4), replacement=True, num_samples=1000, seed=0))
    counts = np.bincount(with_replacement, minlength=4)
    assert len(with_replacement) == 1000
    assert 200 < counts.min() <= counts.max() < 300  # 250 +- 4 standard deviations
    around = list(RandomSampler(range(4), num_samples=10, seed=0))
    assert sorted(around[:4]) == sorted(around[4:8]) == [0, 1, 2, 3]
    assert len(around) == 10


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("count", [1, 5, 6])
def test_batch_sampler(count: int, drop_last: bool) -> None:
    sampler = BatchSampler(SequentialSampler(range(count)), 3, drop_last)
    expected = [list(range(i, min(i + 3, count))) for i in range(0, count, 3)]
    expected = [batch for batch in expected if len(batch) == 3 or not drop_last]
    assert list(sampler) == expected
    assert len(sampler) == len(expected)


# --- collation ---


def test_collate_structures() -> None:
    Point = namedtuple("Point", "x y")
    samples = [
        {"image": np.full((2,), i, np.uint8), "point": Point(i, float(i)), "name": str(i), "flags": [True, i]}
        for i in range(3)
    ]
    batch = default_collate(samples)
    assert batch["image"].dtype == xpnn.uint8
    assert batch["image"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert isinstance(batch["point"], Point)
    assert batch["point"].x.dtype == xpnn.int64
    assert batch["point"].y.dtype == xpnn.float64
    assert batch["name"] == ["0", "1", "2"]
    assert isinstance(batch["flags"], list)
    assert batch["flags"][0].dtype == xpnn.bool


def same(mine: Any, theirs: Any) -> None:
    """Structures of Tensors, ours and PyTorch's, are equal: types of containers, element types, values."""
    if isinstance(mine, xpnn.Tensor):
        assert str(theirs.dtype) == f"torch.{mine.dtype.name}"
        assert mine.tolist() == theirs.tolist()
    elif isinstance(mine, dict):
        assert type(mine) is type(theirs)
        assert list(mine) == list(theirs)
        for key in mine:
            same(mine[key], theirs[key])
    elif isinstance(mine, list | tuple):
        assert type(mine) is type(theirs)
        for one, other in zip(mine, theirs, strict=True):
            same(one, other)
    else:
        assert mine == theirs


Point = namedtuple("Point", "x y")
SAMPLES = {
    "numbers": [(1, 2.5, True), (2, 3.5, False)],
    "arrays": [
        (np.float32([1, 2]), np.uint8(3), np.float64(1.5)),
        (np.float32([3, 4]), np.uint8(4), np.float64(2)),
    ],
    "dicts": [{"a": 1, "b": "x"}, {"b": "y", "a": 2}],
    "ordered": [OrderedDict(a=np.zeros(1)), OrderedDict(a=np.ones(1))],
    "named": [Point([1, 2], "p"), Point([3, 4], "q")],
    "half": [np.float16(1), np.float16(2)],
    "bytes": [b"1", b"2"],
}


@pytest.mark.parametrize("name", SAMPLES)
def test_batches_and_samples_are_pytorchs(name: str) -> None:
    torch_data = pytest.importorskip("torch.utils.data")
    samples = SAMPLES[name]
    same(default_collate(samples), torch_data.default_collate(samples))
    same(default_convert(samples), torch_data.default_convert(samples))
    for options in ({"batch_size": 2}, {"batch_size": None}, {"batch_size": 1, "drop_last": True}):
        for mine, theirs in zip(
            DataLoader(samples, **options), torch_data.DataLoader(samples, **options), strict=True
        ):
            same(mine, theirs)


def test_collate_takes_arrays_and_tensors_of_any_library(backend: Target) -> None:
    batch = default_collate([(backend.array([1.0, i]), xpnn.tensor([i])) for i in range(2)])
    assert all(isinstance(part, xpnn.Tensor) for part in batch)
    assert batch[0].tolist() == [[1, 0], [1, 1]]
    assert batch[1].tolist() == [[0], [1]]


def test_collate_errors() -> None:
    with pytest.raises(
        ShapeError, match=r"equal shapes, got \(2,\) for sample 0 .* and \(3,\) for sample 1.*Resize"
    ):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ShapeError, match="equal lengths"):
        default_collate([(1, 2), (1,)])
    with pytest.raises(ShapeError, match="equal keys"):
        default_collate([{"a": 1}, {"b": 1}])
    with pytest.raises(DTypeError, match=r"got NoneType.*collate_fn"):
        default_collate([None, None])


# --- the loader ---


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("fast", [True, False])
def test_loader_gives_every_sample_once(workers: int, fast: bool) -> None:
    dataset = images() if fast else PerItem(images())
    loader = DataLoader(dataset, batch_size=5, shuffle=True, seed=1, num_workers=workers)
    first, second = order(loader), order(loader)
    assert len(loader) == 5
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second
    for x, y in loader:
        np.testing.assert_array_equal(x, images().tensors[0][y])


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def two_epochs(**options: Any) -> list:
        loader = DataLoader(images(), batch_size=4, shuffle=True, **options)
        return [order(loader), order(loader)]

    assert two_epochs(seed=1) == two_epochs(seed=1, num_workers=2) != two_epochs(seed=2)
    xpnn.manual_seed(7)
    unseeded = two_epochs()
    xpnn.manual_seed(7)
    assert two_epochs() == unseeded
    assert two_epochs() != unseeded


def test_a_loader_leaves_the_initial_weights_alone() -> None:
    drawn = xpnn.backend.random.host_generator().random(3).tolist()
    xpnn.manual_seed(0)
    list(DataLoader(images(transform=AUGMENT), batch_size=4, shuffle=True))
    assert xpnn.backend.random.host_generator().random(3).tolist() == drawn


@pytest.mark.parametrize("name", ["shuffle", "drop_last"])
def test_a_word_is_no_flag(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"expects {name} as True or False"):
        DataLoader(images(), **{name: "False"})


def test_without_shuffle_the_order_is_the_datasets() -> None:
    loader = DataLoader(images(), batch_size=5, drop_last=True)
    assert order(loader) == order(loader) == list(range(20))


def test_augmentation_depends_neither_on_threads_nor_on_how_far_ahead_they_are() -> None:
    def epochs(dataset: Any, **options: Any) -> list:
        loader = DataLoader(dataset, batch_size=4, shuffle=True, seed=1, **options)
        return [batches(loader), batches(loader)]

    augmented = images(transform=AUGMENT)
    expected = epochs(augmented, num_workers=0)
    assert epochs(augmented, num_workers=3, prefetch_factor=4) == expected
    assert expected[0] != expected[1]
    slow = PerItem(augmented)
    assert epochs(slow, num_workers=0) == epochs(slow, num_workers=3)
    # Two epochs in one order: the augmentation differs all the same.
    loader = DataLoader(augmented, batch_size=4, seed=1)
    assert batches(loader) != batches(loader)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_an_interrupted_epoch_resumes_exactly(workers: int, stop: int) -> None:
    def loader(seed: int | None) -> DataLoader:
        return DataLoader(
            images(transform=AUGMENT), batch_size=4, shuffle=True, seed=seed, num_workers=workers
        )

    whole = loader(3)
    expected = [batches(whole), batches(whole), batches(whole)]

    cut = loader(3)
    list(cut)
    running = iter(cut)
    seen = [(x.tolist(), y.tolist()) for x, y in (next(running) for _ in range(stop))]
    state = json.loads(json.dumps(cut.state_dict()))
    running.close()
    assert state["epoch"] == 1
    assert state["position"] == stop

    resumed = loader(None)
    resumed.load_state_dict(state)
    assert seen + batches(resumed) == expected[1]
    assert batches(resumed) == expected[2]


def test_a_pass_that_was_left_early_is_not_given_twice() -> None:
    whole = DataLoader(images(), batch_size=4, shuffle=True, seed=0)
    expected = [order(whole), order(whole)]
    left = DataLoader(images(), batch_size=4, shuffle=True, seed=0)
    next(iter(left))
    assert left.state_dict()["position"] == 1
    assert order(left) == expected[1]
    assert left.state_dict() == {**whole.state_dict()}


def test_resume_with_a_sampler_of_ones_own() -> None:
    def loader(seed: int) -> DataLoader:
        return DataLoader(images(), batch_size=4, sampler=RandomSampler(range(23), seed=seed))

    first = loader(1)
    expected = order(first)
    fresh, other = loader(1), loader(2)
    next(iter(fresh))
    other.load_state_dict(fresh.state_dict())
    assert order(other) == expected[4:]


def test_state_of_another_loader_is_refused() -> None:
    state = DataLoader(images(), batch_size=4).state_dict()
    with pytest.raises(ArgumentError, match=r"6 batches an epoch, this one has 5.*Use the same dataset"):
        DataLoader(images(), batch_size=5).load_state_dict(state)


def test_samplers_and_collate_fn_of_ones_own() -> None:
    loader = DataLoader(images(), sampler=[3, 1, 2], batch_size=2)
    assert order(loader) == [3, 1, 2]
    assert len(DataLoader(images(), batch_size=np.int64(5))) == 5
    loader = DataLoader(images(), batch_sampler=[[5, 6], [0]])
    assert [y.tolist() for _, y in loader] == [[5, 6], [0]]
    loader = DataLoader(images(), batch_size=3, collate_fn=lambda samples: [int(y) for _, y in samples])
    assert next(iter(loader)) == [0, 1, 2]


def test_batches_are_arrays_of_the_backend(backend: Target) -> None:
    current = get_backend()
    samples = [{"x": np.float32(i), "y": i, "name": "n"} for i in range(4)]
    for workers in (0, 2):
        (batch,) = DataLoader(samples, batch_size=4, num_workers=workers)
        assert isinstance(batch["x"], xpnn.Tensor)
        assert backend_of(batch["x"].array) is backend_of(batch["y"].array) is current
        assert device_of(batch["x"]) == device_of(backend.array([0.0]))
        assert str(batch["x"].dtype).endswith("float32")
        assert batch["name"] == ["n"] * 4
        (batch,) = DataLoader(samples, batch_size=4, num_workers=workers, tensors=False)
        assert type(batch["x"]) is np.ndarray
        own = DataLoader(samples, batch_size=4, num_workers=workers, collate_fn=lambda s: xpnn.tensor([1.0]))
        assert all(backend_of(batch.array) is current for batch in own)


def test_the_backend_is_the_one_at_the_beginning_of_the_pass() -> None:
    pytest.importorskip("array_api_strict")
    loader = DataLoader(images(), batch_size=4, num_workers=2)
    with xpnn.use_backend("array_api_strict"):
        running = iter(loader)
    assert {backend_of(x.array).name for x, _ in running} == {"array_api_strict"}
    assert {backend_of(x.array).name for x, _ in loader} == {"numpy"}


def test_a_generator_determines_the_orders_and_is_saved() -> None:
    def loader(generator: Any) -> DataLoader:
        return DataLoader(images(), batch_size=4, shuffle=True, generator=generator)

    generator = xpnn.Generator().manual_seed(5)
    first = loader(generator)
    orders = [order(first) for _ in range(3)]
    assert orders[0] != orders[1] != orders[2]
    generator.manual_seed(5)
    assert order(first) == orders[0]
    cut = loader(xpnn.Generator().manual_seed(5))
    order(cut)
    running = iter(cut)
    seen = next(running)[1].tolist()
    resumed = loader(xpnn.Generator())
    resumed.load_state_dict(json.loads(json.dumps(cut.state_dict())))
    assert seen + order(resumed) == orders[1]
    assert order(resumed) == orders[2]
    assert len(order(loader(np.random.default_rng(0)))) == 23


def test_manual_seed_starts_the_orders_anew() -> None:
    loader = DataLoader(images(), batch_size=4, shuffle=True)
    xpnn.manual_seed(2)
    first = [order(loader), order(loader)]
    xpnn.manual_seed(2)
    assert [order(loader), order(loader)] == first
    assert first[0] != first[1]


def test_random_tensors_of_a_dataset_do_not_depend_on_the_loop() -> None:
    class Noise(Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            return xpnn.rand(2)

    def epoch(workers: int) -> list:
        xpnn.manual_seed(0)
        taken = []
        for batch in DataLoader(Noise(), batch_size=2, num_workers=workers):
            xpnn.rand(1)
            taken.append(batch.tolist())
        return taken

    assert epoch(1) == epoch(1) == epoch(3)
    assert epoch(1)[0] != epoch(1)[1]
    assert epoch(0) == epoch(0)


def test_workers_know_who_they_are() -> None:
    began: list[int] = []
    seen: dict[int, Any] = {}

    class Asking(PerItem):
        def __getitem__(self, index: int) -> Any:
            worker = get_worker_info()
            assert worker is not None
            seen[worker.id] = worker
            return index

    dataset = Asking(images())
    loader = DataLoader(dataset, num_workers=2, worker_init_fn=began.append, persistent_workers=True)
    assert len(list(loader)) == 23
    assert set(seen) <= {0, 1}
    assert sorted(began) == sorted(set(began))
    assert all(worker.dataset is dataset and worker.num_workers == 2 for worker in seen.values())
    assert get_worker_info() is None


@pytest.mark.parametrize("dataset", [PerItem(images()), Numbers(5)])
def test_a_worker_that_cannot_begin(dataset: Any) -> None:
    def begin(number: int) -> None:
        raise ValueError(f"no worker {number}")

    with pytest.raises(ValueError, match="no worker 0") as caught:
        list(DataLoader(dataset, num_workers=1, worker_init_fn=begin))
    assert "worker_init_fn of worker 0" in caught.value.__notes__[0]
    assert not loader_threads()


def test_pytorchs_paths() -> None:
    from xpnn.utils.data import dataloader, dataset, distributed, sampler

    assert dataloader.DataLoader is DataLoader
    assert dataset.TensorDataset is TensorDataset
    assert distributed.DistributedSampler is sampler.DistributedSampler is DistributedSampler


def test_a_worker_that_takes_too_long() -> None:
    released = threading.Event()

    class Slow(PerItem):
        def __getitem__(self, index: int) -> Any:
            released.wait(10)
            return index

    with pytest.raises(DataError, match=r"has waited 0.01 s.*timeout="):
        list(DataLoader(Slow(images()), num_workers=1, timeout=0.01))
    released.set()
    for thread in loader_threads():  # which the loop did not wait for, and later tests would find
        thread.join()


def test_options_and_attributes_of_pytorch() -> None:
    dataset = images()
    loader = DataLoader(
        dataset, 4, True, None, None, 0, None, True, True, 0, None, None, None,
        prefetch_factor=None, persistent_workers=False, pin_memory_device="", in_order=True,
    )  # fmt: skip
    assert (loader.dataset, loader.batch_size, loader.drop_last, loader.num_workers) == (dataset, 4, True, 0)
    assert len(loader) == 5
    assert len(loader.dataset) == 23
    assert loader.collate_fn is default_collate
    assert isinstance(loader.sampler, RandomSampler)
    assert isinstance(loader.batch_sampler, BatchSampler)
    assert DataLoader(dataset, batch_sampler=[[0]]).batch_size is None
    assert isinstance(next(iter(loader)), list)
    generic = (Dataset[int], Sampler[int], DataLoader[Any], IterableDataset[str], Subset[Any])
    assert all(generic)


def test_samplers_of_ones_own_shuffle_at_each_pass() -> None:
    class Halves(Sampler[list[int]]):
        def __init__(self, dataset: Any) -> None:
            self.inner = RandomSampler(dataset)

        def __iter__(self) -> Iterator[list[int]]:
            indices = list(self.inner)
            yield indices[:12]
            yield indices[12:]

    loader = DataLoader(images(), batch_sampler=Halves(images()))
    first, second = order(loader), order(loader)
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second


def test_what_reprs_say() -> None:
    dataset = images()
    assert repr(dataset) == "TensorDataset(23 samples, float32 (2, 4, 4), int64 ())"
    assert repr(Subset(dataset, [1])) == f"Subset(1 sample, of {dataset!r})"
    loader = DataLoader(dataset, batch_size=4, shuffle=True, drop_last=True)
    assert (
        repr(loader)
        == f"DataLoader({dataset!r}, batch_size=4, shuffle=True, drop_last=True, num_workers=0): 5 batches"
    )
    assert repr(SequentialSampler(range(3))) == "SequentialSampler(3 indices)"
    assert (
        repr(loader.batch_sampler) == "BatchSampler(RandomSampler(23 indices), batch_size=4, drop_last=True)"
    )
    assert repr(Numbers(3)) == "Numbers()"
    assert repr(Dataset()) == "Dataset()"
    assert repr(DataLoader(Numbers(3), batch_size=2)) == "DataLoader(Numbers(), batch_size=2, num_workers=0)"


def loader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("xpnn-loader")]


def test_an_error_in_a_thread_is_raised_in_the_loop_with_its_traceback() -> None:
    loader = DataLoader(PerItem(images(), fail_at=9), batch_size=4, num_workers=2)
    seen = []
    with pytest.raises(KeyError, match="sample 9 is broken") as caught:
        seen.extend(y.tolist() for _, y in loader)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert "__getitem__" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert "batch 2 of epoch 0: samples [8, 9, 10, 11]" in caught.value.__notes__[0]
    assert not loader_threads()


def test_threads_end_however_the_loop_ends() -> None:
    loader = DataLoader(PerItem(images()), batch_size=2, num_workers=3)
    for _ in loader:
        assert loader_threads()
        break
    assert not loader_threads()
    with pytest.raises(ZeroDivisionError):
        [1 / 0 for _ in loader]
    assert not loader_threads()
    list(loader)
    assert not loader_threads()
    iter(loader)  # never started
    assert not loader_threads()


@pytest.mark.parametrize(
    ("threads", "seconds", "at_once"),
    [
        (8, {1: 0.01, 2: 0.03}, 1),  # Python: two at a time take more than twice as long
        (2, {1: 0.01, 2: 0.019}, 1),
        (2, {1: 0.01, 2: 0.012}, 2),
        (8, {1: 0.01, 2: 0.01, 4: 0.012, 8: 0.05}, 4),
        (3, {1: 0.01, 2: 0.01, 3: 0.011}, 3),
        (1, {1: 0.01}, 1),
    ],
)
def test_so_many_threads_load_as_gain(threads: int, seconds: dict[int, float], at_once: int) -> None:
    pace = Pace(threads)
    pace.loaded(0.9, 1)  # the first one tells nothing
    for _ in range(100):
        for loading in range(1, pace.at_once + 1):  # not all of them count
            pace.loaded(seconds.get(loading, 0.001), loading)
    assert (pace.at_once, pace.settled) == (at_once, True)


def test_long_loads_are_not_measured_for_long() -> None:
    pace = Pace(4)
    pace.loaded(2.0, 1)
    assert pace.at_once == 2
    pace.loaded(2.0, 2)
    assert pace.at_once == 2
    pace.loaded(2.0, 2)
    assert (pace.at_once, pace.settled) == (4, False)
    assert Pace(4, measured=False).at_once == 4


def test_threads_come_and_go_with_the_pace() -> None:
    loader = DataLoader(PerItem(images()), batch_size=1, num_workers=3, prefetch_factor=4)
    expected = [y.item() for _, y in loader]
    pace = loader._paced()
    running = []
    for number, (_, y) in enumerate(loader):
        pace.at_once, pace.settled = (1, 3, 2)[number % 3], True
        running.append(y.item())
    assert running == expected == list(range(23))
    assert not loader_threads()
    assert copy.deepcopy(loader)._pace is None


def test_the_threads_stay_within_the_prefetch() -> None:
    touched: list[int] = []

    class Watched(PerItem):
        def __getitem__(self, index: int) -> Any:
            touched.append(index)
            return super().__getitem__(index)

    running = iter(DataLoader(Watched(images()), num_workers=1, prefetch_factor=3))
    next(running)
    running.close()
    assert max(touched) <= 3


def test_arrays_are_loaded_without_threads_by_default() -> None:
    assert DataLoader(images()).num_workers == 0
    assert DataLoader(Subset(images(), [1])).num_workers == 0
    assert DataLoader(PerItem(images())).num_workers == 1
    assert DataLoader(images(), collate_fn=list).num_workers == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size >= 1, got 0"),
        ({"batch_size": 2.5}, "batch_size >= 1, got 2.5"),
        ({"shuffle": True, "sampler": [0]}, "either shuffle or a sampler"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler alone"),
        ({"num_workers": -1}, "num_workers >= 0"),
        ({"prefetch_factor": 0}, "prefetch_factor >= 1"),
        ({"timeout": -1}, "timeout >= 0"),
        ({"batch_size": None, "drop_last": True}, "batch_size with drop_last=True"),
        ({"generator": 0, "seed": 0}, "either seed or generator"),
        ({"batch_size": 99, "drop_last": True}, "no batch to give: drop_last=True and 23 samples"),
    ],
)
def test_loader_errors(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        DataLoader(images(), **options)


def test_an_empty_dataset_and_a_negative_seed() -> None:
    with pytest.raises(ArgumentError, match="at least one sample"):
        DataLoader(TensorDataset(np.zeros((0, 3))))
    with pytest.raises(ArgumentError, match="at least one sample"):
        RandomSampler([])
    with pytest.raises(ArgumentError, match="num_samples >= 1"):
        RandomSampler([1], num_samples=0)
    with pytest.raises(ArgumentError, match="seed >= 0, got -1"):
        list(DataLoader(images(), shuffle=True, seed=-1))
