"""NumPy: the default, on the CPU, with kernels of its own."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import numpy as np

from xpnn.backend.registry import Array, Backend, register_backend


def _load() -> ModuleType:
    return importlib.import_module("array_api_compat.numpy")


def _parse_device(device: Any) -> Any:
    if device not in (None, "cpu"):
        raise ValueError("NumPy computes on 'cpu' only")
    return device


def _owns_memory(array: Array) -> bool:
    flags = array.flags
    return flags.owndata and flags.writeable


def _ones_like(array: Array) -> Array:
    """For a single number, as a loss is, `np.array` takes a fraction of the time of `ones_like`."""
    return np.ones_like(array) if array.shape else np.array(1, dtype=array.dtype)


def _index_add(values: Array, indices: Array, count: int) -> Array:
    """Sort the rows by target, then one `reduceat`: `np.add.at` is several times slower on rows."""
    out = np.zeros((count, *values.shape[1:]), dtype=values.dtype)
    if indices.size == 0:
        return out
    if values.ndim == 1:
        np.add.at(out, indices, values)
        return out
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    out[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _uniform(shape: tuple[int, ...], like: Array, seed: int, counter: int) -> Array:
    return np.random.Generator(np.random.SFC64([seed, counter])).random(shape, dtype=np.float32)


register_backend(
    Backend(
        "numpy",
        packages=("numpy",),
        load=_load,
        install="pip install numpy",
        to_numpy=np.asarray,
        device_of=lambda array: "cpu",
        parse_device=_parse_device,
        kernels="xpnn.kernels.numpy",
        numba_kernels="xpnn.kernels.numba",
        as_array=np.asarray,
        owns_memory=_owns_memory,
        ones_like=_ones_like,
        index_add=_index_add,
        uniform=_uniform,
    )
)
