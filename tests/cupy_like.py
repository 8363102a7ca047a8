"""An array library that refuses what CuPy refuses, on NumPy: for machines without a GPU.

CuPy's arrays don't turn into NumPy's by themselves, don't mix with them, and every look at a value makes the
host wait for the device. Code that passes here has none of the three by accident; `syncs` counts the
looks, so that a test can hold that a training step takes none, and `launches` what CuPy would launch on the
device. `RawModule` runs kernels in CUDA C++ on the CPU (see `cuda_on_cpu`).
"""

from __future__ import annotations

import functools
import operator
import sys
import weakref as _weakref
from collections import Counter
from types import SimpleNamespace
from typing import Any
from weakref import WeakValueDictionary

import array_api_compat.numpy as _xp
import cuda_on_cpu as _cuda
import cupy_like_cuda as cuda
import cupy_like_graphs as _graphs
import numpy as _np

__array_api_version__ = "2024.12"

syncs = 0  # how often a value was read on the host so far
launches: Counter[str] = Counter()  # how often the device was given work so far, by what

_WITHOUT_WORK = ("empty", "empty_like")
_OF_CUBLAS = ("matmul", "__matmul__", "__rmatmul__", "tensordot", "vecdot", "einsum", "dot", "inner")
_OF_CUSOLVER = (
    "cholesky",
    "det",
    "eigh",
    "eigvalsh",
    "inv",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
)


def _look() -> None:
    global syncs
    syncs += 1
    _graphs.refuse("a value is read")


Device = cuda.Device
stream = cuda.Stream.null  # the one that work is queued on


