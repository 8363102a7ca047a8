"""Tensors put together, and taken apart into views."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.axes import axis_of, integer, sizes_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.functions.promotion import promoted
from xpnn.autograd.functions.shape import atleast_1d, atleast_2d, atleast_3d
from xpnn.autograd.ops.joining import along
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    size_of,
    to_numpy,
)

__all__ = [
    "block_diag",
    "cartesian_prod",
    "cat",
    "chunk",
    "column_stack",
    "combinations",
    "concat",
    "concatenate",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "meshgrid",
    "row_stack",
    "split",
    "split_with_sizes",
    "stack",
    "tensor_split",
    "unbind",
    "vsplit",
    "vstack",
]

# -- together


@front
def cat(tensors: Sequence[ArrayT], dim: int = 0) -> ArrayT:
    """The Tensors one after the other along an axis, in the element type that all go into.

    Args:
        tensors: of equal sizes but along `dim`; a vector without elements is left out.

    >>> from xpnn.autograd import tensor
    >>> cat([tensor([1, 2]), tensor([3.0])])
    tensor([1., 2., 3.])
    """
    return _concatenated(tensors, dim, "cat")


@front
def concat(tensors: Sequence[ArrayT], dim: int = 0) -> ArrayT:
    """`cat` under another name."""
    return _concatenated(tensors, dim, "concat")


@front
def concatenate(tensors: Sequence[ArrayT], dim: int = 0) -> ArrayT:
    """`cat` under NumPy's name."""
    return _concatenated(tensors, dim, "concatenate")


def _concatenated(tensors: Sequence[ArrayT], dim: Any, subject: str) -> ArrayT:
    parts = promoted(*_listed(tensors, subject))
    kept = [x for x in parts if tuple(x.shape) != (0,)] or parts[:1]
    axis = axis_of(dim, kept[0].ndim, subject)
    first = tuple(kept[0].shape)
    for x in kept:
        shape = tuple(x.shape)
        if not shape:
            raise ShapeError("expects Tensors of at least one axis, got a number", subject=subject)
        if len(shape) != len(first) or any(
            i != axis and n != m for i, (n, m) in enumerate(zip(shape, first))
        ):
            raise ShapeError(
                f"expects equal sizes on all axes but {axis}, got {first} and {shape}", subject=subject
            )
    return ops.concat(kept, axis=axis)


def _listed(tensors: Any, subject: str) -> list[Any]:
    if isinstance(tensors, TensorBase):
        raise DTypeError(
            "expects a list of Tensors, got one Tensor", subject=subject, hint=f"Write {subject}([a, b])"
        )
    listed = list(tensors)
    if not listed:
        raise ArgumentError("expects at least one Tensor, got none", subject=subject)
    for x in listed:
        if not isinstance(x, TensorBase):
            raise DTypeError(f"expects Tensors, got {type(x).__name__} among them", subject=subject)
    return listed


