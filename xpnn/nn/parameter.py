"""The Tensors that a module owns: Parameters, which are trained, and Buffers, which are not."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Self

from xpnn.autograd import Tensor
from xpnn.backend import (
    ArgumentError,
    Array,
    asarray,
    backend_of,
    device_of,
    dtype_named,
    get_backend,
    get_default_dtype,
    get_device,
    is_array,
    is_tensor,
    move,
    namespace,
    shown_dtype,
)

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter"]


class Parameter(Tensor):
    """A Tensor that is trained: set as an attribute of a Module, it is among its `parameters()`.

    Args:
        data: a raw array, a Tensor (whose elements it shares), or numbers.
        requires_grad: False freezes it.

    >>> from xpnn import nn
    >>> layer = nn.Module()
    >>> layer.scale = Parameter([1.0, 2.0])
    >>> [(name, p.requires_grad) for name, p in layer.named_parameters()]
    [('scale', True)]
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(_elements(data), requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        memo[id(self)] = copied = type(self)(copy_like(self.array, self.array), self.requires_grad)
        vars(copied).update(deepcopy(vars(self), memo))
        return copied


class Buffer(Tensor):
    """A Tensor that belongs to a Module and is not trained, such as a running mean.

    Args:
        data: a raw array, a Tensor (whose elements it shares), or numbers.
        persistent: whether `state_dict()` contains it.

    Assigning an array to the attribute writes into the Buffer; the Buffer itself stays.

    >>> from xpnn import nn
    >>> layer = nn.Module()
    >>> layer.mask = Buffer([1.0, 0.0], persistent=False)
    >>> [name for name, _ in layer.named_buffers()], list(layer.state_dict())
    (['mask'], [])
    """

    __slots__ = ("persistent",)

    def __init__(self, data: Any, persistent: bool = True) -> None:
        super().__init__(_elements(data))
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        memo[id(self)] = copied = type(self)(copy_like(self.array, self.array), self.persistent)
        vars(copied).update(deepcopy(vars(self), memo))
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.array, self.persistent), vars(self) or None


class Uninitialized(Tensor):
    """What `UninitializedParameter` and `UninitializedBuffer` share: an element type, a device, no elements.

    Whatever asks for its shape or its elements raises an ArgumentError. The first array that is put into it
    makes it a Parameter or Buffer.
    """

    __slots__ = ()

    _becomes: type[Tensor]

    @classmethod
    def like(cls, tensor: Any) -> Self:
        """One of the element type and device of a Parameter or Buffer, and as trained or kept as that."""
        raise NotImplementedError

    @classmethod
    def _of(cls, array: Array, **flags: bool) -> Self:
        made = cls(**flags)
        made.array = namespace(array).zeros((0,), dtype=array.dtype, device=device_of(array))
        return made

    @property
    def array(self) -> Array:  # type: ignore[override]
        """There is none yet."""
        raise ArgumentError(
            "has no shape and no elements yet",
            subject=type(self).__name__,
            hint="Call its lazy module once with an input first",
        )

    @array.setter
    def array(self, array: Array) -> None:
        _slot.__set__(self, array)

    @property
    def dtype(self) -> Any:
        """The element type that it will have."""
        return shown_dtype(held_array(self).dtype)

    @property
    def device(self) -> Any:
        """The device that it will be on."""
        return device_of(held_array(self))

    @property
    def requires_grad(self) -> bool:
        """Whether it will be trained."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        self._requires_grad = bool(flag)

    def store(self, array: Array) -> None:
        """Become what it is to be, with these elements."""
        self.array = array
        self.__class__ = self._becomes  # type: ignore[assignment]

    def materialize(self, shape: tuple[int, ...], device: Any = None, dtype: Any = None) -> None:
        """Become what it is to be, of that shape, with zeros."""
        like = held_array(self)
        device = device_of(like) if device is None else device
        self.store(full(tuple(shape), 0.0, device, like.dtype if dtype is None else dtype))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = copied = self.like(self)
        return copied


# Where a Tensor keeps its array, also where `array` is a property that asks for more.
_slot: Any = Parameter.array  # type: ignore[misc]


def held_array(tensor: Tensor) -> Array:
    """The array of a Parameter or Buffer; of an uninitialised one, an empty one of its type and device."""
    return _slot.__get__(tensor) if isinstance(tensor, Uninitialized) else tensor.array


class UninitializedParameter(Uninitialized, Parameter):
    """A Parameter of a lazy module before its first call; see `Uninitialized`.

    >>> from xpnn import nn
    >>> nn.LazyLinear(2).weight
    <UninitializedParameter>
    """

    __slots__ = ()

    _becomes = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(full((0,), 0.0, device, dtype), requires_grad)

    @classmethod
    def like(cls, tensor: Any) -> Self:
        """See `Uninitialized.like`."""
        return cls._of(held_array(tensor), requires_grad=tensor.requires_grad)

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _rebuild,
            (type(self), held_array(self), {"requires_grad": self.requires_grad}),
            vars(self) or None,
        )


class UninitializedBuffer(Uninitialized, Buffer):
    """A Buffer of a lazy module before its first call; see `Uninitialized`."""

    __slots__ = ()

    _becomes = Buffer

    def __init__(
        self, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> None:
        super().__init__(full((0,), 0.0, device, dtype), persistent)
        self.requires_grad = requires_grad

    @classmethod
    def like(cls, tensor: Any) -> Self:
        """See `Uninitialized.like`."""
        return cls._of(held_array(tensor), persistent=tensor.persistent)

    def __reduce__(self) -> tuple[Any, ...]:
        flags = {"persistent": self.persistent}
        return _rebuild, (type(self), held_array(self), flags), vars(self) or None


def _rebuild(kind: type[Uninitialized], array: Array, flags: dict[str, bool]) -> Uninitialized:
    return kind._of(array, **flags)


def full(shape: tuple[int, ...], value: float, device: Any = None, dtype: Any = None) -> Array:
    """A raw array of the current backend, of the default dtype if none is given: what a layer starts with."""
    backend = get_backend()
    return backend.xp.full(
        shape,
        value,
        dtype=dtype_named(get_default_dtype() if dtype is None else dtype, backend.xp),
        device=get_device() if device is None else backend.find_device(device),
    )


def _elements(data: Any) -> Any:
    """What a Tensor is made around: numbers as an array, since whole ones alone would be sizes to it."""
    if is_tensor(data):
        return data.detach()
    return data if is_array(data) else asarray(data)


def raw_array(value: Any) -> Array:
    """The raw array of a Tensor; arrays as they are, numbers as an array of the current backend."""
    if is_tensor(value):
        return value.array
    return value if is_array(value) else asarray(value)


def copy_like(value: Array, like: Array) -> Array:
    """A copy of a raw array of any library, with the library, device and element type of `like`."""
    moved = move(value, backend_of(like), device_of(like), like.dtype)
    return namespace(moved).asarray(moved, copy=True)
