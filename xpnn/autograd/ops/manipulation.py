"""Functions that move elements and leave their values alone; the gradient moves back."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from xpnn.autograd.core import TensorBase
from xpnn.autograd.ops.broadcasting import axes_of, broadcast_shapes, of_type, unbroadcast
from xpnn.autograd.primitive import Primitive, primitive, view_primitive
from xpnn.backend import (
    ArgumentError,
    Array,
    DType,
    ViewError,
    backend_of,
    device_of,
    dtype_name,
    dtype_named,
    is_complex,
    move,
    namespace,
    to_numpy,
)


def reshape(x: Array, /, shape: Sequence[int], *, copy: bool | None = None) -> Array:
    """The same elements, in the same order, in another shape; one size may be -1.

    Of a Tensor it is a view where PyTorch's is one (`copy=True` always copies), else a copy.

    >>> import numpy as np
    >>> reshape(np.asarray([1.0, 2.0, 3.0, 4.0]), (2, -1)).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    shape = tuple(shape)
    if isinstance(x, TensorBase) and (copy or not x.can_show(shape)):
        return reshaped(x, shape, copy)
    return _reshape(x, shape=shape, copy=copy)


def reshaped(x: Array, shape: tuple[int, ...], copy: bool | None = None) -> Array:
    """`reshape`, which never gives a view of a Tensor: for results that are new ones."""
    return Primitive.__call__(_reshape, x, shape=shape, copy=copy)


def flat_matrices(x: Array) -> Array:
    """Matrices (..., n, m) as rows (..., n m): a view of any Tensor, of a transposed one too."""
    return _reshape(x, shape=(*x.shape[:-2], x.shape[-2] * x.shape[-1]), copy=None)


def expand_dims(x: Array, /, axis: int = 0) -> Array:
    """A new axis of size 1 at position `axis` of the result.

    >>> import numpy as np
    >>> expand_dims(np.ones(3), axis=1).shape
    (3, 1)
    """
    return _expand_dims(x, axis=axis)


def squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """Without the axes of size 1 that are named.

    >>> import numpy as np
    >>> squeeze(np.ones((3, 1)), axis=1).shape
    (3,)
    """
    return _squeeze(x, axis=axis)


@view_primitive
def _reshape(x: Array, *, shape: tuple[int, ...], copy: bool | None) -> tuple[Array, tuple]:
    xp = namespace(x)
    return (xp.reshape(x, shape) if copy is None else xp.reshape(x, shape, copy=copy)), (x.shape,)


@view_primitive
def _expand_dims(x: Array, *, axis: int) -> tuple[Array, tuple]:
    return namespace(x).expand_dims(x, axis=axis), (x.shape,)


@view_primitive
def _squeeze(x: Array, *, axis: int | tuple[int, ...]) -> tuple[Array, tuple]:
    return namespace(x).squeeze(x, axis), (x.shape,)


@_reshape.backward
@_expand_dims.backward
@_squeeze.backward
def _reshape_backward(g: Array, saved: tuple, needs: tuple, **_: Any) -> tuple[Array]:
    (shape,) = saved
    return (namespace(g).reshape(g, shape),)


