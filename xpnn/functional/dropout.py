"""Dropout: set a random part to zero, so that no unit can rely on another one.

The masks are the next ones of `xpnn.random.default_stream()`: the same on every backend.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from xpnn.autograd import primitive
from xpnn.autograd.half import half_in_float32
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, namespace, random
from xpnn.functional.arguments import (
    check_flags,
    check_floating,
    check_probability,
    check_rank,
    raw_array,
    shape_of,
)
from xpnn.functional.inplace import in_place_of

__all__ = [
    "alpha_dropout",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "stochastic_depth",
]

# What SELU gives for minus infinity: the value that alpha dropout sets, in place of zero.
_SATURATION = -1.7580993408473766


def dropout(input: ArrayT, p: float = 0.5, training: bool = True, inplace: bool = False) -> ArrayT:
    """Set each element to zero with probability p and scale up the rest: y = x m / (1 - p).

    m is 1 with probability 1 - p, else 0. Because the scaling is done here ("inverted" dropout), the mean is
    kept and nothing is to be done at test time. Backward: gx = gy m / (1 - p).

    Args:
        input: floating, any shape.
        p: the probability of a zero.
        training: whether to drop at all; False returns the input. True at test time, again and again, samples
            the model's uncertainty (see `nn.monte_carlo_dropout`).
        inplace: whether the result replaces the values of a Tensor `input`.

    The mask is the next one of `xpnn.random.default_stream()`: the same on every backend.

    Raises: ArgumentError unless 0 <= p <= 1.

    See: Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), "Dropout: a simple way to prevent
    neural networks from overfitting".

    >>> import numpy as np
    >>> sorted(set(dropout(np.ones(100), p=0.75).tolist()))
    [0.0, 4.0]
    """
    check_floating(input, "dropout")
    return _drop(input, p, training, inplace, "dropout", tuple(input.shape))


def dropout1d(input: ArrayT, p: float = 0.5, training: bool = True, inplace: bool = False) -> ArrayT:
    """`dropout` of whole channels of sequences: input (N, C, L) or (C, L), each channel kept or dropped.

    Raises: ShapeError for another number of axes.

    >>> import numpy as np
    >>> len(set(dropout1d(np.ones((1, 1, 9))).ravel().tolist()))
    1
    """
    check_floating(input, "dropout1d")
    check_rank(input, (2, 3), "dropout1d", "an optional batch, channels, then space")
    return _drop(input, p, training, inplace, "dropout1d", (*input.shape[:-1], 1))


def dropout2d(input: ArrayT, p: float = 0.5, training: bool = True, inplace: bool = False) -> ArrayT:
    """`dropout` of whole channels of images (N, C, H, W).

    Neighbouring pixels say nearly the same, so that dropping single ones would hide nothing.

    Other numbers of axes are taken as PyTorch takes them, with a warning: three as (N, C, L), two as (N, C).

    Raises: ShapeError for fewer than two axes.

    See: Tompson, Goroshin, Jain, LeCun & Bregler (2015), "Efficient object localization using
    convolutional networks".

    >>> import numpy as np
    >>> len(set(dropout2d(np.ones((1, 1, 3, 3))).ravel().tolist()))
    1
    """
    _check_channels(input, "dropout2d")
    if input.ndim != 4:
        layout = "(N, C, L)" if input.ndim == 3 else "(N, C, ...)"
        way = "dropout1d" if input.ndim == 3 else "dropout"
        _warn_of_axes(input, "dropout2d", f"(N, C, H, W), and takes it as {layout}. Use {way} for that")
    return _drop(input, p, training, inplace, "dropout2d", _channels(input))


def dropout3d(input: ArrayT, p: float = 0.5, training: bool = True, inplace: bool = False) -> ArrayT:
    """`dropout` of whole channels of volumes: input (N, C, D, H, W) or (C, D, H, W).

    Other numbers of axes are taken as PyTorch takes them, with a warning: without a batch axis.

    Raises: ShapeError for an input without axes.

    >>> import numpy as np
    >>> len(set(dropout3d(np.ones((1, 1, 2, 2, 2))).ravel().tolist()))
    1
    """
    check_floating(input, "dropout3d")
    if input.ndim == 0:
        raise ShapeError("expects an input with an axis of channels, got a number", subject="dropout3d")
    if input.ndim not in (4, 5):
        _warn_of_axes(input, "dropout3d", "(N, C, D, H, W), and takes it as (C, ...)")
    channels = _channels(input) if input.ndim == 5 else (input.shape[0], *(1,) * (input.ndim - 1))
    return _drop(input, p, training, inplace, "dropout3d", channels)


def drop_path(
    input: ArrayT, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> ArrayT:
    """Set whole samples to zero with probability `drop_prob`: y = x m, over 1 - drop_prob if `scale_by_keep`.

    On the branch of a residual block it leaves the short cut alone. Backward: gx = gy m, scaled alike.

    Args:
        input: (N, ...), floating.
        drop_prob: the probability of a zero.
        training: whether to drop at all.
        scale_by_keep: whether the rest is scaled up, so that the mean is kept.

    Raises: ArgumentError unless 0 <= drop_prob <= 1; ShapeError for an input without axes.

    See: Larsson, Maire & Shakhnarovich (2017), "FractalNet: ultra-deep neural networks without residuals".

    >>> import numpy as np
    >>> sorted(set(drop_path(np.ones((50, 2)), 0.5, training=True, scale_by_keep=False).ravel().tolist()))
    [0.0, 1.0]
    """
    check_floating(input, "drop_path")
    check_flags("drop_path", scale_by_keep=scale_by_keep)
    p = check_probability(drop_prob, "drop_path", "drop_prob")
    samples = _samples(input, "drop_path")
    if scale_by_keep or not training:
        return _drop(input, p, training, False, "drop_path", samples)
    return _dropout(input, draw_kept(samples, p, raw_array(input)), p=0.0)


def stochastic_depth(input: ArrayT, p: float, mode: str, training: bool = True) -> ArrayT:
    """Set whole samples, or the whole batch, to zero with probability p, and scale up the rest.

    On the branch of a residual block this makes the network less deep. torchvision has it by this name.

    Args:
        input: (N, ...), floating.
        p: the probability of a zero.
        mode: "row" decides for each sample on its own, "batch" for all of them at once.
        training: whether to drop at all; False returns the input.

    Raises: ArgumentError unless 0 <= p <= 1, and for another `mode`; ShapeError for an input without axes.

    See: Huang, Sun, Liu, Sedra & Weinberger (2016), "Deep networks with stochastic depth".

    >>> import numpy as np
    >>> sorted(set(stochastic_depth(np.ones((50, 2)), 0.75, "row").ravel().tolist()))
    [0.0, 4.0]
    """
    check_floating(input, "stochastic_depth")
    if not isinstance(mode, str) or mode not in ("batch", "row"):
        raise ArgumentError(f"expects mode='batch' or 'row', got {mode!r}", subject="stochastic_depth")
    samples = _samples(input, "stochastic_depth")
    return _drop(
        input, p, training, False, "stochastic_depth", samples if mode == "row" else (1,) * input.ndim
    )


def alpha_dropout(input: ArrayT, p: float = 0.5, training: bool = False, inplace: bool = False) -> ArrayT:
    """Dropout for SELU, which keeps mean 0 and variance 1: y = a (x m + s (1 - m)) + b.

    m is 1 with probability 1 - p, else 0; s = -1.7581 is where SELU ends on the left, and

        a = ((1 - p) (1 + p s^2))^-1/2        b = -a p s

    Backward: gx = gy a m.

    Args:
        input: floating, any shape.
        p: the probability that an element is set to s; all zeros come of 1.
        training: whether to drop at all; False returns the input.
        inplace: whether the result replaces the values of a Tensor `input`.

    Raises: ArgumentError unless 0 <= p <= 1.

    See: Klambauer, Unterthiner, Mayr & Hochreiter (2017), "Self-normalizing neural networks".

    >>> import numpy as np
    >>> alpha_dropout(np.ones(4), p=1.0, training=True).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    check_floating(input, "alpha_dropout")
    return _saturate(input, p, training, inplace, "alpha_dropout", tuple(input.shape))


