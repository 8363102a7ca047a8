"""Padding: cells around an array, constant or copied from inside of it; negative widths cut cells off.

Where the cells outside are copies, one axis is padded after the other, so that corners are copies of copies:

    reflect     3 2 1 | 0 1 2 3 | 2 1 0         the border is a mirror, and not repeated
    replicate   0 0 0 | 0 1 2 3 | 3 3 3         the cell at the border again
    circular    1 2 3 | 0 1 2 3 | 0 1 2         around the end

The gradient of a cell is the sum of the gradients of its copies. As a sum over copies is the adjoint of
copying, each of the two primitives is the other's backward.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite, isnan
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, is_complex, namespace
from xpnn.backend.idioms import add_at_slices, set_at
from xpnn.backend.idioms import pad as padded
from xpnn.functional.arguments import number, shape_of, whole

__all__ = ["pad"]

MODES = ("constant", "reflect", "replicate", "circular")

Pairs = tuple[tuple[int, int], ...]  # cells before and after, along each of the last axes
Index = tuple[Any, ...]


def pad(input: ArrayT, pad: Sequence[int], mode: str = "constant", value: complex | None = None) -> ArrayT:
    """Put cells around an array, or cut some off.

    Backward: a cell gets the sum of the gradients of its copies; constants have none.

    Args:
        input: (...), of any element type.
        pad: cells before and after the last axis, then before and after the axis in front of it, and so on;
            negative ones are cut off.
        mode: what stands in the new cells: "constant", `value`; "reflect", the array mirrored at its border
            cell; "replicate", the border cell; "circular", the array again, from its other end.
        value: of constant cells; None is 0.

    Returns: the array, each axis longer by its two widths.

    Raises: ShapeError for more widths than axes, for more cells cut off than there are, for as many mirrored
    cells as there are, for more circular ones than there are; ArgumentError for an unknown mode, or a value
    where none is used.

    >>> import numpy as np
    >>> pad(np.asarray([[1, 2, 3]]), (2, 1)).tolist()
    [[0, 0, 1, 2, 3, 0]]
    >>> pad(np.asarray([[1, 2, 3]]), (2, -1), "reflect").tolist()
    [[3, 2, 1, 2]]
    """
    if not isinstance(mode, str) or mode not in MODES:
        known = f"{', '.join(map(repr, MODES[:-1]))} or {MODES[-1]!r}"
        raise ArgumentError(f"expects mode to be {known}, got {mode!r}", subject="pad")
    widths = _widths(pad, shape_of(input))
    grown: Pairs = tuple((max(before, 0), max(after, 0)) for before, after in widths)
    cut: Pairs = tuple((min(before, 0), min(after, 0)) for before, after in widths)
    if mode == "constant":
        return _pad(input, widths=widths, value=_fill(value, input))
    if value is not None and value != 0:
        raise ArgumentError(f"expects no value in mode {mode!r}, got {value!r}", subject="pad")
    if mode == "circular":  # what is cut off does not come again at the other end
        if cut != grown:
            input = _pad(input, widths=cut, value=0)
        _check_copies(grown, shape_of(input), mode)
        return _pad_with_copies(input, widths=grown, mode=mode)
    _check_copies(grown, shape_of(input), mode)
    y = _pad_with_copies(input, widths=grown, mode=mode)
    return _pad(y, widths=cut, value=0) if any(map(any, cut)) else y


# ---- constants ----


@primitive(half=True, complex_rule="linear")
def _pad(x: Array, *, widths: Pairs, value: complex) -> tuple[Array, tuple]:
    """`x` with cells of `value` around its last axes, or with cells cut off."""
    return padded(x, _of_all_axes(x, widths), value, copy=True), ()


@_pad.backward
def _pad_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], *, widths: Pairs, value: complex
) -> tuple[Array]:
    return (_pad(gy, widths=_negative(widths), value=0),)


# ---- copies ----


@primitive(half=True, complex_rule="linear")
def _pad_with_copies(x: Array, *, widths: Pairs, mode: str) -> tuple[Array, tuple]:
    """`x` with copies of its cells around its last axes."""
    canvas = padded(x, _of_all_axes(x, widths), copy=True)
    for axis, outside, origin in _strips(x.shape, widths, mode):
        canvas = set_at(canvas, outside, _turned(canvas[origin], axis, mode))
    return canvas, ()


@_pad_with_copies.backward
def _pad_with_copies_backward(
    gy: Array, saved: tuple, needs: tuple[bool, ...], **options: Any
) -> tuple[Array]:
    return (_sum_of_copies(gy, **options),)


@primitive(complex_rule="linear")
def _sum_of_copies(gy: Array, *, widths: Pairs, mode: str) -> tuple[Array, tuple]:
    """What lies inside of `widths`, to which the cells outside are added where they were copied from."""
    xp = namespace(gy)
    inner = _of_all_axes(gy, _negative(widths))
    total = xp.astype(gy, gy.dtype, copy=True)
    for axis, outside, origin in reversed(list(_strips(padded(gy, inner).shape, widths, mode))):
        part = _turned(total[outside], axis, mode)
        if mode == "replicate":
            part = xp.sum(part, axis=axis, keepdims=True)
        total = add_at_slices(total, origin, part)
    return padded(total, inner, copy=True), ()


@_sum_of_copies.backward
def _sum_of_copies_backward(
    ggx: Array, saved: tuple, needs: tuple[bool, ...], **options: Any
) -> tuple[Array]:
    return (_pad_with_copies(ggx, **options),)


def _strips(shape: Sequence[int], widths: Pairs, mode: str) -> Iterator[tuple[int, Index, Index]]:
    """Each strip of cells around an array of `shape`: its axis, where it lies, and what it is a copy of.

    Both indices are of the padded array, in an order in which what is copied from is complete.
    """
    for axis, (before, after) in enumerate(widths, start=-len(widths)):
        end = before + shape[axis]
        first, last = {
            "reflect": (slice(before + 1, 2 * before + 1), slice(end - 1 - after, end - 1)),
            "replicate": (slice(before, before + 1), slice(end - 1, end)),
            "circular": (slice(end - before, end), slice(before, before + after)),
        }[mode]
        others = (slice(None),) * (-1 - axis)
        if before:
            yield axis, (..., slice(before), *others), (..., first, *others)
        if after:
            yield axis, (..., slice(end, end + after), *others), (..., last, *others)


def _turned(strip: Array, axis: int, mode: str) -> Array:
    """What is seen in a mirror; else the strip itself."""
    return namespace(strip).flip(strip, axis=axis) if mode == "reflect" else strip


# ---- arguments ----


def _widths(pad: Any, shape: tuple[int, ...]) -> Pairs:
    """The cells before and after each of the last axes, from the first of them to the last."""
    if not isinstance(pad, Sequence) or isinstance(pad, str) or len(pad) % 2:
        raise ArgumentError(
            f"expects pad as integers, two for each axis from the last one on, got {pad!r}", subject="pad"
        )
    cells = [whole(width, "pad", "pad") for width in pad]
    axes = len(cells) // 2
    if axes > len(shape):
        raise ShapeError(f"expects two widths an axis, got {pad!r} for the shape {shape}", subject="pad")
    widths = tuple(zip(cells[::2], cells[1::2]))[::-1]
    for n, (before, after) in zip(shape[len(shape) - axes :], widths):
        if n + min(before, 0) + min(after, 0) < 0:
            raise ShapeError(
                f"cannot cut {-min(before, 0) - min(after, 0)} cells off an axis of {n}, "
                f"got pad={tuple(cells)} for the shape {shape}",
                subject="pad",
            )
    return widths


def _check_copies(widths: Pairs, shape: tuple[int, ...], mode: str) -> None:
    """Raise a ShapeError unless there are as many cells to copy as there are places for copies."""
    for n, pair in zip(shape[len(shape) - len(widths) :], widths):
        most = n - 1 if mode == "reflect" else n
        if any(pair) and (n == 0 or (mode != "replicate" and max(pair) > most)):
            raise ShapeError(
                f"expects widths of at most {max(most, 0)} in mode {mode!r} for an axis of {n} cells, "
                f"got {max(pair)}",
                subject="pad",
                hint="Pad less, or in several steps",
            )


def _fill(value: Any, input: Any) -> complex:
    """`value` as a number that an array of the input's element type can hold."""
    if value is None:
        value = 0.0
    elif type(value) is complex and is_complex(input):
        return value
    elif not isinstance(value, bool) and not (isinstance(value, float) and isnan(value)):
        value = number(value, "value", "pad")
    xp = namespace(input)
    if xp.isdtype(input.dtype, "bool"):
        return bool(value)
    if not xp.isdtype(input.dtype, "integral"):
        return float(value)
    if not isfinite(value):
        raise ArgumentError(f"expects a finite value for integers, got {value!r}", subject="pad")
    return int(value)


def _of_all_axes(x: Array, widths: Pairs) -> Pairs:
    return ((0, 0),) * (x.ndim - len(widths)) + widths


def _negative(widths: Pairs) -> Pairs:
    return tuple((-before, -after) for before, after in widths)
