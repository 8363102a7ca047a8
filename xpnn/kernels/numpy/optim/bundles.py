"""The updater of NumPy: a group's parameters in memory that suits the update, in bundles, all in place.

NumPy's overhead is a microsecond for each operation on each array, and an update takes a dozen operations.
So small parameters are put behind one another in bundles, of which parameters and slots of the optimizer are
views; a large one is a bundle by itself. An update works on pieces of bundles that stay in the cache, in
place, from several threads.

A bundle of several is no larger than a piece, so that who keeps one small parameter of long ago keeps little
else alive. Of its members those with a gradient that have seen as many updates are worked on together: some
may be left out in some steps.

A fused update for NumPy is given pieces. All arrays of a piece, the parameter's, the gradient's and those in
the state, are 1-D, contiguous, of one size and element type, float32 or float64, and not larger than
`PIECE_BYTES`. All but the gradient are overwritten; nothing is returned. It is called from several threads at
the same time, with pieces that don't overlap: it needs no threads of its own, the BLAS's included.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend import get_num_threads
from xpnn.backend.update_kernels import (
    Formula,
    FusedUpdate,
    GroupStep,
    Options,
    State,
    find_fused_update,
    updater,
)
from xpnn.kernels.numpy.optim.ownership import sole_owner
from xpnn.kernels.numpy.parallel import parallel

# The size of a bundle, and of the pieces that are worked on: small enough for the cache, and large enough
# that calls take no time, and threads seldom wait for each other's turn in Python.
PIECE_BYTES = 512 * 1024

# A formula makes new arrays for its intermediate results, so that less of a piece fits into the cache.
_FORMULA_BYTES = 128 * 1024

# A larger parameter is a bundle by itself: to copy its gradient beside others would take longer than calls.
_SMALL_BYTES = 64 * 1024

# Passes over an element, times elements, from which several threads are faster: with fewer they wait for
# longer than they work.
_WORTHWHILE = 1_800_000

_PARAM = ""  # the name of the parameters beside those of the slots

Order = tuple[int, ...]
Columns = dict[str, list[Any]]  # of the parameters and of each slot: the arrays, by position in the group
Piece = tuple[Any, State]  # a gradient (or those of several), and the other arrays by name


@updater("numpy")
class Bundles:
    """What is remembered of a group from step to step: where its arrays lie, and nothing more.

    All values are in the parameters and in the optimizer's state; where those have been replaced by other
    arrays, bundles are made anew.
    """

    def __init__(self) -> None:
        self._bundles: list[_Bundle] = []
        self._taken: set[int] = set()  # the positions of all that is in bundles
        # Where that is the whole group: its slots, and all views, those of the parameters first, and then of
        # one slot after the other. After the views their memories; and the holders of them all.
        self._slots: tuple[str, ...] = ()
        self._views = 0
        self._arrays: list[np.ndarray] = []
        self._holders = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return Bundles, ()  # a copy would be of the arrays, and they no views of one memory any more

    def update(self, step: GroupStep) -> set[int]:
        """Update all parameters that are in float32 or float64."""
        if not self._is_as_before(step):
            self._settle(step)
        pieces = [piece for bundle in self._bundles for piece in bundle.pieces(step)]
        _work_on(pieces, step)
        if step.numbers not in ([], ["step"]):
            for bundle in self._bundles:
                bundle.keep_numbers(step)
        return self._taken

    def _is_as_before(self, step: GroupStep) -> bool:
        """Whether all arrays are where the last step put them, and nobody else holds one.

        So it is in nearly all steps. To ask each bundle takes as long as the arithmetic of a small network.
        """
        if not self._views or step.slots != self._slots:
            return False
        arrays = [tensor.array for tensor in step.tensors]
        for slot in self._slots:
            if slot not in step.scalars:
                arrays += [state.get(slot) for state in step.states]
            elif not all(slot in state for state in step.states):
                return False
        if len(arrays) != self._views or not all(map(operator.is_, arrays, self._arrays)):
            return False
        return sole_owner(self._arrays, self._holders)

    def _settle(self, step: GroupStep) -> None:
        """Put all parameters that have a gradient into bundles, in memory that is our own."""
        self._views, self._arrays = 0, []
        columns: Columns = {_PARAM: [tensor.array for tensor in step.tensors]}
        columns |= {slot: [state.get(slot) for state in step.states] for slot in step.arrays}
        self._bundles = [bundle for bundle in self._bundles if bundle.is_current(step, columns)]
        self._taken = {i for bundle in self._bundles for i in bundle.positions}
        if len(self._taken) < len(step.tensors):
            self._taken.update(self._bundle_others(step, columns, self._taken))
        for bundle in self._bundles:
            bundle.own(step, columns)
        if len(self._taken) == len(step.tensors):
            flats = [flat for bundle in self._bundles for flat in bundle.flats.values()]
            self._slots, views = step.slots, [*itertools.chain(*columns.values())]
            self._views, self._arrays = len(views), [*views, *(flat.memory for flat in flats)]
            # Holders of a view are the Tensor or the state, the flat, and who compares it.
            self._holders = 3 * len(views) + sum(flat.holders for flat in flats)

    def _bundle_others(self, step: GroupStep, columns: Columns, taken: set[int]) -> list[int]:
        """Put parameters that have a gradient and are in no bundle into new ones; returns their positions."""
        params = columns[_PARAM]
        others = [
            i
            for i, grad in enumerate(step.grads)
            if grad is not None
            and i not in taken
            and _is_plain(params[i], grad)
            # what shows elements of another Tensor cannot be put elsewhere
            and not step.tensors[i].is_view
        ]
        for i in others:
            state = step.prepare(i)
            for slot in columns.keys() & state.keys():
                columns[slot][i] = state[slot]
        self._bundles += [_Bundle(positions, step, columns) for positions in _divided(others, params)]
        return others


class _Flat:
    """Arrays as views of one memory, one behind the other, their axes in an order where one is given.

    Attributes:
        pieces: the memory again, in pieces.
    """

    __slots__ = ("_order", "_shapes", "memory", "pieces", "views")

    def __init__(self, arrays: list[np.ndarray], order: Order | None) -> None:
        arrays = arrays if order is None else [array.transpose(order) for array in arrays]
        self._order, self._shapes = order, [array.shape for array in arrays]
        self._divide(np.concatenate(arrays, axis=None))

    @property
    def holders(self) -> int:
        """Of the memory: this object, and the arrays that show parts of it."""
        return 1 + len(self.views) + len(self.pieces)

    def own(self, holders: int) -> bool:
        """Copy the memory if others than `holders` hold it or a view; whether there are new views."""
        if sole_owner(self.views, holders * len(self.views)) and sole_owner((self.memory,), self.holders):
            return False
        self._divide(self.memory.copy())
        return True

    def _divide(self, memory: np.ndarray) -> None:
        ends = list(itertools.accumulate(map(math.prod, self._shapes)))
        self.memory, self.pieces = memory, _cut(memory)
        self.views = [
            memory[first:last].reshape(shape) for first, last, shape in zip([0, *ends], ends, self._shapes)
        ]
        if self._order is not None:
            self.views = [view.transpose(np.argsort(self._order)) for view in self.views]


class _Bundle:
    """Some parameters of a group, by their positions in it, and their slots, each `_Flat`.

    Attributes:
        bounds: where the parameters begin and end in the memory.
        order: the axes of a single parameter in the order of its memory, that of its first gradient; None
            where it is as usual. So a method of convolution may have the weights as it likes them best.
        whole: all of the memory in pieces, as dicts of their arrays.
        updated: in a step, members whose 0-d slots go on, and the arrays of a piece of theirs.
    """

    __slots__ = ("bounds", "flats", "order", "positions", "updated", "whole")

    def __init__(self, positions: list[int], step: GroupStep, columns: Columns) -> None:
        self.positions = positions
        self.bounds = [0, *itertools.accumulate(columns[_PARAM][i].size for i in positions)]
        self.order = _order_in_memory(step.grads[positions[0]]) if len(positions) == 1 else None
        self.flats = {
            name: _Flat([column[i] for i in positions], self.order) for name, column in columns.items()
        }
        self._place(step, columns)

    def is_current(self, step: GroupStep, columns: Columns) -> bool:
        """Whether the parameters and slots are still the views that they were made."""
        if self.flats.keys() != columns.keys() or self.positions[-1] >= len(step.tensors):
            return False
        for name, flat in self.flats.items():
            column = columns[name]
            if not all(map(operator.is_, [column[i] for i in self.positions], flat.views)):
                return False
        return all(slot in step.states[i] for slot in step.numbers for i in self.positions)

    def own(self, step: GroupStep, columns: Columns) -> None:
        """See that nobody else holds what is to be updated."""
        # Holders of a view are the column, and the Tensor or the state.
        moved = [flat.own(holders=2) for flat in self.flats.values()] if self._runs(step) else []
        if any(moved):
            self._place(step, columns)

    def pieces(self, step: GroupStep) -> list[Piece]:
        """What there is to update."""
        pieces: list[Piece] = []
        self.updated: list[tuple[list[int], State]] = []
        for first, last, numbers in self._runs(step):
            members, given, grads = self.positions, self.whole, step.grads
            if last - first < len(members):
                members, part = members[first:last], slice(self.bounds[first], self.bounds[last])
                given = [{name: flat.memory[part] for name, flat in self.flats.items()}]
            if len(self.positions) > 1:
                pieces.append(([grads[i] for i in members], given[0]))
            else:
                grad = grads[members[0]]
                pieces += zip(
                    _cut((grad if self.order is None else grad.transpose(self.order)).ravel()), given
                )
            if "step" in numbers:
                count = np.asarray(numbers["step"], dtype=self.flats[_PARAM].memory.dtype)
                for i in members:
                    step.states[i]["step"] = count
            for arrays in given:
                arrays |= numbers
            if numbers.keys() - {"step"}:
                self.updated.append((members, given[0]))
        return pieces

    def keep_numbers(self, step: GroupStep) -> None:
        """Give the members the numbers that the formula found, which are alike in all pieces."""
        for members, arrays in self.updated:
            for slot in step.numbers:
                if slot != "step":
                    number = np.asarray(arrays[slot], dtype=self.flats[_PARAM].memory.dtype)
                    for i in members:
                        step.states[i][slot] = number
        self.updated = []

    def _runs(self, step: GroupStep) -> list[tuple[int, int, State]]:
        """Neighbours that are updated together: the first, the one after the last, their 0-d slots."""
        states, slots = [step.states[i] for i in self.positions], step.numbers
        columns: list[list[Any]] = [[step.grads[i] is None for i in self.positions]]
        columns += [[state[slot] for state in states] for slot in slots]
        if all(all(map(operator.is_, column, itertools.repeat(column[0]))) for column in columns):
            alike = [(columns[0][0], [column[0] for column in columns[1:]], len(states))]
        else:
            rows = [(row[0], [float(number) for number in row[1:]]) for row in zip(*columns)]
            alike = [(*row, len([*run])) for row, run in itertools.groupby(rows)]
        runs, first = [], 0
        for is_left_out, values, length in alike:
            if not is_left_out:
                numbers: State = {slot: float(value) for slot, value in zip(slots, values)}
                if "step" in numbers:
                    numbers["step"] = int(numbers["step"]) + 1
                runs.append((first, first + length, numbers))
            first += length
        return runs

    def _place(self, step: GroupStep, columns: Columns) -> None:
        """Put the views where the arrays belong."""
        for name, flat in self.flats.items():
            for i, view in zip(self.positions, flat.views):
                columns[name][i] = view
                if name == _PARAM:
                    step.tensors[i].store(view)
                else:
                    step.states[i][name] = view
        cuts = zip(*[flat.pieces for flat in self.flats.values()])
        self.whole = [dict(zip(self.flats, arrays)) for arrays in cuts]


def _cut(memory: np.ndarray) -> list[np.ndarray]:
    """Flat memory in pieces of about one size."""
    if memory.nbytes <= PIECE_BYTES:
        return [memory[:]]
    count = -(-memory.nbytes // PIECE_BYTES)
    bounds = [i * memory.size // count for i in range(count + 1)]
    return [memory[first:last] for first, last in itertools.pairwise(bounds)]


def _work_on(pieces: list[Piece], step: GroupStep) -> None:
    """Update all pieces; each thread takes the next one when it is done with one."""
    functions: dict[np.dtype, FusedUpdate] = {}
    elements = 0
    for _, arrays in pieces:
        param = arrays[_PARAM]
        elements += param.size
        if param.dtype not in functions:
            fused = find_fused_update("numpy", step, param, param, arrays)  # a gradient is of the same kind
            functions[param.dtype] = fused or _in_place(step.formula)
    waiting = iter(pieces)

    def work(part: slice) -> None:
        for grad, arrays in waiting:
            if type(grad) is list:
                grad = np.concatenate(grad, axis=None)
            param = arrays[_PARAM]
            functions[param.dtype](param, grad, arrays, step.options)

    passes = 2 + 4 * len(step.arrays)
    if passes * elements < _WORTHWHILE:
        work(slice(1))
    else:
        parallel(work, get_num_threads(), work=math.inf)


def _in_place(formula: Formula) -> FusedUpdate:
    """A formula as a fused update: it makes new arrays, a few that stay in the cache."""

    def update(param: np.ndarray, grad: np.ndarray, state: State, options: Options) -> None:
        arrays = {slot: array for slot, array in state.items() if type(array) is np.ndarray}
        numbers = {slot: state[slot] for slot in state.keys() - arrays.keys()}
        given = {slot: np.asarray(number, dtype=param.dtype) for slot, number in numbers.items()}
        del arrays[_PARAM]
        length = _FORMULA_BYTES // param.itemsize
        for first in range(0, max(param.size, 1), length):
            part = slice(first, first + length)
            old = {slot: array[part] for slot, array in arrays.items()}
            param[part], new = formula(param[part], grad[part], old | given, options)
            for slot, array in old.items():
                array[...] = new[slot]
        state |= {slot: new[slot] for slot in numbers if slot != "step"}

    return update


def _divided(positions: list[int], params: list[Any]) -> Iterator[list[int]]:
    """Positions of bundles: small parameters of one element type together, others by themselves."""
    small: dict[np.dtype, list[int]] = {}
    filled: dict[np.dtype, int] = {}
    for i in positions:
        dtype, size = params[i].dtype, params[i].nbytes
        if size > _SMALL_BYTES:
            yield [i]
            continue
        if filled.get(dtype, 0) + size > PIECE_BYTES:
            yield small.pop(dtype)
            filled[dtype] = 0
        small.setdefault(dtype, []).append(i)
        filled[dtype] = filled.get(dtype, 0) + size
    yield from small.values()


def _order_in_memory(array: np.ndarray) -> Order | None:
    """The axes by their steps in memory, the longest first; None if that is their own order."""
    order = tuple(sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis])))
    return None if array.flags.c_contiguous or order == tuple(range(array.ndim)) else order


def _is_plain(param: Any, grad: Any) -> bool:
    return (
        type(param) is np.ndarray
        and type(grad) is np.ndarray
        and param.dtype.char in "fd"
        and param.dtype.isnative
    )
