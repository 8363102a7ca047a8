"""Which GPUs there are, and their memory."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Gpu, device, get_backend, get_device, manual_seed
from xpnn.backend.errors import BackendError

__all__ = [
    "current_device",
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "set_device",
    "synchronize",
]

manual_seed_all = manual_seed


def is_available() -> bool:
    """Whether the current backend computes on a CUDA GPU if it is asked to.

    >>> is_available()
    False
    """
    return device_count() > 0


def is_initialized() -> bool:
    """The same as `is_available`: there is nothing to be initialized."""
    return is_available()


def device_count() -> int:
    """The number of CUDA GPUs that the current backend can compute on.

    >>> device_count()
    0
    """
    gpu = _gpu()
    return 0 if gpu is None else gpu.count()


def current_device() -> int:
    """The number of the GPU that new Tensors are made on. Raises: BackendError where there is none."""
    _expect_gpu("current_device")
    backend = get_backend()
    native = get_device()
    return (0 if native is None else device(backend.device_name(native)).index) or 0


def set_device(device: Any) -> None:
    """Is refused: `xpnn.set_backend(name, device)` says where new Tensors are made."""
    raise BackendError(
        "does not change the device", subject="set_device", hint="Use xpnn.set_backend('cupy', 'cuda:1')"
    )


def get_device_name(device: Any = None) -> str:
    """What the GPU is called. Raises: BackendError where there is none."""
    return _expect_gpu("get_device_name").name(_index(device))


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done all its work."""
    gpu = _gpu()
    if gpu is not None and gpu.count():
        gpu.synchronize()


def empty_cache() -> None:
    """Give memory that is not in use back to the system."""
    gpu = _gpu()
    if gpu is not None and gpu.count():
        gpu.empty_cache()


def memory_allocated(device: Any = None) -> int:
    """The bytes of the GPU's memory that arrays take; 0 without a GPU, or where the library tells nothing."""
    gpu = _gpu()
    return gpu.memory_allocated() if gpu is not None and gpu.count() else 0


def max_memory_allocated(device: Any = None) -> int:
    """As `memory_allocated`, at its highest; where the library does not tell, what is taken now."""
    gpu = _gpu()
    return gpu.max_memory_allocated() if gpu is not None and gpu.count() else 0


def _gpu() -> Gpu | None:
    gpu = get_backend().gpu
    return None if gpu is None else gpu()


def _expect_gpu(subject: str) -> Gpu:
    gpu = _gpu()
    if gpu is None or not gpu.count():
        raise BackendError(
            f"finds no GPU with backend '{get_backend()}'",
            subject=subject,
            hint="Ask xpnn.cuda.is_available() first; xpnn.set_backend('cupy') computes on one",
        )
    return gpu


def _index(place: Any) -> int:
    return 0 if place is None else device(place).index or 0
