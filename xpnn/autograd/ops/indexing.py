"""Reading and writing at an index, each with its adjoint so that every order of derivative works."""

from __future__ import annotations

import math
import operator
from types import EllipsisType, NoneType
from typing import Any

from xpnn.autograd.core import TensorBase, new_view
from xpnn.autograd.ops.broadcasting import NUMBERS, broadcast_shapes, kind_of, unbroadcast
from xpnn.autograd.ops.lifting import unwrap
from xpnn.autograd.ops.manipulation import broadcast_to, flip, moveaxis, reshaped, reversed_view
from xpnn.autograd.ops.rules import as_operand
from xpnn.autograd.primitive import primitive, view_primitive
from xpnn.backend import (
    Array,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    backend_of,
    cheap_to_read,
    concrete,
    device_of,
    dtype_name,
    extremes,
    idioms,
    is_array,
    is_complex,
    move,
    namespace,
    python_scalar,
    refusing,
    seen_in_range,
    to_numpy,
)

# What an index that only selects a window is made of; anything else may be an array.
_PLAIN_PARTS = (int, slice, NoneType, EllipsisType, bool)

# -- any index


@refusing
def getitem(x: Array, index: Any) -> Array:
    """`x[index]`; of a Tensor a view, unless there are arrays or lists in the index.

    Args:
        index: integers, slices (with any step), `...`, None, integer arrays or lists, boolean masks, or a
            tuple of these. Integers, slices and None are applied first, as in PyTorch; so the axes of the
            arrays stay where the first of them stands, or come first where there are slices between them.

    Backward: the gradient, added up at the index in an array of zeros.

    >>> import numpy as np
    >>> getitem(np.asarray([1.0, 2.0, 3.0]), slice(1, None)).tolist()
    [2.0, 3.0]
    """
    window = _plain_window(index, unwrap(x).shape)
    if window is not None:
        return _getitem(x, index=window)
    plain, arrays, backwards = _read(index, x)
    y = x if arrays and all(part in (slice(None), Ellipsis) for part in plain) else _getitem(x, index=plain)
    if backwards:
        y = reversed_view(y, backwards)
    return _gathered(y, arrays) if arrays else y


def _gathered(x: Array, arrays: dict[int, Array]) -> Array:
    """Elements along the axes that have an array of positions, by one `take` along one axis."""
    axes = sorted(arrays)
    shape = broadcast_shapes(*(arrays[axis].shape for axis in axes))
    sizes = tuple([x.shape[axis] for axis in axes])
    place = axes[0]
    if axes != [*range(place, place + len(axes))]:
        x, place = moveaxis(x, tuple(axes), tuple(range(len(axes)))), 0
    before, after = x.shape[:place], x.shape[place + len(axes) :]
    positions: Any = 0
    for axis, size in zip(axes, sizes):
        positions = positions * size + _in_range(arrays[axis], size)
    xp = namespace(positions)
    positions = xp.reshape(xp.broadcast_to(positions, shape), (-1,))
    if len(axes) > 1:
        x = reshaped(x, (*before, math.prod(sizes), *after))
    return reshaped(_take(x, positions, axis=place), (*before, *shape, *after))


@view_primitive
def _getitem(x: Array, *, index: tuple) -> tuple[Array, tuple]:
    return x[index], (x.shape,)


@_getitem.write
def _getitem_write(x: Array, value: Array, *, index: tuple) -> Array:
    return _setitem(x, value, index=index)


@_getitem.backward
def _getitem_backward(g: Array, saved: tuple, needs: tuple, *, index: tuple) -> tuple[Array]:
    (shape,) = saved
    return (_scatter(g, index=index, shape=tuple(shape)),)


@primitive(half=True)
def _scatter(g: Array, *, index: tuple, shape: tuple[int, ...]) -> tuple[Array, tuple]:
    """Zeros of `shape` with `g` at `[index]`."""
    return _written(idioms.zeros_like_shape(g, shape), index, g), ()


