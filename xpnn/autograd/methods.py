"""PyTorch's Tensor methods that are no functions: copies, conversions, and elements that are set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.backend import (
    backend_of,
    device_of,
    dtype_name,
    dtype_named,
    find_backend,
    move,
    namespace,
    refusing_methods,
    registered_backends,
)

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor  # the class that these methods become part of


@refusing_methods
class NamedOperators(TensorBase):
    """The methods of `Tensor` that set all its elements.

    That looks like writing in place. It makes a new array and rebinds the Tensor to it, as the operators do
    (see `tensor.py`); only views and what shares the Tensor's elements see the change.
    """

    __slots__ = ()

    def copy_(self, source: Any) -> Self:
        """Take over the elements of another Tensor or array, broadcast, in this element type."""
        return self._rebind(ops.setitem(self, source, index=...), "copy_")

    def fill_(self, value: float) -> Self:
        """Set all elements to a number."""
        return self._rebind(ops.setitem(self, value, index=...), "fill_")

    def zero_(self) -> Self:
        """Set all elements to 0."""
        return self._rebind(ops.setitem(self, 0, index=...), "zero_")

    def _rebind(self, result: Tensor, operation: str) -> Any:
        """Become `result` (see `Tensor`)."""
        raise NotImplementedError


@refusing_methods
class Conversions(TensorBase):
    """The methods of `Tensor` that copy and convert; apart, because they are named like types."""

    __slots__ = ()

    def clone(self) -> Tensor:
        """A copy, on the tape."""
        return ops.astype(self, self.dtype, copy=True)

    def to(self, *targets: Any, dtype: Any = None, device: Any = None) -> Tensor:
        """Another element type, backend or device; itself if it is that already.

        Args:
            targets: any of a dtype (`"float64"`), a backend (`"torch"`) and a device (`"cuda:0"`).

        A change of dtype or of device within one library is recorded; a change of library is not, and is
        refused for a Tensor on the tape.
        """
        backend = backend_of(self.array)
        names = {known.name for known in registered_backends()}
        for target in targets:
            if isinstance(target, str) and target in names:
                backend = find_backend(target)
            elif _is_dtype(target):
                dtype = target
            else:
                device = target
        moved: Any = self
        if dtype is not None and dtype_name(dtype) != dtype_name(self.dtype):
            moved = ops.astype(moved, dtype_named(dtype, namespace(self.array)))
        if backend is backend_of(self.array) and device is not None:
            device = backend.find_device(device)
            if device != device_of(self.array):
                moved = ops.to_device(moved, device)
        elif backend is not backend_of(self.array):
            raw = moved.off_tape(f"moving to backend '{backend.name}'")
            moved = new_tensor(move(raw, backend, backend.find_device(device)))
        return moved

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The standard's way to another device of the same library."""
        return ops.to_device(self, backend_of(self.array).find_device(device))

    def cpu(self) -> Tensor:
        """On the host, in the same library."""
        return self.to(device="cpu")

    def float(self) -> Tensor:
        """As float32."""
        return self.to("float32")

    def double(self) -> Tensor:
        """As float64."""
        return self.to("float64")

    def half(self) -> Tensor:
        """As float16."""
        return self.to("float16")

    def int(self) -> Tensor:
        """As int32."""
        return self.to("int32")

    def long(self) -> Tensor:
        """As int64."""
        return self.to("int64")

    def bool(self) -> Tensor:
        """As booleans."""
        return self.to("bool")

    def type_as(self, other: Tensor) -> Tensor:
        """In the element type of another Tensor."""
        return self.to(dtype=other.dtype)


def _is_dtype(target: Any) -> bool:
    if isinstance(target, str):
        return target.rstrip("0123456789") in ("float", "int", "uint", "bool", "bfloat", "complex")
    return "dtype" in type(target).__name__.lower() or isinstance(target, type)
