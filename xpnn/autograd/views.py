"""Views: Tensors that show elements of another one, so that writing into them reaches it.

PyTorch's views share memory. Here Tensors are values, on every library alike, and a view knows how it was
made instead: by which operation, of which Tensor. What is written into it goes back through these operations,
on the tape, into the Tensor that they started from, its `root`. A view is made anew when it is looked at and
its root has got another array since: so it sees what was written into the root and into other views of it.
(functorch calls this functionalisation.)

Nothing that the tape has saved is changed by that. A gradient belongs to the values that were computed with,
and no count of versions has to refuse it, as PyTorch's does.
"""

from __future__ import annotations

from typing import Any

from xpnn.autograd.core import new_tensor, view_maker
from xpnn.autograd.mode import enable_grad, no_grad, switches
from xpnn.autograd.primitive import Primitive, ViewPrimitive
from xpnn.autograd.tensor import Tensor
from xpnn.backend import Array, GradientError, idioms, namespace
from xpnn.backend.layouts import check_memory_format

# What a view is made of.
_STATE = (
    *("_array", "_edge", "_wants_gradient"),
    *("made_by", "options", "parent", "recorded", "root", "seen"),
)


class View(Tensor):
    """What indexing, reshaping and transposing of a Tensor give; made by the view primitives of `ops/`.

    Attributes:
        root: the Tensor whose elements it shows.
        parent: the Tensor that it was made of: the root, or another view of it.
        made_by, options: the primitive that made it of its parent, and its options.
        recorded: whether operations were recorded then.
        seen: the array of the root when the view was made last.
    """

    is_view = True

    __slots__ = _STATE

    made_by: ViewPrimitive
    options: dict[str, Any]
    parent: Tensor
    recorded: bool
    root: Tensor
    seen: Array
    _array: Array
    _edge: Any
    _wants_gradient: bool

    @property
    def array(self) -> Array:  # type: ignore[override]
        """The raw array of what the root holds now. An array that is assigned is written into the root."""
        if self.root.array is not self.seen:
            self._catch_up()
        return self._array

    @array.setter
    def array(self, array: Array) -> None:
        with no_grad():
            self._rebind(new_tensor(array), "array =")

    @property
    def edge(self) -> Any:
        """Where on the tape its elements come from."""
        if self.root.array is not self.seen:
            self._catch_up()
        return self._edge

    @edge.setter
    def edge(self, edge: Any) -> None:
        self._edge = edge

    @property
    def _requires_grad(self) -> bool:
        if self.root.array is not self.seen:
            self._catch_up()
        return self._wants_gradient

    @_requires_grad.setter
    def _requires_grad(self, flag: bool) -> None:
        self._wants_gradient = flag

    def detach(self) -> Tensor:
        """A view of the same elements, off the tape."""
        chain = self._since(None)
        shown = self.root.detach()
        for view in chain:
            shown = view.made_by(shown, **view.options)
        return shown

    def detach_(self) -> Tensor:
        """Is refused for a view on the tape: what is written into it would not be recorded in its root."""
        if self._requires_grad:
            raise GradientError("cannot be taken off the tape itself", subject="a view", hint="Use detach()")
        return self

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """Itself if its elements follow each other in the root, else a copy."""
        check_memory_format(memory_format, self.shape, "contiguous")
        return self if _layout(self).flags.c_contiguous else self.clone()

    def memory_layout(self) -> Any:
        """An array without memory that lies as this view does in its root."""
        return _layout(self)

    def storage_offset(self) -> int:
        """Where its first element stands among the elements of the Tensor that it shows."""
        whole, shown = _layouts(self)
        return shown.__array_interface__["data"][0] - whole.__array_interface__["data"][0]

    def copied(self) -> View:
        """Another view of the same elements, at the same place on the tape."""
        view = View.__new__(View)
        for name in _STATE:
            setattr(view, name, getattr(self, name))
        view.grad = view.hooks = view.aliases = None
        return view

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, (_, *state), attributes = super().__reduce__()
        return rebuild, (Tensor, *state), attributes

    def can_show(self, shape: tuple[int, ...]) -> bool:
        """Whether an array that lies in memory as this view does has the other shape without a copy."""
        layout = _layout(self)
        try:
            namespace(layout).reshape(layout, shape, copy=False)
        except ValueError:
            return False
        return True

    def _rebind(self, result: Tensor, operation: str) -> Tensor:
        chain = self._since(None)
        if switches.grad and any(t._requires_grad and type(t.edge) is not tuple for t in (self.root, *chain)):
            raise GradientError(
                f"cannot be changed by `{operation}` while recording",
                subject="a view of a leaf that requires a gradient",
                hint="Do it inside of a `with xpnn.no_grad():` block",
            )
        value = self._fitting(result, operation)
        for view in reversed(chain):
            value = view.made_by.written(view.parent, value, view.options)
        self.root._rebind(value, operation)
        return self

    def _since(self, array: Array | None) -> list[View]:
        """The views that lead from the root to this one; of an array, those that were not made of it."""
        self._follow()
        chain: list[View] = []
        view: Any = self
        while view is not self.root and (array is None or view.seen is not array):
            chain.append(view)
            view = view.parent
        return chain[::-1]

    def _follow(self) -> None:
        """Where a Tensor that it was made of has taken another shape, show what that was (see `turning`)."""
        view: Any = self
        while True:
            if view.root.has_turned:
                view.root = view.root.held.before
            if view.parent.has_turned:
                view.parent = view.parent.held.before
            if view.parent is view.root:
                return
            view = view.parent

    def _catch_up(self) -> None:
        """Make the view anew, and those before it, of the array that the root has now."""
        self._follow()
        array = self.root.array
        if array is self.seen:
            return
        if array.shape != self.seen.shape:  # another one was put in its place: the views keep the old one
            kept, chain = new_tensor(self.seen), self._since(None)
            chain[0].parent = kept
            for view in chain:
                view.root = kept
            return
        for view in self._since(array):
            with enable_grad() if view.recorded else no_grad():
                made = Primitive.__call__(view.made_by, view.parent, **view.options)
            view.seen, view._array = array, made.array
            if type(view._edge) is tuple or not view._wants_gradient:  # a leaf of its own stays one
                view._edge, view._wants_gradient = made.edge, made._requires_grad


@view_maker
def _new_view(y: Tensor, parent: Any, made_by: ViewPrimitive, options: dict[str, Any]) -> View:
    if parent.has_turned:
        parent = parent.held.shown
    view = View.__new__(View)
    view.root = root = parent.root if isinstance(parent, View) else parent
    view.seen = root.array
    view._array, view._edge, view._wants_gradient = y.array, y.edge, y._requires_grad
    view.parent, view.made_by, view.options = parent, made_by, options
    view.recorded = switches.grad
    view.grad = view.hooks = view.aliases = None
    return view


def _layout(view: View) -> Any:
    """An array that lies in memory as the view does in that of a root whose elements lie in a row."""
    return _layouts(view)[1]


def _layouts(view: View) -> tuple[Any, Any]:
    """An array for the root, and one that lies in its memory as the view does."""
    chain = view._since(None)
    layout = whole = idioms.blank(view.root.shape)
    for step in chain:
        options = {**step.options, "copy": False} if "copy" in step.options else step.options
        try:
            layout = step.made_by.forward(layout, **options)[0]
        except ValueError:  # a view that shows more than strides can
            layout = whole = idioms.blank(step.shape)
    return whole, layout
