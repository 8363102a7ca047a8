"""Optimizers' kernels: how a library updates all parameters of a group at once.

An optimizer has one formula, `update`, a pure function of a parameter, its gradient and its state. To call it
for each of many small parameters takes most of its time for calls, and of a large parameter each operation
reads all memory anew. Where the formula acts element by element, parameters need not be taken one by one.
So a backend may register two things:

- an *updater*, `@updater("numpy")`: a class, of which the optimizer makes an object for each of its groups,
  without arguments. At each step it is given a `GroupStep` and updates as many parameters as it can, in
  portions that suit the library, by the formula. It may remember where arrays lie, but no values.

      class MyUpdater:
          def update(self, step: GroupStep) -> Collection[int]: ...

  It returns the positions of the parameters that it took; those that have a gradient are updated then. The
  others are updated by the formula, one by one.

- *fused updates*, `@fused_update("numpy", "adam")`: the formula again, in a faster form, which the backend's
  updater asks for by `find_fused_update`. The name is that of the formula's `@elementwise(kernel="adam")`.

      def adam(param, grad, state, options): ...

  `state["step"]`, if it is a slot, is an int, the number of this update, 1 for the first; other 0-d slots
  are floats, for which the state takes new ones; the options are
  the group's, as Python numbers. What a portion is (on NumPy a piece of memory, on PyTorch a list of arrays),
  and whether it is written in place, the updater says.

Whether memory may be written in place is the updater's to find out; optimizers know nothing of it. An updater
with `takes_arrays = True` is given options that are arrays as they are: a learning rate on a GPU is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from xpnn.backend.arrays import is_array
from xpnn.backend.kernel_switch import switched_off
from xpnn.backend.kernels import Kernel, choose, kernels_enabled, load_kernels
from xpnn.backend.namespace import namespace
from xpnn.backend.registry import Array, Backend

State = dict[str, Any]  # of a parameter: its arrays by slot
Options = dict[str, Any]
Formula = Callable[[Array, Array, State, Options], tuple[Array, State]]
FusedUpdate = Callable[[Any, Any, State, Options], Any]


@dataclass(slots=True)
class GroupStep:
    """One step of an optimizer for one group of parameters.

    Attributes:
        formula: the optimizer's `update`.
        kernel: the name of fused updates that compute the same, or "".
        tensors: the parameters; `tensor.array` is the array, and may be replaced.
        grads: the arrays of the gradients, each as its parameter in shape and element type, or None.
        states: the dicts that the optimizer keeps. An updater puts new arrays, and the new count, into those
            that `prepare` returned, at this step or an earlier one, and into no others.
        slots: the names of a state's arrays.
        scalars: those of them that are 0-d: `"step"`, the count, and numbers that the formula goes on with.
            All others are shaped as the parameter.
        options: those of the group, as Python numbers.
        prepare: the state of a parameter, by its position, with all slots as they have to be: beside the
            parameter, zeros where there were none. It is also put into `states`.
    """

    formula: Formula
    kernel: str
    tensors: Sequence[Any]
    grads: Sequence[Any]
    states: list[State]
    slots: tuple[str, ...]
    scalars: tuple[str, ...]
    options: Options
    prepare: Callable[[int], State]

    @property
    def numbers(self) -> list[str]:
        """The slots that are 0-d."""
        return [slot for slot in self.slots if slot in self.scalars]

    @property
    def arrays(self) -> list[str]:
        """The slots that are shaped as the parameter."""
        return [slot for slot in self.slots if slot not in self.scalars]


class Updater(Protocol):
    """What `@updater` decorates."""

    def update(self, step: GroupStep) -> Collection[int]:
        """Update what it can; the positions of the parameters that it took."""


_updaters: dict[str, type[Updater]] = {}
_fused: dict[tuple[str, str], list[Kernel]] = {}


def updater(backend: str) -> Callable[[type], type]:
    """Decorate the class that updates groups of parameters of a backend."""

    def register(cls: type) -> type:
        if not switched_off(cls.__module__):
            _updaters[backend] = cls
        return cls

    return register


def share_updater(backend: str, other: str) -> None:
    """Let the backend `other`, whose arrays are of the same make, have the updater of `backend` as well."""
    if backend in _updaters:
        _updaters[other] = _updaters[backend]


def fused_update(
    backend: str, name: str, when: Callable[..., bool] | None = None, priority: int = 0
) -> Callable[[FusedUpdate], FusedUpdate]:
    """Decorate a fused update.

    Args:
        when, priority: as of `kernel`; the guard is called as the update would be.
    """

    def register(function: FusedUpdate) -> FusedUpdate:
        if switched_off(function.__module__):
            return function
        entries = _fused.setdefault((backend, name), [])
        entries.append(Kernel(backend, name, function, when, priority))
        entries.sort(key=lambda entry: entry.priority, reverse=True)
        return function

    return register


def find_updater(backend: Backend) -> type[Updater] | None:
    """The updater of a backend, if it has one and kernels are used."""
    if not kernels_enabled():
        return None
    load_kernels(backend)
    return _updaters.get(backend.name)


def find_fused_update(
    backend: str, step: GroupStep, param: Any, grad: Any, state: State
) -> FusedUpdate | None:
    """The fused update that takes such a portion, or None."""
    entry = choose(_fused.get((backend, step.kernel), []), (param, grad, state, step.options), {})
    return None if entry is None else entry.forward


def bias_correction(beta: Any, step: Any, dtype: Any = None) -> Any:
    r"""$1 - \beta^t$, the share of a running mean that its zero start has left to the values.

    Args:
        beta: a float, or a 0-d array.
        step: $t$, an int, or a 0-d array, so that a compiled step can count.
        dtype: the element type of the result, where that is an array.

    It is computed as $-\mathrm{expm1}(t \ln \beta)$, which is exact to rounding in float32, too.
    """
    if not is_array(beta) and not is_array(step):
        return _bias_correction(beta, step)
    xp = namespace(step)
    log_beta = xp.log(xp.asarray(beta, dtype=step.dtype)) if is_array(beta) else _log(beta)
    return xp.asarray(-xp.expm1(step * log_beta), dtype=dtype)


@lru_cache(maxsize=16)
def _bias_correction(beta: float, count: int) -> float:
    return -math.expm1(count * _log(beta))


def _log(beta: float) -> float:
    return math.log(beta) if beta > 0 else -math.inf
