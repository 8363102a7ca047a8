"""Random numbers: the same bits everywhere, and random enough."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from targets import Target

import xpnn
from xpnn.backend import ArgumentError, dtype_name, find_backend, random
from xpnn.backend.random import RandomStream

SHAPES = [(), (1,), (7,), (4, 5), (2, 0, 3)]
HOST = np.zeros(())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_backend_draws_the_same_bits(backend: Target, shape: tuple[int, ...]) -> None:
    stream, reference = RandomStream(2**40 + 17), RandomStream(2**40 + 17)
    for _ in range(3):
        numbers = stream.uniform(shape, backend.array(np.zeros(())))
        assert dtype_name(numbers.dtype) == "float32"
        assert np.array_equal(backend.numpy(numbers), reference.uniform(shape, HOST))


@pytest.mark.parametrize("counter", [0, 1, 12345])
@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5, 2**62 + 3])
def test_threefry_is_the_one_of_jax(seed: int, counter: int) -> None:
    """Block i of a draw is threefry2x32(key=seed, message=(counter, i))."""
    jax_random = pytest.importorskip("jax.extend.random")
    blocks = 5
    key = np.asarray([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32)
    message = np.concatenate([np.full(blocks, counter), np.arange(blocks)]).astype(np.uint32)
    expected = np.asarray(jax_random.threefry_2x32(key, message))
    xp = find_backend("numpy").xp
    words = random._random_words(xp, seed, counter, 2 * blocks, "cpu")
    assert np.array_equal(words.astype(np.uint32), expected)


def test_threefry_of_the_paper() -> None:
    """The known answer for zeros that the authors publish with their library (Random123, 20 rounds)."""
    words = random._random_words(find_backend("numpy").xp, 0, 0, 2, "cpu").astype(np.uint32)
    assert [f"{word:08x}" for word in words] == ["6b200159", "99ba4efe"]


@pytest.mark.parametrize("size", [0, 1, 5, 2 * random.THREEFRY_BLOCKS + 3])
@pytest.mark.parametrize("counter", [0, 2**31 - 1])
def test_words_made_in_place_are_the_same(counter: int, size: int) -> None:
    """In several pieces too, the last of them short."""
    seed = 2**62 + 3
    expected = random._random_words(find_backend("numpy").xp, seed, counter, size, "cpu")
    words = random._host_words(seed, counter, size)
    assert words.dtype == expected.dtype
    assert np.array_equal(words, expected)


def test_numbers_are_uniform() -> None:
    numbers = RandomStream(0).uniform((400, 500), HOST).astype(np.float64)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    size = numbers.size
    counts, _ = np.histogram(numbers, bins=64, range=(0, 1))
    chi_squared = ((counts - size / 64) ** 2 / (size / 64)).sum()
    assert 25 < chi_squared < 115  # 63 degrees of freedom: outside in two of a hundred thousand
    flat = numbers.reshape(-1) - 0.5
    for lag in (1, 2, 500, size // 2):
        correlation = (flat[:-lag] * flat[lag:]).mean() * 12
        assert abs(correlation) < 4.5 / np.sqrt(size - lag)


def test_draws_and_seeds_are_independent() -> None:
    stream = RandomStream(0)
    draws = [stream.uniform((20_000,), HOST) for _ in range(3)] + [RandomStream(1).uniform((20_000,), HOST)]
    correlations = np.corrcoef(np.stack(draws).astype(np.float64)) - np.eye(4)
    assert np.abs(correlations).max() < 0.03


def test_every_bit_is_used() -> None:
    words = random._random_words(find_backend("numpy").xp, 3, 0, 20_000, "cpu").astype(np.uint32)
    share = [((words >> bit) & 1).mean() for bit in range(32)]
    assert np.abs(np.asarray(share) - 0.5).max() < 0.02


def test_manual_seed_starts_everything_anew() -> None:
    def draw() -> tuple[list[float], list[float]]:
        return random.host_generator().random(3).tolist(), random.default_stream().uniform(
            (3,), HOST
        ).tolist()

    xpnn.manual_seed(7)
    first, second = draw(), draw()
    assert first != second
    xpnn.manual_seed(7)
    assert draw() == first
    assert random.initial_seed() == 7
    xpnn.manual_seed(8)
    assert draw() != first


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**63, 0.5])
def test_seeds_have_a_range(seed: int) -> None:
    with pytest.raises(ArgumentError, match=r"manual_seed expects a seed in \[0, 2\*\*63\)"):
        xpnn.manual_seed(seed)


def test_state_goes_on_where_it_was_taken() -> None:
    random.default_stream().uniform((3,), HOST)
    random.host_generator().random(5)
    state = random.state_dict()
    first = random.default_stream().uniform((3,), HOST), random.host_generator().random(2)
    xpnn.manual_seed(99)
    random.load_state_dict(state)
    again = random.default_stream().uniform((3,), HOST), random.host_generator().random(2)
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


def test_use_stream_holds_in_its_block_and_thread() -> None:
    mine = RandomStream(5)
    seen = []
    with random.use_stream(mine):
        assert random.default_stream() is mine
        thread = threading.Thread(target=lambda: seen.append(random.default_stream()))
        thread.start()
        thread.join()
    assert seen[0] is not mine
    assert random.default_stream() is not mine


def test_unknown_source_of_numbers() -> None:
    with pytest.raises(ArgumentError, match="expects rng='threefry' or 'native', got 'fast'"):
        RandomStream(0, rng="fast")


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_native_stream_can_be_replayed_and_differs_from_draw_to_draw(name: str) -> None:
    pytest.importorskip(name)
    with xpnn.use_backend(name):
        like = xpnn.asarray([0.0])
        stream = RandomStream(3, rng="native")
        draws = [xpnn.to_numpy(stream.uniform((1000,), like)) for _ in range(2)]
        stream.counter = 0
        again = xpnn.to_numpy(stream.uniform((1000,), like))
    assert np.array_equal(draws[0], again)
    assert not np.array_equal(draws[0], draws[1])
    assert draws[0].dtype == np.float32
    assert 0 <= draws[0].min() < draws[0].max() < 1
    assert abs(draws[0].mean() - 0.5) < 0.05
