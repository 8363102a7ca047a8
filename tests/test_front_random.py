"""Random Tensors: the same on every backend, distributed as they say, continued, refused where they must."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn import nn
from xpnn.backend import ArgumentError, CheckpointError, DTypeError, GradientError, dtype_name, to_numpy
from xpnn.data import DataLoader

# The same bits on every backend.
EXACT: dict[str, Callable[[], Any]] = {
    "rand": lambda: xpnn.rand(3, 2),
    "rand float64": lambda: xpnn.rand((5,), dtype="float64"),
    "randint": lambda: xpnn.randint(10, (7,)),
    "randint wide": lambda: xpnn.randint(-5, 10**12, (7,), dtype=xpnn.int64),
    "randint by name": lambda: xpnn.randint(low=3, high=9, size=(2, 2)),
    "randperm": lambda: xpnn.randperm(9),
    "rand_like": lambda: xpnn.rand_like(xpnn.zeros(3)),
    "randint_like": lambda: xpnn.randint_like(xpnn.zeros(3), 2, 5),
    "bernoulli": lambda: xpnn.bernoulli(xpnn.full((9,), 0.5)),
    "multinomial": lambda: xpnn.multinomial(xpnn.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]]), 5, True),
    "poisson": lambda: xpnn.poisson(xpnn.full((5,), 3.0)),
    "binomial": lambda: xpnn.binomial(xpnn.full((5,), 9.0), xpnn.full((5,), 0.5)),
    "uniform_": lambda: xpnn.zeros(5).uniform_(-1.0, 1.0),
    "random_": lambda: xpnn.zeros(5, dtype="int64").random_(),
    "random_ of floats": lambda: xpnn.zeros(5).random_(3, 9),
    "bernoulli_": lambda: xpnn.zeros(9, dtype="bool").bernoulli_(0.3),
}

# Equal within the last digits.
CLOSE: dict[str, Callable[[], Any]] = {
    "randn": lambda: xpnn.randn(7),
    "randn float64": lambda: xpnn.randn(2, 3, dtype="float64"),
    "randn complex": lambda: xpnn.randn(3, dtype="complex64"),
    "randn_like": lambda: xpnn.randn_like(xpnn.zeros(3)),
    "normal": lambda: xpnn.normal(xpnn.tensor([1.0, 2.0]), xpnn.tensor([0.1, 0.2])),
    "normal_": lambda: xpnn.zeros(4).normal_(2.0, 3.0),
    "log_normal_": lambda: xpnn.zeros(4).log_normal_(0.0, 1.0),
    "exponential_": lambda: xpnn.zeros(4).exponential_(2.0),
    "geometric_": lambda: xpnn.zeros(4).geometric_(0.3),
    "cauchy_": lambda: xpnn.zeros(4).cauchy_(),
    "multinomial": lambda: xpnn.multinomial(xpnn.tensor([1.0, 0.0, 3.0, 2.0]), 3),
}


@pytest.mark.parametrize("name", [*EXACT])
def test_same_bits(backend: Target, name: str) -> None:
    drawn = EXACT[name]()
    xpnn.manual_seed(0)
    with xpnn.use_backend("numpy"):
        expected = EXACT[name]()
    assert dtype_name(drawn.dtype) == dtype_name(expected.dtype)
    np.testing.assert_array_equal(to_numpy(drawn), to_numpy(expected))


@pytest.mark.parametrize("name", [*CLOSE])
def test_same_numbers_to_the_last_digits(backend: Target, name: str) -> None:
    drawn = CLOSE[name]()
    xpnn.manual_seed(0)
    with xpnn.use_backend("numpy"):
        expected = CLOSE[name]()
    assert dtype_name(drawn.dtype) == dtype_name(expected.dtype)
    np.testing.assert_allclose(to_numpy(drawn), to_numpy(expected), rtol=2e-6, atol=1e-6)


N = 40_000


@pytest.mark.parametrize(
    ("draw", "mean", "variance"),
    [
        (lambda: xpnn.rand(N), 1 / 2, 1 / 12),
        (lambda: xpnn.rand(N, dtype="float16").float(), 1 / 2, 1 / 12),
        (lambda: xpnn.randn(N), 0, 1),
        (lambda: xpnn.randn(N, dtype="float64"), 0, 1),
        (lambda: xpnn.randn(N) ** 3, 0, 15),
        (lambda: xpnn.randint(10, (N,)).float(), 4.5, 8.25),
        (lambda: xpnn.zeros(N).exponential_(2.0), 1 / 2, 1 / 4),
        (lambda: xpnn.zeros(N).geometric_(0.25), 4, 12),
        (lambda: xpnn.zeros(N).log_normal_(0.0, 0.5), math.exp(1 / 8), math.exp(1 / 4) * math.expm1(1 / 4)),
        (lambda: xpnn.zeros(N).cauchy_().clamp(-1, 1), 0, 1 / 2 + (4 / math.pi - 1) / 2),
        (lambda: xpnn.zeros(N).bernoulli_(0.25), 1 / 4, 3 / 16),
        (lambda: xpnn.poisson(xpnn.full((N,), 3.0)), 3, 3),
        (lambda: xpnn.multinomial(xpnn.tensor([1.0, 2.0, 0.0, 1.0]), N, True).float(), 5 / 4, 19 / 16),
    ],
)
def test_distributions(draw: Callable[[], Any], mean: float, variance: float) -> None:
    values = to_numpy(draw()).astype("float64")
    assert abs(values.mean() - mean) < 5 * math.sqrt(variance / N)
    assert values.var() == pytest.approx(variance, rel=0.15)


def test_neighbouring_draws_are_independent() -> None:
    values = to_numpy(xpnn.stack([xpnn.randn(N) for _ in range(3)])) if hasattr(xpnn, "stack") else None
    if values is None:
        values = np.stack([to_numpy(xpnn.randn(N)) for _ in range(3)])
    correlations = np.corrcoef(np.concatenate([values, values[:, ::-1]]))
    assert np.abs(correlations - np.eye(6)).max() < 5 / math.sqrt(N)


def test_uniform_numbers_stay_below_one(backend: Target) -> None:
    kinds = ["float32", "float64"] + ["float16"] * (backend.backend != "array_api_strict")
    for kind in kinds:
        values = to_numpy(xpnn.rand(5000, dtype=kind))
        assert values.min() >= 0
        assert values.max() < 1


def test_without_replacement_nothing_comes_twice() -> None:
    weights = xpnn.tensor([[1.0, 0.0, 2.0, 5.0]])
    for _ in range(20):
        assert sorted(xpnn.multinomial(weights, 3).tolist()[0]) == [0, 2, 3]
    firsts = [xpnn.multinomial(xpnn.tensor([1.0, 3.0]), 1).item() for _ in range(400)]
    assert 260 < sum(firsts) < 340
    assert sorted(xpnn.randperm(100).tolist()) == list(range(100))


def test_the_stream_goes_on(backend: Target) -> None:
    state = xpnn.get_rng_state()
    first = xpnn.randn(4), xpnn.randint(9, (4,))
    second = xpnn.randn(4)
    assert first[0].tolist() != second.tolist()
    xpnn.set_rng_state(state)
    assert xpnn.randn(4).tolist() == first[0].tolist()
    with pytest.raises(CheckpointError, match="get_rng_state"):
        xpnn.set_rng_state(xpnn.zeros(3, dtype="uint8"))


def test_generators_have_streams_of_their_own() -> None:
    before = xpnn.get_rng_state().tolist()
    one, other = xpnn.Generator().manual_seed(5), xpnn.Generator(device="cpu").manual_seed(5)
    assert xpnn.rand(3, generator=one).tolist() == xpnn.rand(3, generator=other).tolist()
    state = one.get_state()
    third = xpnn.randperm(5, generator=one).tolist()
    assert one.set_state(state) is one
    assert xpnn.randperm(5, generator=one).tolist() == third
    assert one.initial_seed() == 5
    assert one.seed() == one.initial_seed() != 5
    assert xpnn.get_rng_state().tolist() == before
    assert xpnn.manual_seed(7).initial_seed() == xpnn.initial_seed() == 7
    assert xpnn.manual_seed(-1).initial_seed() == 2**63 - 1
    with pytest.raises(DTypeError, match=r"xpnn.Generator"):
        xpnn.rand(2, generator=np.random.default_rng(0))


def test_checkpoint_draws_the_same_again() -> None:
    x = xpnn.ones(50, requires_grad=True)
    xpnn.checkpoint(lambda x: (x * xpnn.rand(50)).sum(), x).backward()
    assert x.grad is not None
    gradient = x.grad.tolist()
    xpnn.manual_seed(0)
    assert xpnn.rand(50).tolist() == gradient


def test_in_place_on_the_tape() -> None:
    x = xpnn.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="normal_"):
        x.normal_()
    with xpnn.no_grad():
        x.fill_(0.0)
        x.uniform_(1, 2)
    assert min(x.tolist()) >= 1
    x.data.normal_()
    y = x * 2
    y.normal_()
    (y * x).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(to_numpy(x.grad), to_numpy(y.detach()))
    rows = xpnn.zeros(2, 3)
    rows[0].fill_(1.0)
    rows[1].bernoulli_(1.0)
    assert rows.tolist() == [[1.0] * 3] * 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: xpnn.randint(3, 3, (2,)), ArgumentError, "low < high"),
        (lambda: xpnn.randint(3), ArgumentError, "low, high and size"),
        (lambda: xpnn.rand(2, dtype="int64"), DTypeError, "floating dtype"),
        (lambda: xpnn.bernoulli(xpnn.tensor([1.5])), ArgumentError, r"in \[0, 1\]"),
        (lambda: xpnn.bernoulli(xpnn.tensor([1])), DTypeError, "floating"),
        (lambda: xpnn.multinomial(xpnn.tensor([-1.0, 2.0]), 1), ArgumentError, "0 or more"),
        (lambda: xpnn.multinomial(xpnn.tensor([0.0, 0.0]), 1), ArgumentError, "positive sum"),
        (lambda: xpnn.multinomial(xpnn.tensor([1.0, float("nan")]), 1), ArgumentError, "0 or more"),
        (lambda: xpnn.multinomial(xpnn.tensor([1.0]), 2), ArgumentError, "cannot draw 2 of 1"),
        (lambda: xpnn.normal(0.0, -1.0, (2,)), ArgumentError, "0 or more"),
        (lambda: xpnn.poisson(xpnn.tensor([-1.0])), ArgumentError, "0 or more"),
        (lambda: xpnn.zeros(2).exponential_(0.0), ArgumentError, "positive rate"),
        (lambda: xpnn.zeros(2).geometric_(1.5), ArgumentError, "probability"),
        (lambda: xpnn.zeros(2).uniform_(1, 0), ArgumentError, "in order"),
        (lambda: xpnn.zeros(2, dtype="int64").normal_(), DTypeError, "floating Tensor"),
        (lambda: xpnn.manual_seed(2**64), ArgumentError, "a seed in"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_empty_draws(backend: Target) -> None:
    assert xpnn.rand(0, 3).shape == xpnn.randn(0, 3).shape == xpnn.randint(5, (0, 3)).shape == (0, 3)
    assert xpnn.randn(()).shape == xpnn.rand(()).shape == ()
    assert xpnn.randperm(0).shape == (0,)
    assert xpnn.bernoulli(xpnn.zeros(0)).shape == (0,)
    assert xpnn.multinomial(xpnn.ones(0, 2), 2, True).shape == (0, 2)


def test_random_split_takes_a_generator() -> None:
    splits = [
        xpnn.data.random_split(range(10), [7, 3], generator=xpnn.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    orders = [[*first.indices] for first, _ in splits]
    assert orders[0] == orders[1] != orders[2]


def test_the_module_has_pytorchs_names() -> None:
    for name in ("manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng"):
        assert callable(getattr(xpnn.random, name))
    assert xpnn.random.manual_seed(5) is xpnn.random.default_generator
    assert xpnn.random.initial_seed() == xpnn.initial_seed() == 5
    state = xpnn.random.get_rng_state()
    first = xpnn.rand(3).tolist()
    xpnn.random.set_rng_state(state)
    assert xpnn.rand(3).tolist() == first


def test_what_is_drawn_in_a_fork_is_not_missed_after_it() -> None:
    def draw() -> list:
        return [xpnn.rand(2).tolist(), nn.Linear(2, 1).weight.tolist(), xpnn.randperm(9).tolist()]

    xpnn.manual_seed(0)
    expected = draw()
    xpnn.manual_seed(0)
    with contextlib.suppress(ZeroDivisionError), xpnn.random.fork_rng():
        xpnn.manual_seed(9)
        assert draw() != expected
        raise ZeroDivisionError
    assert xpnn.random.initial_seed() == 0
    with xpnn.random.fork_rng(enabled=False, devices=[]):
        assert draw() == expected
    assert draw() != expected


def test_the_order_of_a_loader_goes_on_after_a_fork() -> None:
    def orders(forks: bool) -> list:
        xpnn.manual_seed(0)
        loader = DataLoader(list(range(20)), batch_size=20, shuffle=True)
        found = []
        for _ in range(3):
            found += [batch.tolist() for batch in loader]
            with xpnn.random.fork_rng(enabled=forks):
                if forks:
                    xpnn.manual_seed(9)
        return found

    assert orders(forks=True) == orders(forks=False)
