"""The largest or smallest elements of each row, in NumPy, without putting all of them in order."""

from __future__ import annotations

import numpy as np

from xpnn.backend import kernel

# Elements of a row, of which each that is wanted costs more than the order of so many.
_WORTH_IT = 8


def _are_few(x: np.ndarray, *, axis: int, count: int, descending: bool) -> bool:
    return x.dtype.kind in "fiu" and count > 0 and count * _WORTH_IT <= x.shape[axis]


@kernel("numpy", "places_of_extremes", when=_are_few)
def places_of_extremes(x: np.ndarray, *, axis: int, count: int, descending: bool) -> tuple[np.ndarray, tuple]:
    """The reference's: those up to the last one that counts, which a partition finds, are put in order."""
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    size = rows.shape[1]
    last = size - count if descending else count - 1
    edge = np.partition(rows, last, axis=1)[:, last : last + 1]
    chosen = ~(rows < edge) if descending else rows <= edge  # NaN is the largest
    # A row with more that equal the last one, or with NaN there, is put in order as a whole.
    plain = np.count_nonzero(chosen, axis=1) == count
    places = np.empty((len(rows), count), dtype=np.int64)
    if plain.all():
        places[:] = np.nonzero(chosen)[1].reshape(-1, count)
    else:
        places[plain] = np.nonzero(chosen[plain])[1].reshape(-1, count)
        places[~plain] = _order(rows[~plain], descending)[:, :count]
    places = np.take_along_axis(places, _order(np.take_along_axis(rows, places, 1), descending), 1)
    shape = (*np.moveaxis(x, axis, -1).shape[:-1], count)
    return np.ascontiguousarray(np.moveaxis(places.reshape(shape), -1, axis)), ()


def _order(rows: np.ndarray, descending: bool) -> np.ndarray:
    """The places of the elements in order, equal ones by place, NaN as the largest."""
    if not descending:
        return np.argsort(rows, axis=1, kind="stable")
    return rows.shape[1] - 1 - np.argsort(rows[:, ::-1], axis=1, kind="stable")[:, ::-1]
