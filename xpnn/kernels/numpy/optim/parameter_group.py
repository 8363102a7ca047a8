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
from xpnn.kernels.numpy.optim.ownership import sole_owner
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

# Gradients of neighbours in a bundle are copied behind one another if they are no larger than this: to copy
# 64 KB takes 3 us, which is what the calls take that work on a parameter by itself.
_GATHERED_BYTES = 64 * 1024

Order = tuple[int, ...]
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
        self._in_one_thread = False  # the last update that was not a usual one

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
        if self._is_usual(params, grads, states, slots):
            pieces = [piece for bundle in self._bundles for piece in bundle.all_pieces(grads, states, slots)]
            _work_on(pieces, name, options, threads=1)
            return self._bundled
        arrays = tuple([slot for slot in slots if slot != "step"])
        self._forget_outdated(params, states, slots, arrays)
        if len(self._bundled) < len(params):
            self._bundle_waiting(params, grads, states, arrays, complete)
        size = sum([grad.nbytes for grad in grads if grad is not None])
        passes = 2 + 4 * len(arrays)  # over an element: for the step, and for each slot
        threads = get_num_threads() if passes * size / 4 >= _WORTHWHILE else 1
        limit = PIECE_BYTES if threads == 1 else _even_share(size, threads)
        self._in_one_thread = threads == 1
        pieces, updated = [], set()
        for bundle in self._bundles:
            found = bundle.pieces(params, grads, states, slots, limit)
            if found:
                pieces += found
                updated.update(bundle.positions)
        if pieces:
            _work_on(pieces, name, options, threads)
        return updated

    def _is_usual(
        self, params: list[Any], grads: Sequence[Any], states: list[State], slots: tuple[str, ...]
    ) -> bool:
        """Whether small bundles are all there is, each with all gradients and as the last update left it.

        It is mostly so, and found out at once where the steps of a general update would each look for a part
        of it: 10 us less for a small network.
        """
        if not (self._in_one_thread and len(self._bundled) == len(params) == self._size):
            return False
        return all(bundle.is_usual(params, grads, states, slots) for bundle in self._bundles)

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
            self._bundles.append(_Bundle(members, params, grads, states, arrays))
            self._bundled.update(members)


kernel("numpy", "parameter_group")(ParameterGroup)  # as a decorator it would hide the class from pickle


class _Flat:
    """Arrays as views of one memory, one behind the other, their axes in an order where one is given.

    Attributes:
        parts: longer views of the memory, from one of `cuts` to the next.
    """

    __slots__ = ("_order", "_shapes", "cuts", "memory", "parts", "views")

    def __init__(self, arrays: list[np.ndarray], cuts: list[int], order: Order | None) -> None:
        self.cuts = cuts
        arrays = arrays if order is None else [array.transpose(order) for array in arrays]
        self._order, self._shapes = order, [array.shape for array in arrays]
        self._divide(np.concatenate(arrays, axis=None))

    def is_own(self, holders: int) -> bool:
        """Whether nobody but `holders` known ones holds one of the views, and nobody the memory."""
        shown = 1 + len(self.views) + len(self.parts)
        return sole_owner(self.views, holders) and sole_owner((self.memory,), shown)

    def own(self, holders: int) -> bool:
        """Copy the memory if it is not our own; returns whether it did, so that there are new views."""
        if self.is_own(holders):
            return False
        self._divide(self.memory.copy())
        return True

    def _divide(self, memory: np.ndarray) -> None:
        ends = list(itertools.accumulate(map(math.prod, self._shapes)))
        self.memory = memory
        self.views = [
            memory[first:last].reshape(shape) for first, last, shape in zip([0, *ends], ends, self._shapes)
        ]
        if self._order is not None:
            self.views = [view.transpose(np.argsort(self._order)) for view in self.views]
        self.parts = [memory[first:last] for first, last in itertools.pairwise(self.cuts)]