class ndarray:  # noqa: N801 - CuPy's name
    """An array "on the device"."""

    __slots__ = ("__weakref__", "_values")
    __array_priority__ = 100
    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, values: Any) -> None:
        self._values = _np.asarray(values)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return sys.modules[__name__]

    dtype = property(lambda self: self._values.dtype)
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    device = property(lambda self: cuda.Device())
    flags = property(lambda self: self._values.flags)
    strides = property(lambda self: self._values.strides)
    itemsize = property(lambda self: self._values.itemsize)
    data = property(lambda self: SimpleNamespace(ptr=_address(self._values)))
    T = property(lambda self: ndarray(self._values.T))
    mT = property(lambda self: ndarray(self._values.mT))  # noqa: N815 - the standard's name

    def get(self) -> Any:
        _look()
        return self._values.copy()

    def set(self, host: Any, stream: Any = None) -> None:
        """From the host, by a stream: until that has been waited for, there is nothing to read."""
        if host.dtype != self.dtype or host.shape != self.shape or not self._values.flags.c_contiguous:
            raise ValueError(f"cannot copy {host.dtype} {host.shape} into {self.dtype} {self.shape}")
        _graphs.refuse("a copy from the host")
        launches["upload"] += 1
        there, memory = _weakref.ref(self), self._values

        def write(values: Any) -> None:
            memory[...] = values
            array = there()
            if array is not None:
                array.__class__ = ndarray

        self.__class__ = _OnItsWay
        cuda.copy_later(self, host, write, stream or cuda.get_current_stream())

    def reshape(self, shape: tuple[int, ...]) -> ndarray:
        return _work("reshape", _np.reshape, (self._values, shape))

    def astype(self, dtype: Any, *, copy: bool = True) -> ndarray:
        return _work("astype", _np.ndarray.astype, (self._values, dtype), {"copy": copy})

    def swapaxes(self, axis: int, other: int) -> ndarray:
        return ndarray(self._values.swapaxes(axis, other))

    def transpose(self, axes: tuple[int, ...]) -> ndarray:
        return ndarray(self._values.transpose(axes))

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        if self._values.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        return _work("getitem", _part, (self._values, _index(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        launches["setitem"] += 1
        given = (self._values, _index(index), _unwrap(value))
        _graphs.do(operator.setitem, given, {}, writes=(self._values,))

    def __repr__(self) -> str:
        return f"cupy_like.{self._values!r}"


shown: WeakValueDictionary[int, _np.ndarray] = WeakValueDictionary()  # arrays whose address was asked for


def _address(values: _np.ndarray) -> int:
    shown[values.ctypes.data] = values
    return values.ctypes.data


class _OnItsWay(ndarray):
    """An array whose values a stream is still to bring."""

    __slots__ = ()

    dtype = property(lambda self: ndarray._values.__get__(self).dtype)
    shape = property(lambda self: ndarray._values.__get__(self).shape)
    ndim = property(lambda self: ndarray._values.__get__(self).ndim)
    size = property(lambda self: ndarray._values.__get__(self).size)

    @property
    def _values(self) -> Any:
        raise RuntimeError("an array was used before the copy into it was waited for")


def _part(values: _np.ndarray, index: Any) -> Any:
    found = values[index]
    if isinstance(found, _np.generic):  # a number: CuPy gives a view without axes
        found = values[(*(index if isinstance(index, tuple) else (index,)), ...)]
    return found


def _index(index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, ndarray) and part.dtype == bool:
            _look()  # the size of the result depends on the values
        if isinstance(part, list):
            _graphs.refuse("a copy from the host")
    return tuple(map(_unwrap, parts)) if isinstance(index, tuple) else _unwrap(index)


def _unwrap(value: Any) -> Any:
    if isinstance(value, ndarray):
        return value._values
    if isinstance(value, _np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if type(value) in (list, tuple):
        return type(value)(map(_unwrap, value))
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, _np.ndarray | _np.generic):
        return ndarray(value)
    if isinstance(value, tuple):
        parts = map(_wrap, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_wrap(part) for part in value]
    return value


def _work(name: str, function: Any, args: tuple[Any, ...], options: dict[str, Any] | None = None) -> Any:
    """A result on the device, whose making is counted: what shows the memory of an argument was no work, and
    neither are numbers."""
    if name in _OF_CUBLAS:
        _graphs.refuse_library("cuBLAS")
    result = _graphs.do(function, args, options or {})
    if result is NotImplemented:
        return result
    first = result[0] if isinstance(result, tuple | list) and result else result
    if isinstance(first, _np.ndarray | _np.generic) and name not in _WITHOUT_WORK:
        shown = [arg for arg in args if isinstance(arg, _np.ndarray) and _np.may_share_memory(first, arg)]
        if not shown:
            launches[name] += 1
    return _wrap(result)


def _on_device(function: Any) -> Any:
    @functools.wraps(function, updated=())
    def wrapper(*args: Any, **options: Any) -> Any:
        options = {name: _unwrap(value) for name, value in options.items() if name != "device"}
        return _work(function.__name__, function, tuple(map(_unwrap, args)), options)

    return wrapper


def _operator(name: str) -> Any:
    in_place = name.startswith("__i") and name not in ("__invert__",)
    function = getattr(_np.ndarray, name)

    def method(self: ndarray, *others: Any) -> Any:
        given = (self._values, *map(_unwrap, others))
        if in_place:  # which CuPy, too, does in the memory of this array
            launches[name] += 1
            return _wrap(_graphs.do(function, given, {}, writes=(self._values,)))
        return _work(name, function, given)

    return method


def _reader(convert: Any) -> Any:
    def method(self: ndarray) -> Any:
        _look()
        return convert(self._values)

    return method


for _name in [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]:
    for _prefix in ("", "r", "i"):
        setattr(ndarray, f"__{_prefix}{_name}__", _operator(f"__{_prefix}{_name}__"))
for _name in ["lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"]:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name, _convert in {
    "__bool__": bool,
    "__int__": int,
    "__float__": float,
    "__index__": operator.index,
    "item": _np.ndarray.item,
}.items():
    setattr(ndarray, _name, _reader(_convert))


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> ndarray:
    """From the host or the device; CuPy copies what comes from the host."""
    if isinstance(obj, ndarray):
        return _wrap(_graphs.do(_xp.asarray, (obj._values,), {"dtype": dtype, "copy": copy}))
    _graphs.refuse("a copy from the host")
    launches["upload"] += 1
    return ndarray(_np.array(obj, dtype=dtype))


_memory_pool = cuda.MemoryPool()


def get_default_memory_pool() -> Any:
    """The one pool of memory."""
    return _memory_pool


def __getattr__(name: str) -> Any:
    """Everything else is NumPy's, wrapped at its first use."""
    value = getattr(_xp, name)
    if name == "linalg":
        value = _Linalg()
    elif callable(value) and not isinstance(value, type | _np.dtype):
        value = _on_device(value)
    globals()[name] = value
    return value


class RawModule(_cuda.RawModule):
    """Kernels in CUDA C++, run by the CPU."""

    def get_function(self, name: str) -> Any:
        run = super().get_function(name)

        def counted(grid: tuple, block: tuple, args: tuple, **options: Any) -> None:
            launches[f"kernel {name}"] += 1
            written = tuple(arg._values for arg in args if isinstance(arg, ndarray))

            def work(*given: Any) -> None:
                run(grid, block, tuple(map(_wrapped, given)), **options)

            _graphs.do(work, tuple(map(_unwrap, args)), {}, writes=written)

        return counted


def _wrapped(value: Any) -> Any:
    return ndarray(value) if isinstance(value, _np.ndarray) else value


class _Linalg:
    def __getattr__(self, name: str) -> Any:
        function = _on_device(getattr(_xp.linalg, name))

        @functools.wraps(function, updated=())
        def asking(*args: Any, **options: Any) -> Any:
            if name in _OF_CUSOLVER:
                _graphs.refuse_library("cuSOLVER")
            return function(*args, **options)

        return asking
