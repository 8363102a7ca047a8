"""New Tensors: of zeros, ones, numbers in a row, and of what other objects hold.

They are of the current backend and its device; those of `..._like` and `new_...` of that of the Tensor they
are named after. `layout`, `pin_memory` and `memory_format` are accepted where they ask for what is the case.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.ops.rules import stored
from xpnn.backend import (
    ArgumentError,
    Array,
    Backend,
    DType,
    DTypeError,
    ShapeError,
    asarray,
    backend_of,
    default_integer,
    device_of,
    dtype_named,
    from_bytes,
    get_backend,
    get_default_dtype,
    get_device,
    is_array,
    item,
    move,
    python_scalar,
    refusing,
    refusing_methods,
    rows,
)
from xpnn.backend.layouts import check_memory_format

if TYPE_CHECKING:
    from xpnn.autograd.tensor import Tensor

__all__ = [
    *("arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "frombuffer", "full", "full_like"),
    *("linspace", "logspace", "ones", "ones_like", "range", "tril_indices", "triu_indices"),
    *("zeros", "zeros_like"),
]

# What may be asked for because there is nothing else, as PyTorch's programs do.
_AS_IT_IS = {"layout": ("None", "strided", "torch.strided", "xpnn.strided"), "pin_memory": ("False", "None")}


class Place(NamedTuple):
    """Where a new array is made: the library, and its device."""

    backend: Backend
    device: Any

    def options(self, dtype: Any) -> dict[str, Any]:
        """What the library's creation functions are given."""
        return {"dtype": dtype_named(dtype, self.backend.xp), "device": self.device}


def place_of(device: Any = None, like: Any = None) -> Place:
    """Where a Tensor is made: on `device`, or on that of `like`, or else on the current one."""
    backend = get_backend() if like is None else backend_of(like)
    if device is not None:
        return Place(backend, backend.find_device(device))
    return Place(backend, get_device() if like is None else device_of(like))