@_scatter.backward
def _scatter_backward(gg: Array, saved: tuple, needs: tuple, *, index: tuple, **_: Any) -> tuple[Array]:
    return (_getitem(gg, index=index),)


def window(x: Array, y: Array, index: tuple) -> Array:
    """What another primitive has computed as `y`, of `x[index]`, as a view of `x`."""
    return new_view(y, x, _getitem, {"index": index}) if isinstance(x, TensorBase) else y


@refusing
def setitem(x: Array, value: Any, index: Any) -> Array:
    """A copy of `x` with `value`, broadcast, at `index` (see `getitem`).

    Axes of size 1 before those of the place may be there, as in PyTorch. Of a place that is named twice, the
    last value wins.

    Raises: ShapeError for a value of more axes than the place has.

    Backward: gx is the gradient with 0 at the index; gvalue is the gradient at the index.

    >>> import numpy as np
    >>> setitem(np.zeros(3), 5.0, 1).tolist()
    [0.0, 5.0, 0.0]
    """
    mask = _mask_over(index, x)
    if mask is not None and (type(value) in NUMBERS or value.ndim == 0):
        return _fill(x, value, mask=mask)
    plain, arrays, backwards = _read(index, x)
    if arrays:
        raw = unwrap(x)
        size = math.prod(raw.shape)
        xp = namespace(raw)
        places = xp.reshape(xp.arange(size, dtype=xp.int64, device=device_of(raw)), raw.shape)
        return write_at(x, getitem(places, index), value)
    if type(value) not in NUMBERS:
        value = _of_rank(value, x.ndim - sum([1 if type(p) is int else -(p is None) for p in plain]))
    if backwards and type(value) not in NUMBERS:
        value = flip(value, axis=tuple(axis for axis in backwards if axis >= -value.ndim))
    return _setitem(x, value, index=plain)


@primitive(half=True)
def _setitem(x: Array, value: Any, *, index: tuple) -> tuple[Array, tuple]:
    value, kind = _fitting(x, value)
    return _written(namespace(x).asarray(x, copy=True), index, value), (kind,)


@_setitem.backward
def _setitem_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, index: tuple) -> tuple:
    (kind,) = saved
    gx = _setitem(g, 0.0, index=index) if needs[0] else None
    return gx, unbroadcast(_getitem(g, index=index), *kind) if needs[1] else None


@primitive(half=True)
def _fill(x: Array, value: Any, *, mask: Array) -> tuple[Array, tuple]:
    """One number where the mask, which broadcasts, is true."""
    value, kind = _fitting(x, value)
    return namespace(x).where(mask, value, x), (kind,)


@_fill.backward
def _fill_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, mask: Array) -> tuple:
    (kind,) = saved
    xp = namespace(g)
    gx = _fill(g, 0.0, mask=mask) if needs[0] else None
    return gx, unbroadcast(xp.where(mask, g, 0.0), *kind) if needs[1] else None


def _fitting(x: Array, value: Any) -> tuple[Array, Any]:
    """What is written into `x`, in its element type; and what its gradient must be like."""
    xp, kind = namespace(x), kind_of(value)
    if kind is None:
        value = as_operand(value, like=x)
    if value.dtype != x.dtype and is_complex(unwrap(value)) and not is_complex(unwrap(x)):
        raise DTypeError(
            f"cannot hold {dtype_name(value.dtype)} numbers", subject=f"an array of {dtype_name(x.dtype)}"
        )
    return xp.astype(value, x.dtype, copy=False), kind


def _written(array: Array, index: tuple, value: Array) -> Array:
    """`array[index] = value`; the standard has no new axes (None) in an index that is written at."""
    if any(part is None for part in index):
        xp, inner = namespace(array), tuple([part for part in index if part is not None])
        value = xp.reshape(xp.broadcast_to(value, array[index].shape), array[inner].shape)
        index = inner
    return idioms.set_at(array, index, value)


# -- at positions in a row


