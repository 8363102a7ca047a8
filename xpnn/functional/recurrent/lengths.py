"""Sequences of several lengths in one padded batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xpnn.autograd.core import TensorBase
from xpnn.autograd.ops.activation import select
from xpnn.backend import (
    ArgumentError,
    Array,
    cheap_to_read,
    concrete,
    device_of,
    is_array,
    namespace,
    to_numpy,
)
from xpnn.functional.arguments import check_shape, raw_array, whole
from xpnn.functional.recurrent.recurrence import Arrays, Recurrence


class Places:
    """Where in a padded batch (T, N, ...) the sequences lie, when they differ in length.

    A sequence is read backwards by turning it round within its own length, so that the steps behind its end
    come last in both directions, and nothing that is made of them reaches a step that counts.
    """

    def __init__(self, x: Any, lengths: Any, subject: str) -> None:
        steps, batch = x.shape[:2]
        follows = isinstance(lengths, TensorBase) and isinstance(x, TensorBase)
        if not is_array(lengths) or concrete(raw_array(lengths)):
            known = whole_numbers(lengths, "lengths", subject)
            if len(known) != batch or not all(1 <= length <= steps for length in known):
                raise ArgumentError(
                    f"expects {batch} lengths between 1 and {steps}, got {known}", subject=subject
                )
            if not follows or device_of(raw_array(lengths)) != device_of(raw_array(x)):
                lengths = indices_like(known, x)
        else:  # a placeholder under jit
            check_shape(lengths, (batch,), subject, "lengths")
            lengths = lengths if follows else raw_array(lengths)
        self.subject, self.lengths = subject, lengths
        xp, device = namespace(self.lengths), device_of(raw_array(x))
        if self.lengths.dtype != xp.int64:
            self.lengths = xp.astype(self.lengths, xp.int64)
        times = xp.arange(steps, dtype=xp.int64, device=device)[:, None]
        sequences = xp.arange(batch, dtype=xp.int64, device=device)
        self.seen = times < self.lengths
        turned = xp.where(self.seen, self.lengths - 1 - times, times) * batch + sequences
        self.turned = xp.reshape(turned, (-1,))
        self.ends = (self.lengths - 1) * batch + sequences

    def run(
        self, recurrence: Recurrence, x: Any, states: Arrays, weights: Any, reverse: bool
    ) -> tuple[Any, tuple[Any, ...]]:
        """As `_run`, with the states after each sequence's own last step."""
        x = self._turn(x) if reverse else x
        results = recurrence(x, states, weights, False)
        if _not_finite([*results, *weights]):  # behind the end, where a gradient of 0 becomes NaN
            results = self._run_within(recurrence, x, states, weights)
        ends = tuple(_take(_rows(s), self.ends) for s in results)
        return self._turn(results[0]) if reverse else results[0], ends

    def _run_within(self, recurrence: Recurrence, x: Any, states: Arrays, weights: Any) -> tuple[Any, ...]:
        """The states at all times, of no step behind an end: they are 0 there."""
        xp, lengths = namespace(x), whole_numbers(self.lengths, "lengths", self.subject)
        batch = len(lengths)
        longest_first = sorted(range(batch), key=lambda n: -lengths[n])
        order, back = indices_like(longest_first, x), indices_like(_inverse(longest_first), x)
        x = xp.take(x, order, axis=1)
        states = [namespace(s).take(s, order, axis=0) for s in states]
        parts: list[list[Any]] = [[] for _ in states]
        start = 0
        for end in [*sorted({*lengths}), *([x.shape[0]] if max(lengths) < x.shape[0] else [])]:
            running = sum(length >= end for length in lengths)
            if running:
                first = [s[:running, ...] for s in states]
                states = recurrence(x[start:end, :running, ...], first, weights, False)
            for part, s in zip(parts, states):
                shape = (end - start, batch - running, s.shape[-1])
                raw = raw_array(s)
                rest = namespace(raw).zeros(shape, dtype=raw.dtype, device=device_of(raw))
                part.append(namespace(s).concat([s, rest], axis=1) if running else rest)
            states = [s[-1, ...] for s in states]
            start = end
        joined = [namespace(*part).concat(part, axis=0) for part in parts]
        return tuple(namespace(s).take(s, back, axis=1) for s in joined)

    def without_padding(self, x: Any) -> Any:
        """x where a sequence is, and 0 behind its end, whatever is there."""
        return select(self.seen[..., None], x)

    def _turn(self, x: Any) -> Any:
        return namespace(x).reshape(_take(_rows(x), self.turned), x.shape)


def whole_numbers(values: Any, name: str, subject: str) -> list[int]:
    """What a list or an array holds, as a list of ints; an ArgumentError if that is something else."""
    values = to_numpy(values).tolist() if is_array(values) else values
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ArgumentError(f"expects {name} as a list of integers, got {values!r}", subject=subject)
    return [whole(value, name, subject) for value in values]


def indices_like(places: list[int], like: Any) -> Array:
    """Integers as a raw int64 array of the library and on the device of `like`."""
    raw = raw_array(like)
    xp = namespace(raw)
    return xp.asarray(places, dtype=xp.int64, device=device_of(raw))


def _not_finite(arrays: Arrays) -> bool:
    """Whether one of them holds an infinity or NaN, where that can be read without stalling.

    They are added up on the host: while a step is traced, what is known is no more so once it is computed
    with.
    """
    raws = [raw_array(x) for x in arrays if x is not None]
    known = [raw for raw in raws if concrete(raw) and cheap_to_read(raw)]
    return not all(math.isfinite(float(to_numpy(raw).sum())) for raw in known)


def _inverse(order: list[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)


def _rows(x: Any) -> Any:
    return namespace(x).reshape(x, (-1, x.shape[-1]))


def _take(rows: Any, indices: Any) -> Any:
    return namespace(rows).take(rows, indices, axis=0)
