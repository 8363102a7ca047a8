"""Putting arrays together, taking them apart, and repeating them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from xpnn.autograd.ops.broadcasting import broadcast_shapes, of_type
from xpnn.autograd.ops.indexing import getitem, take, window
from xpnn.autograd.ops.lifting import unwrap
from xpnn.autograd.ops.manipulation import broadcast_to, expand_dims, reshape, reshaped
from xpnn.autograd.primitive import primitive
from xpnn.backend import Array, idioms, namespace


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """The arrays one after the other along `axis`, flattened first if it is None.

    >>> import numpy as np
    >>> concat([np.asarray([1.0]), np.asarray([2.0, 3.0])]).tolist()
    [1.0, 2.0, 3.0]
    """
    if axis is None:
        arrays, axis = [reshape(x, (-1,)) for x in arrays], 0
    return _concat(*arrays, axis=axis)


@primitive(half=True)
def _concat(*arrays: Array, axis: int) -> tuple[Array, tuple]:
    kinds = tuple((x.shape, x.dtype) for x in arrays)
    return namespace(*arrays).concat(list(arrays), axis=axis), kinds


@_concat.backward
def _concat_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> list[Array | None]:
    axis = axis % g.ndim
    parts: list[Array | None] = []
    start = 0
    for (shape, dtype), need in zip(saved, needs):
        stop = start + shape[axis]
        part = g[along(axis, slice(start, stop))] if need else None
        parts.append(of_type(part, dtype) if need else None)
        start = stop
    return parts


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """The arrays, all of one shape, along a new axis.

    >>> import numpy as np
    >>> stack([np.ones(3), np.zeros(3)], axis=1).shape
    (3, 2)
    """
    return _stack(*arrays, axis=axis)


@primitive(half=True)
def _stack(*arrays: Array, axis: int) -> tuple[Array, tuple]:
    return namespace(*arrays).stack(list(arrays), axis=axis), ((tuple(x.dtype for x in arrays)),)


@_stack.backward
def _stack_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> list[Array | None]:
    (dtypes,) = saved
    return [of_type(p, d) if need else None for p, d, need in zip(unstack(g, axis=axis), dtypes, needs)]


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along `axis`, one array each: the inverse of `stack`.

    >>> import numpy as np
    >>> [y.tolist() for y in unstack(np.asarray([[1.0, 2.0], [3.0, 4.0]]))]
    [[1.0, 2.0], [3.0, 4.0]]
    """
    return tuple([window(x, y, along(axis % x.ndim, i)) for i, y in enumerate(_unstack(x, axis=axis))])


@primitive(half=True)
def _unstack(x: Array, *, axis: int) -> tuple[tuple[Array, ...], tuple]:
    axis = axis % x.ndim
    return tuple(x[along(axis, i)] for i in range(x.shape[axis])), ()


@_unstack.backward
def _unstack_backward(gs: tuple, saved: tuple, needs: tuple[bool, ...], *, axis: int) -> tuple[Array]:
    some = next(g for g in gs if g is not None)
    nothing = namespace(some).zeros_like(some)
    return (stack([nothing if g is None else g for g in gs], axis=axis),)


def repeat(x: Array, repeats: int | Array, /, *, axis: int | None = None) -> Array:
    """Each element `repeats` times in a row along `axis` (of the flattened array if None).

    Args:
        repeats: a number, or an integer array with one number for each position along the axis.

    >>> import numpy as np
    >>> repeat(np.asarray([1.0, 2.0]), 2).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = axis % x.ndim
    if not isinstance(repeats, int):
        return take(x, idioms.repeated_positions(unwrap(repeats), x.shape[axis]), axis=axis)
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    copies = broadcast_to(expand_dims(x, axis=axis + 1), (*before, size, repeats, *after))
    return reshaped(copies, (*before, size * repeats, *after))


def tile(x: Array, repetitions: tuple[int, ...], /) -> Array:
    """The whole array `repetitions[i]` times along axis i.

    >>> import numpy as np
    >>> tile(np.asarray([1.0, 2.0]), (2,)).tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    ndim = max(x.ndim, len(repetitions))
    repetitions = (*(1 for _ in range(ndim - len(repetitions))), *repetitions)
    shape = (*(1 for _ in range(ndim - x.ndim)), *x.shape)
    single = [size for n in shape for size in (1, n)]
    copies = [size for pair in zip(repetitions, shape) for size in pair]
    return reshaped(
        broadcast_to(reshape(x, single), copies), tuple(r * n for r, n in zip(repetitions, shape))
    )


def meshgrid(*arrays: Array, indexing: Literal["xy", "ij"] = "xy") -> tuple[Array, ...]:
    """Coordinates of a grid: array i, of one axis, repeated along the axes of all others.

    Args:
        indexing: "ij": axis i belongs to array i; "xy": the first two axes are exchanged.

    >>> import numpy as np
    >>> [y.shape for y in meshgrid(np.ones(2), np.ones(3), indexing="ij")]
    [(2, 3), (2, 3)]
    """
    ndim = len(arrays)
    order = list(range(ndim))
    if indexing == "xy" and ndim > 1:
        order[:2] = [1, 0]
    lines = [reshape(x, tuple(-1 if i == axis else 1 for i in range(ndim))) for x, axis in zip(arrays, order)]
    shape = broadcast_shapes(*(line.shape for line in lines))
    return tuple(broadcast_to(line, shape) for line in lines)


def diff(
    x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """The differences of neighbours along `axis`, taken n times.

    Args:
        prepend, append: arrays to put before and after `x` along the axis.

    >>> import numpy as np
    >>> diff(np.asarray([1.0, 4.0, 9.0])).tolist()
    [3.0, 5.0]
    """
    parts = [part for part in (prepend, x, append) if part is not None]
    if len(parts) > 1:
        x = concat(parts, axis=axis)
    for _ in range(n):
        later, earlier = along(axis % x.ndim, slice(1, None)), along(axis % x.ndim, slice(None, -1))
        x = getitem(x, later) - getitem(x, earlier)
    return x


def along(axis: int, index: Any) -> tuple[Any, ...]:
    """The index that is `index` on one axis and leaves all others whole."""
    return (*(slice(None) for _ in range(axis)), index, ...)
