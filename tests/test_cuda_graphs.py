"""Steps as CUDA graphs, on the stand-in for CuPy: the losses of the step as it is, and no work but graphs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import cuda_on_cpu
import cupy_like
import cupy_like_graphs
import numpy as np
import pytest

import xpnn
from xpnn import functional as F
from xpnn import nn, optim
from xpnn.backend import BackendError, random, to_numpy
from xpnn.backend.cuda_graphs import keep_for_graph
from xpnn.models.resnet import BasicBlock

STEPS = 20


@pytest.fixture(autouse=True)
def on_the_stand_in() -> Iterator[None]:
    with xpnn.use_backend("cupy_like"):
        yield


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Dropout(0.5), nn.Linear(8 * 2 * 2, 5)),
    )


def resnet() -> nn.Module:
    """A residual block with batch norm: the stand-in takes minutes for a ResNet-20."""
    downsample = nn.Sequential(nn.Conv2d(2, 4, 1, stride=2, bias=False), nn.BatchNorm2d(4))
    block = BasicBlock(2, 4, stride=2, downsample=downsample)
    return nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


SHAPES = {mlp: (12,), lenet: (1, 12, 12), resnet: (2, 4, 4)}


class Training:
    """A network, its optimizer and schedule, and the step; counts how often Python runs it."""

    def __init__(self, network: Any = mlp, optimizer: str = "adam", **options: Any) -> None:
        xpnn.manual_seed(0)
        self.model, self.shape, self.calls = network(), SHAPES[network], 0
        if optimizer == "adam":
            self.optimizer = optim.Adam(self.model.parameters(), lr=0.01)
            self.schedule = optim.CosineAnnealingLR(self.optimizer, STEPS)
        else:
            self.optimizer = optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
            self.schedule = optim.MultiStepLR(self.optimizer, [3, 8], gamma=0.3)
        self.objects = (self.model, self.optimizer, self.schedule)
        self.run = self.step
        if options:
            self.run = xpnn.compile(self.step, *self.objects, **options)
        xpnn.manual_seed(1)

    def step(self, x: Any, y: Any) -> Any:
        self.calls += 1
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        optim.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss

    def losses(self, count: int, first: int = 0, size: int = 4) -> list[float]:
        """Those of some steps, read after the last one."""
        kept = [self.run(*self.batch(seed, size)) for seed in range(first, first + count)]
        return [loss.item() for loss in kept]

    def batch(self, seed: int, size: int = 4) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((size, *self.shape)).astype(np.float32)
        return xpnn.asarray(x), xpnn.asarray(rng.integers(0, 5, size))


GRAPHS = {"mode": "reduce-overhead", "fullgraph": True}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("network", [mlp, lenet, resnet])
def test_replayed_steps_have_the_bits_of_steps_as_they_are(network: Any, optimizer: str) -> None:
    plain, recorded = Training(network, optimizer), Training(network, optimizer, **GRAPHS)
    xpnn.manual_seed(1)
    expected, count = plain.losses(STEPS), random.default_stream().counter
    xpnn.manual_seed(1)
    assert recorded.losses(STEPS) == expected
    assert recorded.calls == 2  # as it is, and to record it
    assert random.default_stream().counter == count
    states = [to_numpy(value) for value in plain.model.state_dict().values()]
    for value, right in zip(recorded.model.state_dict().values(), states, strict=True):
        assert np.array_equal(to_numpy(value), right)
    assert recorded.schedule.get_last_lr() == plain.schedule.get_last_lr()
    assert recorded.schedule.state_dict()["last_epoch"] == STEPS


def test_a_replay_gives_the_device_graphs_and_products_only() -> None:
    training = Training(**GRAPHS)
    training.losses(3)
    x, y = training.batch(9)
    cupy_like.launches.clear()
    before, graphs = cupy_like.syncs, cupy_like_graphs.Graph.launched
    training.run(x, y)
    assert cupy_like.syncs == before
    copies = 2 + 1 + 1  # in come the arguments and the count of draws, out goes the loss
    assert set(cupy_like.launches) <= {"setitem", "matmul"}
    assert cupy_like.launches["setitem"] <= copies
    tables = 2  # of addresses, which were sent between two parts when the step was recorded
    assert cupy_like_graphs.Graph.launched - graphs == cupy_like.launches["matmul"] + tables + 1


def test_recorded_anew_only_where_it_must() -> None:
    plain, recorded = Training(), Training(**GRAPHS)
    calls, found = [], []
    for training in (plain, recorded):
        xpnn.manual_seed(1)
        found.append(training.losses(3))
        calls.append(training.calls)
        training.optimizer.param_groups[0]["lr"] = 0.2
        found[-1] += training.losses(2, first=3)
        calls.append(training.calls)
        found[-1] += training.losses(3, first=5, size=2)
        calls.append(training.calls)
        found[-1] += training.losses(2, first=8)
        calls.append(training.calls)
        training.model.eval()
        found[-1] += training.losses(1, first=10)
        calls.append(training.calls)
    assert found[1] == found[0]
    assert calls[5:] == [2, 2, 4, 4, 5]


def test_a_state_that_is_loaded_between_replays_acts() -> None:
    plain, recorded = Training(), Training(**GRAPHS)
    start = {name: value.clone() for name, value in plain.model.state_dict().items()}
    found = []
    for training in (plain, recorded):
        losses = training.losses(4)
        training.model.load_state_dict(start)
        found.append(losses + training.losses(3))
    assert found[1] == found[0]


def test_dropout_draws_anew_in_each_replay() -> None:
    dropout = nn.Dropout(0.5)
    step = xpnn.compile(lambda x: dropout(x), dropout, nn.Linear(1, 1), **GRAPHS)
    x = xpnn.asarray(np.ones(64, np.float32))
    xpnn.manual_seed(3)
    found = [to_numpy(step(x)) for _ in range(5)]
    xpnn.manual_seed(3)
    expected = [to_numpy(dropout(x)) for _ in range(5)]
    assert np.array_equal(found, expected)
    assert len({values.tobytes() for values in found}) == 5


def test_the_switch() -> None:
    for options, recorded in (
        ({"dynamic": True}, False),
        ({"mode": "max-autotune"}, True),
        ({"backend": "cudagraphs"}, True),
        ({"mode": "default"}, False),
    ):
        training = Training(**options)
        training.losses(4)
        assert training.calls == (2 if recorded else 4)
    model = nn.Linear(2, 2)
    calls = []

    @xpnn.compile(model, optim.SGD(model.parameters(), lr=0.1), mode="reduce-overhead")
    def step(x: Any) -> Any:
        calls.append(1)
        return model(x)

    for _ in range(3):
        step(xpnn.ones(1, 2))
    assert len(calls) == 2


def test_a_step_that_reads_a_value_goes_on_as_it_is() -> None:
    def reading(training: Training, **options: Any) -> Any:
        def step(x: Any, y: Any) -> Any:
            loss = training.step(x, y)
            return loss if float(loss) < 1e9 else None

        return xpnn.compile(step, *training.objects, mode="reduce-overhead", **options)

    plain, recorded = Training(lenet), Training(lenet)
    xpnn.manual_seed(1)
    expected = plain.losses(5)
    recorded.run = reading(recorded)
    xpnn.manual_seed(1)
    with pytest.warns(RuntimeWarning, match=r"'step' cannot be recorded as CUDA graphs.*a value is read"):
        losses = recorded.losses(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert losses + recorded.losses(3, first=2) == expected
    strict = Training()
    strict.run = reading(strict, fullgraph=True)
    strict.losses(1)
    before = [to_numpy(value) for value in strict.model.state_dict().values()]
    with pytest.raises(BackendError, match=r"The step 'step' asks for the value(.|\n)*read it outside"):
        strict.losses(1)
    assert all(map(np.array_equal, map(to_numpy, strict.model.state_dict().values()), before))
    strict.run = strict.step  # and it can still be trained
    strict.losses(1)


def test_numbers_among_the_arguments_stay_numbers() -> None:
    model = nn.Linear(2, 2)
    calls = []

    def step(x: Any, times: int) -> Any:
        calls.append(times)
        for _ in range(times):
            x = model(x)
        return x, times, model.bias

    recorded, x = xpnn.compile(step, model, mode="reduce-overhead"), xpnn.ones(1, 2)
    for times in (1, 2, 1, 2, 1, 2):
        result, number, bias = recorded(x, times)
        assert number == times
        expected = model(x) if times == 1 else model(model(x))
        assert np.array_equal(to_numpy(result), to_numpy(expected))
        assert np.array_equal(to_numpy(bias), to_numpy(model.bias))
    assert calls == [1, 2, 1, 2]
    for times in range(3, 9):
        recorded(x, times)
    with pytest.warns(RuntimeWarning, match="called in 8 forms"):
        recorded(x, 9)
    assert recorded(x, 1)[1] == 1


def test_an_error_in_the_step_leaves_the_state_alone() -> None:
    training = Training()

    def broken(x: Any, y: Any) -> Any:
        loss = training.step(x, y)
        if training.calls in failing:
            raise ValueError("broken")
        return loss

    failing = (1, 3)  # as it is, and while it is recorded

    training.run = xpnn.compile(broken, *training.objects, **GRAPHS)
    plain = Training()
    expected = plain.losses(4)
    xpnn.manual_seed(1)
    with pytest.raises(ValueError, match="broken"):
        training.losses(1)
    losses = training.losses(1)
    with pytest.raises(ValueError, match="broken"):
        training.losses(1, first=1)
    assert losses + training.losses(3, first=1) == expected


def test_memory_that_a_graph_uses_must_stay() -> None:
    """What the step takes from elsewhere is the user's to keep; of our own nothing is given back."""
    model, kept = nn.Linear(2, 2), [xpnn.ones(2)]
    step = xpnn.compile(lambda x: model(x) * kept[0], model, **GRAPHS)
    x = xpnn.ones(1, 2)
    for _ in range(3):
        step(x)
    kept[0] = xpnn.zeros(2)
    with pytest.raises(AssertionError, match="memory that was given back"):
        step(x)


