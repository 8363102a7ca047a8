"""Fractional max pooling: windows of one size at random places, whatever the ratio of the sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal, overload

from xpnn.autograd.casting import listed
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.indexing import add_along_axis
from xpnn.autograd.primitive import primitive
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, device_of, namespace, random
from xpnn.functional.arguments import check_flags, check_same_dtype, number, raw_array, shape_of, tuple_of
from xpnn.functional.pool.arguments import Sizes, check_input
from xpnn.functional.windows import Size, batch_of_one

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]

Ratio = float | Sequence[float]


@overload
def fractional_max_pool2d(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = ...,
    output_ratio: Ratio | None = ...,
    return_indices: Literal[False] = ...,
    _random_samples: Array | None = ...,
) -> ArrayT: ...
@overload
def fractional_max_pool2d(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = ...,
    output_ratio: Ratio | None = ...,
    return_indices: bool = ...,
    _random_samples: Array | None = ...,
) -> Any: ...
@listed
def fractional_max_pool2d(
    input: Any,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
) -> Any:
    """The largest value of each window of an image, at random places.

    The windows of an axis begin at `floor((i + u) a) - floor(u a)`, with a = (size - kernel) / (output - 1)
    and one random u in [0, 1) for each channel of each sample; the last one ends with the axis. The gradient
    goes to the cell that won, as of `max_pool2d`.

    Args:
        input: (N, C, H, W) floats, or (C, H, W).
        kernel_size: cells of a window; a number, or one for each axis of space.
        output_size: how many windows there are; a number, or one for each axis; or
        output_ratio: the part of the input's size, between 0 and 1.
        return_indices: whether to return where each maximum was found, too, as `max_pool2d`.
        _random_samples: (N, C, 2), the u of each axis, columns first, as in PyTorch; None takes the next ones
            of `xpnn.random.default_stream()`.

    Returns: (N, C, OH, OW), or a pair of it and the indices.

    Raises: ArgumentError unless one of output_size and output_ratio is given; ShapeError if the windows
    don't fit.

    See: Graham, "Fractional max-pooling", 2014.

    >>> import numpy as np
    >>> fractional_max_pool2d(np.ones((1, 5, 5)), 2, output_size=3).shape
    (1, 3, 3)
    """
    check_flags("fractional_max_pool2d", return_indices=return_indices)
    found = _fractional(
        "fractional_max_pool2d", input, kernel_size, output_size, output_ratio, _random_samples
    )
    return found if return_indices else found[0]


def fractional_max_pool2d_with_indices(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
) -> tuple[ArrayT, Array]:
    """`fractional_max_pool2d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> fractional_max_pool2d_with_indices(np.ones((1, 2, 2)), 2, output_size=1)[1].tolist()
    [[[0]]]
    """
    check_flags("fractional_max_pool2d_with_indices", return_indices=return_indices)
    return fractional_max_pool2d(input, kernel_size, output_size, output_ratio, True, _random_samples)


@overload
def fractional_max_pool3d(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = ...,
    output_ratio: Ratio | None = ...,
    return_indices: Literal[False] = ...,
    _random_samples: Array | None = ...,
) -> ArrayT: ...
@overload
def fractional_max_pool3d(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = ...,
    output_ratio: Ratio | None = ...,
    return_indices: bool = ...,
    _random_samples: Array | None = ...,
) -> Any: ...
@listed
def fractional_max_pool3d(
    input: Any,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
) -> Any:
    """The largest value of each window of a volume, at random places.

    See `fractional_max_pool2d`.

    Args:
        input: (N, C, D, H, W) floats, or (C, D, H, W).
        kernel_size: cells of a window; a number, or one for each axis of space.
        output_size: how many windows there are; a number, or one for each axis; or
        output_ratio: the part of the input's size, between 0 and 1.
        return_indices: whether to return where each maximum was found, too, as `max_pool3d`.
        _random_samples: (N, C, 3), the u of each axis; None takes the next ones of
            `xpnn.random.default_stream()`.

    Returns: (N, C, OD, OH, OW), or a pair of it and the indices.

    Raises: ArgumentError unless one of output_size and output_ratio is given; ShapeError if the windows
    don't fit.

    See: Graham, "Fractional max-pooling", 2014.

    >>> import numpy as np
    >>> fractional_max_pool3d(np.ones((1, 5, 5, 5)), 2, output_size=3).shape
    (1, 3, 3, 3)
    """
    check_flags("fractional_max_pool3d", return_indices=return_indices)
    found = _fractional(
        "fractional_max_pool3d", input, kernel_size, output_size, output_ratio, _random_samples
    )
    return found if return_indices else found[0]


def fractional_max_pool3d_with_indices(
    input: ArrayT,
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: Ratio | None = None,
    return_indices: bool = False,
    _random_samples: Array | None = None,
) -> tuple[ArrayT, Array]:
    """`fractional_max_pool3d` and the place of each maximum, whatever `return_indices` says.

    >>> import numpy as np
    >>> fractional_max_pool3d_with_indices(np.ones((1, 2, 2, 2)), 2, output_size=1)[1].tolist()
    [[[[0]]]]
    """
    check_flags("fractional_max_pool3d_with_indices", return_indices=return_indices)
    return fractional_max_pool3d(input, kernel_size, output_size, output_ratio, True, _random_samples)


def _fractional(
    subject: str,
    input: Array,
    kernel_size: Size,
    output_size: Size | None,
    output_ratio: Ratio | None,
    samples: Array | None,
) -> tuple[Array, Array]:
    axes = int(subject[-2])
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError(
            f"expects one of output_size and output_ratio, got {output_size!r} and {output_ratio!r}",
            subject=subject,
        )
    return batch_of_one(axes)(_of_batch)(
        input, subject, axes, kernel_size, output_size, output_ratio, samples
    )


@half_in_float32
def _of_batch(
    input: Array,
    subject: str,
    axes: int,
    kernel_size: Size,
    output_size: Size | None,
    output_ratio: Ratio | None,
    samples: Array | None,
) -> tuple[Array, Array]:
    check_input(subject, axes, input)
    xp = namespace(input)
    size = tuple(input.shape[2:])
    kernel = tuple_of(kernel_size, axes, "kernel_size", subject, minimum=1)
    if output_size is None:
        output_size = _part_of(size, output_ratio, subject)
    sizes = tuple_of(output_size, axes, "output_size", subject, minimum=1)
    if any(count + k - 1 > n for count, k, n in zip(sizes, kernel, size)):
        raise ShapeError(
            f"expects no more than {tuple(n - k + 1 for n, k in zip(size, kernel))} windows of {kernel} "
            f"in an input of shape {shape_of(input)}, got {sizes}",
            subject=subject,
        )
    x = raw_array(input)
    u = _samples(samples, x, axes, subject)
    starts = [_starts(u[:, :, i], n, count, k) for i, n, count, k in zip(_order(axes), size, sizes, kernel)]
    places = _largest(x, starts, kernel, size)
    flat = xp.reshape(input, (*input.shape[:2], math.prod(size)))
    rows = namespace(places).reshape(places, (*input.shape[:2], math.prod(sizes)))
    y = xp.reshape(_picked(flat, rows), tuple(places.shape))
    return y, (xp.asarray(places) if xp is not namespace(places) else places)


@primitive(half=True, flat=True)
def _picked(x: Array, places: Array) -> tuple[Array, tuple]:
    """The cells at `places` along the last axis, which stay the largest ones near each input."""
    return namespace(x).take_along_axis(x, places, axis=-1), (places, (x.shape[-1],))


@_picked.backward
def _picked_backward(gy: Array, saved: tuple, needs: tuple[bool, ...]) -> tuple[Array, None]:
    places, (count,) = saved
    return add_along_axis(gy, places, axis=-1, count=count), None


def _order(axes: int) -> Sizes:
    """Which sample is which axis's."""
    return (1, 0) if axes == 2 else tuple(range(axes))


def _samples(samples: Array | None, x: Array, axes: int, subject: str) -> Array:
    shape = (*x.shape[:2], axes)
    if samples is None:
        return random.default_stream().uniform(shape, x)
    check_same_dtype(subject, x, _random_samples=samples)
    if tuple(samples.shape) != shape:
        raise ShapeError(
            f"expects _random_samples of shape {shape}, got {shape_of(samples)}", subject=subject
        )
    return raw_array(samples)


def _part_of(size: Sizes, output_ratio: Any, subject: str) -> Sizes:
    several = isinstance(output_ratio, Sequence) and not isinstance(output_ratio, str)
    ratios = tuple(output_ratio) if several else (output_ratio,) * len(size)
    parts = [number(ratio, "output_ratio", subject) for ratio in ratios]
    if len(parts) != len(size) or not all(0 < part < 1 for part in parts):
        raise ArgumentError(
            f"expects output_ratio between 0 and 1, one number or {len(size)}, got {output_ratio!r}",
            subject=subject,
        )
    return tuple(int(n * part) for n, part in zip(size, parts))


def _starts(u: Array, n: int, count: int, k: int) -> Array:
    """(N, C, count): where the windows of an axis begin."""
    xp = namespace(u)
    end = xp.full((*u.shape, 1), n - k, dtype=xp.int64, device=device_of(u))
    if count == 1:
        return end
    alpha = (n - k) / (count - 1)
    u = u[..., None]
    steps = xp.astype(xp.arange(count - 1, device=device_of(u)), u.dtype)
    places = xp.astype(xp.floor((steps + u) * alpha), xp.int64) - xp.astype(xp.floor(u * alpha), xp.int64)
    return xp.concat([places, end], axis=-1)


def _largest(x: Array, starts: list[Array], kernel: Sizes, size: Sizes) -> Array:
    """Where each window's largest value is, in the flat space; the last NaN wins, or the first of equals."""
    xp = namespace(x)
    flat = xp.reshape(x, (*x.shape[:2], math.prod(size)))
    best = places = None
    for cell in itertools.product(*map(range, kernel)):
        here: Any = 0
        axes = len(size)
        for axis, (start, t, n) in enumerate(zip(starts, cell, size)):
            along = (*start.shape[:2], *(1,) * axis, start.shape[2], *(1,) * (axes - 1 - axis))
            here = here * n + xp.reshape(start + t, along)
        rows = xp.reshape(here, (*x.shape[:2], math.prod(here.shape[2:])))
        value = xp.reshape(xp.take_along_axis(flat, rows, axis=-1), here.shape)
        if best is None:
            best, places = value, here
            continue
        won = (value > best) | (value != value)
        best, places = xp.where(won, value, best), xp.where(won, here, places)
    return places
