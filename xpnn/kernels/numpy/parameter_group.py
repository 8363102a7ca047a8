"""A group of parameters in memory that suits the update: many small ones behind one another, all in place.

NumPy's overhead is a microsecond for each operation on each array, and an update takes a dozen operations.
So small parameters are put behind one another in bundles, of which parameters and slots of the optimizer are
views; an update works on pieces of a bundle that stay in the cache, in place, from several threads.

Adam takes 10 ms for 1000 parameters of 10,000 elements and 1.1 ms for 1000 of 100, where one by one takes 32
and 15; 8 ms for one of 10 million, out of place and out of the cache 26.

A bundle is no larger than a piece, so that who keeps one small parameter of long ago keeps little else
alive. Of its members those with a gradient that have seen as many updates are worked on together: some may be
left out in some steps.
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xpnn.backend import BackendError, find_backend, find_kernels, get_num_threads, kernel
from xpnn.backend.threads import single_threaded_blas
from xpnn.kernels.numpy.memory import scratch
from xpnn.kernels.numpy.ownership import sole_owner
from xpnn.kernels.numpy.parallel import parallel

State = dict[str, Any]

# The size of a bundle, and of the pieces that are worked on. On one thread it matters little: 10 million
# elements take Adam 12 ms with 512 KB, 12.7 with 256 and 14 with 128. Two threads wait for each other's turn
# in Python after each operation, the longer the shorter these are: 7.4, 8.6 and 10.8 ms.
PIECE_BYTES = 512 * 1024

# Passes over an element, times elements, from which several threads are faster: with fewer they wait for
# longer than they work. Adam takes 116 us for 100,000 elements on one thread and 111 to 156 on two, for
# 400,000 it takes 404 and 251.
_WORTHWHILE = 1_800_000

Piece = tuple[np.ndarray, Any, State]  # of a parameter, its gradient (or a list of several), its state


class ParameterGroup:
    """What is remembered of a group of an optimizer from step to step: its bundles.

    That is where arrays lie, and nothing more. All values are in the parameters and in the optimizer's state;
    where those have been replaced by other arrays, bundles are made anew.
    """

    def __init__(self) -> None:
        self._size = 0
        self._bundles: list[_Bundle] = []
        self._bundled: set[int] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return ParameterGroup, ()  # a copy would be of the arrays, and they no views of one memory any more

    def update(
        self,
        name: str,
        params: list[Any],
        grads: Sequence[Any],
        states: list[State],
        slots: tuple[str, ...],
        options: dict[str, Any],
        complete: Callable[[int], State],
    ) -> set[int]:
        """Update all parameters that have a gradient and are arrays that the kernel takes.

        Args:
            name: of the optimizer's kernel (see `optim`).
            params, states: are replaced in these lists by what they have become. Nothing but the caller's
                Tensors and its state may hold them, or they are copied first.
            grads: None where there is none.
            slots: the names of a state's arrays.
            options: of the group, as Python numbers.
            complete: the state of a parameter, by its position, with all slots as they have to be.

        Returns: the positions of parameters and states that were replaced or updated; the others are left to
        the caller.
        """
        arrays = tuple([slot for slot in slots if slot != "step"])
        self._forget_outdated(params, states, slots, arrays)
        if len(self._bundled) < len(params):
            self._bundle_waiting(params, grads, states, arrays, complete)
        size = sum([grad.nbytes for grad in grads if grad is not None])
        passes = 2 + 4 * len(arrays)  # over an element: for the step, and for each slot
        threads = get_num_threads() if passes * size / 4 >= _WORTHWHILE else 1
        limit = PIECE_BYTES if threads == 1 else _even_share(size, threads)
        pieces: list[Piece] = []
        updated: set[int] = set()
        for bundle in self._bundles:
            found = bundle.pieces(params, grads, states, slots, limit)
            if found:
                pieces += found
                updated.update(bundle.positions)
        if pieces:
            _work_on(pieces, name, options, threads)
        return updated

    def _forget_outdated(
        self, params: list[Any], states: list[State], slots: tuple[str, ...], arrays: tuple[str, ...]
    ) -> None:
        """Forget the bundles whose arrays are not those of the group any more."""
        if self._size != len(params):
            self._size, self._bundles = len(params), []
        current = [b for b in self._bundles if b.is_current(params, states, slots, arrays)]
        if len(current) != len(self._bundles) or not current:
            self._bundles = current
            self._bundled = {i for bundle in current for i in bundle.positions}

    def _bundle_waiting(
        self,
        params: list[Any],
        grads: Sequence[Any],
        states: list[State],
        arrays: tuple[str, ...],
        complete: Callable[[int], State],
    ) -> None:
        """Put parameters that have a gradient and are in no bundle into new ones."""
        waiting = [
            i
            for i, grad in enumerate(grads)
            if grad is not None and i not in self._bundled and _is_plain(params[i], grad)
        ]
        for i in waiting:
            states[i] = complete(i)
        for members in _bundles_of(waiting, params):
            self._bundles.append(_Bundle(members, params, states, arrays))
            self._bundled.update(members)


kernel("numpy", "parameter_group")(ParameterGroup)  # as a decorator it would hide the class from pickle


class _Flat:
    """Arrays as views of one memory, one behind the other."""

    __slots__ = ("memory", "views")

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self._divide(np.concatenate(arrays, axis=None), [array.shape for array in arrays])

    def own(self, holders: int) -> bool:
        """Copy the memory if anybody but `holders` known ones holds one of the views, or the memory.

        Returns: whether it did, so that there are new views.
        """
        if sole_owner(self.views, holders) and sole_owner((self.memory,), 1 + len(self.views)):
            return False
        self._divide(self.memory.copy(), [view.shape for view in self.views])
        return True

    def _divide(self, memory: np.ndarray, shapes: list[tuple[int, ...]]) -> None:
        ends = list(itertools.accumulate(map(math.prod, shapes)))
        self.memory = memory
        self.views = [
            memory[first:last].reshape(shape) for first, last, shape in zip([0, *ends], ends, shapes)
        ]


class _Bundle:
    """Some parameters of a group, by their positions in it, and their slots, each `_Flat`."""

    __slots__ = ("bounds", "param", "positions", "slots")

    def __init__(
        self, positions: list[int], params: list[Any], states: list[State], arrays: tuple[str, ...]
    ) -> None:
        self.positions = positions
        self.param = _Flat([params[i] for i in positions])
        self.slots = {slot: _Flat([states[i][slot] for i in positions]) for slot in arrays}
        self.bounds = [0, *itertools.accumulate(view.size for view in self.param.views)]
        self._place(params, states)

    def is_current(
        self, params: list[Any], states: list[State], slots: tuple[str, ...], arrays: tuple[str, ...]
    ) -> bool:
        """Whether the parameters and slots are still the views that they were made."""
        if not _identical([params[i] for i in self.positions], self.param.views):
            return False
        if tuple(self.slots) != arrays:
            return False
        if not slots:
            return True
        own = [states[i] for i in self.positions]
        if "step" in slots and not all("step" in state for state in own):
            return False
        return all(
            _identical([state.get(slot) for state in own], flat.views) for slot, flat in self.slots.items()
        )

    def pieces(
        self,
        params: list[Any],
        grads: Sequence[Any],
        states: list[State],
        slots: tuple[str, ...],
        limit: int,
    ) -> list[Piece]:
        """What there is to update, with the memory made our own, and its views in the lists."""
        runs = self._runs(grads, states)
        if not runs:
            return []
        moved = self.param.own(holders=2)  # the Tensor and the list
        for flat in self.slots.values():
            moved |= flat.own(holders=1)  # the state
        if moved:
            self._place(params, states)
        pieces: list[Piece] = []
        for first, last, count in runs:
            members = self.positions[first:last]
            if "step" in slots:
                step = np.asarray(count, dtype=self.param.memory.dtype)
                for i in members:
                    states[i]["step"] = step
            pieces += self._cut(first, last, [grads[i] for i in members], count, limit)
        return pieces

    def _place(self, params: list[Any], states: list[State]) -> None:
        """Put the views in the lists."""
        for k, i in enumerate(self.positions):
            params[i] = self.param.views[k]
            states[i] |= {slot: flat.views[k] for slot, flat in self.slots.items()}

    def _runs(self, grads: Sequence[Any], states: list[State]) -> list[tuple[int, int, int]]:
        """Neighbours with a gradient and the same number of updates: the first, the one after, the number."""
        runs: list[tuple[int, int, int]] = []
        before = None
        for k, i in enumerate(self.positions):
            count = None if grads[i] is None else int(states[i].get("step", 0)) + 1
            if count is not None:
                first = runs.pop()[0] if count == before else k
                runs.append((first, k + 1, count))
            before = count
        return runs

    def _cut(self, first: int, last: int, grads: list[np.ndarray], count: int, limit: int) -> list[Piece]:
        start, stop = self.bounds[first], self.bounds[last]
        if len(grads) > 1:
            return [self._piece(start, stop, grads, count)]
        grad, size = grads[0].ravel(), stop - start
        parts = -(-grad.nbytes // limit)
        if parts <= 1:
            return [self._piece(start, stop, grad, count)]
        bounds = [i * size // parts for i in range(parts + 1)]
        return [self._piece(start + a, start + b, grad[a:b], count) for a, b in itertools.pairwise(bounds)]

    def _piece(self, start: int, stop: int, grad: Any, count: int) -> Piece:
        state: State = {slot: flat.memory[start:stop] for slot, flat in self.slots.items()}
        state["step"] = count
        return self.param.memory[start:stop], grad, state


def _even_share(size: int, threads: int) -> int:
    """The bytes of a piece, so that there are as many pieces for each thread."""
    pieces = threads * max(1, -(-size // (PIECE_BYTES * threads)))
    return max(1, -(-size // pieces))


def _work_on(pieces: list[Piece], name: str, options: dict[str, Any], threads: int) -> None:
    """Call the kernel with all pieces, of which each thread has about the same number of elements."""
    function = _find(name, pieces[0], options)

    def update(part: slice) -> None:
        for share in shares[part]:
            for param, grad, state in share:
                function(param, _gathered(grad, param), state, options)

    if threads == 1:
        shares = [pieces]
        with single_threaded_blas():
            update(slice(1))
    else:
        shares = _shares(pieces, threads)
        parallel(update, threads, work=math.inf)


def _shares(pieces: list[Piece], count: int) -> list[list[Piece]]:
    """Neighbouring pieces in `count` shares, by where their middle lies in the memory of all."""
    ends = list(itertools.accumulate(param.size for param, _, _ in pieces))
    middles = [end - param.size / 2 for end, (param, _, _) in zip(ends, pieces)]
    bounds = [bisect.bisect(middles, i * ends[-1] / count) for i in range(count + 1)]
    return [pieces[first:last] for first, last in itertools.pairwise(bounds)]


def _find(name: str, first: Piece, options: dict[str, Any]) -> Callable:
    for entry in find_kernels(find_backend("numpy"), name):
        param, grad, state = first
        if entry.when is None or entry.when(param, _gathered(grad, param), state, options):
            return entry.forward
    raise BackendError(f"there is no kernel '{name}' for NumPy")


def _gathered(grad: Any, param: np.ndarray) -> np.ndarray:
    """The gradients of several parameters behind one another."""
    if type(grad) is not list:
        return grad
    return np.concatenate(grad, axis=None, out=scratch("optimizer gradients", param.shape, param.dtype))


def _bundles_of(positions: list[int], params: list[Any]) -> Iterator[list[int]]:
    """Positions in bundles: each large parameter by itself, small ones of one element type together."""
    small: dict[np.dtype, list[int]] = {}
    filled: dict[np.dtype, int] = {}
    for i in positions:
        dtype, size = params[i].dtype, params[i].nbytes
        if 2 * size > PIECE_BYTES:
            yield [i]
            continue
        if filled.get(dtype, 0) + size > PIECE_BYTES:
            yield small.pop(dtype)
            filled[dtype] = 0
        small.setdefault(dtype, []).append(i)
        filled[dtype] = filled.get(dtype, 0) + size
    yield from small.values()


def _is_plain(param: Any, grad: Any) -> bool:
    return (
        type(param) is np.ndarray
        and type(grad) is np.ndarray
        and param.dtype.char in "fd"
        and param.dtype.isnative
    )


def _identical(arrays: list[Any], others: list[Any]) -> bool:
    return all(map(operator.is_, arrays, others))
