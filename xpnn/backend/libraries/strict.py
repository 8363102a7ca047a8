"""array-api-strict: the standard and nothing more, which keeps the code honest."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.registry import Array, Backend, register_backend


def _load() -> ModuleType:
    return importlib.import_module("array_api_strict")


def _to_numpy(array: Array) -> np.ndarray:
    strict = importlib.import_module("array_api_strict")
    return np.asarray(array.to_device(strict.Device("CPU_DEVICE"))._array)


def _parse_device(device: Any) -> Any:
    if not isinstance(device, str):
        return device
    return importlib.import_module("array_api_strict").Device("CPU_DEVICE" if device == "cpu" else device)


register_backend(
    Backend(
        "array_api_strict",
        packages=("array_api_strict",),
        load=_load,
        install="pip install array-api-strict",
        to_numpy=_to_numpy,
        parse_device=_parse_device,
        device_name=lambda device: str(device).partition("'")[2].rstrip("')").replace("CPU_DEVICE", "cpu"),
        several_devices=True,
    )
)
