"""CuPy: NumPy's functions on a CUDA GPU."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections import deque
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend import tf32
from xpnn.backend.cuda_graphs import graph_compiler
from xpnn.backend.errors import BackendError
from xpnn.backend.launchers import local_rank
from xpnn.backend.registry import Array, Backend, Compiler, Gpu, register_backend

_INSTALL = "pip install 'xpnn[cuda12]' (CUDA 12) or pip install 'xpnn[cuda13]' (CUDA 13)"


_TF32_SINCE = 80  # of the compute capabilities


def _load() -> ModuleType:
    xp = importlib.import_module("array_api_compat.cupy")
    if tf32.is_chosen():
        _allow_tf32(tf32.allows_tf32())
    return xp


@tf32.takes_tf32
def _allow_tf32(allowed: bool) -> None:
    """The type that cuBLAS computes products of float32 in; a card without TF32 goes on with float32."""
    cupy = sys.modules.get("cupy")
    if cupy is None or not cupy.cuda.is_available():
        return
    linalg = importlib.import_module("cupy._core._routines_linalg")
    able = int(cupy.cuda.Device().compute_capability) >= _TF32_SINCE
    kind = linalg.COMPUTE_TYPE_TF32 if allowed and able else linalg.COMPUTE_TYPE_DEFAULT
    linalg.set_compute_type(np.dtype(np.float32), kind)


def _parse_device(device: Any) -> Any:
    if device is None:
        return _own_device(local_rank())
    cupy = importlib.import_module("cupy")
    if isinstance(device, str):
        kind, _, number = device.partition(":")
        if kind not in ("cuda", "gpu"):
            raise BackendError(
                f"backend 'cupy' has no device '{device}', it computes on 'cuda'",
                hint="On the CPU computes xpnn.set_backend('numpy')",
            )
        device = int(number) if number else _own_device(local_rank()) or 0
    return cupy.cuda.Device(device) if isinstance(device, int) else device


def _own_device(number: int) -> Any:
    """Each process of a machine has a GPU of its own, if there are so many; None is CuPy's current one."""
    if not number:
        return None
    cupy = importlib.import_module("cupy")
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


class PinnedCopier:
    """Copies by pinned buffers, on a stream beside the one that computes.

    An array's memory is taken on the stream that computes: what was done there before may still use it, so
    the copy waits for that. A buffer is written into again when the copy out of it is done.

    Args:
        cupy: the library: CuPy, or what takes its place.
        device: where to; None is the current device.
    """

    def __init__(self, cupy: Any, device: Any = None) -> None:
        self._cupy = cupy
        self._index = cupy.cuda.Device().id if device is None else device.id
        with self._device():
            self._computing = cupy.cuda.get_current_stream()
            self._copying = cupy.cuda.Stream(non_blocking=True)
        self._closed = False
        self._lock = threading.Lock()
        self._buffers: dict[
            int, deque[tuple[Any, Any]]
        ] = {}  # by their size, with the event of the last copy
        self._under_way: dict[int, tuple[Array, Any]] = {}  # by the identity of the array

    def start(self, host: np.ndarray) -> Array:
        """Begin a copy; see `Copier`."""
        size = 1 << max(host.nbytes - 1, 0).bit_length()
        buffer = self._free_buffer(size)
        staged = np.frombuffer(buffer, host.dtype, host.size).reshape(host.shape)
        staged[...] = host
        with self._device():
            with self._computing:
                array = self._cupy.empty(host.shape, dtype=host.dtype)
                free = self._computing.record()
            self._copying.wait_event(free)
            array.set(staged, self._copying)
            done = self._copying.record()
        with self._lock:
            self._buffers.setdefault(size, deque()).append((buffer, done))
            self._under_way[id(array)] = array, done
        if self._closed:  # by a loop that did not wait for this thread
            self._copying.synchronize()
        return array

    def arrive(self, array: Array) -> None:
        """Let this thread's stream wait for a copy; see `Copier`."""
        with self._lock:
            _, done = self._under_way.pop(id(array), (None, None))
        if done is not None:
            with self._device():
                self._cupy.cuda.get_current_stream().wait_event(done)

    def close(self) -> None:
        """Wait for all copies: their buffers and arrays are taken for other things afterwards."""
        self._closed = True
        self._copying.synchronize()
        self._under_way.clear()

    def _device(self) -> contextlib.AbstractContextManager[Any]:
        """Work on the device; a context of its own for each use, as threads use it side by side."""
        return self._cupy.cuda.Device(self._index)

    def _free_buffer(self, size: int) -> Any:
        """The buffer that has been in use for longest, if its copy is done; else a new one."""
        with self._lock:
            waiting = self._buffers.get(size)
            if waiting and waiting[0][1].done:
                return waiting.popleft()[0]
        return self._cupy.cuda.alloc_pinned_memory(size)


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


def _compiler() -> Compiler:
    return graph_compiler(importlib.import_module("cupy"), importlib.import_module("array_api_compat.cupy"))


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
        compiler=_compiler,
        copier=lambda device: PinnedCopier(importlib.import_module("cupy"), device),
    )
)
