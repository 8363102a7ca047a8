"""Layer, RMS and group norm: one launch forward, two or three back."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from xpnn.backend import Array
from xpnn.kernels.cupy.launching import (
    MOST_BLOCKS,
    computed_in,
    cuda_kernel,
    in_rows,
    launch,
    library_of,
    takes,
    threads_for,
)
from xpnn.kernels.cupy.sums import column_sums

_SOURCE = "rows.cu"


class Rows(NamedTuple):
    """How an array falls into rows, and how weights lie along them (see `cuda/rows.cu`)."""

    rows: int
    length: int
    sets: int
    together: int
    inner: int

    @property
    def blocks(self) -> int:
        """Of a grid with one for a row."""
        return min(self.rows, MOST_BLOCKS)


def _trailing(x: Array, features: int) -> Rows:
    length = prod(x.shape[x.ndim - features :])
    return Rows(x.size // length, length, 1, length, 1)


def _of_groups(x: Array, groups: int) -> Rows:
    size, together = prod(x.shape[2:]), x.shape[1] // groups
    return Rows(x.shape[0] * groups, together * size, groups, together, size)


def _normalise(
    x: Array, w: Array | None, b: Array | None, rows: Rows, eps: float, centred: bool
) -> tuple[Array, Array | None, Array]:
    """The result, and mean and variance of each row; means only if `centred`."""
    library, inside = library_of(x), computed_in(x.dtype.char)
    z = in_rows(x)
    y = library.empty(x.shape, dtype=x.dtype)
    mean = library.empty((rows.rows,), dtype=inside) if centred else None
    variance = library.empty((rows.rows,), dtype=inside)
    args = (z, in_rows(w), in_rows(b), y, mean, variance, *rows, eps)
    launch(_SOURCE, "row_norm", z, rows.blocks, threads_for(rows.length), args)
    return y, mean, variance


def _backward(
    above: tuple,
    saved: tuple[Array, Array | None, Array | None, Array],
    rows: Rows,
    eps: float,
    needs: tuple[bool, ...],
) -> tuple[Array | None, Array | None, Array | None]:
    """The gradients of x, w and b."""
    x, w, mean, variance = saved
    gy, gmean, gvariance = above
    library = library_of(x)
    gy = library.zeros_like(x) if gy is None else gy
    x, gy = in_rows(x), in_rows(gy)
    mean, variance, gmean, gvariance = map(in_rows, (mean, variance, gmean, gvariance))
    gx = None
    if needs[0]:
        gx = library.empty(x.shape, dtype=x.dtype)
        args = (gy, x, in_rows(w), mean, variance, gmean, gvariance, gx, *rows, eps)
        launch(_SOURCE, "row_norm_input", x, rows.blocks, threads_for(rows.length), args)
    if not (needs[1] or needs[2]):
        return gx, None, None
    if rows.sets == 1 and rows.inner == 1:
        gw, gb = column_sums(gy, rows.rows, rows.length, needs[1:3], (x, mean, variance, eps))
        return gx, gw, gb
    channels = rows.sets * rows.together
    gw, gb = (library.empty((channels,), dtype=x.dtype) if needed else None for needed in needs[1:3])
    samples = rows.rows // rows.sets
    given = (gy, x, mean, variance, gw, gb, samples, rows.sets, rows.together, rows.inner, eps)
    launch(_SOURCE, "channel_sums", x, min(channels, MOST_BLOCKS), threads_for(samples * rows.inner), given)
    return gx, gw, gb


def _layer_norm(
    x: Array, w: Array | None, b: Array | None, *, features: int, eps: float
) -> tuple[tuple[Array, Array | None, Array], tuple]:
    y, mean, variance = _normalise(x, w, b, _trailing(x, features), eps, centred=True)
    shape = (*x.shape[: x.ndim - features], *(1,) * features)
    mean, variance = (s.reshape(shape) for s in (mean, variance))  # type: ignore[union-attr]
    return (y, mean, variance), (x, w, mean, variance)


def _layer_norm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Array | None, ...]:
    x, w, *_ = saved
    wanted = (needs[0], needs[1] and w is not None, needs[2])
    gx, gw, gb = _backward(above, saved, _trailing(x, features), eps, wanted)
    shape = x.shape[x.ndim - features :]
    return gx, *(None if g is None else g.reshape(shape) for g in (gw, gb))


def _rms_norm(x: Array, w: Array | None, *, features: int, eps: float) -> tuple[tuple[Array, Array], tuple]:
    y, _, square = _normalise(x, w, None, _trailing(x, features), eps, centred=False)
    square = square.reshape((*x.shape[: x.ndim - features], *(1,) * features))
    return (y, square), (x, w, square)


def _rms_norm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, features: int, eps: float
) -> tuple[Array | None, ...]:
    x, w, square = saved
    gy, gsquare = above
    wanted = (needs[0], needs[1] and w is not None, False)
    gx, gw, _ = _backward((gy, None, gsquare), (x, w, None, square), _trailing(x, features), eps, wanted)
    return gx, None if gw is None else gw.reshape(w.shape)


def _group_norm(
    x: Array, w: Array | None, b: Array | None, *, groups: int, eps: float
) -> tuple[tuple[Array, Array | None, Array], tuple]:
    y, mean, variance = _normalise(x, w, b, _of_groups(x, groups), eps, centred=True)
    shape = (x.shape[0], groups)
    mean, variance = (s.reshape(shape) for s in (mean, variance))  # type: ignore[union-attr]
    return (y, mean, variance), (x, w, mean, variance)


def _group_norm_backward(
    above: tuple, saved: tuple, needs: tuple[bool, ...], *, groups: int, eps: float
) -> tuple[Array | None, ...]:
    x, w, *_ = saved
    wanted = (needs[0], needs[1] and w is not None, needs[2])
    return _backward(above, saved, _of_groups(x, groups), eps, wanted)


def _takes(x: Array, *weights: Array | None, **options: Any) -> bool:
    return takes(x, *weights)


cuda_kernel("layer_norm", _takes, _layer_norm, _layer_norm_backward, alike=True)
cuda_kernel("rms_norm", _takes, _rms_norm, _rms_norm_backward, alike=True)
cuda_kernel("group_norm", _takes, _group_norm, _group_norm_backward, alike=True)
