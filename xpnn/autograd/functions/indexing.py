"""Reading and writing at places that other Tensors name.

What writes gives a new Tensor; the method whose name ends in `_` becomes it. Of a place that is named twice
the last value stays, on every library, and it alone has the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase, new_tensor
from xpnn.autograd.functions.axes import axis_of, integer
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import cast, result_name
from xpnn.autograd.functions.shape import diagonal as _diagonal
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.broadcasting import broadcast_shapes
from xpnn.autograd.ops.indexing import add_at, write_at
from xpnn.autograd.ops.joining import along
from xpnn.autograd.primitive import primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    can_cast,
    cheap_to_read,
    concrete,
    device_of,
    dtype_name,
    dtype_named,
    extremes,
    idioms,
    is_integer,
    namespace,
    size_of,
)

__all__ = [
    "argwhere",
    "diagonal_scatter",
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_reduce",
    "index_select",
    "masked_fill",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "put",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "select_scatter",
    "slice_scatter",
    "take",
    "take_along_dim",
    "unravel_index",
]

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")

# -- along an axis, an index for each element


@front
def gather(input: ArrayT, dim: int, index: Any, *, sparse_grad: bool = False) -> ArrayT:
    """y[i, k] = input[i, index[i, k]]: an index for each result, along `dim`.

    Args:
        index: integers; as many axes as `input`, and no longer than it on the others. Nothing is broadcast.
        sparse_grad: changes nothing: gradients are dense.

    >>> from xpnn.autograd import tensor
    >>> gather(tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 1, tensor([[1]]))
    tensor([[2.]])
    """
    axis = axis_of(dim, input.ndim, "gather")
    x, rows = _as_vectors(input, index, "gather")
    _check_within(rows, x, axis, "gather", "input")
    positions = _positions(rows, x.shape[axis], "gather")
    corner = tuple([slice(None) if i == axis else slice(0, n) for i, n in enumerate(positions.shape)])
    y = ops.take_along_axis(ops.getitem(x, corner), positions, axis=axis)
    return ops.reshape(y, tuple(index.shape))


@front
def scatter(
    input: ArrayT, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> ArrayT:
    """`input` with y[i, index[i, k]] = src[i, k] along `dim`.

    Args:
        index: integers; as many axes as `input` and `src`, and no longer than them on the others.
        src: a Tensor of the same element type, or a number (`value`).
        reduce: "add" or "multiply": what is there stays a summand, or a factor.

    >>> from xpnn.autograd import tensor
    >>> scatter(tensor([0.0, 0.0, 0.0]), 0, tensor([2, 0]), tensor([1.0, 2.0]))
    tensor([2., 0., 1.])
    """
    values = value if src is None else src
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise ArgumentError(f"expects reduce 'add' or 'multiply', got {reduce!r}", subject="scatter")
        if not isinstance(values, TensorBase):
            values = _filled_like(input, index, values)
        return _reduced(input, dim, index, values, "sum" if reduce == "add" else "prod", True, "scatter")
    if not isinstance(values, TensorBase):
        places = _flat_places(input, dim, index, "scatter")
        return write_at(input, places, _number(values, "scatter"))
    values = _source(input, dim, index, values, "scatter")
    return write_at(
        input,
        _flat_places(input, dim, index, "scatter"),
        ops.reshape(values, (-1,)) if size_of(values.shape) else values,
    )


@front
def scatter_add(input: ArrayT, dim: int, index: Any, src: Any) -> ArrayT:
    """`input` with y[i, index[i, k]] += src[i, k] along `dim` (see `scatter`).

    >>> from xpnn.autograd import tensor
    >>> scatter_add(tensor([0.0, 1.0]), 0, tensor([1, 1]), tensor([2.0, 3.0]))
    tensor([0., 6.])
    """
    return _reduced(input, dim, index, src, "sum", True, "scatter_add")


@front
def scatter_reduce(
    input: ArrayT, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True
) -> ArrayT:
    """`input` with, at y[i, j], the reduction of all src[i, k] with index[i, k] = j along `dim`.

    Args:
        reduce: "sum", "prod", "mean", "amax" or "amin"; equal extrema share the gradient.
        include_self: whether what was there takes part; elements that nothing goes to stay in any case.

    >>> from xpnn.autograd import tensor
    >>> scatter_reduce(tensor([0.0, 1.0]), 0, tensor([1, 1]), tensor([2.0, 3.0]), "prod", include_self=False)
    tensor([0., 6.])
    """
    return _reduced(input, dim, index, src, reduce, include_self, "scatter_reduce")


@front
def take_along_dim(input: ArrayT, indices: Any, dim: int | None = None) -> ArrayT:
    """`gather`, where input and indices broadcast; of the elements in a row without `dim`.

    >>> from xpnn.autograd import tensor
    >>> take_along_dim(tensor([[3.0, 1.0], [2.0, 4.0]]), tensor([[0]]), 1)
    tensor([[3.],
            [2.]])
    """
    if not isinstance(indices, TensorBase) or not is_integer(indices):
        raise DTypeError("expects indices as a Tensor of integers", subject="take_along_dim")
    if dim is None:
        row, places = (
            ops.reshape(input, (size_of(input.shape),)),
            ops.reshape(indices, (size_of(indices.shape),)),
        )
        return ops.take_along_axis(row, places, axis=0)
    if input.ndim != indices.ndim:
        raise ShapeError(
            f"expects input and indices of as many axes, got {tuple(input.shape)} and {tuple(indices.shape)}",
            subject="take_along_dim",
        )
    return ops.take_along_axis(input, indices, axis=axis_of(dim, input.ndim, "take_along_dim"))


# -- along an axis, an index for each slice


@front
def index_select(input: ArrayT, dim: int, index: Any) -> ArrayT:
    """The slices at `index`, (n,) integers, along `dim`.

    >>> from xpnn.autograd import tensor
    >>> index_select(tensor([[1, 2], [3, 4]]), 1, tensor([1, 1]))
    tensor([[2, 2],
            [4, 4]])
    """
    axis, places = _slices(input, dim, index, "index_select")
    y = ops.take(input if input.ndim else ops.reshape(input, (1,)), places, axis=axis)
    return y if input.ndim else ops.reshape(y, ())


@front
def index_add(input: ArrayT, dim: int, index: Any, source: Any, *, alpha: float = 1) -> ArrayT:
    """`input` with `alpha` times slice k of `source` added to its slice `index[k]` along `dim`.

    >>> from xpnn.autograd import tensor
    >>> index_add(tensor([1.0, 1.0]), 0, tensor([0, 0]), tensor([2.0, 3.0]))
    tensor([6., 1.])
    """
    grown, rows, _ = _spread_over(input, dim, index, source, "index_add")
    if alpha != 1:
        rows = cast(rows * alpha, input.dtype)
    return input + ops.reshape(add_at(rows, grown, tuple(input.shape)), tuple(input.shape))  # type: ignore[operator]


@front
def index_copy(input: ArrayT, dim: int, index: Any, source: Any) -> ArrayT:
    """`input` with slice k of `source` as its slice `index[k]` along `dim`.

    >>> from xpnn.autograd import tensor
    >>> index_copy(tensor([1.0, 1.0]), 0, tensor([1]), tensor([2.0]))
    tensor([1., 2.])
    """
    places, rows, _ = _spread_over(input, dim, index, source, "index_copy")
    return write_at(input, places, rows)


@front
def index_fill(input: ArrayT, dim: int, index: Any, value: Any) -> ArrayT:
    """`input` with a number in its slices `index` along `dim`.

    >>> from xpnn.autograd import tensor
    >>> index_fill(tensor([1.0, 1.0]), 0, tensor([1]), 5)
    tensor([1., 5.])
    """
    axis, places = _slices(input, dim, index, "index_fill")
    return write_at(input, _places_of_slices(input, axis, places), _number(value, "index_fill"))


@front
def index_reduce(
    input: ArrayT, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> ArrayT:
    """`scatter_reduce` with an index for each slice: "prod", "mean", "amax" or "amin"."""
    if reduce not in _REDUCTIONS[1:]:
        raise ArgumentError(
            f"expects reduce {', '.join(_REDUCTIONS[1:])}, got {reduce!r}", subject="index_reduce"
        )
    places, rows, _ = _spread_over(input, dim, index, source, "index_reduce")
    return _reduced_at(input, places, rows, reduce, include_self)


# -- anywhere


@front
def take(input: ArrayT, index: Any) -> ArrayT:
    """The elements at `index`, counted in a row, in the shape of `index`.

    >>> from xpnn.autograd import tensor
    >>> take(tensor([[1, 2], [3, 4]]), tensor([0, -1]))
    tensor([1, 4])
    """
    places = _positions(index, size_of(input.shape), "take", negative=True)
    flat = ops.reshape(places, (size_of(places.shape),))
    return ops.reshape(
        ops.take(ops.reshape(input, (size_of(input.shape),)), flat, axis=0), tuple(index.shape)
    )


@front
def put(input: ArrayT, index: Any, source: Any, accumulate: bool = False) -> ArrayT:
    """`input` with the elements of `source` at `index`, counted in a row; added there if `accumulate`."""
    places = _positions(index, size_of(input.shape), "put", negative=True)
    source = _same_type(input, source, "put")
    if size_of(source.shape) != size_of(places.shape):
        raise ShapeError(
            f"expects as many elements as indices, got {size_of(source.shape)} and {size_of(places.shape)}",
            subject="put",
        )
    values = ops.reshape(source, tuple(places.shape))
    if accumulate:
        return input + add_at(values, places, tuple(input.shape))  # type: ignore[operator]
    return write_at(input, places, values)


@front
def index_put(input: ArrayT, indices: Sequence[Any], values: Any, accumulate: bool = False) -> ArrayT:
    """`input` with `values`, which broadcast, at input[indices]; added there if `accumulate`.

    >>> from xpnn.autograd import tensor
    >>> index_put(tensor([1.0, 1.0]), (tensor([0, 0]),), tensor(2.0), accumulate=True)
    tensor([5., 1.])
    """
    values, index = _same_type(input, values, "index_put"), tuple(indices)
    if not accumulate:
        return ops.setitem(input, values, index)
    raw = input.array  # type: ignore[attr-defined]
    xp = namespace(raw)
    row = xp.arange(size_of(raw.shape), dtype=xp.int64, device=device_of(raw))
    places = ops.getitem(xp.reshape(row, raw.shape), index)
    return input + add_at(ops.broadcast_to(values, places.shape), places, tuple(raw.shape))  # type: ignore[operator]


@front
def masked_fill(input: ArrayT, mask: Any, value: Any) -> ArrayT:
    """A number where the mask, which broadcasts, is true.

    >>> from xpnn.autograd import tensor
    >>> masked_fill(tensor([1.0, 2.0]), tensor([True, False]), 5)
    tensor([5., 2.])
    """
    mask, value = _mask(mask, "masked_fill"), _number(value, "masked_fill")
    if isinstance(value, TensorBase):
        value = cast(value, input.dtype)
    elif isinstance(value, float | complex) and not can_cast(result_name(value), input.dtype):
        raise DTypeError(f"cannot put {value!r} among {dtype_name(input.dtype)}", subject="masked_fill")
    return ops.where(mask, value, input)


@front
def masked_select(input: ArrayT, mask: Any) -> ArrayT:
    """The elements where the mask is true, in a row; both broadcast.

    >>> from xpnn.autograd import tensor
    >>> masked_select(tensor([1.0, 2.0, 3.0]), tensor([True, False, True]))
    tensor([1., 3.])
    """
    shape = broadcast_shapes(tuple(input.shape), tuple(_mask(mask, "masked_select").shape))
    return (
        ops.getitem(ops.broadcast_to(input, shape), ops.broadcast_to(mask, shape))
        if shape
        else ops.getitem(ops.reshape(input, (1,)), ops.reshape(mask, (1,)))
    )


@front
def masked_scatter(input: ArrayT, mask: Any, source: Any) -> ArrayT:
    """The elements of `source`, one after the other, where the mask, which broadcasts, is true.

    >>> from xpnn.autograd import tensor
    >>> masked_scatter(tensor([1, 1, 1]), tensor([True, False, True]), tensor([5, 6, 7]))
    tensor([5, 1, 6])
    """
    source = _same_type(input, source, "masked_scatter")
    shape = broadcast_shapes(tuple(input.shape), tuple(_mask(mask, "masked_scatter").shape))
    whole, chosen = ops.broadcast_to(input, shape), ops.broadcast_to(mask, shape)
    raw = chosen.array
    xp = namespace(raw)
    order = xp.cumulative_sum(xp.astype(xp.reshape(raw, (-1,)), xp.int64), axis=0) - 1
    count = size_of(source.shape)
    if not order.shape[0]:
        return whole
    if concrete(order) and cheap_to_read(order) and extremes(order)[1] >= count:
        raise ShapeError(
            f"expects a source of at least {extremes(order)[1] + 1} elements, got {count}",
            subject="masked_scatter",
        )
    if not count:
        return whole
    places = xp.clip(order, 0, count - 1)
    taken = ops.reshape(ops.take(ops.reshape(source, (count,)), places, axis=0), shape)
    return ops.where(chosen, taken, whole)


@front
def nonzero(input: Any, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not 0: rows of (n, axes), or a vector for each axis.

    >>> from xpnn.autograd import tensor
    >>> nonzero(tensor([[0, 5], [7, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    raw = input.array
    if as_tuple:
        raw = raw if raw.ndim else namespace(raw).reshape(raw, (1,))
        return tuple([new_tensor(axis) for axis in idioms.nonzero(raw)])
    return _rows_of_places(raw)


@front
def nonzero_static(input: Any, *, size: int, fill_value: int = -1) -> Any:
    """The first `size` rows of `nonzero`, filled up with `fill_value` where there are less.

    >>> from xpnn.autograd import tensor
    >>> nonzero_static(tensor([0, 5, 7]), size=3).tolist()
    [[1], [2], [-1]]
    """
    if not isinstance(size, int) or size < 0:
        raise ArgumentError(
            f"expects size as a whole number >= 0, got {size!r:.60}", subject="nonzero_static"
        )
    rows = _rows_of_places(input.array).array
    missing = size - rows.shape[0]
    if missing <= 0:
        return new_tensor(rows[:size, :])
    xp = namespace(rows)
    shape = (missing, rows.shape[1])
    filling = xp.full(shape, fill_value, dtype=rows.dtype, device=device_of(rows))
    return new_tensor(xp.concat([rows, filling], axis=0))


@front
def argwhere(input: Any) -> Any:
    """The positions of the elements that are not 0, as rows (see `nonzero`)."""
    return _rows_of_places(input.array)


def _rows_of_places(raw: Array) -> Any:
    xp = namespace(raw)
    if not raw.ndim:
        (found,) = idioms.nonzero(xp.reshape(raw, (1,)))
        return new_tensor(xp.reshape(found, (found.shape[0], 1))[:, :0])
    return new_tensor(xp.stack(idioms.nonzero(raw), axis=1))


# -- a part of the Tensor


@front
def select_scatter(input: ArrayT, src: Any, dim: int, index: int) -> ArrayT:
    """`input` with `src` as its slice at `index` along `dim`."""
    axis = axis_of(dim, input.ndim, "select_scatter")
    part = along(axis, integer(index, "index", "select_scatter"))
    return _with_part(input, part, src, "select_scatter")


@front
def slice_scatter(
    input: ArrayT, src: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> ArrayT:
    """`input` with `src` as its slices from `start` to `end` along `dim`.

    >>> from xpnn.autograd import tensor
    >>> slice_scatter(tensor([1, 1, 1]), tensor([5, 6]), start=1)
    tensor([1, 5, 6])
    """
    axis = axis_of(dim, input.ndim, "slice_scatter")
    if integer(step, "step", "slice_scatter") <= 0:
        raise ArgumentError(f"expects a step above 0, got {step}", subject="slice_scatter")
    return _with_part(input, along(axis, slice(start, end, step)), src, "slice_scatter")


def _with_part(x: ArrayT, part: tuple, src: Any, subject: str) -> ArrayT:
    shown = tuple(ops.getitem(x.array, part).shape)  # type: ignore[attr-defined]
    if not isinstance(src, TensorBase) or tuple(src.shape) != shown:
        raise ShapeError(
            f"expects a source of shape {shown}, got {getattr(src, 'shape', src)}", subject=subject
        )
    return ops.setitem(x, src, part)


@front
def diagonal_scatter(input: ArrayT, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> ArrayT:
    """`input` with `src` as its diagonals (see `diagonal`).

    >>> from xpnn.autograd import tensor
    >>> diagonal_scatter(tensor([[1, 1], [1, 1]]), tensor([5, 6]))
    tensor([[5, 1],
            [1, 6]])
    """
    raw = input.array  # type: ignore[attr-defined]
    xp = namespace(raw)
    row = xp.arange(size_of(raw.shape), dtype=xp.int64, device=device_of(raw))
    places = _diagonal(xp.reshape(row, raw.shape), offset, dim1, dim2)
    if tuple(src.shape) != tuple(places.shape):
        raise ShapeError(
            f"expects a source of shape {tuple(places.shape)}, got {tuple(src.shape)}",
            subject="diagonal_scatter",
        )
    return write_at(input, places, src)


@front
def fill_diagonal(input: ArrayT, fill_value: float, wrap: bool = False) -> ArrayT:
    """`input` with a number on its main diagonal; of tall matrices again below, if `wrap`."""
    shape = tuple(input.shape)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise ShapeError(f"expects a matrix, or axes of one size, got {shape}", subject="fill_diagonal_")
    raw = input.array  # type: ignore[attr-defined]
    xp = namespace(raw)
    step = 1 + sum(math.prod(shape[axis + 1 :]) for axis in range(len(shape) - 1))
    side = min(shape)
    end = (
        size_of(shape)
        if wrap and len(shape) == 2
        else min(size_of(shape), (side - 1) * step + 1 if side else 0)
    )
    places = xp.arange(0, end, step, dtype=xp.int64, device=device_of(raw))
    return write_at(input, places, _number(fill_value, "fill_diagonal_"))


# -- where the values go


def _as_vectors(x: Any, index: Any, subject: str) -> tuple[Any, Any]:
    """Both with at least one axis, and as many."""
    if not isinstance(index, TensorBase):
        raise DTypeError(f"expects index as a Tensor, got {type(index).__name__}", subject=subject)
    if x.ndim != index.ndim and max(x.ndim, index.ndim) > 1 and size_of(index.shape):
        raise ShapeError(
            f"expects an index of {x.ndim} axes, got the shape {tuple(index.shape)}", subject=subject
        )
    if x.ndim != index.ndim and max(x.ndim, index.ndim) > 1:
        index = ops.reshape(index, (*[0] * x.ndim,)) if x.ndim else index
    return (y if y.ndim else ops.reshape(y, (1,)) for y in (x, index))  # type: ignore[return-value]


def _check_within(index: Any, x: Any, axis: int, subject: str, name: str, every: bool = False) -> None:
    """Raise unless the index is no longer than `x`, but along `axis`."""
    if not size_of(index.shape):
        return
    longer = [i for i, (n, m) in enumerate(zip(index.shape, x.shape)) if n > m and (every or i != axis)]
    if longer:
        raise ShapeError(
            f"expects an index no longer than the {name} of shape {tuple(x.shape)} on axis {longer[0]}, "
            f"got the shape {tuple(index.shape)}",
            subject=subject,
        )


def _positions(index: Any, count: int, subject: str, negative: bool = False) -> Any:
    """Integers as raw positions in range(count)."""
    if not isinstance(index, TensorBase) or not is_integer(index):
        kind = dtype_name(index.dtype) if isinstance(index, TensorBase) else type(index).__name__
        raise DTypeError(
            f"expects the index as integers, got {kind}", subject=subject, hint="Use index.long()"
        )
    raw = index.array
    xp = namespace(raw)
    lowest = -count if negative else 0
    if size_of(raw.shape) and concrete(raw) and cheap_to_read(raw):
        low, high = extremes(raw)
        if low < lowest or high >= count:
            raise IndexOutOfRangeError(
                f"expects an index between {lowest} and {count - 1}, got {low if low < lowest else high}",
                subject=subject,
            )
    raw = xp.astype(raw, xp.int64, copy=False)
    return xp.where(raw < 0, raw + count, raw) if negative else raw


def _flat_places(x: Any, dim: Any, index: Any, subject: str) -> Array:
    """Where x[i, index[i, k]] lies among all elements, as a row of raw integers."""
    axis = axis_of(dim, x.ndim, subject)
    whole, rows = _as_vectors(x, index, subject)
    _check_within(rows, whole, axis, subject, "input")
    positions = _positions(rows, whole.shape[axis], subject)
    xp = namespace(positions)
    steps = [math.prod(whole.shape[i + 1 :]) for i in range(whole.ndim)]
    steps_elsewhere = tuple([0 if i == axis else step for i, step in enumerate(steps)])
    places = idioms.positions(positions, tuple(positions.shape), steps_elsewhere, 0)
    return xp.reshape(places + positions * steps[axis], (size_of(positions.shape),))


def _source(x: Any, dim: Any, index: Any, src: Any, subject: str) -> Any:
    """The part of the source that the index has places for."""
    src = _same_type(x, src, subject)
    if not size_of(index.shape):  # of which the source may have any shape
        return ops.reshape(src, (-1,))[:0]
    values, rows = _as_vectors(src, index, subject)
    _check_within(rows, values, axis_of(dim, x.ndim, subject), subject, "source", every=True)
    return ops.getitem(values, tuple([slice(0, n) for n in rows.shape]))


def _same_type(x: Any, source: Any, subject: str) -> Any:
    if not isinstance(source, TensorBase):
        raise DTypeError(f"expects a Tensor as the source, got {type(source).__name__}", subject=subject)
    if source.dtype != x.dtype:
        raise DTypeError(
            f"expects one element type, got {dtype_name(x.dtype)} and {dtype_name(source.dtype)}",
            subject=subject,
        )
    return source


def _number(value: Any, subject: str) -> Any:
    """A number, or a Tensor without axes."""
    if isinstance(value, bool | int | float | complex):
        return value
    if isinstance(value, TensorBase) and not value.ndim:
        return value
    raise DTypeError(f"expects a number, got {value!r:.60}", subject=subject)


def _mask(mask: Any, subject: str) -> Any:
    if not isinstance(mask, TensorBase) or dtype_name(mask.dtype) != "bool":
        kind = dtype_name(mask.dtype) if isinstance(mask, TensorBase) else type(mask).__name__
        raise DTypeError(f"expects a mask of booleans, got {kind}", subject=subject, hint="Use mask.bool()")
    return mask


def _slices(x: Any, dim: Any, index: Any, subject: str) -> tuple[int, Array]:
    """The axis, and the raw positions of slices along it."""
    axis = axis_of(dim, x.ndim, subject)
    positions = _positions(index, x.shape[axis] if x.ndim else 1, subject)
    if positions.ndim > 1:
        raise ShapeError(f"expects a vector as the index, got {tuple(positions.shape)}", subject=subject)
    return axis, positions if positions.ndim else namespace(positions).reshape(positions, (1,))


def _places_of_slices(x: Any, axis: int, slices: Array) -> Array:
    """Where the elements of some slices along an axis lie among all elements, in the slices' shape."""
    shape = tuple(x.shape) or (1,)
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    sizes = (*shape[:axis], slices.shape[0], *shape[axis + 1 :])
    elsewhere = tuple([0 if i == axis else step for i, step in enumerate(steps)])
    column = (
        namespace(slices).reshape(slices, (-1, *[1] * (len(shape) - axis - 1))) if slices.shape[0] else slices
    )
    places = idioms.positions(slices, sizes, elsewhere, 0)
    return places + column * steps[axis] if slices.shape[0] else places


