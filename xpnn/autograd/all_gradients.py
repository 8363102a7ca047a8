"""Functions of all gradients at once, on raw arrays; a library may have them faster than array by array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from xpnn.backend import (
    Array,
    backend_of,
    choose,
    find_kernels,
    is_complex,
    is_half,
    kernels_enabled,
    namespace,
)

__all__ = ["as_array", "norm_of_all", "scaled_to_norm", "unscaled", "widened"]


def norm_of_all(arrays: list[Array], order: float) -> Array:
    """The norm of all elements of all arrays, in the element type of the first; float32 for half."""
    return _fastest("norm_of_all", _norm_of_all, arrays, order)


def scaled_to_norm(arrays: list[Array], norm: Array, most: float | Array) -> list[Array]:
    """Each array times min(1, most / (norm + 1e-6)), which may be the array itself where that is 1.

    Args:
        norm: of all of them together, 0-d.
    """
    return _fastest("scaled_to_norm", _scaled_to_norm, arrays, norm, most)


def unscaled(arrays: list[Array], factor: float) -> tuple[list[Array], Array]:
    """Each array times the factor, and whether all elements of all arrays are finite, a 0-d boolean."""
    return _fastest("unscaled", _unscaled, arrays, factor)


def widened(array: Array) -> Array:
    """In float32 if it is of half precision."""
    return namespace(array).astype(array, namespace(array).float32) if is_half(array) else array


def _fastest(name: str, reference: Callable[..., Any], arrays: list[Array], *values: Any) -> Any:
    """The result of the library's own version, or of the reference."""
    if kernels_enabled():
        kernel = choose(find_kernels(backend_of(arrays[0]), name), (arrays, *values), {})
        if kernel is not None:
            return kernel.forward(arrays, *values)
    return reference(arrays, *values)


def _norm_of_all(arrays: list[Array], order: float) -> Array:
    xp, arrays = namespace(arrays[0]), [widened(_absolute(g)) for g in arrays]
    if order == math.inf:
        parts = [xp.max(xp.abs(g)) if 0 not in g.shape else xp.sum(g) for g in arrays]
    elif order == 2:
        parts = [xp.sum(g * g) for g in arrays]
    else:
        parts = [xp.sum(xp.abs(g) ** order) for g in arrays]
    parts = xp.stack([xp.asarray(part, dtype=arrays[0].dtype) for part in parts])
    if order == math.inf:
        return as_array(xp.max(parts))
    total = xp.sum(parts)
    return as_array(xp.sqrt(total) if order == 2 else total ** (1 / order))


def _scaled_to_norm(arrays: list[Array], norm: Array, most: float | Array) -> list[Array]:
    factor = namespace(norm).clip(most / (norm + 1e-6), max=1.0)
    return _fastest("scaled", _scaled, arrays, factor)


def _scaled(arrays: list[Array], factor: Array) -> list[Array]:
    xp = namespace(factor)
    scaled = []
    for array in arrays:
        wide = widened(array)
        product = wide * xp.asarray(factor, dtype=wide.dtype)
        scaled.append(as_array(xp.astype(product, array.dtype, copy=False)))
    return scaled


def _unscaled(arrays: list[Array], factor: float) -> tuple[list[Array], Array]:
    xp = namespace(arrays[0])
    finite = xp.stack([xp.asarray(xp.all(xp.isfinite(array))) for array in arrays])
    return [as_array(array * factor) for array in arrays], xp.all(finite)


def _absolute(array: Array) -> Array:
    """The absolute values of complex numbers; real ones as they are."""
    return namespace(array).abs(array) if is_complex(array) else array


def as_array(value: Array) -> Array:
    """A 0-d result as an array, where the library gives a scalar."""
    convert = backend_of(value).as_array
    return value if convert is None else convert(value)
