"""Primitives: forward/backward pairs on raw arrays, and what happens when one is called.

    @primitive
    def _square(x):
        return x * x, (x,)                       # the output, and what the backward needs

    @_square.backward
    def _square_backward(gy, saved, needs):
        (x,) = saved
        return (2 * gy * x,)                     # one gradient per array argument

Called on raw arrays a primitive returns raw arrays and records nothing. Called with a Tensor among its
arguments it returns Tensors, and records a node if a gradient may be asked for.

Where the first argument is of half precision, a primitive is given all arrays in float32, and its results are
rounded (see `autograd.half`), unless it says that it takes half precision itself.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any, overload

from xpnn.autograd.casting import entered, in_type, way_of
from xpnn.autograd.core import COMPLEX, TensorBase, carries_gradient, met, new_tensor, new_view
from xpnn.autograd.half import in_float32
from xpnn.autograd.mode import note_call, switches
from xpnn.autograd.node import Node
from xpnn.autograd.over_complex import OverComplex, over_complex, rule_of
from xpnn.autograd.tape import classify, examine
from xpnn.backend import (
    REFUSALS,
    Backend,
    DTypeError,
    admit,
    at_registration,
    backend_of,
    choose,
    concrete,
    device_of,
    explain_refusal,
    find_kernels,
    is_array,
    is_half,
    kernels_enabled,
    python_scalar,
    raise_mismatch,
    shares_saved,
)

_NUMBERS = frozenset((int, float, bool, complex, type(None)))

_names: set[str] = set()  # of xpnn's own primitives
_primitives: weakref.WeakSet[Primitive] = weakref.WeakSet()


class _Route:
    """Where a call goes: the type of its arrays, what makes arrays of the library's scalars, the kernels.

    `asks` says whether the first argument has to be asked if it is of half precision.
    """

    __slots__ = ("as_array", "asks", "kernels", "kind")

    def __init__(self, kind: type, as_array: Callable[[Any], Any] | None, kernels: list, asks: bool) -> None:
        self.kind = kind
        self.as_array = as_array
        self.kernels = kernels
        self.asks = asks


class Primitive:
    """A differentiable operation; made by the decorator `primitive`.

    Attributes:
        name: the forward's name without leading underscores, after its module and a dot where that is not one
            of xpnn's: "conv", "my_layers.swish". Kernels are registered under it, so that it is unique.
        forward: the reference forward, `forward(*arrays, **options) -> (output or tuple, saved)`.
        backward_function: `backward(gy, saved, needs, **options) -> gradients`, or None where there is
            no rule.
        half, statistics, flat, complex_rule: as for `primitive`.
        complex_backward: the backward where complex arrays take part, if it is another one.
        complex_forms: the forms of it that the tape has met (see `over_complex.py`).
    """

    def __init__(
        self,
        forward: Callable,
        name: str | None = None,
        *,
        half: bool = False,
        statistics: bool = False,
        flat: bool = False,
        complex_rule: str | None = None,
    ) -> None:
        """Wrap a forward. Who gives a `name` registers no kernels for it: it may be that of another."""
        functools.update_wrapper(self, forward)
        self.forward = forward
        self.half, self.statistics, self.flat = half, statistics, flat
        self.name = name or _unique_name(forward)
        self.backward_function: Callable | None = None
        self.complex_rule = complex_rule or rule_of(self.name)
        self.complex_backward: Callable | None = None
        self.complex_forms: dict[tuple[bool, ...], OverComplex] = {}
        self._asks_inputs = self.complex_rule is None  # whether complex inputs are looked for
        self._routes: dict[tuple[type, ...], _Route] = {}  # by the types of the arguments
        _primitives.add(self)

    def backward(self, function: Callable) -> Callable:
        """Decorate the backward: `function(gy, saved, needs, **options)` returns the gradients."""
        self.backward_function = function
        return function

    def backward_over_complex(self, function: Callable) -> Callable:
        """Decorate the backward where complex arrays take part; that of real ones stays as it is."""
        self.complex_backward, self.complex_rule, self._asks_inputs = function, "general", True
        return function

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the forward, or a kernel in its place; record it if a gradient may be asked for."""
        if entered and switches.casts:
            again = functools.partial(Primitive.__call__, self)
            return in_type(again, way_of(self.name, args, options), args, options)
        raws: list[Any] = []
        edges: list[Any] = []
        wrapped = track = False
        for arg in args:
            edge = None
            if isinstance(arg, TensorBase):
                wrapped = True
                if arg._requires_grad:
                    track = True
                    edge = arg.edge or arg
                arg = arg.array
            raws.append(arg)
            edges.append(edge)
        route = self._routes.get(tuple(map(type, raws))) or self._route(raws, wrapped)
        kernels = route.kernels
        kernel = choose(kernels, raws, options) if kernels and kernels_enabled() else None
        if route.asks and raws[0].dtype.itemsize == 2 and self._widens(kernel, raws, options):
            again = functools.partial(Primitive.__call__, self)
            return in_float32(again, raws[0].dtype, args, options, rounded=1 if self.statistics else None)
        try:
            output, saved = (self if kernel is None else kernel).forward(*raws, **options)
        except REFUSALS as error:
            explain_refusal(error, self.name, raws, options)
            raise
        if not wrapped:
            return output

        several = type(output) is tuple
        originals = outputs = output if several else (output,)
        if type(output) is not route.kind and route.as_array is not None:
            outputs = tuple([y if type(y) is route.kind else route.as_array(y) for y in originals])
        if switches.anomaly:
            examine(outputs, self.name, "output", switches.scopes)
        if switches.noting:
            note_call(self.name, raws, options, outputs)
        node = None
        if track and switches.grad:
            own_backward = None if kernel is None else kernel.backward_function
            node = self._record(tuple(edges), raws, options, originals, saved, own_backward, several)
        if not several:
            return new_tensor(outputs[0], None if node is None else (node, 0))
        return tuple(
            [
                new_tensor(y, (node, i) if node is not None and carries_gradient(y) else None)
                for i, y in enumerate(outputs)
            ]
        )

    def _widens(self, kernel: Any, raws: list, options: dict) -> bool:
        """Whether float32 takes the place of the first argument's element type, which has two bytes."""
        takes_half = kernel is not None and kernel.half is not None and kernel.half(*raws, **options)
        return is_half(raws[0]) and not takes_half

    def _route(self, raws: list, wrapped: bool) -> _Route:
        """Where a call with arguments of these types goes; checks that the arrays match.

        NumPy's scalars in `raws` become Python's where a Tensor takes part.
        """
        types = tuple(map(type, raws))
        first = backend = None
        for i, raw in enumerate(raws):
            if wrapped:
                raws[i] = raw = python_scalar(raw)
            if type(raw) in _NUMBERS:
                continue
            if wrapped:
                self._backend_of(raw)
                admit(raw, self.name)
            if backend is None:
                first, backend = raw, self._backend_of(raw)
                continue
            if self._backend_of(raw) is not backend or (
                backend.several_devices and _other_device(first, raw)
            ):
                raise_mismatch(first, raw)
        if backend is None:
            raise DTypeError(f"expects an array, got {raws!r:.80}", subject=self.name)
        asks = not self.half and hasattr(getattr(raws[0], "dtype", None), "itemsize")
        route = _Route(type(first), backend.as_array, find_kernels(backend, self.name), asks)
        unchanged = types == tuple(map(type, raws)) and all(python_scalar(raw) is raw for raw in raws)
        if unchanged and not backend.several_devices:
            self._routes[types] = route
        return route

    def _backend_of(self, raw: Any) -> Backend:
        if not is_array(raw):
            raise DTypeError(
                f"expects an array, got {type(raw).__name__}: {raw!r:.80}",
                subject=self.name,
                hint="Convert it with xpnn.asarray(...)",
            )
        return backend_of(raw)

    def _record(
        self,
        edges: tuple,
        raws: list,
        options: dict,
        outputs: tuple,
        saved: tuple,
        own_backward: Callable | None,
        several: bool,
    ) -> Node | None:
        """Put the call on the tape; None if no output can carry a gradient."""
        for y in outputs:
            kind = carries_gradient(y)
            if kind:
                break
        else:
            return None
        if self._asks_inputs and met.complex and kind != COMPLEX:
            for raw, edge in zip(raws, edges):
                if edge is not None and carries_gradient(raw) == COMPLEX:
                    kind = COMPLEX
        alike = own_backward is None or shares_saved(own_backward)
        form: Any = self
        if kind == COMPLEX and self.backward_function is not None:
            form = over_complex(self, raws)
            own_backward = own_backward and form.adapted(own_backward)
        node = Node(form, options, edges, saved, len(outputs) if several else 0, own_backward)
        if alike:
            node.kinds, replay = classify(saved, raws, outputs, edges)
        else:
            replay = True
        if replay:
            node.inputs = tuple(raws)
        if several:
            node.outlines = tuple([(y.shape, y.dtype) for y in outputs])
        else:
            node.outlines = ((outputs[0].shape, outputs[0].dtype),)
        if switches.noting:
            node.note(raws, outputs)
        if switches.recorder is not None:
            switches.recorder.record(node, raws)
        return node


