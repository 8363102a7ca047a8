"""A convolution of a few channels that is rectified and pooled next: one pass for the three.

The convolution is promised, and so is the relu of the promise. A max-pooling by windows side by side takes
both up (see `conv_tiles`): what it pools is never written to memory. Its gradient is promised in turn, and
the convolution's backward makes all of its gradients from that of the maxima.

A convolution with a bias is taken for one that may be pooled: before a batch norm it would have none. The
promise copies the images and the weights, so that nobody can change them before it is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnn.backend import (
    Deferred,
    array_of,
    choose_kernel,
    find_backend,
    kernel,
    saves_as_reference,
    takes_deferred,
)
from xpnn.kernels.numpy.activation import pointwise as activation
from xpnn.kernels.numpy.conv import tiles as conv_tiles
from xpnn.kernels.numpy.conv.layout import Pairs
from xpnn.kernels.numpy.conv.tiles import Piece, Tiles

# What is promised: few channels, enough images to be a long run in memory, and little for each: of 32 KB a
# thread's cache holds many. Forward + backward took 0.9 of the time with 16 images, 0.45 with 128 (1 -> 6
# channels of 28x28, 5x5); 8 -> 32 channels took 1.2 times as long, 3 -> 32 channels of 32x32 1.0 times.
_CHANNELS = 6
_FEWEST_IMAGES = 16
_LARGEST_RESULT = 120_000

# Multiplications for one of the convolution's that are made up for by what need not be gathered.
_MOST_MULTIPLICATIONS = 2.5

_relu: Any = activation.relu  # at once


class Convolved(Deferred):
    """The convolution of images x; or the relu of a promise `before`."""

    __slots__ = ("b", "before", "dtype", "options", "shape", "w", "x")

    def __init__(
        self,
        x: np.ndarray,
        w: np.ndarray,
        b: np.ndarray | None,
        options: dict[str, Any],
        before: Convolved | None = None,
    ) -> None:
        super().__init__()
        self.x, self.w, self.b, self.options, self.before = x, w, b, options, before
        size = (n + sum(p) - k + 1 for n, p, k in zip(x.shape[2:], options["padding"], w.shape[2:]))
        self.shape, self.dtype = (len(x), len(w), *size), x.dtype

    def compute(self) -> np.ndarray:
        """The array by itself, where it is not pooled or looked at all the same."""
        if self.before is not None:
            return _relu.forward(self.before.array())[0]
        args = (self.x, self.w, self.b)
        return kernel_at_once("conv", *args, **self.options).forward(*args, **self.options)[0]

    def absorb(self, name: str, args: tuple, options: dict[str, Any]) -> tuple[Any, tuple, Callable] | None:
        """A relu, and then a max-pooling."""
        if self._array is not None:
            return None
        if name == "relu" and self.before is None:
            rectified = Convolved(self.x, self.w, self.b, self.options, before=self)
            return rectified, (rectified,), _relu_backward
        if name == "max_pool" and (tiles := self._tiles(**options)) is not None:
            relu = self.before is not None
            canvas = conv_tiles.batch_last(self.x, self.options["padding"], tiles)
            y, pieces = conv_tiles.convolve(canvas, self.w, self.b, relu, tiles)
            pooled = Pooled(self, canvas, tiles, pieces, y if relu else None)
            return y.transpose(3, 0, 1, 2), (pooled,), _pool_backward
        return None

    def _tiles(
        self, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: Pairs, dilation: tuple[int, ...]
    ) -> Tiles | None:
        """The windows of a pooling, if they lie side by side and it is not slower to take them together."""
        if kernel_size != stride or any(map(any, padding)) or set(dilation) != {1}:
            return None
        rows, columns = (n // k for n, k in zip(self.shape[2:], kernel_size))
        tiles = Tiles(self.w.shape, (kernel_size[0], kernel_size[1]), (rows, columns))
        return tiles if 1 < tiles.inflation <= _MOST_MULTIPLICATIONS else None


@dataclass(frozen=True, slots=True)
class Pooled:
    """What the backward of a pooling needs."""

    convolved: Convolved
    canvas: np.ndarray
    tiles: Tiles
    pieces: list[Piece]
    y: np.ndarray | None  # the maxima, if they went through relu


class PooledGradient(Deferred):
    """The gradient of what was pooled, or of what was rectified before, from the gradient of the maxima."""

    __slots__ = ("dtype", "gy", "options", "pooled", "rectified", "shape")

    def __init__(self, gy: np.ndarray, pooled: Pooled, options: dict[str, Any], rectified: bool) -> None:
        super().__init__()
        self.gy, self.pooled, self.options, self.rectified = gy, pooled, options, rectified
        self.shape, self.dtype = pooled.convolved.shape, gy.dtype

    def compute(self) -> np.ndarray:
        """The array by itself, for who looks at it."""
        x = self.pooled.convolved.array()
        pool = kernel_at_once("max_pool", x, **self.options)
        _, saved = pool.forward(x, **self.options)
        (gx,) = pool.backward_function(self.gy, saved, (True,), **self.options)
        return gx * (x > 0) if self.rectified else gx

    @property
    def of(self) -> Convolved | None:
        """What it is the gradient of."""
        pooled = self.pooled.convolved
        return pooled.before if self.rectified else pooled

    def pull_back(self, x: np.ndarray, w: np.ndarray, padding: Pairs, needs: tuple[bool, ...]) -> tuple:
        """The gradients of the convolution's arguments."""
        pooled = self.pooled
        gx = np.empty((*x.shape[1:], len(x)), dtype=x.dtype) if needs[0] else None
        gw, gb = conv_tiles.gradients(
            self.gy.transpose(1, 2, 3, 0),
            pooled.y,
            pooled.pieces,
            pooled.canvas,
            w,
            gx,
            padding,
            pooled.tiles,
        )
        return None if gx is None else gx.transpose(3, 0, 1, 2), gw, gb


