"""The recorded graph as a program sees it: what is saved for the backward, and hooks on several Tensors.

Nodes are reached by `t.grad_fn`, and lead on by `next_functions`; `xpnn.graph` shows a whole graph.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from xpnn.autograd.core import TensorBase, as_array, new_tensor
from xpnn.autograd.mode import no_grad, switches
from xpnn.autograd.node import AccumulateGrad as AccumulateGrad
from xpnn.autograd.node import GradientEdge, Node, edge_at
from xpnn.autograd.tape import edge_of
from xpnn.backend import ArgumentError, DTypeError, GradientError, ShapeError, XpnnError, is_array, namespace

__all__ = [
    *("AccumulateGrad", "GradientEdge", "Node", "allow_mutation_on_saved_tensors"),
    *("disable_saved_tensors_hooks", "get_gradient_edge", "register_multi_grad_hook", "save_on_cpu"),
    "saved_tensors_hooks",
]


class HooksDisabledError(XpnnError, RuntimeError):
    """Saved-tensor hooks where `disable_saved_tensors_hooks` refuses them."""


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """In the block, what operations save for their backward goes through a pair of functions.

    Args:
        pack_hook: is called with each saved Tensor, off the tape, and returns anything: a file's name, a
            Tensor in half precision ...
        unpack_hook: is called with that whenever a backward needs it, and returns a Tensor of the same shape.

    The innermost pair is used. Tensors that an operation saves more than once are packed once for it.

    Raises: HooksDisabledError, a RuntimeError, in a block of `disable_saved_tensors_hooks`; in the backward
    DTypeError for what is no Tensor, ShapeError for one of another shape.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> with saved_tensors_hooks(lambda t: t.tolist(), lambda values: tensor(values)):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad.tolist()
    [2.0, 4.0]
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]) -> None:
        for hook in (pack_hook, unpack_hook):
            if not callable(hook):
                raise DTypeError(f"expects two functions, got {hook!r:.60}", subject="saved_tensors_hooks")
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._around: list[Any] = []

    def __enter__(self) -> None:
        _refuse_disabled()
        self._around.append(switches.recorder)
        switches.recorder = _Packing(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exception: object) -> None:
        switches.recorder = self._around.pop()


class save_on_cpu(saved_tensors_hooks):  # noqa: N801 - PyTorch's name
    """In the block, what operations save lies on the host until the backward needs it.

    Args:
        pin_memory: is accepted; the array library decides where on the host that is.
        device_type: is accepted: what is on the host stays there.

    >>> from xpnn.autograd import tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> with save_on_cpu():
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor(6.)
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: (t.device, t.cpu()), lambda packed: packed[1].to(packed[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Refuse saved-tensor hooks in the block, with this message; also where one is around it already.

    >>> with disable_saved_tensors_hooks("not here"), save_on_cpu():
    ...     pass
    Traceback (most recent call last):
    ...
    xpnn.autograd.graph.HooksDisabledError: not here
    """
    if isinstance(switches.recorder, _Packing):
        raise HooksDisabledError(error_message)
    before, switches.no_saved_hooks = switches.no_saved_hooks, error_message
    try:
        yield
    finally:
        switches.no_saved_hooks = before


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[Mutations]:
    """A block in which Tensors may be changed in place though a backward needs what they were.

    So it is without it, too: what is written in place is a new array to the tape, which keeps the old one.

    >>> from xpnn.autograd import tensor
    >>> x = tensor([1.0, 2.0], requires_grad=True)
    >>> with allow_mutation_on_saved_tensors():
    ...     y = x * 2
    ...     z = (y * y).sum()
    ...     _ = y.zero_()
    >>> z.backward()
    >>> x.grad.tolist()
    [8.0, 16.0]
    """
    yield Mutations()


class Mutations:
    """What `allow_mutation_on_saved_tensors` gives to its block."""

    def clear(self) -> None:
        """Forget copies; there are none."""


def get_gradient_edge(tensor: Any) -> GradientEdge:
    """Where in the graph a Tensor is, which outlives it: `grad` takes it among its inputs.

    Raises: GradientError for a Tensor that requires no gradient.

    >>> from xpnn.autograd import grad, tensor
    >>> x = tensor(3.0, requires_grad=True)
    >>> y = x * x
    >>> edge = get_gradient_edge(y)
    >>> grad(y * 2, edge)
    (tensor(2.),)
    """
    if not isinstance(tensor, TensorBase):
        raise DTypeError(f"expects a Tensor, got {type(tensor).__name__}", subject="get_gradient_edge")
    if not tensor.requires_grad:
        raise GradientError("expects a Tensor that requires a gradient", subject="get_gradient_edge")
    return edge_at(edge_of(tensor))