def _spread_over(x: Any, dim: Any, index: Any, source: Any, subject: str) -> tuple[Array, Any, int]:
    """Where the elements of the source go among those of `x`, in one shape, and the axis."""
    axis, slices = _slices(x, dim, index, subject)
    source = _same_type(x, source, subject)
    places = _places_of_slices(x, axis, slices)
    if tuple(source.shape) != tuple(places.shape):
        if size_of(source.shape) != 1 or size_of(places.shape) != 1:
            raise ShapeError(
                f"expects a source of shape {tuple(places.shape)}, got {tuple(source.shape)}", subject=subject
            )
        source = ops.reshape(source, tuple(places.shape))
    return places, source, axis


def _filled_like(x: Any, index: Any, value: Any) -> Any:
    number = _number(value, "scatter")
    raw = x.array
    full = namespace(raw).full(tuple(index.shape), number, dtype=raw.dtype, device=device_of(raw))
    return new_tensor(full)


# -- what several values at one place become


def _reduced(x: Any, dim: Any, index: Any, src: Any, reduce: str, include_self: bool, subject: str) -> Any:
    if reduce not in _REDUCTIONS:
        raise ArgumentError(f"expects reduce {', '.join(_REDUCTIONS)}, got {reduce!r}", subject=subject)
    values = _source(x, dim, index, src, subject)
    return _reduced_at(x, _flat_places(x, dim, index, subject), values, reduce, include_self)


