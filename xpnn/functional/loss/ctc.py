"""Connectionist temporal classification: the likelihood of a sequence of labels, however they lie in time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd import Tensor, ops, primitive
from xpnn.autograd.half import half_in_float32
from xpnn.autograd.ops.activation import select
from xpnn.backend import (
    ArgumentError,
    Array,
    ArrayT,
    ShapeError,
    cheap_to_read,
    concrete,
    device_of,
    extremes,
    idioms,
    is_array,
    is_tensor,
    namespace,
    to_numpy,
)
from xpnn.functional.arguments import (
    as_indices,
    check_flags,
    check_floating,
    check_indices,
    check_integer,
    check_rank,
    check_reduction,
    check_shape,
    raw_array,
    shape_of,
    whole,
)
from xpnn.functional.loss.reduction import reduced

__all__ = ["ctc_loss"]

# Stands for ln 0: finite, so that differences of two are no NaN, and low enough to vanish in every sum.
_LOG_ZERO = -1e30

Lengths = Array | Tensor | Sequence[int] | int


@half_in_float32
def ctc_loss(
    log_probs: ArrayT,
    targets: Array | Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> ArrayT:
    """How unlikely a sequence of labels is, summed over all ways in which it may lie along the input.

    l = -ln sum over paths of prod_t p_t(path_t): a path has a label or a blank at each time, and becomes the
    target when repeated labels are merged, and then blanks are dropped. The forward variables alpha and the
    backward variables beta are computed in logarithms, for all samples and labels at once, time by time.

    Backward: gx_t(k) = gl (p_t(k) - q_t(k)), where q_t(k) is the probability that the path is at k at time t,
    given the target; 0 beyond the input's length. As in PyTorch, this is the gradient for probabilities that
    sum to 1: behind a `log_softmax` it is that of the formula.

    Args:
        log_probs: log-probabilities (T, N, C), or (T, C) of one sample, floating.
        targets: class numbers (N, S), padded to S; or those of all samples one after the other, (sum S_n,);
            or (S,) of one sample.
        input_lengths: (N,) integers up to T, as an array or a tuple; or () of one sample.
        target_lengths: (N,) integers up to S; or () of one sample.
        blank: the class that stands for no label.
        reduction: "none" gives each sample's loss, "sum" their sum; "mean" divides each by its target's
            length (at least 1), and averages.
        zero_infinity: whether infinite losses (a target that is too long for its input), and their gradients,
            are 0.

    Raises: ShapeError, DTypeError, IndexOutOfRangeError and ArgumentError if the arguments do not fit
    together. (Values are not looked at on a GPU or under `jax.jit`.)

    See: Graves, Fernandez, Gomez & Schmidhuber (2006), "Connectionist temporal classification".

    >>> import numpy as np
    >>> log_probs = np.log(np.full((2, 1, 2), 0.5))
    >>> float(ctc_loss(log_probs, np.asarray([[1]]), (2,), (1,)).round(4))
    0.2877
    """
    subject = "ctc_loss"
    check_reduction(reduction, subject)
    check_flags(subject, zero_infinity=zero_infinity)
    check_floating(log_probs, subject, "log_probs")
    check_rank(log_probs, (2, 3), subject, "T, C or T, N, C", "log_probs")
    check_integer(targets, subject, "targets")
    one = log_probs.ndim == 2
    x = ops.expand_dims(log_probs, axis=1) if one else log_probs
    times, samples, classes = x.shape
    blank = whole(blank, "blank", subject)
    if not 0 <= blank < classes:
        raise ArgumentError(f"expects blank between 0 and {classes - 1}, got {blank}", subject=subject)
    labels = as_indices(targets)
    namespace(raw_array(x), labels)  # two libraries: that is the mistake to name
    layout = "the labels of all samples" if one else "N, S, or the labels of all samples"
    check_rank(labels, 1 if one else (1, 2), subject, layout, "targets")
    input_lengths = _lengths(input_lengths, samples, labels, "input_lengths", times)
    target_lengths = _lengths(target_lengths, samples, labels, "target_lengths", labels.shape[-1])
    labels = _padded(labels, target_lengths, samples, blank)
    _check_no_blank(labels, target_lengths, blank)
    losses = _ctc_loss(
        x, labels % classes, input_lengths, target_lengths, blank=blank, zero_infinity=zero_infinity
    )
    if not check_indices(labels, classes, subject, "targets"):
        wrong = namespace(labels).any((labels < 0) | (labels >= classes), axis=1)
        losses = ops.where(wrong, math.nan, losses)
    if reduction == "mean":
        xp = namespace(target_lengths)
        lengths = xp.maximum(target_lengths, xp.ones_like(target_lengths))
        losses = losses / xp.astype(lengths, raw_array(losses).dtype)
    return reduced(ops.reshape(losses, ()) if one else losses, reduction)


@primitive
def _ctc_loss(x, labels, input_lengths, target_lengths, *, blank, zero_infinity):
    alphas = _alphas(x, labels, input_lengths, blank)
    loss = _negative_log(alphas[-1, ...], target_lengths)
    xp = namespace(loss)
    shown = xp.where(_is_infinite(loss), xp.full_like(loss, 0.0 if zero_infinity else math.inf), loss)
    return shown, (x, labels, input_lengths, target_lengths, alphas)


@_ctc_loss.backward
def _ctc_loss_backward(gy, saved, needs, *, blank, zero_infinity):
    x, labels, input_lengths, target_lengths, alphas = saved
    xp = namespace(x, alphas, gy)
    path = _path(labels, blank)
    logs = _logs_along_path(x, path)
    skips = _skips(path)
    loss = _negative_log(alphas[-1, ...], target_lengths)
    infinite = _is_infinite(loss)
    loss = xp.where(infinite, xp.zeros_like(loss), loss)

    # beta: the logarithm of the probability of what comes after a time, given the place in the path then.
    place = namespace(path).arange(path.shape[1], dtype=path.dtype, device=device_of(path))
    last = 2 * target_lengths[:, None]
    at_end = (place == last) | (place == last - 1)
    beta = _log_of(at_end, logs)
    ways = []
    for t in reversed(range(x.shape[0])):
        within = input_lengths[:, None] > t
        ways.append(xp.exp(alphas[t + 1, ...] + beta + loss[:, None]))
        after = _times(beta, logs[t, ...])
        skipped = _sooner(xp.where(skips, after, xp.full_like(after, _LOG_ZERO)), 2)
        beta = xp.where(within, _sum(after, _sooner(after, 1), skipped), beta)
    share = xp.stack(ways[::-1], axis=1)  # (N, T, places): how likely the path is there then
    of_class = idioms.one_hot(path, x.shape[2], raw_array(x).dtype)
    given_target = xp.moveaxis(ops.matmul(share, of_class), 1, 0)
    gx = gy[:, None] * (xp.exp(x) - given_target)
    times = namespace(path).arange(x.shape[0], dtype=input_lengths.dtype, device=device_of(path))
    nowhere = xp.full_like(gx, 0.0 if zero_infinity else math.nan)
    gx = xp.where(infinite[:, None], nowhere, gx)
    return select((times[:, None] < input_lengths)[..., None], gx), None, None, None


def _alphas(x: Any, labels: Array, input_lengths: Array, blank: int) -> Any:
    """(T + 1, N, places): the logarithm of the probability to be at a place of the path after t times.

    Before the first time it is certain to be at the first place, a blank. After the end of an input nothing
    changes any more.
    """
    path = _path(labels, blank)
    logs = _logs_along_path(x, path)
    xp = namespace(logs)
    skips = _skips(path)
    first = namespace(path).arange(path.shape[1], device=device_of(path)) == 0
    alpha = xp.broadcast_to(_log_of(first, logs), (x.shape[1], path.shape[1]))
    alphas = [alpha]
    for t in range(x.shape[0]):
        skipped = xp.where(skips, _later(alpha, 2), xp.full_like(alpha, _LOG_ZERO))
        after = _times(_sum(alpha, _later(alpha, 1), skipped), logs[t, ...])
        alpha = xp.where(input_lengths[:, None] > t, after, alpha)
        alphas.append(alpha)
    return xp.stack(alphas)


def _path(labels: Array, blank: int) -> Array:
    """(N, 2 S + 1): the labels, with a blank before, between and after them."""
    xp = namespace(labels)
    samples, longest = labels.shape
    blanks = xp.full_like(labels, blank)
    pairs = xp.reshape(xp.stack([blanks, labels], axis=-1), (samples, 2 * longest))
    last = xp.full((samples, 1), blank, dtype=labels.dtype, device=device_of(labels))
    return xp.concat([pairs, last], axis=1)


def _logs_along_path(x: Any, path: Array) -> Any:
    """(T, N, places): the log-probability of each place's class at each time."""
    xp = namespace(x)
    everywhere = namespace(path).broadcast_to(path, (x.shape[0], *path.shape))
    return xp.clip(xp.take_along_axis(x, everywhere, axis=2), _LOG_ZERO, None)