class ViewPrimitive(Primitive):
    """An operation whose result shows elements of its one argument; made by the decorator `view_primitive`.

    Called on a Tensor it returns a view: what is written into that reaches the argument (see `views.py`).
    """

    def __init__(self, forward: Callable) -> None:
        super().__init__(forward, half=True)
        self._write: Callable | None = None

    def __call__(self, x: Any, **options: Any) -> Any:
        """Run the forward, and record it, as other primitives do."""
        y = super().__call__(x, **options)
        return new_view(y, x, self, options) if isinstance(x, TensorBase) else y

    def write(self, function: Callable) -> Callable:
        """Decorate the way back: `function(x, value, **options)` is `x` with `value` where the result shows.

        Where the result shows each element of `x` once, the backward is the way back already.
        """
        self._write = function
        return function

    def written(self, x: Any, value: Any, options: dict[str, Any]) -> Any:
        """The Tensor `x` with the elements that the result shows replaced by those of the Tensor `value`."""
        if self._write is not None:
            return self._write(x, value, **options)
        assert self.backward_function is not None
        saved = self.forward(x.array, **options)[1]
        return self.backward_function(value, saved, (True,), **options)[0]


def view_primitive(forward: Callable) -> ViewPrimitive:
    """Make a view of a forward on one raw array (see `ViewPrimitive` and `primitive`)."""
    return ViewPrimitive(forward)


