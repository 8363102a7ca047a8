"""The updater of dpnp: the formula once for many small parameters, laid behind one another.

A number of Python's in a formula is a copy from the host to the device. So a learning rate is sent once for
all small parameters. Parameters and slots are pieces of arrays that are kept from step to step, so that only
the gradients are put together anew. Nobody's array is written to.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import NamedTuple

import dpnp

from xpnn.backend import Array, item
from xpnn.backend.update_kernels import GroupStep, State, updater

_PARAM = "param"

# Elements: a larger parameter would take longer to copy than calls take.
_SMALL = 64 * 1024
_TOGETHER = 1024 * 1024


class _Bundle(NamedTuple):
    """What was made of some parameters in the last step: whole arrays by slot, and the pieces of each."""

    whole: dict[str, Array]
    pieces: dict[str, list[Array]]


@updater("dpnp")
class Bundles:
    """Remembers the arrays that parameters and slots are pieces of, by the positions of the parameters."""

    def __init__(self) -> None:
        self._bundles: dict[tuple[int, ...], _Bundle] = {}

    def __reduce__(self) -> tuple[type, tuple]:
        return Bundles, ()  # a copy would be of the arrays, and its pieces no views of them

    def update(self, step: GroupStep) -> list[int]:
        """Update all parameters of float32 and float64."""
        params = [tensor.array for tensor in step.tensors]
        positions = [i for i, grad in enumerate(step.grads) if grad is not None and _is_plain(params[i])]
        for i in positions:
            if not _is_complete(step.states[i], step.slots, params[i]):
                step.prepare(i)
        self._bundles = {members: self._update_bundle(step, members) for members in _divided(step, positions)}
        return positions

    def _update_bundle(self, step: GroupStep, members: tuple[int, ...]) -> _Bundle:
        first = step.states[members[0]]
        slots = {slot: [step.states[i][slot] for i in members] for slot in step.arrays}
        state = {slot: self._whole(slot, arrays, members) for slot, arrays in slots.items()}
        state |= {slot: first[slot] for slot in step.numbers}
        if "step" in state:
            state["step"] = state["step"] + 1
        param = self._whole(_PARAM, [step.tensors[i].array for i in members], members)
        grad = _joined([step.grads[i] for i in members])
        param, state = step.formula(param, grad, state, step.options)

        shapes = [step.tensors[i].array.shape for i in members]
        whole = {_PARAM: param, **{slot: state[slot] for slot in step.arrays}}
        pieces = {slot: _apart(array, shapes) for slot, array in whole.items()}
        for k, i in enumerate(members):
            step.tensors[i].store(pieces[_PARAM][k])
            for slot in step.arrays:
                step.states[i][slot] = pieces[slot][k]
            for slot in step.numbers:
                step.states[i][slot] = state[slot]
        return _Bundle(whole, pieces)

    def _whole(self, slot: str, arrays: list[Array], members: tuple[int, ...]) -> Array:
        """The arrays behind one another: what they are pieces of, if they are still the last step's."""
        last = self._bundles.get(members)
        if last is not None and slot in last.pieces and all(map(operator.is_, arrays, last.pieces[slot])):
            return last.whole[slot]
        return _joined(arrays)


def _divided(step: GroupStep, positions: list[int]) -> Iterator[tuple[int, ...]]:
    """The positions of those that are updated together: of one type and place, and as many updates before."""
    alike: dict[object, list[int]] = {}
    numbers = {id(step.states[i][slot]): step.states[i][slot] for i in positions for slot in step.numbers}
    one = len(numbers) <= len(step.numbers)  # after the first step all share one array, which is not read
    counts = {key: None if one else item(number) for key, number in numbers.items()}
    for i in positions:
        param = step.tensors[i].array
        done = [counts[id(step.states[i][slot])] for slot in step.numbers]
        alike.setdefault((str(param.dtype), param.sycl_queue, *done), []).append(i)
    for members in alike.values():
        small: list[int] = []
        filled = 0
        for i in members:
            size = step.tensors[i].array.size
            if size > _SMALL:
                yield (i,)
                continue
            if filled + size > _TOGETHER:
                yield tuple(small)
                small, filled = [], 0
            small.append(i)
            filled += size
        if small:
            yield tuple(small)


def _joined(arrays: list[Array]) -> Array:
    """The elements of the arrays behind one another."""
    rows = [array.reshape(-1) for array in arrays]
    return rows[0] if len(rows) == 1 else dpnp.concat(rows)


def _apart(row: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
    """Views of the pieces that have these shapes."""
    pieces, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        pieces.append(row[start:end].reshape(shape))
        start = end
    return pieces


def _is_plain(param: Array) -> bool:
    """Whether it is an array that the updater takes."""
    return isinstance(param, dpnp.ndarray) and param.dtype in (dpnp.float32, dpnp.float64)


def _is_complete(state: State, slots: tuple[str, ...], param: Array) -> bool:
    """Whether all slots are there, of the type and at the place of the parameter."""
    return all(
        isinstance(array, dpnp.ndarray)
        and array.dtype == param.dtype
        and array.sycl_queue == param.sycl_queue
        for array in map(state.get, slots)
    )
