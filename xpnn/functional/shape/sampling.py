"""Sampling: an image or a volume read at places that a grid names, and grids of affine maps.

A place has a coordinate for each axis of space, the last axis first, from -1 at one end to 1 at the other.
Its value is a weighted sum of the cells around it, and differentiable in the cells and in the place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.autograd.ops.indexing import add_along_axis
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace
from xpnn.functional.arguments import (
    check_fits_memory,
    check_flags,
    check_floating,
    check_rank,
    check_same_dtype,
    raw_array,
    shape_of,
    tuple_of,
)

__all__ = ["affine_grid", "grid_sample"]

_MODES = ("bilinear", "nearest", "bicubic")
_BORDERS = ("zeros", "border", "reflection")

_CUBIC = -0.75  # the slope of cubic convolution


@half_in_float32
def grid_sample(
    input: ArrayT,
    grid: Array,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> ArrayT:
    """Read images or volumes at the places of a grid.

    `y[n, c, i, j] = sum over cells of w(cell, place) x[n, c, cell]` with the place `grid[n, i, j]`: (x, y),
    of which x goes along W; w are the weights of `interpolate`. Backward: gx adds w gy to the cells; ggrid is
    the slope of the weights, 0 for the nearest cell.

    Args:
        input: (N, C, H, W) or (N, C, D, H, W) floats.
        grid: (N, OH, OW, 2) or (N, OD, OH, OW, 3), of the input's dtype, from -1 to 1.
        mode: "bilinear", which of volumes is trilinear; "nearest"; or "bicubic", of images.
        padding_mode: what lies around the input: "zeros", its "border" cells, or its "reflection".
        align_corners: whether -1 and 1 are the centres of the first and the last cell, rather than their
            outer edges; None is False.

    Returns: (N, C, OH, OW) or (N, C, OD, OH, OW).

    Raises: ShapeError if the shapes don't fit; ArgumentError for an unknown mode.

    See: Jaderberg et al., "Spatial transformer networks", 2015.

    >>> import numpy as np
    >>> image = np.asarray([[[[1.0, 3.0]]]])
    >>> grid_sample(image, np.asarray([[[[0.0, 0.0], [1.0, 0.0]]]]), align_corners=True).tolist()
    [[[[2.0, 3.0]]]]
    """
    subject = "grid_sample"
    check_rank(input, (4, 5), subject, "NCHW or NCDHW")
    check_floating(input, subject)
    check_same_dtype(subject, input, grid=grid)
    axes = input.ndim - 2
    for name, value, known in (("mode", mode, _MODES), ("padding_mode", padding_mode, _BORDERS)):
        if not isinstance(value, str) or value not in known:
            raise ArgumentError(f"expects {name} to be one of {known}, got {value!r}", subject=subject)
    if mode == "bicubic" and axes != 2:
        raise ArgumentError("expects images (NCHW) in mode 'bicubic', got volumes", subject=subject)
    if align_corners is not None:
        check_flags(subject, align_corners=align_corners)
    if grid.ndim != input.ndim or grid.shape[-1] != axes or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            f"expects a grid of shape ({input.shape[0]}, ..., {axes}) with {input.ndim} axes, "
            f"got {shape_of(grid)} for an input of shape {shape_of(input)}",
            subject=subject,
        )
    size = tuple(input.shape[2:])
    if 0 in size:
        raise ShapeError(f"expects cells to read, got the shape {shape_of(input)}", subject=subject)
    xp = namespace(input, grid)
    places = [
        _place(xp.reshape(grid[..., axes - 1 - axis], (grid.shape[0], 1, -1)), n, bool(align_corners))
        if grid.shape[0]
        else xp.zeros((0, 1, math.prod(grid.shape[1:-1])), dtype=input.dtype, device=device_of(input))
        for axis, n in enumerate(size)
    ]
    flat = xp.reshape(input, (*input.shape[:2], math.prod(size)))
    border = (padding_mode, bool(align_corners))
    taps = [_taps(place, n, mode, border) for place, n in zip(places, size)]
    corners = [_corner(corner, size) for corner in itertools.product(*taps)]
    cells, weights = zip(*corners)
    y: Any = _sampled_cells(flat, xp.concat(weights, axis=1), namespace(cells[0]).concat(cells, axis=1))
    return xp.reshape(y, (*input.shape[:2], *grid.shape[1:-1]))


@half_in_float32
def affine_grid(theta: ArrayT, size: Sequence[int], align_corners: bool | None = None) -> ArrayT:
    """The grid that `grid_sample` needs for an affine map of images or volumes.

    `grid[n, i, j] = theta[n] (x_j, y_i, 1)`, with x and y from -1 to 1 over the output.

    Args:
        theta: (N, 2, 3) or (N, 3, 4) floats.
        size: (N, C, OH, OW) or (N, C, OD, OH, OW), of the output.
        align_corners: as of `grid_sample`.

    Returns: (N, OH, OW, 2) or (N, OD, OH, OW, 3).

    Raises: ShapeError if the shapes don't fit; ArgumentError for sizes below 1.

    >>> import numpy as np
    >>> affine_grid(np.asarray([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2)).tolist()
    [[[[-0.5, 0.0], [0.5, 0.0]]]]
    """
    subject = "affine_grid"
    check_rank(theta, 3, subject, "N, axes, axes + 1", "theta")
    check_floating(theta, subject, "theta")
    if align_corners is not None:
        check_flags(subject, align_corners=align_corners)
    count = len(size) if isinstance(size, Sequence) else 0
    if count not in (4, 5):
        raise ArgumentError(f"expects size as four or five integers, got {size!r}", subject=subject)
    sizes = tuple_of(tuple(size), count, "size", subject, minimum=1)
    check_fits_memory(sizes, size, "size", subject)
    axes, space = count - 2, sizes[2:]
    if tuple(theta.shape) != (sizes[0], axes, axes + 1):
        raise ShapeError(
            f"expects theta of shape {(sizes[0], axes, axes + 1)} for the size {sizes}, "
            f"got {shape_of(theta)}",
            subject=subject,
        )
    xp = namespace(theta)
    total: Any = theta[:, :, axes]
    total = xp.reshape(total, (sizes[0], *(1,) * axes, axes))
    for axis, n in enumerate(space):
        places = [(2 * i + 1 - n) / (max(n - 1, 1) if align_corners else n) for i in range(n)]
        line = xp.asarray(places, dtype=theta.dtype, device=device_of(theta))
        line = xp.reshape(line, (n, *(1,) * (axes - axis)))
        column = xp.reshape(theta[:, :, axes - 1 - axis], (sizes[0], *(1,) * axes, axes))
        total = total + column * line
    return total


# ---- along one axis ----


def _place(coordinate: Array, n: int, align_corners: bool) -> Array:
    """From -1 to 1, to the number of a cell."""
    return (coordinate + 1.0) * (0.5 * (n - 1)) if align_corners else (coordinate + 1.0) * (0.5 * n) - 0.5


def _taps(place: Array, n: int, mode: str, border: tuple[str, bool]) -> list[tuple[Array, Array, Array]]:
    """The cells around each place, whether they are inside, and their weights, which are 0 outside."""
    xp = namespace(raw_array(place))
    if mode == "bicubic":
        first = xp.floor(raw_array(place))
        t = place - first
        weights = (_outer(t + 1.0), _inner(t), _inner(1.0 - t), _outer(2.0 - t))
        taps = [(_inside(first + k, n, border), w) for k, w in zip((-1.0, 0.0, 1.0, 2.0), weights)]
    else:
        place = _inside(place, n, border)
        first = xp.round(raw_array(place)) if mode == "nearest" else xp.floor(raw_array(place))
        t = place - first
        # The weight of the nearest cell is 1 wherever the place is: its gradient is 0, and not none.
        always = select(first < first, t) + 1.0
        taps = [(first, always)] if mode == "nearest" else [(first, 1.0 - t), (first + 1.0, t)]
    found = []
    for cell, w in taps:
        inside = (cell >= 0) & (cell <= n - 1)
        whole = xp.astype(xp.where(inside, cell, xp.zeros_like(cell)), xp.int64)
        found.append((whole, inside, select(inside, w)))
    return found


def _inner(d: Array) -> Array:
    """The cubic kernel at distances up to 1."""
    return ((_CUBIC + 2.0) * d - (_CUBIC + 3.0)) * d * d + 1.0


def _outer(d: Array) -> Array:
    """The cubic kernel at distances from 1 to 2."""
    return (((d - 5.0) * d + 8.0) * d - 4.0) * _CUBIC


def _inside(place: Array, n: int, border: tuple[str, bool]) -> Array:
    """The place itself, or the one on the border, or in the mirrored input, that stands for it."""
    padding_mode, align_corners = border
    if padding_mode == "zeros":
        return place
    if padding_mode == "reflection":
        start, span = (0.0, float(n - 1)) if align_corners else (-0.5, float(n))
        if span == 0:
            return place * 0.0
        xp = namespace(raw_array(place))
        place = namespace(place).abs(place - start)
        turns = xp.floor(raw_array(place) / span)
        odd = turns - 2.0 * xp.floor(0.5 * turns)
        place = (place - turns * span) * (1.0 - 2.0 * odd) + (odd * span + start)
    raw = raw_array(place)
    last = float(n - 1)
    return select((raw > 0) & (raw < last), place) + last * namespace(raw).astype(raw >= last, raw.dtype)


def _corner(corner: tuple[tuple[Array, Array, Array], ...], size: tuple[int, ...]) -> tuple[Array, Array]:
    """The numbers of the cells of one corner, -1 outside, and their weights."""
    index, inside, weight = corner[0]
    for (cell, here, w), n in zip(corner[1:], size[1:]):
        index, inside, weight = index * n + cell, here & inside, weight * w
    xp = namespace(index)
    return xp.where(inside, index, xp.full_like(index, -1)), weight


# ---- weighted sums of cells, and their adjoints ----
#
# sum of w[n, k, p] x[n, c, cells[n, k, p]] gy[n, c, p] is linear in w, in x and in gy. The three derivatives
# are three primitives, and each one's backward calls the other two. A cell of -1 is 0 whatever its weight.


@primitive
def _sampled_cells(x: Array, w: Array, cells: Array) -> tuple[Array, tuple]:
    """The derivative by gy: (N, C, P) of x (N, C, cells), w (N, K, P) and cells (N, K, P)."""
    y: Any = 0.0
    for k in range(cells.shape[1]):
        y = y + _read(x, cells[:, k : k + 1, :]) * w[:, k : k + 1, :]
    return y, (x, w, cells)


@_sampled_cells.backward
def _sampled_cells_backward(gy: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    x, w, cells = saved
    gx = _add_to_sampled(gy, w, cells, count=x.shape[2]) if needs[0] else None
    return gx, _products_with_sampled(gy, x, cells) if needs[1] else None, None


@primitive
def _add_to_sampled(gy: Array, w: Array, cells: Array, *, count: int) -> tuple[Array, tuple]:
    """The derivative by x: (N, C, count) of gy (N, C, P), w and cells."""
    gx: Any = 0.0
    for k in range(cells.shape[1]):
        cell = cells[:, k : k + 1, :]
        part = select(cell >= 0, gy * w[:, k : k + 1, :])
        gx = gx + add_along_axis(part, _along_channels(cell, gy), axis=2, count=count)
    return gx, (gy, w, cells)


@_add_to_sampled.backward
def _add_to_sampled_backward(ggx: Array, saved: tuple, needs: tuple[bool, ...], *, count: int) -> tuple:
    gy, w, cells = saved
    ggy = _sampled_cells(ggx, w, cells) if needs[0] else None
    return ggy, _products_with_sampled(gy, ggx, cells) if needs[1] else None, None


@primitive
def _products_with_sampled(gy: Array, x: Array, cells: Array) -> tuple[Array, tuple]:
    """The derivative by w: (N, K, P) of gy (N, C, P), x and cells."""
    xp = namespace(gy, x)
    products = [
        xp.sum(gy * _read(x, cells[:, k : k + 1, :]), axis=1, keepdims=True) for k in range(cells.shape[1])
    ]
    return xp.concat(products, axis=1), (gy, x, cells)


@_products_with_sampled.backward
def _products_with_sampled_backward(gw: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    gy, x, cells = saved
    ggy = _sampled_cells(x, gw, cells) if needs[0] else None
    return ggy, _add_to_sampled(gy, gw, cells, count=x.shape[2]) if needs[1] else None, None


def _read(x: Array, cell: Array) -> Array:
    """x (N, C, cells) at one cell (N, 1, P) for each place; what is read in place of -1 may be infinite."""
    return select(cell >= 0, namespace(x).take_along_axis(x, _along_channels(cell, x), axis=2))


def _along_channels(cell: Array, x: Array) -> Array:
    """Cells for each channel of x; the first in place of -1."""
    xp = namespace(cell)
    return xp.broadcast_to(xp.maximum(cell, xp.zeros_like(cell)), (*x.shape[:2], cell.shape[2]))