def add_at(values: Array, positions: Array, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with each of `values` added at its position, counted in a row: adjoint of taking.

    >>> import numpy as np
    >>> add_at(np.asarray([1.0, 2.0, 4.0]), np.asarray([0, 3, 0]), (2, 2)).tolist()
    [[5.0, 0.0], [0.0, 2.0]]
    """
    positions = namespace(positions).reshape(positions, (-1,))
    total = _index_add(reshaped(values, (math.prod(values.shape),)), positions, count=math.prod(shape))
    return reshaped(total, shape)


def write_at(x: Array, positions: Array, value: Array | float) -> Array:
    """A copy of `x` with `value`, broadcast to the shape of `positions`, at them; the last one wins.

    Args:
        positions: raw integers, counted over the elements of `x` in a row.

    >>> import numpy as np
    >>> write_at(np.zeros((2, 2)), np.asarray([0, 3, 0]), np.asarray([1.0, 2.0, 4.0])).tolist()
    [[4.0, 0.0], [0.0, 2.0]]
    """
    if type(value) not in NUMBERS:
        value = broadcast_to(_without_ones(value, positions.ndim), positions.shape)
        value = reshaped(value, (math.prod(positions.shape),))
    return _write_at(x, value, positions=namespace(positions).reshape(positions, (-1,)))


@primitive(half=True)
def _write_at(x: Array, value: Any, *, positions: Array) -> tuple[Array, tuple]:
    value, kind = _fitting(x, value)
    xp, size = namespace(x), math.prod(x.shape)
    writers = idioms.last_writers(positions, size)
    row = xp.reshape(x, (-1,))
    if value.ndim and value.shape[0]:
        value = xp.take(value, xp.where(writers < 0, 0, writers), axis=0)
    if value.ndim == 0 or value.shape[0]:
        row = xp.where(writers < 0, row, value)
    return xp.reshape(row, x.shape), (writers, kind)


@_write_at.backward
def _write_at_backward(g: Array, saved: tuple, needs: tuple[bool, ...], *, positions: Array) -> tuple:
    writers, kind = saved
    writers = unwrap(writers)
    xp = namespace(g)
    untouched = xp.reshape(writers < 0, g.shape)
    gx = xp.where(untouched, g, 0.0) if needs[0] else None
    if not needs[1]:
        return gx, None
    row = reshaped(xp.where(untouched, 0.0, g), (math.prod(g.shape),))
    if kind[0] == ():
        return gx, unbroadcast(row, *kind)
    raw = namespace(positions)
    chosen = raw.take(writers, positions, axis=0)
    last = chosen == raw.arange(positions.shape[0], dtype=chosen.dtype, device=device_of(positions))
    return gx, unbroadcast(xp.where(last, _take(row, positions, axis=0), 0.0), *kind)


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
    return _take(x, _in_range(unwrap(indices), x.shape[axis]), axis=axis % x.ndim)


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
    indices = _in_range(unwrap(indices), x.shape[axis])
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
    return add_along_axis(g, indices, axis=axis, count=count), None


@primitive(half=True)
def add_along_axis(values: Array, indices: Array, *, axis: int, count: int) -> tuple[Array, tuple]:
    """Zeros, `count` long along `axis`, with `[i, indices[i, k]] += values[i, k]`."""
    xp = namespace(values)
    rows, positions = xp.moveaxis(values, axis, -1), xp.moveaxis(indices, axis, -1)
    leading = rows.shape[:-1]
    n_rows = math.prod(leading)
    starts = xp.arange(n_rows, dtype=indices.dtype, device=device_of(indices)) * count
    targets = positions + xp.reshape(starts, (*leading, 1))
    total = idioms.index_add(xp.reshape(rows, (-1,)), xp.reshape(targets, (-1,)), n_rows * count)
    return xp.moveaxis(xp.reshape(total, (*leading, count)), -1, axis), (indices,)


@add_along_axis.backward
def _add_along_axis_backward(g: Array, saved: tuple, needs: tuple, *, axis: int, **_: Any) -> tuple:
    (indices,) = saved
    return _take_along_axis(g, indices, axis=axis), None


# -- reading an index


def _plain_window(index: Any, shape: tuple[int, ...]) -> tuple | None:
    """What `_read` makes of an index of plain parts within their axes, as most are; None of any other."""
    parts = index if type(index) is tuple else (index,)
    named = len(parts) - sum([1 for part in parts if part is None or part is Ellipsis])
    axis, dots = 0, False
    for part in parts:
        kind = type(part)
        if part is None:
            continue
        if part is Ellipsis and not dots:
            axis, dots = axis + len(shape) - named, True
            continue
        if axis >= len(shape):
            return None
        size = shape[axis]
        axis += 1
        if kind is slice:
            for end in (part.start, part.stop):
                if end is not None and not (type(end) is int and -size <= end <= size):
                    return None
            if part.step is not None and not (type(part.step) is int and part.step > 0):
                return None
        elif kind is not int or not -size <= part < size:
            return None
    if named > len(shape):
        return None
    return parts if dots or axis == len(shape) else (*parts, Ellipsis)


def _read(index: Any, x: Array) -> tuple[tuple, dict[int, Array], tuple[int, ...]]:
    """The index in two steps, as every library can take them.

    Returns: integers, slices that go forwards, None and `...` (the standard wants all axes named, or `...`
        for the rest); the raw arrays of integers, by the axes of what these give; and the axes to reverse
        before them, counted from the end: PyTorch has no slices that go backwards.
    """
    parts = [_raw(part, x) for part in (index if isinstance(index, tuple) else (index,))]
    named = sum([_axes_named(part) for part in parts])
    if named > x.ndim:
        raise IndexOutOfRangeError(f"expects at most {x.ndim} indices, got {named}", subject="an index")
    if not any(part is Ellipsis for part in parts) and named < x.ndim:
        parts.append(Ellipsis)
    plain: list[Any] = []
    arrays: dict[int, Array] = {}
    backwards: list[int] = []
    axis = place = 0  # of the array, and of the result
    sizes = tuple(x.shape)
    for part in parts:
        if part is Ellipsis:
            axis, place = axis + x.ndim - named, place + x.ndim - named
        elif part is None:
            place += 1
        elif type(part) is bool:  # a new axis, with one element or none
            plain.append(None)
            arrays[place] = _no_or_one(part, x)
            place += 1
            continue
        elif _is_array(part):
            found = _mask_positions(part, sizes[axis : axis + part.ndim]) if _is_mask(part) else (part,)
            for positions in found:
                plain.append(slice(None))
                arrays[place] = positions
                axis, place = axis + 1, place + 1
            continue
        elif isinstance(part, slice):
            if (part.step or 1) < 0:
                taken = range(*part.indices(sizes[axis]))
                part = slice(taken[-1], taken[0] + 1, -taken.step) if taken else slice(0, 0)
                backwards.append(place)
            elif _beyond(part, sizes[axis]):  # which the standard leaves open
                part = slice(*part.indices(sizes[axis]))
            axis, place = axis + 1, place + 1
        else:
            if not -sizes[axis] <= part < sizes[axis]:
                raise IndexOutOfRangeError(
                    f"expects an integer between {-sizes[axis]} and {sizes[axis] - 1} for axis {axis}, "
                    f"got {part}",
                    subject="an index",
                )
            axis += 1
        plain.append(part)
    return tuple(plain), arrays, tuple(axis - place for axis in backwards)


def _raw(part: Any, x: Array) -> Any:
    """Part of an index with a raw array in place of a Tensor or list, and integers as plain ones."""
    if type(part) in _PLAIN_PARTS:
        return part
    if isinstance(part, list | range | tuple):
        raw = unwrap(x)
        values = move(to_numpy([*part]), backend_of(raw), device_of(raw)) if part else _no_or_one(False, raw)
        part = values if values.ndim else _raw(values, x)
    if isinstance(part, slice):
        return slice(
            *[None if end is None else operator.index(end) for end in (part.start, part.stop, part.step)]
        )
    part = python_scalar(unwrap(part))
    if is_array(part):
        xp = namespace(part)
        if part.ndim == 0 and concrete(part):
            if xp.isdtype(part.dtype, "integral"):
                return int(part)
            if xp.isdtype(part.dtype, "bool"):
                return bool(part)
        if xp.isdtype(part.dtype, ("bool", "integral")):
            return part
        raise IndexOutOfRangeError(
            f"expects integers, booleans, slices, None or ..., got an array of {dtype_name(part.dtype)}",
            subject="an index",
        )
    if type(part) in _PLAIN_PARTS:
        return part
    return operator.index(part)


def _axes_named(part: Any) -> int:
    """How many axes of the array this part of an index speaks for."""
    if part is None or part is Ellipsis or type(part) is bool:
        return 0
    return part.ndim if _is_mask(part) else 1


def _beyond(part: slice, count: int) -> bool:
    """Whether a slice starts or stops outside of the axis."""
    return any(end is not None and not -count <= end <= count for end in (part.start, part.stop))


def _no_or_one(flag: bool, x: Array) -> Array:
    """The positions along a new axis that a boolean leaves."""
    raw = unwrap(x)
    return namespace(raw).zeros(int(flag), dtype=namespace(raw).int64, device=device_of(raw))


def _mask_positions(mask: Array, shape: tuple[int, ...]) -> list[Array]:
    """Where a mask of that shape is true, by axes; to the standard it may have axes of no elements."""
    if mask.ndim != len(shape) or any(m not in (n, 0) for m, n in zip(mask.shape, shape)):
        raise IndexOutOfRangeError(
            f"expects a mask of shape {tuple(shape)}, got {tuple(mask.shape)}", subject="an index"
        )
    return idioms.nonzero(mask)


def _mask_over(index: Any, x: Array) -> Array | None:
    """The mask, broadcasting against `x`, if the index is one mask of its first axes."""
    if isinstance(index, tuple):
        if len(index) != 1:
            return None
        (index,) = index
    if type(index) in _PLAIN_PARTS:
        return None
    mask = _raw(index, x)
    if not _is_mask(mask) or tuple(mask.shape) != tuple(x.shape[: mask.ndim]):
        return None
    return namespace(mask).reshape(mask, (*mask.shape, *[1] * (x.ndim - mask.ndim)))


def _is_array(part: Any) -> bool:
    return type(part) not in _PLAIN_PARTS and is_array(part)


def _is_mask(part: Any) -> bool:
    return _is_array(part) and namespace(part).isdtype(part.dtype, "bool")


def _in_range(positions: Array, count: int) -> Array:
    """Positions, those from the end as counted from the start.

    Raises: IndexOutOfRangeError where that can be seen without a stall.
    """
    if seen_in_range(positions, count):
        return positions
    xp = namespace(positions)
    if concrete(positions) and cheap_to_read(positions):
        lowest, highest = extremes(positions)
        if lowest < -count or highest >= count:
            wrong = lowest if lowest < -count else highest
            raise IndexOutOfRangeError(
                f"expects integers between {-count} and {count - 1}, got {wrong}", subject="an index"
            )
    if not xp.isdtype(positions.dtype, "signed integer"):
        return positions
    return xp.where(positions < 0, positions + count, positions)


def _without_ones(x: Array, ndim: int) -> Array:
    """Without axes of size 1 that are more than `ndim`, as PyTorch writes it."""
    extra = x.ndim - ndim
    if extra > 0 and all(n == 1 for n in x.shape[:extra]):
        return reshaped(x, tuple(x.shape[extra:]))
    return x


def _of_rank(value: Array, ndim: int) -> Array:
    """A value to write at a place of `ndim` axes."""
    fitting = _without_ones(value, ndim)
    if fitting.ndim > ndim:
        raise ShapeError(
            f"expects a value of at most {ndim} axes for this place, got one of shape {tuple(value.shape)}",
            subject="t[index] = value",
        )
    return fitting


def _with_one(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])
