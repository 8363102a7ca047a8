"""PyTorch's Tensor methods that are no functions: copies, conversions, and elements that are set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.backend import (
    DType,
    DTypeError,
    ShapeError,
    backend_of,
    device_of,
    dtype_name,
    dtype_named,
    find_backend,
    is_array,
    is_tensor,
    move,
    namespace,
    no_array,
    refusing_methods,
    registered_backends,
    to_numpy,
)
from xpnn.backend.layouts import check_memory_format, strided

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor  # the class that these methods become part of


# PyTorch's older names of Tensors, by element type.
_TYPE_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "float16": "HalfTensor",
    "bfloat16": "BFloat16Tensor",
    "uint8": "ByteTensor",
    "int8": "CharTensor",
    "int16": "ShortTensor",
    "int32": "IntTensor",
    "int64": "LongTensor",
    "bool": "BoolTensor",
}


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

    def apply_(self, callable: Any) -> Self:
        """Set each element to what a function of Python's makes of it: slow, and off the tape."""
        return self._computed(callable, (), "apply_")

    def map_(self, tensor: Any, callable: Any) -> Self:
        """Set each element to `callable(element, that of the other Tensor)`, off the tape; see `apply_`."""
        return self._computed(callable, (tensor,), "map_")

    def _computed(self, function: Any, others: tuple[Any, ...], name: str) -> Self:
        if not callable(function):
            raise DTypeError(f"expects a function, got {function!r:.60}", subject=name)
        for other in others:
            if not is_tensor(other):
                raise no_array(other, name, "tensor")
        self.off_tape(name)
        shape = tuple(self.shape)
        flat = [namespace(x.array).reshape(x.array, (-1,)) for x in (self, *others) if x.shape == self.shape]
        if len(flat) <= len(others):
            raise ShapeError(f"expects Tensors of one shape, {shape}", subject=name)
        values = [function(*each) for each in zip(*(to_numpy(x).tolist() for x in flat))]
        xp = namespace(self.array)
        made = xp.asarray(values, dtype=self.array.dtype, device=device_of(self.array))
        return self._rebind(new_tensor(xp.reshape(made, shape)), name)

    def _rebind(self, result: Tensor, operation: str) -> Any:
        """Become `result` (see `Tensor`)."""
        raise NotImplementedError


