"""Bags of rows of a table: their sum, their mean or the largest of each feature.

A bag is a row of a matrix of indices, or what lies between two offsets into a vector of them.
"""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from xpnn.autograd.half import half_in_float32
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    cheap_to_read,
    concrete,
    device_of,
    idioms,
    namespace,
    refusing,
    to_numpy,
)
from xpnn.functional.arguments import (
    as_indices,
    check_flags,
    check_floating,
    check_integer,
    check_rank,
    check_same_dtype,
    raw_array,
    shape_of,
)
from xpnn.functional.embedding.table import (
    check_table,
    look_up,
    padding_row,
    shorten_rows,
    sum_into_rows,
)

__all__ = ["embedding_bag"]

_SUBJECT = "embedding_bag"


class _Bags(NamedTuple):
    """Where bags lie in a vector of `size` indices: bag b from edges[b] to edges[b + 1]."""

    edges: Array
    longest: int
    size: int


@refusing
def embedding_bag(
    input: Array,
    weight: ArrayT,
    offsets: Array | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> ArrayT:
    """Look up rows of a table and take the sum, mean or maximum of each bag of them.

    For bag b of places i, with row r_i = weight[input[i]]: y[b] = sum of w_i r_i, or the mean, or the largest
    of each feature. Backward: a row sums w_i gy[b] (over the size of the bag for the mean) of all its places;
    for the maximum the first largest place gets it; gw_i = sum over the features of gy[b] r_i.

    Args:
        input: (bags, length) of integers in [0, rows), or (n,) of bags one after the other.
        weight: (rows, features), floating.
        offsets: (bags,), where in a vector `input` each bag starts; the first is 0, none is before another.
        max_norm, norm_type, scale_grad_by_freq, sparse: as for `embedding`.
        mode: "sum", "mean" or "max".
        per_sample_weights: the w_i, of the shape of `input` and the element type of `weight`; only for "sum".
        include_last_offset: whether the last one of `offsets` starts no bag, but is the end of `input`.
        padding_idx: an index that is left out of its bag; a negative one counts from the end.

    Returns: (bags, features); 0 for a bag that is empty.

    Raises: as `embedding`; ShapeError for offsets with a matrix, or without them for a vector; ArgumentError
    for another mode, for weights without "sum", and for offsets that do not ascend from 0 within `input`.

    See: Joulin, Grave, Bojanowski & Mikolov (2017), "Bag of tricks for efficient text classification".

    >>> import numpy as np
    >>> table = np.asarray([[0.0], [1.0], [2.0]])
    >>> embedding_bag(np.asarray([0, 1, 2]), table, np.asarray([0, 1]), mode="sum").tolist()
    [[0.0], [3.0]]
    """
    check_integer(input, _SUBJECT, "input")
    check_rank(input, (1, 2), _SUBJECT, "bags, length; or all bags in a row")
    check_table(weight, _SUBJECT)
    check_flags(
        _SUBJECT,
        scale_grad_by_freq=scale_grad_by_freq,
        sparse=sparse,
        include_last_offset=include_last_offset,
    )
    _check_mode(mode, per_sample_weights, scale_grad_by_freq)
    indices = as_indices(input)
    bags = _bags_of(indices, offsets, include_last_offset)
    if per_sample_weights is not None:
        check_floating(per_sample_weights, _SUBJECT, "per_sample_weights")
        namespace(weight, per_sample_weights)
        check_same_dtype(_SUBJECT, weight, per_sample_weights=per_sample_weights)
        if shape_of(per_sample_weights) != shape_of(input):
            raise ShapeError(
                f"expects per_sample_weights of shape {shape_of(input)}, got {shape_of(per_sample_weights)}",
                subject=_SUBJECT,
            )
    if padding_idx is not None:
        padding_idx = padding_row(padding_idx, weight.shape[0], _SUBJECT)
    if max_norm is not None:
        shorten_rows(indices, weight, max_norm, norm_type, _SUBJECT)
    flat = namespace(indices).reshape(indices, (-1,))
    rows = look_up(flat, weight, None, scale_grad_by_freq, _SUBJECT)
    return _pooled(rows, per_sample_weights, flat, bags, mode, padding_idx)


def _check_mode(mode: Any, weights: Any, scale_grad_by_freq: bool) -> None:
    if not isinstance(mode, str) or mode not in ("sum", "mean", "max"):
        raise ArgumentError(f"expects mode to be 'sum', 'mean' or 'max', got {mode!r}", subject=_SUBJECT)
    if weights is not None and mode != "sum":
        raise ArgumentError(f"takes per_sample_weights for mode='sum' only, got {mode!r}", subject=_SUBJECT)
    if scale_grad_by_freq and mode == "max":
        raise ArgumentError("takes no scale_grad_by_freq for mode='max'", subject=_SUBJECT)


def _bags_of(indices: Array, offsets: Any, include_last_offset: bool) -> _Bags:
    xp, device = namespace(indices), device_of(indices)
    if indices.ndim == 2:
        if offsets is not None:
            raise ShapeError("expects no offsets for an input (bags, length)", subject=_SUBJECT)
        count, length = indices.shape
        edges = xp.arange(count + 1, dtype=indices.dtype, device=device) * length
        return _Bags(edges, length, count * length)
    if offsets is None:
        raise ShapeError("expects offsets for an input (n,), got None", subject=_SUBJECT)
    check_integer(offsets, _SUBJECT, "offsets")
    check_rank(offsets, 1, _SUBJECT, "bags", "offsets")
    size, edges = indices.shape[0], as_indices(offsets)
    namespace(indices, edges)
    if include_last_offset and edges.shape[0] == 0:
        raise ShapeError("expects at least one offset with include_last_offset, got none", subject=_SUBJECT)
    if include_last_offset:
        edges = edges[:-1]  # PyTorch's last bag, too, goes on to the end of the input
    edges = xp.concat([edges, xp.full((1,), size, dtype=edges.dtype, device=device)])
    longest = _longest(edges, size) if concrete(edges) and cheap_to_read(edges) else size
    return _Bags(edges, longest, size)


def _longest(edges: Array, size: int) -> int:
    """The length of the longest bag; checks the offsets, whose values can be read."""
    values = to_numpy(edges).tolist()
    if values[0] != 0 and len(values) > 1:
        raise ArgumentError(f"expects offsets that start with 0, got {values[0]}", subject=_SUBJECT)
    lengths = [end - start for start, end in pairwise(values)]
    if min(lengths, default=0) < 0 or values[-1] > size:
        raise ArgumentError(f"expects offsets that ascend from 0 to at most {size}", subject=_SUBJECT)
    return max(lengths, default=0)


@half_in_float32
def _pooled(rows: Any, weights: Any, indices: Array, bags: _Bags, mode: str, padding_idx: int | None) -> Any:
    """What the bags of the looked-up rows (n, features) come to."""
    xp = namespace(rows)
    kept = None if padding_idx is None else indices != padding_idx
    weights = None if weights is None else xp.reshape(weights, (-1,))
    if mode == "max" and bags.longest:
        return _largest(rows, kept, bags)
    if kept is not None:  # select: there may be NaN in the row of the padding, and in its weights
        rows = xp.where(kept[:, None], rows, xp.zeros_like(rows))
        weights = None if weights is None else xp.where(kept, weights, xp.zeros_like(weights))
    if weights is not None:
        rows = rows * weights[:, None]
    sums = _sums(rows, bags)
    if mode != "mean":
        return sums
    raw = raw_array(rows)
    ones = idioms.ones_like(raw[:, :1]) if kept is None else namespace(raw).astype(kept[:, None], raw.dtype)
    counts = _sums(ones, bags)
    return sums / namespace(counts).maximum(counts, namespace(counts).ones_like(counts))


def _sums(values: Any, bags: _Bags) -> Any:
    """The sum of the values (n, features) of each bag; those before the first and after the last are left."""
    edges, xp = bags.edges, namespace(bags.edges)
    places = xp.arange(bags.size, dtype=edges.dtype, device=device_of(edges))
    numbers = xp.astype(xp.searchsorted(edges, places, side="right"), edges.dtype)
    return sum_into_rows(values, numbers, rows=edges.shape[0] + 1)[1:-1, ...]


def _largest(rows: Any, kept: Array | None, bags: _Bags) -> Any:
    """The first largest of each feature in each bag; the bags are laid out as a matrix for it."""
    edges, xp = bags.edges, namespace(bags.edges)
    steps = xp.arange(bags.longest, dtype=edges.dtype, device=device_of(edges))
    places = edges[:-1, None] + steps[None, :]
    valid = places < edges[1:, None]
    places = xp.reshape(xp.where(valid, places, xp.zeros_like(places)), (-1,))
    if kept is not None:
        valid = valid & xp.reshape(xp.take(kept, places, axis=0), valid.shape)
    shape = (*valid.shape, rows.shape[1])
    mixed = namespace(rows)
    values = mixed.reshape(mixed.take(rows, places, axis=0), shape)
    values = mixed.where(valid[:, :, None], values, mixed.full_like(values, -inf))
    first = namespace(raw_array(values)).argmax(raw_array(values), axis=1, keepdims=True)
    largest = mixed.take_along_axis(values, first, axis=1)[:, 0, :]
    return mixed.where(xp.any(valid, axis=1)[:, None], largest, mixed.zeros_like(largest))
