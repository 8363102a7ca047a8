"""Making, moving and asking about raw arrays."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from xpnn.backend.devices import device, device_named
from xpnn.backend.dtypes import dtype_name, get_default_dtype
from xpnn.backend.errors import DTypeError, XpnnError
from xpnn.backend.namespace import backend_of, is_array, is_tensor, namespace
from xpnn.backend.registry import Array, Backend, get_backend, get_device

# Names of element types; other names of a library are functions and modules.
_OF_A_DTYPE = re.compile(r"bool_?|b?(u?int|float|complex)\d\w*")


def asarray(obj: Any, dtype: Any = None, device: Any = None, *, copy: bool | None = None) -> Array:
    """A raw array of the current backend that holds `obj`.

    Args:
        obj: a number, nested sequences of numbers, a NumPy array, or an array of any backend (which is
            moved). A Tensor gives its raw array. An array of the other byte order is converted.
        dtype: the element type (of any library, or its name); None keeps an array's own, and makes
            Python floats float32, Python integers int64 and complex numbers complex64.
        device: the device; None is the current backend's.
        copy: True always copies, False never does, None copies where needed.

    Raises: GradientError for a Tensor that requires a gradient, which a raw array cannot carry on (`t.to()`
        converts it and keeps the graph); DTypeError for what are no numbers.

    >>> asarray([1.0, 2.0]).dtype.name
    'float32'
    """
    backend = get_backend()
    if is_array(obj):
        obj = admit(obj, "asarray()")
        if backend_of(obj) is not backend:
            obj, dtype = _on_host(obj, backend, dtype)
    else:
        obj = _from_python(obj, dtype)
        if dtype is None and obj.dtype.kind == "f" and get_default_dtype() == "bfloat16":
            dtype = "bfloat16"
    device = get_device() if device is None else backend.find_device(device)
    return _to_backend(obj, backend, dtype, device, copy)


def admit(array: Array, user: str) -> Array:
    """The raw array, as xpnn will compute with it, of an array or Tensor that is handed to `user`.

    Raises: DTypeError, GradientError for what cannot go there without a loss (see `Backend.admit`).

    >>> admit(np.asarray([1.0], dtype=">f4"), "a test").dtype.isnative
    True
    """
    if is_tensor(array):
        return array.off_tape(user)
    try:
        return backend_of(array).admit(array)
    except XpnnError as error:
        error.subject = error.subject or user
        raise


def move(array: Array, backend: Backend, device: Any = None, dtype: Any = None) -> Array:
    """A raw array as an array of `backend` on `device`; the same object if it is that already."""
    if backend_of(array) is not backend:
        array, dtype = _on_host(array, backend, dtype)
    return _to_backend(array, backend, dtype, device, None)


def to_numpy(array: Any) -> np.ndarray:
    """The values on the host as a NumPy array; shares memory with the original where it can.

    NumPy has no bfloat16; PyTorch's becomes float32.

    >>> to_numpy(asarray([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    if is_tensor(array):
        array = array.array
    if not is_array(array):
        return np.asarray(_from_python(array))
    return backend_of(array).to_numpy(array)


def device_of(array: Array) -> Any:
    """The device of a raw array or Tensor, in the form that creation functions take (`device=`)."""
    if is_tensor(array):
        array = array.array
    return backend_of(array).device_of(array)


def get_default_device() -> device:
    """The device that new Tensors are made on.

    >>> get_default_device().type
    'cpu'
    """
    backend, native = get_backend(), get_device()
    if native is None:
        native = device_of(backend.xp.empty((0,)))
    return device("cpu") if native is None else device_named(native, backend)


def default_dtype(xp: Any = None) -> Any:
    """The element type of new arrays in the namespace `xp` (the current backend's if None): float32, or what
    `set_default_dtype` has set.
    """
    return dtype_named(get_default_dtype(), get_backend().xp if xp is None else xp)


def default_integer(xp: Any) -> Any:
    """The element type of indices and counts in the namespace `xp`: int64, where the library has it."""
    return xp.__array_namespace_info__().default_dtypes()["integral"]


def dtype_named(name: Any, xp: Any) -> Any:
    """The library's own element type with the name of `name` (a string or a dtype of any library).

    Args:
        xp: a namespace of raw arrays or of Tensors.

    Raises: DTypeError if the library has none of that name.
    """
    word = dtype_name(name)
    dtype = getattr(getattr(xp, "raw_namespace", xp), word, None) if _OF_A_DTYPE.fullmatch(word) else None
    if dtype is None:
        if word == "bfloat16":
            raise DTypeError(
                "this library has no bfloat16",
                hint="Take float16 or float32, or a library that has it: xpnn.set_backend('torch')",
            )
        raise DTypeError(f"expected the name of a dtype, got {name!r:.60}", hint="For example 'float32'")
    return dtype


def no_array(value: Any, subject: str = "", name: str = "an argument") -> DTypeError:
    """The error for what came in an array's place.

    >>> str(no_array([1, 2], "relu", "input"))
    'relu expects input as an array or a Tensor, got [1, 2], a list. xpnn.tensor(...) makes one of numbers'
    """
    return DTypeError(
        f"expects {name} as an array or a Tensor, got {value!r:.60}, a {type(value).__name__}",
        subject=subject,
        hint="xpnn.tensor(...) makes one of numbers",
    )


def is_floating(array: Any) -> bool:
    """Whether the elements are real floating-point numbers, in the byte order of this machine.

    >>> is_floating(asarray([1.0])), is_floating(asarray([1]))
    (True, False)
    """
    try:
        dtype = array.dtype
    except AttributeError:
        raise no_array(array) from None
    if isinstance(dtype, np.dtype):  # by its letter: that takes a tenth of the time of `isdtype`
        if dtype.kind == "f":
            return dtype.isnative
        return dtype.name == "bfloat16"  # whose kind is V, "void"
    if hasattr(dtype, "is_floating_point"):  # PyTorch's
        return dtype.is_floating_point
    return _is_of_kind(array, "real floating")


def is_complex(array: Any) -> bool:
    """Whether the elements are complex numbers, in the byte order of this machine.

    >>> is_complex(asarray([1j])), is_complex(asarray([1.0]))
    (True, False)
    """
    try:
        dtype = array.dtype
    except AttributeError:
        raise no_array(array) from None
    if isinstance(dtype, np.dtype):
        return dtype.kind == "c" and dtype.isnative
    if hasattr(dtype, "is_complex"):  # PyTorch's
        return dtype.is_complex
    return _is_of_kind(array, "complex floating")


def is_half(array: Any) -> bool:
    """Whether the elements are floating-point numbers of 16 bits: float16 or bfloat16.

    >>> is_half(np.ones(2, np.float16)), is_half(np.ones(2, np.int16))
    (True, False)
    """
    return getattr(getattr(array, "dtype", None), "itemsize", 0) == 2 and is_floating(array)


def is_integer(array: Any) -> bool:
    """Whether the elements are integers, signed or not, in the byte order of this machine; booleans are none.

    >>> is_integer(asarray([1])), is_integer(asarray([True]))
    (True, False)
    """
    try:
        dtype = array.dtype
    except AttributeError:
        raise no_array(array) from None
    if isinstance(dtype, np.dtype):
        return dtype.kind in "iu" and dtype.isnative
    return _is_of_kind(array, "integral")


def python_scalar(value: Any) -> Any:
    """NumPy's scalars as Python's, so that they never widen a float32 array; anything else as it is.

    `np.float64` is a subclass of `float`, and yet promotes float32 arrays; so `np.generic` is asked for
    first.
    """
    return value.item() if isinstance(value, np.generic) else value


def item(array: Array) -> Any:
    """The single element of a raw array as a Python number."""
    return to_numpy(array).item()


def concrete(array: Array) -> bool:
    """Whether the values can be read: not those of the placeholders of jax.jit, torch.func, torch.compile."""
    if type(array) is np.ndarray:
        return True
    jax = sys.modules.get("jax")  # never imported for this question alone
    if jax is not None and isinstance(array, jax.core.Tracer):
        return False
    torch = sys.modules.get("torch")
    return torch is None or not isinstance(array, torch.Tensor) or not _is_wrapped(torch, array)


def traced_by_torch() -> bool:
    """Whether `torch.compile` traces the program now, which must not change what it looks at meanwhile."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.compiler.is_compiling()


def cheap_to_read(array: Array) -> bool:
    """Whether reading a value stalls no accelerator: False for arrays on a GPU or TPU.

    >>> cheap_to_read(np.ones(3))
    True
    """
    if type(array) is np.ndarray:
        return True
    device = str(device_of(array)).lower()
    return not any(name in device for name in _ACCELERATORS)


def extremes(array: Array) -> tuple[Any, Any]:
    """The smallest and the largest element, as Python numbers.

    They are looked for on the host: while `jax.jit` traces, JAX's functions are traced, even of an array
    whose values are known.

    >>> extremes(np.asarray([3, 1, 2]))
    (1, 3)
    """
    values = array if type(array) is np.ndarray else to_numpy(array)
    # a reduction itself takes half of the time of the function around it
    return np.minimum.reduce(values, axis=None).item(), np.maximum.reduce(values, axis=None).item()


def seen_in_range(indices: Array, count: int) -> bool:
    """Whether every index was seen to be in [0, count).

    The values are read only where that stalls nothing: not while `jax.jit` traces, and not on a GPU,
    which would have to finish all the work queued so far.

    >>> seen_in_range(np.asarray([0, 2]), 3), seen_in_range(np.asarray([-1, 2]), 3)
    (True, False)
    """
    if type(indices) is np.ndarray and indices.ndim == 1 and indices.size <= _FEW:
        values = indices.tolist()
        return not values or (min(values) >= 0 and max(values) < count)
    if size_of(indices.shape) == 0:
        return True
    if not (concrete(indices) and cheap_to_read(indices)):
        return False
    lowest, highest = extremes(indices)
    return lowest >= 0 and highest < count


def size_of(shape: tuple[int, ...]) -> int:
    """The number of elements of an array of that shape."""
    return math.prod(shape)


# Integers that Python looks through faster than NumPy.
_FEW = 32


# What `torch.func` and `torch.vmap` hand to a function wraps a tensor, and has no memory of its own; while
# `torch.compile` traces, a tensor has no values yet.
def _is_wrapped(torch: Any, array: Any) -> bool:
    if traced_by_torch():
        return True
    functorch = getattr(torch._C, "_functorch", None)
    return functorch is not None and functorch.is_functorch_wrapped_tensor(array)


_ACCELERATORS = ("cuda", "gpu", "rocm", "tpu", "mps", "xpu", "metal")


def _is_of_kind(array: Any, kind: str) -> bool:
    if is_tensor(array):
        array = array.array
    return namespace(array).isdtype(array.dtype, kind)


def _from_python(obj: Any, dtype: Any = None) -> np.ndarray:
    """Python data as a host array; unless `dtype` says otherwise, floats become float32 or complex64."""
    if isinstance(obj, list | tuple) and any(is_array(leaf) for leaf in _leaves(obj)):
        return np.asarray(_to_lists(obj))
    try:
        array = np.asarray(obj)
    except ValueError as error:
        raise DTypeError(f"expected numbers in a regular nesting, got {obj!r:.80} ({error})") from None
    if array.dtype.kind not in "bifuc":
        raise DTypeError(f"expected numbers, got {type(obj).__name__}: {obj!r:.80}")
    if dtype is None and not isinstance(obj, np.generic):
        default = get_default_dtype()
        if array.dtype.kind == "c":
            return array.astype(default.to_complex().name, copy=False)
        if array.dtype.kind == "f":  # NumPy has no bfloat16
            return array.astype("float32" if default == "bfloat16" else default.name, copy=False)
    return array


def _leaves(obj: Any) -> Iterator[Any]:
    if isinstance(obj, list | tuple):
        for element in obj:
            yield from _leaves(element)
    else:
        yield obj


def _to_lists(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return [_to_lists(e) for e in obj]
    return to_numpy(admit(obj, "a conversion of a list") if is_array(obj) else obj)


def _on_host(array: Array, backend: Backend, dtype: Any) -> tuple[np.ndarray, Any]:
    """The values on the host for another library, and the element type that they are to have there."""
    values = to_numpy(array)
    if dtype_name(array.dtype) == "bfloat16":  # which NumPy lacks
        values = values.astype(np.float32, copy=False)
        if dtype is None and hasattr(backend.xp, "bfloat16"):
            dtype = "bfloat16"
    return values, dtype


def _to_backend(array: Array, backend: Backend, dtype: Any, device: Any, copy: bool | None) -> Array:
    xp = backend.xp
    options: dict[str, Any] = {} if device is None else {"device": device}
    if isinstance(array, np.ndarray):
        array = admit(array, "a conversion")
    if isinstance(array, np.ndarray) and backend.name != "numpy":
        if dtype is not None and hasattr(np, dtype_name(dtype)):  # converted on the host, where it is exact
            array = array.astype(dtype_name(dtype), copy=False)
        if copy or not array.flags.writeable or any(step < 0 for step in array.strides):
            array, copy = array.copy(), None  # PyTorch would share the memory, or refuse it
    if dtype is not None:
        options["dtype"] = dtype_named(dtype, xp)
    if copy is not None:
        options["copy"] = copy
    return xp.asarray(array, **options)


def from_bytes(data: bytes, dtype: str) -> np.ndarray:
    """The numbers that bytes are, as a vector on the host that may be written into.

    Those of bfloat16, which NumPy lacks, are float32 numbers: they are the upper half of such a one.

    >>> from_bytes(bytes([1, 0]), "int16").tolist()
    [1]
    """
    if dtype == "bfloat16":
        return (np.frombuffer(data, "uint16").astype("uint32") << 16).view("float32")
    return np.frombuffer(data, dtype).copy()
