"""Reading and writing at an index, each with its adjoint so that every order of derivative works."""

from __future__ import annotations

import math
from types import EllipsisType, NoneType
from typing import Any

from xpnn.autograd.core import TensorBase, new_view
from xpnn.autograd.ops.broadcasting import NUMBERS, broadcast_shapes, kind_of, unbroadcast
from xpnn.autograd.ops.lifting import unwrap
from xpnn.autograd.ops.manipulation import broadcast_to, flip, moveaxis, reshaped, reversed_view
from xpnn.autograd.primitive import primitive, view_primitive
from xpnn.backend import Array, ShapeError, device_of, idioms, is_array, namespace, python_scalar, refusing

# What an index that only selects a window is made of; anything else may be an array.
_PLAIN_PARTS = (int, slice, NoneType, EllipsisType, bool)

# -- any index


@refusing
def getitem(x: Array, index: Any) -> Array:
    """`x[index]`; of a Tensor a view, unless there are arrays or lists in the index.

    Args:
        index: integers, slices (with any step), `...`, None, integer arrays or lists, boolean masks, or a
            tuple of these.

    Backward: the gradient, added up at the index in an array of zeros.

    >>> import numpy as np
    >>> getitem(np.asarray([1.0, 2.0, 3.0]), slice(1, None)).tolist()
    [2.0, 3.0]
    """
    index, backwards = _plain(index, x)
    gather = _gather_axis(index, x)
    if gather is None:
        y = _at(x, index)
        return reversed_view(y, backwards) if backwards else y
    axis, positions = gather  # the standard has no mix of integer arrays and slices, but it has take
    rows = take(x, namespace(positions).reshape(positions, (-1,)), axis=axis)
    return reshaped(rows, (*x.shape[:axis], *positions.shape, *x.shape[axis + 1 :]))


def _at(x: Array, index: tuple) -> Array:
    """A view of `x` for an index of integers and slices, a copy for one with arrays."""
    return _copied(x, index=index) if any(map(_is_array, index)) else _getitem(x, index=index)


@view_primitive
def _getitem(x: Array, *, index: tuple) -> tuple[Array, tuple]:
    return x[index], (x.shape,)


@primitive(half=True)
def _copied(x: Array, *, index: tuple) -> tuple[Array, tuple]:
    return x[index], (x.shape,)


@_getitem.write
def _getitem_write(x: Array, value: Array, *, index: tuple) -> Array:
    return _setitem(x, value, index=index)


@_getitem.backward
@_copied.backward
def _getitem_backward(g: Array, saved: tuple, needs: tuple, *, index: tuple) -> tuple[Array]:
    (shape,) = saved
    return (_scatter(g, index=index, shape=tuple(shape)),)


@primitive(half=True)
def _scatter(g: Array, *, index: tuple, shape: tuple[int, ...]) -> tuple[Array, tuple]:
    """Zeros of `shape` with `[index] += g`."""
    if not any(_is_integer_array(part) for part in index):  # then no element is named twice
        return _written(idioms.zeros_like_shape(g, shape), index, g), ()
    xp, size = namespace(g), math.prod(shape)
    places = xp.reshape(xp.arange(size, device=device_of(g)), shape)[index]
    total = idioms.index_add(xp.reshape(g, (-1,)), xp.reshape(places, (-1,)), size)
    return xp.reshape(total, shape), ()


@_scatter.backward
def _scatter_backward(gg: Array, saved: tuple, needs: tuple, *, index: tuple, **_: Any) -> tuple[Array]:
    return (_at(gg, index),)


def window(x: Array, y: Array, index: tuple) -> Array:
    """What another primitive has computed as `y`, of `x[index]`, as a view of `x`."""
    return new_view(y, x, _getitem, {"index": index}) if isinstance(x, TensorBase) else y


@refusing
def setitem(x: Array, value: Array | float, index: Any) -> Array:
    """A copy of `x` with `value`, broadcast, at `index` (see `getitem`).

    Backward: gx is the gradient with 0 at the index; gvalue is the gradient at the index.

    >>> import numpy as np
    >>> setitem(np.zeros(3), 5.0, 1).tolist()
    [0.0, 5.0, 0.0]
    """
    index, backwards = _plain(index, x)
    if backwards and not isinstance(value, bool | int | float | complex):
        value = flip(value, axis=tuple(axis for axis in backwards if axis >= -value.ndim))
    return _setitem(x, value, index=index)


