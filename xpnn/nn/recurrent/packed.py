"""Sequences of several lengths in one batch: padded to the longest, or packed without padding.

A packed batch holds the sequences' steps in the order of time: all first steps, then all second steps, and
so on, of the longest sequence first. `batch_sizes` says how many sequences still run at each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, Array, ShapeError, device_of, is_array, namespace, to_numpy
from xpnn.functional.arguments import raw_array
from xpnn.functional.recurrent.lengths import indices_like

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """A batch of sequences without padding; made by `pack_padded_sequence` and `pack_sequence`.

    Attributes:
        data: (sum of the lengths, ...), time by time.
        batch_sizes: the number of sequences that have a step at each time; never grows. Python's integers,
            because they are the shapes of arrays.
        sorted_indices: (N,) integers, which sequence of the batch is the longest, the second, ...; None if
            they came in that order.
        unsorted_indices: (N,) integers, the inverse of it.
    """

    data: Any
    batch_sizes: tuple[int, ...]
    sorted_indices: Array | None = None
    unsorted_indices: Array | None = None

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths, from the longest to the shortest."""
        return tuple(sum(size > n for size in self.batch_sizes) for n in range(self.batch_sizes[0]))


def pack_padded_sequence(
    input: Array | Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Take the padding out of a batch of sequences.

    Args:
        input: (T, N, ...), or (N, T, ...) if batch_first.
        lengths: N integers in [1, T]: a list or an array.
        enforce_sorted: whether the lengths have to fall already, as ONNX wants it; otherwise they are sorted.

    Raises: ArgumentError for lengths that do not fit, or are not sorted while they have to be.

    >>> import numpy as np
    >>> packed = pack_padded_sequence(np.asarray([[1, 2], [3, 4], [5, 0]]), [3, 2])
    >>> packed.data.tolist(), packed.batch_sizes
    ([1, 2, 3, 4, 5], (2, 2, 1))
    """
    x = _time_first(input, batch_first)
    steps, batch = x.shape[:2]
    counts = _integers(lengths)
    if len(counts) != batch or not all(1 <= count <= steps for count in counts):
        raise ArgumentError(
            f"expects {batch} lengths between 1 and {steps}, got {counts}", subject="pack_padded_sequence"
        )
    order = sorted(range(batch), key=lambda n: -counts[n])
    is_sorted = counts == sorted(counts, reverse=True)
    if enforce_sorted and not is_sorted:
        raise ArgumentError(
            f"expects lengths from the longest to the shortest, got {counts}",
            subject="pack_padded_sequence",
            hint="Pass enforce_sorted=False",
        )
    sizes = tuple(sum(count > t for count in counts) for t in range(max(counts)))
    rows = [t * batch + order[n] for t, size in enumerate(sizes) for n in range(size)]
    xp = namespace(x)
    data = xp.take(xp.reshape(x, (steps * batch, *x.shape[2:])), indices_like(rows, x), axis=0)
    if enforce_sorted:
        return PackedSequence(data, sizes)
    back = sorted(range(batch), key=order.__getitem__)
    return PackedSequence(data, sizes, indices_like(order, x), indices_like(back, x))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Array]:
    """Put the padding back in: the inverse of `pack_padded_sequence`.

    Args:
        sequence: a packed batch.
        batch_first: whether the result is (N, T, ...) in place of (T, N, ...).
        padding_value: what stands behind the end of a sequence.
        total_length: T; None is the length of the longest sequence.

    Returns: the padded batch, and the lengths (N,), int64.

    Raises: ArgumentError if total_length is below the longest length.

    >>> import numpy as np
    >>> padded, lengths = pad_packed_sequence(PackedSequence(np.asarray([1, 2, 3, 4, 5]), (2, 2, 1)))
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 4], [5, 0]], [3, 2])
    """
    data, sizes = sequence.data, sequence.batch_sizes
    steps = len(sizes) if total_length is None else total_length
    if steps < len(sizes):
        raise ArgumentError(
            f"expects total_length of at least {len(sizes)}, the longest length, got {total_length}",
            subject="pad_packed_sequence",
        )
    x = padded(sequence, steps, padding_value)
    lengths = indices_like(list(sequence.lengths), data)
    if sequence.unsorted_indices is not None:
        x = namespace(x).take(x, sequence.unsorted_indices, axis=1)
        lengths = namespace(lengths).take(lengths, sequence.unsorted_indices, axis=0)
    return _time_first(x, batch_first), lengths


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Stack sequences of several lengths, with padding up to the longest of them.

    Args:
        sequences: arrays (T_n, ...) that differ in the first axis alone.
        batch_first: whether the result is (N, T, ...) in place of (T, N, ...).
        padding_value: what the gaps are filled with.
        padding_side: "right", behind the ends, or "left", before the beginnings.

    Raises: ArgumentError for no sequences or another side; ShapeError if other axes differ.

    >>> import numpy as np
    >>> pad_sequence([np.ones(1), np.ones(2)], batch_first=True).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    if padding_side not in ("left", "right"):
        raise ArgumentError(
            f"expects padding_side='left' or 'right', got {padding_side!r}", subject="pad_sequence"
        )
    if not sequences:
        raise ArgumentError("expects one sequence or more, got none", subject="pad_sequence")
    longest, rest = max(s.shape[0] for s in sequences), tuple(sequences[0].shape[1:])
    if any(tuple(s.shape[1:]) != rest for s in sequences):
        shapes = ", ".join(str(tuple(s.shape)) for s in sequences)
        raise ShapeError(
            f"expects sequences that differ in the first axis alone, got {shapes}", subject="pad_sequence"
        )
    rows = []
    for s in sequences:
        gap = _filled((longest - s.shape[0], *rest), padding_value, s)
        parts = [s, gap] if padding_side == "right" else [gap, s]
        rows.append(namespace(s).concat(parts, axis=0) if gap.shape[0] else s)
    return namespace(*rows).stack(rows, axis=0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch, each with its own length: the inverse of `pad_sequence`.

    >>> import numpy as np
    >>> [s.tolist() for s in unpad_sequence(np.asarray([[1.0, 1.0], [0.0, 1.0]]), [1, 2])]
    [[1.0], [1.0, 1.0]]
    """
    x = _time_first(padded_sequences, batch_first)
    return [x[:count, n, ...] for n, count in enumerate(_integers(lengths))]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences (T_n, ...) of several lengths; see `pack_padded_sequence`.

    >>> import numpy as np
    >>> pack_sequence([np.asarray([1, 2]), np.asarray([3])]).data.tolist()
    [1, 3, 2]
    """
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """The sequences of a packed batch: the inverse of `pack_sequence`.

    >>> import numpy as np
    >>> [s.tolist() for s in unpack_sequence(PackedSequence(np.asarray([1, 3, 2]), (2, 1)))]
    [[1, 2], [3]]
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def padded(sequence: PackedSequence, steps: int, padding_value: float = 0.0) -> Any:
    """(steps, N, ...): a packed batch with padding, the longest sequence first."""
    data, sizes = sequence.data, sequence.batch_sizes
    batch, gap = sizes[0], data.shape[0]
    rows, start = [], 0
    for t in range(steps):
        size = sizes[t] if t < len(sizes) else 0
        rows += [start + n if n < size else gap for n in range(batch)]
        start += size
    xp = namespace(data)
    filled = xp.concat([data, _filled((1, *data.shape[1:]), padding_value, data)], axis=0)
    return xp.reshape(xp.take(filled, indices_like(rows, data), axis=0), (steps, batch, *data.shape[1:]))


def repacked(x: Any, like: PackedSequence) -> PackedSequence:
    """A padded batch, the longest sequence first, packed as `like`."""
    batch = x.shape[1]
    rows = [t * batch + n for t, size in enumerate(like.batch_sizes) for n in range(size)]
    xp = namespace(x)
    data = xp.take(xp.reshape(x, (x.shape[0] * batch, *x.shape[2:])), indices_like(rows, x), axis=0)
    return like._replace(data=data)


def _time_first(x: Any, batch_first: bool) -> Any:
    return namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim))) if batch_first else x


def _integers(values: Any) -> list[int]:
    return [int(v) for v in (to_numpy(values) if is_array(values) else values)]


def _filled(shape: tuple[int, ...], value: float, like: Any) -> Array:
    raw = raw_array(like)
    number = value if namespace(raw).isdtype(raw.dtype, "real floating") else int(value)
    return namespace(raw).full(shape, number, dtype=raw.dtype, device=device_of(raw))
