"""The Tensors that a module owns: Parameters, which are trained, and Buffers, which are not."""

from __future__ import annotations

from typing import Any

from xpnn.autograd import Tensor
from xpnn.backend import (
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
)

__all__ = ["Buffer", "Parameter"]


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
        super().__init__(data.detach() if is_tensor(data) else data, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        memo[id(self)] = copied = type(self)(copy_like(self.array, self.array), self.requires_grad)
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
        super().__init__(data.detach() if is_tensor(data) else data)
        self.persistent = persistent

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        memo[id(self)] = copied = type(self)(copy_like(self.array, self.array), self.persistent)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.array, self.persistent)


def full(shape: tuple[int, ...], value: float, device: Any = None, dtype: Any = None) -> Array:
    """A raw array of the current backend, of the default dtype if none is given: what a layer starts with."""
    backend = get_backend()
    return backend.xp.full(
        shape,
        value,
        dtype=dtype_named(get_default_dtype() if dtype is None else dtype, backend.xp),
        device=get_device() if device is None else backend.find_device(device),
    )


def raw_array(value: Any) -> Array:
    """The raw array of a Tensor; arrays as they are, numbers as an array of the current backend."""
    if is_tensor(value):
        return value.array
    return value if is_array(value) else asarray(value)


def copy_like(value: Array, like: Array) -> Array:
    """A copy of a raw array of any library, with the library, device and element type of `like`."""
    moved = move(value, backend_of(like), device_of(like), like.dtype)
    return namespace(moved).asarray(moved, copy=True)
