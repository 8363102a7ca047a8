"""Running the same step on two array libraries, to find the first operation whose results differ."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from xpnn.autograd.mode import watching
from xpnn.backend import (
    ArgumentError,
    DTypeError,
    dtype_name,
    finfo,
    is_array,
    manual_seed,
    to_numpy,
    use_backend,
)

_ROUNDINGS = 1000.0  # a difference of so many roundings of the largest element is more than rounding


@dataclass(frozen=True)
class Difference:
    """The first results of two runs that differ by more than rounding.

    Attributes:
        primitive: the operation's name, or where in the step's result: "the result", "the result['loss']".
        direction: "forward" or "backward"; "" for the step's result.
        module: the module that it was called in, "Conv2d 'features.0'"; "" outside of any.
        number: which of all operations it was, from 0.
        output: which of the operation's results or gradients, from 0.
        shape, dtype: of the result in the first run; in the second, if the first has none.
        index: the place of the greatest difference.
        values: the two values there, or the two shapes where those differ; None for a gradient, or a result
            of the step, that only the other run has.
        error: the greatest difference over the largest element of the operation's results and of those of the
            operation before; infinite where only one is NaN or infinite.
        before: the greatest such error of all results before.
    """

    primitive: str
    direction: str
    module: str
    number: int
    output: int
    shape: tuple[int, ...]
    dtype: str
    index: tuple[int, ...]
    values: tuple[Any, Any]
    error: float
    before: float

    def __str__(self) -> str:
        where = f" in {self.module}" if self.module else ""
        what = f"the {self.direction} of {self.primitive}" if self.direction else self.primitive
        place = f" at {self.index}" if self.index else ""
        result = f"{what}{where} (operation {self.number}, result {self.output}, {self.shape}, {self.dtype})"
        if None in self.values:
            has = "only the first has one" if self.values[1] is None else "only the second has one"
            return f"{result}: {has}; all errors before were at most {self.before:.1e}"
        return (
            f"{result}: {self.values[0]} and {self.values[1]}{place}, an error of {self.error:.1e} of the "
            f"largest element; all before were at most {self.before:.1e}"
        )


@dataclass(frozen=True)
class Lockstep:
    """What `lockstep` has found; `str()` of it is a sentence.

    Attributes:
        first: the first difference beyond rounding, or None.
        compared: the number of operations, forward and backward, whose results were compared.
        alone: how many operations only one of the two runs made, which are not compared.
        greatest: the greatest error of all results that were compared before `first`.
        backends: the two names.
    """

    first: Difference | None
    compared: int
    alone: int
    greatest: float
    backends: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.backends
        if self.first is not None:
            return f"{one} and {other} part at {self.first}"
        only = f", {self.alone} of only one were not" if self.alone else ""
        return (
            f"{one} and {other} go in step: {self.compared} operations were compared{only}; "
            f"the greatest error is {self.greatest:.1e}"
        )


def lockstep(
    step: Callable[[], Any],
    backend: str | tuple[str, Any],
    other: str | tuple[str, Any],
    *,
    seed: int = 0,
    roundings: float = _ROUNDINGS,
) -> Lockstep:
    """Run a step on two backends from the same random numbers, and say where their results part first.

    All results of operations and all gradients are copied to the host: take a small batch. Beside them what
    the step returns is compared, which shows what no operation does: an optimizer's update, a metric.

    Args:
        step: takes nothing; makes its model and its data, so that they are of the current backend, and
            returns nothing, or Tensors, arrays and numbers in lists, tuples and dictionaries, such as
            `model.state_dict()`.
        backend, other: names of backends, or pairs of a name and a device, `("torch", "cuda:1")`.
        seed: for `manual_seed`, before each of the runs.
        roundings: by how many roundings of the largest element of a result two elements may differ. Rounding
            grows from layer to layer: raise it if the difference found is one of an exact operation.

    Raises: BackendError for a backend that there is not; whatever the step raises.

    >>> from xpnn.autograd import tensor
    >>> def step():
    ...     x = tensor([1.0, 2.0], requires_grad=True)
    ...     (x * x).sum().backward()
    ...     return x.grad
    >>> print(lockstep(step, "numpy", "numpy"))
    numpy and numpy go in step: 5 operations were compared; the greatest error is 0.0e+00
    """
    if not callable(step):
        raise DTypeError(f"expects a function of no arguments, got {step!r:.60}", subject="lockstep")
    if not roundings > 0:
        raise ArgumentError(f"expects roundings above 0, got {roundings!r:.60}", subject="lockstep")
    runs = [_run(step, place, seed) for place in (backend, other)]
    one, other_name = [place if isinstance(place, str) else place[0] for place in (backend, other)]
    pairs = list(_in_common(*runs))
    alone = sum(map(len, runs)) - 2 * len(pairs)
    pairs = [pair for pair in pairs if any(x is not None for event in pair[1:] for x in event.results)]
    greatest = 0.0
    for compared, (number, mine, theirs) in enumerate(pairs):
        scale = _scale(mine, pairs[compared - 1][1] if compared else None)
        for output, (x, y) in enumerate(itertools.zip_longest(mine.results, theirs.results)):
            shown = x or y
            if shown is None:
                continue
            found = _greatest_difference(x, y, scale)
            if found.error > roundings * max(result.rounding for result in (x, y) if result is not None):
                first = Difference(
                    mine.primitive,
                    mine.direction,
                    mine.module,
                    number,
                    output,
                    tuple(shown.values.shape),
                    shown.dtype,
                    found.place,
                    found.values,
                    found.error,
                    greatest,
                )
                return Lockstep(first, compared, alone, greatest, (one, other_name))
            greatest = max(greatest, found.error)
    return Lockstep(None, len(pairs), alone, greatest, (one, other_name))


class _Result(NamedTuple):
    """A result on the host, and the name of the element type that it had."""

    values: Any
    dtype: str

    @property
    def rounding(self) -> float:
        """How far numbers beside 1 are from it; 0 for whole numbers."""
        return float(finfo(self.dtype).eps) if "float" in self.dtype or "complex" in self.dtype else 0.0


class _Event(NamedTuple):
    """An operation of a run and its results; None is a gradient, or a result, that there is not."""

    primitive: str
    direction: str
    module: str
    results: tuple[_Result | None, ...]


class _Found(NamedTuple):
    error: float
    place: tuple[int, ...]
    values: tuple[Any, Any]


def _run(step: Callable[[], Any], place: str | tuple[str, Any], seed: int) -> list[_Event]:
    events: list[_Event] = []

    def watch(arrays: Sequence[Any], name: str, what: str, scope: Sequence[Any]) -> None:
        direction = "forward" if what == "output" else "backward"
        events.append(_Event(name, direction, str(scope[-1]) if scope else "", tuple(_on_host(arrays))))

    name, device = (place, None) if isinstance(place, str) else place
    with use_backend(name, device):
        manual_seed(seed)
        with watching(watch):
            result = step()
        events += [_Event(f"the result{path}", "", "", tuple(_on_host([x]))) for path, x in _leaves(result)]
    return events


def _on_host(arrays: Sequence[Any]) -> Iterator[_Result | None]:
    for array in arrays:
        if array is None:
            yield None
            continue
        values = to_numpy(array).copy()
        yield _Result(values, dtype_name(array.dtype) if is_array(array) else values.dtype.name)


def _leaves(result: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays and numbers in what a step returns, None among them, and where they are in it."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _leaves(value, f"{path}[{key!r}]")
    elif isinstance(result, list | tuple):
        for i, value in enumerate(result):
            yield from _leaves(value, f"{path}[{i}]")
    elif result is None or is_array(result) or isinstance(result, bool | int | float | complex):
        yield path, result


def _in_common(mine: list[_Event], theirs: list[_Event]) -> Iterator[tuple[int, _Event, _Event]]:
    """The operations that both runs made, in their order: a library may take another way in places."""
    keys = [[event[:3] for event in events] for events in (mine, theirs)]
    for block in difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False).get_matching_blocks():
        for k in range(block.size):
            yield block.a + k, mine[block.a + k], theirs[block.b + k]


def _scale(event: _Event, before: _Event | None) -> float:
    """The largest element of the operation's results, and of those of the operation before.

    A sum that is zero but for rounding, as the gradient of a bias before a batch norm is, has no other
    measure. Numbers that the step returns have to do with nothing before them.
    """
    results = [result for result in event.results if result is not None]
    earlier = [] if before is None else [result for result in before.results if result is not None]
    if before is not None and before.direction == event.direction and results and earlier:
        arrays = event.direction or (results[0].values.ndim and earlier[0].values.ndim)
        results += earlier if arrays else []
    found = [abs(result.values) for result in results if result.rounding]
    return max((float(size[size < math.inf].max(initial=0.0)) for size in found), default=0.0)


def _greatest_difference(one: _Result | None, other: _Result | None, scale: float) -> _Found:
    """Over the scale, or the largest finite element where that is larger; whole numbers must be equal."""
    if one is None or other is None:
        shapes = [None if result is None else tuple(result.values.shape) for result in (one, other)]
        return _Found(math.inf, (), (shapes[0], shapes[1]))
    x, y = one.values, other.values
    if x.shape != y.shape:
        return _Found(math.inf, (), (tuple(x.shape), tuple(y.shape)))
    if x.size == 0:
        return _Found(0.0, (), (None, None))
    x, y = (
        values.reshape(-1).astype("complex128" if values.dtype.kind == "c" else "float64")
        for values in (x, y)
    )
    finite = (abs(x) < math.inf) & (abs(y) < math.inf)
    alike = (x == y) | ((x != x) & (y != y))
    largest = max(abs(x[finite]).max(initial=0.0), abs(y[finite]).max(initial=0.0), scale)
    errors = abs(x[finite] - y[finite]) / (largest or 1.0)
    wrong = abs(x)
    wrong[...] = math.inf
    wrong[finite] = errors
    wrong[alike] = 0.0
    place = int(wrong.argmax())
    error, values = float(wrong[place]), (one.values.flat[place].item(), other.values.flat[place].item())
    index: tuple[int, ...] = ()
    for size in reversed(one.values.shape):
        place, at = divmod(place, size)
        index = (at, *index)
    return _Found(error, index, values)