def test_what_is_kept_for_a_graph_outside_of_one() -> None:
    array = xpnn.ones(2).array
    keep_for_graph(array)  # nothing to do
    assert array.shape == (2,)


REFUSED = {
    "a value is read": lambda x: float(x[0]),
    "a copy from the host": lambda x: cupy_like.asarray([1.0]),
    "waiting": lambda x: cupy_like.cuda.get_current_stream().synchronize(),
    "cuBLAS": lambda x: x @ x,
    "cuSOLVER": lambda x: cupy_like.linalg.inv(cupy_like.eye(2)),
    "pool that all others": None,
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_stand_in_refuses_what_cannot_be_captured(what: str) -> None:
    x = cupy_like.ones(3)
    stream, pool = cupy_like.cuda.Stream(non_blocking=True), cupy_like.cuda.MemoryPool()
    work = REFUSED[what]
    allocator = pool.malloc if work else None
    with stream, cupy_like.cuda.using_allocator(allocator):
        stream.begin_capture()
        try:
            with pytest.raises((RuntimeError, NotImplementedError, AssertionError), match=what):
                (work or (lambda x: x + x))(x)
        finally:
            try:
                stream.end_capture()
            except RuntimeError:
                assert not stream.is_capturing()


def test_the_stand_in_computes_nothing_while_it_captures() -> None:
    x = cupy_like.ones(3)
    stream = cupy_like.cuda.Stream(non_blocking=True)
    with stream, cupy_like.cuda.using_allocator(cupy_like.cuda.MemoryPool().malloc):
        stream.begin_capture()
        y = x + 1
        x[...] = y
        graph = stream.end_capture()
    assert np.isnan(y.get()).all()
    assert x.get().tolist() == [1, 1, 1]
    for expected in (2, 3):
        graph.launch()
        assert x.get().tolist() == [expected] * 3


pytestmark = pytest.mark.skipif(cuda_on_cpu.compiler() is None, reason="needs Linux and g++")