class MultiHandle:
    """Takes away the hooks of `register_multi_grad_hook`, by `remove()` or at the end of a `with` block."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> MultiHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Any], fn: Callable[[Any], None], *, mode: Literal["all", "any"] = "all"
) -> MultiHandle:
    """Call a function once a sweep, when gradients of several Tensors are known.

    Args:
        tensors: of which each requires a gradient.
        fn: in the mode "all" it is called with a list of all their gradients, None for each that this sweep
            does not reach; in the mode "any" with the first of them.

    >>> from xpnn.autograd import tensor
    >>> a, b = tensor(2.0, requires_grad=True), tensor(3.0, requires_grad=True)
    >>> handle = register_multi_grad_hook([a, b], print)
    >>> (a * b).backward()
    [tensor(3.), tensor(2.)]
    """
    if mode not in ("all", "any"):
        raise ArgumentError(
            f"expects mode 'all' or 'any', got {mode!r:.60}", subject="register_multi_grad_hook"
        )
    tensors = list(tensors)
    if mode == "any":
        tensors = [tensor for tensor in tensors if tensor.requires_grad]
    edges = [get_gradient_edge(tensor).edge for tensor in tensors]
    watch = _Watch([_reference(edge) for edge in edges], fn, mode)
    return MultiHandle([tensor.register_hook(watch.hook_of(i)) for i, tensor in enumerate(tensors)])


class _Watch:
    """Collects the gradients of one sweep for `register_multi_grad_hook`."""

    def __init__(self, references: list[Any], fn: Callable[[Any], None], mode: str) -> None:
        self.references = references
        self.fn = fn
        self.mode = mode
        self.sweep: Any = None  # the last one that came by
        self.seen: list[Any] = []
        self.missing = 0

    def hook_of(self, index: int) -> Callable[[Any], None]:
        """The hook of the Tensor at this place."""

        def hook(gradient: Any) -> None:
            if self.sweep is None or self.sweep() is not switches.sweep:
                self._begin()
            if self.mode == "all":
                self.seen[index] = gradient
            self.missing -= 1
            if self.missing == 0:
                seen, self.seen = self.seen, [None] * len(self.seen)  # it keeps no gradients alive
                self.fn(seen if self.mode == "all" else gradient)

        return hook

    def _begin(self) -> None:
        self.sweep = weakref.ref(switches.sweep)
        self.seen = [None] * len(self.references)
        edges = [reference() for reference in self.references]
        reached = switches.sweep.reached([edge for edge in edges if edge is not None])
        self.missing = sum(reached) if self.mode == "all" else 1


def _reference(edge: Any) -> Callable[[], Any]:
    """A reference to an edge that does not keep its graph alive."""
    if isinstance(edge, TensorBase):
        return weakref.ref(edge)
    node, index = weakref.ref(edge[0]), edge[1]

    def look() -> Any:
        found = node()
        return None if found is None else (found, index)

    return look


def _refuse_disabled() -> None:
    if switches.no_saved_hooks is not None:
        raise HooksDisabledError(switches.no_saved_hooks)


class _Packing:
    """What stands where nodes are recorded in a `saved_tensors_hooks` block: it packs what they save."""

    def __init__(self, pack: Callable[[Any], Any], unpack: Callable[[Any], Any]) -> None:
        self.pack = pack
        self.unpack = unpack

    def record(self, node: Node, inputs: list) -> None:
        """Take what a new node saved away from it, packed."""
        tracked = {id(raw) for raw, edge in zip(inputs, node.edges) if edge is not None}
        packed: dict[int, _Packed] = {}
        before, switches.recorder = switches.recorder, None
        try:
            with no_grad():
                saved = self._packed(node.saved, tracked, packed)
                kept = self._packed(node.inputs, tracked, packed)
        finally:
            switches.recorder = before
        if packed:
            node.recompute = _Parcel(saved, kept, self.unpack)
            node.saved = node.inputs = None

    def _packed(self, value: Any, tracked: set[int], packed: dict[int, _Packed]) -> Any:
        if isinstance(value, tuple | list):
            return _alike(value, [self._packed(part, tracked, packed) for part in value])
        if isinstance(value, TensorBase) or not is_array(value):
            return value
        if id(value) not in packed:
            shown = new_tensor(as_array(value))
            shown._requires_grad = id(value) in tracked
            packed[id(value)] = _Packed(self.pack(shown), value)
        return packed[id(value)]


class _Packed:
    """One array, packed, and what is known of it."""

    def __init__(self, content: Any, raw: Any) -> None:
        self.content = content
        self.shape = tuple(raw.shape)
        self.dtype = raw.dtype


class _Parcel:
    """What a node saved, packed: brings it back for each backward."""

    unpacks = True

    def __init__(self, saved: Any, inputs: Any, unpack: Callable[[Any], Any]) -> None:
        self.saved = saved
        self.inputs = inputs
        self.unpack = unpack

    def fill(self, node: Node) -> None:
        """Give a node back what it had saved."""
        arrays: dict[int, Any] = {}
        node.saved, node.inputs = self._unpacked(self.saved, arrays), self._unpacked(self.inputs, arrays)

    def release(self, node: Node) -> None:
        """Take it away again, after a sweep that retains the graph."""
        node.saved = node.inputs = None

    def _unpacked(self, value: Any, arrays: dict[int, Any]) -> Any:
        if isinstance(value, tuple | list):
            return _alike(value, [self._unpacked(part, arrays) for part in value])
        if not isinstance(value, _Packed):
            return value
        if id(value) not in arrays:
            arrays[id(value)] = _raw_of(self.unpack(value.content), value)
        return arrays[id(value)]


def _alike(nesting: Any, parts: list[Any]) -> Any:
    """Other parts in a list, a tuple or a NamedTuple as the given one."""
    return type(nesting)(*parts) if hasattr(nesting, "_fields") else type(nesting)(parts)


def _raw_of(found: Any, packed: _Packed) -> Any:
    """The raw array of what an unpack hook returned. Raises: DTypeError, ShapeError."""
    if not isinstance(found, TensorBase):
        raise DTypeError(f"expects a Tensor, got {type(found).__name__}", subject="unpack_hook")
    raw = found.array
    if tuple(raw.shape) != packed.shape:
        raise ShapeError(
            f"expects a Tensor of shape {packed.shape} again, got {tuple(raw.shape)}", subject="unpack_hook"
        )
    return raw if raw.dtype == packed.dtype else namespace(raw).astype(raw, packed.dtype)
