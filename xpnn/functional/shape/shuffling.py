"""Shuffling: cells between channels and space, and channels between groups."""

from __future__ import annotations

from xpnn.backend import Array, ArrayT, ShapeError, namespace
from xpnn.functional.arguments import shape_of, tuple_of

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(input: ArrayT, upscale_factor: int) -> ArrayT:
    """Make an image r times as large of r * r channels: `y[c, r i + u, r j + v] = x[c r r + r u + v, i, j]`.

    Args:
        input: (..., C r r, H, W), of any element type.
        upscale_factor: r.

    Returns: (..., C, r H, r W).

    Raises: ShapeError unless r * r divides the channels.

    See: Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", 2016.

    >>> import numpy as np
    >>> pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2).tolist()
    [[[0, 1], [2, 3]]]
    """
    subject = "pixel_shuffle"
    (r,) = tuple_of(upscale_factor, 1, "upscale_factor", subject, minimum=1)
    *leading, channels, height, width = _image_shape(input, subject)
    if channels % (r * r):
        raise ShapeError(
            f"expects channels that {r} * {r} divides, got the shape {shape_of(input)}", subject=subject
        )
    xp = namespace(input)
    x = xp.reshape(input, (*leading, channels // (r * r), r, r, height, width))
    n = len(leading)
    x = xp.permute_dims(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return xp.reshape(x, (*leading, channels // (r * r), height * r, width * r), copy=True)


def pixel_unshuffle(input: ArrayT, downscale_factor: int) -> ArrayT:
    """Make r * r channels of an image that is r times as small: the inverse of `pixel_shuffle`.

    Args:
        input: (..., C, r H, r W), of any element type.
        downscale_factor: r.

    Returns: (..., C r r, H, W).

    Raises: ShapeError unless r divides the height and the width.

    >>> import numpy as np
    >>> pixel_unshuffle(np.arange(4).reshape(1, 2, 2), 2).tolist()
    [[[0]], [[1]], [[2]], [[3]]]
    """
    subject = "pixel_unshuffle"
    (r,) = tuple_of(downscale_factor, 1, "downscale_factor", subject, minimum=1)
    *leading, channels, height, width = _image_shape(input, subject)
    if height % r or width % r:
        raise ShapeError(
            f"expects a height and a width that {r} divides, got the shape {shape_of(input)}", subject=subject
        )
    xp = namespace(input)
    x = xp.reshape(input, (*leading, channels, height // r, r, width // r, r))
    n = len(leading)
    x = xp.permute_dims(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return xp.reshape(x, (*leading, channels * r * r, height // r, width // r), copy=True)


def channel_shuffle(input: ArrayT, groups: int) -> ArrayT:
    """Mix groups of channels: the first one of each group, then the second one of each, and so on.

    Args:
        input: (N, C, ...), of any element type.
        groups: divides C.

    Returns: the input's shape.

    Raises: ShapeError unless `groups` divides the channels.

    See: Zhang et al., "ShuffleNet", 2018.

    >>> import numpy as np
    >>> channel_shuffle(np.arange(4).reshape(1, 4, 1), 2).tolist()
    [[[0], [2], [1], [3]]]
    """
    subject = "channel_shuffle"
    (groups,) = tuple_of(groups, 1, "groups", subject, minimum=1)
    shape = shape_of(input)
    if len(shape) < 3 or shape[1] % groups:
        raise ShapeError(
            f"expects an input (N, C, ...) whose channels {groups} groups divide, got the shape {shape}",
            subject=subject,
        )
    xp = namespace(input)
    x = xp.reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return xp.reshape(xp.permute_dims(x, (0, 2, 1, *range(3, len(shape) + 1))), shape, copy=True)


def _image_shape(x: Array, subject: str) -> tuple[int, ...]:
    if len(shape_of(x, subject, "input")) < 3:
        raise ShapeError(
            f"expects an input of three axes or more (..., C, H, W), got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )
    return shape_of(x)
