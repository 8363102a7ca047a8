"""Random numbers: the same bits on every backend.

Two sources. Initial weights and the order of data come from a NumPy generator on the host. Dropout masks
and other noise that is drawn where the arrays live come from a counter-based stream: Threefry-2x32,
written in int32 additions, shifts and xors, which every array library has.

See: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend.arrays import device_of
from xpnn.backend.errors import ArgumentError, CheckpointError
from xpnn.backend.namespace import backend_of, namespace
from xpnn.backend.registry import Array
from xpnn.backend.scope import remove_last, scoped
from xpnn.backend.states import expect_state, is_count

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # the constant of Threefry's key schedule
RESOLUTION = 1 << 24  # uniform numbers are multiples of 2**-24

# Rotations to the left, each with the shift to the right that brings in the other bits.
_SHIFTS = [[(np.uint32(bits), np.uint32(32 - bits)) for bits in four] for four in ROTATIONS]

# Blocks of two words that are made at a time on the host: three arrays of 256 KB, which stay in the cache.
THREEFRY_BLOCKS = 64 * 1024


def manual_seed(seed: int) -> None:
    """Start all random numbers of xpnn anew: initial weights, order of data, dropout masks.

    >>> manual_seed(0)
    >>> first = host_generator().random()
    >>> manual_seed(0)
    >>> first == host_generator().random()
    True
    """
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"expects a seed in [0, 2**63), got {seed}", subject="manual_seed")
    _state.seed = seed
    _state.host = np.random.default_rng(seed)
    _state.stream.reset(seed)


def initial_seed() -> int:
    """The seed that `manual_seed` was last called with (0 at the start)."""
    return _state.seed


def host_generator() -> np.random.Generator:
    """The generator on the host that initial weights and the order of data are drawn from."""
    return _state.host


def host_generator_of(generator: Any) -> np.random.Generator:
    """A NumPy generator of a seed, of one that has a `stream` (whose next draw it takes), or itself."""
    stream = getattr(generator, "stream", None)
    return np.random.default_rng(generator) if stream is None else stream.host_generator()


def default_stream() -> RandomStream:
    """The stream that dropout draws its masks from: this thread's `use_stream`, else the global one."""
    return _local.streams[-1] if _local.streams else _state.stream


@scoped
def use_stream(stream: RandomStream) -> Iterator[RandomStream]:
    """Draw masks from `stream` inside of the block, in this thread only."""
    streams = _local.streams
    streams.append(stream)
    try:
        yield stream
    finally:
        remove_last(streams, stream)


class RandomStream:
    """A stream of uniform random numbers that is a pure function of (seed, counter, element).

    Args:
        seed: a non-negative 63-bit integer.
        rng: `"threefry"` gives the same bits on every backend; `"native"` uses the library's own
            generator where there is one (NumPy, PyTorch): faster, and different from library to library.

    The counter of draws is a Python integer, or a 0-d int32 array while a step is compiled.

    >>> x = np.zeros(1, dtype=np.float32)
    >>> stream = RandomStream(0)
    >>> float(stream.uniform((2, 3), x).max()) < 1.0, stream.counter
    (True, 1)
    """

    def __init__(self, seed: int, rng: str = "threefry") -> None:
        self.rng = "threefry"
        self.set_rng(rng)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Go back to the first number of `seed`'s stream."""
        self.seed = seed
        self.counter: Any = 0

    def set_rng(self, rng: str) -> None:
        """Choose `"threefry"` or `"native"` (see the class)."""
        if rng not in ("threefry", "native"):
            raise ArgumentError(f"expects rng='threefry' or 'native', got {rng!r}", subject="RandomStream")
        self.rng = rng

    def uniform(self, shape: tuple[int, ...], like: Array) -> Array:
        """float32 numbers in [0, 1), multiples of 2**-24, on the device of `like`."""
        native = backend_of(like).uniform if self.rng == "native" else None
        counter = self.next_counter()
        if native is not None:
            return native(shape, like, self.seed, counter)
        return uniform(shape, like, self.seed, counter)

    def host_generator(self) -> np.random.Generator:
        """A NumPy generator that the next draw determines, for distributions that are drawn on the host."""
        return np.random.default_rng([self.seed, int(self.next_counter())])

    def next_counter(self) -> Any:
        """The number of the next draw, which is drawn by that."""
        counter, self.counter = self.counter, self.counter + 1
        return counter

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on with the same numbers."""
        return {"seed": self.seed, "counter": int(self.counter), "rng": self.rng}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken. Raises: CheckpointError; then nothing was changed."""
        expect_state(
            state,
            "RandomStream",
            seed=is_count,
            counter=lambda value: is_count(value) and value < 2**31,
            rng=lambda value: value in ("threefry", "native"),
        )
        self.seed, self.counter, self.rng = state["seed"], state["counter"], state["rng"]