@refusing
def zeros(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """A Tensor of zeros.

    Args:
        size: of each axis, as numbers or in one sequence.
        dtype: default is the default dtype. device: default is the current backend's.
        requires_grad: whether gradients are wanted.
        options: see the module; `out` is refused.

    Raises: ShapeError for a negative size, DTypeError for what is none.

    >>> zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return _filled(size, 0, dtype, device, requires_grad, options, "zeros")


@refusing
def ones(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """A Tensor of ones; see `zeros`.

    >>> ones((2,), dtype="int64")
    tensor([1, 1])
    """
    return _filled(size, 1, dtype, device, requires_grad, options, "ones")


@refusing
def empty(
    *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """A Tensor whose elements are to be written before they are read; see `zeros`.

    >>> empty(2, 0).shape
    (2, 0)
    """
    shape = sizes_of(size, options, "empty")
    place = place_of(device)
    array = place.backend.xp.empty(shape, **place.options(get_default_dtype() if dtype is None else dtype))
    return finished(array, requires_grad, options, "empty")


@refusing
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """A Tensor of one number in each element; see `zeros`.

    Args:
        fill_value: a number; without `dtype`, an integer makes int64, a truth value bool.

    >>> full((2,), 7)
    tensor([7, 7])
    """
    return _filled(
        (size,), fill_value, dtype or _kind(fill_value, device), device, requires_grad, options, "full"
    )


@refusing
def zeros_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """Zeros of the shape, element type and device of a Tensor, where not told otherwise.

    >>> zeros_like(ones(2, dtype="int64"))
    tensor([0, 0])
    """
    return _filled_like(input, 0, dtype, device, requires_grad, options, "zeros_like")


@refusing
def ones_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """Ones of the shape, element type and device of a Tensor, where not told otherwise.

    >>> ones_like(zeros(2))
    tensor([1., 1.])
    """
    return _filled_like(input, 1, dtype, device, requires_grad, options, "ones_like")


@refusing
def empty_like(
    input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **options: Any
) -> Tensor:
    """A Tensor as `empty` makes it, of the shape, element type and device of another one.

    >>> empty_like(zeros(2, 0)).shape
    (2, 0)
    """
    raw, place = _model(input, device, "empty_like")
    array = place.backend.xp.empty(tuple(raw.shape), **place.options(raw.dtype if dtype is None else dtype))
    return finished(array, requires_grad, options, "empty_like")


@refusing
def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """One number in each element, in the shape, element type and device of a Tensor.

    >>> full_like(zeros(2), 3)
    tensor([3., 3.])
    """
    return _filled_like(input, fill_value, dtype, device, requires_grad, options, "full_like")


@refusing
def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """start, start + step, ... up to and without `end`; with one number that is the end, and the start 0.

    Args:
        start, end, step: numbers, or Tensors of one; int64 if all are whole, else the default dtype.

    Raises: ArgumentError for a step that does not lead from start to end.

    >>> arange(3), arange(1.0, 2.0, 0.5)
    (tensor([0, 1, 2]), tensor([1.0000, 1.5000]))
    """
    if start is None or end is None:
        start, end = 0, start if end is None else end
    values = rows.steps(*_in_kind(dtype, start, end, step))
    return _from_host(values, dtype, device, requires_grad, options, "arange")


@refusing
def range(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """start, start + step, ... up to and with `end`, of the default dtype; `arange` is the usual one.

    >>> range(0, 2)
    tensor([0., 1., 2.])
    """
    start, end = (0, start) if end is None else (start, end)
    start, end, step = map(_number, (start, end, step))
    count = int((end - start) / step) + 1 if step else 0
    values = rows.evenly(start, start + step * (count - 1), count)
    return _from_host(values, dtype, device, requires_grad, options, "range")


@refusing
def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """`steps` numbers from start to end, both included, at equal distances.

    >>> linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    first, last = _in_kind(dtype, *_ends(start, end, "linspace"))
    values = rows.evenly(first, last, _count(steps, "linspace"))
    return _from_host(values, dtype, device, requires_grad, options, "linspace")


@refusing
def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """`base` to the power of each number of `linspace(start, end, steps)`.

    >>> logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    first, last = _in_kind(dtype, *_ends(start, end, "logspace"))
    values = base ** rows.evenly(first, last, _count(steps, "logspace"))
    return _from_host(values, dtype, device, requires_grad, options, "logspace")


@refusing
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **options: Any,
) -> Tensor:
    """The (n, m) matrix with ones on its diagonal; without `m`, the (n, n) one.

    >>> eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    place = place_of(device)
    named = place.options(get_default_dtype() if dtype is None else dtype)
    shape = (_count(n, "eye"), _count(n if m is None else m, "eye"))
    return finished(place.backend.xp.eye(*shape, **named), requires_grad, options, "eye")


@refusing
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, **options: Any
) -> Tensor:
    """(2, n): the rows and columns of the cells on and below a diagonal of a (row, col) matrix.

    >>> tril_indices(2, 2)
    tensor([[0, 1, 1],
            [0, 0, 1]])
    """
    return _from_host(rows.triangle(row, col, offset, True), dtype, device, False, options, "tril_indices")


@refusing
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, **options: Any
) -> Tensor:
    """(2, n): the rows and columns of the cells on and above a diagonal of a (row, col) matrix.

    >>> triu_indices(2, 2)
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    return _from_host(rows.triangle(row, col, offset, False), dtype, device, False, options, "triu_indices")


@refusing
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A Tensor of numbers, lists or an array; a Tensor of that element type and device as it is.

    A Tensor stays on the tape. An array of the current backend is wrapped and not copied: what is written
    into the array shows in the Tensor, until something is written into the Tensor.

    >>> x = ones(2)
    >>> as_tensor(x) is x, as_tensor([1, 2])
    (True, tensor([1, 2]))
    """
    if isinstance(data, TensorBase):
        return data.to(dtype=dtype, device=device)  # type: ignore[attr-defined]
    if isinstance(data, list | tuple) and any(isinstance(part, TensorBase) for part in data):
        stacked = ops.stack([as_tensor(part) for part in data])
        return stacked.to(dtype=dtype, device=device)
    return new_tensor(asarray(data, dtype, device))


@refusing
def from_numpy(ndarray: Any) -> Tensor:
    """A Tensor of an array, on the current backend, in its element type; wrapped and not copied where it can.

    Where the memory is shared, what is written into the array shows in the Tensor, until something is written
    into the Tensor: Tensors are values, and a write makes a new array.

    Raises: DTypeError for what is no array.

    >>> import numpy as np
    >>> from_numpy(np.arange(2.0))
    tensor([0., 1.], dtype=xpnn.float64)
    """
    if isinstance(ndarray, TensorBase) or not is_array(ndarray):
        raise DTypeError(
            f"expects an array, got {type(ndarray).__name__}",
            subject="from_numpy",
            hint="Of anything else use xpnn.tensor(...)",
        )
    return new_tensor(asarray(ndarray))


