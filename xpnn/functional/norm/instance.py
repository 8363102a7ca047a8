"""Instance norm: every channel of every sample gets mean 0 and variance 1."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor
from xpnn.autograd.half import in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import ArgumentError, Array, ArrayT, ShapeError, is_half, namespace
from xpnn.functional.arguments import (
    alike,
    check_eps,
    check_flags,
    check_shape,
    raw_array,
    shape_of,
)
from xpnn.functional.norm.batch import batch_norm, check_running, running_statistics
from xpnn.functional.norm.group import _group_norm, check_channels

__all__ = ["instance_norm"]


def instance_norm(
    input: ArrayT,
    running_mean: Array | Tensor | None = None,
    running_var: Array | Tensor | None = None,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> ArrayT:
    """Give every channel of every sample mean 0 and variance 1: `group_norm` with a group per channel.

    Args:
        input: (N, C, ...), floating, with space behind the channels.
        running_mean, running_var: (C,) Tensors that are moved towards the mean over the batch of the
            samples' statistics, or None; without use_input_stats they take the statistics' place.
        weight, bias: (C,) or None, which is 1 and 0.
        use_input_stats: whether each sample is normalised by its own statistics.
        momentum: the part of the batch in the new running statistics.
        eps: keeps the root away from zero.

    Raises: ShapeError if sizes do not fit, or for one element per channel; ArgumentError if running
    statistics are needed and missing, or are raw arrays that would have to be written into.

    See: Ulyanov, Vedaldi & Lempitsky (2016), "Instance normalization: the missing ingredient for fast
    stylization".

    >>> import numpy as np
    >>> instance_norm(np.asarray([[[1.0, 3.0], [5.0, 9.0]]])).round(4).tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    subject = "instance_norm"
    check_flags(subject, use_input_stats=use_input_stats)
    check_channels(input, weight, bias, subject)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "expects running_mean and running_var unless use_input_stats, got None", subject=subject
            )
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    channels, count = input.shape[1], prod(input.shape[2:])
    check_shape(running_mean, (channels,), subject, "running_mean")
    check_shape(running_var, (channels,), subject, "running_var")
    if input.ndim < 3 or count == 1:
        raise ShapeError(
            f"expects more than one value per channel and sample, got an input of shape {shape_of(input)}",
            subject=subject,
        )
    check_running(running_mean, running_var, momentum, subject)
    y, mean, variance = _normalise(input, weight, bias, channels, check_eps(eps, subject))
    if running_mean is not None and running_var is not None:
        if input.shape[0] == 0:  # no samples, no means
            return y
        mean, variance = (namespace(s).mean(s, axis=0) for s in map(raw_array, (mean, variance)))
        mean, variance = running_statistics(running_mean, running_var, mean, variance, count, momentum)
        running_mean.store(mean)
        running_var.store(variance)
    return y


# The smallest normal number of float32, whose root's inverse is far from infinite.
_TINY = 2.0**-126


def _normalise(x: Any, w: Any, b: Any, channels: int, eps: float) -> tuple[Any, Any, Any]:
    """y, mean and variance."""
    if eps:
        return _group_norm(x, w, b, groups=channels, eps=eps)
    if is_half(x):
        return in_float32(_normalise_without_eps, x.dtype, (x, w, b, channels), {}, rounded=1)
    return _normalise_without_eps(x, w, b, channels)


def _normalise_without_eps(x: Any, w: Any, b: Any, channels: int) -> tuple[Any, Any, Any]:
    """A channel of equal values is 0 before the bias, and has no gradient, as in PyTorch."""
    y, mean, variance = _group_norm(x, None, None, groups=channels, eps=_TINY)
    xp, space = namespace(x, w, b), (1,) * (x.ndim - 2)
    y = select(xp.reshape(raw_array(variance) != 0, (*variance.shape, *space)), y)
    if w is not None:
        y, w = alike(y, w)
        y = y * xp.reshape(w, (channels, *space))
    if b is not None:
        y, b = alike(y, b)
        y = y + xp.reshape(b, (channels, *space))
    return y, mean, variance