def _skips(path: Array) -> Array:
    """Whether the blank before a place may be left out: not between two equal labels."""
    xp = namespace(path)
    return path != xp.concat([path[:, :2], path[:, :-2]], axis=1)


def _log_of(condition: Array, like: Any) -> Any:
    """ln 1 where the condition holds, ln 0 elsewhere, as numbers like those of `like`."""
    dtype = raw_array(like).dtype
    xp = namespace(condition)
    return (1 - xp.astype(condition, dtype)) * _LOG_ZERO


def _later(values: Any, by: int) -> Any:
    """Each place's value `by` places later; ln 0 at the first ones."""
    xp = namespace(values)
    return xp.concat([xp.full_like(values[:, :by], _LOG_ZERO), values[:, :-by]], axis=1)


def _sooner(values: Any, by: int) -> Any:
    """Each place's value `by` places sooner; ln 0 at the last ones."""
    xp = namespace(values)
    return xp.concat([values[:, by:], xp.full_like(values[:, :by], _LOG_ZERO)], axis=1)


def _sum(x: Any, y: Any, z: Any) -> Any:
    """ln(e^x + e^y + e^z)."""
    xp = namespace(x, y, z)
    return xp.logaddexp(xp.logaddexp(x, y), z)


def _times(x: Any, y: Any) -> Any:
    """ln(e^x e^y), and ln 0 where e^x is 0: what is not finite counts on the paths that there are alone."""
    xp = namespace(x, y)
    return xp.where(_is_zero(x), xp.full_like(x, _LOG_ZERO), x + y)


