"""Embedding: a table of vectors, looked up by integers."""

from __future__ import annotations

from math import nan
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, device_of, idioms, namespace, refusing, size_of
from xpnn.functional.arguments import (
    as_indices,
    check_floating,
    check_indices,
    check_integer,
    check_rank,
)

__all__ = ["embedding"]


@refusing
def embedding(input: Array, weight: ArrayT, padding_idx: int | None = None) -> ArrayT:
    """Look up rows of a table: y[...] = weight[input[...]].

    Backward: each row of the table sums the gradients of all places where it was looked up,

        gweight[k] = sum over the places with input = k of gy,    gweight[padding_idx] = 0.

    Args:
        input: integers in [0, rows), any shape.
        weight: (rows, features), floating.
        padding_idx: the row that is never trained; a negative one counts from the end.

    Returns: (*input.shape, features).

    Raises: IndexOutOfRangeError for an index outside of the table, with its position (where indices cannot
    be read without stalling, on a GPU or under `jax.jit`, its row is NaN instead); DTypeError if the indices
    are not integers.

    >>> import numpy as np
    >>> embedding(np.asarray([2, 0]), np.asarray([[0.0], [0.1], [0.2]])).tolist()
    [[0.2], [0.0]]
    """
    check_integer(input, "embedding", "input")
    check_floating(weight, "embedding", "weight")
    check_rank(weight, 2, "embedding", "rows, features", "weight")
    rows = weight.shape[0]
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise ArgumentError(
                f"expects padding_idx between {-rows} and {rows - 1}, got {padding_idx}", subject="embedding"
            )
        padding_idx = padding_idx % rows
    indices = as_indices(input)
    hint = f"The table has {rows} rows (num_embeddings)"
    if check_indices(indices, rows, "embedding", "indices", hint):
        return _embedding(indices, weight, padding_idx=padding_idx)
    found = _embedding(indices % rows, weight, padding_idx=padding_idx)
    return namespace(found).multiply(found, _nan_where_outside(indices, rows, found.dtype))


@primitive
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
        gy = gy * namespace(trained).astype(trained, gy.dtype)[..., None]
    return None, _sum_into_rows(gy, indices, rows=weight.shape[0])


@primitive
def _sum_into_rows(values, indices, *, rows):
    """The table whose row k is the sum of the values at index k: the transpose of looking rows up."""
    xp = namespace(values, indices)
    count = size_of(indices.shape)
    table = idioms.index_add(
        xp.reshape(values, (count, values.shape[-1])), xp.reshape(indices, (count,)), rows
    )
    return table, (indices,)


@_sum_into_rows.backward
def _sum_into_rows_backward(gy, saved, needs, *, rows):
    (indices,) = saved
    return _embedding(indices, gy, padding_idx=None), None


def _nan_where_outside(indices: Array, rows: int, dtype: Any) -> Array:
    """(*indices.shape, 1) of ones, NaN where the index is outside of the table."""
    xp = namespace(indices)
    ones = xp.ones((*indices.shape, 1), dtype=dtype, device=device_of(indices))
    outside = xp.expand_dims((indices < 0) | (indices >= rows), axis=-1)
    return xp.where(outside, xp.full_like(ones, nan), ones)