@overload
def primitive(forward: Callable) -> Primitive: ...
@overload
def primitive(
    *, half: bool = ..., statistics: bool = ..., flat: bool = ..., complex_rule: str | None = ...
) -> Callable[[Callable], Primitive]: ...
def primitive(
    forward: Any = None,
    *,
    half: bool = False,
    statistics: bool = False,
    flat: bool = False,
    complex_rule: str | None = None,
) -> Any:
    """Make a differentiable operation of a forward on raw arrays.

    Args:
        forward: takes arrays (None for one that is left out) and keyword-only options; returns the output
            (or a tuple of outputs) and a tuple of what the backward needs. It must be pure: no random
            numbers, no writing into its arguments, no reading of configuration.
        half: whether float16 and bfloat16 are taken as they are, because elements are only moved or rounded
            once; otherwise forward and backward see float32 in their place.
        statistics: whether outputs after the first, of inputs in half precision, stay in float32.
        flat: whether the gradient stays the same near each input, as relu's does, and a second sweep gives
            the inputs zeros; otherwise what the backward does not use has no second gradient at all.
        complex_rule: what the backward is to complex arrays: "linear", "analytic" or "general", as
            `over_complex.py` explains. Left out, a gradient over complex numbers is an error.

    Returns: a callable with a `.backward` decorator for the gradient rule.

    >>> from xpnn.autograd import tensor
    >>> @primitive
    ... def _cube(x):
    ...     return x**3, (x,)
    >>> @_cube.backward
    ... def _cube_backward(gy, saved, needs):
    ...     (x,) = saved
    ...     return (3 * gy * x**2,)
    >>> x = tensor([2.0], requires_grad=True)
    >>> _cube(x).sum().backward()
    >>> x.grad.tolist()
    [12.0]
    """
    if forward is None:
        return functools.partial(
            Primitive, half=half, statistics=statistics, flat=flat, complex_rule=complex_rule
        )
    return Primitive(forward)


@at_registration
def _forget_routes(name: str) -> None:
    for known in list(_primitives):
        known._routes.clear()


def primitive_names() -> frozenset[str]:
    """The names of xpnn's own primitives, under which kernels are registered."""
    return frozenset(_names)


def _unique_name(forward: Callable) -> str:
    """The name of a primitive. Of those outside of xpnn a later one may replace another: a cell is run again.

    Raises: ValueError if xpnn itself gives a name twice.
    """
    name, module = forward.__name__.strip("_"), forward.__module__
    if module.partition(".")[0] != __name__.partition(".")[0]:
        return f"{module}.{name}"
    if name in _names:
        raise ValueError(f"there is a primitive '{name}' already, and kernels are found by name")
    _names.add(name)
    return name


def _other_device(first: Any, other: Any) -> bool:
    if not (concrete(first) and concrete(other)):  # a placeholder under jit is on no device yet
        return False
    return device_of(first) != device_of(other)
