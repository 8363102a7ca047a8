"""Batch norm: every channel gets mean 0 and variance 1, over the batch and space.

The forward keeps its input and its *outputs* only (the statistics are outputs too), so that the same
backward gives the second derivative.
"""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.autograd import Tensor, primitive
from xpnn.autograd.ops.activation import through_relu
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    is_array,
    is_half,
    is_tensor,
    namespace,
)
from xpnn.functional.arguments import (
    check_affine_dtype,
    check_eps,
    check_flags,
    check_floating,
    check_same_dtype,
    check_shape,
    number,
    once_per_signature,
    raw_array,
    shape_of,
)
from xpnn.functional.norm.group import flat_channels
from xpnn.functional.norm.groups import Groups, normalise, normalise_backward

__all__ = ["batch_norm", "batch_norm_with_statistics", "running_statistics"]


def batch_norm(
    input: ArrayT,
    running_mean: Array | Tensor | None,
    running_var: Array | Tensor | None,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    residual: Array | Tensor | None = None,
    relu: bool = False,
) -> ArrayT:
    """Give every channel the mean `bias` and the standard deviation `weight`, over batch and space.

    With the mean m and the variance v of each channel:

        h = (x - m) / sqrt(v + eps)        y = weight h + bias

    In training m and v are the batch's own, taken over the N elements of the channel (v with 1/N), and
    the gradient passes through them too, with sums over the same N elements:

        gbias = sum(gy)        gweight = sum(gy h)
        gx = weight / sqrt(v + eps) (gy - gbias / N - h gweight / N)

    The running statistics are then moved towards the batch's (see `running_statistics`): a Tensor (or
    Buffer) gets a new array; a raw array is refused, because this library does not write into arrays.
    Otherwise m and v are the running statistics, and gx = weight / sqrt(v + eps) gy.

    `residual` and `relu`, which PyTorch lacks, are for the end of a residual block: the result is
    `relu(y + residual)`. They save passes over memory, as what is normalised is not written and read again.

    Args:
        input: (N, C, ...), floating.
        running_mean, running_var: (C,); both may be None in training.
        weight, bias: (C,) or None, which is 1 and 0.
        momentum: the part of the batch in the new running statistics.
        eps: keeps the root away from zero, at test time too.
        residual: what is added to the result, like the input; None adds nothing.
        relu: whether what is negative is then cut off.

    Raises: ShapeError if sizes do not fit, or for fewer than two elements per channel in training;
    ArgumentError if running statistics are missing at test time, or are raw arrays in training.

    See: Ioffe & Szegedy (2015), "Batch normalization: accelerating deep network training by reducing
    internal covariate shift".

    >>> import numpy as np
    >>> batch_norm(np.asarray([[1.0], [3.0]]), None, None, training=True).round(4).tolist()
    [[-1.0], [1.0]]
    """
    check_flags("batch_norm", training=training, relu=relu)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "expects running_mean and running_var unless training, got None",
                subject="batch_norm",
                hint="Pass training=True to use the statistics of the batch",
            )
        _check_channels(input, running_mean, running_var, weight, bias, residual)
        arrays = (input, running_mean, running_var, weight, bias, residual)
        return _batch_norm_inference(*arrays, eps=check_eps(eps, "batch_norm"), relu=relu)

    check_running(running_mean, running_var, momentum, "batch_norm")
    _check_channels(input, running_mean, running_var, weight, bias, residual)
    y, mean, variance = batch_norm_with_statistics(input, weight, bias, eps, residual=residual, relu=relu)
    if running_mean is not None and running_var is not None:
        mean, variance = running_statistics(
            running_mean, running_var, mean, variance, _count(input), momentum
        )
        running_mean.store(mean)
        running_var.store(variance)
    return y


