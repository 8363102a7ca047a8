"""A table of vectors, looked up by integers."""

from __future__ import annotations

from math import nan
from typing import Any

from xpnn.autograd import Tensor, no_grad, ops, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    DTypeError,
    device_of,
    idioms,
    is_half,
    namespace,
    refusing,
    size_of,
)
from xpnn.functional.arguments import (
    as_indices,
    check_flags,
    check_floating,
    check_indices,
    check_integer,
    check_rank,
    number,
    raw_array,
    whole,
)

__all__ = ["embedding"]


@refusing
def embedding(
    input: Array,
    weight: ArrayT,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> ArrayT:
    """Look up rows of a table: y[...] = weight[input[...]].

    Backward: each row of the table sums the gradients of all places where it was looked up,

        gweight[k] = sum over the places with input = k of gy,    gweight[padding_idx] = 0.

    Args:
        input: integers in [0, rows), any shape.
        weight: (rows, features), floating.
        padding_idx: the row that is never trained; a negative one counts from the end.
        max_norm: rows that are looked up and whose norm is larger are first scaled down to it, in `weight`
            itself, which is a Tensor then; outside of the tape.
        norm_type: which norm that is: 2 is Euclid's.
        scale_grad_by_freq: whether each row's gradient is divided by how often it was looked up.
        sparse: is taken for PyTorch's sake; gradients are dense here, of the same values.

    Returns: (*input.shape, features).

    Raises: IndexOutOfRangeError for an index outside of the table, with its position (where indices cannot
    be read without stalling, on a GPU or under `jax.jit`, its row is NaN instead); DTypeError if the indices
    are not integers, or for max_norm and a raw array; ArgumentError for a padding_idx outside of the table, a
    negative max_norm and a norm_type of 0 or less.

    >>> import numpy as np
    >>> embedding(np.asarray([2, 0]), np.asarray([[0.0], [0.1], [0.2]])).tolist()
    [[0.2], [0.0]]
    """
    check_integer(input, "embedding", "input")
    check_table(weight, "embedding")
    check_flags("embedding", scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
    if padding_idx is not None:
        padding_idx = padding_row(padding_idx, weight.shape[0], "embedding")
    indices = as_indices(input)
    if max_norm is not None:
        shorten_rows(indices, weight, max_norm, norm_type, "embedding")
    return look_up(indices, weight, padding_idx, scale_grad_by_freq, "embedding")


def check_table(weight: Any, subject: str) -> None:
    """Raise a DTypeError or a ShapeError unless `weight` is a table (rows, features) of floats."""
    check_floating(weight, subject, "weight")
    check_rank(weight, 2, subject, "rows, features", "weight")


def padding_row(padding_idx: int, rows: int, subject: str) -> int:
    """The row of the padding, counted from the front. Raises: ArgumentError if there is none."""
    row = whole(padding_idx, "padding_idx", subject)
    if not -rows <= row < rows:
        raise ArgumentError(f"expects padding_idx between {-rows} and {rows - 1}, got {row}", subject=subject)
    return row % rows


def look_up(
    indices: Array, weight: Any, padding_idx: int | None, scale_grad_by_freq: bool, subject: str
) -> Any:
    """The rows of a table at raw indices, which are checked; see `embedding`."""
    rows = weight.shape[0]
    hint = f"The table has {rows} rows (num_embeddings)"
    valid = check_indices(indices, rows, subject, "indices", hint)
    inside = indices if valid else indices % rows
    found = _embedding(inside, weight, padding_idx=padding_idx)
    if scale_grad_by_freq:
        found = _divided_gradient(found, _frequencies(inside, rows, raw_array(weight)))
    if valid:
        return found
    return namespace(found).multiply(found, _nan_where_outside(indices, rows, raw_array(found).dtype))


def shorten_rows(indices: Array, weight: Any, max_norm: float, norm_type: float, subject: str) -> None:
    """Scale down, in the Tensor `weight`, the rows that `indices` name and whose norm exceeds `max_norm`."""
    largest, order = number(max_norm, "max_norm", subject), number(norm_type, "norm_type", subject)
    if largest < 0 or order <= 0:
        raise ArgumentError(
            f"expects max_norm of at least 0 and norm_type above 0, got {largest} and {order}",
            subject=subject,
        )
    if not isinstance(weight, Tensor):
        raise DTypeError(
            f"expects weight as a Tensor where max_norm changes it, got {type(weight).__name__}",
            subject=subject,
            hint="Make it one: xpnn.Tensor(weight)",
        )
    with no_grad():
        weight.copy_(Tensor(_shortened(weight.array, indices % max(weight.shape[0], 1), largest, order)))


@half_in_float32
def _shortened(table: Array, indices: Array, largest: float, order: float) -> Array:
    xp = namespace(table)
    norms = ops.vector_norm(table, axis=1, keepdims=True, ord=order)
    seen = _counts(indices, table.shape[0], table)
    factors = largest / (norms + 1e-7)  # PyTorch's guard against a division by 0
    return table * xp.where((seen > 0) & (norms > largest), factors, xp.ones_like(factors))


def _counts(indices: Array, rows: int, like: Array) -> Array:
    """How often each row is named: (rows, 1), float32 or wider as `like`."""
    xp, count = namespace(indices), size_of(indices.shape)
    dtype = xp.float32 if is_half(like) else like.dtype
    ones = xp.ones((count, 1), dtype=dtype, device=device_of(indices))
    return idioms.index_add(ones, xp.reshape(indices, (count,)), rows)


def _frequencies(indices: Array, rows: int, like: Array) -> Array:
    """For each place how often its index occurs: (*indices.shape, 1)."""
    return _embedding(indices, _counts(indices, rows, like), padding_idx=None)


@primitive(half=True)
def _divided_gradient(x, divisors):
    """The identity; the gradient is divided."""
    return x, (divisors,)


@_divided_gradient.backward
def _divided_gradient_backward(gy, saved, needs):
    (divisors,) = saved
    return gy / namespace(gy).astype(divisors, gy.dtype), None


@primitive(half=True)
def _embedding(indices, weight, *, padding_idx):
    xp = namespace(indices, weight)
    flat = xp.reshape(indices, (size_of(indices.shape),))
    y = xp.reshape(xp.take(weight, flat, axis=0), (*indices.shape, weight.shape[1]))
    return y, (indices, weight)


@_embedding.backward
def _embedding_backward(gy, saved, needs, *, padding_idx):
    indices, weight = saved
    if padding_idx is not None:
        trained = indices != padding_idx
        gy = gy * namespace(trained).astype(trained, raw_array(gy).dtype)[..., None]
    return None, sum_into_rows(gy, indices, rows=weight.shape[0])


@primitive
def sum_into_rows(values: Array, indices: Array, *, rows: int) -> tuple[Array, tuple]:
    """The table whose row k is the sum of the values at index k: the transpose of looking rows up."""
    xp = namespace(values, indices)
    count = size_of(indices.shape)
    table = idioms.index_add(
        xp.reshape(values, (count, values.shape[-1])), xp.reshape(indices, (count,)), rows
    )
    return table, (indices,)


@sum_into_rows.backward
def _sum_into_rows_backward(gy, saved, needs, *, rows):
    (indices,) = saved
    return _embedding(indices, gy, padding_idx=None), None


def _nan_where_outside(indices: Array, rows: int, dtype: Any) -> Array:
    """(*indices.shape, 1) of ones, NaN where the index is outside of the table."""
    xp = namespace(indices)
    ones = xp.ones((*indices.shape, 1), dtype=dtype, device=device_of(indices))
    outside = xp.expand_dims((indices < 0) | (indices >= rows), axis=-1)
    return xp.where(outside, xp.full_like(ones, nan), ones)
