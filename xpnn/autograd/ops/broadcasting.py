"""Shapes under broadcasting, and the way back from a broadcast gradient."""

from __future__ import annotations

from typing import Any

from xpnn.backend import Array, ShapeError, is_half, namespace

NUMBERS = frozenset((bool, int, float, complex))


def kind_of(x: Any) -> Any:
    """The shape and element type of an array, which its gradient must have too; None for a number."""
    return None if type(x) in NUMBERS else (x.shape, x.dtype)


def unbroadcast(g: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """The gradient of an operand from the gradient of the broadcast result: the adjoint of broadcasting.

    Sums over the axes that were added or stretched, and goes back to the operand's element type.
    """
    xp = namespace(g)
    if g.shape != shape:
        added = g.ndim - len(shape)
        stretched = (added + i for i, n in enumerate(shape) if n == 1 and g.shape[added + i] != 1)
        axes = (*range(added), *stretched)
        if axes:
            if is_half(g):
                g = xp.astype(g, xp.float32)
            g = xp.sum(g, axis=axes, keepdims=True)
        g = xp.reshape(g, shape)
    return g if g.dtype == dtype else of_type(g, dtype)


def of_type(g: Array, dtype: Any) -> Array:
    """A gradient in the element type of what it belongs to: where that is real, its real part."""
    if g.dtype == dtype:
        return g
    xp = namespace(g)
    if xp.isdtype(g.dtype, "complex floating") and not xp.isdtype(dtype, "complex floating"):
        g = xp.real(g)
    return xp.astype(g, dtype, copy=False)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    Raises: ShapeError if two sizes of one axis differ and neither is 1.

    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    result = [1] * max([len(shape) for shape in shapes] or [0])  # torch.compile cannot read a `default`
    for shape in shapes:
        for i, size in enumerate(reversed(shape), start=1):
            if result[-i] == 1:
                result[-i] = size
            elif size not in (1, result[-i]):
                raise ShapeError(f"expects shapes that broadcast, got {', '.join(map(str, shapes))}")
    return tuple(result)


def axes_of(axis: int | tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """The axes as a tuple of numbers in `range(ndim)`; all of them for None."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim if ndim else a for a in (axis if isinstance(axis, tuple | list) else (axis,)))
