"""Tensors that have taken another shape in place: `x.t_()`, `x.unsqueeze_(0)`, `x.resize_(2, 3)` ...

In PyTorch such an `x` is a view from then on, of the memory that it had before; other views of that memory,
and the Tensors that share it, stay as they are, and writes reach each other. So it is here. What `x` was goes
on as a Tensor `before`, which takes the place of `x` wherever it is shown or shared; `x` itself is a handle
of `shown`, a view of `before`. Views that were made of `x` until then find `before` when they are asked next.
"""

from __future__ import annotations

import copy
import functools
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.autograd.core import TensorBase, new_tensor, turner
from xpnn.autograd.mode import switches
from xpnn.autograd.tensor import Tensor
from xpnn.autograd.views import View
from xpnn.backend import Array, GradientError

# Where a handle keeps what it is one of; its `array` is a property.
_held: Any = vars(TensorBase)["array"]


class _Held(NamedTuple):
    kind: type  # of the Tensor, until it turned
    before: Any
    shown: Any


class Turned(TensorBase):
    """What is another way in a Tensor that has taken another shape; mixed into the class that it had."""

    __slots__ = ()

    is_view = has_turned = True

    @property
    def held(self) -> _Held:
        """The class that it had, what it was, and the view that it is a handle of."""
        return _held.__get__(self)

    @property
    def array(self) -> Array:  # type: ignore[override]
        """The raw array. One of the same shape and element type is written; another one takes its place."""
        return self.held.shown.array

    @array.setter
    def array(self, array: Array) -> None:
        kind, _, shown = self.held
        now = shown.array
        if type(array) is type(now) and array.dtype == now.dtype and array.shape == now.shape:
            shown.array = array
            return
        edge, wanted = self.edge, self._requires_grad
        self.__class__ = kind  # type: ignore[assignment]
        self.array, self.edge, self._requires_grad = array, edge, wanted

    @property
    def edge(self) -> Any:
        """Where on the tape its elements come from; None for a leaf, which is the edge of what it shows."""
        edge = self.held.shown.edge
        return None if edge is self else edge

    @edge.setter
    def edge(self, edge: Any) -> None:
        self.held.shown.edge = edge

    @property
    def _requires_grad(self) -> bool:
        return self.held.shown._requires_grad

    @_requires_grad.setter
    def _requires_grad(self, flag: bool) -> None:
        shown = self.held.shown
        shown._requires_grad = flag
        if shown.edge is None or shown.edge is self:
            shown.edge = self if flag else None

    def detach(self) -> Any:
        """A view of the same elements, off the tape."""
        return self.held.shown.detach()

    def detach_(self) -> Any:
        """See `View`."""
        self.held.shown.detach_()
        return self

    def contiguous(self, memory_format: Any = None) -> Any:
        """See `View`."""
        shown = self.held.shown
        found = shown.contiguous(memory_format)
        return self if found is shown else found

    def memory_layout(self) -> Any:
        """See `View`."""
        return self.held.shown.memory_layout()

    def storage_offset(self) -> int:
        """See `View`."""
        return self.held.shown.storage_offset()

    def can_show(self, shape: tuple[int, ...]) -> bool:
        """See `View`."""
        return self.held.shown.can_show(shape)

    def _rebind(self, result: Tensor, operation: str) -> Any:
        self.held.shown._rebind(result, operation)
        return self

    def __reduce__(self) -> Any:
        return self._apart().__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = copied = copy.deepcopy(self._apart(), memo)
        return copied

    def _apart(self) -> Any:
        """A Tensor of the class that it had, with the same elements and attributes, which shows nothing."""
        kind = Tensor if issubclass(self.held.kind, View) else self.held.kind
        plain: Any = kind.__new__(kind)
        for name in (name for base in kind.__mro__ for name in vars(base).get("__slots__", ())):
            if not name.startswith("__") and hasattr(self, name):
                setattr(plain, name, getattr(self, name))
        vars(plain).update(vars(self))
        plain.aliases = None
        return plain


@turner
def _turn(tensor: Any, change: Callable[[Any], Any], operation: str) -> Any:
    """Let a Tensor take the shape that `change` makes of it."""
    leaf = tensor._requires_grad and tensor.edge is None
    if leaf and switches.grad:
        raise GradientError(
            f"a leaf that requires a gradient cannot be changed by `{operation}` while recording",
            hint="Do it inside of a `with xpnn.no_grad():` block",
        )
    if isinstance(tensor, Turned):
        kind, before = tensor.held.kind, tensor.held.before
        now = tensor.held.shown
    else:
        kind = type(tensor)
        now = before = tensor.copied() if isinstance(tensor, View) else _stand_in(tensor)
    shown = change(now)
    if shown is now:
        return tensor
    if kind is type(tensor):
        _take_over(before, tensor)
        tensor.__class__ = _turned_class(kind)  # type: ignore[arg-type]
    _held.__set__(tensor, _Held(kind, before, shown))
    if leaf:
        tensor._requires_grad = True
    return tensor


def _stand_in(tensor: Any) -> Any:
    """A Tensor of the same elements, and at the same place on the tape."""
    return new_tensor(tensor.array, tensor.edge)


def _take_over(before: Any, tensor: Any) -> None:
    """Let `before` take the place of a Tensor among those that share its elements."""
    if tensor.aliases is not None:
        before.aliases = tensor.aliases
        before.aliases[:] = [alias for alias in before.aliases if alias() is not tensor]
        before.aliases.append(weakref.ref(before))
        tensor.aliases = None


@functools.cache
def _turned_class(kind: Any) -> Any:
    return type(kind.__name__, (Turned, kind), {"__slots__": (), "__module__": kind.__module__})
