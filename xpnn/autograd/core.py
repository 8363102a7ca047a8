"""What the tape needs to know of a Tensor: an array, and where on the tape it came from.

`TensorBase` carries the data; operators and methods come with its one subclass, `tensor.Tensor`, which is
built from the primitives of `ops/`, which in turn are built on this module.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from xpnn.autograd.size import Size, size_from
from xpnn.backend import (
    ArgumentError,
    Array,
    DTypeError,
    GradientError,
    backend_of,
    device_named,
    device_of,
    is_complex,
    is_floating,
    namespace,
    register_tensor_type,
    shown_dtype,
    shown_dtypes,
)

# What `carries_gradient` answers.
REAL, COMPLEX = 1, 2

# type of an array -> element type -> what `carries_gradient` answers. In two steps, because element types of
# different libraries do not like to be compared.
_KINDS: dict[type, dict[Any, int]] = {}


class _Met:
    """Whether complex numbers were ever asked for a gradient: where they weren't, nothing looks for them."""

    __slots__ = ("complex",)

    def __init__(self) -> None:
        self.complex = False


met = _Met()

_T = TypeVar("_T", bound=type)

_new: Callable[[Any], Any] = object.__new__

# Of the Array API standard; None is the newest.
_VERSIONS: tuple[Any, ...] = (None, "2021.12", "2022.12", "2023.12", "2024.12")

# Aliases of one Tensor, from which on those that are gone are looked for.
_MANY = 8

# Set by the modules that define them, which need the operations, which need this module.
_tensor_class: list[type[TensorBase]] = []
_tensor_namespace: list[Callable[[Any], Any]] = []
_view_maker: list[Callable[..., Any]] = []
_turner: list[Callable[..., Any]] = []


class TensorBase:
    """One raw array and its place on the tape.

    Attributes:
        array: the raw array.
        grad: the gradient that `backward()` accumulated, a Tensor, or None.
        edge: where it came from: `(node, index)` for output `index` of a recorded operation, None for
            a leaf.
        aliases: weak references to the Tensors of the same elements (`t.detach()` has those of `t`), itself
            among them, in a list that they share; None where there are no others.
    """

    __slots__ = ("__dict__", "__weakref__", "_requires_grad", "aliases", "array", "edge", "grad", "hooks")

    array: Array
    grad: Any
    edge: Any
    hooks: dict[int, Any] | None
    aliases: list[weakref.ref[TensorBase]] | None
    _requires_grad: bool
    is_view = has_turned = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_tensor_type(cls)

    @property
    def shape(self) -> Size:
        """The sizes of the axes."""
        return size_from(self.array.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def dtype(self) -> Any:
        """The element type, an `xpnn.DType`; `t.array.dtype` is the library's own."""
        dtype = self.array.dtype
        try:
            return shown_dtypes[type(dtype)][dtype]
        except KeyError:
            return shown_dtype(dtype)

    @property
    def device(self) -> Any:
        """The device, an `xpnn.device`."""
        native = device_of(self.array)
        return None if native is None else device_named(native, backend_of(self.array))

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor are recorded, so that a gradient can reach it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if not isinstance(flag, bool):
            raise DTypeError(f"expects requires_grad as True or False, got {flag!r:.60}")
        if self.edge is not None:
            if not flag:
                raise GradientError(
                    "cannot stop requiring a gradient: it is the result of a recorded operation",
                    subject="a Tensor",
                    hint="Use detach()",
                )
            return
        if flag and not carries_gradient(self.array):
            raise GradientError(
                "only floating-point and complex Tensors can require a gradient, this one is "
                f"{self.array.dtype}",
                hint="Convert it first: t.to(dtype='float32')",
            )
        self._requires_grad = bool(flag)

    def store(self, array: Array) -> None:
        """Change the elements, of this Tensor and of those that share them, off the tape."""
        self.array = array
        if self.aliases is not None:
            for alias in self.aliases:
                tensor = alias()
                if tensor is not None:
                    tensor.array = array

    def can_show(self, shape: tuple[int, ...]) -> bool:
        """Whether PyTorch would give a view for `reshape(shape)`, rather than a copy."""
        return True

    def off_tape(self, what: str) -> Array:
        """The raw array. Raises: GradientError if the Tensor requires a gradient, which `what` would lose."""
        if self._requires_grad:
            raise GradientError(
                "would lose the gradient of a Tensor that requires one",
                subject=what,
                hint="Call detach() first if none should flow; t.to(...) and t.clone() keep it",
            )
        return self.array

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        if api_version not in _VERSIONS:
            raise ArgumentError(
                f"expects one of {', '.join(_VERSIONS[1:])}, got {api_version!r}", subject="api_version"
            )
        return _tensor_namespace[0](namespace(self.array))


def tensor_class(cls: _T) -> _T:
    """Decorate the class that results are wrapped in."""
    _tensor_class.append(cls)
    return cls


def tensor_namespace_maker(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Decorate the function that finds the namespace of Tensors for a raw namespace."""
    _tensor_namespace.append(function)
    return function


def view_maker(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the function that makes the results of view primitives views."""
    _view_maker.append(function)
    return function


def turner(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate the function by which a Tensor takes another shape in place."""
    _turner.append(function)
    return function


def turn_in_place(tensor: TensorBase, change: Callable[[Any], Any], operation: str) -> Any:
    """Let a Tensor take the shape that `change` makes of it, and return it."""
    return _turner[0](tensor, change, operation)


def new_view(y: Any, parent: TensorBase, made_by: Any, options: dict[str, Any]) -> Any:
    """The result `y` of a view primitive as a view of its argument."""
    return _view_maker[0](y, parent, made_by, options)


def share(one: TensorBase, other: TensorBase) -> None:
    """Note that two Tensors have the same elements: what is written into one of them reaches the other.

    Of a view the other takes the elements, and no more.
    """
    if one.is_view:
        return
    aliases = one.aliases
    if aliases is None:
        aliases = one.aliases = [weakref.ref(one)]
    elif len(aliases) > _MANY:
        aliases[:] = [alias for alias in aliases if alias() is not None]
    aliases.append(weakref.ref(other))
    other.aliases = aliases


def carries_gradient(array: Array) -> int:
    """Whether a gradient can be taken with respect to the elements.

    REAL of floating-point numbers, COMPLEX of complex ones, both of which are true, else 0.
    """
    try:
        return _KINDS[type(array)][array.dtype]
    except KeyError:
        answer = REAL if is_floating(array) else COMPLEX if is_complex(array) else 0
        _KINDS.setdefault(type(array), {})[array.dtype] = answer
        met.complex = met.complex or answer == COMPLEX
        return answer


def as_array(result: Array) -> Array:
    """A 0-d result as an array, where the library gives scalars."""
    convert = backend_of(result).as_array
    return result if convert is None else convert(result)


def new_tensor(data: Array, edge: Any = None) -> Any:
    """A Tensor around `data`: the result of a recorded operation if it has an edge, else a constant."""
    tensor = _new(_tensor_class[0])
    tensor.array = data
    tensor.edge = edge
    tensor.grad = tensor.hooks = tensor.aliases = None
    tensor._requires_grad = edge is not None
    return tensor
