"""MLX: Apple's arrays, for its own GPUs and for CPUs and CUDA elsewhere; lazy. Experimental.

Its namespace is near the standard's. What differs is put right here: names of arguments, element types of
results, and float64, of which some functions keep the digits of float32 only.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from xpnn.backend.errors import ArgumentError
from xpnn.backend.registry import Array, Backend, register_backend

_CREATORS = ("arange", "empty", "eye", "linspace", "ones", "zeros")
_LIKE = ("empty_like", "full_like", "ones_like", "zeros_like")
_COUNTS = ("argmax", "argmin", "count_nonzero", "searchsorted")  # indices, which are int64 to the standard
_TOTALS = ("prod", "sum")
_FLOATS = ("real floating", "complex floating")
_RUNNING = {"cumulative_prod": 1, "cumulative_sum": 0}  # and what they begin with
_ON_HOST: dict[str, Callable[..., tuple[Array, ...]]] = {  # in float64; and their derivatives
    "cos": lambda xp, y, x: (-xp.sin(x),),
    "exp": lambda xp, y, x: (y,),
    "logaddexp": lambda xp, y, x1, x2: (xp.exp(x1 - y), xp.exp(x2 - y)),
    "sin": lambda xp, y, x: (xp.cos(x),),
}
_PRODUCTS = ("matmul", "tensordot", "vecdot")


class _Namespace(ModuleType):
    """MLX's functions, as the standard calls them."""

    __array_api_version__ = "2024.12"

    def __init__(self, mx: ModuleType) -> None:
        super().__init__("mlx.core")
        self._mx = mx
        self.bool = mx.bool_
        for names, adapt in (
            (_CREATORS, self._creator),
            (_LIKE, self._like),
            (_COUNTS, self._count),
            (_TOTALS, self._total),
            (_RUNNING, self._running),
            (_ON_HOST, self._precise),
            (_PRODUCTS, self._product),
        ):
            for name in names:
                setattr(self, name, adapt(name, getattr(mx, name)))
        self.linalg = _linalg(self, mx)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__array_namespace_info__":
            raise AttributeError(name)
        value = getattr(self._mx, name)
        setattr(self, name, value)
        return value

    # -- what makes arrays

    def asarray(
        self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
    ) -> Array:
        if isinstance(obj, np.ndarray | np.generic):
            dtype = self._dtype_of(obj) if dtype is None else dtype
            values = np.ascontiguousarray(obj).reshape(obj.shape)  # the former makes vectors of 0-d arrays
            return self._mx.array(values.astype(values.dtype.newbyteorder("="), copy=False), dtype=dtype)
        if isinstance(obj, self._mx.array):
            array = obj if dtype is None or obj.dtype == dtype else obj.astype(dtype)
            return self._mx.array(array) if copy and array is obj else array
        return self._mx.array(obj) if dtype is None else self._mx.array(obj, dtype=dtype)

    def _dtype_of(self, values: Any) -> Any:
        """Of NumPy's; without it float64 would become float32."""
        return getattr(self, {"complex128": "complex64"}.get(values.dtype.name, values.dtype.name))

    def full(self, shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
        return self._mx.full(shape, fill_value, dtype=dtype)

    def _creator(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        def create(*args: Any, dtype: Any = None, device: Any = None, **options: Any) -> Array:
            if name == "eye" and len(args) == 1:
                args = (args[0], options.pop("n_cols", None))
            if name == "linspace":  # in the digits of the result
                values = np.linspace(*args, **options)
                return self.asarray(values, dtype=self.float32 if dtype is None else dtype)
            return function(*args, **options) if dtype is None else function(*args, dtype=dtype, **options)

        return create

    def _like(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        def create(x: Array, /, *args: Any, dtype: Any = None, device: Any = None, **options: Any) -> Array:
            args = (*args, *options.values())  # fill_value, by its name
            return function(x, *args, dtype=dtype or x.dtype)

        return create

    def astype(self, x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
        return self._constant(x.astype(dtype))

    def _constant(self, array: Array) -> Array:
        """The array; one of integers `mx.grad` does not follow, else it refuses them as indices."""
        return array if self.isdtype(array.dtype, _FLOATS) else self._mx.stop_gradient(array)

    # -- what computes

    def _count(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *args, **options: self.astype(function(*args, **options), self._mx.int64)

    def _total(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        def total(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Array:
            if dtype is None and self.isdtype(x.dtype, ("bool", "signed integer")):
                dtype = self.int64
            elif dtype is None and self.isdtype(x.dtype, "unsigned integer"):
                dtype = self.uint64
            return function(x if dtype is None else x.astype(dtype), axis=axis, keepdims=keepdims)

        return total

    def _running(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        def running(
            x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
        ) -> Array:
            axis = 0 if axis is None else axis
            if dtype is None and self.isdtype(x.dtype, ("bool", "signed integer")):
                dtype = self.int64
            y = function(x if dtype is None else x.astype(dtype), axis=axis)
            if not include_initial:
                return y
            shape = [1 if k == axis % y.ndim else size for k, size in enumerate(y.shape)]
            return self._mx.concat([self._mx.full(shape, _RUNNING[name], dtype=y.dtype), y], axis=axis)

        return running

    def _precise(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        """In float64 by NumPy, which `mx.grad` cannot see into: it is told the derivatives."""
        on_host = self._mx.custom_function(
            lambda *arrays: self.asarray(getattr(np, name)(*map(np.asarray, arrays)))
        )

        def derivatives(arrays: Any) -> tuple[Array, ...]:
            arrays = arrays if isinstance(arrays, list | tuple) else (arrays,)
            return _ON_HOST[name](self, on_host(*arrays), *arrays)

        @on_host.vjp
        def pull(arrays: Any, gy: Array, y: Array) -> Any:
            found = [gy * derivative for derivative in derivatives(arrays)]
            return tuple(found) if len(found) > 1 else found[0]

        @on_host.jvp
        def push(arrays: Any, tangents: Any) -> Array:
            tangents = tangents if isinstance(tangents, list | tuple) else (tangents,)
            return sum(t * d for t, d in zip(tangents, derivatives(arrays)) if t is not None)

        def precise(*arrays: Array) -> Array:
            if any(array.dtype == self.float64 for array in arrays):
                return on_host(*self.broadcast_arrays(*(array.astype(self.float64) for array in arrays)))
            return function(*arrays)

        return precise

    def _product(self, name: str, function: Callable[..., Array]) -> Callable[..., Array]:
        def product(x1: Array, x2: Array, /, **options: Any) -> Array:
            dtype = self.result_type(x1, x2)
            if self.isdtype(dtype, ("bool", "integral")):  # which it refuses
                found = getattr(np, name)(np.asarray(x1), np.asarray(x2), **options)
                return self.asarray(np.asarray(found), dtype=dtype)
            return function(x1, x2, **options)

        return product

    def var(self, x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
        mean = self.mean(x, axis=axis, keepdims=True)
        total = self.sum(self.abs(x - mean) ** 2, axis=axis, keepdims=keepdims)
        return total / max(x.size / max(mean.size, 1) - correction, 0.0)

    def std(self, x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False) -> Array:
        return self.sqrt(self.var(x, axis=axis, correction=correction, keepdims=keepdims))

    def clip(self, x: Array, /, min: Any = None, max: Any = None) -> Array:
        return x if min is None and max is None else self._mx.clip(x, min, max)

    def sort(self, x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
        if descending:
            return self.take_along_axis(x, self.argsort(x, axis=axis, descending=True), axis=axis)
        return self._mx.sort(x, axis=axis)

    def argsort(self, x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
        """Among equals the first comes first either way: they stand the other way round in what is turned."""
        if not descending:
            return self.astype(self._mx.argsort(x, axis=axis), self.int64)
        turned = self.astype(self._mx.argsort(self.flip(x, axis=axis), axis=axis), self.int64)
        return x.shape[axis] - 1 - self.flip(turned, axis=axis)

    def concat(self, arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
        return self._mx.concat(list(arrays), axis=axis)

    def stack(self, arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
        return self._mx.stack(list(arrays), axis=axis)

    def reshape(self, x: Array, /, shape: Sequence[int], *, copy: bool | None = None) -> Array:
        return self._mx.reshape(x, shape)

    def roll(self, x: Array, /, shift: Any, *, axis: Any = None) -> Array:
        return self._mx.roll(x, shift, axis)

    def take(self, x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
        return self._mx.take(x, self._constant(indices), axis=axis)

    def take_along_axis(self, x: Array, indices: Array, /, *, axis: int = -1) -> Array:
        return self._mx.take_along_axis(x, self._constant(indices), axis=axis)

    def result_type(self, *operands: Any) -> Any:
        typed = [operand for operand in operands if not isinstance(operand, bool | int | float | complex)]
        return self._mx.result_type(*typed)

    def signbit(self, x: Array, /) -> Array:
        return (x < 0) | ((x == 0) & (1 / x < 0))

    def nonzero(self, x: Array, /) -> tuple[Array, ...]:
        return tuple(self.asarray(index) for index in np.nonzero(np.asarray(x)))


def _linalg(xp: _Namespace, mx: ModuleType) -> Any:
    """The extension, on the CPU where MLX computes it there only."""

    def on_cpu(name: str) -> Callable[..., Any]:
        return lambda *args, **options: getattr(mx.linalg, name)(*args, stream=mx.cpu, **options)

    def svd(x: Array, /, *, full_matrices: bool = True) -> tuple[Array, ...]:
        u, s, v = mx.linalg.svd(x, stream=mx.cpu)
        return (u, s, v) if full_matrices else (u[..., : s.shape[-1]], s, v[..., : s.shape[-1], :])

    def vector_norm(x: Array, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Array:
        sizes = xp.abs(x)
        if ord == math.inf:
            return xp.max(sizes, axis=axis, keepdims=keepdims)
        return xp.sum(sizes**ord, axis=axis, keepdims=keepdims) ** (1 / ord)

    def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
        return xp.sum(mx.diagonal(x, offset, -2, -1), axis=-1, dtype=dtype)

    names = ("cholesky", "det", "eigh", "eigvalsh", "inv", "pinv", "qr", "slogdet", "solve")
    return SimpleNamespace(
        __name__="mlx.core.linalg",
        **{name: on_cpu(name) for name in names},
        cross=mx.linalg.cross,
        diagonal=lambda x, /, *, offset=0: mx.diagonal(x, offset, -2, -1),
        matmul=xp.matmul,
        matrix_transpose=mx.matrix_transpose,
        outer=mx.outer,
        svd=svd,
        svdvals=lambda x, /: mx.linalg.svd(x, compute_uv=False, stream=mx.cpu),
        tensordot=xp.tensordot,
        trace=trace,
        vecdot=xp.vecdot,
        vector_norm=vector_norm,
    )


def _load() -> ModuleType:
    return _Namespace(importlib.import_module("mlx.core"))


def _to_numpy(array: Array) -> Any:
    mx = importlib.import_module("mlx.core")
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def _parse_device(device: Any) -> Any:
    """Arrays lie in memory that all devices share; operations run on MLX's default device."""
    mx = importlib.import_module("mlx.core")
    current = mx.default_device()
    if device is None or device == current or str(device).partition(":")[0] == _device_name(current):
        return current
    raise ArgumentError(
        f"backend 'mlx' computes on {_device_name(current)}, got the device {device!r:.60}",
        hint=f"To change it: mlx.core.set_default_device(mlx.core.{device})",
    )


def _device_name(device: Any) -> str:
    return device.type.name


def _probe() -> str:
    """It is imported where there is no library to compute with, too."""
    mx = importlib.import_module("mlx.core")
    mx.eval(mx.zeros(1) + 1)
    return _device_name(mx.default_device())


register_backend(
    Backend(
        "mlx",
        packages=("mlx",),
        load=_load,
        install="pip install 'xpnn[mlx]'",
        to_numpy=_to_numpy,
        device_of=lambda array: importlib.import_module("mlx.core").default_device(),
        parse_device=_parse_device,
        device_name=_device_name,
        probe=_probe,
        end_of_step=lambda arrays: importlib.import_module("mlx.core").eval(arrays),
    )
)
