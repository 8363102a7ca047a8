"""PyTorch's Tensor methods, each a line of Array API functions.

`dim` arguments may be negative; reductions without one go over all elements. As in PyTorch, `var` and
`std` divide by N - 1 unless told otherwise (the standard's functions divide by N).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.backend import (
    ArgumentError,
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


class ValuesAndIndices(NamedTuple):
    """What `max(dim)`, `min(dim)` and `sort(dim)` return."""

    values: Tensor
    indices: Tensor


@refusing_methods
class Methods(TensorBase):
    """The methods of `Tensor` that compute."""

    __slots__ = ()

    # -- reductions

    def sum(self, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
        """The sum of the elements; of booleans, how many are true."""
        summands: Any = self
        if dtype_name(self.dtype) == "bool":
            defaults = namespace(self.array).__array_namespace_info__().default_dtypes()
            summands = ops.astype(self, defaults["integral"])
        return ops.sum(summands, axis=_axis(dim), keepdims=keepdim, dtype=_dtype(dtype, self.array))

    def mean(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The mean of the elements."""
        return ops.mean(self, axis=_axis(dim), keepdims=keepdim)

    def prod(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The product of the elements."""
        return ops.prod(self, axis=_axis(dim), keepdims=keepdim)

    def var(self, dim: Any = None, correction: float = 1.0, keepdim: bool = False) -> Tensor:
        """The variance; divides by N - correction."""
        return ops.var(self, axis=_axis(dim), correction=float(correction), keepdims=keepdim)

    def std(self, dim: Any = None, correction: float = 1.0, keepdim: bool = False) -> Tensor:
        """The standard deviation; divides by N - correction."""
        return ops.std(self, axis=_axis(dim), correction=float(correction), keepdims=keepdim)

    @overload
    def max(self, dim: None = ..., keepdim: bool = ...) -> Tensor: ...
    @overload
    def max(self, dim: int, keepdim: bool = ...) -> ValuesAndIndices: ...
    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; with `dim`, the largest along it and their indices."""
        return ops.max(self) if dim is None else _extremum(self, ops.argmax, dim, keepdim)

    @overload
    def min(self, dim: None = ..., keepdim: bool = ...) -> Tensor: ...
    @overload
    def min(self, dim: int, keepdim: bool = ...) -> ValuesAndIndices: ...
    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element; with `dim`, the smallest along it and their indices."""
        return ops.min(self) if dim is None else _extremum(self, ops.argmin, dim, keepdim)

    def amax(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The largest element; equal ones share the gradient."""
        return ops.max(self, axis=_axis(dim), keepdims=keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The smallest element; equal ones share the gradient."""
        return ops.min(self, axis=_axis(dim), keepdims=keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first largest element."""
        return ops.argmax(self, axis=dim, keepdims=keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first smallest element."""
        return ops.argmin(self, axis=dim, keepdims=keepdim)

    def any(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether any element is true."""
        return ops.any(self, axis=_axis(dim), keepdims=keepdim)

    def all(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true."""
        return ops.all(self, axis=_axis(dim), keepdims=keepdim)

    def cumsum(self, dim: int) -> Tensor:
        """The running sums along an axis."""
        return ops.cumulative_sum(self, axis=dim)

    def norm(self, p: float = 2.0, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The p-norm of the elements, taken as one long vector or along `dim`."""
        return ops.vector_norm(self, axis=_axis(dim), keepdims=keepdim, ord=p)

    # -- elementwise

    def matmul(self, other: Any) -> Tensor:
        """The matrix product."""
        return ops.matmul(self, other)

    mm = bmm = matmul

    # -- indexing and order

    def sort(self, dim: int = -1, descending: bool = False) -> ValuesAndIndices:
        """The elements in order, and where they were."""
        indices = ops.argsort(self, axis=dim, descending=descending)
        return ValuesAndIndices(ops.take_along_axis(self, indices, axis=dim), indices)

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> ValuesAndIndices:
        """The k largest elements along `dim`, in order, and where they were."""
        if not 0 <= k <= self.shape[dim]:
            raise ArgumentError(f"expects 0 <= k <= {self.shape[dim]}, got {k}", subject="topk")
        indices = ops.argsort(self, axis=dim, descending=largest).split([k, self.shape[dim] - k], dim)[0]
        return ValuesAndIndices(ops.take_along_axis(self, indices, axis=dim), indices)


@refusing_methods
class NamedOperators(TensorBase):
    """The methods of `Tensor` that are operators under another name: `x.add(y)` for `x + y`.

    A name that ends in `_` looks like writing in place. It makes a new array and rebinds the Tensor to it, as
    the operators do (see `tensor.py`); only views and what shares the Tensor's elements see the change.
    """

    __slots__ = ()

    # -- what looks like writing in place

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


def _scaled(value: Any, factor: float) -> Any:
    return value if factor == 1 else value * factor


def _axis(dim: Any) -> Any:
    return tuple(dim) if isinstance(dim, list) else dim


def _dtype(dtype: Any, like: Any) -> Any:
    return None if dtype is None else dtype_named(dtype, namespace(like))


def _is_dtype(target: Any) -> bool:
    if isinstance(target, str):
        return target.rstrip("0123456789") in ("float", "int", "uint", "bool", "bfloat", "complex")
    return "dtype" in type(target).__name__.lower() or isinstance(target, type)


def _extremum(x: Any, index_of: Any, dim: int, keepdim: bool) -> ValuesAndIndices:
    """The first extremum along `dim`; it alone gets the gradient, as in PyTorch."""
    indices = index_of(x, axis=dim, keepdims=True)
    values = ops.take_along_axis(x, indices, axis=dim)
    if keepdim:
        return ValuesAndIndices(values, indices)
    return ValuesAndIndices(values.squeeze(dim), indices.squeeze(dim))
