"""Operations with a gradient of the user's own, as PyTorch programs write them: `autograd.Function`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn.autograd.core import TensorBase, carries_gradient, new_tensor
from xpnn.autograd.mode import enable_grad, no_grad, switches
from xpnn.autograd.node import Node
from xpnn.autograd.ops.broadcasting import broadcast_shapes, unbroadcast
from xpnn.autograd.ops.lifting import lift
from xpnn.autograd.tape import examine
from xpnn.autograd.tensor import Tensor
from xpnn.backend import DTypeError, GradientError, ShapeError, device_of, is_array, namespace


class FunctionCtx:
    """What the forward of a `Function` leaves for its backward; any attribute may be set on it.

    Attributes:
        needs_input_grad: for each argument of the forward whether a gradient is wanted.
    """

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._to_save: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] | None = None
        self._without_gradient: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep Tensors (or None) for the backward, which finds them as `saved_tensors`."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, TensorBase):
                raise DTypeError(
                    f"expects Tensors, got {type(tensor).__name__}",
                    subject="save_for_backward",
                    hint="Keep other values as attributes: ctx.size = 3",
                )
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given. Raises: GradientError outside of the backward."""
        return self._to_save if self._saved is None else self._saved

    saved_variables = saved_tensors  # PyTorch's older name

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say that no gradient flows through these outputs."""
        self._without_gradient = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Say that the forward has changed these inputs in place; it must return them."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether the backward sees zeros (True, the default) or None for an output without a gradient."""
        self._materialize = value


class _Operation:
    """A Function as the tape sees it: a primitive with a backward that may leave gradients out."""

    may_omit = True

    def __init__(self, function: type[Function]) -> None:
        self.function = function
        self.name = function.__name__

    def backward_function(self, gy: Any, saved: tuple, needs: tuple, *, ctx: Any, blanks: Any) -> list[Any]:
        """The gradients of all arguments; raw arrays, or Tensors where the sweep is recorded."""
        given = gy if isinstance(gy, tuple) else (gy,)
        recorded = any(isinstance(g, TensorBase) for g in given)
        seen = [self._arrived(g, blank, ctx) for g, blank in zip(given, blanks)]
        ctx._saved = tuple([_constant(value) for value in saved])
        ctx.needs_input_grad = needs
        try:
            with enable_grad() if recorded else no_grad():
                results = self.function.backward(ctx, *seen)
        finally:
            ctx._saved = None
        results = tuple(results) if isinstance(results, tuple | list) else (results,)
        return [self._checked(g, i, ctx, recorded) for i, g in enumerate(self._counted(results, needs))]

    def _counted(self, results: tuple, needs: tuple) -> tuple:
        """One gradient an argument; None at the end may be too many, as PyTorch has it."""
        count = len(needs)
        if len(results) < count or any(g is not None for g in results[count:]):
            raise GradientError(
                f"returned {len(results)} gradients, expected {count}, one for each argument of its forward",
                subject=f"{self.name}.backward",
                hint="Return None for an argument that has none",
            )
        return results[:count]

    def _checked(self, gradient: Any, i: int, ctx: Any, recorded: bool) -> Any:
        """A gradient in the shape and element type of its argument."""
        shape, dtype = ctx._arguments[i]
        if gradient is None or shape is None or not ctx.needs_input_grad[i]:
            return None
        if not is_array(gradient):
            raise DTypeError(
                f"returned {type(gradient).__name__} as gradient {i}, expected a Tensor or None",
                subject=f"{self.name}.backward",
            )
        gradient = _constant(gradient)
        if gradient.shape != shape and not _stretches(shape, gradient.shape):
            raise ShapeError(
                f"returned a gradient of shape {gradient.shape} for argument {i} of shape {shape}",
                subject=f"{self.name}.backward",
            )
        gradient = unbroadcast(gradient, shape, dtype)
        return gradient if recorded else gradient.array

    def _arrived(self, gradient: Any, blank: _Blank | None, ctx: Any) -> Any:
        """The gradient of an output as the backward sees it."""
        if gradient is None:
            return blank.zeros() if blank is not None and ctx._materialize else None
        return _constant(gradient)


class _Blank(NamedTuple):
    """What is known of an output, to make zeros like it."""

    xp: Any
    shape: tuple[int, ...]
    dtype: Any
    device: Any

    def zeros(self) -> Tensor:
        """The gradient of an output that nothing was computed from."""
        return new_tensor(self.xp.zeros(self.shape, dtype=self.dtype, device=self.device))