@half_in_float32
def _reduced_at(x: Any, places: Array, values: Any, reduce: str, include_self: bool) -> Any:
    """`x` with the reduction of `values` at their places."""
    xp, count = namespace(places), size_of(x.shape)
    places = xp.reshape(places, (size_of(places.shape),))
    if not places.shape[0]:
        return x * 1 if reduce != "sum" else x + 0
    row, values = ops.reshape(x, (count,)), ops.reshape(values, (places.shape[0],))
    if reduce == "sum" and include_self:
        return x + add_at(values, places, tuple(x.shape))
    ones = xp.ones(places.shape, dtype=xp.int64, device=device_of(places))
    counts = idioms.index_add(ones, places, count)
    hit = counts > 0
    start = row if include_self else ops.where(hit, 0, row)
    if reduce in ("sum", "mean"):
        y = start + add_at(values, places, (count,))
        if reduce == "mean":
            shares = xp.where(hit, counts + int(include_self), 1)
            y = y // shares if is_integer(y) else y / namespace(x.array).astype(shares, x.array.dtype)
    elif reduce == "prod":
        product = _scanned(values, places, count, lambda a, b: a * b)
        y = ops.where(hit, product * row if include_self else product, row)
    else:
        y = _extremum_at(row, values, places, hit, largest=reduce == "amax", include_self=include_self)
    return ops.reshape(cast(y, x.dtype), tuple(x.shape))


