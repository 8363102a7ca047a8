"""JAX: immutable arrays, and a compiler that makes one program of a training step."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.registry import Array, Backend, Compiler, Gpu, register_backend


def _load() -> ModuleType:
    return importlib.import_module("jax.numpy")


def _parse_device(device: Any) -> Any:
    if device is None or not isinstance(device, str | int):
        return device
    jax = importlib.import_module("jax")
    if isinstance(device, int):
        return jax.devices()[device]
    platform, _, index = device.partition(":")
    return jax.devices(platform)[int(index or 0)]


def _device_name(device: Any) -> str:
    device = min(getattr(device, "device_set", (device,)), key=lambda one: one.id)  # of an array in parts
    kind = "cuda" if device.platform == "gpu" else device.platform
    return kind if kind == "cpu" and device.id == 0 else f"{kind}:{device.id}"


def _gpu() -> Gpu:
    jax = importlib.import_module("jax")
    gpus = [device for device in jax.devices() if device.platform == "gpu"]

    def allocated(field: str) -> int:
        return (gpus[0].memory_stats() or {}).get(field, 0)

    return Gpu(
        count=lambda: len(gpus),
        name=lambda index: gpus[index].device_kind,
        synchronize=jax.effects_barrier,
        memory_allocated=lambda: allocated("bytes_in_use"),
        max_memory_allocated=lambda: allocated("peak_bytes_in_use"),
    )


def _probe() -> str:
    """JAX has a CPU unless it is told to look elsewhere; only then is it imported to be asked."""
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms in ("", "cpu"):
        return platforms or "jax.devices()"
    return str(importlib.import_module("jax").devices()[0])


def _index_add(values: Array, indices: Array, count: int) -> Array:
    jnp = importlib.import_module("jax.numpy")
    return jnp.zeros((count, *values.shape[1:]), dtype=values.dtype).at[indices].add(values)


def _complex_of(real: Array, imag: Array, dtype: Any) -> Array:
    return importlib.import_module("jax.lax").complex(real, imag)


def _erfc(z: Array) -> Array:
    return importlib.import_module("jax.scipy.special").erfc(z)


def _compiler() -> Compiler:
    jax = importlib.import_module("jax")
    errors = importlib.import_module("jax.errors")
    return Compiler(
        compile=lambda function: jax.jit(function, donate_argnums=(0,)),
        refusals=(errors.JAXTypeError, errors.JAXIndexError),
    )


register_backend(
    Backend(
        "jax",
        packages=("jax", "jaxlib"),
        load=_load,
        install="pip install 'xpnn[jax]'",
        to_numpy=np.asarray,
        parse_device=_parse_device,
        device_name=_device_name,
        probe=_probe,
        gpu=_gpu,
        kernels="xpnn.kernels.jax",
        mutable=False,
        several_devices=True,
        index_add=_index_add,
        complex_of=_complex_of,
        erfc=_erfc,
        compiler=_compiler,
    )
)