@front
def stack(tensors: Sequence[ArrayT], dim: int = 0) -> ArrayT:
    """Tensors of one shape along a new axis, in the element type that all go into.

    >>> from xpnn.autograd import tensor
    >>> stack([tensor([1, 2]), tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    parts = promoted(*_listed(tensors, "stack"))
    shapes = {tuple(x.shape) for x in parts}
    if len(shapes) > 1:
        raise ShapeError(f"expects Tensors of one shape, got {sorted(shapes)}", subject="stack")
    return ops.stack(parts, axis=axis_of(dim, parts[0].ndim + 1, "stack"))


@front
def hstack(tensors: Sequence[ArrayT]) -> ArrayT:
    """Side by side: along axis 1, of vectors along their only one."""
    parts = atleast_1d(_listed(tensors, "hstack"))
    return _concatenated(parts, 0 if parts[0].ndim == 1 else 1, "hstack")


@front
def vstack(tensors: Sequence[ArrayT]) -> ArrayT:
    """One above the other: along axis 0; vectors are rows."""
    return _concatenated(atleast_2d(_listed(tensors, "vstack")), 0, "vstack")


row_stack = vstack


@front
def dstack(tensors: Sequence[ArrayT]) -> ArrayT:
    """One behind the other: along axis 2 (see `atleast_3d`)."""
    return _concatenated(atleast_3d(_listed(tensors, "dstack")), 2, "dstack")


@front
def column_stack(tensors: Sequence[ArrayT]) -> ArrayT:
    """Side by side, where vectors are columns."""
    columns = [
        ops.reshape(x, (size_of(x.shape), 1)) if x.ndim < 2 else x for x in _listed(tensors, "column_stack")
    ]
    return _concatenated(columns, 1, "column_stack")


@front
def block_diag(*tensors: Any) -> Any:
    """The matrices along the diagonal of one that is 0 elsewhere; vectors are rows.

    >>> from xpnn.autograd import tensor
    >>> block_diag(tensor([[1, 2]]), tensor([[3]]))
    tensor([[1, 2, 0],
            [0, 0, 3]])
    """
    blocks = atleast_2d(promoted(*_listed(tensors, "block_diag")))
    if any(x.ndim != 2 for x in blocks):
        raise ShapeError("expects matrices, vectors and numbers", subject="block_diag")
    width, left, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        zeros = [x.new_zeros(x.shape[0], n) for n in (left, width - left - x.shape[1])]
        rows.append(ops.concat([zeros[0], x, zeros[1]], axis=1))
        left += x.shape[1]
    return ops.concat(rows, axis=0)


@front
def meshgrid(*tensors: Any, indexing: Literal["ij", "xy"] = "ij") -> tuple[Any, ...]:
    """Coordinates of a grid: vector i repeated along the axes of all others.

    Args:
        tensors: vectors or numbers of one element type, or one list of them.
        indexing: "ij": axis i belongs to vector i; "xy": the first two axes are exchanged.

    >>> from xpnn.autograd import tensor
    >>> meshgrid(tensor([1, 2]), tensor([3, 4]))[0]
    tensor([[1, 1],
            [2, 2]])
    """
    lines = _listed(
        tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors, "meshgrid"
    )
    if indexing not in ("ij", "xy"):
        raise ArgumentError(f"expects indexing 'ij' or 'xy', got {indexing!r}", subject="meshgrid")
    if any(x.ndim > 1 for x in lines):
        raise ShapeError(f"expects vectors, got {[tuple(x.shape) for x in lines]}", subject="meshgrid")
    if any(x.dtype != lines[0].dtype for x in lines):
        raise DTypeError("expects Tensors of one element type", subject="meshgrid")
    return ops.meshgrid(*atleast_1d(lines), indexing=indexing)


@front
def cartesian_prod(*tensors: Any) -> Any:
    """All tuples of an element of each vector, as rows.

    >>> from xpnn.autograd import tensor
    >>> cartesian_prod(tensor([1, 2]), tensor([3, 4])).tolist()
    [[1, 3], [1, 4], [2, 3], [2, 4]]
    """
    if any(x.ndim != 1 for x in _listed(tensors, "cartesian_prod")):
        raise ShapeError("expects vectors", subject="cartesian_prod")
    if len(tensors) == 1:
        return tensors[0]
    columns = [ops.reshape(x, (-1 if size_of(x.shape) else 0,)) for x in meshgrid(*tensors)]
    return ops.stack(columns, axis=1)


@front
def combinations(input: ArrayT, r: int = 2, with_replacement: bool = False) -> ArrayT:
    """All choices of r elements of a vector, in their order, as rows.

    >>> from xpnn.autograd import tensor
    >>> combinations(tensor([1, 2, 3])).tolist()
    [[1, 2], [1, 3], [2, 3]]
    """
    if input.ndim != 1:
        raise ShapeError(f"expects a vector, got the shape {tuple(input.shape)}", subject="combinations")
    count = integer(r, "r", "combinations")
    if count < 0:
        raise ArgumentError(f"expects r of at least 0, got {r}", subject="combinations")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    chosen = [list(places) for places in choose(range(input.shape[0]), count)]
    if count == 0:
        return ops.getitem(input, slice(0, 0))
    flat = ops.getitem(input, [place for places in chosen for place in places])
    return ops.reshape(flat, (len(chosen), count))


# -- apart


@front
def split(
    input: ArrayT, split_size_or_sections: Any = None, dim: int = 0, **named: Any
) -> tuple[ArrayT, ...]:
    """Pieces along an axis, as views.

    Args:
        split_size_or_sections: the size of each piece but the last, which may be smaller, or all sizes. The
            method names it `split_size`.

    >>> from xpnn.autograd import tensor
    >>> [x.tolist() for x in split(tensor([1, 2, 3]), 2)]
    [[1, 2], [3]]
    """
    size = named.pop("split_size", split_size_or_sections)
    if named or size is None:
        raise ArgumentError(f"expects split_size_or_sections and dim, got {sorted(named)}", subject="split")
    if isinstance(size, tuple | list):
        return _pieces(input, sizes_of((size,), None, "sizes", "split"), dim, "split")
    length = _length(input, dim, "split")
    step = integer(size, "split_size", "split")
    if step < 0 or (step == 0 and length > 0):
        raise ArgumentError(f"expects a positive split_size, got {step}", subject="split")
    sizes = [min(step, length - start) for start in range(0, length, step)] if length else [0]
    return _pieces(input, sizes, dim, "split")


@front
def split_with_sizes(input: ArrayT, split_sizes: Sequence[int], dim: int = 0) -> tuple[ArrayT, ...]:
    """Pieces of the given sizes along an axis, as views."""
    sizes = sizes_of((split_sizes,), None, "split_sizes", "split_with_sizes")
    return _pieces(input, sizes, dim, "split_with_sizes")


@front
def chunk(input: ArrayT, chunks: int, dim: int = 0) -> tuple[ArrayT, ...]:
    """At most `chunks` pieces of one size (the last may be smaller) along an axis, as views.

    >>> from xpnn.autograd import tensor
    >>> [x.tolist() for x in chunk(tensor([1, 2, 3, 4, 5]), 3)]
    [[1, 2], [3, 4], [5]]
    """
    length, count = _length(input, dim, "chunk"), integer(chunks, "chunks", "chunk")
    if count <= 0:
        raise ArgumentError(f"expects at least one chunk, got {count}", subject="chunk")
    if length == 0:
        return _pieces(input, [0] * count, dim, "chunk")
    step = -(-length // count)
    return _pieces(input, [min(step, length - start) for start in range(0, length, step)], dim, "chunk")


@front
def tensor_split(
    input: ArrayT, indices_or_sections: Any = None, dim: int = 0, **named: Any
) -> tuple[ArrayT, ...]:
    """Pieces along an axis, as views: so many of nearly one size, or those between given places.

    Args:
        indices_or_sections: how many pieces, or the places where a new one starts, which may be beyond the
            end. As keywords: `sections`, `indices`.

    >>> from xpnn.autograd import tensor
    >>> [x.tolist() for x in tensor_split(tensor([1, 2, 3, 4, 5]), 2)]
    [[1, 2, 3], [4, 5]]
    """
    places = named.pop("sections", named.pop("indices", indices_or_sections))
    if named or places is None:
        raise ArgumentError(
            f"expects indices_or_sections and dim, got {sorted(named)}", subject="tensor_split"
        )
    return _split_at(input, places, dim, "tensor_split")


# Pieces, most of them empty, that are made of one array.
_MOST_EMPTY = 10**6


def _split_at(x: ArrayT, places: Any, dim: Any, subject: str) -> tuple[ArrayT, ...]:
    length = _length(x, dim, subject)
    axis = axis_of(dim, x.ndim, subject)
    if isinstance(places, TensorBase):
        places = to_numpy(places).tolist()
    if isinstance(places, tuple | list):
        bounds = [0, *sizes_of((places,), None, "indices", subject), length]
        return tuple([ops.getitem(x, along(axis, slice(a, b))) for a, b in itertools.pairwise(bounds)])
    count = integer(places, "sections", subject)
    if count <= 0:
        raise ArgumentError(f"expects at least one section, got {count}", subject=subject)
    if count > max(length, _MOST_EMPTY):
        raise ArgumentError(f"expects sections that fit memory, got {count}", subject=subject)
    longer = length % count
    return _pieces(x, [length // count + (i < longer) for i in range(count)], dim, subject)


@front
def hsplit(input: ArrayT, indices_or_sections: Any) -> tuple[ArrayT, ...]:
    """`tensor_split` along axis 1, of a vector along its only one, into pieces of equal size."""
    return _equal_parts(input, indices_or_sections, 0 if input.ndim == 1 else 1, 1, "hsplit")


@front
def vsplit(input: ArrayT, indices_or_sections: Any) -> tuple[ArrayT, ...]:
    """`tensor_split` along axis 0 of what has two axes or more, into pieces of equal size."""
    return _equal_parts(input, indices_or_sections, 0, 2, "vsplit")


@front
def dsplit(input: ArrayT, indices_or_sections: Any) -> tuple[ArrayT, ...]:
    """`tensor_split` along axis 2, into pieces of equal size."""
    return _equal_parts(input, indices_or_sections, 2, 3, "dsplit")


def _equal_parts(x: ArrayT, places: Any, axis: int, ndim: int, subject: str) -> tuple[ArrayT, ...]:
    if x.ndim < ndim:
        raise ShapeError(f"expects at least {ndim} axes, got the shape {tuple(x.shape)}", subject=subject)
    if isinstance(places, int) and (places <= 0 or x.shape[axis] % places):
        raise ShapeError(f"cannot split a size of {x.shape[axis]} into {places} equal parts", subject=subject)
    return _split_at(x, places, axis, subject)


@front
def unbind(input: ArrayT, dim: int = 0) -> tuple[ArrayT, ...]:
    """The slices along an axis, without it, as views.

    >>> from xpnn.autograd import tensor
    >>> unbind(tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    _length(input, dim, "unbind")
    return ops.unstack(input, axis=axis_of(dim, input.ndim, "unbind"))


def _length(x: Any, dim: Any, subject: str) -> int:
    axis = axis_of(dim, x.ndim, subject)
    if not x.ndim:
        raise IndexOutOfRangeError("expects at least one axis, got a number", subject=subject)
    return x.shape[axis]


def _pieces(x: ArrayT, sizes: Sequence[int], dim: Any, subject: str) -> tuple[ArrayT, ...]:
    length, axis = _length(x, dim, subject), axis_of(dim, x.ndim, subject)
    if sum(sizes) != length or min(sizes, default=0) < 0:
        raise ShapeError(f"expects sizes that sum to {length}, got {list(sizes)}", subject=subject)
    ends = itertools.accumulate(sizes)
    return tuple([ops.getitem(x, along(axis, slice(end - n, end))) for n, end in zip(sizes, ends)])
