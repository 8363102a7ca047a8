"""One portable idiom for each gap in the Array API standard.

The standard has no pad, no scatter-add and no in-place write that immutable arrays could follow. Each
function here spells one of them with what every library has. They take raw arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xpnn.backend.arrays import (
    cheap_to_read,
    concrete,
    device_of,
    dtype_name,
    dtype_named,
    is_half,
    move,
    to_numpy,
)
from xpnn.backend.errors import BackendError
from xpnn.backend.namespace import backend_of, is_tensor, namespace
from xpnn.backend.registry import Array


def zeros_like_shape(x: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with the element type and device of `x`."""
    return full_like_shape(x, shape, 0)


def full_like_shape(x: Array, shape: tuple[int, ...], value: complex) -> Array:
    """`value` in `shape` with the element type and device of `x`.

    Inside of `torch.func.vmap` the result has the hidden axis of `x`, so that results can be written into it.
    """
    if not concrete(x) and hasattr(x, "new_full"):
        return x.new_full(shape, value)
    options = {"dtype": x.dtype, "device": device_of(x)}
    return namespace(x).full(shape, value, **options) if value else namespace(x).zeros(shape, **options)


def ones_like(x: Array) -> Array:
    """Ones of the shape, element type and device of `x`."""
    native = backend_of(x).ones_like
    return namespace(x).ones_like(x) if native is None else native(x)


def overflowing() -> AbstractContextManager[Any]:
    """A block in which numbers may overflow without a warning of NumPy's; other libraries give none."""
    return np.errstate(over="ignore", invalid="ignore")


def blank(shape: tuple[int, ...]) -> Any:
    """A NumPy array without memory, to ask how it would lie there; its elements must not be read.

    >>> blank((2, 3)).T.strides
    (1, 3)
    """
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return np.lib.stride_tricks.as_strided(np.empty(1, np.int8), shape, steps)


def strided(x: Array, size: tuple[int, ...], steps: tuple[int, ...], offset: int) -> Array:
    """The elements of `x`, in a row, at `offset` plus the multiples of `steps`; a view where NumPy gives one.

    >>> import numpy as np
    >>> strided(np.arange(4.0), (2, 2), (1, 2), 0).tolist()
    [[0.0, 2.0], [1.0, 3.0]]
    """
    if type(x) is np.ndarray:
        row = np.ascontiguousarray(x).reshape(-1)[offset:]
        return np.lib.stride_tricks.as_strided(row, size, [step * x.itemsize for step in steps])
    xp = namespace(x)
    places = xp.reshape(positions(x, size, steps, offset), (-1,))
    return xp.reshape(xp.take(xp.reshape(x, (-1,)), places, axis=0), size)


def positions(x: Array, size: tuple[int, ...], steps: tuple[int, ...], offset: int) -> Array:
    """Integers of the shape `size` on the device of `x`: `offset` plus the multiples of `steps`.

    >>> import numpy as np
    >>> positions(np.ones(1), (2, 2), (1, 2), 0).tolist()
    [[0, 2], [1, 3]]
    """
    xp, device = namespace(x), device_of(x)
    places = xp.full(size, offset, dtype=xp.int64, device=device)
    for axis, (n, step) in enumerate(zip(size, steps)):
        along = xp.arange(n, dtype=xp.int64, device=device) * step
        places = places + xp.reshape(along, (n, *[1] * (len(size) - axis - 1)))
    return places


def complex_of_pairs(x: Array) -> Array:
    """Pairs of real numbers along the last axis as complex numbers.

    >>> import numpy as np
    >>> complex_of_pairs(np.asarray([[1.0, 2.0]])).tolist()
    [(1+2j)]
    """
    backend, xp = backend_of(x), namespace(x)
    dtype = dtype_named({"float64": "complex128"}.get(dtype_name(x.dtype), "complex64"), xp)
    if backend.complex_of is not None:
        return backend.complex_of(x[..., 0], x[..., 1], dtype)
    return xp.astype(x[..., 0], dtype) + xp.astype(x[..., 1], dtype) * 1j


def pairs_of_complex(x: Array) -> Array:
    """Complex numbers as pairs of their parts along a new last axis.

    >>> import numpy as np
    >>> pairs_of_complex(np.asarray([1 + 2j])).tolist()
    [[1.0, 2.0]]
    """
    xp = namespace(x)
    return xp.stack([xp.real(x), xp.imag(x)], axis=-1)


def nonzero(x: Array) -> list[Array]:
    """The positions of the elements that are not 0, by axes, in their order.

    They are counted on the host where reading stalls nothing: the standard leaves out such functions.

    >>> import numpy as np
    >>> [axis.tolist() for axis in nonzero(np.asarray([[0, 5], [7, 0]]))]
    [[0, 1], [1, 0]]
    """
    if concrete(x) and cheap_to_read(x):
        backend, device = backend_of(x), device_of(x)
        found = np.nonzero(backend.to_numpy(x))
        return [move(np.ascontiguousarray(axis), backend, device) for axis in found]
    return list(namespace(x).nonzero(x))


def last_writers(positions: Array, count: int) -> Array:
    """For each of `count` places the last k with `positions[k]` there, -1 where there is none.

    >>> import numpy as np
    >>> last_writers(np.asarray([0, 2, 0]), 3).tolist()
    [2, -1, 1]
    """
    if type(positions) is np.ndarray:
        writers = np.full(count, -1)
        writers[positions] = np.arange(len(positions))
        return writers
    xp, device = namespace(positions), device_of(positions)
    if positions.shape[0] == 0:
        return xp.full((count,), -1, dtype=xp.int64, device=device)
    order = xp.argsort(positions, stable=True)
    ordered = xp.take(positions, order, axis=0)
    last = xp.concat([ordered[1:] != ordered[:-1], xp.ones((1,), dtype=xp.bool, device=device)])
    return index_add(xp.where(last, order + 1, 0), ordered, count) - 1