def _scanned(values: Any, places: Array, count: int, combine: Callable[[Any, Any], Any]) -> Any:
    """What all values of one place combine to, by places: in log2(n) steps over the values in their order.

    Where no value goes, the result is 0.
    """
    raw, device = namespace(places), device_of(places)
    order = raw.argsort(places, stable=True)
    ordered, chain = raw.take(places, order, axis=0), ops.take(values, order, axis=0)
    n, span = ordered.shape[0], 1
    while span < n:
        together = raw.concat(
            [raw.zeros((span,), dtype=raw.bool, device=device), ordered[span:] == ordered[:-span]]
        )
        before = ops.getitem(chain, slice(0, n - span))
        shifted = ops.concat([ops.getitem(chain, slice(0, span)), before], axis=0)
        chain = ops.where(together, combine(chain, shifted), chain)
        span *= 2
    last = raw.concat([ordered[1:] != ordered[:-1], raw.ones((1,), dtype=raw.bool, device=device)])
    return add_at(ops.where(last, chain, 0), ordered, (count,))


def _extremum_at(row: Any, values: Any, places: Array, hit: Array, largest: bool, include_self: bool) -> Any:
    return _scatter_extremum(row, values, places=places, hit=hit, largest=largest, include_self=include_self)


@primitive(half=True)
def _scatter_extremum(
    row: Array, values: Array, *, places: Array, hit: Array, largest: bool, include_self: bool
) -> tuple[Array, tuple]:
    xp = namespace(row)
    found = _scanned(values, places, row.shape[0], xp.maximum if largest else xp.minimum)
    if include_self:
        found = xp.maximum(found, row) if largest else xp.minimum(found, row)
    y = xp.where(hit, found, row)
    return y, (row, values, y)