class _Bundle:
    """Some parameters of a group, by their positions in it, and their slots, each `_Flat`.

    Attributes:
        bounds: where the parameters begin and end in the memory.
        alone: of each parameter whether it is updated by itself, as its gradient takes longer to be copied.
        order: the axes of a large parameter in the order of its memory, that of its first gradient; None
            where it is as usual. So a method of convolution may have the weights as it likes them best.
        sections: the positions of those that are updated together where all have a gradient.
    """

    __slots__ = ("alone", "bounds", "order", "param", "positions", "sections", "slots")

    def __init__(
        self,
        positions: list[int],
        params: list[Any],
        grads: Sequence[Any],
        states: list[State],
        arrays: tuple[str, ...],
    ) -> None:
        members = [params[i] for i in positions]
        self.positions = positions
        self.bounds = [0, *itertools.accumulate(param.size for param in members)]
        self.alone = [param.nbytes > _GATHERED_BYTES for param in members]
        runs = _neighbours([0] * len(members), self.alone)
        self.sections = [positions[first:last] for first, last, _ in runs]
        cuts = [0, *(self.bounds[last] for _, last, _ in runs)]
        large = members[0].nbytes > PIECE_BYTES
        self.order = _order_in_memory(grads[positions[0]]) if large else None
        self.param = _Flat(members, cuts, self.order)
        self.slots = {slot: _Flat([states[i][slot] for i in positions], cuts, self.order) for slot in arrays}
        self._place(params, states)

    def is_usual(
        self, params: list[Any], grads: Sequence[Any], states: list[State], slots: tuple[str, ...]
    ) -> bool:
        """Whether all have a gradient and the same number of updates, in memory that nobody has touched."""
        if self.param.memory.nbytes > PIECE_BYTES:
            return False
        for i, view in zip(self.positions, self.param.views):
            if params[i] is not view or grads[i] is None:
                return False
        del view  # who holds one counts
        if not self.param.is_own(holders=2):  # the Tensor and the list
            return False
        if not slots:
            return not self.slots
        own = [states[i] for i in self.positions]
        step = own[0].get("step")
        if "step" in slots and (
            step is None or not _identical([s.get("step") for s in own], [step] * len(own))
        ):
            return False
        return len(self.slots) == len(slots) - ("step" in slots) and all(
            _identical([state.get(slot) for state in own], flat.views) and flat.is_own(holders=1)
            for slot, flat in self.slots.items()
        )

    def all_pieces(self, grads: Sequence[Any], states: list[State], slots: tuple[str, ...]) -> list[Piece]:
        """What there is to update if `is_usual`."""
        count = 1
        if "step" in slots:
            count = int(states[self.positions[0]]["step"]) + 1
            self._count(self.positions, states, count)
        pieces: list[Piece] = []
        for k, members in enumerate(self.sections):
            grad = grads[members[0]].ravel() if len(members) == 1 else [grads[i] for i in members]
            state: State = {slot: flat.parts[k] for slot, flat in self.slots.items()}
            state["step"] = count
            pieces.append((self.param.parts[k], grad, state))
        return pieces

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
        counts = [None if grads[i] is None else int(states[i].get("step", 0)) + 1 for i in self.positions]
        runs = _neighbours(counts, self.alone)
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
                self._count(members, states, count)
            pieces += self._cut(first, last, [grads[i] for i in members], count, limit)
        return pieces

    def _count(self, members: list[int], states: list[State], count: int) -> None:
        """Write down how many updates some members have seen."""
        step = np.asarray(count, dtype=self.param.memory.dtype)
        for i in members:
            states[i]["step"] = step

    def _place(self, params: list[Any], states: list[State]) -> None:
        """Put the views in the lists."""
        for k, i in enumerate(self.positions):
            params[i] = self.param.views[k]
            states[i] |= {slot: flat.views[k] for slot, flat in self.slots.items()}

    def _cut(self, first: int, last: int, grads: list[np.ndarray], count: int, limit: int) -> list[Piece]:
        start, stop = self.bounds[first], self.bounds[last]
        if len(grads) > 1:
            return [self._piece(start, stop, grads, count)]
        grad = grads[0] if self.order is None else grads[0].transpose(self.order)
        grad, size = grad.ravel(), stop - start
        parts = -(-grad.nbytes // limit)
        if parts <= 1:
            return [self._piece(start, stop, grad, count)]
        bounds = [i * size // parts for i in range(parts + 1)]
        return [self._piece(start + a, start + b, grad[a:b], count) for a, b in itertools.pairwise(bounds)]

    def _piece(self, start: int, stop: int, grad: Any, count: int) -> Piece:
        state: State = {slot: flat.memory[start:stop] for slot, flat in self.slots.items()}
        state["step"] = count
        return self.param.memory[start:stop], grad, state


def _neighbours(counts: list[int | None], alone: list[bool]) -> list[tuple[int, int, int]]:
    """Neighbours that are updated together: the first, the one after the last, and their number of updates.

    Args:
        counts: the number of this update of each; None where there is none.
    """
    runs: list[tuple[int, int, int]] = []
    before = None
    for k, (count, by_itself) in enumerate(zip(counts, alone)):
        if count is not None:
            first = runs.pop()[0] if count == before and not by_itself else k
            runs.append((first, k + 1, count))
        before = None if by_itself else count
    return runs


def _order_in_memory(array: np.ndarray) -> Order | None:
    """The axes by their steps in memory, the longest first; None if that is their own order."""
    order = tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    return None if array.flags.c_contiguous or order == tuple(range(array.ndim)) else order


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
                function(param, _gathered(grad), state, options)

    if threads == 1:
        shares = [pieces]
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
    param, _, state = first
    for entry in find_kernels(find_backend("numpy"), name):
        if entry.when is None or entry.when(param, param, state, options):  # a gradient is of the same kind
            return entry.forward
    raise BackendError(f"there is no kernel '{name}' for NumPy")


def _gathered(grad: Any) -> np.ndarray:
    """The gradients of several parameters behind one another."""
    return np.concatenate(grad, axis=None) if type(grad) is list else grad


def _bundles_of(positions: list[int], params: list[Any]) -> Iterator[list[int]]:
    """Positions in bundles: a parameter above their size by itself, others of one element type together."""
    small: dict[np.dtype, list[int]] = {}
    filled: dict[np.dtype, int] = {}
    for i in positions:
        dtype, size = params[i].dtype, params[i].nbytes
        if size > PIECE_BYTES:
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
