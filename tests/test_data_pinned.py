"""Batches copied to the device beside its other work: on the stand-in for CuPy, whose copies come late."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import cupy_like
import numpy as np
import pytest
from cupy_like import cuda

import xpnn
from xpnn.backend.libraries.cupy import PinnedCopier
from xpnn.data import DataLoader, Dataset, IterableDataset, TensorDataset


@pytest.fixture(autouse=True)
def on_the_stand_in() -> Iterator[None]:
    with xpnn.use_backend("cupy_like"):
        yield


@pytest.fixture
def copiers(monkeypatch: pytest.MonkeyPatch) -> list[PinnedCopier]:
    """Those of the passes that begin in a test."""
    made: list[PinnedCopier] = []
    create = PinnedCopier.__init__

    def recorded(self: PinnedCopier, *args: Any) -> None:
        create(self, *args)
        made.append(self)

    monkeypatch.setattr(PinnedCopier, "__init__", recorded)
    return made


class Rows(Dataset):
    """Samples of its own, one of which may fail."""

    def __init__(self, count: int = 10, fails_at: int = -1) -> None:
        self.count, self.fails_at = count, fails_at

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        if index == self.fails_at:
            raise RuntimeError("no such row")
        return {"x": np.full(3, index, np.float32), "y": index, "noise": xpnn.rand(2), "name": f"row {index}"}


class Stream(IterableDataset):
    """Samples one after the other."""

    def __len__(self) -> int:
        return 7

    def __iter__(self) -> Iterator[Any]:
        return iter(np.arange(7, dtype=np.float64))


def values(loader: DataLoader) -> list[Any]:
    """What the batches of a pass hold, read when they are given out, as a step would."""

    def read(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: read(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [read(value) for value in part]
        return part.tolist() if isinstance(part, xpnn.Tensor) else part

    return [read(batch) for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("batch_size", [3, None])
@pytest.mark.parametrize("kind", ["tensors", "rows", "stream"])
def test_the_same_batches(kind: str, batch_size: int | None, num_workers: int) -> None:
    arrays = np.random.default_rng(0).standard_normal((10, 2, 3)), np.arange(10, dtype=np.int32)
    made = {"tensors": TensorDataset(*arrays), "rows": Rows(), "stream": Stream()}
    passes = []
    for pinned in (True, False):
        loader = DataLoader(
            made[kind], batch_size, num_workers=num_workers, pin_memory=pinned, seed=3,
            **({} if kind == "stream" else {"shuffle": True}),
        )  # fmt: skip
        passes.append([values(loader) for _ in range(2)])
    if kind == "rows" and not num_workers:  # where random samples come from the loop's stream otherwise
        for batch in [batch for epoch in (*passes[0], *passes[1]) for batch in epoch]:
            batch.pop("noise")
    assert passes[0] == passes[1]
    assert all(passes[0])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_copies_are_under_way_when_a_batch_is_given_out(num_workers: int, copiers: list) -> None:
    loader = DataLoader(TensorDataset(np.arange(8.0)), 2, num_workers=num_workers, pin_memory=True)
    batches = iter(loader)
    given = [next(batches)[0]]
    (copier,) = copiers
    if not num_workers:
        assert len(copier._under_way) == 1
        ((following, done),) = copier._under_way.values()
        assert not done.done
        with pytest.raises(RuntimeError, match="waited for"):
            following.get()
    given += [batch[0] for batch in batches]
    assert [x.tolist() for x in given] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert not copier._under_way
    assert copier._copying.completed == copier._copying.queued


def test_buffers_are_used_again(copiers: list, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    allocate = cuda.alloc_pinned_memory
    monkeypatch.setattr(cuda, "alloc_pinned_memory", lambda size: made.append(size) or allocate(size))
    for _ in DataLoader(TensorDataset(np.zeros((40, 3), np.float32), np.arange(40)), 4, pin_memory=True):
        pass
    assert sorted(made) == [32, 32, 64, 64]  # of images and of labels: one under way, one being filled
    assert len(copiers) == 1


def test_a_pass_that_is_left_waits_for_its_copies(copiers: list) -> None:
    for num_workers in (0, 2):
        for _ in DataLoader(Rows(), 2, num_workers=num_workers, pin_memory=True):
            break
        gc.collect()
        assert copiers[-1]._copying.completed == copiers[-1]._copying.queued
        assert not copiers[-1]._under_way


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_a_dataset_raises_comes_in_its_turn(num_workers: int, copiers: list) -> None:
    batches = iter(DataLoader(Rows(fails_at=5), 2, num_workers=num_workers, pin_memory=True))
    assert [next(batches)["y"].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(RuntimeError, match="no such row"):
        next(batches)
    assert copiers[-1]._copying.completed == copiers[-1]._copying.queued


def test_resumption_is_at_the_batch_that_was_given_out() -> None:
    def loader() -> DataLoader:
        return DataLoader(Rows(), 2, shuffle=True, pin_memory=True, seed=1)

    whole = values(loader())
    first = loader()
    batches = iter(first)
    next(batches), next(batches)
    state = first.state_dict()
    batches.close()
    second = loader()
    second.load_state_dict(state)
    assert values(second) == whole[2:]


def test_training_is_the_same() -> None:
    def losses(pinned: bool) -> list[float]:
        xpnn.manual_seed(0)
        model = xpnn.nn.Linear(3, 2)
        optimizer = xpnn.optim.SGD(model.parameters(), lr=0.1)
        rng = np.random.default_rng(0)
        data = TensorDataset(rng.standard_normal((12, 3), np.float32), np.arange(12) % 2)
        found = []
        for x, y in DataLoader(data, 4, shuffle=True, pin_memory=pinned, seed=0):
            optimizer.zero_grad()
            loss = xpnn.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    assert losses(True) == losses(False)


def test_numpy_takes_the_option() -> None:
    with xpnn.use_backend("numpy"):
        assert values(DataLoader(TensorDataset(np.arange(2)), pin_memory=True)) == [[[0]], [[1]]]


# ---- the stand-in finds out what a card would do wrong in silence ----


def pinned_copy() -> tuple[Any, Any, Any]:
    memory = cuda.alloc_pinned_memory(16)
    host = np.frombuffer(memory, np.float32, 4)
    host[...] = 1.0
    stream = cuda.Stream(non_blocking=True)
    array = cupy_like.empty((4,), dtype=cupy_like.float32)
    array.set(host, stream)
    return host, stream, array


def test_a_buffer_that_is_written_into_early() -> None:
    host, stream, _array = pinned_copy()
    host[0] = 2.0
    with pytest.raises(RuntimeError, match="written into before"):
        stream.synchronize()


def test_an_array_that_is_used_early() -> None:
    _host, stream, array = pinned_copy()
    done = stream.record()
    assert not done.done
    for use in (lambda: array + 1, lambda: cupy_like.sum(array), lambda: array[0], array.get):
        with pytest.raises(RuntimeError, match="used before"):
            use()
    assert (array.shape, array.dtype) == ((4,), np.float32)
    cuda.Stream.null.wait_event(done)
    assert done.done
    assert (array + 1).get().tolist() == [2.0] * 4


def test_an_array_or_a_buffer_that_is_let_go_early() -> None:
    host, stream, array = pinned_copy()
    del array
    with pytest.raises(RuntimeError, match="given back"):
        stream.synchronize()
    host, stream, _array = pinned_copy()
    del host
    gc.collect()
    with pytest.raises(RuntimeError, match="given back"):
        stream.synchronize()


def test_a_copy_out_of_other_memory_is_done_at_once() -> None:
    stream = cuda.Stream(non_blocking=True)
    array = cupy_like.empty((4,), dtype=cupy_like.float32)
    array.set(np.ones(4, np.float32), stream)
    assert array.get().tolist() == [1.0] * 4


def test_a_copier_that_does_not_wait_for_its_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda.Event, "done", True)
    with pytest.raises(RuntimeError, match="written into before"):
        values(DataLoader(TensorDataset(np.arange(12.0)), 2, pin_memory=True, num_workers=0))


def test_a_loader_that_does_not_wait_for_its_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PinnedCopier, "arrive", lambda self, array: None)
    with pytest.raises(RuntimeError, match="used before"):
        values(DataLoader(TensorDataset(np.arange(12.0)), 2, pin_memory=True))