def batch_norm_with_statistics(
    input: ArrayT,
    weight: Array | Tensor | None = None,
    bias: Array | Tensor | None = None,
    eps: float = 1e-5,
    *,
    residual: Array | Tensor | None = None,
    relu: bool = False,
) -> tuple[ArrayT, ArrayT, ArrayT]:
    """`batch_norm` in training, as a pure function: (y, mean, variance) of the batch, the variance with 1/N.

    Gradients pass through all three results.

    Args:
        input: (N, C, ...), floating. weight, bias: (C,) or None.
        residual, relu: as of `batch_norm`.

    Returns: y like the input; mean (C,); variance (C,).

    Raises: ShapeError as `batch_norm`.

    >>> import numpy as np
    >>> y, mean, variance = batch_norm_with_statistics(np.asarray([[1.0], [3.0]]))
    >>> mean.tolist(), variance.tolist()
    ([2.0], [1.0])
    """
    _check_channels(input, None, None, weight, bias, residual)
    if _count(input) == 1:
        raise ShapeError(
            f"expects more than one value per channel in training, got an input of shape {shape_of(input)}",
            subject="batch_norm",
            hint="Use larger batches (DataLoader(drop_last=True)), or eval() for a single sample",
        )
    return _batch_norm(
        input, weight, bias, residual, eps=check_eps(eps, "batch_norm", above_zero=True), relu=relu
    )


def running_statistics(
    running_mean: Array | Tensor,
    running_var: Array | Tensor,
    mean: Array | Tensor,
    variance: Array | Tensor,
    count: int,
    momentum: Any,
) -> tuple[Array, Array]:
    """Move running statistics towards a batch's: (1 - momentum) running + momentum batch.

    The variance of the batch, with 1/N, is made unbiased first by N / (N - 1). A batch of no elements, which
    has neither, leaves them as they are. Those in half precision are computed in float32 and rounded once.

    Args:
        running_mean, running_var, mean, variance: (C,).
        count: N, the number of elements per channel.
        momentum: a number or a 0-d array.

    Returns: the new running mean and variance as raw arrays; nothing is written in place.

    >>> import numpy as np
    >>> zero, one, two = np.zeros(1), np.ones(1), np.full(1, 2.0)
    >>> [a.tolist() for a in running_statistics(zero, one, two, two, count=2, momentum=0.1)]
    [[0.2], [1.3]]
    """
    statistics = [raw_array(s) for s in (running_mean, running_var, mean, variance)]
    if count == 0:
        return statistics[0], statistics[1]
    return _moved_statistics(*statistics, count=count, momentum=momentum)


@primitive(half=True)
def _moved_statistics(old_mean, old_var, mean, variance, *, count, momentum):
    xp, dtype, var_dtype = namespace(old_mean), old_mean.dtype, old_var.dtype
    old_mean, old_var, mean, variance = [
        xp.astype(s, xp.float32) if is_half(s) else s for s in (old_mean, old_var, mean, variance)
    ]
    unbiased = variance * (count / max(count - 1, 1))
    new_mean = (1 - momentum) * old_mean + momentum * mean
    new_var = (1 - momentum) * old_var + momentum * unbiased
    moved = xp.astype(new_mean, dtype, copy=False), xp.astype(new_var, var_dtype, copy=False)
    return moved, ()


def check_running(running_mean: Any, running_var: Any, momentum: Any, subject: str) -> None:
    """Raise unless both are Tensors, which can be moved, or both None, and the momentum is a number."""
    if (running_mean is None) != (running_var is None):
        missing = "running_mean" if running_mean is None else "running_var"
        raise ArgumentError(
            f"expects both running_mean and running_var or neither, got no {missing}", subject=subject
        )
    if not is_tensor(momentum) and not is_array(momentum):
        number(momentum, "momentum", subject)
    for running in (running_mean, running_var):
        if running is not None and not is_tensor(running):
            raise ArgumentError(
                "expects running statistics as Tensors, got a raw array, which it would have to write into",
                subject=subject,
                hint="Pass None, and use batch_norm_with_statistics and running_statistics",
            )


@primitive(statistics=True)
def _batch_norm(x, w, b, residual, *, eps, relu):
    """Normalise by the statistics of the batch, which are outputs as well."""
    y, mean, variance = normalise(x, w, None, _of_channels(x), eps)
    y = _finished(y, b, residual, relu)
    mean, variance = flat_channels(mean), flat_channels(variance)
    return (y, mean, variance), (x, w, mean, variance, y if relu else None)


