"""Tensors of random numbers, from the counter stream that dropout draws from too (see `backend.random`).

Uniform and whole numbers, permutations and coin flips have the same bits on every backend. Those made by
logarithms, roots and cosines (normal, exponential, Cauchy ...) are equal within the last digits, in which
libraries differ. A number depends on the seed and on how often was drawn before, and so not on whether a step
is compiled, or computed again by `checkpoint`.
"""

from __future__ import annotations

import functools
import json
import math
import secrets
from typing import TYPE_CHECKING, Any, Self

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.functions.creation import Place, finished, place_of, sizes_of
from xpnn.backend import (
    ArgumentError,
    Array,
    CheckpointError,
    DType,
    DTypeError,
    ShapeError,
    asarray,
    cheap_to_read,
    concrete,
    default_integer,
    dtype_name,
    dtype_named,
    extremes,
    get_default_dtype,
    is_array,
    is_floating,
    move,
    namespace,
    random,
    refusing,
    refusing_methods,
    size_of,
    to_numpy,
)

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor

__all__ = [
    *("Generator", "bernoulli", "binomial", "default_generator", "get_rng_state", "initial_seed"),
    *("manual_seed", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like"),
    *("randn", "randn_like", "randperm", "seed", "set_rng_state"),
]

_FIRST_SEED = 67280421310721  # PyTorch's, of a Generator that was given none
_SEEDS = 2**63
_DIGITS = {"float16": 11, "bfloat16": 8}  # binary digits of a number below 1 that is not rounded up to 1
_SMALLEST = 2.0**-25  # in place of a uniform number that is 0, where its logarithm is needed


class Generator:
    """A stream of random numbers of its own, for the `generator=` of the functions here.

    Args:
        device: is accepted; the numbers are the same on every device.

    >>> randint(10, (3,), generator=Generator().manual_seed(0)).shape
    (3,)
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = place_of(device).device if device != "cpu" else device
        self._stream = random.RandomStream(_FIRST_SEED)

    @property
    def stream(self) -> random.RandomStream:
        """The stream that it draws from."""
        return self._stream

    def manual_seed(self, seed: int) -> Self:
        """Start at the first number of `seed`'s stream; returns itself. Negative seeds count from 2**63."""
        self.stream.reset(_checked_seed(seed))
        return self

    def seed(self) -> int:
        """Start at a seed that nobody can know before; returns it."""
        fresh = secrets.randbits(63)
        self.manual_seed(fresh)
        return fresh

    def initial_seed(self) -> int:
        """The seed that it was started with."""
        return self.stream.seed

    def get_state(self) -> Tensor:
        """What `set_state` needs to go on with the same numbers, as uint8."""
        return _packed(self.stream.state_dict())

    def set_state(self, new_state: Any) -> Self:
        """Go on from where `get_state` was taken; returns itself. Raises: CheckpointError."""
        self.stream.load_state_dict(_unpacked(new_state))
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of seed {self.initial_seed()}>"


class _DefaultGenerator(Generator):
    """The one that is drawn from without `generator=`; its seed and state are those of all of xpnn."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def stream(self) -> random.RandomStream:
        return random.default_stream()

    def manual_seed(self, seed: int) -> Self:
        random.manual_seed(_checked_seed(seed))
        return self

    def get_state(self) -> Tensor:
        return _packed(random.state_dict())

    def set_state(self, new_state: Any) -> Self:
        random.load_state_dict(_unpacked(new_state))
        return self


default_generator = _DefaultGenerator()


def manual_seed(seed: int) -> Generator:
    """Start all random numbers of xpnn anew: initial weights, order of data, dropout masks, `randn` ...

    Returns: the default generator. Raises: ArgumentError for a seed outside of [-2**63, 2**63).

    >>> manual_seed(0).initial_seed()
    0
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start all random numbers anew at a seed that nobody can know before; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that all random numbers were started with."""
    return random.initial_seed()


def get_rng_state() -> Tensor:
    """What `set_rng_state` needs to go on with the same numbers, as uint8."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Go on from where `get_rng_state` was taken. Raises: CheckpointError; then nothing was changed."""
    default_generator.set_state(new_state)


@refusing
def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Uniform random numbers in [0, 1); see `zeros` for the arguments.

    float32 has 24 binary digits, float64 53.

    >>> rand(2, 3).shape
    (2, 3)
    """
    return _drawn(_uniform, size, generator, dtype, device, requires_grad, options, "rand")


@refusing
def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Random numbers of mean 0 and variance 1, normally distributed; see `zeros` for the arguments.

    See: Box & Muller (1958), "A note on the generation of random normal deviates".

    >>> randn(2, 3).shape
    (2, 3)
    """
    return _drawn(_normal, size, generator, dtype, device, requires_grad, options, "randn")


@refusing
def randint(
    *bounds: Any,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Uniform whole numbers: `randint(high, size)` in [0, high), `randint(low, high, size)` in [low, high).

    Args:
        bounds: one or two whole numbers, then the shape; also as `low=`, `high=`, `size=`.
        dtype: default is int64.

    Raises: ArgumentError for an empty range.

    >>> randint(3, 4, (2,))
    tensor([3, 3])
    """
    given = [*bounds]
    size = options.pop("size") if "size" in options else given.pop() if given else None
    if "high" in options:
        given.append(options.pop("high"))
    if "low" in options:
        given.insert(0, options.pop("low"))
    if not 1 <= len(given) <= 2 or size is None:
        raise ArgumentError(f"expects low, high and size, got {bounds!r:.80}", subject="randint")
    low, high = (0, *given) if len(given) == 1 else given
    draw = functools.partial(_whole, low=_bound(low), high=_bound(high), subject="randint")
    dtype = default_integer(place_of(device).backend.xp) if dtype is None else dtype
    return _drawn(draw, (size,), generator, dtype, device, requires_grad, options, "randint")


@refusing
def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """The numbers 0 ... n - 1 in random order.

    >>> sorted(randperm(3).tolist())
    [0, 1, 2]
    """
    shape, place = sizes_of((n,), {}, "randperm"), place_of(device)
    words = _words(shape, place, _stream_of(generator))
    order = place.backend.xp.argsort(words, stable=True)
    xp = place.backend.xp
    array = xp.astype(order, default_integer(xp) if dtype is None else dtype_named(dtype, xp))
    return finished(array, requires_grad, options, "randperm")


@refusing
def rand_like(input: Any, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """`rand` in the shape, element type and device of a Tensor.

    >>> rand_like(rand(2, 3)).shape
    (2, 3)
    """
    return _drawn_like(_uniform, input, generator, options, "rand_like")


@refusing
def randn_like(input: Any, *, generator: Generator | None = None, **options: Any) -> Tensor:
    """`randn` in the shape, element type and device of a Tensor.

    >>> randn_like(rand(2, 3)).shape
    (2, 3)
    """
    return _drawn_like(_normal, input, generator, options, "randn_like")


@refusing
def randint_like(
    input: Any, *bounds: Any, generator: Generator | None = None, low: int = 0, **options: Any
) -> Tensor:
    """`randint(high)` or `randint(low, high)` in the shape, element type and device of a Tensor.

    >>> randint_like(rand(2), 3, 4)
    tensor([3., 3.])
    """
    high = options.pop("high", None)
    given = (low, *bounds) if high is None and len(bounds) < 2 else (*(bounds or (low,)), high)
    if high is None and len(bounds) == 2:
        given = bounds
    if len(given) != 2:
        raise ArgumentError(f"expects low and high, got {bounds!r:.80}", subject="randint_like")
    first, end = map(_bound, given)
    draw = functools.partial(_whole, low=first, high=end, subject="randint_like")
    return _drawn_like(draw, input, generator, options, "randint_like")


@refusing
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """Normally distributed numbers, each of its own mean and standard deviation.

    Args:
        mean, std: Tensors that broadcast, or numbers. No gradient flows into them.
        size: the shape, if both are numbers.

    Raises: ArgumentError for a negative `std`.

    >>> normal(rand(3), 0.0).shape, normal(0.0, 1.0, (2, 2)).shape
    ((3,), (2, 2))
    """
    raws = [x.array if isinstance(x, TensorBase) else x for x in (mean, std)]
    given = [raw for raw in raws if is_array(raw)]
    _check_range(raws[1], 0.0, math.inf, "a standard deviation of 0 or more", "normal")
    if not given:
        if size is None:
            raise ArgumentError("expects a size, or Tensors", subject="normal")
        draw = functools.partial(_shifted_normal, mean=mean, std=std)
        return _drawn(draw, (size,), generator, dtype, device, requires_grad, options, "normal")
    xp = namespace(*given)
    shape = tuple(xp.broadcast_arrays(*given)[0].shape)
    kind = next((raw.dtype for raw in given if is_floating(raw)), get_default_dtype())
    noise = _normal(shape, place_of(None, given[0]), kind, _stream_of(generator))
    wide = [xp.astype(raw, noise.dtype) if is_array(raw) else raw for raw in raws]
    return finished(wide[0] + wide[1] * noise, requires_grad, options, "normal")


@refusing
def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that the element of `input` says (or `p`), else 0; in the type of `input`.

    Raises: ArgumentError for what is no probability.

    >>> from xpnn.autograd import tensor
    >>> bernoulli(tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    raw = _raw(input, "bernoulli")
    if p is None and not is_floating(raw):
        raise DTypeError(f"expects floating probabilities, got {raw.dtype}", subject="bernoulli")
    return new_tensor(_coins(raw, raw if p is None else p, _stream_of(generator), "bernoulli"))


@refusing
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with probabilities proportional to weights.

    Args:
        input: floating (n,) or (m, n): weights of 0 or more, whose sum need not be 1.
        num_samples: of each row.
        replacement: whether an index may be drawn twice.

    Returns: int64 (num_samples,) or (m, num_samples).

    Without replacement the weights are divided by exponentially distributed numbers; the largest are taken.

    Raises: ArgumentError for negative weights and for rows of zeros.

    See: Efraimidis & Spirakis (2006), "Weighted random sampling with a reservoir".

    >>> from xpnn.autograd import tensor
    >>> multinomial(tensor([0.0, 3.0, 0.0]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = _raw(input, "multinomial")
    xp = namespace(weights)
    if not is_floating(weights) or weights.ndim not in (1, 2):
        raise ShapeError(
            f"expects floating weights of shape (n,) or (m, n), got {weights.dtype} {tuple(weights.shape)}",
            subject="multinomial",
        )
    count = weights.shape[-1]
    if not isinstance(num_samples, int) or num_samples <= 0 or (not replacement and num_samples > count):
        raise ArgumentError(
            f"cannot draw {num_samples} of {count} " + ("" if replacement else "without replacement"),
            subject="multinomial",
        )
    _check_range(weights, 0.0, math.inf, "weights of 0 or more", "multinomial", finite=True)
    rows = xp.reshape(xp.astype(weights, _precise(weights, xp)), (-1, count))
    totals = xp.sum(rows, axis=-1)
    _check_range(totals, 0.0, math.inf, "a positive sum of weights", "multinomial", above=True)
    stream, place = _stream_of(generator), place_of(None, weights)
    if replacement:
        at = _uniform((rows.shape[0], num_samples), place, rows.dtype, stream)
        sums = xp.cumulative_sum(rows, axis=-1)
        drawn = [_found(sums[i, :], at[i, :], xp) for i in range(rows.shape[0])]
        indices = xp.stack(drawn) if drawn else xp.reshape(xp.argsort(at), at.shape)
    else:
        waits = _exponential(tuple(rows.shape), place, rows.dtype, stream)
        indices = xp.argsort(rows / waits, axis=-1, descending=True, stable=True)[:, :num_samples]
    shape = (*weights.shape[:-1], num_samples)
    return new_tensor(xp.reshape(xp.astype(indices, default_integer(xp)), shape))


@refusing
def poisson(input: Any, generator: Generator | None = None) -> Tensor:
    """Poisson distributed numbers of given rates, in the element type of `input`; drawn on the host.

    Raises: ArgumentError for a negative rate.

    >>> poisson(normal(0.0, 0.0, (2,)))
    tensor([0., 0.])
    """
    rates = _raw(input, "poisson")
    if not is_floating(rates):
        raise DTypeError(f"expects floating rates, got {rates.dtype}", subject="poisson")
    _check_range(rates, 0.0, math.inf, "rates of 0 or more", "poisson", finite=True)
    values = _stream_of(generator).host_generator().poisson(to_numpy(rates))
    place = place_of(None, rates)
    return new_tensor(move(to_numpy(values), place.backend, place.device, rates.dtype))  # one is an int


@refusing
def binomial(count: Any, prob: Any, generator: Generator | None = None) -> Tensor:
    """How many of `count` trials of probability `prob` succeed, in the element type of `count`; on the host.

    >>> binomial(normal(5.0, 0.0, (2,)), normal(1.0, 0.0, (2,)))
    tensor([5., 5.])
    """
    trials, chances = _raw(count, "binomial"), _raw(prob, "binomial")
    _check_range(trials, 0.0, math.inf, "counts of 0 or more", "binomial", finite=True)
    _check_range(chances, 0.0, 1.0, "probabilities in [0, 1]", "binomial")
    draw = _stream_of(generator).host_generator().binomial
    values = draw(to_numpy(trials).astype("int64"), to_numpy(chances).astype("float64"))
    place = place_of(None, trials)
    return new_tensor(move(to_numpy(values), place.backend, place.device, trials.dtype))


@refusing_methods
class RandomMethods(TensorBase):
    """The methods of `Tensor` that fill it with random numbers, and those that draw by what it holds.

    Those that end in `_` rebind the Tensor to a new array, as all writing in place does; where it is on the
    tape, no gradient flows through it to what it was before.
    """

    __slots__ = ()

    bernoulli, multinomial = bernoulli, multinomial

    def uniform_(self, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Numbers uniform in [from_, to).

        >>> x = rand(3).uniform_(2, 3)
        >>> bool(((x >= 2) & (x < 3)).all())
        True
        """
        _check_order(from_, to, "uniform_")
        return self._fill(lambda *where: _uniform(*where) * (to - from_) + from_, generator, "uniform_")

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Normally distributed numbers."""
        _check_range(std, 0.0, math.inf, "a standard deviation of 0 or more", "normal_")
        return self._fill(functools.partial(_shifted_normal, mean=mean, std=std), generator, "normal_")

    def log_normal_(self, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Self:
        """Numbers whose logarithms are normally distributed with that mean and standard deviation."""
        _check_range(std, 0.0, math.inf, "a standard deviation of 0 or more", "log_normal_")
        draw = functools.partial(_shifted_normal, mean=mean, std=std)
        return self._fill(lambda *where: where[1].backend.xp.exp(draw(*where)), generator, "log_normal_")

    def exponential_(self, lambd: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Exponentially distributed numbers, of mean 1 / lambd."""
        _check_range(lambd, 0.0, math.inf, "a positive rate", "exponential_", above=True)
        return self._fill(lambda *where: _exponential(*where) / lambd, generator, "exponential_")

    def cauchy_(self, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Cauchy distributed numbers."""
        _check_range(sigma, 0.0, math.inf, "a positive width", "cauchy_", above=True)

        def draw(shape: tuple[int, ...], place: Place, dtype: Any, stream: Any) -> Array:
            turns = _positive_uniform(shape, place, dtype, stream) - 0.5
            return median + sigma * place.backend.xp.tan(math.pi * turns)

        return self._fill(draw, generator, "cauchy_")

    def geometric_(self, p: float, *, generator: Generator | None = None) -> Self:
        """How many trials of probability p it takes until the first success: 1, 2, ..."""
        if not isinstance(p, int | float) or not 0.0 < p < 1.0:
            raise ArgumentError(f"expects a probability in (0, 1), got {p!r:.60}", subject="geometric_")

        def draw(*where: Any) -> Array:
            trials = _exponential(*where) / -math.log1p(-p)
            xp = where[1].backend.xp
            return xp.maximum(xp.ceil(trials), xp.ones_like(trials))

        return self._fill(draw, generator, "geometric_")

    def random_(
        self, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None
    ) -> Self:
        """Whole numbers uniform in [from_, to); `random_(n)` in [0, n); without bounds all that fit in."""
        low, high = (0, from_) if to is None else (from_ or 0, to)
        kind = DType(self.dtype)
        if high is None and kind.is_floating_point:
            high = {"float16": 2**11, "bfloat16": 2**8, "float32": 2**24}.get(kind.name, 2**53) + 1
        elif high is None:
            high = 2 if kind == "bool" else min(2 ** (8 * kind.itemsize - kind.is_signed), 2**62)
        draw = functools.partial(_whole, low=_bound(low), high=_bound(high), subject="random_")
        return self._fill(draw, generator, "random_", any_type=True)

    def bernoulli_(self, p: Any = 0.5, *, generator: Generator | None = None) -> Self:
        """1 with probability `p`, a number or a Tensor that broadcasts, else 0."""
        chance = p.array if isinstance(p, TensorBase) else p
        coins = _coins(self.array, chance, _stream_of(generator), "bernoulli_")
        return self._rebind(ops.setitem(self, new_tensor(coins), index=...), "bernoulli_")

    def _fill(self, draw: Any, generator: Generator | None, name: str, any_type: bool = False) -> Self:
        """Take over what `draw(shape, place, dtype, stream)` draws."""
        kind = DType(self.dtype)
        if not any_type and not kind.is_floating_point:
            raise DTypeError(f"expects a floating Tensor, got {kind}", subject=name)
        drawn = draw(self.shape, place_of(None, self.array), self.dtype, _stream_of(generator))
        return self._rebind(ops.setitem(self, new_tensor(drawn), index=...), name)

    def _rebind(self, result: Any, operation: str) -> Any:
        """Become `result` (see `Tensor`)."""
        raise NotImplementedError


def _stream_of(generator: Any) -> random.RandomStream:
    if generator is None:
        return random.default_stream()
    if not isinstance(generator, Generator):
        raise DTypeError(
            f"expects an xpnn.Generator, got {type(generator).__name__}",
            subject="generator",
            hint="Make one with xpnn.Generator().manual_seed(0)",
        )
    return generator.stream


def _drawn(
    draw: Any,
    size: tuple[Any, ...],
    generator: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    options: dict[str, Any],
    subject: str,
) -> Tensor:
    """A Tensor of what `draw(shape, place, dtype, stream)` draws."""
    shape = sizes_of(size, options, subject)
    dtype = get_default_dtype() if dtype is None else dtype
    array = draw(shape, place_of(device), dtype, _stream_of(generator))
    return finished(array, requires_grad, options, subject)


def _drawn_like(draw: Any, input: Any, generator: Any, options: dict[str, Any], subject: str) -> Tensor:
    raw = _raw(input, subject)
    dtype, device = options.pop("dtype", None), options.pop("device", None)
    requires_grad = options.pop("requires_grad", False)
    place = place_of(device, raw)
    array = draw(tuple(raw.shape), place, raw.dtype if dtype is None else dtype, _stream_of(generator))
    return finished(array, requires_grad, options, subject)


def _words(shape: tuple[int, ...], place: Place, stream: random.RandomStream) -> Array:
    """Random int32 numbers, of all values."""
    like = place.backend.xp.empty((0,), **place.options("int32"))
    return random.words(shape, like, stream.seed, stream.next_counter())


def _uniform(shape: tuple[int, ...], place: Place, dtype: Any, stream: random.RandomStream) -> Array:
    """Numbers in [0, 1); of complex numbers both parts."""
    xp, kind = place.backend.xp, DType(dtype)
    if kind.is_complex:
        parts = _uniform((2, *shape), place, kind.to_real(), stream)
        return _joined(parts, place, kind)
    if not kind.is_floating_point:
        raise DTypeError(f"expects a floating dtype, got {kind}", subject="a random number in [0, 1)")
    if kind == "float64":
        words = _words((2, *shape), place, stream)
        high, low = [
            xp.astype(_low_bits(words[i, ...], 32 - n, n, xp), xp.float64) for i, n in ((0, 27), (1, 26))
        ]
        return (high * 2.0**26 + low) * 2.0**-53
    numbers = stream.uniform(shape, xp.empty((0,), **place.options("float32")))
    if kind == "float32":
        return numbers
    steps = 2.0 ** _DIGITS[kind.name]
    return xp.astype(xp.floor(numbers * steps) / steps, dtype_named(kind, xp))


def _low_bits(words: Array, shift: int, bits: int, xp: Any) -> Array:
    """The upper `bits` of each word as a number of 0 or more: the sign that the shift drags in is masked."""
    shifted = xp.bitwise_right_shift(words, xp.full_like(words, shift))
    return xp.bitwise_and(shifted, xp.full_like(words, (1 << bits) - 1))


def _positive_uniform(shape: tuple[int, ...], place: Place, dtype: Any, stream: Any) -> Array:
    """Numbers in (0, 1)."""
    numbers = _uniform(shape, place, _wide(dtype), stream)
    xp = place.backend.xp
    return xp.maximum(numbers, xp.full_like(numbers, _SMALLEST))


def _exponential(shape: tuple[int, ...], place: Place, dtype: Any, stream: Any) -> Array:
    return -place.backend.xp.log(_positive_uniform(shape, place, dtype, stream))


def _normal(shape: tuple[int, ...], place: Place, dtype: Any, stream: random.RandomStream) -> Array:
    """Two uniform numbers make two normal ones: the radius and the angle of a point in the plane."""
    xp, kind = place.backend.xp, DType(dtype)
    if kind.is_complex:
        return _joined(_normal((2, *shape), place, kind.to_real(), stream) * math.sqrt(0.5), place, kind)
    if not kind.is_floating_point:
        raise DTypeError(f"expects a floating dtype, got {kind}", subject="randn")
    count = size_of(shape)
    points = _uniform((2, (count + 1) // 2), place, _wide(kind), stream)
    radius = xp.sqrt(-2.0 * xp.log(1.0 - points[0, :]))
    angle = points[1, :] * (2.0 * math.pi)
    numbers = xp.concat([radius * xp.cos(angle), radius * xp.sin(angle)])[:count]
    return xp.astype(xp.reshape(numbers, shape), dtype_named(kind, xp), copy=False)


def _shifted_normal(
    shape: tuple[int, ...], place: Place, dtype: Any, stream: Any, *, mean: float, std: float
) -> Array:
    return _normal(shape, place, dtype, stream) * std + mean


def _joined(parts: Array, place: Place, kind: DType) -> Array:
    """Complex numbers of their real and imaginary parts, along the first axis."""
    xp = place.backend.xp
    wide = xp.astype(parts, dtype_named(kind, xp))
    return wide[0, ...] + wide[1, ...] * 1j


def _whole(
    shape: tuple[int, ...], place: Place, dtype: Any, stream: Any, *, low: int, high: int, subject: str
) -> Array:
    """Whole numbers in [low, high): the remainders of numbers of 31 bits, or 62 for wide ranges."""
    span, xp = high - low, place.backend.xp
    if not 0 < span <= 2**62:
        raise ArgumentError(f"expects low < high, got {low} and {high}", subject=subject)
    if span < 2**24:
        words = _low_bits(_words(shape, place, stream), 1, 31, xp)
    elif dtype_name(default_integer(xp)) != "int64":
        raise ArgumentError(
            f"expects a range below 2**24 without 64-bit integers, got {low} to {high}",
            subject=subject,
            hint="Turn the library's 64-bit numbers on",
        )
    else:
        pairs = xp.astype(_low_bits(_words((2, *shape), place, stream), 1, 31, xp), xp.int64)
        words = pairs[0, ...] * 2**31 + pairs[1, ...]
    numbers = xp.remainder(words, xp.full_like(words, span))
    if not -(2**30) <= low < 2**30:
        numbers = xp.astype(numbers, xp.int64)
    return xp.astype(numbers + low, dtype_named(dtype, xp))


def _coins(like: Array, chance: Any, stream: Any, subject: str) -> Array:
    """1 with the given probability, else 0, in the shape and element type of an array."""
    _check_range(chance, 0.0, 1.0, "probabilities in [0, 1]", subject)
    xp = namespace(like)
    draws = _uniform(tuple(like.shape), place_of(None, like), "float32", stream)
    if is_array(chance):
        chance = xp.astype(chance, draws.dtype)
    return xp.astype(draws < chance, like.dtype)


def _found(sums: Array, at: Array, xp: Any) -> Array:
    """The first index whose running sum of weights is above a share `at` of the whole."""
    indices = xp.searchsorted(sums, at * sums[-1], side="right")
    last = xp.sum(xp.astype(sums < sums[-1], indices.dtype))  # the last of a weight above 0
    return xp.minimum(indices, xp.astype(last, indices.dtype))


def _wide(dtype: Any) -> Any:
    return "float32" if DType(dtype).itemsize == 2 else dtype


def _precise(array: Array, xp: Any) -> Any:
    return dtype_named(_wide(array.dtype), xp)


def _raw(input: Any, subject: str) -> Array:
    if not is_array(input):
        raise DTypeError(f"expects a Tensor, got {type(input).__name__}", subject=subject)
    return input.array if isinstance(input, TensorBase) else input


def _bound(value: Any) -> int:
    if isinstance(value, TensorBase):
        value = value.item()  # type: ignore[attr-defined]
    if isinstance(value, bool) or int(value) != value:
        raise DTypeError(f"expects whole numbers as bounds, got {value!r:.60}", subject="randint")
    return int(value)


def _check_range(
    values: Any, low: float, high: float, what: str, subject: str, finite: bool = False, above: bool = False
) -> None:
    """Refuse what is outside of [low, high] (with `above`, also `low` itself), where that can be read."""
    if is_array(values):
        if size_of(values.shape) == 0 or not (concrete(values) and cheap_to_read(values)):
            return
        smallest, largest = extremes(values)
    else:
        smallest = largest = values
    good = smallest > low if above else smallest >= low
    if not (good and largest <= high) or (finite and math.isinf(largest)):
        raise ArgumentError(f"expects {what}, got {smallest if not good else largest}", subject=subject)


def _check_order(low: float, high: float, subject: str) -> None:
    if not low <= high:
        raise ArgumentError(f"expects bounds in order, got {low} and {high}", subject=subject)


def _checked_seed(seed: Any) -> int:
    if not isinstance(seed, int) or not -_SEEDS <= seed < _SEEDS:
        raise ArgumentError(f"expects a seed in [0, 2**63), got {seed!r:.60}", subject="manual_seed")
    return seed % _SEEDS


def _packed(state: dict[str, Any]) -> Tensor:
    return new_tensor(asarray([*json.dumps(state).encode()], "uint8"))


def _unpacked(state: Any) -> dict[str, Any]:
    try:
        return json.loads(bytes(to_numpy(state).tolist()))
    except (TypeError, ValueError):
        raise CheckpointError(
            "expects what get_rng_state() or get_state() gave", subject="The source of random numbers"
        ) from None