def _is_zero(log: Any) -> Array:
    return raw_array(log) < _LOG_ZERO / 2


def _negative_log(alpha: Any, target_lengths: Array) -> Any:
    """(N,): -ln of the probability to be, at the end, at the last label or at the blank after it."""
    xp = namespace(alpha)
    last = 2 * target_lengths[:, None]
    at_blank = xp.take_along_axis(alpha, last, axis=1)
    at_label = xp.take_along_axis(alpha, namespace(last).clip(last - 1, 0, None), axis=1)
    at_label = xp.where(last > 0, at_label, xp.full_like(at_label, _LOG_ZERO))
    return -xp.squeeze(xp.logaddexp(at_blank, at_label), axis=1)


def _is_infinite(loss: Any) -> Array:
    return _is_zero(-loss)


def _lengths(lengths: Any, samples: int, labels: Array, name: str, most: int) -> Array:
    """The lengths as a raw array (N,) on the device of the labels."""
    xp = namespace(labels)
    if is_array(lengths) or is_tensor(lengths):
        check_integer(lengths, "ctc_loss", name)
        lengths = raw_array(lengths)
        namespace(labels, lengths)
    else:
        values = lengths if isinstance(lengths, Sequence) else [lengths]
        numbers = [whole(value, name, "ctc_loss") for value in values]
        lengths = xp.asarray(numbers, dtype=labels.dtype, device=device_of(labels))
    if lengths.ndim == 0 and samples == 1:
        lengths = xp.reshape(lengths, (1,))
    check_shape(lengths, (samples,), "ctc_loss", name)
    lengths = as_indices(lengths)
    if samples and concrete(lengths) and cheap_to_read(lengths):
        low, high = extremes(lengths)
        if low < 0 or high > most:
            raise ArgumentError(
                f"expects {name} between 0 and {most}, got {low if low < 0 else high}", subject="ctc_loss"
            )
    return lengths


def _padded(labels: Array, lengths: Array, samples: int, blank: int) -> Array:
    """(N, S): each sample's labels, then blanks; S is the longest length, where that can be read."""
    xp = namespace(labels)
    readable = concrete(lengths) and cheap_to_read(lengths)
    longest = labels.shape[-1]
    if readable:
        longest = int(extremes(lengths)[1]) if samples else 0
    place = xp.arange(longest, dtype=labels.dtype, device=device_of(labels))
    if labels.ndim == 2:
        if labels.shape[0] != samples:
            raise ShapeError(
                f"expects targets of {samples} samples, got the shape {shape_of(labels)}",
                subject="ctc_loss",
            )
        labels = labels[:, :longest]
    elif not labels.shape[0]:
        labels = xp.zeros((samples, longest), dtype=labels.dtype, device=device_of(labels))
    else:
        total = int(to_numpy(lengths).sum()) if readable else 0
        if total > labels.shape[0]:
            raise ShapeError(
                f"expects targets of the summed target_lengths, {total}, got {labels.shape[0]}",
                subject="ctc_loss",
            )
        ends = xp.cumulative_sum(lengths)
        index = xp.clip((ends - lengths)[:, None] + place, 0, labels.shape[0] - 1)
        labels = xp.reshape(xp.take(labels, xp.reshape(index, (-1,)), axis=0), index.shape)
    return xp.where(place < lengths[:, None], labels, xp.full_like(labels, blank))


def _check_no_blank(labels: Array, lengths: Array, blank: int) -> None:
    """Raise an ArgumentError for a label that is the blank, where it can be read."""
    if not (concrete(labels) and cheap_to_read(labels) and concrete(lengths)):
        return
    wrong = (to_numpy(labels) == blank).sum(axis=1) > labels.shape[1] - to_numpy(lengths)
    if wrong.any():
        raise ArgumentError(
            f"expects targets without the blank, {blank}, got it in sample {int(wrong.argmax())}",
            subject="ctc_loss",
            hint="Give it a class number of its own: blank=...",
        )
