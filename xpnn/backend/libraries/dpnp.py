"""dpnp: NumPy's functions on any device that SYCL finds, Intel's GPUs and CPUs among them. Experimental.

A number of Python's in its arithmetic is a copy from the host to the device, at each call. A step of training
repeats few numbers, so the operators of its arrays are made to keep those on the device.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.errors import BackendError
from xpnn.backend.registry import Array, Backend, register_backend

_OPERATORS = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"),
    *("and", "or", "xor", "lshift", "rshift"),
)
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_KEPT = 256  # numbers; the learning rates of a schedule must not fill the device
_LIMITS: dict[Any, float] = {
    **{np.dtype(dtype): float(np.finfo(dtype).max) for dtype in ("float16", "float32", "float64")},
    **{np.dtype(dtype): int(np.iinfo(dtype).max) for dtype in ("int8", "int16", "int32", "int64")},
}


class _Namespace(ModuleType):
    """dpnp's own functions, but for products: its own refuse an array that repeats one in memory."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module("dpnp"), name)
        setattr(self, name, value)
        return value

    def matmul(self, x1: Array, x2: Array, /) -> Array:
        return importlib.import_module("dpnp").matmul(_spread(x1), _spread(x2))

    def tensordot(self, x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
        return importlib.import_module("dpnp").tensordot(_spread(x1), _spread(x2), axes=axes)

    def vecdot(self, x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
        return importlib.import_module("dpnp").vecdot(_spread(x1), _spread(x2), axis=axis)


def _spread(array: Array) -> Array:
    """The array, or a copy of one whose elements lie at one place, as `broadcast_to` makes it."""
    if any(step == 0 and size > 1 for step, size in zip(array.strides, array.shape)):
        return importlib.import_module("dpnp").asarray(array, order="C", copy=True)
    return array


def _load() -> ModuleType:
    """Its arrays travel as NumPy's where they are pickled or copied, which they refuse by themselves."""
    array_type = importlib.import_module("dpnp").ndarray
    copyreg.pickle(array_type, _reduce)
    for name in (*(prefix + name for prefix in ("", "r", "i") for name in _OPERATORS), *_COMPARISONS):
        setattr(array_type, f"__{name}__", _keeping(getattr(array_type, f"__{name}__")))
    return _Namespace("dpnp")


def _keeping(operator: Callable[..., Array]) -> Callable[..., Array]:
    """The operator, with a number from the device where it has been there before; the result is the same."""

    @functools.wraps(operator)
    def compute(self: Array, other: Any, /, *more: Any) -> Array:
        if type(other) is float or type(other) is int:
            other = _on_device(other, self)
        return operator(self, other, *more)

    return compute


def _on_device(number: float, array: Array) -> Any:
    """The number as a 0-d array of the same element type and place, where that changes no result.

    Not a number beyond the element type, of which dpnp warns or which it refuses, each time.
    """
    dtype = array.dtype
    limit = _LIMITS.get(dtype)
    if limit is None or not -limit <= number <= limit or (dtype.kind == "i" and type(number) is float):
        return number
    key = number.hex() if type(number) is float else number  # -0.0 is not 0.0
    return _kept(key, dtype, array.sycl_queue, array.usm_type)


@functools.lru_cache(maxsize=_KEPT)
def _kept(key: int | str, dtype: Any, queue: Any, usm_type: str) -> Array:
    number = float.fromhex(key) if isinstance(key, str) else key
    return importlib.import_module("dpnp").asarray(number, dtype=dtype, sycl_queue=queue, usm_type=usm_type)


def _reduce(array: Array) -> tuple[Any, ...]:
    return _from_host, (array.asnumpy(), _device_name(array.device))


def _from_host(values: Any, device: str) -> Array:
    """The array on the device of that name, or on the best that there is here."""
    try:
        return importlib.import_module("dpnp").asarray(values, device=_parse_device(device))
    except importlib.import_module("dpctl").SyclDeviceCreationError:
        return importlib.import_module("dpnp").asarray(values)


def _parse_device(device: Any) -> Any:
    """`"cpu"`, `"gpu:1"`, `"level_zero:gpu"` as SYCL selects them; `None` is the best that there is."""
    if isinstance(device, str):
        return importlib.import_module("dpctl").SyclDevice(device)
    return device


def _device_name(device: Any) -> str:
    device = getattr(device, "sycl_device", device)
    kind = device.device_type.name
    number = device.get_device_id()
    return kind if number == 0 else f"{kind}:{number}"


def _probe() -> str:
    """dpnp is imported without any driver, so a device is asked for and one kernel launched."""
    dpnp, dpctl = importlib.import_module("dpnp"), importlib.import_module("dpctl")
    if not dpctl.get_devices():
        driver = Path(sys.prefix, "lib", "libintelocl.so")
        first = "" if driver.exists() else "pip install intel-opencl-rt, and "
        raise BackendError(
            f"backend 'dpnp' finds no SYCL device (dpnp {dpnp.__version__} is installed)",
            hint=f"To compute on the CPU: {first}start Python with OCL_ICD_FILENAMES={driver}",
        )
    ones = dpnp.ones(3)
    if int(ones.sum()) != 3:
        raise BackendError("backend 'dpnp' launched a kernel that gave a wrong result")
    return str(ones.device.sycl_device.name).strip()


def _owns_memory(array: Array) -> bool:
    return (
        array.flags.writable
        and array.flags.c_contiguous
        and array.get_array().usm_data.nbytes == array.nbytes
    )


def _erfc(z: Array) -> Array:
    return importlib.import_module("dpnp.scipy.special").erfc(z)


register_backend(
    Backend(
        "dpnp",
        packages=("dpnp",),
        load=_load,
        install="pip install 'xpnn[dpnp]'",
        to_numpy=lambda array: array.asnumpy(),
        device_of=lambda array: array.device,
        parse_device=_parse_device,
        device_name=_device_name,
        probe=_probe,
        several_devices=True,
        owns_memory=_owns_memory,
        erfc=_erfc,
        kernels="xpnn.kernels.dpnp",
    )
)