def _pool_backward(gy: np.ndarray, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    (pooled,) = saved
    return (PooledGradient(gy, pooled, options, rectified=False),)


@saves_as_reference
@takes_deferred
def _relu_backward(gy: Any, saved: tuple, needs: tuple[bool, ...]) -> tuple:
    (y,) = saved
    if isinstance(gy, PooledGradient) and gy.of is y:
        return (PooledGradient(gy.gy, gy.pooled, gy.options, rectified=True),)
    return _relu.backward_function(array_of(gy), (array_of(y),), needs)


def _may_be_pooled(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    *,
    stride: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
) -> bool:
    return (
        b is not None
        and x.ndim == 4
        and x.shape[1] <= _CHANNELS
        and len(x) >= _FEWEST_IMAGES
        and len(w) * x.shape[2] * x.shape[3] * x.itemsize <= _LARGEST_RESULT
        and groups == 1
        and {*stride, *dilation} == {1}
        and x.dtype == w.dtype == b.dtype
        and x.dtype in (np.float32, np.float64)
    )


@kernel("numpy", "conv", when=_may_be_pooled, defers=True)
def conv(
    x: np.ndarray, w: np.ndarray, b: np.ndarray, **options: Any
) -> tuple[Convolved, tuple[np.ndarray, np.ndarray, Convolved]]:
    """The reference's `_conv`, as a promise."""
    y = Convolved(x.copy(order="K"), w.copy(), b.copy(), options)
    return y, (x, w, y)


@conv.backward
@takes_deferred
def _conv_backward(gy: Any, saved: tuple, needs: tuple[bool, ...], **options: Any) -> tuple:
    x, w, y = saved
    if isinstance(gy, PooledGradient) and gy.of is y:
        return gy.pull_back(x, w, options["padding"], needs)
    plain = kernel_at_once("conv", x, w, None, **options)
    return plain.backward_function(array_of(gy), (x, w), needs, **options)


def kernel_at_once(name: str, *args: Any, **options: Any) -> Any:
    """What computes a call at once, compiled or not."""
    return choose_kernel(find_backend("numpy"), name, *args, **options)