def words(shape: tuple[int, ...], like: Array, seed: int, counter: Any) -> Array:
    """Threefry's numbers of draw `counter`: int32 of all values, on the device of `like`."""
    if _on_host(like, counter):
        return _host_words(seed, counter, math.prod(shape)).reshape(shape)
    xp = namespace(like)
    return xp.reshape(_random_words(xp, seed, counter, math.prod(shape), device_of(like)), shape)


def uniform(shape: tuple[int, ...], like: Array, seed: int, counter: Any) -> Array:
    """Threefry's numbers of draw `counter`: float32 in [0, 1), multiples of 1 / RESOLUTION."""
    if _on_host(like, counter):
        drawn = _host_words(seed, counter, math.prod(shape)).view(np.uint32)
        drawn >>= np.uint32(8)
        numbers = drawn.view(np.int32).astype(np.float32)
        numbers *= np.float32(1.0 / RESOLUTION)
        return numbers.reshape(shape)
    xp, drawn = namespace(like), words(shape, like, seed, counter)
    mantissa = (drawn >> 8) & 0xFFFFFF
    return xp.astype(mantissa, xp.float32) * (1.0 / RESOLUTION)


def set_rng(rng: str) -> None:
    """Choose the source of dropout masks: `"threefry"` (same bits everywhere) or `"native"` (fastest)."""
    default_stream().set_rng(rng)


def state_dict() -> dict[str, Any]:
    """The state of both sources, JSON-ready."""
    return {
        "seed": _state.seed,
        "host": _state.host.bit_generator.state,
        "stream": _state.stream.state_dict(),
    }


def load_state_dict(state: dict[str, Any]) -> None:
    """Go on with both sources from where `state_dict` was taken.

    Raises: CheckpointError if it is no such state; then nothing was changed.
    """
    check_state_dict(state)
    _state.seed = state["seed"]
    _state.host.bit_generator.state = state["host"]
    _state.stream.load_state_dict(state["stream"])


@scoped
def fork_rng(devices: Any = None, enabled: bool = True, device_type: str = "cuda") -> Iterator[None]:
    """Go on after the block with the numbers that would have come without it.

    Args:
        devices, device_type: are accepted; there is one source for all devices.
        enabled: False does nothing.

    >>> manual_seed(0)
    >>> with fork_rng():
    ...     inside = host_generator().random()
    >>> host_generator().random() == inside
    True
    """
    host, state = _state.host, state_dict()
    try:
        yield
    finally:
        if enabled:
            _state.host = host  # which the orders of loaders go by: `manual_seed` makes another
            load_state_dict(state)


