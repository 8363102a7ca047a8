"""The gradient of an embedding in NumPy: rows that were looked up several times are added up at one go."""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel

# Indices below which the fewer calls of the reference are faster.
_MANY = 256

# Values of one row that are added one after the other. Sums of so many are then added likewise, so that no
# digits are lost however often a row was looked up.
_PIECE = 32

# Numbers of 16 bits.
_SHORT = 1 << 16


def _are_many(values: np.ndarray, indices: np.ndarray, *, rows: int) -> bool:
    return indices.size >= _MANY and values.shape[-1] > 0


@kernel("numpy", "sum_into_rows", when=_are_many)
def sum_into_rows(values: np.ndarray, indices: np.ndarray, *, rows: int) -> tuple[np.ndarray, tuple]:
    """The reference's `sum_into_rows`."""
    flat = indices.reshape(-1)
    sums, targets = sums_of_runs(values.reshape(len(flat), values.shape[-1]), flat, rows)
    table = np.zeros((rows, values.shape[-1]), dtype=values.dtype)
    table[targets] = sums
    return table, (indices,)


def sums_of_runs(values: np.ndarray, targets: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The sum of the values of each target, which is below `rows`, and the targets, each of them once.

    Sorted by target, the values of one are a run. The second values of all runs are added to the first ones,
    then the third ones and so on: few operations on whole arrays, as the longest runs come first. Runs longer
    than a piece are several, whose sums are summed up once more.
    """
    # Numbers of 16 bits are sorted digit by digit, which takes half the time.
    order = np.argsort(targets.astype(np.uint16), kind="stable") if rows <= _SHORT else np.argsort(targets)
    targets = targets[order]
    starts = np.flatnonzero(np.concatenate([[True], targets[1:] != targets[:-1]]))
    lengths = np.diff(starts, append=len(targets))
    longest = int(lengths.max())
    if longest > _PIECE:
        pieces = -(-lengths // _PIECE)
        run = np.repeat(np.arange(len(starts)), pieces)
        before = _PIECE * (np.arange(len(run)) - np.repeat(np.cumsum(pieces) - pieces, pieces))
        starts, lengths = starts[run] + before, np.minimum(lengths[run] - before, _PIECE)
    starts = starts[np.argsort(-lengths, kind="stable")]
    sums = values.take(order[starts], axis=0)
    longer = len(starts) - np.cumsum(np.bincount(lengths))
    for place, count in enumerate(longer[1:-1].tolist(), start=1):
        sums[:count] += values.take(order[starts[:count] + place], axis=0)
    if longest > _PIECE:
        return sums_of_runs(sums, targets[starts], rows)
    return sums, targets[starts]