@refusing
def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector of the numbers in a buffer (bytes, a bytearray, a memory map), on the current backend.

    What is written into the buffer later need not show.

    Args:
        buffer: what has Python's buffer protocol.
        dtype: the element type of the numbers in it.
        count: how many of them; -1 is all after `offset`.
        offset: the bytes to leave out.

    Raises: ArgumentError for a buffer that is too short, or no whole number of elements; DTypeError for what
    is no buffer, or an element type that the backend lacks.

    >>> frombuffer(bytes([1, 0, 2, 0]), dtype="int16").tolist()
    [1, 2]
    """
    wanted = DType(dtype)
    try:
        view = memoryview(buffer).cast("B")
    except TypeError as error:
        raise DTypeError(f"expects a buffer, got {type(buffer).__name__}", subject="frombuffer") from error
    left, width = view.nbytes - offset, wanted.itemsize
    if offset < 0 or left <= 0 or (count < 0 and left % width) or count == 0 or count * width > left:
        raise ArgumentError(
            f"expects {'a whole number of' if count < 0 else count} elements of {width} bytes from byte "
            f"{offset} on, got a buffer of {view.nbytes} bytes",
            subject="frombuffer",
        )
    stop = offset + (left if count < 0 else count * width)
    raw = asarray(from_bytes(bytes(view[offset:stop]), wanted.name), dtype=wanted)
    return new_tensor(raw).requires_grad_(requires_grad)


@refusing_methods
class NewLike(TensorBase):
    """The methods of `Tensor` that make others in its element type and on its device."""

    __slots__ = ()

    def new_zeros(self, *size: Any, **options: Any) -> Tensor:
        """Zeros of another shape; see `zeros`.

        >>> ones(2, dtype="float64").new_zeros(1)
        tensor([0.], dtype=xpnn.float64)
        """
        return _new_filled(self, size, 0, options, "new_zeros")

    def new_ones(self, *size: Any, **options: Any) -> Tensor:
        """Ones of another shape; see `zeros`."""
        return _new_filled(self, size, 1, options, "new_ones")

    def new_full(self, size: Any, fill_value: Any, **options: Any) -> Tensor:
        """One number in each element of another shape."""
        return _new_filled(self, (size,), fill_value, options, "new_full")

    def new_empty(self, *size: Any, **options: Any) -> Tensor:
        """Elements of another shape, to be written before they are read."""
        return _new_filled(self, size, 0, options, "new_empty")

    def new_tensor(
        self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
    ) -> Tensor:
        """A copy of numbers, lists or an array; see `tensor`."""
        place = place_of(device, self.array)
        raw = asarray(data, self.dtype if dtype is None else dtype, copy=True)
        return finished(move(raw, place.backend, place.device), requires_grad, {}, "new_tensor")


def sizes_of(size: tuple[Any, ...], options: dict[str, Any], subject: str) -> tuple[int, ...]:
    """The shape that `f(2, 3)`, `f((2, 3))` and `f(size=(2, 3))` ask for."""
    if "size" in options:
        size = (*size, options.pop("size"))
    elif not size:
        raise ArgumentError("expects sizes of axes, got none", subject=subject, hint="Write () for 0-d")
    if len(size) == 1 and not is_array(size[0]) and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    try:
        shape = tuple([operator.index(n) for n in size])
    except TypeError:
        raise DTypeError(f"expects whole numbers as sizes, got {size!r:.80}", subject=subject) from None
    if any(n < 0 for n in shape):
        raise ShapeError(f"expects sizes of 0 or more, got {shape}", subject=subject)
    return shape


def finished(array: Array, requires_grad: bool, options: dict[str, Any], subject: str) -> Tensor:
    """The Tensor of a new array, after a look at the options that are PyTorch's."""
    if options.pop("out", None) is not None:
        raise ArgumentError(
            "does not write into `out`", subject=subject, hint="Write x = ..., or x.copy_(...)"
        )
    for name, value in options.items():
        if name not in (*_AS_IT_IS, "memory_format", "names"):
            raise TypeError(f"{subject}() got an unexpected keyword argument '{name}'")
        if name == "memory_format":
            check_memory_format(value, array.shape, subject)
        if name in _AS_IT_IS and str(value) not in _AS_IT_IS[name]:
            raise ArgumentError(f"knows no {name}={value!r:.60}", subject=subject)
    tensor = new_tensor(array)
    if requires_grad is not False:
        tensor.requires_grad = requires_grad
    return tensor