def check_state_dict(state: dict[str, Any]) -> None:
    """Raise CheckpointError if `load_state_dict` would."""
    subject = "The source of random numbers"
    expect_state(
        state,
        subject,
        seed=is_count,
        host=lambda host: isinstance(host, dict),
        stream=lambda stream: isinstance(stream, dict),
    )
    RandomStream(0).load_state_dict(state["stream"])
    host = np.random.default_rng(0)
    try:
        host.bit_generator.state = state["host"]
    except Exception as error:  # NumPy refuses nonsense in many ways
        raise CheckpointError(
            f"cannot take this state: its 'host' is none of a {type(host.bit_generator).__name__} ({error})",
            subject=subject,
        ) from error


def _random_words(xp: Any, seed: int, counter: Any, size: int, device: Any) -> Array:
    """`size` int32 words: block i of draw `counter` is threefry2x32(key=seed, message=(counter, i))."""
    blocks = (size + 1) // 2
    key = key_schedule(seed)
    zeros = xp.zeros((blocks,), dtype=xp.int32, device=device)
    x0 = zeros + counter + key[0]
    x1 = xp.arange(blocks, dtype=xp.int32, device=device) + key[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, rotation) ^ x0
        x0 = x0 + key[(group + 1) % 3]
        x1 = x1 + _signed(key[(group + 2) % 3] + group + 1)
    return xp.concat([x0, x1])[:size]


def _on_host(like: Array, counter: Any) -> bool:
    """Whether numbers can be made in place, in NumPy."""
    return isinstance(like, np.ndarray) and isinstance(counter, int)


def _host_words(seed: int, counter: int, size: int) -> np.ndarray:
    """`_random_words` in NumPy, in place and piece by piece."""
    blocks = (size + 1) // 2
    key = tuple(word & 0xFFFFFFFF for word in key_schedule(seed))
    both = np.empty((2, blocks), dtype=np.uint32)
    both[0] = (counter + key[0]) & 0xFFFFFFFF
    both[1] = np.arange(blocks, dtype=np.uint32)
    turned = np.empty(min(blocks, THREEFRY_BLOCKS), dtype=np.uint32)
    for first in range(0, blocks, THREEFRY_BLOCKS):
        x0, x1 = both[:, first : first + THREEFRY_BLOCKS]
        threefry_in_place(key, x0, x1, turned[: len(x0)])
    return both.reshape(-1)[:size].view(np.int32)


def threefry_in_place(key: tuple[int, ...], x0: np.ndarray, x1: np.ndarray, turned: np.ndarray) -> None:
    """Threefry-2x32 of counters, to which the key is added already, in x0, and of blocks in x1.

    Args:
        key: of `key_schedule`, as unsigned numbers.
        x0, x1: uint32 of the same shape; they become the first and second words.
        turned: memory of that shape and type.
    """
    x1 += np.uint32(key[1])
    for group in range(5):
        for left, right in _SHIFTS[group % 2]:
            x0 += x1
            np.left_shift(x1, left, out=turned)
            np.right_shift(x1, right, out=x1)
            x1 |= turned
            x1 ^= x0
        x0 += np.uint32(key[(group + 1) % 3])
        x1 += np.uint32((key[(group + 2) % 3] + group + 1) & 0xFFFFFFFF)


def key_schedule(seed: int) -> list[int]:
    """The three words of Threefry's key, as signed numbers."""
    key = [_signed(seed & 0xFFFFFFFF), _signed(seed >> 32)]
    return [*key, _signed(key[0] ^ key[1] ^ _PARITY)]


def _rotate_left(x: Array, bits: int) -> Array:
    """Rotate signed 32-bit words; the arithmetic right shift drags the sign in, so it is masked off."""
    return (x << bits) | ((x >> (32 - bits)) & ((1 << bits) - 1))


def _signed(value: int) -> int:
    """The low 32 bits of `value`, read as a signed number."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


class _State:
    """The process-wide sources."""

    def __init__(self) -> None:
        self.seed = 0
        self.host = np.random.default_rng(0)
        self.stream = RandomStream(0)


class _Local(threading.local):
    def __init__(self) -> None:
        self.streams: list[RandomStream] = []


_state = _State()
_local = _Local()