@primitive(half=True)
def _setitem(x: Array, value: Any, *, index: tuple) -> tuple[Array, tuple]:
    xp, saved = namespace(x), (kind_of(value),)
    if type(value) in NUMBERS:
        value = xp.asarray(value, dtype=x.dtype, device=device_of(x))
    value = xp.astype(value, x.dtype, copy=False)
    if _is_mask_of(x, index) and value.ndim == 0:
        return xp.where(index[0], value, x), saved
    return _written(xp.asarray(x, copy=True), index, value), saved


@_setitem.backward
def _setitem_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, index: tuple) -> tuple:
    (kind,) = saved
    gx = _setitem(g, 0.0, index=index) if needs[0] else None
    g_value = None
    if needs[1]:
        mask_of_number = _is_mask_of(g, index) and kind[0] == ()
        part = namespace(g).where(index[0], g, 0.0) if mask_of_number else _at(g, index)
        g_value = unbroadcast(part, *kind)
    return gx, g_value


def _written(array: Array, index: tuple, value: Array) -> Array:
    """`array[index] = value`; the standard has no new axes (None) in an index that is written at."""
    if any(part is None for part in index) and not any(_is_array(part) for part in index):
        xp, inner = namespace(array), tuple([part for part in index if part is not None])
        value = xp.reshape(xp.broadcast_to(value, array[index].shape), array[inner].shape)
        index = inner
    return idioms.set_at(array, index, value)