def _filled(
    size: tuple[Any, ...],
    value: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    options: dict[str, Any],
    subject: str,
) -> Tensor:
    place = place_of(device)
    dtype = get_default_dtype() if dtype is None else dtype
    array = _constant(place, sizes_of(size, options, subject), value, dtype)
    return finished(array, requires_grad, options, subject)


def _filled_like(
    input: Any,
    value: Any,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    options: dict[str, Any],
    subject: str,
) -> Tensor:
    raw, place = _model(input, device, subject)
    array = _constant(place, tuple(raw.shape), value, raw.dtype if dtype is None else dtype)
    return finished(array, requires_grad, options, subject)


def _new_filled(
    tensor: TensorBase, size: tuple[Any, ...], value: Any, options: dict[str, Any], subject: str
) -> Tensor:
    dtype, device = options.pop("dtype", None), options.pop("device", None)
    requires_grad = options.pop("requires_grad", False)
    place = place_of(device, tensor.array)
    shape = sizes_of(size, options, subject)
    array = _constant(place, shape, value, tensor.dtype if dtype is None else dtype)
    return finished(array, requires_grad, options, subject)


def _constant(place: Place, shape: tuple[int, ...], value: Any, dtype: Any) -> Array:
    """An array of one number, converted to the element type as an assignment converts it."""
    xp, options, value = place.backend.xp, place.options(dtype), _number(value)
    kind = DType(dtype)
    if isinstance(value, float) and not (kind.is_floating_point or kind.is_complex) and kind != "bool":
        value = int(value)
    if kind == "bool":
        value = bool(value)
    try:
        return xp.full(shape, value, **options)
    except OverflowError:
        return xp.full(shape, stored(value, options["dtype"], xp), **options)


def _model(input: Any, device: Any, subject: str) -> tuple[Array, Place]:
    """The raw array that a new one is to be like, and where the new one is made."""
    if not is_array(input):
        raise DTypeError(f"expects a Tensor, got {type(input).__name__}", subject=subject)
    raw = input.array if isinstance(input, TensorBase) else input
    return raw, place_of(device, raw)


def _from_host(
    values: Any, dtype: Any, device: Any, requires_grad: bool, options: dict[str, Any], subject: str
) -> Tensor:
    """Numbers of the host as a Tensor: floats in the default dtype where none is asked for."""
    place = place_of(device)
    if dtype is None and DType(values.dtype).is_floating_point:
        dtype = get_default_dtype()
    elif dtype is None and DType(values.dtype).is_complex:
        dtype = get_default_dtype().to_complex()
    return finished(move(values, place.backend, place.device, dtype), requires_grad, options, subject)


def _in_kind(dtype: Any, *values: Any) -> list[Any]:
    """Python numbers as PyTorch takes them for an element type: without their fractions for integers."""
    numbers = [_number(value) for value in values]
    kind = None if dtype is None else DType(dtype)
    if kind is None or kind.is_floating_point or kind.is_complex or kind == "bool":
        return numbers
    return [int(n) if isinstance(n, float) and math.isfinite(n) else n for n in numbers]


def _ends(start: Any, end: Any, subject: str) -> tuple[Any, Any]:
    """Both ends, checked: numbers, or Tensors without axes."""
    for name, value in (("start", start), ("end", end)):
        if is_array(value) and value.shape:
            raise ShapeError(
                f"expects {name} as a number or a Tensor of no axes, got the shape {tuple(value.shape)}",
                subject=subject,
            )
    return start, end


def _number(value: Any) -> Any:
    """A Python number of a number, or of an array of one."""
    return item(value) if is_array(value) and not value.shape else python_scalar(value)


def _kind(value: Any, device: Any) -> Any:
    """The element type of a Tensor of one number; None for the default."""
    value = _number(value)
    if isinstance(value, bool | int):
        return "bool" if isinstance(value, bool) else default_integer(place_of(device).backend.xp)
    return get_default_dtype() if isinstance(value, float) else get_default_dtype().to_complex()


def _count(value: Any, subject: str) -> int:
    (count,) = sizes_of((value,), {}, subject)
    return count
