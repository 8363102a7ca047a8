"""Dropout: set a random part to zero, so that no unit can rely on another one."""

from __future__ import annotations

import math
from typing import Any

from xpnn.autograd import primitive
from xpnn.backend import Array, ArrayT, namespace, random
from xpnn.functional.arguments import check_flags, check_floating, check_probability, check_rank, raw_array

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d"]


def dropout(input: ArrayT, p: float = 0.5, training: bool = True) -> ArrayT:
    """Set each element to zero with probability p and scale up the rest: y = x m / (1 - p).

    m is 1 with probability 1 - p, else 0. Because the scaling is done here ("inverted" dropout), the mean is
    kept and nothing is to be done at test time. Backward: gx = gy m / (1 - p).

    Args:
        input: floating, any shape.
        p: the probability of a zero.
        training: whether to drop at all; False returns the input.

    The mask is the next one of `xpnn.random.default_stream()`: the same on every backend.

    Raises: ArgumentError unless 0 <= p <= 1.

    See: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), "Dropout: a simple way to prevent
    neural networks from overfitting".

    >>> import numpy as np
    >>> sorted(set(dropout(np.ones(100), p=0.75).tolist()))
    [0.0, 4.0]
    """
    check_floating(input, "dropout")
    return _drop(input, p, training, "dropout", tuple(input.shape))


def dropout1d(input: ArrayT, p: float = 0.5, training: bool = True) -> ArrayT:
    """`dropout` of whole channels of sequences: input (N, C, L) or (C, L), each channel kept or dropped.

    >>> import numpy as np
    >>> len(set(dropout1d(np.ones((1, 1, 9))).ravel().tolist()))
    1
    """
    return _drop_channels(input, p, training, "dropout1d", 1)


def dropout2d(input: ArrayT, p: float = 0.5, training: bool = True) -> ArrayT:
    """`dropout` of whole channels of images: input (N, C, H, W) or (C, H, W).

    Neighbouring pixels say nearly the same, so that dropping single ones would hide nothing.

    See: Tompson, Goroshin, Jain, LeCun & Bregler (2015), "Efficient object localization using
    convolutional networks".

    >>> import numpy as np
    >>> len(set(dropout2d(np.ones((1, 1, 3, 3))).ravel().tolist()))
    1
    """
    return _drop_channels(input, p, training, "dropout2d", 2)


def dropout3d(input: ArrayT, p: float = 0.5, training: bool = True) -> ArrayT:
    """`dropout` of whole channels of volumes: input (N, C, D, H, W) or (C, D, H, W).

    >>> import numpy as np
    >>> len(set(dropout3d(np.ones((1, 1, 2, 2, 2))).ravel().tolist()))
    1
    """
    return _drop_channels(input, p, training, "dropout3d", 3)


def _drop_channels(x: Any, p: float, training: bool, subject: str, spatial: int) -> Any:
    check_floating(x, subject)
    check_rank(x, (spatial + 1, spatial + 2), subject, "an optional batch, channels, then space")
    return _drop(x, p, training, subject, (*x.shape[:-spatial], *(1,) * spatial))


def _drop(x: Any, p: float, training: bool, subject: str, mask_shape: tuple[int, ...]) -> Any:
    check_probability(p, subject)
    check_flags(subject, training=training)
    if not training or p == 0.0:
        return x
    return _dropout(x, draw_kept(mask_shape, p, raw_array(x)), p=float(p))


@primitive
def _dropout(x, keep, *, p):
    return x * factors_of(keep, p, x), (keep,)


@_dropout.backward
def _dropout_backward(gy, saved, needs, *, p):
    (keep,) = saved
    return gy * factors_of(keep, p, gy), None


def draw_kept(shape: tuple[int, ...], p: float, like: Array) -> Array:
    """The next mask of the stream: booleans, False with probability p, on the device of `like`.

    The probability is rounded up to the stream's own steps: a number that every backend compares alike.
    """
    stream, steps = random.default_stream(), math.ceil(p * random.RESOLUTION)
    if stream.rng == "native":
        return stream.uniform(shape, like) >= steps / random.RESOLUTION
    return _threefry_mask(like, shape=shape, steps=steps, seed=stream.seed, counter=stream.next_counter())


@primitive
def _threefry_mask(like, *, shape, steps, seed, counter):
    """Which numbers of draw `counter` are `steps` / RESOLUTION or more."""
    return random.uniform(shape, like, seed, counter) >= steps / random.RESOLUTION, ()


def factors_of(keep: Any, p: float, like: Any) -> Any:
    """What to multiply by: 0 or 1 / (1 - p).

    Made anew in every backward, since booleans take a quarter of the memory.
    """
    return namespace(keep).astype(keep, like.dtype) * (0.0 if p == 1.0 else 1.0 / (1.0 - p))
