"""Elements in order, the largest ones, those that differ."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

from xpnn.autograd import ops
from xpnn.autograd.core import as_array, new_tensor
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import NUMBERS, promoted, raw_of
from xpnn.autograd.ops.rules import as_operand
from xpnn.autograd.ops.sorting import places_of_extremes
from xpnn.backend import ArgumentError, Array, ArrayT, device_of, dtype_name, dtype_named, namespace, size_of

__all__ = [
    "argsort",
    "bucketize",
    "isin",
    "kthvalue",
    "msort",
    "searchsorted",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]


class ValuesAndIndices(NamedTuple):
    """What functions return that choose elements along an axis: them, and where they were."""

    values: Any
    indices: Any


@front
def sort(input: Any, dim: int = -1, descending: bool = False, *, stable: bool = False) -> ValuesAndIndices:
    """The elements in order along `dim`, and where they were; NaN counts as the largest.

    Args:
        stable: is accepted: equal elements always keep their order.

    The gradient of each element goes back to where it came from.

    >>> from xpnn.autograd import tensor
    >>> sort(tensor([3.0, 1.0, 2.0])).indices
    tensor([1, 2, 0])
    """
    if not input.shape:
        return ValuesAndIndices(ops.astype(input, input.dtype, copy=True), _zero_index(input, dim))
    indices = argsort(input, dim, descending)
    return ValuesAndIndices(ops.take_along_axis(input, indices, axis=dim), indices)


@front
def argsort(input: ArrayT, dim: int = -1, descending: bool = False, stable: bool = False) -> ArrayT:
    """The indices that put the elements in order; see `sort`."""
    if not input.shape:
        return _zero_index(input, dim)
    return ops.argsort(_ordered(input), axis=dim, descending=descending)


@front
def msort(input: ArrayT) -> ArrayT:
    """The elements in order along the first axis."""
    return sort(input, 0).values


@front
def topk(input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesAndIndices:
    """The k largest elements along `dim`, the largest first, and where they were.

    Args:
        largest: False takes the smallest ones, the smallest first.
        sorted: is accepted: they are always in order.

    Raises: ArgumentError for k beyond the size of the axis.

    >>> from xpnn.autograd import tensor
    >>> topk(tensor([1.0, 3.0, 2.0]), 2).values
    tensor([3., 2.])
    """
    if not input.shape:
        if operator.index(k) not in (0, 1):
            raise ArgumentError(f"expects k of 0 or 1 for one element, got {k}", subject="topk")
        return sort(input, dim)
    if not 0 <= k <= input.shape[dim]:
        raise ArgumentError(f"expects 0 <= k <= {input.shape[dim]}, got {k}", subject="topk")
    x = raw_of(_ordered(input))
    indices = new_tensor(places_of_extremes(x, axis=dim % x.ndim, count=k, descending=largest))
    return ValuesAndIndices(ops.take_along_axis(input, indices, axis=dim), indices)


@front
def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The k-th smallest element along `dim`, counted from 1, and where it was.

    >>> from xpnn.autograd import tensor
    >>> kthvalue(tensor([3.0, 1.0, 2.0]), 2).values
    tensor(2.)
    """
    count = input.shape[dim] if input.shape else 1
    if not 1 <= k <= count:
        raise ArgumentError(f"expects 1 <= k <= {count}, got {k}", subject="kthvalue")
    if not input.shape:
        return sort(input, dim)
    return chosen_along(input, ops.take(argsort(input, dim), _index(input, k - 1), axis=dim), dim, keepdim)


@front
def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The elements that differ, in order.

    Args:
        sorted: is accepted: they are always in order.
        return_inverse: also give, for each element of the input, the index of its value in the result.
        return_counts: also give how often each occurs.
        dim: compares the slices along this axis as wholes; None compares elements.

    >>> from xpnn.autograd import tensor
    >>> unique(tensor([2, 1, 2]), return_counts=True)
    (tensor([1, 2]), tensor([1, 2]))
    """
    return _unique(input, True, return_inverse, return_counts, dim)


@front
def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements without those that equal the one before; see `unique`.

    >>> from xpnn.autograd import tensor
    >>> unique_consecutive(tensor([2, 2, 1, 2]))
    tensor([2, 1, 2])
    """
    return _unique(input, False, return_inverse, return_counts, dim)


@front
def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    """Where the elements of `input` belong in rows that are in order.

    Args:
        sorted_sequence: (..., n), with the axes of `input` before the last, or of one axis.
        input: (..., m), or a number.
        out_int32: int32 in place of int64.
        right, side: True or "right" finds the place after equal elements; else it is that before them.
        sorter: the indices that put `sorted_sequence` in order, where it is not.

    >>> from xpnn.autograd import tensor
    >>> searchsorted(tensor([1.0, 3.0, 5.0]), tensor([3.0, 4.0]))
    tensor([1, 2])
    """
    if side not in (None, "left", "right") or (right and side == "left"):
        raise ArgumentError(
            f"expects side 'left' or 'right', got {side!r}, right={right}", subject="searchsorted"
        )
    rows = raw_of(sorted_sequence)
    xp = namespace(rows)
    if sorter is not None:
        rows = xp.take_along_axis(rows, raw_of(sorter), axis=-1)
    number = type(input) in NUMBERS
    rows, values = map(raw_of, promoted(rows, input))
    if number:
        values = xp.reshape(as_operand(values, rows), (1,))
    rows, values = raw_of(_ordered(rows)), raw_of(_ordered(values))
    after = right or side == "right"
    if rows.ndim == 1:
        flat = xp.reshape(values, (-1,))
        found = xp.reshape(xp.searchsorted(rows, flat, side="right" if after else "left"), values.shape)
    else:
        found = _places(rows, values, after)
    found = xp.astype(found, dtype_named("int32" if out_int32 else "int64", xp))
    return new_tensor(as_array(xp.reshape(found, ()) if number else found))


