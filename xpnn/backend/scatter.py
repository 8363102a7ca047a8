"""Scatter-add as each library has it, for `idioms.index_add`."""

from __future__ import annotations

import importlib

import numpy as np

from xpnn.backend.registry import Array, find_backend


def _numpy_index_add(values: Array, indices: Array, count: int) -> Array:
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


def _torch_index_add(values: Array, indices: Array, count: int) -> Array:
    out = values.new_zeros((count, *values.shape[1:]))
    return out.index_add_(0, indices, values)


def _jax_index_add(values: Array, indices: Array, count: int) -> Array:
    jnp = importlib.import_module("jax.numpy")
    return jnp.zeros((count, *values.shape[1:]), dtype=values.dtype).at[indices].add(values)


def _cupy_index_add(values: Array, indices: Array, count: int) -> Array:
    cupy = importlib.import_module("cupy")
    out = cupy.zeros((count, *values.shape[1:]), dtype=values.dtype)
    cupy.add.at(out, indices, values)
    return out


find_backend("numpy").extra["index_add"] = _numpy_index_add
find_backend("torch").extra["index_add"] = _torch_index_add
find_backend("jax").extra["index_add"] = _jax_index_add
find_backend("cupy").extra["index_add"] = _cupy_index_add
