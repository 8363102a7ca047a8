"""CuPy: NumPy's functions on a CUDA GPU."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from xpnn.backend.errors import BackendError
from xpnn.backend.launchers import local_rank
from xpnn.backend.registry import Array, Backend, Gpu, register_backend

_INSTALL = "pip install 'xpnn[cuda12]' (CUDA 12) or pip install 'xpnn[cuda13]' (CUDA 13)"


def _load() -> ModuleType:
    return importlib.import_module("array_api_compat.cupy")


def _parse_device(device: Any) -> Any:
    cupy = importlib.import_module("cupy")
    if device is None:
        return _own_device(cupy)
    if isinstance(device, str):
        if device.partition(":")[0] not in ("cuda", "gpu"):
            raise BackendError(
                f"backend 'cupy' has no device '{device}', it computes on 'cuda'",
                hint="On the CPU computes xpnn.set_backend('numpy')",
            )
        device = int(device.partition(":")[2] or 0)
    return cupy.cuda.Device(device) if isinstance(device, int) else device


def _own_device(cupy: Any) -> Any:
    """Each process of a machine has a GPU of its own, if there are so many; None is CuPy's current one."""
    number = local_rank()
    if not number:
        return None
    device = cupy.cuda.Device(number % cupy.cuda.runtime.getDeviceCount())
    device.use()  # for what the user's program asks CuPy for by itself
    return device


def _gpu() -> Gpu:
    cupy = importlib.import_module("cupy")
    pool, runtime = cupy.get_default_memory_pool(), cupy.cuda.runtime
    return Gpu(
        count=runtime.getDeviceCount,
        name=lambda index: runtime.getDeviceProperties(index)["name"].decode(),
        synchronize=lambda: cupy.cuda.Device().synchronize(),
        empty_cache=pool.free_all_blocks,
        memory_allocated=pool.used_bytes,
        max_memory_allocated=pool.total_bytes,
    )


def _probe() -> str:
    """`import cupy` succeeds without a GPU, so a device is asked for and one kernel launched."""
    try:
        cupy = importlib.import_module("cupy")
        if not cupy.cuda.is_available():
            raise BackendError(
                f"backend 'cupy' finds no CUDA device (CuPy {cupy.__version__} is installed)",
                hint="Check the driver with nvidia-smi, or compute on the CPU: xpnn.set_backend('numpy')",
            )
        if int(cupy.arange(3).sum()) != 3:
            raise BackendError("backend 'cupy' launched a kernel that gave a wrong result")
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        return properties["name"].decode()
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"backend 'cupy' cannot compute here: {type(error).__name__}: {error}",
            hint="Check the driver with nvidia-smi, and that the CuPy wheel is the one for its CUDA version",
        ) from error


def _index_add(values: Array, indices: Array, count: int) -> Array:
    cupy = importlib.import_module("cupy")
    out = cupy.zeros((count, *values.shape[1:]), dtype=values.dtype)
    cupy.add.at(out, indices, values)
    return out


def _complex_of(real: Array, imag: Array, dtype: Any) -> Array:
    out = importlib.import_module("cupy").empty(real.shape, dtype=dtype)
    out.real, out.imag = real, imag
    return out


def _erfc(z: Array) -> Array:
    return importlib.import_module("cupyx.scipy.special").erfc(z)


register_backend(
    Backend(
        "cupy",
        packages=("cupy",),
        load=_load,
        install=_INSTALL,
        to_numpy=lambda array: array.get(),
        device_of=lambda array: array.device,
        parse_device=_parse_device,
        device_name=lambda device: f"cuda:{device.id}",
        probe=_probe,
        gpu=_gpu,
        nccl="cupy.cuda.nccl",
        kernels="xpnn.kernels.cupy",
        several_devices=True,
        owns_memory=lambda array: array.flags.owndata,
        index_add=_index_add,
        complex_of=_complex_of,
        erfc=_erfc,
    )
)
