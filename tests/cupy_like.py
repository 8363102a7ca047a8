"""An array library that refuses what CuPy refuses, on NumPy: for machines without a GPU.

CuPy's arrays don't turn into NumPy's by themselves, don't mix with them, and every look at a value makes the
host wait for the device. Code that passes here has none of the three by accident; `syncs` counts the
looks, so that a test can hold that a training step takes none.
"""

from __future__ import annotations

import functools
import operator
import sys
from typing import Any

import array_api_compat.numpy as _xp
import numpy as _np

__array_api_version__ = "2024.12"

syncs = 0  # how often a value was read on the host so far


def _look() -> None:
    global syncs
    syncs += 1


class ndarray:  # noqa: N801 - CuPy's name
    """An array "on the device"."""

    __slots__ = ("_values",)
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
    device = property(lambda self: "gpu:0")
    T = property(lambda self: ndarray(self._values.T))
    mT = property(lambda self: ndarray(self._values.mT))  # noqa: N815 - the standard's name

    def get(self) -> Any:
        _look()
        return self._values.copy()

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Any:
        if self._values.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._values[_index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[_index(index)] = _unwrap(value)

    def __repr__(self) -> str:
        return f"cupy_like.{self._values!r}"


def _index(index: Any) -> Any:
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if isinstance(part, ndarray) and part.dtype == bool:
            _look()  # the size of the result depends on the values
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


def _on_device(function: Any) -> Any:
    @functools.wraps(function, updated=())
    def wrapper(*args: Any, **options: Any) -> Any:
        options = {name: _unwrap(value) for name, value in options.items() if name != "device"}
        return _wrap(function(*map(_unwrap, args), **options))

    return wrapper


def _operator(name: str) -> Any:
    def method(self: ndarray, *others: Any) -> Any:
        result = getattr(self._values, name)(*map(_unwrap, others))
        return result if result is NotImplemented else _wrap(result)

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
        return ndarray(_xp.asarray(obj._values, dtype=dtype, copy=copy))
    return ndarray(_np.array(obj, dtype=dtype))


def __getattr__(name: str) -> Any:
    """Everything else is NumPy's, wrapped at its first use."""
    value = getattr(_xp, name)
    if name == "linalg":
        value = _Linalg()
    elif callable(value) and not isinstance(value, type | _np.dtype):
        value = _on_device(value)
    globals()[name] = value
    return value


class _Linalg:
    def __getattr__(self, name: str) -> Any:
        return _on_device(getattr(_xp.linalg, name))