def feature_alpha_dropout(
    input: ArrayT, p: float = 0.5, training: bool = False, inplace: bool = False
) -> ArrayT:
    """`alpha_dropout` of whole channels: input (N, C, ...), each channel kept or set to one value.

    Raises: ArgumentError unless 0 <= p <= 1; ShapeError for fewer than two axes.

    >>> import numpy as np
    >>> len(set(feature_alpha_dropout(np.ones((1, 1, 3, 3)), training=True).ravel().tolist()))
    1
    """
    _check_channels(input, "feature_alpha_dropout")
    return _saturate(input, p, training, inplace, "feature_alpha_dropout", _channels(input))


def _check_channels(x: Any, subject: str) -> None:
    check_floating(x, subject)
    if x.ndim < 2:
        raise ShapeError(
            f"expects an input of at least 2 axes (N, C, ...), got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )


def _warn_of_axes(x: Any, subject: str, meaning: str) -> None:
    warnings.warn(f"{subject} got an input of {x.ndim} axes in place of {meaning}", stacklevel=3)


def _channels(x: Any) -> tuple[int, ...]:
    """The shape of a mask that has one element for each channel of (N, C, ...)."""
    return (*x.shape[:2], *(1,) * (x.ndim - 2))


def _samples(x: Any, subject: str) -> tuple[int, ...]:
    """The shape of a mask that has one element for each sample of (N, ...)."""
    if x.ndim == 0:
        raise ShapeError("expects an input with an axis of samples, got a number", subject=subject)
    return (x.shape[0], *(1,) * (x.ndim - 1))


def _drop(x: Any, p: float, training: bool, inplace: bool, subject: str, mask_shape: tuple[int, ...]) -> Any:
    p = check_probability(p, subject)
    check_flags(subject, training=training)
    y = x if not training or p == 0.0 else _dropout(x, draw_kept(mask_shape, p, raw_array(x)), p=p)
    return y if inplace is False else in_place_of(x, y, inplace, subject)


def _saturate(
    x: Any, p: float, training: bool, inplace: bool, subject: str, mask_shape: tuple[int, ...]
) -> Any:
    p = check_probability(p, subject)
    check_flags(subject, training=training)
    if not training or p == 0.0:
        y = x
    elif p == 1.0:
        y = _scaled(x, 0.0)
    else:
        y = _saturated(x, draw_kept(mask_shape, p, raw_array(x)), p)
    return in_place_of(x, y, inplace, subject)


@half_in_float32
def _saturated(x: Any, keep: Array, p: float) -> Any:
    scale = ((1 - p) * (1 + p * _SATURATION**2)) ** -0.5
    kept = namespace(keep).astype(keep, raw_array(x).dtype)
    return x * (scale * kept) + (1 - kept - p) * (scale * _SATURATION)


@half_in_float32
def _scaled(x: Any, factor: float) -> Any:
    return x * factor


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
    if not shape:  # libraries give scalars, not arrays, for comparisons of numbers
        mask = draw_kept((1,), p, like)
        return namespace(mask).reshape(mask, ())
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
    return namespace(keep).astype(keep, raw_array(like).dtype) * (0.0 if p == 1.0 else 1.0 / (1.0 - p))
