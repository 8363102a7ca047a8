"""The same elements in another shape or order.

Most results are views, as in PyTorch: what is written into them reaches the Tensor that they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from xpnn.autograd import ops
from xpnn.autograd.core import TensorBase
from xpnn.autograd.functions.axes import axes_of, axis_of, completed, integer, sizes_of
from xpnn.autograd.functions.calling import front
from xpnn.autograd.ops.broadcasting import broadcast_shapes as _broadcast_shapes
from xpnn.autograd.ops.joining import along
from xpnn.autograd.ops.manipulation import adjoint as conjugate_transpose
from xpnn.autograd.ops.strides import strided
from xpnn.autograd.size import Size
from xpnn.backend import (
    ArgumentError,
    ArrayT,
    DTypeError,
    IndexOutOfRangeError,
    ShapeError,
    ViewError,
    concrete,
    device_of,
    dtype_name,
    extremes,
    namespace,
    size_of,
)

__all__ = [
    "adjoint",
    "as_strided",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "broadcast_tensors",
    "broadcast_to",
    "diag",
    "diag_embed",
    "diagflat",
    "diagonal",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "moveaxis",
    "movedim",
    "narrow",
    "permute",
    "ravel",
    "repeat_interleave",
    "reshape",
    "roll",
    "rot90",
    "select",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tile",
    "transpose",
    "tril",
    "triu",
    "unflatten",
    "unsqueeze",
]


class Count(int):
    """The standard's `x.size`, the number of elements, of which PyTorch's `x.size()` asks the sizes."""

    shape: Size

    @classmethod
    def of(cls, shape: Size) -> Count:
        """The count of the elements of an array of that shape."""
        count = cls(math.prod(shape))
        count.shape = shape
        return count

    def __call__(self, dim: int | None = None) -> Any:
        """The sizes of all axes, or of one; raises an IndexOutOfRangeError if there is no such axis."""
        if dim is None:
            return self.shape
        if not self.shape:
            raise IndexOutOfRangeError(
                f"expects no dim of a number without axes, got {dim!r}", subject="size"
            )
        return self.shape[axis_of(dim, len(self.shape), "size")]

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


# -- the same order


@front
def reshape(input: ArrayT, *sizes: Any, shape: Sequence[int] | None = None) -> ArrayT:
    """The same elements in another shape: a view where one can show them, else a copy.

    Args:
        sizes: numbers, or one list of them; one may be -1 and is found.

    >>> from xpnn.autograd import tensor
    >>> reshape(tensor([1, 2, 3, 4]), (2, -1))
    tensor([[1, 2],
            [3, 4]])
    """
    new = sizes_of(sizes, shape, "shape", "reshape")
    return ops.reshape(input, completed(new, size_of(input.shape), "reshape"))


@front
def view(input: Any, *sizes: Any, size: Sequence[int] | None = None, dtype: Any = None) -> Any:
    """The same elements in another shape, as a view, or their bytes as another element type.

    Raises: ViewError where only a copy has the shape.

    >>> from xpnn.autograd import tensor
    >>> view(tensor([1.0, 2.0]), 2, 1)
    tensor([[1.],
            [2.]])
    """
    if dtype is not None or (len(sizes) == 1 and not isinstance(sizes[0], int | tuple | list | TensorBase)):
        return ops.view_as_type(input, sizes[0] if dtype is None else dtype)
    new = completed(sizes_of(sizes, size, "size", "view"), size_of(input.shape), "view")
    if not input.can_show(new):
        raise ViewError(
            f"of shape {input.shape} cannot be shown as {new} without a copy",
            subject="a view",
            hint="Use reshape(), which copies",
        )
    return ops.reshape(input, new)


@front
def view_as(input: ArrayT, other: Any) -> ArrayT:
    """`view` in the shape of another Tensor."""
    return view(input, tuple(other.shape))


@front
def reshape_as(input: ArrayT, other: Any) -> ArrayT:
    """`reshape` to the shape of another Tensor."""
    return reshape(input, tuple(other.shape))


@front
def flatten(input: ArrayT, start_dim: int = 0, end_dim: int = -1) -> ArrayT:
    """The axes from `start_dim` to `end_dim` as one.

    >>> from xpnn.autograd import tensor
    >>> flatten(tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    first = axis_of(start_dim, input.ndim, "flatten", "start_dim")
    last = axis_of(end_dim, input.ndim, "flatten", "end_dim")
    if first > last:
        raise ArgumentError(f"expects start_dim <= end_dim, got {start_dim}, {end_dim}", subject="flatten")
    shape = tuple(input.shape)
    return ops.reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@front
def ravel(input: ArrayT) -> ArrayT:
    """All elements in a row."""
    return ops.reshape(input, (size_of(input.shape),))


@front
def unflatten(input: ArrayT, dim: int, sizes: Sequence[int]) -> ArrayT:
    """One axis as several; one of the sizes may be -1.

    >>> from xpnn.autograd import tensor
    >>> unflatten(tensor([1, 2, 3, 4]), 0, (2, -1)).shape
    (2, 2)
    """
    axis = axis_of(dim, input.ndim, "unflatten")
    given = sizes_of((tuple(sizes),), None, "sizes", "unflatten")
    if not given:
        raise ArgumentError("expects at least one size", subject="unflatten")
    new = completed(given, input.shape[axis], "unflatten")
    return ops.reshape(input, (*input.shape[:axis], *new, *input.shape[axis + 1 :]))


@front
def squeeze(input: ArrayT, dim: int | Sequence[int] | None = None) -> ArrayT:
    """Without the axes of size 1: all of them, or those of `dim` that have it.

    >>> from xpnn.autograd import tensor
    >>> squeeze(tensor([[1.0], [2.0]])).shape
    (2,)
    """
    axes = range(input.ndim) if dim is None else axes_of(dim, input.ndim, "squeeze", "dim")
    return ops.squeeze(input, tuple([axis for axis in axes if input.shape and input.shape[axis] == 1]))


@front
def unsqueeze(input: ArrayT, dim: int) -> ArrayT:
    """A new axis of size 1 at position `dim`.

    >>> from xpnn.autograd import tensor
    >>> unsqueeze(tensor([1.0, 2.0]), 1).shape
    (2, 1)
    """
    return ops.expand_dims(input, axis=axis_of(dim, input.ndim + 1, "unsqueeze"))


@front
def atleast_1d(*tensors: Any) -> Any:
    """A number as a vector; all else as it is. Takes several Tensors, or a list of them."""
    return _each(tensors, lambda x: x if x.ndim else ops.reshape(x, (1,)))


@front
def atleast_2d(*tensors: Any) -> Any:
    """A vector as a matrix of one row; what has two axes as it is (see `atleast_1d`)."""
    return _each(tensors, lambda x: x if x.ndim > 1 else ops.reshape(x, (1, size_of(x.shape))))


@front
def atleast_3d(*tensors: Any) -> Any:
    """A vector as (1, n, 1), a matrix as (n, m, 1); what has three axes as it is (see `atleast_1d`)."""

    def deepened(x: Any) -> Any:
        if x.ndim > 2:
            return x
        return ops.reshape(x, (*x.shape, 1) if x.ndim == 2 else (1, size_of(x.shape), 1))

    return _each(tensors, deepened)


def _each(tensors: tuple[Any, ...], change: Any) -> Any:
    if len(tensors) == 1 and not isinstance(tensors[0], tuple | list):
        return change(tensors[0])
    listed = tensors[0] if len(tensors) == 1 else tensors
    return tuple([change(x) for x in listed])


def first_elements(x: Any, shape: tuple[int, ...]) -> Any:
    """As many elements as a shape has, of those in a row, in that shape: what `resize_` leaves."""
    count = math.prod(shape)
    if count > size_of(x.shape) or any(size < 0 for size in shape):
        raise ShapeError(
            f"cannot make {x.shape} the larger {shape}: there is nothing to fill it with",
            subject="resize_",
            hint="Make a new Tensor: xpnn.zeros(...)",
        )
    row = ops.getitem(ops.reshape(x, (size_of(x.shape),)), slice(0, count))
    return ops.reshape(row, shape)


# -- another order of the axes


@front
def transpose(input: ArrayT, dim0: int, dim1: int) -> ArrayT:
    """Two axes exchanged.

    >>> from xpnn.autograd import tensor
    >>> transpose(tensor([[1, 2], [3, 4]]), 0, 1)
    tensor([[1, 3],
            [2, 4]])
    """
    return _exchanged(input, dim0, dim1, "transpose")


@front
def swapaxes(input: ArrayT, axis0: int, axis1: int) -> ArrayT:
    """`transpose` under NumPy's name."""
    return _exchanged(input, axis0, axis1, "swapaxes")


@front
def swapdims(input: ArrayT, dim0: int, dim1: int) -> ArrayT:
    """`transpose` under another name."""
    return _exchanged(input, dim0, dim1, "swapdims")


def _exchanged(x: ArrayT, dim0: Any, dim1: Any, subject: str) -> ArrayT:
    one, other = axis_of(dim0, x.ndim, subject, "dim0"), axis_of(dim1, x.ndim, subject, "dim1")
    order = list(range(x.ndim))
    if order:
        order[one], order[other] = order[other], order[one]
    return ops.permute_dims(x, tuple(order))


@front
def t(input: ArrayT) -> ArrayT:
    """The transpose of a matrix; a vector or a number as it is."""
    if input.ndim > 2:
        raise ShapeError(
            f"expects at most two axes, got the shape {tuple(input.shape)}",
            subject="t",
            hint="Use .mT for batches of matrices",
        )
    return ops.permute_dims(input, tuple(reversed(range(input.ndim))))


@front
def adjoint(input: ArrayT) -> ArrayT:
    """The last two axes exchanged, complex numbers conjugated; of a number, its conjugate."""
    if input.ndim == 1:
        raise ShapeError(f"expects matrices, got the shape {tuple(input.shape)}", subject="adjoint")
    return conjugate_transpose(input) if input.ndim else ops.conj(input)


@front
def permute(input: ArrayT, *sizes: Any, dims: Sequence[int] | None = None) -> ArrayT:
    """Axis `dims[i]` of the input becomes axis i of the result.

    >>> from xpnn.autograd import xp
    >>> permute(xp.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    axes = axes_of(sizes_of(sizes, dims, "dims", "permute"), input.ndim, "permute")
    if len(axes) != input.ndim:
        raise ArgumentError(f"expects {input.ndim} axes in dims, got {len(axes)}", subject="permute")
    return ops.permute_dims(input, axes)


@front
def movedim(input: ArrayT, source: int | Sequence[int], destination: int | Sequence[int]) -> ArrayT:
    """The axes `source` at the positions `destination`, the others in their order.

    >>> from xpnn.autograd import xp
    >>> movedim(xp.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    if not input.ndim:
        return ops.reshape(input, ())
    moved = axes_of(source, input.ndim, "movedim", "source")
    return ops.moveaxis(input, moved, axes_of(destination, input.ndim, "movedim", "destination"))


moveaxis = movedim


# -- repetitions


@front
def expand(input: ArrayT, *sizes: Any, size: Sequence[int] | None = None) -> ArrayT:
    """Axes of size 1, and new ones in front, repeated without a copy; -1 keeps a size.

    >>> from xpnn.autograd import tensor
    >>> expand(tensor([[1], [2]]), -1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    return _expanded(input, sizes_of(sizes, size, "size", "expand"), "expand")


@front
def broadcast_to(input: ArrayT, size: Sequence[int]) -> ArrayT:
    """`expand` as a function."""
    return _expanded(input, sizes_of((size,), None, "size", "broadcast_to"), "broadcast_to")


def _expanded(x: ArrayT, sizes: tuple[int, ...], subject: str) -> ArrayT:
    added = len(sizes) - x.ndim
    kept = (*[-1] * added, *x.shape)
    new = tuple([old if n == -1 else n for n, old in zip(sizes, kept)])
    if added < 0 or any(n < 0 or (i >= added and kept[i] not in (1, n)) for i, n in enumerate(new)):
        raise ShapeError(f"cannot expand the shape {tuple(x.shape)} to {sizes}", subject=subject)
    return ops.broadcast_to(x, new)


@front
def expand_as(input: ArrayT, other: Any) -> ArrayT:
    """`expand` to the shape of another Tensor."""
    return _expanded(input, tuple(other.shape), "expand_as")


@front
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All Tensors expanded to their common shape."""
    listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], tuple | list) else tensors
    return ops.broadcast_arrays(*listed)


