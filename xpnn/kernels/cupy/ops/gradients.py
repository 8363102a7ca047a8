"""All gradients at once: their norm in two launches, scaled to a norm in one, looked through in one."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.launching import MOST_THREADS, computed_in, in_rows, launch, library_of, takes
from xpnn.kernels.cupy.tables import CHUNK, Layout, Tables

_SOURCE = "gradients.cu"
_KINDS = {2.0: 0, math.inf: 1, 1.0: 2}  # of norms, by their order; others are sums of powers
_POWERS = 3


class _Known(threading.local):
    """The tables that this thread has sent."""

    def __init__(self) -> None:
        self.tables = Tables()


_known = _Known()


def _take(arrays: list[Array], *values: Any) -> bool:
    return takes(*arrays) and all(array.device == arrays[0].device for array in arrays)


class _Gradients:
    """Arrays as the kernels take them."""

    def __init__(self, arrays: list[Array]) -> None:
        self.shapes = [array.shape for array in arrays]
        self.arrays = [in_rows(array) for array in arrays]  # alive until the kernel is launched
        self.like = self.arrays[0]
        self.layout = Layout(self.arrays)
        self.library = library_of(self.like)
        self.inside = computed_in(self.like.dtype.char)
        rows = [[*row, array.data.ptr] for row, array in zip(self.layout.rows, self.arrays)]
        self.table = _known.tables.on_device(self.library, rows, self.like.device)

    def launch(self, name: str, *args: Any) -> None:
        """Launch a kernel, a block for a chunk."""
        given = (self.table, np.int32(len(self.arrays)), np.int32(CHUNK), *args)
        size = self.layout.size + CHUNK
        launch(_SOURCE, name, self.like, self.layout.chunks, MOST_THREADS, given, size=size)

    def results(self, name: str, *args: Any) -> list[Array]:
        """What a kernel makes of each array."""
        made = self.library.empty((self.layout.size,), dtype=self.like.dtype)
        self.launch(name, made, *args)
        return self.layout.pieces(made, self.shapes)


@kernel("cupy", "norm_of_all", when=_take)
def norm_of_all(arrays: list[Array], order: float) -> Array:
    """The reference's `norm_of_all`."""
    given = _Gradients(arrays)
    parts = given.library.empty((given.layout.chunks,), dtype=given.inside)
    norm = given.library.empty((), dtype=given.inside)
    kind = np.int32(_KINDS.get(order, _POWERS))
    given.launch("norm_parts", parts, kind, float(order))
    args = (parts, norm, given.layout.chunks, kind, float(order))
    launch(_SOURCE, "norm_of_parts", given.like, 1, MOST_THREADS, args)
    return norm


def _takes_norm(arrays: list[Array], norm: Array, most: Any) -> bool:
    first = arrays[0]
    beside = type(norm) is type(first) and norm.device == first.device and norm.size == 1
    return _take(arrays) and beside and type(most) in (int, float)


@kernel("cupy", "scaled_to_norm", when=_takes_norm)
def scaled_to_norm(arrays: list[Array], norm: Array, most: float) -> list[Array]:
    """The reference's `scaled_to_norm`."""
    given = _Gradients(arrays)
    norm = norm if norm.dtype == given.inside else norm.astype(given.inside)
    return given.results("scaled_to_norm", norm, float(most))


@kernel("cupy", "unscaled", when=_take)
def unscaled(arrays: list[Array], factor: float) -> tuple[list[Array], Array]:
    """The reference's `unscaled`."""
    given = _Gradients(arrays)
    finite = given.library.ones((), dtype=bool)
    return given.results("unscaled", finite, float(factor)), finite