@front
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """The numbers of the intervals between `boundaries` that the elements lie in.

    Args:
        boundaries: (n,), in order.
        right: whether an interval has its left boundary, and not its right one.

    >>> from xpnn.autograd import tensor
    >>> bucketize(tensor([0.0, 2.0, 9.0]), tensor([1.0, 3.0]))
    tensor([0, 1, 2])
    """
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@front
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Any:
    """Which elements are among `test_elements`.

    Args:
        assume_unique: is accepted.
        invert: which are not.

    >>> from xpnn.autograd import tensor
    >>> isin(tensor([1, 2, 3]), tensor([1, 3]))
    tensor([ True, False,  True])
    """
    x, tests = promoted(elements, test_elements)
    like = raw_of(tests if type(x) in NUMBERS else x)
    xp = namespace(like)
    x, tests = (
        xp.asarray(v, dtype=like.dtype, device=device_of(like)) if type(v) in NUMBERS else raw_of(v)
        for v in (x, tests)
    )
    tests = xp.sort(raw_of(_ordered(xp.reshape(tests, (-1,)))))
    values = raw_of(_ordered(x))
    if not tests.shape[0]:
        found = xp.full(values.shape, False, dtype=xp.bool, device=device_of(values))
    else:
        places = xp.searchsorted(tests, xp.reshape(values, (-1,)))
        nearest = xp.take(tests, xp.clip(places, 0, tests.shape[0] - 1))
        found = xp.reshape(nearest, values.shape) == values
    return new_tensor(as_array(~found if invert else found))


def chosen_along(x: Any, indices: Any, dim: int, keepdim: bool) -> ValuesAndIndices:
    """The elements at `indices`, which have size 1 along `dim`."""
    values = ops.take_along_axis(x, indices, axis=dim)
    if keepdim:
        return ValuesAndIndices(values, indices)
    return ValuesAndIndices(ops.squeeze(values, axis=dim), ops.squeeze(indices, axis=dim))


def _index(like: Any, value: int) -> Any:
    raw = raw_of(like)
    xp = namespace(raw)
    return new_tensor(xp.asarray([value], dtype=xp.int64, device=device_of(raw)))


def _zero_index(x: Any, dim: int) -> Any:
    """The index of the one element of an array without axes."""
    if dim not in (-1, 0):
        raise ArgumentError(f"expects dim 0 or -1 of a Tensor without axes, got {dim}", subject="sort")
    raw = raw_of(x)
    xp = namespace(raw)
    return new_tensor(xp.zeros((), dtype=xp.int64, device=device_of(raw)))


def _ordered(x: Any) -> Any:
    """Truth values as integers, which have an order in every library."""
    return ops.astype(x, namespace(raw_of(x)).uint8) if dtype_name(x.dtype) == "bool" else x


def _places(rows: Array, values: Array, after: bool) -> Array:
    """`searchsorted` of many rows: by halves, for all values at the same time."""
    xp = namespace(rows)
    low = xp.zeros(values.shape, dtype=xp.int64, device=device_of(rows))
    high = xp.full(values.shape, rows.shape[-1], dtype=xp.int64, device=device_of(rows))
    if not rows.shape[-1]:
        return low
    for _ in range(rows.shape[-1].bit_length()):
        middle = (low + high) // 2
        there = xp.take_along_axis(rows, xp.clip(middle, 0, rows.shape[-1] - 1), axis=-1)
        beyond = ((there <= values) if after else (there < values)) & (low < high)
        low, high = xp.where(beyond, middle + 1, low), xp.where(beyond | (low >= high), high, middle)
    return low


def _unique(x: Any, in_order: bool, return_inverse: bool, return_counts: bool, dim: int | None) -> Any:
    raw = raw_of(x)
    xp = namespace(raw)
    moved = (
        xp.reshape(raw, (-1,))
        if dim is None
        else xp.moveaxis(raw, dim, 0)
        if raw.ndim
        else xp.reshape(raw, (1,))
    )
    count = moved.shape[0]
    rows = xp.reshape(moved, (count, size_of(moved.shape[1:])))
    keys = raw_of(_ordered(rows))
    positions = xp.arange(count, dtype=xp.int64, device=device_of(raw))
    order = positions
    if in_order:  # the last column decides least
        for column in reversed(range(keys.shape[1])):
            order = xp.take(order, xp.argsort(xp.take(keys[:, column], order), stable=True))
    keys = xp.take(keys, order, axis=0)
    first = min(count, 1)
    differs = xp.any(keys[first:, ...] != keys[: count - first, ...], axis=1)
    starts = xp.nonzero(xp.concat([xp.ones_like(differs[:1]) if count > 1 else positions == 0, differs]))[0]
    result = [new_tensor(_unmoved(xp, xp.take(moved, xp.take(order, starts), axis=0), raw, dim))]
    if return_inverse:
        group = xp.cumulative_sum(xp.astype(xp.concat([positions[:first] != 0, differs]), xp.int64), axis=0)
        inverse = xp.take(group, xp.argsort(order))
        result.append(new_tensor(xp.reshape(inverse, raw.shape) if dim is None else inverse))
    if return_counts:
        end = xp.asarray([count], dtype=starts.dtype, device=device_of(raw))
        ends = xp.concat([starts[first:], end])[: starts.shape[0]]
        result.append(new_tensor(ends - starts))
    return result[0] if len(result) == 1 else tuple(result)


def _unmoved(xp: Any, rows: Array, like: Array, dim: int | None) -> Array:
    return rows if dim is None or not like.ndim else xp.moveaxis(rows, 0, dim)
