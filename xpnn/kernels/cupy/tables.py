"""Tables of addresses, by which one launch reaches many arrays.

A table is sent to the device when it is a new one; CuPy's memory pool hands out the same addresses step after
step, so that after the first steps nothing is sent.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from xpnn.backend import Array
from xpnn.backend.cuda_graphs import keep_for_graph

CHUNK = 4096  # elements that a block takes
ALIGNED = 64  # elements: pieces of an array begin at multiples of it, where loads are whole
_KEPT = 8  # tables


class Tables:
    """The tables that lie on the device, by their contents."""

    def __init__(self) -> None:
        self._tables: OrderedDict[tuple[bytes, str], Array] = OrderedDict()

    def on_device(self, library: Any, rows: list[list[int]], device: Any) -> Array:
        """A table of numbers of 64 bits, row by row, on the current device, which is that one."""
        contents = np.asarray(rows, dtype=np.int64)
        key = (contents.tobytes(), str(device))
        table = self._tables.pop(key, None)
        if table is None:
            table = library.asarray(contents)
        keep_for_graph(table)
        self._tables[key] = table
        while len(self._tables) > _KEPT:
            self._tables.popitem(last=False)
        return table


class Layout:
    """The first columns of a table: the first chunk behind an array, its size, and the place of its result.

    All results lie in one array.

    Attributes:
        rows: lists of these three numbers. chunks: of all arrays. size: of the array of results.
    """

    def __init__(self, arrays: list[Array]) -> None:
        self.rows: list[list[int]] = []
        self.chunks = self.size = 0
        for array in arrays:
            self.chunks += -(-array.size // CHUNK)
            self.rows.append([self.chunks, array.size, self.size])
            self.size += -(-array.size // ALIGNED) * ALIGNED

    def pieces(self, results: Array, shapes: list[tuple[int, ...]]) -> list[Array]:
        """The result of each array, a view."""
        return [
            results[start : start + size].reshape(shape) for (_, size, start), shape in zip(self.rows, shapes)
        ]
