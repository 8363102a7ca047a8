"""The methods of `Tensor` that move elements, read and write at places, take apart, and multiply matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from xpnn.autograd.core import TensorBase, turn_in_place
from xpnn.autograd.functions import copies, indexing, joining, linalg, shape
from xpnn.autograd.functions.calling import in_place
from xpnn.backend import RankError, dtype_name, refusing
from xpnn.backend.layouts import contiguous_format, is_dense

_P = ParamSpec("_P")
_T = TypeVar("_T", bound=TensorBase)


def _turning(function: Callable[Concatenate[Any, _P], Any]) -> Callable[Concatenate[_T, _P], _T]:
    """The method by which a Tensor itself takes the shape that `function` gives: `x.t_()` of `t`."""
    name = f"{function.__name__}_"  # type: ignore[attr-defined]

    def turn(self: Any, *args: _P.args, **options: _P.kwargs) -> Any:
        return turn_in_place(self, lambda x: function(x, *args, **options), name)

    turn.__name__ = turn.__qualname__ = name
    turn.__doc__ = f"`{function.__name__}` in place: takes that shape, and returns itself."  # type: ignore[attr-defined]
    return turn


class ShapeMethods(TensorBase):
    """Shape, indexing, joining and linear algebra as methods; each is the function of the same name."""

    __slots__ = ()

    # -- the same order

    reshape = shape.reshape
    reshape_as = shape.reshape_as
    view = shape.view
    view_as = shape.view_as
    flatten = shape.flatten
    ravel = shape.ravel
    unflatten = shape.unflatten
    squeeze = shape.squeeze
    squeeze_ = _turning(shape.squeeze)
    unsqueeze = shape.unsqueeze
    unsqueeze_ = _turning(shape.unsqueeze)

    # -- another order

    transpose = shape.transpose
    transpose_ = _turning(shape.transpose)
    swapaxes = shape.swapaxes
    swapaxes_ = _turning(shape.swapaxes)
    swapdims = shape.swapdims
    swapdims_ = _turning(shape.swapdims)
    t = shape.t
    t_ = _turning(shape.t)
    adjoint = shape.adjoint
    permute = shape.permute
    movedim = shape.movedim
    moveaxis = shape.moveaxis
    flip = shape.flip
    fliplr = shape.fliplr
    flipud = shape.flipud
    roll = shape.roll
    rot90 = shape.rot90

    # -- repetitions, windows, diagonals

    expand = shape.expand
    expand_as = shape.expand_as
    broadcast_to = shape.broadcast_to
    repeat = shape.repeat
    tile = shape.tile
    repeat_interleave = shape.repeat_interleave
    select = shape.select
    narrow = shape.narrow
    unfold = shape.unfold
    as_strided = shape.as_strided
    diagonal = shape.diagonal
    diag = shape.diag
    diag_embed = shape.diag_embed
    diagflat = shape.diagflat
    tril = shape.tril
    tril_ = in_place(shape.tril)
    triu = shape.triu
    triu_ = in_place(shape.triu)

    # -- reading and writing at places

    gather = indexing.gather
    scatter = indexing.scatter
    scatter_ = in_place(indexing.scatter)
    scatter_add = indexing.scatter_add
    scatter_add_ = in_place(indexing.scatter_add)
    scatter_reduce = indexing.scatter_reduce
    scatter_reduce_ = in_place(indexing.scatter_reduce)
    take_along_dim = indexing.take_along_dim
    index_select = indexing.index_select
    index_add = indexing.index_add
    index_add_ = in_place(indexing.index_add)
    index_copy = indexing.index_copy
    index_copy_ = in_place(indexing.index_copy)
    index_fill = indexing.index_fill
    index_fill_ = in_place(indexing.index_fill)
    index_reduce = indexing.index_reduce
    index_reduce_ = in_place(indexing.index_reduce)
    index_put = indexing.index_put
    index_put_ = in_place(indexing.index_put)
    take = indexing.take
    put = indexing.put
    put_ = in_place(indexing.put)
    masked_fill = indexing.masked_fill
    masked_fill_ = in_place(indexing.masked_fill)
    masked_select = indexing.masked_select
    masked_scatter = indexing.masked_scatter
    masked_scatter_ = in_place(indexing.masked_scatter)
    nonzero = indexing.nonzero
    nonzero_static = indexing.nonzero_static
    argwhere = indexing.argwhere
    select_scatter = indexing.select_scatter
    slice_scatter = indexing.slice_scatter
    diagonal_scatter = indexing.diagonal_scatter
    fill_diagonal_ = in_place(indexing.fill_diagonal)

    # -- apart

    split = joining.split
    split_with_sizes = joining.split_with_sizes
    chunk = joining.chunk
    tensor_split = joining.tensor_split
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    dsplit = joining.dsplit
    unbind = joining.unbind
    narrow_copy = copies.narrow_copy
    unsafe_chunk = copies.unsafe_chunk
    unsafe_split = copies.unsafe_split
    unsafe_split_with_sizes = copies.unsafe_split_with_sizes

    # -- products and matrices

    matmul = linalg.matmul
    mm = linalg.mm
    bmm = linalg.bmm
    mv = linalg.mv
    dot = linalg.dot
    vdot = linalg.vdot
    inner = linalg.inner
    outer = linalg.outer
    ger = linalg.ger
    kron = linalg.kron
    cross = linalg.cross
    trace = linalg.trace
    det = linalg.det
    slogdet = linalg.slogdet
    logdet = linalg.logdet
    inverse = linalg.inverse
    pinverse = linalg.pinverse
    matrix_power = linalg.matrix_power
    matrix_exp = linalg.matrix_exp
    cholesky = linalg.cholesky
    svd = linalg.svd
    qr = linalg.qr
    addmm = linalg.addmm
    addmm_ = in_place(linalg.addmm)
    addmv = linalg.addmv
    addmv_ = in_place(linalg.addmv)
    addr = linalg.addr
    addr_ = in_place(linalg.addr)
    baddbmm = linalg.baddbmm
    baddbmm_ = in_place(linalg.baddbmm)
    addbmm = linalg.addbmm
    addbmm_ = in_place(linalg.addbmm)

    @property
    def H(self) -> Any:  # noqa: N802 - PyTorch's name
        """The transpose of a matrix, its complex numbers conjugated. Raises: RankError for what is none."""
        if self.ndim != 2:
            raise RankError(f"is for matrices, got shape {self.shape}", subject="Tensor.H", hint="Use .mH")
        return shape.adjoint(self)  # type: ignore[type-var]

    @property
    def mH(self) -> Any:  # noqa: N802 - PyTorch's name
        """`adjoint` of the last two axes. Raises: RankError, an AttributeError, if there are less."""
        if self.ndim < 2:
            raise RankError(f"needs two axes, got shape {self.shape}", subject="Tensor.mH")
        return shape.adjoint(self)  # type: ignore[type-var]

    # -- sizes

    @property
    def size(self) -> shape.Count:
        """The number of elements; called, `t.size()` are the sizes of the axes and `t.size(0)` is one."""
        return shape.Count.of(self.shape)

    def dim(self) -> int:
        """The number of axes."""
        return self.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return int(self.size)

    nelement = numel

    def element_size(self) -> int:
        """The bytes of one element."""
        name = dtype_name(self.dtype)
        return 1 if name == "bool" else int(name.lstrip("abcdefghijklmnopqrstuvwxyz")) // 8

    @property
    def itemsize(self) -> int:
        """The bytes of one element."""
        return self.element_size()

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.size * self.element_size()

    # -- how a view lies in the Tensor that it shows

    @refusing
    def stride(self, dim: int | None = None) -> Any:
        """How far apart neighbours along each axis, or one, are among the elements in a row."""
        steps = tuple(self.memory_layout().strides)
        return steps if dim is None else steps[shape.axis_of(dim, self.ndim, "stride")]

    def storage_offset(self) -> int:
        """Where its first element stands among the elements of the Tensor that it shows."""
        return 0

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Whether its elements follow each other, in this order, in the Tensor that it shows."""
        return is_dense(self.shape, self.memory_layout().strides, memory_format, "is_contiguous")

    def resize_(self, *sizes: Any) -> Any:
        """Another shape, with no more elements than there are: the first ones. Returns itself."""
        new = shape.sizes_of(sizes, None, "sizes", "resize_")
        return turn_in_place(self, lambda x: shape.first_elements(x, new), "resize_")

    @refusing
    def resize_as_(self, other: Any) -> Any:
        """`resize_` to the shape of another Tensor."""
        return self.resize_(tuple(other.shape))

    def memory_layout(self) -> Any:
        """An array without memory that lies as this Tensor does."""
        raise NotImplementedError