class Function:
    """An operation whose gradient is the user's: a subclass has a static `forward` and `backward`.

    It is called by `apply`. `forward(ctx, *args)` computes with Tensors, off the tape, and keeps in `ctx`
    what `backward(ctx, *gradients)` needs; that returns a gradient (or None) for each argument. Or else
    `forward(*args)` has no `ctx`, and `setup_context(ctx, inputs, output)` keeps it.

    Second derivatives are those of the backward's operations; they are right if it computes from
    `ctx.saved_tensors` and its arguments alone.

    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, gy):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * gy
    >>> x = Tensor([3.0], requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor([6.])
    """

    _operation: _Operation

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._operation = _Operation(cls)

    @staticmethod
    def forward(*args: Any, **options: Any) -> Any:
        """Compute the outputs; of a subclass."""
        raise NotImplementedError("A Function must define a static forward")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep what the backward needs, where `forward` has no `ctx`."""
        raise NotImplementedError("setup_context")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute a gradient for each argument; of a subclass."""
        raise GradientError(
            "has no gradient rule, and a gradient through it was asked for",
            subject=f"a Function ({type(ctx).__qualname__})",
            hint="Define a static backward(ctx, *gradients)",
        )

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Is refused; a Function is called by `apply`."""
        raise DTypeError("is called as a class", subject=type(self).__name__, hint="Use .apply(...)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run the forward, and record it if a gradient may be asked for."""
        ctx = FunctionCtx()
        tracked = [isinstance(arg, TensorBase) and arg._requires_grad for arg in args]
        edges = tuple([(arg.edge or arg) if track else None for arg, track in zip(args, tracked)])
        ctx.needs_input_grad = tuple(tracked)
        ctx._arguments = [  # type: ignore[attr-defined]
            (arg.shape, arg.dtype) if isinstance(arg, TensorBase) else (None, None) for arg in args
        ]
        with no_grad():
            if cls.setup_context is Function.setup_context:
                outputs = cls.forward(ctx, *args)
            else:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
        several = isinstance(outputs, tuple)
        given = outputs if several else (outputs,)
        for output in given:
            if not several and not isinstance(output, TensorBase):
                raise DTypeError(
                    f"returned {type(output).__name__}, expected a Tensor or a tuple of them",
                    subject=f"{cls.__name__}.forward",
                )
        record = switches.grad and any(tracked)
        node = cls._record(ctx, args, edges, given, several) if record else None
        results = tuple([_result(ctx, args, y, node, i, cls.__name__) for i, y in enumerate(given)])
        ctx._to_save = ctx._without_gradient = ctx._dirty = ()
        return results if several else results[0]

    @classmethod
    def _record(cls, ctx: Any, args: tuple, edges: tuple, outputs: tuple, several: bool) -> Node:
        if switches.anomaly:
            examine(outputs, cls.__name__, "output", switches.scopes)
        saved = tuple([None if value is None else value.array for value in ctx._to_save])
        options = {"ctx": ctx, "blanks": [_blank_of(y) for y in outputs]}
        node = Node(cls._operation, options, edges, saved, len(outputs) if several else 0)
        changed = [arg for arg in args if any(arg is dirty for dirty in ctx._dirty)]
        kept = [None if any(arg is dirty for dirty in changed) else arg for arg in args]
        node.kinds = tuple([_kind(value, kept, outputs) for value in ctx._to_save])
        node.outlines = tuple(
            [(y.shape, y.dtype) if isinstance(y, TensorBase) else ((), None) for y in outputs]
        )
        if switches.noting:
            raws = [arg.array if isinstance(arg, TensorBase) else arg for arg in args]
            node.note(raws, [getattr(y, "array", None) for y in outputs])
        if switches.recorder is not None:
            switches.recorder.record(node, [])
        return node


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a backward that is not made of differentiable operations: second derivatives are refused."""

    @functools.wraps(backward)
    def call(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            results = backward(ctx, *gradients)
        if not switches.grad:
            return results
        several = isinstance(results, tuple | list)
        sources = [*ctx.saved_tensors, *gradients]
        taped = [t for t in sources if isinstance(t, TensorBase) and t._requires_grad]
        marked = [
            g if g is None or not taped else _without_rule(g, taped)
            for g in (results if several else (results,))
        ]
        return tuple(marked) if several else marked[0]

    return call


def _without_rule(gradient: Any, sources: list[Any]) -> Any:
    """A gradient that depends on Tensors in a way that nobody knows."""
    return lift(lambda *_: gradient.array, "a once_differentiable backward")(*sources)


def _constant(value: Any) -> Any:
    """A raw array as a Tensor; what is a Tensor, or None, as it is."""
    return value if value is None or isinstance(value, TensorBase) else new_tensor(value)


def _stretches(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    """Whether broadcasting makes the second shape of the first."""
    try:
        return broadcast_shapes(shape, larger) == larger
    except ShapeError:
        return False


def _blank_of(output: Any) -> _Blank | None:
    if not isinstance(output, TensorBase):
        return None
    raw = output.array
    return _Blank(namespace(raw), output.shape, raw.dtype, device_of(raw))


def _kind(value: Any, args: list[Any], outputs: tuple) -> int | None:
    """Where a saved Tensor comes from, as in `Node.kinds`."""
    for i, arg in enumerate(args):
        if value is not None and value is arg:
            return i
    for j, output in enumerate(outputs):
        if value is not None and value is output:
            return -1 - j
    return None


def _result(ctx: Any, args: tuple, output: Any, node: Node | None, index: int, name: str) -> Any:
    """An output as the caller gets it: with its place on the tape."""
    if not isinstance(output, TensorBase):
        return output
    apart = any(output is other for other in ctx._without_gradient)
    recorded = node is not None and not apart and carries_gradient(output.array)
    edge = (node, index) if recorded else None
    if any(output is dirty for dirty in ctx._dirty) and any(output is arg for arg in args):
        return output._rebind(new_tensor(output.array, edge), name)  # type: ignore[attr-defined]
    return new_tensor(output.array, edge)