@_scatter_extremum.backward
def _scatter_extremum_backward(
    g: Array,
    saved: tuple,
    needs: tuple[bool, ...],
    *,
    places: Array,
    hit: Array,
    include_self: bool,
    **_: Any,
) -> tuple:
    row, values, y = [getattr(array, "array", array) for array in saved]
    xp = namespace(row)
    best = values == xp.take(y, places, axis=0)
    own = (row == y) & hit if include_self else xp.zeros_like(hit)
    winners = idioms.index_add(xp.astype(best, row.dtype), places, row.shape[0]) + xp.astype(own, row.dtype)
    share = g / xp.where(hit & (winners > 0), winners, 1)
    g_row = ops.where(hit, ops.where(own, share, 0.0), share)
    return g_row, ops.where(best, ops.take(share, places, axis=0), 0.0) if needs[1] else None


@front
def unravel_index(indices: Any, shape: int | Sequence[int]) -> tuple[Any, ...]:
    """The places, axis by axis, of elements of an array of `shape` that are counted row by row.

    Args:
        indices: integers from 0 to the number of elements.

    >>> from xpnn.autograd import tensor
    >>> unravel_index(tensor([5, 2]), (2, 3))
    (tensor([1, 0]), tensor([2, 2]))
    """
    sizes = [
        integer(size, "shape", "unravel_index") for size in ([shape] if isinstance(shape, int) else shape)
    ]
    if not is_integer(indices.array):
        raise DTypeError(f"expects integers, got {dtype_name(indices.dtype)}", subject="unravel_index")
    if any(size < 0 for size in sizes):
        raise ArgumentError(f"expects a shape without negative sizes, got {sizes}", subject="unravel_index")
    indices = ops.astype(indices, dtype_named("int64", namespace(indices.array)))  # sizes may be beyond uint8
    places = []
    for size in reversed(sizes):
        places.append(indices % size)
        indices = indices // size
    return tuple(reversed(places))
