"""Normalisation without a batch: over groups of channels, over single channels, and by the root mean square.

As in `functional.norm`, the statistics are outputs, so that the same backward gives the second derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.backend import ArgumentError, Array, ShapeError, is_tensor, namespace
from xpnn.functional.arguments import check_floating, check_same_dtype, check_shape, raw_array, shape_of
from xpnn.functional.norm import batch_norm, running_statistics


def group_norm(
    input: Array | Tensor,
    num_groups: int,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
) -> Any:
    """Give every group of channels of every sample mean 0 and variance 1, then scale and shift each channel.

    With the mean m and the variance v over the M elements of a group:

        h = (x - m) / sqrt(v + eps)        y = weight h + bias

    Backward, with gh = weight gy, means over the group and sums over all but the channels:

        gx = (gh - mean(gh) - h mean(gh h)) / sqrt(v + eps)
        gweight = sum(gy h)        gbias = sum(gy)

    Args:
        input: (N, C, ...), floating.
        num_groups: divides C.
        weight, bias: (C,) or None, which is 1 and 0.
        eps: keeps the root away from zero.

    Raises: ShapeError if sizes do not fit; ArgumentError if num_groups does not divide the channels.

    See: Wu & He (2018), "Group normalization".

    >>> import numpy as np
    >>> group_norm(np.asarray([[1.0, 3.0, 5.0, 5.0]]), 2).round(4).tolist()
    [[-1.0, 1.0, 0.0, 0.0]]
    """
    _check_channels(input, weight, bias, "group_norm")
    if num_groups < 1 or input.shape[1] % num_groups:
        raise ArgumentError(
            f"expects num_groups that divides the {input.shape[1]} channels, got {num_groups}",
            subject="group_norm",
        )
    return _group_norm(input, weight, bias, groups=num_groups, eps=float(eps))[0]


def instance_norm(
    input: Array | Tensor,
    running_mean: Array | Tensor | None = None,
    running_var: Array | Tensor | None = None,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
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
    _check_channels(input, weight, bias, subject)
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
    y, mean, variance = _group_norm(input, weight, bias, groups=channels, eps=float(eps))
    if running_mean is not None and running_var is not None:
        if not (is_tensor(running_mean) and is_tensor(running_var)):
            raise ArgumentError(
                "expects running statistics as Tensors, got a raw array, which it would have to write into",
                subject=subject,
            )
        mean, variance = (namespace(s).mean(s, axis=0) for s in map(raw_array, (mean, variance)))
        running_mean.data, running_var.data = running_statistics(
            running_mean, running_var, mean, variance, count, momentum
        )
    return y


@primitive
def _group_norm(x, w, b, *, groups, eps):
    """y, and the mean and variance of each group, (N, groups)."""
    z = _by_group(x, groups)
    xp = namespace(x)
    mean = xp.mean(z, axis=-1)
    z = z - mean[..., None]
    variance = xp.mean(z * z, axis=-1)
    z *= _inverse_root(variance, eps)[..., None]
    y = xp.reshape(z, x.shape)
    if w is not None:
        y *= _channels(w, x)
    if b is not None:
        y += _channels(b, x)
    return (y, mean, variance), (x, w, mean, variance)


@_group_norm.backward
def _group_norm_backward(gradients, saved, needs, *, groups, eps):
    x, w, mean, variance = saved
    gy, gmean, gvariance = gradients
    xp = namespace(x, w, gy, gmean, gvariance)
    if gy is None:
        gy = xp.zeros_like(x)
    inverse = _inverse_root(variance, eps)[..., None]
    centred = _by_group(x, groups) - mean[..., None]
    h = centred * inverse
    but_channels = (0, *range(2, x.ndim))
    gx = gw = gb = None
    if needs[0]:
        gh = _by_group(gy if w is None else gy * _channels(w, x), groups)
        gx = gh - xp.mean(gh, axis=-1, keepdims=True) - h * xp.mean(gh * h, axis=-1, keepdims=True)
        gx = gx * inverse
        if gmean is not None:
            gx = gx + gmean[..., None] / gx.shape[-1]
        if gvariance is not None:
            gx = gx + centred * (2 * gvariance[..., None] / gx.shape[-1])
        gx = xp.reshape(gx, x.shape)
    if needs[1]:
        gw = xp.sum(gy * xp.reshape(h, x.shape), axis=but_channels)
    if needs[2]:
        gb = xp.sum(gy, axis=but_channels)
    return gx, gw, gb


def rms_norm(
    input: Array | Tensor,
    normalized_shape: int | Sequence[int],
    weight: Array | Tensor | None = None,
    eps: float | None = None,
) -> Any:
    """Divide the features of every sample by their root mean square, then scale each feature.

    With the mean square q over the N features of a sample:

        h = x / sqrt(q + eps)        y = weight h        q = mean(x^2)

    Backward, with gh = weight gy, means over the features and sums over the samples:

        gx = (gh - h mean(gh h)) / sqrt(q + eps)        gweight = sum(gy h)

    Args:
        input: (..., *normalized_shape), floating.
        normalized_shape: the trailing axes that are the features of a sample; a number is one axis.
        weight: normalized_shape or None, which is 1.
        eps: keeps the root away from zero; None is the distance from 1 to the next number of the dtype.

    Raises: ShapeError if the input does not end in normalized_shape.

    See: Zhang & Sennrich (2019), "Root mean square layer normalization".

    >>> import numpy as np
    >>> rms_norm(np.asarray([[3.0, 4.0, 5.0]]), 3).round(4).tolist()
    [[0.7348, 0.9798, 1.2247]]
    """
    check_floating(input, "rms_norm")
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ShapeError(
            f"expects an input that ends in the axes {shape}, got one of shape {shape_of(input)}",
            subject="rms_norm",
        )
    check_shape(weight, shape, "rms_norm", "weight")
    check_same_dtype("rms_norm", input, weight=weight)
    if eps is None:
        eps = float(namespace(raw_array(input)).finfo(input.dtype).eps)
    return _rms_norm(input, weight, features=len(shape), eps=float(eps))[0]


@primitive
def _rms_norm(x, w, *, features, eps):
    """y, and the mean square of each sample."""
    square = _mean_over_features(x * x, features)
    y = x * _inverse_root(square, eps)
    if w is not None:
        y *= w
    return (y, square), (x, w, square)


@_rms_norm.backward
def _rms_norm_backward(gradients, saved, needs, *, features, eps):
    x, w, square = saved
    gy, gsquare = gradients
    xp = namespace(x, w, gy, gsquare)
    if gy is None:
        gy = xp.zeros_like(x)
    inverse = _inverse_root(square, eps)
    h = x * inverse
    gx = gw = None
    if needs[0]:
        gh = gy if w is None else gy * w
        gx = (gh - h * _mean_over_features(gh * h, features)) * inverse
        if gsquare is not None:
            gx = gx + x * (2 * gsquare / max(prod(x.shape[-features:]), 1))
    if needs[1]:
        gw = xp.sum(gy * h, axis=tuple(range(x.ndim - features)))
    return gx, gw


def _by_group(x: Any, groups: int) -> Any:
    """(N, C, ...) as (N, groups, elements of a group)."""
    return namespace(x).reshape(x, (x.shape[0], groups, prod(x.shape[1:]) // max(groups, 1)))


def _inverse_root(variance: Any, eps: float) -> Any:
    return 1 / namespace(variance).sqrt(variance + eps)


def _channels(v: Any, x: Any) -> Any:
    """A vector of channels, shaped so that it lies along axis 1 of x."""
    return namespace(v).reshape(v, (1, v.shape[0], *(1,) * (x.ndim - 2)))


def _mean_over_features(x: Any, features: int) -> Any:
    return namespace(x).mean(x, axis=tuple(range(x.ndim - features, x.ndim)), keepdims=True)


def _check_channels(x: Any, weight: Any | None, bias: Any | None, subject: str) -> None:
    check_floating(x, subject)
    if x.ndim < 2:
        raise ShapeError(
            f"expects an input of at least 2 axes (N, C, ...), got {x.ndim} in the shape {shape_of(x)}",
            subject=subject,
        )
    for name, vector in {"weight": weight, "bias": bias}.items():
        check_shape(vector, (x.shape[1],), subject, name, hint=f"The input has {x.shape[1]} channels")
    check_same_dtype(subject, x, weight=weight, bias=bias)