def repeated_positions(counts: Array, n: int) -> Array:
    """Position i of n positions `counts[i]` times in a row, or all `counts[0]` times.

    They are repeated on the host where reading stalls nothing (see `nonzero`).

    >>> import numpy as np
    >>> repeated_positions(np.asarray([2, 0, 1]), 3).tolist()
    [0, 0, 2]
    """
    if concrete(counts) and cheap_to_read(counts):
        backend = backend_of(counts)
        return move(np.repeat(np.arange(n), backend.to_numpy(counts)), backend, device_of(counts))
    xp = namespace(counts)
    return xp.repeat(xp.arange(n, device=device_of(counts)), counts)


def own(array: Array, taken: set[int]) -> Array:
    """The array, or a copy if somebody else may hold its elements: something to write into in place.

    Args:
        taken: the `id`s of arrays that have an owner already; the result is added to it.

    >>> import numpy as np
    >>> own(np.broadcast_to(np.ones(1), (2,)), set()).flags.writeable
    True
    """
    backend = backend_of(array)
    if backend.mutable:
        if id(array) in taken or not backend.owns_memory(array):
            array = namespace(array).asarray(array, copy=True)
        taken.add(id(array))
    return array


def set_at(array: Array, index: Any, value: Any) -> Array:
    """`array[index] = value`; returns the array written, a new one where arrays are immutable."""
    if backend_of(array).mutable or is_tensor(array):
        array[index] = value
        return array
    return array.at[index].set(value)


def add_at_slices(array: Array, index: Any, value: Any) -> Array:
    """`array[index] += value` for an index of slices; returns the array written (see `set_at`)."""
    if backend_of(array).mutable or is_tensor(array):
        array[index] += value
        return array
    return array.at[index].add(value)


def pad(x: Array, widths: Sequence[tuple[int, int]], value: complex = 0.0, copy: bool | None = None) -> Array:
    """`x` with `widths[i] = (before, after)` cells of `value` around axis i: a constant, then one write.

    Args:
        widths: negative ones cut cells off, of which there must be as many.
        copy: whether the result is a new array in any case.

    >>> import numpy as np
    >>> pad(np.ones((1, 2)), [(1, 0), (0, 1)]).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
    """
    pairs = list(zip(x.shape, widths, strict=True))
    if any(before < 0 or after < 0 for before, after in widths):
        x = x[tuple([slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in pairs])]
    if not any(before > 0 or after > 0 for before, after in widths):
        return namespace(x).astype(x, x.dtype, copy=True) if copy else x
    shape = tuple([n + before + after for n, (before, after) in pairs])
    canvas = full_like_shape(x, shape, value)
    starts = [max(before, 0) for before, _ in widths]
    window = tuple([slice(start, start + size) for start, size in zip(starts, x.shape)])
    return set_at(canvas, window, x)


def one_hot(indices: Array, count: int, dtype: Any) -> Array:
    """Rows of the identity matrix: (...) integers to (..., count) of `dtype`.

    >>> import numpy as np
    >>> one_hot(np.asarray([1, 0]), 3, np.float32).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    xp = namespace(indices)
    classes = xp.arange(count, dtype=indices.dtype, device=device_of(indices))
    return xp.astype(indices[..., None] == classes, dtype)


def index_add(values: Array, indices: Array, count: int) -> Array:
    """`out[indices[k]] += values[k]` along the first axis, where indices may repeat.

    Args:
        values: (n, ...). indices: (n,) integers in [0, count). count: the length of the result.

    Returns: (count, ...) of the values' element type.

    The portable form is a product with a one-hot matrix; where a library has a scatter-add of its own,
    it is used, because the product costs `n * count` multiplications.

    >>> import numpy as np
    >>> index_add(np.asarray([[1.0], [2.0], [4.0]]), np.asarray([0, 2, 0]), 3).tolist()
    [[5.0], [0.0], [2.0]]
    """
    xp = namespace(values)
    if is_half(values):  # sums are taken in float32
        return xp.astype(index_add(xp.astype(values, xp.float32), indices, count), values.dtype)
    native = backend_of(values).index_add
    if native is not None:
        return native(values, indices, count)
    selector = one_hot(indices, count, values.dtype)
    rows = xp.reshape(values, (values.shape[0], -1)) if values.shape[0] else None
    if rows is None:
        return zeros_like_shape(values, (count, *values.shape[1:]))
    return xp.reshape(xp.matmul(selector.mT, rows), (count, *values.shape[1:]))


def eig(x: Array) -> tuple[Array, Array]:
    """Eigenvalues and, as columns, eigenvectors of square matrices, complex; found on the host by LAPACK.

    Raises: BackendError where the elements are not known yet, while a function is traced.

    >>> [part.tolist() for part in eig(np.asarray([[2.0]]))]
    [[(2+0j)], [[(1+0j)]]]
    """
    if not concrete(x):
        raise BackendError("is found on the host, and the elements are not known yet", subject="eig")
    values, vectors = np.linalg.eig(to_numpy(x))
    wide = "complex64" if dtype_name(x.dtype) in ("float32", "complex64") else "complex128"
    backend, device = backend_of(x), device_of(x)
    return move(values.astype(wide), backend, device), move(vectors.astype(wide), backend, device)