@refusing_methods
class Conversions(TensorBase):
    """The methods of `Tensor` that copy and convert; apart, because they are named like types."""

    __slots__ = ()

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy, on the tape; `memory_format` is checked and changes nothing (see `to`)."""
        check_memory_format(memory_format, self.shape, "clone")
        return ops.astype(self, self.dtype, copy=True)

    def to(
        self,
        *targets: Any,
        dtype: Any = None,
        device: Any = None,
        non_blocking: Any = False,
        copy: Any = False,
        memory_format: Any = None,
    ) -> Tensor:
        """Another element type, backend or device; itself if it is that already, and no `copy` is asked for.

        Args:
            targets: any of a dtype (`"float64"`), a backend (`"torch"`), a device (`"cuda:0"`) and a Tensor,
                whose element type, backend and device are taken; after these, as in PyTorch, `non_blocking`
                and `copy`.
            non_blocking, memory_format: change nothing: both are the library's affair.

        A change of dtype or of device within one library is recorded; a change of library is not, and is
        refused for a Tensor on the tape.
        """
        check_memory_format(memory_format, self.shape, "to")
        backend = backend_of(self.array)
        names = {known.name for known in registered_backends()}
        flags = [target for target in targets if target is True or target is False]
        for target in targets:
            if isinstance(target, TensorBase):
                backend, device, dtype = backend_of(target.array), device_of(target.array), target.dtype
            elif isinstance(target, str) and target in names:
                backend = find_backend(target)
            elif _is_dtype(target):
                dtype = target
            elif target is not None and target is not True and target is not False:
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
        return moved.clone() if moved is self and (copy or flags[1:] == [True]) else moved

    def to_device(self, device: Any, /, *, stream: Any = None) -> Tensor:
        """The standard's way to another device of the same library."""
        return ops.to_device(self, backend_of(self.array).find_device(device))

    def cpu(self, memory_format: Any = None) -> Tensor:
        """On the host, in the same library."""
        return self.to(device="cpu", memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: Any = False, memory_format: Any = None) -> Tensor:
        """On a GPU, in the same library. Raises: BackendError where that has none."""
        if device is None or isinstance(device, int):
            device = "cuda" if device is None else f"cuda:{device}"
        return self.to(device=device, memory_format=memory_format)

    def type(self, dtype: Any = None, non_blocking: Any = False) -> Any:
        """As another element type; the name that PyTorch gave to Tensors of this one, if none is named.

        >>> from xpnn.autograd import tensor
        >>> tensor([1, 2]).type(), tensor([1, 2]).type("float32")
        ('xpnn.LongTensor', tensor([1., 2.]))
        """
        if dtype is None:
            place = "xpnn.cuda" if self.is_cuda else "xpnn"
            return f"{place}.{_TYPE_NAMES.get(dtype_name(self.dtype), 'Tensor')}"
        if isinstance(dtype, str) and dtype.endswith("Tensor"):
            names = {older: name for name, older in _TYPE_NAMES.items()}
            dtype = names.get(dtype.rpartition(".")[2], dtype)
        return self.to(dtype=dtype)

    def get_device(self) -> int:
        """The number of the GPU that it is on; -1 on the host."""
        number = str(self.device).rpartition(":")[2]
        return (int(number) if number.isdigit() else 0) if self.is_cuda else -1

    @property
    def is_cuda(self) -> Any:
        """Whether it is on a GPU."""
        return any(word in str(self.device).lower() for word in ("cuda", "gpu"))

    @property
    def is_cpu(self) -> Any:
        """Whether it is on the host."""
        return not self.is_cuda

    def pin_memory(self, device: Any = None) -> Any:
        """Itself: the array library decides where on the host its memory is."""
        return self

    def is_pinned(self, device: Any = None) -> Any:
        """False; see `pin_memory`."""
        return False

    @property
    def layout(self) -> Any:
        """`xpnn.strided`, as all Tensors are."""
        return strided

    def new(self: Any, *args: Any) -> Any:
        """A Tensor of its element type and device, of sizes or of data: the older way to write `new_empty`.

        >>> from xpnn.autograd import tensor
        >>> tensor([1.0]).new([2, 3]), tensor([1.0]).new(2, 3).shape
        (tensor([2., 3.]), (2, 3))
        """
        if len(args) == 1 and (isinstance(args[0], (list, TensorBase)) or is_array(args[0])):
            return self.new_tensor(args[0])
        return self.new_empty(args[0] if len(args) == 1 and isinstance(args[0], tuple) else args)

    @property
    def is_sparse(self) -> Any:
        """False: there are no sparse Tensors."""
        return False

    @property
    def is_quantized(self) -> Any:
        """False: there is no quantization."""
        return False

    @property
    def is_nested(self) -> Any:
        """False: there are no nested Tensors."""
        return False

    @property
    def is_meta(self) -> Any:
        """False: all Tensors have elements."""
        return False

    @property
    def is_mps(self) -> Any:
        """Whether it is on an Apple GPU."""
        return str(self.device).startswith("mps")

    @property
    def is_xpu(self) -> Any:
        """Whether it is on an Intel GPU of PyTorch's."""
        return str(self.device).startswith("xpu")

    def is_inference(self) -> Any:
        """False: what is computed under `inference_mode` may be used everywhere."""
        return False

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """Itself, in another element type if one is named: there are no sparse Tensors."""
        return self if dtype is None else self.to(dtype=dtype)

    def is_floating_point(self) -> Any:
        """Whether the elements are real floating-point numbers."""
        return DType(self.dtype).is_floating_point

    def is_complex(self) -> Any:
        """Whether the elements are complex numbers."""
        return DType(self.dtype).is_complex

    def is_signed(self) -> Any:
        """Whether the elements may be negative."""
        return DType(self.dtype).is_signed

    def is_same_size(self, other: Any) -> Any:
        """Whether another Tensor has the same shape."""
        return self.shape == tuple(other.shape)

    def float(self, memory_format: Any = None) -> Tensor:
        """As float32."""
        return self.to("float32", memory_format=memory_format)

    def double(self, memory_format: Any = None) -> Tensor:
        """As float64."""
        return self.to("float64", memory_format=memory_format)

    def half(self, memory_format: Any = None) -> Tensor:
        """As float16."""
        return self.to("float16", memory_format=memory_format)

    def int(self, memory_format: Any = None) -> Tensor:
        """As int32."""
        return self.to("int32", memory_format=memory_format)

    def long(self, memory_format: Any = None) -> Tensor:
        """As int64."""
        return self.to("int64", memory_format=memory_format)

    def bool(self, memory_format: Any = None) -> Tensor:
        """As booleans."""
        return self.to("bool", memory_format=memory_format)

    def short(self, memory_format: Any = None) -> Tensor:
        """As int16."""
        return self.to("int16", memory_format=memory_format)

    def char(self, memory_format: Any = None) -> Tensor:
        """As int8."""
        return self.to("int8", memory_format=memory_format)

    def byte(self, memory_format: Any = None) -> Tensor:
        """As uint8."""
        return self.to("uint8", memory_format=memory_format)

    def bfloat16(self, memory_format: Any = None) -> Tensor:
        """As bfloat16."""
        return self.to("bfloat16", memory_format=memory_format)

    def cfloat(self, memory_format: Any = None) -> Tensor:
        """As complex64."""
        return self.to("complex64")

    def cdouble(self, memory_format: Any = None) -> Tensor:
        """As complex128."""
        return self.to("complex128")

    def type_as(self, other: Tensor) -> Tensor:
        """In the element type of another Tensor."""
        return self.to(dtype=other.dtype)


def _is_dtype(target: Any) -> bool:
    if isinstance(target, str):
        return target.rstrip("0123456789") in ("float", "int", "uint", "bool", "bfloat", "complex")
    return isinstance(target, DType | type) or "dtype" in type(target).__name__.lower()