def broadcast_shapes(*shapes: int | Sequence[int]) -> Size:
    """The shape that Tensors of these shapes are expanded to together.

    >>> broadcast_shapes((3, 1), (4,), 1)
    (3, 4)
    """
    listed = [sizes_of((shape,), None, "a shape", "broadcast_shapes") for shape in shapes]
    if any(size < 0 for shape in listed for size in shape):
        raise ShapeError(f"expects sizes of at least 0, got {shapes}", subject="broadcast_shapes")
    return Size(_broadcast_shapes(*listed))


@front
def repeat(input: ArrayT, *sizes: Any, repeats: Sequence[int] | None = None) -> ArrayT:
    """Copies of the whole side by side, so many along each axis.

    >>> from xpnn.autograd import tensor
    >>> repeat(tensor([1, 2]), 2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    counts = sizes_of(sizes, repeats, "repeats", "repeat")
    if len(counts) < input.ndim:
        raise ShapeError(f"expects a number for each of {input.ndim} axes, got {counts}", subject="repeat")
    return _tiled(input, counts, "repeat")


@front
def tile(input: ArrayT, *sizes: Any, dims: Sequence[int] | None = None) -> ArrayT:
    """`repeat`, where the numbers of the first axes may be left out."""
    return _tiled(input, sizes_of(sizes, dims, "dims", "tile"), "tile")


def _tiled(x: ArrayT, counts: tuple[int, ...], subject: str) -> ArrayT:
    if any(count < 0 for count in counts):
        raise ArgumentError(f"expects numbers of at least 0, got {counts}", subject=subject)
    return ops.tile(x, counts)


@front
def repeat_interleave(
    input: ArrayT, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> ArrayT:
    """Each element, or each slice along `dim`, several times in a row.

    Args:
        repeats: a number, or integers (n,), one for each position. Left out, `input` holds these numbers, and
            the result is the positions themselves.
        dim: None takes the elements in a row.
        output_size: the length of the result along `dim`, where it is known.

    >>> from xpnn.autograd import tensor
    >>> repeat_interleave(tensor([1, 2]), 2)
    tensor([1, 1, 2, 2])
    """
    if repeats is None:
        raw = input.array  # type: ignore[attr-defined]
        xp = namespace(raw)
        positions = ops.reshape(input * 0, (-1,))  # type: ignore[operator]
        positions.array = xp.arange(raw.shape[0], dtype=raw.dtype, device=device_of(raw))  # type: ignore[attr-defined]
        input, repeats, dim = positions, input, 0
    if dim is None:
        input, dim = ops.reshape(input, (size_of(input.shape),)), 0
    axis = axis_of(dim, input.ndim, "repeat_interleave")
    count = input.shape[axis] if input.ndim else 1
    if isinstance(repeats, tuple | list):
        raise DTypeError(
            f"expects repeats as an integer or a Tensor, got {repeats}", subject="repeat_interleave"
        )
    if isinstance(repeats, TensorBase) and size_of(repeats.shape) != 1:
        _check_repeats(repeats, count)
    else:
        repeats = integer(repeats, "repeats", "repeat_interleave")
        if repeats < 0:
            raise ArgumentError(f"expects repeats of at least 0, got {repeats}", subject="repeat_interleave")
    result = ops.repeat(input, repeats, axis=axis)
    if output_size is not None and result.shape[axis] != output_size:
        raise ShapeError(
            f"expects repeats that sum to output_size {output_size}, got {result.shape[axis]}",
            subject="repeat_interleave",
        )
    return result


def _check_repeats(repeats: Any, count: int) -> None:
    if tuple(repeats.shape) != (count,):
        raise ShapeError(
            f"expects repeats of shape ({count},), got {tuple(repeats.shape)}", subject="repeat_interleave"
        )
    if not dtype_name(repeats.dtype).startswith("int"):
        raise DTypeError(
            f"expects repeats as integers, got {dtype_name(repeats.dtype)}", subject="repeat_interleave"
        )
    if count and concrete(repeats.array) and extremes(repeats.array)[0] < 0:
        raise ArgumentError("expects repeats of at least 0", subject="repeat_interleave")


# -- another order of the elements


@front
def flip(input: ArrayT, *sizes: Any, dims: int | Sequence[int] | None = None) -> ArrayT:
    """The elements in reverse order along axes.

    >>> from xpnn.autograd import tensor
    >>> flip(tensor([[1, 2], [3, 4]]), dims=(1,))
    tensor([[2, 1],
            [4, 3]])
    """
    axes = axes_of(sizes_of(sizes, dims, "dims", "flip"), input.ndim, "flip")
    return ops.flip(input, axis=axes if input.ndim else ())


@front
def fliplr(input: ArrayT) -> ArrayT:
    """The columns in reverse order: `flip` along axis 1."""
    return ops.flip(input, axis=(axis_of(1, input.ndim, "fliplr"),))


@front
def flipud(input: ArrayT) -> ArrayT:
    """The rows in reverse order: `flip` along axis 0."""
    if not input.ndim:
        raise ShapeError("expects at least one axis, got a number", subject="flipud")
    return ops.flip(input, axis=(0,))


@front
def roll(input: ArrayT, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> ArrayT:
    """Each element some places further along `dims`, around the end; of all in a row without `dims`.

    >>> from xpnn.autograd import tensor
    >>> roll(tensor([1, 2, 3]), 1)
    tensor([3, 1, 2])
    """
    by = sizes_of((shifts,), None, "shifts", "roll")
    if dims is None or dims == ():
        if len(by) != 1:
            raise ArgumentError(f"expects one shift without dims, got {shifts}", subject="roll")
        return ops.roll(input, by[0]) if size_of(input.shape) else ops.flip(input, axis=())
    along_axes = tuple(
        [axis_of(dim, input.ndim, "roll", "dims") for dim in sizes_of((dims,), None, "dims", "roll")]
    )
    if len(by) != len(along_axes):
        raise ArgumentError(f"expects as many shifts as dims, got {shifts} and {dims}", subject="roll")
    return ops.roll(input, by, axis=along_axes) if size_of(input.shape) else ops.flip(input, axis=())


@front
def rot90(input: ArrayT, k: int = 1, dims: Sequence[int] = (0, 1)) -> ArrayT:
    """Turned by k right angles in the plane of two axes, from the first to the second.

    >>> from xpnn.autograd import tensor
    >>> rot90(tensor([[1, 2], [3, 4]]))
    tensor([[2, 4],
            [1, 3]])
    """
    axes = axes_of(tuple(dims), input.ndim, "rot90")
    if len(axes) != 2 or input.ndim < 2:
        raise ArgumentError(f"expects two axes in dims, got {dims} for {input.ndim} axes", subject="rot90")
    quarter = integer(k, "k", "rot90") % 4
    if quarter in (0, 2):
        return ops.flip(input, axis=axes if quarter else ())
    turned = ops.flip(input, axis=(axes[1] if quarter == 1 else axes[0],))
    return _copied_exchange(turned, *axes)


def _copied_exchange(x: ArrayT, one: int, other: int) -> ArrayT:
    return ops.astype(_exchanged(x, one, other, "rot90"), x.dtype, copy=True)


# -- windows


@front
def select(input: ArrayT, dim: int, index: int) -> ArrayT:
    """The slice at `index` along `dim`, without that axis."""
    if not input.ndim:
        raise IndexOutOfRangeError("expects at least one axis, got a number", subject="select")
    axis = axis_of(dim, input.ndim, "select")
    return ops.getitem(input, along(axis, integer(index, "index", "select")))


@front
def narrow(input: ArrayT, dim: int, start: Any, length: int) -> ArrayT:
    """`length` slices from `start` on along `dim`.

    >>> from xpnn.autograd import tensor
    >>> narrow(tensor([1, 2, 3, 4]), 0, 1, 2)
    tensor([2, 3])
    """
    if not input.ndim:
        raise ShapeError("expects at least one axis, got a number", subject="narrow")
    axis, first = axis_of(dim, input.ndim, "narrow"), integer(start, "start", "narrow")
    size, count = input.shape[axis], integer(length, "length", "narrow")
    if not -size <= first <= size:
        raise IndexOutOfRangeError(f"expects start between {-size} and {size}, got {first}", subject="narrow")
    first += size if first < 0 else 0
    if not 0 <= count <= size - first:
        raise ArgumentError(f"expects a length between 0 and {size - first}, got {count}", subject="narrow")
    return ops.getitem(input, along(axis, slice(first, first + count)))


@front
def unfold(input: ArrayT, dimension: int, size: int, step: int) -> ArrayT:
    """Windows of `size` slices, one every `step`, along `dimension`; their places are the new last axis.

    >>> from xpnn.autograd import tensor
    >>> unfold(tensor([1, 2, 3, 4]), 0, 2, 1)
    tensor([[1, 2],
            [2, 3],
            [3, 4]])
    """
    axis, long = (
        axis_of(dimension, input.ndim, "unfold", "dimension"),
        input.shape[axis_of(dimension, input.ndim, "unfold")] if input.ndim else 1,
    )
    if not 0 <= size <= long or step <= 0:
        raise ArgumentError(
            f"expects a size between 0 and {long} and a step above 0, got {size} and {step}", subject="unfold"
        )
    steps = _steps(input.shape)
    if not input.ndim:
        return strided(input, (size,), (1,))
    shape = (*input.shape[:axis], (long - size) // step + 1, *input.shape[axis + 1 :], size)
    return strided(input, shape, (*steps[:axis], steps[axis] * step, *steps[axis + 1 :], steps[axis]))


@front
def as_strided(
    input: ArrayT, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> ArrayT:
    """A view whose element [i, j ...] is `storage_offset + i stride[0] + j stride[1] ...` of the elements.

    Of a view they are those of the Tensor that it shows, and the offset is its own where it is left out.

    Raises: ArgumentError if the view would reach beyond them.

    >>> from xpnn.autograd import tensor
    >>> as_strided(tensor([1, 2, 3]), (2, 2), (1, 1))
    tensor([[1, 2],
            [2, 3]])
    """
    sizes, steps = (
        sizes_of((size,), None, "size", "as_strided"),
        sizes_of((stride,), None, "stride", "as_strided"),
    )
    whole, viewed = getattr(input, "root", input), cast("Any", input)
    if storage_offset is None:
        storage_offset = viewed.storage_offset()
    offset = integer(storage_offset, "storage_offset", "as_strided")
    last = offset + sum((n - 1) * step for n, step in zip(sizes, steps))
    if len(sizes) != len(steps) or min((*sizes, *steps, offset), default=0) < 0:
        raise ArgumentError(
            f"expects as many sizes as strides, none below 0, got {sizes}, {steps} and {offset}",
            subject="as_strided",
        )
    if 0 not in sizes and last >= size_of(whole.shape):
        raise ArgumentError(
            f"reaches element {last} of a Tensor of {size_of(whole.shape)}", subject="as_strided"
        )
    return strided(whole, sizes, steps, offset)


def _steps(shape: Sequence[int]) -> tuple[int, ...]:
    """How far apart neighbours along each axis are, in a row of all elements."""
    return tuple([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])


# -- diagonals and triangles


@front
def diagonal(input: ArrayT, offset: int = 0, dim1: int = 0, dim2: int = 1) -> ArrayT:
    """The diagonals of the matrices in two axes, as a new last axis; `offset` > 0 is above the main one.

    >>> from xpnn.autograd import tensor
    >>> diagonal(tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    row, column = axis_of(dim1, input.ndim, "diagonal", "dim1"), axis_of(dim2, input.ndim, "diagonal", "dim2")
    if row == column:
        raise ArgumentError(f"expects two axes, got {dim1} and {dim2}", subject="diagonal")
    rest = [axis for axis in range(input.ndim) if axis not in (row, column)]
    return ops.diagonal(
        ops.permute_dims(input, (*rest, row, column)), offset=integer(offset, "offset", "diagonal")
    )


@front
def diag(input: ArrayT, diagonal: int = 0) -> ArrayT:
    """The diagonal of a matrix; of a vector the matrix that has it as its diagonal.

    >>> from xpnn.autograd import tensor
    >>> diag(tensor([1, 2]))
    tensor([[1, 0],
            [0, 2]])
    """
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise ShapeError(f"expects a vector or a matrix, got the shape {tuple(input.shape)}", subject="diag")
    return ops.diagonal(input, offset=integer(diagonal, "diagonal", "diag")).clone()


@front
def diag_embed(input: ArrayT, offset: int = 0, dim1: int = -2, dim2: int = -1) -> ArrayT:
    """Matrices, in two new axes, with the last axis as their diagonals and zeros around.

    >>> from xpnn.autograd import tensor
    >>> diag_embed(tensor([1, 2]), 1).shape
    (3, 3)
    """
    row = axis_of(dim1, input.ndim + 1, "diag_embed", "dim1")
    column = axis_of(dim2, input.ndim + 1, "diag_embed", "dim2")
    if row == column or not input.ndim:
        raise ArgumentError(
            f"expects a vector and two axes, got the shape {tuple(input.shape)}, {dim1} and {dim2}",
            subject="diag_embed",
        )
    shift = integer(offset, "offset", "diag_embed")
    if row > column:
        shift = -shift
    count = input.shape[-1]
    side = count + abs(shift)
    raw = input.array  # type: ignore[attr-defined]
    xp = namespace(raw)
    line = xp.arange(side, device=device_of(raw))
    on_it = line[None, :] - line[:, None] == shift
    rows = ops.broadcast_to(_padded(input, shift), (*input.shape[:-1], side, side))
    matrices = ops.where(on_it, rows, xp.zeros((), dtype=raw.dtype, device=device_of(raw)))
    return ops.moveaxis(matrices, (-2, -1), tuple(sorted((row, column))))


def _padded(x: Any, shift: int) -> Any:
    """The diagonal's elements by their columns, (..., 1, columns): zeros before it, or after it."""
    shape = (*x.shape[:-1], abs(shift))
    raw = x.array
    zeros = namespace(raw).zeros(shape, dtype=raw.dtype, device=device_of(raw))
    parts = [zeros, x] if shift > 0 else [x, zeros]
    return ops.expand_dims(ops.concat(parts, axis=-1) if shift else x, axis=-2)


@front
def diagflat(input: ArrayT, offset: int = 0) -> ArrayT:
    """The matrix with all elements, in a row, as its diagonal."""
    return diag_embed(ops.reshape(input, (size_of(input.shape),)), offset)


@front
def tril(input: ArrayT, diagonal: int = 0) -> ArrayT:
    """The lower triangles of matrices: 0 above a diagonal.

    >>> from xpnn.autograd import tensor
    >>> tril(tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    return ops.tril(_of_matrices(input, "tril"), k=integer(diagonal, "diagonal", "tril"))


@front
def triu(input: ArrayT, diagonal: int = 0) -> ArrayT:
    """The upper triangles of matrices: 0 below a diagonal.

    >>> from xpnn.autograd import tensor
    >>> triu(tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    return ops.triu(_of_matrices(input, "triu"), k=integer(diagonal, "diagonal", "triu"))


def _of_matrices(x: ArrayT, subject: str) -> ArrayT:
    if x.ndim < 2:
        raise ShapeError(f"expects matrices, got the shape {tuple(x.shape)}", subject=subject)
    return x
