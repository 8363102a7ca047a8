"""Pooling and its gradients in one launch each, without atomic sums: results are the same from run to run."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.backend import Array, kernel
from xpnn.kernels.cupy.images import Sizes, empty_channels_first, images_of
from xpnn.kernels.cupy.launching import MOST_BLOCKS, MOST_THREADS, WARP, launch, library_of, takes
from xpnn.kernels.cupy.windows import SOURCE, described, over_elements, windows_over


def _takes(x: Array, *others: Any, **options: Any) -> bool:
    """Guard: float32 and float64; half precision takes the way of the references."""
    return 3 <= x.ndim <= 5 and takes(x) and x.itemsize > 2


def _takes_windows(x: Array, *, windows: Sizes, **options: Any) -> bool:
    return _takes(x) and prod(windows) > 0


def _takes_gradients(gy: Array, *others: Array, size: Sizes, **options: Any) -> bool:
    return _takes(gy) and prod(size) > 0


def _meets_every_window(x: Array, *, dilation: Sizes, **options: Any) -> bool:
    """Whether each window has a cell of the image: where one lies around it, the reference decides."""
    return _takes(x) and all(n >= d for n, d in zip(x.shape[2:], dilation))


def _maxima(x: Array, window: dict[str, Any], values: bool) -> tuple[Array | None, Array]:
    """The largest value of each window, if wanted, and the number of its cell."""
    images = images_of(x)
    shape = (*x.shape[:2], *windows_over(x.shape[2:], **window))
    y = empty_channels_first(x, shape) if values else None
    winner = library_of(x).empty((shape[1], shape[0], *shape[2:]), dtype=np.int32)
    winner = winner.transpose((1, 0, *range(2, len(shape))))
    args = (images.array, y, winner, images.image, images.plane, *shape[:2])
    numbers = described(x.shape[2:], shape[2:], **window)
    over_elements("max_pool", x, (*args, *numbers), winner.size, max(x.size, winner.size))
    return y, winner


@kernel("cupy", "max_pool", when=_meets_every_window)
def max_pool(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_max_pool`."""
    y, winner = _maxima(x, window, values=True)
    assert y is not None
    return y, (winner, tuple(x.shape[2:]))


@kernel("cupy", "winners", when=_meets_every_window)
def winners(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_winners`."""
    return _maxima(x, window, values=False)[1], ()


@kernel("cupy", "scatter_to_winners", when=_takes_gradients)
def scatter_to_winners(gy: Array, winner: Array, *, size: Sizes, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_scatter_to_winners`."""
    return _between(gy, winner, "scatter_to_winners", size, (tuple(size), gy.shape[2:]), window), (winner,)


@kernel("cupy", "select_winners", when=_takes)
def select_winners(x: Array, winner: Array, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_select_winners`."""
    sizes = (x.shape[2:], winner.shape[2:])
    y = _between(x, winner, "select_winners", winner.shape[2:], sizes, window)
    return y, (winner, tuple(x.shape[2:]))


def _between(
    x: Array, winner: Array, name: str, size: Sizes, sizes: tuple[Sizes, Sizes], window: dict[str, Any]
) -> Array:
    """A kernel that takes winners beside an array, to images of a size."""
    images, won = images_of(x), images_of(winner)
    y = empty_channels_first(x, (*x.shape[:2], *size))
    args = (images.array, won.array, y, images.image, images.plane, won.image, won.plane, *x.shape[:2])
    over_elements(name, x, (*args, *described(*sizes, **window)), y.size, max(x.size, y.size))
    return y


def _alone(x: Array, name: str, size: Sizes, numbers: tuple) -> Array:
    """A kernel of one array, to images of a size."""
    images, y = images_of(x), empty_channels_first(x, (*x.shape[:2], *size))
    args = (images.array, y, images.image, images.plane, *x.shape[:2], *numbers)
    over_elements(name, x, args, y.size, max(x.size, y.size))
    return y


@kernel("cupy", "sum_pool", when=_takes)
def sum_pool(x: Array, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_sum_pool`."""
    size = windows_over(x.shape[2:], **window, dilation=(1,) * (x.ndim - 2))
    return _alone(x, "sum_pool", size, described(x.shape[2:], size, **window)), (tuple(x.shape[2:]),)


@kernel("cupy", "spread_over_windows", when=_takes_gradients)
def spread_over_windows(gy: Array, *, size: Sizes, **window: Any) -> tuple[Array, tuple]:
    """The reference's `_spread_over_windows`."""
    return _alone(gy, "spread_over_windows", size, described(tuple(size), gy.shape[2:], **window)), ()


@kernel("cupy", "adaptive_means", when=_takes_windows)
def adaptive_means(x: Array, *, windows: Sizes) -> tuple[Array, tuple]:
    """The reference's `_adaptive_means`."""
    images, y = images_of(x), empty_channels_first(x, (*x.shape[:2], *windows))
    args = (images.array, y, images.image, images.plane, *x.shape[:2], *described(x.shape[2:], windows))
    blocks = min(-(-y.size * WARP // MOST_THREADS), MOST_BLOCKS)
    launch(SOURCE, "adaptive_means", x, blocks, MOST_THREADS, args, size=max(x.size, y.size))
    return y, (tuple(x.shape[2:]),)


@kernel("cupy", "share_over_windows", when=_takes_gradients)
def share_over_windows(gy: Array, *, size: Sizes) -> tuple[Array, tuple]:
    """The reference's `_share_over_windows`."""
    return _alone(gy, "share_over_windows", size, described(tuple(size), gy.shape[2:])), (gy.shape[2:],)
