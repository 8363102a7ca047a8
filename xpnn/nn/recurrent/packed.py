"""Sequences of several lengths in one batch: padded to the longest, or packed without padding.

A packed batch holds the sequences' steps in the order of time: all first steps, then all second steps, and
so on, of the longest sequence first. `batch_sizes` says how many sequences still run at each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from xpnn.autograd import Tensor
from xpnn.backend import ArgumentError, Array, ShapeError, device_of, is_tensor, namespace, to_numpy
from xpnn.functional.arguments import check_flags, raw_array, shape_of, whole
from xpnn.functional.recurrent.lengths import indices_like, whole_numbers

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    """The fields of a PackedSequence."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


def _as(dtype: str) -> Callable[[Any], Any]:
    """A method that converts the data."""

    def convert(self: Any) -> Any:
        return self.to(dtype=dtype)

    convert.__doc__ = f"The data as {dtype}."
    return convert


Counts = tuple[int, ...]  # PackedSequence has a method of the name int


class PackedSequence(_Packed):
    """A batch of sequences without padding; made by `pack_padded_sequence` and `pack_sequence`.

    Attributes:
        data: (sum of the lengths, ...), time by time.
        batch_sizes: (T,) integers, the number of sequences that have a step at each time; never grows. It
            stays in the host's memory, because it says the shapes of arrays.
        sorted_indices: (N,) integers, which sequence of the batch is the longest, the second, ...; None if
            they came in that order.
        unsorted_indices: (N,) integers, the inverse of it, which is found if it is left out.

    A named tuple, as in PyTorch; `to`, `cpu`, `cuda`, `double`, `float`, `half`, `long`, `int`, `short`,
    `char`, `byte` and `pin_memory` convert the data and take the indices along.

    >>> import numpy as np
    >>> packed = PackedSequence(np.asarray([1, 2, 3]), [2, 1])
    >>> packed.lengths
    (2, 1)
    """

    __slots__ = ()

    def __new__(
        cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> Self:
        """The sequences; see the class."""
        if batch_sizes is None:
            raise ArgumentError("expects batch_sizes, got None", subject="PackedSequence")
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    @property
    def sizes(self) -> Counts:
        """The batch sizes as Python's integers."""
        return tuple(whole_numbers(self.batch_sizes, "batch_sizes", "PackedSequence"))

    @property
    def lengths(self) -> Counts:
        """The lengths, from the longest to the shortest."""
        sizes = self.sizes
        return tuple(sum(size > n for size in sizes) for n in range(sizes[0]))

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a GPU of CUDA."""
        return bool(_tensor(self.data).is_cuda)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The data by `Tensor.to`, with the indices beside it; itself if nothing changes."""
        given = _tensor(self.data)
        data = given.to(*args, **kwargs)
        if data is given:
            return self
        indices = [None if i is None else _tensor(i).to(data).to(dtype="int64") for i in self[2:]]
        if is_tensor(self.data):
            return PackedSequence(data, self.batch_sizes, *indices)
        raw = [None if x is None else raw_array(x) for x in (data, *indices)]
        return PackedSequence(raw[0], self.batch_sizes, *raw[1:])

    def cpu(self) -> PackedSequence:
        """In the host's memory."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None, **kwargs: Any) -> PackedSequence:
        """On a GPU of CUDA."""
        return self.to(device="cuda" if device is None else device, **kwargs)

    double = _as("float64")
    float = _as("float32")
    half = _as("float16")
    long = _as("int64")
    int = _as("int32")
    short = _as("int16")
    char = _as("int8")
    byte = _as("uint8")

    def is_pinned(self) -> bool:
        """Whether the data lies in page-locked memory, which no library here lets one ask for."""
        return False

    def pin_memory(self) -> PackedSequence:
        """Itself: page-locked memory is the library's affair."""
        return self


def invert_permutation(permutation: Any | None) -> Any | None:
    """The permutation that takes back another one, (N,) integers; None of None.

    >>> import numpy as np
    >>> invert_permutation(np.asarray([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    if permutation is None:
        return None
    order = whole_numbers(permutation, "permutation", "invert_permutation")
    if sorted(order) != list(range(len(order))):
        raise ArgumentError(
            f"expects each of 0 to {len(order) - 1} once, got {order}", subject="invert_permutation"
        )
    return _integers_like(sorted(range(len(order)), key=order.__getitem__), permutation)


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
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 2, 3, 4, 5], [2, 2, 1])
    """
    subject = "pack_padded_sequence"
    check_flags(subject, batch_first=batch_first, enforce_sorted=enforce_sorted)
    x = _time_first(input, batch_first, subject)
    steps, batch = x.shape[:2]
    counts = whole_numbers(lengths, "lengths", subject)
    if batch == 0:
        raise ShapeError(f"expects one sequence or more, got shape {shape_of(input)}", subject=subject)
    if len(counts) != batch or not all(1 <= count <= steps for count in counts):
        raise ArgumentError(f"expects {batch} lengths between 1 and {steps}, got {counts}", subject=subject)
    order = sorted(range(batch), key=lambda n: -counts[n])
    is_sorted = counts == sorted(counts, reverse=True)
    if enforce_sorted and not is_sorted:
        raise ArgumentError(
            f"expects lengths from the longest to the shortest, got {counts}",
            subject=subject,
            hint="Pass enforce_sorted=False",
        )
    sizes = tuple(sum(count > t for count in counts) for t in range(max(counts)))
    rows = [t * batch + order[n] for t, size in enumerate(sizes) for n in range(size)]
    xp = namespace(x)
    data = xp.take(xp.reshape(x, (steps * batch, *x.shape[2:])), indices_like(rows, x), axis=0)
    return PackedSequence(data, _on_host(sizes, x), None if enforce_sorted else _integers_like(order, x))


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
    >>> padded, lengths = pad_packed_sequence(PackedSequence(np.asarray([1, 2, 3, 4, 5]), [2, 2, 1]))
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2], [3, 4], [5, 0]], [3, 2])
    """
    check_flags("pad_packed_sequence", batch_first=batch_first)
    sizes = sequence.sizes
    steps = len(sizes) if total_length is None else whole(total_length, "total_length", "pad_packed_sequence")
    if steps < len(sizes):
        raise ArgumentError(
            f"expects total_length of at least {len(sizes)}, the longest length, got {total_length}",
            subject="pad_packed_sequence",
        )
    x = padded(sequence, steps, padding_value)
    lengths = _integers_like(list(sequence.lengths), x)
    if sequence.unsorted_indices is not None:
        order = raw_array(sequence.unsorted_indices)
        x = namespace(x).take(x, order, axis=1)
        lengths = namespace(lengths).take(lengths, order, axis=0)
    return _time_first(x, batch_first, "pad_packed_sequence"), lengths


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
    x = _time_first(padded_sequences, batch_first, "unpad_sequence")
    counts = whole_numbers(lengths, "lengths", "unpad_sequence")
    if len(counts) != x.shape[1] or not all(0 <= count <= x.shape[0] for count in counts):
        raise ArgumentError(
            f"expects {x.shape[1]} lengths between 0 and {x.shape[0]}, got {counts}", subject="unpad_sequence"
        )
    return [x[:count, n, ...] for n, count in enumerate(counts)]


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
    >>> [s.tolist() for s in unpack_sequence(PackedSequence(np.asarray([1, 3, 2]), [2, 1]))]
    [[1, 2], [3]]
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences))


def padded(sequence: PackedSequence, steps: int, padding_value: float = 0.0) -> Any:
    """(steps, N, ...): a packed batch with padding, the longest sequence first."""
    data, sizes = sequence.data, sequence.sizes
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
    rows = [t * batch + n for t, size in enumerate(like.sizes) for n in range(size)]
    xp = namespace(x)
    data = xp.take(xp.reshape(x, (x.shape[0] * batch, *x.shape[2:])), indices_like(rows, x), axis=0)
    return like._replace(data=data)


def _time_first(x: Any, batch_first: bool, subject: str) -> Any:
    """Time and batch change places if batch_first."""
    if x.ndim < 2:
        layout = "N, T, ..." if batch_first else "T, N, ..."
        raise ShapeError(
            f"expects input of 2 axes or more ({layout}), got shape {shape_of(x)}", subject=subject
        )
    return namespace(x).permute_dims(x, (1, 0, *range(2, x.ndim))) if batch_first else x


def _integers_like(values: list[int], like: Any) -> Any:
    """int64 integers on the device of `like`, a Tensor if that is one."""
    raw = indices_like(values, like)
    return Tensor(raw) if is_tensor(like) else raw


def _on_host(values: Sequence[int], like: Any) -> Any:
    """int64 integers in the host's memory, a Tensor if `like` is one."""
    host = to_numpy(list(values))
    return Tensor(host) if is_tensor(like) else host


def _tensor(x: Any) -> Tensor:
    return x if is_tensor(x) else Tensor(x)


def _filled(shape: tuple[int, ...], value: float, like: Any) -> Array:
    raw = raw_array(like)
    number = value if namespace(raw).isdtype(raw.dtype, "real floating") else int(value)
    return namespace(raw).full(shape, number, dtype=raw.dtype, device=device_of(raw))