@_batch_norm.backward
def _batch_norm_backward(gradients, saved, needs, *, eps, relu):
    x, w, mean, variance, y = saved
    gy, *others = gradients
    if gy is None:
        gy = namespace(x).zeros_like(x)
    if relu:
        gy = through_relu(gy, y)
    gx, gw, gb = normalise_backward((gy, *others), x, w, mean, variance, _of_channels(x), eps, needs)
    return gx, flat_channels(gw), flat_channels(gb), gy


@primitive
def _batch_norm_inference(x, mean, variance, w, b, residual, *, eps, relu):
    """Normalise by given statistics."""
    y = _finished((x - _channels(mean, x)) * _channels(_scale(variance, w, eps), x), b, residual, relu)
    return y, (x, mean, variance, w, y if relu else None)


@_batch_norm_inference.backward
def _batch_norm_inference_backward(gy, saved, needs, *, eps, relu):
    x, mean, variance, w, y = saved
    gx = gmean = gvariance = gw = gb = None
    scale = _scale(variance, w, eps)
    if relu:
        gy = through_relu(gy, y)
    if needs[0]:
        gx = gy * _channels(scale, x)
    if needs[1] or needs[4]:
        gb = _sum_over_batch(gy)
        gmean = -scale * gb
    if needs[2] or needs[3]:
        gw = _sum_over_batch(gy * (x - _channels(mean, x))) * _scale(variance, None, eps)
        gvariance = -0.5 * scale * gw * _scale(variance, None, eps)
    return gx, gmean, gvariance, gw, gb, gy


def _finished(y: Any, b: Any, residual: Any, relu: bool) -> Any:
    """What follows on the product with the scale."""
    if b is not None:
        y += _channels(b, y)
    if residual is not None:
        y = y + residual
    if relu:
        y = namespace(y).maximum(y, namespace(y).zeros_like(y))
    return y


def _scale(variance: Any, w: Any, eps: float) -> Any:
    """w / sqrt(variance + eps): what a centred value is multiplied by."""
    scale = 1 / namespace(variance).sqrt(variance + eps)
    return scale if w is None else w * scale


def _channels(v: Any, x: Any) -> Any:
    """A vector of channels, shaped so that it lies along axis 1 of x."""
    return namespace(v).reshape(v, (1, v.shape[0], *(1,) * (x.ndim - 2)))


def _sum_over_batch(x: Any) -> Any:
    """The sum over all axes but the channels."""
    return namespace(x).sum(x, axis=(0, *range(2, x.ndim)))


def _of_channels(x: Any) -> Groups:
    """A group is a channel of all samples."""
    return Groups(x.shape, (0, *range(2, x.ndim)), (x.shape[1], *(1,) * (x.ndim - 2)))


def _count(x: Any) -> int:
    """The number of elements per channel."""
    return prod(x.shape[:1]) * prod(x.shape[2:])


@once_per_signature
def _check_channels(
    x: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, residual: Any
) -> None:
    check_floating(x, "batch_norm")
    if x.ndim < 2:
        raise ShapeError(
            f"expects an input of at least 2 axes (N, C, ...), got {x.ndim} in the shape {shape_of(x)}",
            subject="batch_norm",
        )
    channels = x.shape[1]
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, vector in vectors.items():
        if vector is not None and shape_of(vector, "batch_norm", name) != (channels,):
            raise ShapeError(
                f"expects {vector.shape[0] if vector.ndim else 1} channels on axis 1, the size of {name}, "
                f"got {channels} from an input of shape {shape_of(x)}",
                subject="batch_norm",
                hint=f"Did you mean num_features={channels}?",
            )
    check_shape(residual, shape_of(x), "batch_norm", "residual")
    check_affine_dtype("batch_norm", x, weight=weight, bias=bias)
    check_same_dtype("batch_norm", x, residual=residual)