def broadcast_to(x: Array, /, shape: Sequence[int]) -> Array:
    """Repeated along new axes and along axes of size 1. Backward: the sum over the repetitions.

    >>> import numpy as np
    >>> broadcast_to(np.asarray([1.0, 2.0]), (2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    return _broadcast_to(x, shape=tuple(shape))


@view_primitive
def _broadcast_to(x: Array, *, shape: tuple[int, ...]) -> tuple[Array, tuple]:
    return namespace(x).broadcast_to(x, shape), ((x.shape, x.dtype),)


@_broadcast_to.backward
def _broadcast_to_backward(g: Array, saved: tuple, needs: tuple, *, shape: tuple[int, ...]) -> tuple[Array]:
    return (unbroadcast(g, *saved[0]),)


@_broadcast_to.write
def _broadcast_to_write(x: Array, value: Array, *, shape: tuple[int, ...]) -> Array:
    if math.prod(shape) != math.prod(x.shape):
        raise ViewError(
            f"cannot be written into: it shows elements of the shape {tuple(x.shape)} several times",
            subject=f"a Tensor expanded to {shape}",
            hint="Write into the Tensor itself, or into a copy: t.expand(...).clone()",
        )
    return reshape(value, x.shape)


def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """All arrays broadcast to their common shape.

    >>> import numpy as np
    >>> [y.shape for y in broadcast_arrays(np.ones((3, 1)), np.ones(4))]
    [(3, 4), (3, 4)]
    """
    shape = broadcast_shapes(*(x.shape for x in arrays))
    return tuple(broadcast_to(x, shape) for x in arrays)


def permute_dims(x: Array, /, axes: tuple[int, ...]) -> Array:
    """Axis `axes[i]` of the input becomes axis i of the result.

    >>> import numpy as np
    >>> permute_dims(np.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return _permute_dims(x, axes=tuple(axes))


@view_primitive
def _permute_dims(x: Array, *, axes: tuple[int, ...]) -> tuple[Array, tuple]:
    return namespace(x).permute_dims(x, axes), ()


@_permute_dims.backward
def _permute_dims_backward(g: Array, saved: tuple, needs: tuple, *, axes: tuple[int, ...]) -> tuple[Array]:
    axes = axes_of(axes, g.ndim)
    return (namespace(g).permute_dims(g, tuple(axes.index(i) for i in range(g.ndim))),)


def moveaxis(x: Array, source: int | tuple[int, ...], destination: int | tuple[int, ...], /) -> Array:
    """The axes `source` at the positions `destination`, the others in their order.

    >>> import numpy as np
    >>> moveaxis(np.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    moved, targets = axes_of(source, x.ndim), axes_of(destination, x.ndim)
    if len(moved) != len(targets):
        raise ArgumentError(f"expects as many sources as destinations, got {source} and {destination}")
    order = [i for i in range(x.ndim) if i not in moved]
    for position, axis in sorted(zip(targets, moved)):
        order.insert(position, axis)
    return permute_dims(x, tuple(order))


def matrix_transpose(x: Array, /) -> Array:
    """The last two axes exchanged.

    >>> import numpy as np
    >>> matrix_transpose(np.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    return _matrix_transpose(x)


@view_primitive
def _matrix_transpose(x: Array) -> tuple[Array, tuple]:
    return namespace(x).matrix_transpose(x), ()


@_matrix_transpose.backward
def _matrix_transpose_backward(g: Array, saved: tuple, needs: tuple) -> tuple[Array]:
    return (matrix_transpose(g),)


def adjoint(x: Array) -> Array:
    """The conjugate transposes of matrices.

    >>> import numpy as np
    >>> adjoint(np.asarray([[1j, 2.0]])).tolist()
    [[-1j], [(2-0j)]]
    """
    turned, xp = matrix_transpose(x), namespace(x)
    return xp.conj(turned) if xp.isdtype(x.dtype, "complex floating") else turned


def flip(x: Array, /, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """The elements in reverse order along `axis` (all axes if None).

    >>> import numpy as np
    >>> flip(np.asarray([1.0, 2.0, 3.0])).tolist()
    [3.0, 2.0, 1.0]
    """
    return _flip(x, axis=axis)


@primitive(half=True)
def _flip(x: Array, *, axis: int | tuple[int, ...] | None) -> tuple[Array, tuple]:
    return namespace(x).flip(x, axis=axis), ()


@view_primitive
def _reversed(x: Array, *, axis: int | tuple[int, ...] | None) -> tuple[Array, tuple]:
    return namespace(x).flip(x, axis=axis), ()


@_flip.backward
@_reversed.backward
def _flip_backward(g: Array, saved: tuple, needs: tuple, *, axis: Any) -> tuple[Array]:
    return (flip(g, axis=axis),)


def reversed_view(x: Array, axis: tuple[int, ...]) -> Array:
    """`flip`, which copies, as a view: what slices with negative steps give."""
    return _reversed(x, axis=axis)


def roll(x: Array, /, shift: int | tuple[int, ...], *, axis: int | tuple[int, ...] | None = None) -> Array:
    """Each element `shift` places further along `axis`, around the end; of all elements in a row if None.

    >>> import numpy as np
    >>> roll(np.asarray([1.0, 2.0, 3.0]), 1).tolist()
    [3.0, 1.0, 2.0]
    """
    return _roll(x, shift=shift, axis=axis)


@primitive(half=True)
def _roll(x: Array, *, shift: int | tuple[int, ...], axis: Any) -> tuple[Array, tuple]:
    return namespace(x).roll(x, shift, axis=axis), ()


@_roll.backward
def _roll_backward(g: Array, saved: tuple, needs: tuple, *, shift: Any, axis: Any) -> tuple[Array]:
    back = tuple(-by for by in shift) if isinstance(shift, tuple | list) else -shift
    return (roll(g, back, axis=axis),)


def tril(x: Array, /, *, k: int = 0) -> Array:
    """The lower triangles of matrices: 0 above diagonal `k`.

    >>> import numpy as np
    >>> tril(np.ones((2, 2))).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    return _tril(x, k=k)


def triu(x: Array, /, *, k: int = 0) -> Array:
    """The upper triangles of matrices: 0 below diagonal `k`.

    >>> import numpy as np
    >>> triu(np.ones((2, 2))).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    return _triu(x, k=k)


@primitive(half=True)
def _tril(x: Array, *, k: int) -> tuple[Array, tuple]:
    return namespace(x).tril(x, k=k), ()


@_tril.backward
def _tril_backward(g: Array, saved: tuple, needs: tuple, *, k: int) -> tuple[Array]:
    return (tril(g, k=k),)


@primitive(half=True)
def _triu(x: Array, *, k: int) -> tuple[Array, tuple]:
    return namespace(x).triu(x, k=k), ()


@_triu.backward
def _triu_backward(g: Array, saved: tuple, needs: tuple, *, k: int) -> tuple[Array]:
    return (triu(g, k=k),)


def astype(x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    """The elements as another type. Backward: the gradient as the type of `x`.

    Of complex numbers as real ones the imaginary parts are dropped, with a warning.

    >>> import numpy as np
    >>> astype(np.asarray([1, 2]), np.float32).dtype.name
    'float32'
    """
    if isinstance(dtype, str | DType):
        dtype = dtype_named(dtype, namespace(x))
    return _astype(x, dtype=dtype, copy=copy, device=device)


@primitive(half=True)
def _astype(x: Array, *, dtype: Any, copy: bool, device: Any) -> tuple[Array, tuple]:
    x_dtype = x.dtype
    options, xp = {} if device is None else {"device": device}, namespace(x)
    if is_complex(getattr(x, "array", x)) and not xp.isdtype(dtype, ("complex floating", "bool")):
        warnings.warn("Casting complex numbers to real ones drops the imaginary parts", stacklevel=4)
        x = xp.real(x)
    return xp.astype(x, dtype, copy=copy, **options), ((x_dtype,),)


@_astype.backward
def _astype_backward(
    g: Array, saved: tuple, needs: tuple, *, dtype: Any, copy: bool, device: Any
) -> tuple[Array]:
    ((x_dtype,),) = saved
    return (of_type(g, x_dtype),)


def view_as_type(x: Array, dtype: Any) -> Array:
    """The bytes of the elements as another type, without a gradient; a view of a Tensor.

    >>> import numpy as np
    >>> view_as_type(np.asarray([1.0], np.float32), "int32").tolist()
    [1065353216]
    """
    return _bits(x, dtype=dtype)


@view_primitive
def _bits(x: Array, *, dtype: Any) -> tuple[Array, tuple]:
    if not hasattr(x, "view"):
        host = to_numpy(x).view(dtype_name(dtype))
        return move(host, backend_of(x), device_of(x)), ((x.dtype,),)
    return namespace(x).asarray(x, copy=True).view(dtype_named(dtype, namespace(x))), ((x.dtype,),)


@_bits.write
def _bits_write(x: Array, value: Array, *, dtype: Any) -> Array:
    return view_as_type(value, x.dtype)


def to_device(x: Array, device: Any) -> Array:
    """The elements on another device of the same library. Backward: the gradient comes back.

    >>> import numpy as np
    >>> to_device(np.ones(2), "cpu").tolist()
    [1.0, 1.0]
    """
    return _to_device(x, device=backend_of(x).find_device(device))


@primitive(half=True)
def _to_device(x: Array, *, device: Any) -> tuple[Array, tuple]:
    return move(x, backend_of(x), device), ((device_of(x),),)


@_to_device.backward
def _to_device_backward(g: Array, saved: tuple, needs: tuple, *, device: Any) -> tuple[Array]:
    ((origin,),) = saved
    return (to_device(g, origin),)
