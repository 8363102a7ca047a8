"""Cells around an input: of one value, or of the input itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, namespace
from xpnn.backend.idioms import pad as pad_with_value
from xpnn.functional.arguments import number, whole
from xpnn.functional.windows import Pairs

__all__ = ["pad"]


def pad(input: ArrayT, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> ArrayT:
    """Add cells before and after an input along its last axes, or take cells away.

    Args:
        input: (...) of any dtype.
        pad: cells before and after the last axis, then the one before it, and so on; negative numbers take
            cells away.
        mode: what the cells hold: "constant", the `value`; "reflect", the input mirrored at its last cell;
            "replicate", its last cell; "circular", the input again from its other end.
        value: of the constant mode, 0 if None.

    The gradient of a cell is the sum of those of its copies.

    Raises: ArgumentError for a mode or a number of cells that there is not; ShapeError where an axis has too
    few cells.

    >>> import numpy as np
    >>> pad(np.asarray([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect").tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]
    """
    pairs = _pairs(pad, input.ndim)
    if mode not in ("constant", *_EXTENSIONS):
        raise ArgumentError(
            f"expects mode 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}", subject="pad"
        )
    if mode == "constant":
        added = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
        value = 0.0 if value is None else number(value, "value", "pad")
        return _pad(_cropped(input, pairs), widths=added, value=value)
    if value:
        raise ArgumentError(f"takes no value in the mode {mode!r}, got {value!r}", subject="pad")
    if mode == "circular":  # what is taken away does not come again
        input = _cropped(input, pairs)
    for axis, (before, after) in enumerate(pairs):
        if before > 0 or after > 0:
            input = _EXTENSIONS[mode](input, axis, max(before, 0), max(after, 0))
    return input if mode == "circular" else _cropped(input, pairs)


@primitive(half=True)
def _pad(x: Array, *, widths: Pairs, value: float) -> tuple[Array, tuple]:
    return pad_with_value(x, widths, value), ()


@_pad.backward
def _pad_backward(gy: Array, saved: tuple, needs: tuple[bool, ...], *, widths: Pairs, value: float) -> tuple:
    return (gy[tuple(slice(before, size - after) for size, (before, after) in zip(gy.shape, widths))],)


def _cropped(x: ArrayT, pairs: Pairs) -> ArrayT:
    """`x` without the cells that negative numbers take away."""
    if min(map(min, pairs), default=0) >= 0:
        return x
    inside = (slice(max(-before, 0), size + min(after, 0)) for size, (before, after) in zip(x.shape, pairs))
    return x[tuple(inside)]


def _reflected(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    if max(before, after) >= size:
        raise _too_few(x, axis, before, after, "reflect", "more cells than are added on a side")
    xp = namespace(x)
    first = xp.flip(_part(x, axis, 1, before + 1), axis=axis)
    last = xp.flip(_part(x, axis, size - 1 - after, size - 1), axis=axis)
    return xp.concat([first, x, last], axis=axis)


def _replicated(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    if size == 0:
        raise _too_few(x, axis, before, after, "replicate", "a cell")
    xp = namespace(x)

    def repeated(cell: Array, count: int) -> Array:
        return xp.broadcast_to(cell, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    first, last = _part(x, axis, 0, 1), _part(x, axis, size - 1, size)
    return xp.concat([repeated(first, before), x, repeated(last, after)], axis=axis)


def _repeated(x: Array, axis: int, before: int, after: int) -> Array:
    size = x.shape[axis]
    if max(before, after) > size:
        raise _too_few(x, axis, before, after, "circular", "no fewer cells than are added on a side")
    parts = [_part(x, axis, size - before, size), x, _part(x, axis, 0, after)]
    return namespace(x).concat(parts, axis=axis)


_EXTENSIONS: dict[str, Callable[[Any, int, int, int], Any]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _repeated,
}


def _part(x: Array, axis: int, start: int, stop: int) -> Array:
    return x[(*(slice(None),) * axis, slice(start, stop), ...)]


def _too_few(x: Array, axis: int, before: int, after: int, mode: str, needed: str) -> ShapeError:
    return ShapeError(
        f"in the mode {mode!r} needs axis {axis} to have {needed}, got ({before}, {after}) for "
        f"an input of shape {tuple(x.shape)}",
        subject="pad",
    )


def _pairs(pad: Sequence[int], ndim: int) -> Pairs:
    """Cells before and after each axis, from the first one on."""
    if not isinstance(pad, Sequence) or isinstance(pad, str) or len(pad) % 2 or len(pad) > 2 * ndim:
        raise ArgumentError(
            f"expects pad as two numbers for each of at most {ndim} axes, the last one first, got {pad!r}",
            subject="pad",
        )
    numbers = [whole(cells, "pad", "pad") for cells in pad]
    given = [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), 2)]
    return ((0, 0),) * (ndim - len(given)) + tuple(reversed(given))
