"""Views that steps through the elements in a row describe: sliding windows, diagonals, `as_strided`."""

from __future__ import annotations

from xpnn.autograd.ops.indexing import add_at, write_at
from xpnn.autograd.primitive import view_primitive
from xpnn.backend import Array, ViewError, idioms, to_numpy


def strided(x: Array, size: tuple[int, ...], steps: tuple[int, ...], offset: int = 0) -> Array:
    """y[i, j ...] is element `offset + i steps[0] + j steps[1] ...` of `x`, its elements taken in a row.

    Backward: the gradient, added up where its elements were taken from.

    >>> import numpy as np
    >>> strided(np.asarray([1.0, 2.0, 3.0]), (2, 2), (1, 1)).tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    return _strided(x, size=tuple(size), steps=tuple(steps), offset=offset)


@view_primitive
def _strided(x: Array, *, size: tuple[int, ...], steps: tuple[int, ...], offset: int) -> tuple[Array, tuple]:
    return idioms.strided(x, size, steps, offset), (x.shape,)


@_strided.backward
def _strided_backward(
    g: Array, saved: tuple, needs: tuple, *, size: tuple[int, ...], steps: tuple[int, ...], offset: int
) -> tuple[Array]:
    (shape,) = saved
    return (add_at(g, idioms.positions(_raw(g), size, steps, offset), tuple(shape)),)


@_strided.write
def _strided_write(
    x: Array, value: Array, *, size: tuple[int, ...], steps: tuple[int, ...], offset: int
) -> Array:
    places = idioms.positions(_raw(x), size, steps, offset)
    flat = to_numpy(places).reshape(-1).tolist()
    if len(set(flat)) < len(flat):
        raise ViewError(
            "cannot be written into: it shows some elements several times",
            subject=f"a view of shape {size} with the steps {steps}",
            hint="Write into the Tensor itself, or into a copy: view.clone()",
        )
    return write_at(x, places, value)


def _raw(x: Array) -> Array:
    return getattr(x, "array", x)