# -- along one axis


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The slices of `x` at `indices`, (n,) integers, along `axis`. Negative ones count from the end.

    Args:
        axis: may be left out for arrays of one axis.

    Backward: the gradient's slices, added up where they were taken from.

    >>> import numpy as np
    >>> take(np.asarray([1.0, 2.0, 3.0]), np.asarray([2, 0, 2])).tolist()
    [3.0, 1.0, 3.0]
    """
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"needs an axis for an array of shape {tuple(x.shape)}", subject="take")
        axis = 0
    return _take(x, _from_start(indices, x.shape[axis]), axis=axis % x.ndim)


@primitive(half=True)
def _take(x: Array, indices: Array, *, axis: int) -> tuple[Array, tuple]:
    return namespace(x).take(x, indices, axis=axis), (indices, (x.shape[axis],))


@_take.backward
def _take_backward(g: Array, saved: tuple, needs: tuple, *, axis: int) -> tuple[Array, None]:
    indices, (count,) = saved
    return moveaxis(_index_add(moveaxis(g, axis, 0), indices, count=count), 0, axis), None


@primitive(half=True)
def _index_add(values: Array, indices: Array, *, count: int) -> tuple[Array, tuple]:
    """Zeros of (count, ...) with `[indices[k]] += values[k]`: the adjoint of `take` along axis 0."""
    return idioms.index_add(values, indices, count), (indices,)


@_index_add.backward
def _index_add_backward(g: Array, saved: tuple, needs: tuple, *, count: int) -> tuple[Array, None]:
    (indices,) = saved
    return _take(g, indices, axis=0), None


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """y[i, k] = x[i, indices[i, k]]: an index for each result, along `axis`.

    Args:
        indices: integers; as many axes as `x`, which broadcast against it except along `axis`.

    Backward: the gradient, added up where its elements were taken from.

    >>> import numpy as np
    >>> take_along_axis(np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([[1], [0]])).tolist()
    [[2.0], [3.0]]
    """
    axis = axis % x.ndim
    indices = _from_start(indices, x.shape[axis])
    if x.shape[:axis] != indices.shape[:axis] or x.shape[axis + 1 :] != indices.shape[axis + 1 :]:
        rows = broadcast_shapes(_with_one(x.shape, axis), _with_one(indices.shape, axis))
        x = broadcast_to(x, (*rows[:axis], x.shape[axis], *rows[axis + 1 :]))
        indices = broadcast_to(indices, (*rows[:axis], indices.shape[axis], *rows[axis + 1 :]))
    return _take_along_axis(x, indices, axis=axis)


@primitive(half=True)
def _take_along_axis(x: Array, indices: Array, *, axis: int) -> tuple[Array, tuple]:
    return namespace(x).take_along_axis(x, indices, axis=axis), (indices, (x.shape[axis],))


@_take_along_axis.backward
def _take_along_axis_backward(g: Array, saved: tuple, needs: tuple, *, axis: int) -> tuple[Array, None]:
    indices, (count,) = saved
    return _add_along_axis(g, indices, axis=axis, count=count), None


@primitive(half=True)
def _add_along_axis(values: Array, indices: Array, *, axis: int, count: int) -> tuple[Array, tuple]:
    """Zeros, `count` long along `axis`, with `[i, indices[i, k]] += values[i, k]`."""
    xp = namespace(values)
    rows, positions = xp.moveaxis(values, axis, -1), xp.moveaxis(indices, axis, -1)
    leading = rows.shape[:-1]
    n_rows = math.prod(leading)
    starts = xp.arange(n_rows, dtype=indices.dtype, device=device_of(indices)) * count
    targets = positions + xp.reshape(starts, (*leading, 1))
    total = idioms.index_add(xp.reshape(rows, (-1,)), xp.reshape(targets, (-1,)), n_rows * count)
    return xp.moveaxis(xp.reshape(total, (*leading, count)), -1, axis), (indices,)


@_add_along_axis.backward
def _add_along_axis_backward(g: Array, saved: tuple, needs: tuple, *, axis: int, **_: Any) -> tuple:
    (indices,) = saved
    return _take_along_axis(g, indices, axis=axis), None


# -- reading an index


def _plain(index: Any, x: Array) -> tuple[tuple, tuple[int, ...]]:
    """The index as every library reads it, and the axes of the result to reverse then.

    The standard wants all axes named, or `...` for the rest; PyTorch has no slices that go backwards. The
    axes are counted from the end.
    """
    parts = tuple([_raw(part, x) for part in (index if isinstance(index, tuple) else (index,))])
    named = sum([_axes_named(part) for part in parts])
    if named < x.ndim and not any(part is Ellipsis for part in parts):
        parts = (*parts, ...)
    if any(isinstance(part, slice) and (part.step or 1) < 0 for part in parts):
        return _upwards(parts, x.shape, x.ndim - named)
    return parts, ()


def _raw(part: Any, x: Array) -> Any:
    """Part of an index with a raw array in place of a Tensor or list."""
    if type(part) in _PLAIN_PARTS:
        return part
    if isinstance(part, list):
        return namespace(unwrap(x)).asarray(part, device=device_of(x))
    return python_scalar(unwrap(part))


def _axes_named(part: Any) -> int:
    """How many axes of the array this part of an index speaks for."""
    kind = type(part)
    if kind is int or kind is slice:
        return 1
    if kind in _PLAIN_PARTS:
        return 0
    return part.ndim if _is_mask(part) else 1


def _upwards(parts: tuple, shape: tuple[int, ...], unnamed: int) -> tuple[tuple, tuple[int, ...]]:
    """The index with slices that go forwards, and the axes of the result to reverse."""
    if any(_is_array(part) for part in parts):
        return parts, ()
    result: list[Any] = []
    backwards: list[int] = []
    axis = place = 0  # of the array, and of the result
    for part in parts:
        if isinstance(part, slice) and (part.step or 1) < 0:
            taken = range(*part.indices(shape[axis]))
            part = slice(taken[-1], taken[0] + 1, -taken.step) if taken else slice(0, 0)
            backwards.append(place)
        result.append(part)
        axis += unnamed if part is Ellipsis else part is not None
        place += unnamed if part is Ellipsis else part is None or isinstance(part, slice)
    return tuple(result), tuple(before - place for before in backwards)


def _is_array(part: Any) -> bool:
    return type(part) not in _PLAIN_PARTS and is_array(part)


def _is_integer_array(part: Any) -> bool:
    return _is_array(part) and namespace(part).isdtype(part.dtype, "integral")


def _is_mask(part: Any) -> bool:
    return _is_array(part) and namespace(part).isdtype(part.dtype, "bool")


def _is_mask_of(x: Array, index: tuple) -> bool:
    """Whether the index is one mask for all of `x`."""
    return len(index) == 1 and _is_mask(index[0]) and index[0].ndim == x.ndim


def _gather_axis(index: tuple, x: Array) -> tuple[int, Array] | None:
    """The axis and the positions, if the index is one integer array and leaves the other axes whole."""
    arrays = [i for i, part in enumerate(index) if _is_array(part)]
    if len(arrays) != 1 or not _is_integer_array(index[arrays[0]]):
        return None
    (place,) = arrays
    before, after = index[:place], index[place + 1 :]
    if any(part is not Ellipsis and part != slice(None) for part in before + after):
        return None
    return (x.ndim - 1 - len(after) if Ellipsis in before else place), index[place]


def _from_start(indices: Array, count: int) -> Array:
    """Indices from the end as indices from the start."""
    xp = namespace(indices)
    if not xp.isdtype(indices.dtype, "signed integer"):
        return indices
    return xp.where(indices < 0, indices + count, indices)


def _with_one(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])
